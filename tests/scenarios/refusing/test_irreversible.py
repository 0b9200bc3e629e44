"""What cannot be undone is refused by name, before anything has changed."""

from __future__ import annotations

import re

import pytest

from tests.support.helpers import Project, add, alter, apart, create, python, remove

pytestmark = pytest.mark.deep

FIELDS = {name: add("product", name, "IntegerField(default=7)") for name in ("price", "stock", "cost")}
NAMES = ["0002_price", "0003_stock", "0004_cost"]
IRREVERSIBLE = {
    "python": python(),
    "sql": "migrations.RunSQL('SELECT 1')",
    "apart": apart(database=python()),
    "deeper": apart(database=apart(database="migrations.RunSQL('SELECT 1')")),
}


def apply_chain(shop: Project, **extra: str) -> None:
    """Apply three migrations on feature, `extra` adding an operation by number."""
    with shop.on_branch("feature"):
        below = "0001_initial"
        for name in NAMES:
            operations = [FIELDS[name[5:]], *filter(None, [extra.get(f"n{name[:4]}")])]
            shop.migration(f"shop.{name}", *operations, after=below)
            below = name
        shop.manage("migrate")


@pytest.mark.parametrize("name", NAMES)
def test_irreversible_first_middle_last(shop, name):
    """Wherever in the chain it stands, the irreversible one is named and nothing changes."""
    apply_chain(shop, **{f"n{name[:4]}": python()})

    shop.refused("migrate", "shop", "0001", naming=f"shop.{name}")
    shop.refused("migrate", "shop", "zero", naming=f"shop.{name}")
    shop.refused("rewind", "--noinput", naming=f"shop.{name}")


@pytest.mark.parametrize("kind", IRREVERSIBLE)
def test_kinds_of_irreversible_operations(shop, kind):
    """An irreversible operation is found in whatever it is wrapped."""
    apply_chain(shop, n0003=IRREVERSIBLE[kind])

    shop.refused("migrate", "shop", "0001", naming="shop.0003_stock")


def test_above_the_irreversible_one(shop):
    """What lies above an irreversible migration can be undone."""
    apply_chain(shop, n0002=python())

    shop.manage("migrate", "shop", "0002")

    assert shop.columns("shop_product") == {"id", "name", "price"}


def test_irreversible_file_among_missing_ones(shop):
    """A file that is irreversible stops the run as early as a missing one does."""
    shop.migration("shop.0002_price", FIELDS["price"], python(), after="0001_initial")
    shop.commit("Irreversible")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_stock", FIELDS["stock"], after="0002_price")
        shop.manage("migrate")

    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")


@pytest.mark.parametrize("command", [["rewind", "--noinput"], ["migrate", "shop", "0001"]])
def test_advice_for_an_irreversible_one(shop, command):
    """Followed to the letter, it undoes what is above, and forgets nothing but what was undone by hand."""
    before = shop.schema()
    apply_chain(shop, n0003=python())

    result = shop.refused(*command, naming="manage.py migrate shop 0003_")

    first, second = re.findall(r"'manage\.py ([^']*)'", result.stderr)
    shop.manage(*first.split())
    assert shop.applied("shop")[-1] == "0003_stock"
    shop.execute("ALTER TABLE shop_product DROP COLUMN stock")
    shown = shop.manage(*second.split(), answer="yes").stdout
    assert shop.applied("shop")[-1] == "0002_price"
    assert "0003_" in shown
    assert "0004_" not in shown
    shop.manage("migrate", "shop", "0001")
    assert shop.schema() == before


def test_irreversible_may_be_faked(shop):
    """`--fake` runs no operation, so none needs to be reversible."""
    apply_chain(shop, n0003=python())
    before = shop.schema()

    shop.manage("migrate", "shop", "0001", "--fake")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


