"""A database that one Django has migrated is rolled back by a checkout on another."""

from __future__ import annotations

import sys

import pytest

from tests.support.helpers import Project, add, alter, create, drop, python

both_ways = pytest.mark.parametrize(
    "older_goes_back", [True, False], ids=["older goes back", "newer goes back"]
)

PRICE = add("product", "price", "IntegerField(default=7)")

EMPTY_BUNDLE = """
def nothing(apps, schema_editor):
    list(apps.get_model("shop", "Product").objects.all())
"""

# New in 6.1.
UNDERSTOOD_BY_THE_NEWER = add("product", "parent", "ForeignKey('self', models.DB_CASCADE, null=True)")

# Gone since 6.0.
UNDERSTOOD_BY_THE_OLDER = (
    "migrations.AddConstraint('product', models.CheckConstraint(check=models.Q(id__gt=0), name='positive'))"
)


def forwards_and_backwards(project: Project, older: str, older_goes_back: bool) -> tuple[str, str]:
    return (sys.executable, older) if older_goes_back else (older, sys.executable)


def version(shop: Project) -> str:
    return shop.run("print(django.get_version())").stdout.strip()


def write_feature(shop: Project) -> None:
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    cart = create("Cart", product="ForeignKey('shop.Product', models.CASCADE)")
    shop.migration("shop.0003_cart", cart, after="0002_price")
    longer = alter("product", "name", "TextField()")
    shop.migration(
        "shop.0004_data", python("nothing", "nothing"), longer, after="0003_cart", header=EMPTY_BUNDLE
    )
    shop.migration("shop.0005_no_cart", drop("Cart"), after="0004_data")


@both_ways
@pytest.mark.parametrize(
    "command", [("rewind", "--noinput", "--allow-data-loss"), ("migrate", "shop", "0001")], ids=" ".join
)
def test_rolled_back_by_another_django(new_shop, older, older_goes_back, command):
    """Stored by one, the migrations are undone by the other, and the other's own stay as they are."""
    shop = new_shop
    forwards, backwards = forwards_and_backwards(shop, older, older_goes_back)
    shop.python = forwards
    shop.manage("migrate")
    before = shop.schema()
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    with shop.on_branch("feature"):
        write_feature(shop)
        shop.manage("migrate")

    shop.python = backwards
    shop.manage("migrate")
    shop.manage("verify_migrations", "shop")
    shop.manage(*command)

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]


@both_ways
def test_what_the_other_does_not_know_is_refused_by_name(new_shop, older, older_goes_back):
    """Before anything is undone, with the Django that does."""
    shop = new_shop
    shop.python, backwards = forwards_and_backwards(shop, older, older_goes_back)
    operation = UNDERSTOOD_BY_THE_NEWER if older_goes_back else UNDERSTOOD_BY_THE_OLDER
    with shop.on_branch("feature"):
        shop.migration("shop.0002_own", operation, after="0001_initial")
        shop.migration("shop.0003_price", PRICE, after="0002_own")
        shop.manage("migrate")

    stored_under = version(shop)
    shop.python = backwards
    named = ("shop.0002_own", f"stored under Django {stored_under}", f"Django {version(shop)} (")
    shop.refused("rewind", "--noinput", naming=named)
    shop.refused("migrate", "shop", "0001", naming=named)
    # It stays, and what lies above it cannot be undone without its state.
    shop.refused("rewind", "shop", "0002", "--noinput", naming=named)
