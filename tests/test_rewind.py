"""What a rewind costs, asked before it is run."""

from __future__ import annotations

import pytest
from django.db import connection

from django_rewind.rewind import Rewind
from tests import helpers
from tests.fixtures import migrate


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_losses_are_those_of_the_tables_as_they_are_called_now(app):
    """A table that another undone step renamed holds its rows under the new name."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_rename", helpers.rename_model("Product", "Article"), after="0001_initial")
    migrate("shop")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_article (id) VALUES (1)")
    app.delete("0001_initial", "0002_rename")
    rewind = Rewind(connection)
    plan = rewind.plan_to("shop", "zero")
    assert rewind.losses(plan) == [(("shop", "0001_initial"), ("shop_article", None))]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_losses_of_a_column_renamed_since(app):
    """A column that was renamed after it was added is looked for under its new name."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration(
        "0002_price", helpers.add("Product", "price", "IntegerField(null=True)"), after="0001_initial"
    )
    app.migration("0003_cost", helpers.rename_field("Product", "price", "cost"), after="0002_price")
    migrate("shop")
    app.delete("0002_price", "0003_cost")
    rewind = Rewind(connection)
    plan = rewind.plan_to("shop", "0001")
    assert rewind.losses(plan) == []
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_product (cost) VALUES (7)")
    assert rewind.losses(plan) == [(("shop", "0002_price"), ("shop_product", "cost"))]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize(
    "field, table",
    [("relatedItems", "shop_product_relatedItems"), ("items_of_" * 8, None)],
)
def test_losses_of_a_table_between_two_models(app, field, table):
    """It is named as the field was written, and cut where the database has no room for it."""
    app.migration("0001_initial", helpers.create("Product"), helpers.create("Item"))
    app.migration(
        "0002_items", helpers.add("Product", field, "ManyToManyField('shop.Item')"), after="0001_initial"
    )
    migrate("shop")
    between = next(name for name in connection.introspection.table_names() if "shop_product_" in name)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_product (id) VALUES (1)")
        cursor.execute("INSERT INTO shop_item (id) VALUES (1)")
        quoted = connection.ops.quote_name(between)
        cursor.execute(f"INSERT INTO {quoted} (product_id, item_id) VALUES (1, 1)")
    app.delete("0002_items")
    rewind = Rewind(connection)
    lost = rewind.losses(rewind.plan_to("shop", "0001"))
    assert lost == [(("shop", "0002_items"), (table or between, None))]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_losses_of_a_column_in_capital_letters(app):
    """A default column is named as the field is."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration(
        "0002_price",
        helpers.add("Product", "price", "IntegerField(null=True)"),
        helpers.rename_field("Product", "price", "unitPrice"),
        after="0001_initial",
    )
    migrate("shop")
    quoted = connection.ops.quote_name("unitPrice")
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO shop_product ({quoted}) VALUES (7)")
    app.delete("0002_price")
    rewind = Rewind(connection)
    lost = rewind.losses(rewind.plan_to("shop", "0001"))
    assert lost == [(("shop", "0002_price"), ("shop_product", "unitPrice"))]
