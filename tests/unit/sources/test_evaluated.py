"""Which texts spell out their operations, and what is written down of the others."""

from __future__ import annotations

from types import ModuleType

import pytest
from django.db import migrations, models

from django_rewind.sources.as_applied import changed_since, operations_of
from django_rewind.sources.description import Metadata, describe
from django_rewind.sources.evaluated import is_spelled_out
from tests.support.fixtures import in_memory

TEXT = """
import datetime

from django.conf import settings
from django.db import migrations, models
import shop.models
import shop.limits


def forwards(apps, schema_editor):
    if settings.DEBUG:
        pass


LENGTH = 50


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [%s]
"""


@pytest.mark.parametrize(
    "operation",
    [
        "",
        "migrations.RunPython(forwards, migrations.RunPython.noop)",
        "migrations.RunSQL('SELECT ' '1', [('SELECT %s', [1])])",
        "migrations.AddField('a', 'b', models.DateField(default=datetime.date(2020, 1, 1)))",
        "migrations.AddField('a', 'b', models.CharField(max_length=5 * -10, default=shop.models.code))",
        "migrations.AddField('a', 'b', models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE))",
        "migrations.CreateModel('A', [('id', shop.models.Key())], options={'ordering': ['-id']}, bases=(shop.models.Mixin,))",
        "migrations.AddIndex('a', models.Index(models.F('b').desc(), name='c'))".replace(".desc()", ""),
    ],
)
def test_what_django_writes_is_spelled_out(operation):
    """Calls of classes with literals, names of functions, the user model."""
    assert is_spelled_out(TEXT % operation)


@pytest.mark.parametrize(
    "operation",
    [
        "*[migrations.RunSQL(language) for language in settings.LANGUAGES]",
        "*shop.models.operations()",
        "shop.models.operation()",
        "migrations.RunSQL(settings.SQL)",
        "migrations.RunSQL(f'{settings.SQL}')",
        "migrations.RunSQL('a' if settings.DEBUG else 'b')",
        "migrations.AddField('a', 'b', models.CharField(max_length=LENGTH))",
        "migrations.AddField('a', 'b', models.CharField(max_length=shop.limits.LENGTH))",
        "migrations.AddField('a', 'b', models.CharField(**shop.limits.TEXT))",
        "migrations.AddField('a', 'b', models.CharField(default=datetime.datetime.now()))",
        "migrations.RunPython(forwards if settings.DEBUG else migrations.RunPython.noop)",
    ],
)
def test_what_is_computed_is_not(operation):
    """Whatever has to be executed to be known."""
    assert not is_spelled_out(TEXT % operation)


@pytest.mark.parametrize(
    "more",
    [
        "    operations += settings.MORE",
        "    operations.append(settings.MORE)",
        "    if settings.DEBUG:\n        operations = []",
        "    def __init__(self, *args):\n        pass",
        "    atomic = settings.ATOMIC",
        "    operations, other = [], []",
        "Migration.operations.extend(settings.MORE)",
        "if settings.DEBUG:\n    Migration.operations.clear()",
        "def Migration(*args):\n    pass\n\n\nclass Migration(object):\n    pass",
    ],
)
def test_what_is_changed_afterwards_is_not(more):
    """Statements after the list."""
    assert not is_spelled_out(TEXT % "" + f"{more}\n")


def test_a_name_that_is_given_twice():
    """Which of the two a function is may depend on anything."""
    assert not is_spelled_out(
        TEXT.replace("LENGTH = 50", "forwards = settings.FORWARDS") % "migrations.RunPython(forwards)"
    )


# What is written down


def note(apps, schema_editor):
    pass


def written(*operations: object) -> Metadata:
    return describe(in_memory("shop.0002", *operations), source=(__name__, "computed()"))


def made(metadata: Metadata, *here: object) -> list[object] | None:
    module = ModuleType(__name__)
    vars(module).update(globals())
    return operations_of(metadata.evaluated or [], in_memory("shop.0002", *here), module)


def test_operations_are_made_anew():
    """As they were, with the functions of the module."""
    operations = [
        migrations.RunPython(note, migrations.RunPython.noop),
        migrations.AddField("product", "name", models.CharField(max_length=50, default="a\nb")),
        migrations.SeparateDatabaseAndState([migrations.RunSQL("SELECT 1", "SELECT 2")], []),
    ]

    again = made(written(*operations))

    assert [type(operation) for operation in again] == [type(operation) for operation in operations]
    assert again[0].code is note
    assert again[1].field.deconstruct() == operations[1].field.deconstruct()
    assert again[2].database_operations[0].reverse_sql == "SELECT 2"


def test_what_has_no_name_is_taken_from_here():
    """A lambda is what its text is."""
    nameless = migrations.RunPython(lambda apps, schema_editor: None)
    field = migrations.AddField("product", "name", models.CharField(max_length=50))

    assert made(written(field, nameless), nameless)[1] is nameless
    assert made(written(field), nameless) is None


def test_long_sql():
    """Of what was read from a file there is the digest, by which it is known again."""
    long, other = (migrations.RunSQL(text * 20_000, "SELECT 1") for text in "ab")
    field = migrations.AddField("product", "name", models.CharField(max_length=50))

    assert len(written(field, long).as_text()) < 5_000
    assert made(written(field, long), long)[1] is long
    assert made(written(field, long), other) is None


@pytest.mark.parametrize("given", ["closure", "default"])
def test_what_was_given_something_is_not(given):
    """Nobody knows whether that is the same."""
    closure = migrations.RunPython(lambda apps, schema_editor: given and None)
    default = migrations.RunPython(lambda apps, schema_editor, given=given: None)
    operation = {"closure": closure, "default": default}[given]

    assert made(written(operation), operation) is None


def test_what_earlier_versions_have_stored():
    """Models and fields are compared where nothing else is known."""
    metadata = describe(in_memory("shop.0002", migrations.AddField("product", "name", models.TextField())))
    same = in_memory("shop.0002", migrations.AddField("Product", "name", models.CharField(max_length=9)))
    other = in_memory("shop.0002", migrations.AddField("product", "name_de", models.TextField()))

    assert not changed_since(metadata, same, __name__)
    assert changed_since(metadata, other, __name__) == (
        "it was 'add field product.name', and is 'add field product.name_de' here"
    )
    assert "evaluated" not in metadata.as_text()


def test_nothing_is_something():
    """A migration that came to no operation is told from one of which nothing is known."""
    assert Metadata.from_text(written().as_text()).evaluated == []
