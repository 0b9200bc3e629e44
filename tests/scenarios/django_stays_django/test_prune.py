"""`migrate --prune`: it deletes the records of what has no file, but for what could still be rolled back."""

from __future__ import annotations

import re

import django
import pytest

from tests.support.helpers import Project, add, create

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(django.VERSION < (4, 1), reason="--prune came with Django 4.1"),
]

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


def commands_in(text: str) -> list[list[str]]:
    return [command.split() for command in re.findall(r"'manage\.py ([^']+)'", text)]


@pytest.mark.parametrize("way_out", [0, 1], ids=["roll back", "mark as unapplied"])
def test_what_could_be_rolled_back_is_not_pruned(left, way_out):
    """It is refused by name, with two commands that work."""
    result = left.refused("migrate", "shop", "--prune", naming="shop.0002_price")

    left.manage(*commands_in(result.stderr)[way_out], "--noinput")

    assert left.applied("shop") == ["0001_initial"]
    assert ("price" in left.columns("shop_product")) is (way_out == 1)
    assert "shop.0002_price" in left.stored()
    assert "No migrations to prune." in left.manage("migrate", "shop", "--prune").stdout


@pytest.mark.parametrize("way_out", [0, 1], ids=["roll back", "mark as unapplied"])
def test_with_a_table_in_use(shop, way_out):
    """The commands name a target: without one, such a migration is skipped."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_box", create("Box"), after="0001_initial")
        shop.migration("shop.0003_price", PRICE, after="0002_box")
        shop.manage("migrate")
    shop.models("shop", "class Product(models.Model):\n    pass\n\nclass Box(models.Model):\n    pass\n")

    result = shop.refused("migrate", "shop", "--prune", naming=("shop.0002_box", "shop.0003_price"))
    shop.manage(*commands_in(result.stderr)[way_out], "--noinput")

    assert shop.applied("shop") == ["0001_initial"]
    assert ("shop_box" in shop.tables()) is (way_out == 1)


def squash_without_replaces(shop: Project) -> None:
    for name in ("0001_initial", "0002_price"):
        shop.delete(f"shop/migrations/{name}.py")
    both = create("Product", name="CharField(max_length=50)"), PRICE
    names = ["0001_initial", "0002_price"]
    shop.migration("shop.0001_squashed", *both, initial=True, replaces=names)
    shop.manage("migrate")
    shop.migration("shop.0001_squashed", *both, initial=True)


def test_what_was_squashed_is_pruned(shop):
    """As ever."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    squash_without_replaces(shop)

    shop.manage("migrate", "shop", "--prune")

    assert shop.applied("shop") == ["0001_squashed"]
    assert shop.columns("shop_product") == {"id", "name", "price"}


def test_nothing_is_pruned_beside_what_could_be_rolled_back(shop):
    """No record has gone when it is refused, though what was squashed comes first."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")
    squash_without_replaces(shop)

    result = shop.refused("migrate", "shop", "--prune", naming="shop.0003_stock")

    assert "Cannot prune shop.0003_stock:" in result.stderr
    shop.manage("rewind", "--noinput")
    shop.manage("migrate", "shop", "--prune")
    assert shop.applied("shop") == ["0001_squashed"]


def test_what_was_recreated_is_pruned(shop):
    """Another file stands for it."""
    shop.delete("shop/migrations/0001_initial.py")
    shop.migration("shop.0001_again", create("Product", name="CharField(max_length=50)"), initial=True)
    shop.manage("migrate", "--fake-initial")

    shop.manage("migrate", "shop", "--prune")

    assert shop.applied("shop") == ["0001_again"]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM django_migrations_code WHERE migration_name = '0002_price'",
        "UPDATE django_migrations_code SET module = 'other' WHERE migration_name = '0002_price'",
    ],
)
def test_what_cannot_be_rolled_back_is_pruned(left, sql):
    """There is nothing to be kept for."""
    left.execute(sql)

    left.manage("migrate", "shop", "--prune")

    assert left.applied("shop") == ["0001_initial"]


def test_what_is_missing_of_another_app_is_not_asked_about(left):
    """The one that is pruned decides."""
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))
    left.manage("migrate")

    left.manage("migrate", "cart", "--prune")

    assert left.applied("shop") == ["0001_initial", "0002_price"]


def test_with_django_rewind_switched_off_it_is_djangos(left):
    """Then nothing of it looks at what Django does."""
    left.configure(DJANGO_REWIND_ENABLED=False)

    left.manage("migrate", "shop", "--prune")

    assert left.applied("shop") == ["0001_initial"]
