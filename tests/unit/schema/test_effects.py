"""What migrations do to models, tables and columns, as data."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.operations.models import IndexOperation, ModelOperation

from django_rewind.schema.effects import are_effects, effects_of, made_alone, operations_in
from tests.support.fixtures import add, create, in_memory

FOREIGN_KEY = models.ForeignKey("stock.Item", models.CASCADE)
MANY_TO_MANY = models.ManyToManyField("stock.Item")


def effects(*operations: object) -> list[dict[str, object]]:
    """Return the effects as they come back from the database."""
    return json.loads(json.dumps(effects_of(in_memory("shop.0001", *operations))))


def noop(apps, schema_editor):
    """Do nothing."""


# effects_of


@pytest.mark.parametrize(
    "operation, expected",
    [
        (migrations.DeleteModel("Product"), {"effect": "delete_model", "model": "product"}),
        (
            migrations.RenameModel("Product", "Article"),
            {"effect": "rename_model", "model": "product", "to": "article"},
        ),
        (
            migrations.AlterModelTable("Product", "goods"),
            {"effect": "alter_table", "model": "product", "table": "goods"},
        ),
        (
            migrations.RenameField("Product", "Name", "Title"),
            {"effect": "rename_field", "model": "product", "field": "name", "to": "title", "name": "Title"},
        ),
        (
            migrations.RemoveField("Product", "Name"),
            {"effect": "remove_field", "model": "product", "field": "name"},
        ),
        (
            migrations.AlterModelOptions("Product", {"ordering": ["id"]}),
            {"effect": "alter_model", "model": "product"},
        ),
        (
            migrations.AlterUniqueTogether("Product", {("name", "id")}),
            {"effect": "alter_model", "model": "product"},
        ),
        (
            migrations.AddIndex("Product", models.Index(fields=["id"], name="an_index")),
            {"effect": "alter_model", "model": "product"},
        ),
        (
            migrations.AddConstraint("Product", models.UniqueConstraint(fields=["id"], name="one")),
            {"effect": "alter_model", "model": "product"},
        ),
        (
            migrations.AlterOrderWithRespectTo("Product", "maker"),
            {"effect": "alter_order", "model": "product", "by": "maker"},
        ),
        (migrations.RunPython(noop), {"effect": "opaque"}),
        (migrations.RunSQL("SELECT 1"), {"effect": "opaque"}),
    ],
)
def test_each_operation_has_its_effect(operation, expected):
    """Models and fields are known in lower case, as Django's state has them."""
    assert effects(operation) == [{**expected, "database": True, "state": True}]


def test_a_created_model_lists_its_columns():
    """A relation has the column that Django gives it, and many-to-many a table of its own."""
    (effect,) = effects(
        create(
            "Product",
            ("Name", models.TextField()),
            ("code", models.TextField(db_column="sku")),
            ("item", FOREIGN_KEY),
            ("items", MANY_TO_MANY),
        )
    )
    assert effect["effect"] == "create_model"
    assert effect["model"] == "product"
    item = {"type": "ForeignKey", "to": ["stock.item", None]}
    assert effect["fields"]["name"] == {"column": "Name", "chosen": False, "holds": {"type": "TextField"}}
    assert effect["fields"]["code"] == {"column": "sku", "chosen": True, "holds": {"type": "TextField"}}
    assert effect["fields"]["item"] == {"column": "item_id", "chosen": False, "holds": item}
    between = {"column": None, "many_to_many": True, "table": None, "name": "items"}
    assert effect["fields"]["items"] == between


def test_a_field_refers_to_the_models_that_it_points_to():
    """In lower case, with an empty app label for a model of the same app."""
    own = add("Product", "parent", models.ForeignKey("Product", models.CASCADE, null=True))
    (to_other, to_own) = effects(add("Product", "item", FOREIGN_KEY), own)
    assert to_other["refers"] == [["stock", "item"]]
    assert to_own["refers"] == [["", "product"]]


def test_a_swappable_relation_refers_to_the_model_of_the_setting():
    """What `AUTH_USER_MODEL` names is what is referred to."""
    (effect,) = effects(
        add("Product", "owner", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True))
    )
    assert effect["refers"] == [["auth", "user"]]


