"""What rows have to meet again when steps are unapplied."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations import AlterField, RemoveField
from django.db.migrations.state import ProjectState

from django_rewind.schema.demands import NOT_NULL, REFERS, UNIQUE, lifted
from tests.support.fixtures import create, in_memory

NUMBER, NULLABLE = models.IntegerField(), models.IntegerField(null=True)
ITEM = models.ForeignKey("shop.Item", models.CASCADE)
ITEM_OR_NONE = models.ForeignKey("shop.Item", models.CASCADE, null=True)


def in_database(*operations: object) -> migrations.SeparateDatabaseAndState:
    return migrations.SeparateDatabaseAndState(database_operations=list(operations))


def all_again(field: models.Field, *operations: object, **options: object):
    """Return what comes back of a model with this field, when these are unapplied."""
    state = ProjectState()
    create("Item").state_forwards("shop", state)
    create("Product", ("size", field), **options).state_forwards("shop", state)
    return lifted(state, [in_memory("shop.0002", *operations)])


def again(field: models.Field, *operations: object, **options: object):
    """Return what comes back as NOT NULL."""
    return [demand for demand in all_again(field, *operations, **options) if demand.kind == NOT_NULL]


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
    (demand,) = again(field, *operations)
    assert (demand.step, (demand.table, demand.columns[0].now)) == (("shop", "0002"), expected)


@pytest.mark.parametrize(
    "field, operations",
    [
        (NULLABLE, [RemoveField("Product", "size")]),
        (NULLABLE, [AlterField("Product", "size", NUMBER)]),
        (NUMBER, [AlterField("Product", "size", models.BigIntegerField())]),
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


def test_a_column_that_comes_back_first():
    """It was made nullable and then removed: reversed, it comes back with NULL, and then becomes NOT NULL."""
    (demand,) = again(NUMBER, AlterField("Product", "size", NULLABLE), RemoveField("Product", "size"))
    assert (demand.columns[0].now, demand.columns[0].returns.null) == (None, True)


def kinds(field: models.Field, *operations: object, **options: object) -> set[str]:
    return {demand.kind for demand in all_again(field, *operations, **options)}


LOOSE = models.ForeignKey("shop.Item", models.CASCADE, db_constraint=False)


@pytest.mark.parametrize(
    "field, operation, kind",
    [
        (models.IntegerField(unique=True), AlterField("Product", "size", NUMBER), UNIQUE),
        (models.OneToOneField("shop.Item", models.CASCADE), AlterField("Product", "size", ITEM), UNIQUE),
        (ITEM, AlterField("Product", "size", LOOSE), REFERS),
        (ITEM, AlterField("Product", "size", models.IntegerField(db_column="size_id")), REFERS),
    ],
)
def test_what_an_altered_field_demanded(field, operation, kind):
    """Unique values, and values that are keys."""
    assert kind in kinds(field, operation)
    assert kind not in kinds(field, AlterField("Product", "size", field.clone()))


def test_what_code_may_mend():
    """Rows of a model that is named in what is reversed before."""
    alter = AlterField("Product", "size", NULLABLE)

    def mend(apps, schema_editor):
        apps.get_model("shop", "Product").objects.update(size=0)

    def other(apps, schema_editor):
        apps.get_model("shop", "Item").objects.update(size=0)

    def after(reverse):
        return bool(again(NUMBER, alter, migrations.RunPython(mend, reverse)))

    assert not after(mend)
    assert after(other)
    assert after(migrations.RunPython.noop)
    assert not after(print)
    assert again(NUMBER, migrations.RunPython(mend, mend), alter)
    assert not again(NUMBER, alter, migrations.RunSQL("", "UPDATE shop_product SET size = 0"))
    assert again(NUMBER, alter, migrations.RunSQL("", "UPDATE shop_item SET size = 0"))
