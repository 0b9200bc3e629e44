"""What operations do: each class of the installed Django has its row."""

from __future__ import annotations

from inspect import getmembers, isclass
from types import ModuleType

import django
import pytest
from django.db import migrations, models
from django.db.migrations.operations import base, fields, special
from django.db.migrations.operations import models as of_models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_rewind.schema import operations
from django_rewind.schema.effects import effects_in
from django_rewind.schema.operations import (
    fields_handled,
    fields_named,
    indexes_handled,
    rebuilt_models,
    uses_models,
)
from django_rewind.utils.compat import SQLITE_ADDS_NULLABLE_COLUMNS, SQLITE_DROPS_COLUMNS
from tests.support.fixtures import add, create

try:
    from django.contrib.postgres import operations as postgres
except ImportError:
    MODULES = [base, fields, of_models, special]
else:
    MODULES = [base, fields, of_models, special, postgres]

CHECK = {"check" if django.VERSION < (5, 1) else "condition": models.Q(price=1)}
CONSTRAINT = models.UniqueConstraint(fields=["name"], name="one_name")
INDEX = models.Index(fields=["-name"], name="by_name")


def function(apps, schema_editor):
    """Do nothing."""


def classes_of(module: ModuleType) -> list[str]:
    members = getmembers(module, lambda one: isclass(one) and issubclass(one, Operation))
    return [name for name, cls in members if cls.__module__ == module.__name__]


@pytest.mark.parametrize("name", [name for module in MODULES for name in classes_of(module)])
def test_each_class_of_django_has_a_row(name):
    """Of one that is not in the table nobody has looked at what it does."""
    assert name in operations._ROWS


class Mixin:
    pass


class Mine(Mixin, migrations.AddField):
    """An operation of another package."""


class RunSQL(Operation):
    """One that happens to have the name of another."""

    sql = "SELECT 1"


def test_a_class_of_another_package_has_the_row_of_its_base():
    """What Django does is inherited; of the rest nothing is known."""
    assert operations.row_of(Mine("Product", "a", models.TextField())) is operations._ROWS["AddField"]
    assert operations.row_of(RunSQL()) is operations._ROWS["Operation"]


@pytest.fixture
def state() -> ProjectState:
    state = ProjectState()
    maker = ("maker", models.ForeignKey("shop.Maker", models.CASCADE))
    tags = ("tags", models.ManyToManyField("shop.Tag"))
    options = {"indexes": [INDEX], "constraints": [CONSTRAINT], "unique_together": {("name", "maker")}}
    create("Product", ("name", models.TextField()), maker, tags, **options).state_forwards("shop", state)
    return state


@pytest.mark.parametrize(
    "operation, names",
    [
        (migrations.AlterField("Product", "Name", models.TextField()), ["Name"]),
        (migrations.AddIndex("Product", INDEX), ["name"]),
        (migrations.AddConstraint("Product", CONSTRAINT), ["name"]),
        (migrations.AddConstraint("Product", models.CheckConstraint(name="c", **CHECK)), []),
        (migrations.AlterUniqueTogether("Product", {("name", "maker")}), ["name", "maker"]),
        (migrations.AlterUniqueTogether("Product", set()), []),
        (migrations.AlterOrderWithRespectTo("Product", "maker"), ["maker"]),
        (migrations.AlterOrderWithRespectTo("Product", None), []),
        (add("Product", "price"), []),
    ],
)
def test_fields_that_have_to_be_there(operation, names):
    """Those of which Django's state does not ask whether they are."""
    assert fields_named(operation) == ("product", names)


@pytest.mark.parametrize(
    "operation, forwards, backwards",
    [
        (create("Order", ("a", models.TextField()), ("b", models.ManyToManyField("Product"))), 3, 1),
        (migrations.DeleteModel("Product"), 1, 4),
        (migrations.AlterField("Product", "name", models.TextField()), 2, 2),
        (migrations.RemoveField("Product", "maker"), 1, 1),
        (migrations.RenameField("Product", "maker", "brand"), 1, 1),
        (migrations.RemoveField("Product", "gone"), 0, 0),
        (migrations.AlterModelOptions("Product", {}), 0, 0),
        (migrations.RunSQL("SELECT 1"), 0, 0),
    ],
)
def test_fields_that_are_handled(state, operation, forwards, backwards):
    """A table goes with its columns, and a many-to-many field has one of its own."""
    handled = [fields_handled(operation, state, "shop", backwards=way) for way in (False, True)]
    assert list(map(len, handled)) == [forwards, backwards]


