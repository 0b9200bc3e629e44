"""What a migration does, read from its text."""

from __future__ import annotations

import ast

import pytest
from django.db import migrations, models
from django.test import override_settings

from django_rewind.schema.effects import effects_in
from django_rewind.sources.static import UnknownOperation, operations_of

TEXT = """
import django.db.models.deletion
import shop.fields
from django.conf import settings
from django.db import migrations, models
from django.db.migrations import RunSQL
from shop.helpers import forward, Managed

raise SystemExit("executed")

def back(apps, schema_editor):
    \"\"\"Put it back\"\"\"

class Migration(migrations.Migration):
    {line}
"""

ID = "('id', models.AutoField(primary_key=True))"


def read(line: str) -> list | None:
    tree = ast.parse(TEXT.format(line=line))
    return operations_of(tree, tree.body[-1])


def one(operation: str):
    (found,) = read(f"operations = [{operation}]")
    return found


def effect(operation: str) -> dict:
    (found,) = effects_in([one(operation)])
    return found


def test_what_django_writes_is_made():
    """Of Django's own classes, with literals."""
    operation = one(
        f"migrations.CreateModel('Product', fields=[{ID}, ('n', models.CharField(max_length=9))])"
    )
    assert isinstance(operation, migrations.CreateModel)
    assert [(name, type(field)) for name, field in operation.fields] == [
        ("id", models.AutoField),
        ("n", models.CharField),
    ]
    assert operation.describe() == "Create model Product"


@pytest.mark.parametrize(
    "written",
    [
        "models.ForeignKey('shop.Product', on_delete=django.db.models.deletion.CASCADE)",
        "models.ForeignKey(to='shop.product', on_delete=models.SET(forward))",
        "django.db.models.fields.related.ForeignKey('shop.Product', models.CASCADE)",
        "shop.fields.LazyForeignKey(to='shop.Product', reach=9)",
    ],
)
def test_relations(written):
    """The column is that of a relation, and what it refers to is known, with fields of one's own too."""
    found = effect(f"migrations.AddField('order', 'product', {written})")
    assert found["column"] == "product_id"
    assert found["refers"] == [["shop", "product"]]


@override_settings(AUTH_USER_MODEL="people.Person")
def test_settings():
    """A swappable model is the one of the settings."""
    field = "models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)"
    assert effect(f"migrations.AddField('order', 'by', {field})")["refers"] == [["people", "person"]]


@pytest.mark.parametrize(
    "words",
    [
        "default=forward",
        "validators=[shop.fields.check]",
        "choices=CHOICES",
        "help_text=f'{1}'",
        "upload_to=shop.fields.path",
    ],
)
def test_what_the_database_does_not_see_may_be_unknown(words):
    """The field is made without it."""
    found = effect(f"migrations.AddField('product', 'price', models.FileField({words}))")
    assert (found["effect"], found["column"]) == ("add_field", "price")


def test_managers_bases_and_options_of_the_project():
    """A model is known by its table all the same."""
    found = effect(
        f"migrations.CreateModel('Product', [{ID}], options={{'db_table': 'goods', 'ordering': ORDER}},"
        " managers=[('objects', Managed())])"
    )
    assert (found["effect"], found["table"]) == ("create_model", "goods")


@pytest.mark.parametrize(
    "name, joins", [("models.ManyToManyField", True), ("shop.fields.SortedManyToManyField", True)]
)
def test_many_to_many(name, joins):
    """It has a table and no column."""
    found = effect(f"migrations.AddField('product', 'tags', {name}(to='shop.Tag'))")
    assert (found["column"], found["many_to_many"]) == (None, joins)


@pytest.mark.parametrize(
    "arguments, reversible, docstring",
    [
        ("forward", False, ""),
        ("forward, back", True, "Put it back"),
        ("back, migrations.RunPython.noop", True, None),
        ("code=forward, reverse_code=lambda apps, editor: None", True, ""),
        ("forward, None", False, ""),
    ],
)
def test_functions_are_stood_in_for(arguments, reversible, docstring):
    """Whether it can be undone is known, and what its docstring says."""
    operation = one(f"migrations.RunPython({arguments})")
    assert operation.reversible is reversible
    if reversible and docstring is not None:
        assert operation.reverse_code.__doc__ == docstring


@pytest.mark.parametrize(
    "arguments, reversible",
    [
        ("'SELECT 1'", False),
        ("SQL, RunSQL.noop", True),
        ("read('a.sql'), reverse_sql=[('SELECT %s', [1])]", True),
    ],
)
def test_sql(arguments, reversible):
    """A text that is read from somewhere is told by how it is read."""
    assert one(f"RunSQL({arguments})").reversible is reversible


def test_what_sql_says_of_the_state():
    """It is read as the operations that it is, by its name or its place."""
    of_state = "[migrations.RemoveField('product', 'price')]"
    for arguments in (f"'SELECT 1', None, {of_state}", f"make(), state_operations={of_state}"):
        effects = effects_in([one(f"migrations.RunSQL({arguments})")])
        assert [effect["effect"] for effect in effects] == ["opaque", "remove_field"]


def test_separate_database_and_state():
    """What is in it is read as well."""
    inner = "migrations.RemoveField('product', 'price')"
    operation = f"migrations.SeparateDatabaseAndState([{inner}], state_operations=[shop.fields.Own()])"
    first, second = effects_in([one(operation)])
    assert (first["effect"], first["state"]) == ("remove_field", False)
    assert (second["effect"], second["database"]) == ("opaque", False)


@pytest.mark.parametrize(
    "operation",
    [
        "shop.fields.Own('product')",
        "Own('product')",
        "migrations.CreateModel('Product', [*FIELDS])",
        "migrations.CreateModel('Product', FIELDS)",
        "migrations.AddField(NAME, 'a', models.TextField())",
        "migrations.AddField('product', 'a', make_field())",
        "migrations.AddField('product', 'a', models.ForeignKey(TARGET, models.CASCADE))",
        "migrations.AddField('product', 'a', shop.fields.Own('positional'))",
        "migrations.AddField('product')",
        "migrations.Nothing('product')",
        "migrations.executor.MigrationExecutor(None)",
        "migrations.RunPython.__init__.__globals__['models']",
        "make() if True else None",
        "[migrations.RemoveField('product', 'price')]",
    ],
)
def test_what_is_not_spelled_out(operation):
    """Nobody knows what it does, and nothing is called to find out."""
    assert isinstance(one(operation), UnknownOperation)
    assert effect(operation)["effect"] == "opaque"


@pytest.mark.parametrize(
    "line",
    [
        "operations = make()",
        "operations = FIRST + SECOND",
        "operations = [*FIRST]",
        "operations = []; operations += FIRST",
        "operations = []; operations = FIRST",
        "operations = []\n    for one in FIRST: operations.append(one)",
    ],
)
def test_lists_that_are_put_together(line):
    """Nothing is said of them, rather than half of it."""
    assert read(line) is None


@pytest.mark.parametrize("line", ["pass", "operations = []", "operations = ()", "operations: list = []"])
def test_no_operations(line):
    """There is nothing to say."""
    assert read(line) == []