def test_a_through_model_is_referred_to():
    """Without its model, the many-to-many field cannot be built either."""
    through = models.ManyToManyField("stock.Item", through="shop.Entry")
    (effect,) = effects(add("Product", "items", through))
    assert sorted(effect["refers"]) == [["shop", "entry"], ["stock", "item"]]
    assert effect["many_to_many"] is False


def test_a_base_from_another_app_is_referred_to():
    """Multi-table inheritance needs its parent."""
    child = migrations.CreateModel("Special", [], bases=("stock.Item",))
    assert effects(child)[0]["refers"] == [["stock", "item"]]


def test_separate_halves_are_told_apart():
    """What stands in `SeparateDatabaseAndState` works on the database or on the state, however deep."""
    inner = migrations.SeparateDatabaseAndState([add("Product", "b")], [add("Product", "c")])
    found = effects(
        migrations.SeparateDatabaseAndState([add("Product", "a"), inner], [add("Product", "d"), inner])
    )
    halves = {(one["field"], one["database"], one["state"]) for one in found}
    assert {("a", True, False), ("b", True, False), ("d", False, True), ("c", False, True)} <= halves
    assert {one["field"] for one in found if one["database"]} == {"a", "b"}
    assert {one["field"] for one in found if one["state"]} == {"c", "d"}


def test_operations_in_looks_into_separate_halves():
    """An irreversible operation does not hide in `SeparateDatabaseAndState`."""
    hidden, shown = migrations.RunPython(noop), add("Product", "a")
    outer = migrations.SeparateDatabaseAndState([migrations.SeparateDatabaseAndState([hidden])], [shown])
    migration = in_memory("shop.0001", outer)
    assert list(operations_in(migration, database=True)) == [hidden]
    assert list(operations_in(migration, database=False)) == [shown]


class Nameless(ModelOperation):
    """Django asks for no name as long as it does not optimize."""

    def __init__(self) -> None:
        pass


class NamelessIndex(IndexOperation):
    """The same, of another family."""


@pytest.mark.parametrize("operation", [Nameless(), NamelessIndex()])
def test_an_operation_that_cannot_be_looked_into_is_opaque(operation):
    """Whatever a class of somebody's own leaves out, effects keep nobody from migrating."""
    assert effects(operation) == [{"effect": "opaque", "database": True, "state": True}]


def test_effects_leave_the_fields_as_they_are():
    """A field that is looked at can still be added to a model."""
    field = models.ForeignKey("stock.Item", models.CASCADE)
    effects(add("Product", "item", field))
    assert not hasattr(field, "column")


@pytest.mark.parametrize(
    "changes, are",
    [
        ({}, True),
        ({"by": None}, True),
        ({"by": 1}, False),
        ({"model": None}, False),
        ({"effect": "other"}, False),
    ],
)
def test_effects_that_are_read_are_as_they_were_written(changes, are):
    """What is stored may have been changed by hand, or be of a later version."""
    (effect,) = effects(migrations.AlterOrderWithRespectTo("Product", "maker"))
    assert are_effects([{**effect, **changes}]) is are


# What is made by one operation alone

PRICE = add("Product", "price")


@pytest.mark.parametrize(
    "operation, others, is_alone",
    [
        (PRICE, [add("Product", "stock"), migrations.AlterModelOptions("Product", {})], True),
        (PRICE, [create("Order"), migrations.RunSQL("SELECT 1")], True),
        (create("Product"), [PRICE], True),
        (PRICE, [add("Product", "Price")], False),
        (PRICE, [migrations.RemoveField("Product", "stock")], False),
        (PRICE, [migrations.RenameModel("Thing", "Product")], False),
        (create("Product"), [create("Order", ("of", models.ForeignKey("Product", models.CASCADE)))], False),
        (create("Product"), [migrations.DeleteModel("Product")], False),
        (migrations.RemoveField("Product", "price"), [], False),
        (migrations.RunSQL("SELECT 1"), [], False),
    ],
)
def test_made_alone(operation, others, is_alone):
    """Whether another operation of the step may have made, dropped or renamed the same."""
    made = made_alone(operation, [*others, operation], "shop")
    assert (made is not None) is is_alone