@pytest.mark.parametrize(
    "operation, handled",
    [
        (migrations.RemoveIndex("Product", "by_name"), [INDEX]),
        (migrations.RemoveConstraint("Product", "one_name"), [CONSTRAINT]),
        (migrations.AlterUniqueTogether("Product", set()), [set(), {("name", "maker")}]),
        (migrations.AddIndex("Product", INDEX), []),
    ],
)
def test_indexes_that_are_found_by_their_columns(state, operation, handled):
    """When they are removed again, or made once more."""
    assert indexes_handled(operation, state.models["shop", "product"].options) == handled


@pytest.mark.parametrize(
    "operation, forwards, backwards",
    [
        (add("Product", "price", models.IntegerField(default=1)), True, not SQLITE_DROPS_COLUMNS),
        (
            add("Product", "price", models.IntegerField(null=True)),
            not SQLITE_ADDS_NULLABLE_COLUMNS,
            not SQLITE_DROPS_COLUMNS,
        ),
        (
            add("Product", "price", models.IntegerField(null=True, db_index=True)),
            not SQLITE_ADDS_NULLABLE_COLUMNS,
            True,
        ),
        (add("Product", "items", models.ManyToManyField("shop.Product")), False, False),
        (migrations.RemoveField("Product", "name"), not SQLITE_DROPS_COLUMNS, True),
        (migrations.AlterField("Product", "name", models.TextField(null=True)), True, True),
        (migrations.AlterField("Product", "name", models.TextField(help_text="The name")), False, False),
        (migrations.RenameField("Product", "name", "title"), False, False),
        (migrations.AddConstraint("Product", CONSTRAINT), True, True),
        (migrations.AlterOrderWithRespectTo("Product", "maker"), True, True),
        (migrations.AddIndex("Product", INDEX), False, False),
        (migrations.AlterUniqueTogether("Product", {("name",)}), False, False),
        (migrations.AlterModelTable("Product", "goods"), False, False),
        (migrations.DeleteModel("Product"), False, False),
        (migrations.RunSQL("SELECT 1"), False, False),
    ],
)
def test_tables_that_sqlite_rebuilds(state, operation, forwards, backwards):
    """As django/db/backends/sqlite3/schema.py does it."""
    rebuilt = [rebuilt_models(state, "shop", operation, backwards=way) for way in (False, True)]
    assert rebuilt == [{("shop", "product")} if does else set() for does in (forwards, backwards)]


@pytest.mark.parametrize(
    "operation, rebuilt",
    [
        (migrations.AlterField("Product", "id", models.BigAutoField(primary_key=True)), {"product", "offer"}),
        (migrations.AlterField("Product", "name", models.CharField(max_length=9)), {"product"}),
        (migrations.RenameModel("Product", "Item"), {"product", "offer"}),
        # Going back, the state knows the new name.
        (migrations.RenameModel("Thing", "Product"), {"product", "offer"}),
    ],
)
def test_tables_that_point_to_it_are_rebuilt(state, operation, rebuilt):
    """When a key that they hold changes, and when what they point to gets another name."""
    create("Offer", ("product", models.ForeignKey("shop.Product", models.CASCADE))).state_forwards(
        "shop", state
    )
    found = rebuilt_models(state, "shop", operation, backwards=True)
    assert found == {("shop", model) for model in rebuilt}


@pytest.mark.parametrize(
    "operation, does",
    [
        (migrations.RunPython(function, function), True),
        (migrations.RunPython(function, migrations.RunPython.noop), False),
        (migrations.RunSQL("SELECT 1", "SELECT 1"), False),
        (RunSQL(), True),
        (add("Product", "price"), False),
    ],
)
def test_functions_may_use_any_model(operation, does):
    """SQL names tables, and the others name their models."""
    assert uses_models(operation) is does


def test_what_belongs_to_the_database_has_no_effect():
    """An extension or a collation has no model, and no rows."""
    postgres = pytest.importorskip("django.contrib.postgres.operations")
    assert effects_in([postgres.HStoreExtension(), postgres.CreateCollation("german", "de-DE")]) == []


def test_state_operations_of_sql_are_known():
    """What `RunSQL` says of the state has the effects that it has elsewhere."""
    sql = migrations.RunSQL("SELECT 1", state_operations=[add("Product", "price")])
    assert [(one["effect"], one["database"], one["state"]) for one in effects_in([sql])] == [
        ("opaque", True, True),
        ("add_field", False, True),
    ]
