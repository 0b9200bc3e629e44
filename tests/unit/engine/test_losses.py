"""What a rewind would lose, counted in the tables as they are now."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rewind.actions.rewind import Rewind
from django_rewind.backends import Backend
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


def altered(app, then, now, *values, later=()):
    """Return what is lost when a field that holds values is what it was then."""
    app.migration("0001_initial", helpers.create("Product", note=then))
    app.migration("0002_note", helpers.alter("Product", "note", now), *later, after="0001_initial")
    migrate("shop")
    with connection.cursor() as cursor:
        for value in values:
            cursor.execute("INSERT INTO shop_product (note) VALUES (%s)", [value])
    app.delete("0002_note")
    return lost("0001")


CHANGED = Lost(("shop", "0002_note"), "shop_product", "note", 1, is_change=True)


@pytest.mark.parametrize(
    "then, now, values",
    [
        ("CharField(max_length=10)", "CharField(max_length=50)", ["Tea", None]),
        ("CharField(max_length=10, null=True)", "TextField(null=True)", ["Tea"]),
        ("DecimalField(max_digits=8, decimal_places=2)", "DecimalField(max_digits=9, decimal_places=3)", [1]),
        ("IntegerField()", "DecimalField(max_digits=9, decimal_places=3)", [1]),
        ("IntegerField()", "FloatField()", [1]),
        ("FloatField()", "BigIntegerField()", [1]),
        ("DateField()", "DateTimeField()", ["2020-01-01 10:00"]),
        ("IntegerField(default=7)", "IntegerField(null=True)", [None, 1]),
        ("CharField(max_length=9, default='')", "CharField(max_length=9, null=True)", [None, "Tea"]),
    ],
)
def test_values_that_may_be_others_when_a_field_is_altered_back(app, then, now, values):
    """Those of every row that holds something, or NULL where that becomes a default."""
    null = "" if "null" in now else ", null=True"
    assert altered(app, then, now.replace(")", f"{null})").replace("(, ", "("), *values) == [CHANGED]


@pytest.mark.parametrize(
    "then, now, value",
    [
        (
            "CharField(max_length=10)",
            "CharField(max_length=10, verbose_name='Note', choices=[('a', 'A')])",
            "a",
        ),
        ("CharField(max_length=50)", "CharField(max_length=10, db_index=True)", "Tea"),
        ("TextField()", "CharField(max_length=10, unique=True)", "Tea"),
        ("SlugField()", "CharField(max_length=20, default='a')", "Tea"),
        ("DecimalField(max_digits=9, decimal_places=3)", "DecimalField(max_digits=8, decimal_places=2)", 1),
        ("BigIntegerField()", "SmallIntegerField()", 1),
        ("IntegerField()", "BigIntegerField()", 1),
        ("DateTimeField()", "DateField()", "2020-01-01"),
        ("IntegerField(null=True)", "IntegerField()", 1),
        ("IntegerField()", "IntegerField(null=True)", 1),
        ("CharField(max_length=10)", "CharField(max_length=50)", None),
    ],
)
def test_values_that_stay_when_a_field_is_altered_back(app, then, now, value):
    """What has its like in the column as it was, and what is said of a field to Django alone."""
    if value is None:
        then, now = (field.replace(")", ", null=True)") for field in (then, now))
    assert altered(app, then, now, value) == []


def test_of_a_foreign_key(app):
    """It holds what the key holds that it points to."""
    app.migration(
        "0001_initial",
        helpers.create("Item", code="CharField(max_length=9, unique=True)"),
        helpers.create("Product", item="IntegerField(null=True)", code="CharField(max_length=5, null=True)"),
    )
    app.migration(
        "0002_item",
        helpers.alter("Product", "item", "ForeignKey('Item', models.CASCADE, null=True, db_column='item')"),
        helpers.alter(
            "Product",
            "code",
            "ForeignKey('Item', models.CASCADE, null=True, to_field='code', db_column='code', related_name='+')",
        ),
        after="0001_initial",
    )
    migrate("shop")
    execute("INSERT INTO shop_item (id, code) VALUES (1, 'ABCDEFGHI')")
    execute("INSERT INTO shop_product (item, code) VALUES (1, 'ABCDEFGHI')")
    app.delete("0002_item")

    assert lost("0001") == [Lost(("shop", "0002_item"), "shop_product", "code", 1, is_change=True)]


def test_what_goes_altogether_is_not_changed_first(app):
    """A column that is dropped as well is counted once."""
    app.migration("0001_initial", helpers.create("Product"))
    field = helpers.add("Product", "note", "CharField(max_length=9, null=True)")
    app.migration("0002_note", field, after="0001_initial")
    app.migration("0003_longer", helpers.alter("Product", "note", "TextField(null=True)"), after="0002_note")
    migrate("shop")
    execute("INSERT INTO shop_product (note) VALUES ('Tea')")
    app.delete("0002_note", "0003_longer")

    assert lost("0001") == [Lost(("shop", "0002_note"), "shop_product", "note", 1)]
    assert lost("0002") == [Lost(("shop", "0003_longer"), "shop_product", "note", 1, is_change=True)]


@pytest.mark.parametrize("in_state", ["", helpers.alter("Product", "note", "TextField(null=True)")])
def test_what_is_done_to_the_database_alone(app, in_state):
    """SeparateDatabaseAndState alters columns as well."""
    alter = helpers.alter("Product", "note", "TextField(null=True)")
    later = (helpers.apart(database=alter, state=in_state),)
    assert altered(
        app, "CharField(max_length=9, null=True)", "CharField(max_length=9, null=True)", "Tea", later=later
    ) == [CHANGED]


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
        (
            Lost(PRODUCT, "t", "c", None, is_change=True),
            "column 'c' of 't' (rows that cannot be counted; shop.0001_initial)",
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


@pytest.mark.skipif(connection.vendor == "sqlite", reason="has one place for tables")
def test_of_a_table_in_another_schema_or_database(app):
    """Introspection does not list it, and its rows are counted all the same."""
    inside, table, drop = {
        "postgresql": ("SCHEMA", 'losses_away"."order', " CASCADE"),
        "mysql": ("DATABASE", "losses_away`.`order", ""),
    }[connection.vendor]
    execute(f"CREATE {inside} losses_away")
    try:
        operation = helpers.create("Order").replace(")])", f")], options={{'db_table': {table!r}}})")
        app.migration("0001_initial", helpers.create("Product"))
        app.migration("0002_order", operation, after="0001_initial")
        field = helpers.add("Order", "note", "CharField(max_length=9, null=True)")
        app.migration("0003_note", field, after="0002_order")
        migrate("shop")
        execute(f"INSERT INTO {connection.ops.quote_name(table)} (note) VALUES ('Tea'), (NULL)")
        app.delete("0002_order", "0003_note")

        assert lost("0001") == [Lost(("shop", "0002_order"), table, None, 2)]
        assert lost("0002") == [Lost(("shop", "0003_note"), table, "note", 1)]
    finally:
        execute(f"DROP {inside} losses_away{drop}")


def test_of_a_view(app, monkeypatch):
    """It may stand where a table was, and holds the rows of that; what is not told counts as data."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_cart", helpers.create("Cart"), after="0001_initial")
    migrate("shop")
    execute("ALTER TABLE shop_cart RENAME TO shop_basket")
    execute("CREATE VIEW shop_cart AS SELECT * FROM shop_basket")
    execute("INSERT INTO shop_basket (id) VALUES (1)")
    app.delete("0002_cart")
    try:
        assert lost("0001") == [Lost(("shop", "0002_cart"), "shop_cart", None, 1)]
        monkeypatch.setattr(Backend, "count", lambda *args, **options: None)
        assert lost("0001") == [Lost(("shop", "0002_cart"), "shop_cart", None, None)]
    finally:
        execute("DROP VIEW shop_cart")
