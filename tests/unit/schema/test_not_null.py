"""Which columns are NOT NULL again when steps are unapplied, and which of them Django can fill."""

from __future__ import annotations

import django
import pytest
from django.db import connection, migrations, models
from django.db.migrations import AlterField, RemoveField
from django.db.migrations.state import ProjectState

from django_rewind.schema.not_null import not_null_again
from tests.support.fixtures import create, in_memory

NUMBER, NULLABLE = models.IntegerField(), models.IntegerField(null=True)
ITEM = models.ForeignKey("shop.Item", models.CASCADE)
ITEM_OR_NONE = models.ForeignKey("shop.Item", models.CASCADE, null=True)


def in_database(*operations: object) -> migrations.SeparateDatabaseAndState:
    return migrations.SeparateDatabaseAndState(database_operations=list(operations))


def again(field: models.Field, *operations: object, **options: object):
    """Return what comes back as NOT NULL of a model with this field, when these are unapplied."""
    state = ProjectState()
    create("Item").state_forwards("shop", state)
    create("Product", ("size", field), **options).state_forwards("shop", state)
    return not_null_again(state, [in_memory("shop.0002", *operations)])


@pytest.mark.parametrize(
    "field, operations, expected",
    [
        (NUMBER, [RemoveField("Product", "size")], ("shop_product", None)),
        (NUMBER, [in_database(RemoveField("Product", "size"))], ("shop_product", None)),
        (NUMBER, [AlterField("Product", "size", NULLABLE)], ("shop_product", "size")),
        (ITEM, [AlterField("Product", "size", ITEM_OR_NONE)], ("shop_product", "size_id")),
        (
            NUMBER,
            [
                AlterField("Product", "size", NULLABLE),
                migrations.RenameField("Product", "size", "newSize"),
                migrations.RenameModel("Product", "Thing"),
            ],
            ("shop_thing", "newSize"),
        ),
        (
            NUMBER,
            [RemoveField("Product", "size"), migrations.AlterModelTable("Product", "goods")],
            ("goods", None),
        ),
    ],
)
def test_under_the_names_of_now(field, operations, expected):
    """A column that is there has a name, and one that is not there comes back into the table."""
    (column,) = again(field, *operations)
    assert (column.step, (column.table, column.column)) == (("shop", "0002"), expected)


@pytest.mark.parametrize(
    "field, operations",
    [
        (NULLABLE, [RemoveField("Product", "size")]),
        (NULLABLE, [AlterField("Product", "size", NUMBER)]),
        (NUMBER, [AlterField("Product", "size", models.BigIntegerField())]),
        (NUMBER, [AlterField("Product", "size", NULLABLE), RemoveField("Product", "size")]),
        (NUMBER, [RemoveField("Product", "size"), migrations.DeleteModel("Product")]),
        (models.ManyToManyField("shop.Item"), [RemoveField("Product", "size")]),
        (NUMBER, [migrations.AlterOrderWithRespectTo("Product", "size")]),
        (NUMBER, [migrations.SeparateDatabaseAndState([], [RemoveField("Product", "size")])]),
    ],
)
def test_nothing_comes_back(field, operations):
    """It takes NULL, was NOT NULL all along, or is not there to be asked for a value."""
    assert again(field, *operations) == []


def test_no_table_of_ours():
    """Django changes nothing of a model that it does not manage."""
    assert again(NUMBER, RemoveField("Product", "size"), managed=False) == []


TEXT = {"max_length": 9}
FILLED = [
    # Removed, then altered on a database that rebuilds tables, then on another one.
    (NUMBER, [True, True, True]),
    (models.IntegerField(default=1), [False, False, False]),
    (models.IntegerField(default=None), [True, True, True]),
    (models.CharField(blank=True, **TEXT), [False, False, True]),
    (models.DateTimeField(auto_now=True), [False, False, True]),
]
if django.VERSION >= (5, 0):
    FILLED.append((models.IntegerField(db_default=1), [False, False, False]))


@pytest.mark.parametrize("field, lacking", FILLED)
def test_what_django_fills_in(field, lacking):
    """AddField makes values up, AlterField takes written ones alone, and a rebuild is as AddField."""
    nullable = field.clone()
    nullable.null = True
    (removed,), (altered,) = (
        again(field, operation)
        for operation in (RemoveField("Product", "size"), AlterField("Product", "size", nullable))
    )
    assert lacking == [
        removed.lacks_value(connection, rebuilds_tables=False),
        altered.lacks_value(connection, rebuilds_tables=True),
        altered.lacks_value(connection, rebuilds_tables=False),
    ]


def test_automatic_keys_fill_themselves():
    """The database counts the rows that are there."""
    (key,) = again(models.IntegerField(), RemoveField("Product", "id"))
    assert not key.lacks_value(connection, rebuilds_tables=False)
