"""What a rewind would lose, counted in the tables as they are now."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rewind.actions.rewind import Rewind
from django_rewind.engine import preflight
from django_rewind.engine.plan import Lost
from tests.support import helpers
from tests.support.fixtures import migrate

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

PRODUCT = ("shop", "0001_initial")
PRICE = ("shop", "0002_price")


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


def lost(target):
    rewind = Rewind(connection)
    return rewind.losses(rewind.plan_to("shop", target))


@pytest.fixture
def shop(app):
    """A product with a price, whose files are gone."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration(
        "0002_price",
        helpers.add("Product", "price", "IntegerField(null=True, default=3)"),
        after="0001_initial",
    )
    migrate("shop")
    app.delete("0002_price")
    return app


def test_under_the_name_of_now(app):
    """A table that another undone step renamed holds its rows under the new name."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_rename", helpers.rename_model("Product", "Article"), after="0001_initial")
    migrate("shop")
    execute("INSERT INTO shop_article (id) VALUES (1)")
    app.delete("0001_initial", "0002_rename")

    assert lost("zero") == [Lost(PRODUCT, "shop_article", None, 1)]


def test_of_a_column_renamed_since(app):
    """A column that was renamed after it was added is looked for under its new name."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration(
        "0002_price", helpers.add("Product", "price", "IntegerField(null=True)"), after="0001_initial"
    )
    app.migration("0003_cost", helpers.rename_field("Product", "price", "cost"), after="0002_price")
    migrate("shop")
    app.delete("0002_price", "0003_cost")

    assert lost("0001") == []
    execute("INSERT INTO shop_product (cost) VALUES (7)")
    assert lost("0001") == [Lost(PRICE, "shop_product", "cost", 1)]


def test_null_is_no_data_and_a_default_is(shop):
    """Rows with the default of a column count, rows with NULL in it do not."""
    execute("INSERT INTO shop_product (price) VALUES (NULL), (3), (3)")

    assert lost("0001") == [Lost(PRICE, "shop_product", "price", 2)]


def test_a_table_takes_its_columns_along(shop):
    """What is in a column of a dropped table is not counted a second time."""
    execute("INSERT INTO shop_product (price) VALUES (NULL), (3)")

    assert lost("zero") == [Lost(PRODUCT, "shop_product", None, 2)]


def test_of_a_many_to_many(app):
    """A table of pairs is a table."""
    app.migration("0001_initial", helpers.create("Product"))
    field = helpers.add("Product", "related", "ManyToManyField(to='shop.product')")
    app.migration("0002_related", field, after="0001_initial")
    migrate("shop")
    app.delete("0002_related")
    execute("INSERT INTO shop_product (id) VALUES (1), (2)")
    execute("INSERT INTO shop_product_related (from_product_id, to_product_id) VALUES (1, 2)")

    assert lost("0001") == [Lost(("shop", "0002_related"), "shop_product_related", None, 1)]


@pytest.mark.parametrize("rows, more", [(3, False), (4, True), (6, True)])
def test_counting_stops_at_a_bound(shop, monkeypatch, rows, more):
    """More than that is not looked at."""
    monkeypatch.setattr(preflight, "BOUND", 3)
    execute(f"INSERT INTO shop_product (price) VALUES {', '.join(['(1)'] * rows)}")

    with CaptureQueriesContext(
        connection,
    ) as queries:
        (found,) = lost("0001")

    assert (found.rows, found.truncated) == (3, more)
    assert any("LIMIT 4" in query["sql"] for query in queries)


def test_tables_and_columns_that_are_gone(shop):
    """What somebody has dropped by hand is lost already."""
    execute("ALTER TABLE shop_product DROP COLUMN price")

    assert lost("0001") == []

    execute("DROP TABLE shop_product")

    assert lost("zero") == []


@pytest.mark.parametrize(
    "one, words",
    [
        (
            Lost(PRICE, "shop_product", "price", 1),
            "the column 'price' of 'shop_product' (1 row; shop.0002_price)",
        ),
        (Lost(PRODUCT, "t", None, 2), "the table 't' (2 rows; shop.0001_initial)"),
        (
            Lost(PRODUCT, "t", None, 10_000, truncated=True),
            "the table 't' (more than 10,000 rows; shop.0001_initial)",
        ),
    ],
)
def test_in_words(one, words):
    """As it is said before anything is done."""
    assert str(one) == words


@pytest.mark.parametrize(
    "field, table", [("relatedItems", "shop_product_relatedItems"), ("items_of_" * 8, None)]
)
def test_of_a_table_between_two_models(app, field, table):
    """It is named as the field was written, and cut where the database has no room for it."""
    app.migration("0001_initial", helpers.create("Product"), helpers.create("Item"))
    app.migration(
        "0002_items", helpers.add("Product", field, "ManyToManyField('shop.Item')"), after="0001_initial"
    )
    migrate("shop")
    between = next(name for name in connection.introspection.table_names() if "shop_product_" in name)
    execute("INSERT INTO shop_product (id) VALUES (1)")
    execute("INSERT INTO shop_item (id) VALUES (1)")
    execute(f"INSERT INTO {connection.ops.quote_name(between)} (product_id, item_id) VALUES (1, 1)")
    app.delete("0002_items")

    assert lost("0001") == [Lost(("shop", "0002_items"), table or between, None, 1)]


def test_of_a_column_in_capital_letters(app):
    """A default column is named as the field is."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration(
        "0002_price",
        helpers.add("Product", "price", "IntegerField(null=True)"),
        helpers.rename_field("Product", "price", "unitPrice"),
        after="0001_initial",
    )
    migrate("shop")
    execute(f"INSERT INTO shop_product ({connection.ops.quote_name('unitPrice')}) VALUES (7)")
    app.delete("0002_price")

    assert lost("0001") == [Lost(PRICE, "shop_product", "unitPrice", 1)]
