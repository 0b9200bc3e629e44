"""A column that no state knows is not dropped by SQLite when a change of its table rebuilds that."""

from __future__ import annotations

import django
import pytest
from django.db import connection

from tests.support.helpers import add, alter, python

pytestmark = pytest.mark.deep

ADD = "ALTER TABLE shop_product ADD COLUMN legacy varchar(9) NULL"
DROP = "ALTER TABLE shop_product DROP COLUMN legacy"
SQL = f"migrations.RunSQL({ADD!r}, {DROP!r})"
LONGER = alter("product", "name", "CharField(max_length=200)")
# SQLite makes this in place, and the table anew without it.
INDEXED = add("product", "code", "IntegerField(null=True, db_index=True)")
REWIND = ("rewind", "--noinput", "--allow-data-loss")
rebuilds = connection.vendor == "sqlite"
added_in_place = pytest.mark.skipif(
    rebuilds and django.VERSION < (4, 0), reason="Django 3.2 itself rebuilds the table for a new column"
)


@pytest.fixture
def legacy(shop):
    """A table with a column that was made by SQL alone, and one row."""
    shop.migration("shop.0002_legacy", SQL, after="0001_initial")
    shop.commit("Legacy")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, legacy) VALUES ('Tea', 'T-1')")
    return shop


def on_feature(shop, *operations, **options):
    with shop.on_branch("feature"):
        shop.migration("shop.0003_feature", *operations, after="0002_legacy", **options)
        shop.manage("migrate")


def goes_back_or_is_refused(shop, *command):
    """The value is still there, or it is said by name why nothing was done."""
    if rebuilds:
        shop.refused(*command, naming=("shop.0003_feature", "'legacy'"))
    else:
        shop.manage(*command)
    assert shop.rows("SELECT legacy FROM shop_product") == [("T-1",)]


@added_in_place
@pytest.mark.parametrize("command", [REWIND, ("migrate", "shop", "0002")])
def test_a_table_that_would_be_rebuilt(legacy, command):
    """Every migration is usable, and none has the column in its state."""
    on_feature(legacy, INDEXED)

    goes_back_or_is_refused(legacy, *command)


@added_in_place
def test_on_the_way_forward(legacy):
    """What is applied from a file rebuilds it as well."""
    with legacy.on_branch("feature"):
        legacy.migration(
            "shop.0003_price", add("product", "price", "IntegerField(null=True)"), after="0002_legacy"
        )
        legacy.manage("migrate")
    alteration = add("product", "code", "IntegerField(null=True, unique=True)")
    legacy.migration("shop.0003_feature", alteration, after="0002_legacy")

    goes_back_or_is_refused(legacy, "migrate")


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(add("product", "note", "TextField(null=True)"), marks=added_in_place),
        alter("product", "name", "CharField(max_length=50, help_text='What it is called')"),
        "migrations.AddIndex('product', models.Index(fields=['name'], name='by_name'))",
        add("product", "related", "ManyToManyField('shop.product')"),
    ],
)
def test_a_table_that_is_not_rebuilt(legacy, operation):
    """There is nothing to refuse."""
    on_feature(legacy, operation)

    legacy.manage(*REWIND)

    assert legacy.rows("SELECT legacy FROM shop_product") == [("T-1",)]


def test_a_column_that_goes_first(shop):
    """The same migration has made it last, and drops it first."""
    shop.migration("shop.0002_legacy", after="0001_initial")
    on_feature(shop, LONGER, SQL)
    shop.execute("INSERT INTO shop_product (name, legacy) VALUES ('Tea', 'T-1')")

    shop.manage(*REWIND)

    assert shop.columns("shop_product") == {"id", "name"}


def test_a_column_that_a_function_drops_first(shop):
    """It is named in its code."""
    shop.migration("shop.0002_legacy", after="0001_initial")
    header = f"""
    def forwards(apps, schema_editor):
        schema_editor.execute({ADD!r})

    def backwards(apps, schema_editor):
        schema_editor.execute({DROP!r})
    """
    on_feature(shop, LONGER, python("forwards", "backwards"), header=header, atomic=False)

    shop.manage(*REWIND)

    assert shop.columns("shop_product") == {"id", "name"}


@added_in_place
def test_a_column_that_would_go_too_late(shop):
    """The table is rebuilt before the column would be dropped."""
    shop.migration("shop.0002_legacy", after="0001_initial")
    on_feature(shop, SQL, INDEXED)
    shop.execute("INSERT INTO shop_product (name, legacy) VALUES ('Tea', 'T-1')")

    if rebuilds:
        shop.refused(*REWIND, naming=("shop.0003_feature", "'legacy'"))
    else:
        shop.manage(*REWIND)


@pytest.mark.skipif(not rebuilds, reason="Only SQLite rebuilds tables.")
@pytest.mark.parametrize(
    "column", ["twice integer GENERATED ALWAYS AS (id * 2) VIRTUAL", "twice integer AS (id * 2)"]
)
def test_what_is_computed_is_no_data(shop, column):
    """It is lost without a loss."""
    shop.migration(
        "shop.0002_legacy",
        f"migrations.RunSQL('ALTER TABLE shop_product ADD COLUMN {column}', '')",
        after="0001_initial",
    )
    shop.commit("Twice")
    shop.manage("migrate")
    on_feature(shop, LONGER)

    shop.manage(*REWIND)


def test_names_in_capital_letters(shop):
    """A column is the same in whatever letters, and a state that knows it is enough."""
    shop.migration(
        "shop.0002_legacy",
        add("product", "unitPrice", "IntegerField(null=True, db_column='UnitPRICE')"),
        after="0001_initial",
    )
    shop.commit("Price")
    shop.manage("migrate")
    on_feature(shop, LONGER, "migrations.RenameModel('Product', 'Article')")
    shop.execute("INSERT INTO shop_article (name) VALUES ('Tea')")

    shop.manage(*REWIND)

    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