@pytest.fixture
def column_removed(shop):
    """Feature has removed a column that holds no NULL and has no default."""
    shop.migration(
        "shop.0002_stock", add("product", "stock", "IntegerField(default=1)"), after="0001_initial"
    )
    shop.migration("shop.0003_stock", alter("product", "stock", "IntegerField()"), after="0002_stock")
    shop.commit("Stock")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0004_no_stock", FIELDS["price"], remove("product", "stock"), after="0003_stock")
        shop.manage("migrate")
    return shop


def test_not_null_column_into_a_filled_table(column_removed):
    """A column that needs a value which nobody knows is not put back into a filled table."""
    column_removed.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 1)")

    if column_removed.db().vendor == "mysql":
        # It knows one: it fills new columns in.
        column_removed.manage("migrate", "shop", "0003")
        assert column_removed.rows("SELECT name, stock FROM shop_product") == [("Tea", 0)]
        return
    column_removed.refused("migrate", "shop", "0003", naming="shop.0004_no_stock")
    column_removed.refused("rewind", "--noinput", "--allow-data-loss", naming="shop.0004_no_stock")


def test_not_null_column_into_an_empty_table(column_removed):
    """In an empty table there is nothing to ask for."""
    column_removed.manage("migrate", "shop", "0003")

    assert column_removed.columns("shop_product") == {"id", "name", "stock"}


@pytest.mark.parametrize("field", ["IntegerField(null=True)", "IntegerField(default=4)"])
def test_column_with_a_way_back_into_a_filled_table(shop, field):
    """A column with a default, or that takes NULL, is put back."""
    shop.migration("shop.0002_stock", add("product", "stock", field), after="0001_initial")
    shop.commit("Stock")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_no_stock", remove("product", "stock"), after="0002_stock")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")

    shop.manage("migrate", "shop", "0002")

    assert shop.columns("shop_product") == {"id", "name", "stock"}


def test_null_that_has_to_become_not_null(shop):
    """A column made nullable cannot be made NOT NULL again over rows that hold NULL."""
    shop.migration(
        "shop.0002_stock", add("product", "stock", "IntegerField(default=1)"), after="0001_initial"
    )
    shop.migration("shop.0003_stock", alter("product", "stock", "IntegerField()"), after="0002_stock")
    shop.commit("Stock")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0004_null", alter("product", "stock", "IntegerField(null=True)"), after="0003_stock"
        )
        shop.migration("shop.0005_price", FIELDS["price"], after="0004_null")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, stock, price) VALUES ('Tea', NULL, 1)")

    shop.refused("migrate", "shop", "0003", naming="shop.0004_null")


def test_failure_in_the_middle(shop):
    """When a reverse function fails, records and schema agree, and a second try goes on."""
    before = shop.schema()
    stop = python("migrations.RunPython.noop", "stop")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", FIELDS["price"], after="0001_initial")
        shop.migration(
            "shop.0003_stock",
            FIELDS["stock"],
            stop,
            after="0002_price",
            header="""
            def stop(apps, schema_editor):
                if apps.get_model("shop", "Product").objects.exists():
                    raise ValueError("The shelf is not empty")
            """,
        )
        shop.migration("shop.0004_cart", create("Cart"), after="0003_stock")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price, stock) VALUES ('Tea', 1, 2)")

    result = shop.attempt("migrate", "shop", "0001")

    assert result.returncode != 0
    assert "The shelf is not empty" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert "shop_cart" not in shop.tables()
    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}
    shop.execute("DELETE FROM shop_product")
    shop.manage("migrate", "shop", "0001")
    assert shop.schema() == before


def test_traceback_shows_the_stored_source(shop):
    """A failing reverse function shows its line, though the file is gone."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_names",
            python("migrations.RunPython.noop", "stop"),
            after="0001_initial",
            header="def stop(apps, schema_editor):\n    raise ValueError(1 + 1)  # here it stops\n",
        )
        shop.manage("migrate")

    result = shop.run(
        """
        import traceback
        from django.core.management import call_command
        try:
            call_command("migrate", "shop", "0001")
        except ValueError:
            traceback.print_exc()
        """
    )

    assert "# here it stops" in result.stderr
