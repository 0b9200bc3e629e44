"""The ids of `django_migrations` are nobody's word: where they contradict what depends on what, that counts."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, create, remove, rename_field, rename_model

pytestmark = [pytest.mark.deep, pytest.mark.once]


def move(shop: Project, **ids: int) -> None:
    """Give records of the shop other ids."""
    for name, record_id in ids.items():
        shop.execute(
            "UPDATE django_migrations SET id = %s WHERE app = 'shop' AND name LIKE %s",
            record_id,
            f"{name.lstrip('_')}%",
        )


@pytest.fixture
def filled(shop: Project) -> Project:
    """0002 adds a column that holds something, 0003 cuts what it holds when it is reversed."""
    shop.migration(
        "shop.0002_price",
        add("product", "price", "CharField(max_length=3, default='')"),
        after="0001_initial",
    )
    shop.migration(
        "shop.0003_text",
        alter("product", "price", "CharField(max_length=90, default='')"),
        after="0002_price",
    )
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 'a price in words')")
    return shop


SWAPS = {
    "create and alter": {"_0001": 9001, "_0002": 9000},
    "all the other way round": {"_0001": 9003, "_0002": 9002, "_0003": 9001},
    "negative": {"_0003": -5},
    "negative first": {"_0001": -1, "_0002": -2, "_0003": -3},
    "huge": {"_0001": 2**31 - 1},
}


@pytest.mark.parametrize("ids", [*SWAPS.values()], ids=[*SWAPS])
def test_what_is_lost_is_asked_about(filled: Project, ids: dict[str, int]) -> None:
    """Whatever the ids are: an unapplied AlterField may cut what the column holds."""
    move(filled, **ids)

    filled.refused("rewind", "shop", "0002", "--noinput", naming="price")
    shown = filled.attempt("rewind", "shop", "0002", "--plan").output
    assert "May change values in column 'price' of 'shop_product': 1 row" in shown, shown


@pytest.mark.parametrize("ids", [*SWAPS.values()], ids=[*SWAPS])
def test_a_renamed_column_is_found(filled: Project, ids: dict[str, int]) -> None:
    """What is dropped is counted under its name of now."""
    filled.migration("shop.0004_cost", rename_field("product", "price", "cost"), after="0003_text")
    filled.migration("shop.0005_item", rename_model("Product", "Item"), after="0004_cost")
    filled.manage("migrate")
    move(filled, **ids, _0004=-8, _0005=-9)

    shown = filled.attempt("rewind", "shop", "0001", "--plan").output

    assert "the column 'cost' of 'shop_item': 1 row" in shown, shown
    filled.refused("rewind", "shop", "0001", "--noinput", naming="shop_item")
    # PostgreSQL, MySQL and MariaDB refuse to cut it.
    filled.execute("UPDATE shop_item SET cost = 'Tea'")
    filled.manage("rewind", "shop", "0001", "--noinput", "--allow-data-loss")
    assert filled.columns("shop_product") == {"id", "name"}


def test_a_missing_one_between(shop: Project) -> None:
    """Stored code has the place that its signed description gives it."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_cart", create("Cart", total="IntegerField(default=1)"), after="0001_initial"
        )
        shop.migration("shop.0003_sum", rename_field("cart", "total", "sum"), after="0002_cart")
        shop.migration("shop.0004_basket", rename_model("Cart", "Basket"), after="0003_sum")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_basket (sum) VALUES (7)")
    # The record that a source is bound to cannot be moved; all others can.
    move(shop, _0001=9000)

    shown = shop.attempt("rewind", "--plan").output

    assert "the table 'shop_basket': 1 row" in shown, shown
    shop.refused("rewind", "--noinput", naming="shop_basket")
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert "shop_basket" not in shop.tables()


@pytest.mark.parametrize("lowered", [-5, 0], ids=str)
def test_a_lowered_record_does_not_hide(shop: Project, lowered: int) -> None:
    """Going back below what is missing is refused as long as that cannot be undone, wherever its record was put."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_price", add("product", "price", "IntegerField(default=7)"), after="0001_initial"
        )
        shop.manage("migrate")
    if lowered == 0 and shop.db().vendor == "mysql":
        lowered = -1
    move(shop, _0002=lowered)

    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    shop.refused("migrate", "shop", "zero", naming="shop.0002_price")
    shop.refused("rewind", "shop", "zero", "--noinput", "--allow-data-loss", naming="shop.0002_price")


def test_a_raised_target_does_not_hide(shop: Project) -> None:
    """Nor does the record of the target that was put above it."""
    shop.migration("shop.0002_size", add("product", "size", "IntegerField(null=True)"), after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0003_price", add("product", "price", "IntegerField(default=7)"), after="0002_size"
        )
        shop.manage("migrate")
    shop.execute("UPDATE django_migrations_code SET signature = '0' WHERE migration_name = '0003_price'")
    move(shop, _0001=9000)

    shop.refused("migrate", "shop", "0001", naming="shop.0003_price")


def test_a_raised_target_with_nothing_above_it_does_not_hide(left: Project) -> None:
    """What it is signed for says how old it is at least."""
    left.execute("UPDATE django_migrations_code SET signature = '0' WHERE migration_name = '0002_price'")
    move(left, _0001=9000)

    left.refused("migrate", "shop", "0001", naming="shop.0002_price")


@pytest.mark.parametrize("ids", [*SWAPS.values()], ids=[*SWAPS])
def test_forwards_goes_on(filled: Project, ids: dict[str, int]) -> None:
    """A run that applies something is not kept from it."""
    move(filled, **ids)
    filled.migration("shop.0004_less", remove("product", "name"), after="0003_text")

    filled.manage("migrate")

    assert filled.columns("shop_product") == {"id", "price"}


def test_a_record_of_what_never_ran(filled: Project) -> None:
    """What is dropped is still counted, though a record claims that it has another name."""
    filled.migration("shop.0004_cost", rename_field("product", "price", "cost"), after="0003_text")
    filled.execute(
        "INSERT INTO django_migrations (id, app, name, applied) VALUES (9000, 'shop', '0004_cost', '2026-01-01 00:00:00')"
    )
    done = filled.attempt("rewind", "shop", "0001", "--noinput")

    assert done.returncode == 1
    assert "Traceback" not in done.output
    assert filled.rows("SELECT price FROM shop_product") == [("a price in words",)]


def test_a_record_deleted_in_the_middle(filled: Project) -> None:
    """What is left is counted as far as it is known, and nothing is dropped unasked."""
    filled.execute("DELETE FROM django_migrations WHERE app = 'shop' AND name = '0002_price'")

    for command in (("rewind", "shop", "zero", "--noinput"), ("rewind", "--noinput")):
        assert "Traceback" not in filled.attempt(*command).output
        assert filled.rows("SELECT price FROM shop_product") == [("a price in words",)]
