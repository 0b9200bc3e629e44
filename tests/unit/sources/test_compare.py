"""Whether a stored text and a file would do the same."""

from __future__ import annotations

import importlib.util
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Callable

import pytest

from django_rewind.sources.compare import same_operations, same_text

HEADER = "from django.db import migrations, models\n"
OPERATIONS = "class Migration(migrations.Migration):\n    operations = [{}]\n"

Same = Callable[..., bool]


@pytest.fixture
def same(tmp_path: Path) -> Same:
    """Compare the operations of two files; where only functions are given, each runs its `work`."""
    numbers = count()

    def load(text: str) -> object:
        path = tmp_path / f"m{next(numbers)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("shop.migrations.0001_initial", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Migration("0001_initial", "shop")

    def compare(one: str, other: str, operation: str = "migrations.RunPython(work)") -> bool:
        texts = [HEADER + dedent(text) + "\n" for text in (one, other)]
        texts = [text if "Migration(" in text else text + OPERATIONS.format(operation) for text in texts]
        return same_operations(*map(load, texts))

    return compare


def migration(operations: str, attributes: str = "") -> str:
    return f"class Migration(migrations.Migration):\n    {attributes}\n    operations = [{operations}]"


# Texts


@pytest.mark.parametrize(
    "one, other",
    [
        ("a = 1\n", "a = 1\n"),
        ("a = 1\n", "a = 1  # a comment\n"),
        ("a = [1, 2]\n", "\n\na = [\n    1,\n    2,\n]\n"),
        ("a = 'b'\r\n", 'a = "b"\n'),
        ('"""A docstring."""\na = 1\n', "a = 1\n"),
        ('def f():\n    """One."""\n    return 1\n', 'def f():\n    """Another."""\n    return 1\n'),
        ('class A:\n    """One."""\n    b = 1\n', "class A:\n    b = 1\n"),
        ('async def f():\n    """One."""\n    return 1\n', "async def f():\n    return 1\n"),
    ],
)
def test_comments_layout_and_docstrings_do_not_count(one, other):
    """Such texts are the same program."""
    assert same_text(one, other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("a = 1\n", "a = 2\n"),
        ("a = 1\n", "a = True\n"),
        ("a = 'b'\n", "a = b'b'\n"),
        ("a = 1\n", "b = 1\n"),
        ("def f(): return 'text'\n", "def f(): pass\n"),
        ("a = 1\n", "a = (\n"),
        ("a = (\n", "a = 1\n"),
        ("a = (\n", "b = (\n"),
        ("a = 1\n", "a = 1\x00\n"),
        ("a = 1\n", f"a = {'(' * 1000}1{')' * 1000}\n"),
    ],
)
def test_other_texts_differ(one, other):
    """Whatever cannot be parsed differs too, even from another such text."""
    assert not same_text(one, other)


def test_equal_texts_are_the_same_even_if_nobody_can_parse_them():
    """They may come from a newer Python."""
    assert same_text("match = (", "match = (")


# Operations


@pytest.mark.parametrize(
    "one, other",
    [
        ("migrations.RunSQL('SELECT 1')", "migrations.RunSQL(sql='SELECT 1')"),
        (
            "migrations.AddField('product', 'a', models.IntegerField(null=True))",
            "migrations.AddField(name='a', model_name='product', field=models.IntegerField(null=True))",
        ),
        (
            "migrations.SeparateDatabaseAndState([migrations.RunSQL('SELECT 1')])",
            "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL('SELECT 1')])",
        ),
    ],
)
def test_two_ways_to_write_an_operation_are_the_same(same, one, other):
    """What is deconstructed is compared, not how it was put."""
    assert same(migration(one), migration(other))


@pytest.mark.parametrize(
    "one, other",
    [
        ("migrations.RunSQL('SELECT 1')", "migrations.RunSQL('SELECT 2')"),
        ("migrations.RunSQL('SELECT 1')", "migrations.RunSQL('SELECT 1', '')"),
        ("migrations.RunSQL('SELECT 1')", ""),
        ("migrations.RunSQL('a'), migrations.RunSQL('b')", "migrations.RunSQL('b'), migrations.RunSQL('a')"),
        ("migrations.DeleteModel('A')", "migrations.DeleteModel('B')"),
        (
            "migrations.AddField('product', 'a', models.IntegerField(default=1))",
            "migrations.AddField('product', 'a', models.IntegerField(default=True))",
        ),
        (
            "migrations.AddField('product', 'a', models.IntegerField(null=True))",
            "migrations.AddField('product', 'a', models.BigIntegerField(null=True))",
        ),
        (
            "migrations.SeparateDatabaseAndState([migrations.RunSQL('SELECT 1')])",
            "migrations.SeparateDatabaseAndState([migrations.RunSQL('SELECT 2')])",
        ),
    ],
)
def test_other_operations_differ(same, one, other):
    """Arguments, order and number count, also of what stands inside."""
    assert not same(migration(one), migration(other))


def test_the_transaction_counts(same):
    """`atomic` decides what is left behind by a failure."""
    assert not same(migration("", "atomic = True"), migration("", "atomic = False"))


def test_metadata_of_the_graph_does_not_count(same):
    """A migration that was rebased has another place and does the same."""
    assert same(migration("", "dependencies = [('shop', '0001')]"), migration("", "initial = True"))


WORK = "def work(apps, schema_editor):\n    return {}\n"


@pytest.mark.parametrize(
    "one, other",
    [
        (WORK.format("1"), "def work(apps, schema_editor):\n    '''Say.'''\n    # why\n    return (1)\n"),
        (WORK.format("[i for i in (1, 2)]"), "\n\n" + WORK.format("[i for i in (1, 2)]")),
        (
            "def helper():\n    return 1\n" + WORK.format("helper()"),
            "def helper():\n    '''Help.'''\n    return 1  # one\n" + WORK.format("helper()"),
        ),
        ("N = 1\n" + WORK.format("N"), "N = 2 - 1\n" + WORK.format("N")),
        ("import os\n" + WORK.format("os.sep"), "import os as other\nos = other\n" + WORK.format("os.sep")),
        (
            "def odd(n):\n    return n and even(n - 1)\ndef even(n):\n    return not n or odd(n - 1)\n"
            + WORK.format("odd(3)"),
            "def even(n):\n    return not n or odd(n - 1)\ndef odd(n):\n    return n and even(n - 1)\n"
            + WORK.format("odd(3)"),
        ),
        (
            "def work(a, b):\n    return b and work(a, None)\n",
            "def work(a, b):\n    # again\n    return b and work(a, None)\n",
        ),
        ("work = lambda a, b: 1\n", "work = lambda a, b: (1)  # one\n"),
        ("UNUSED = 1\n" + WORK.format("1"), "UNUSED = 2\n" + WORK.format("1")),
        (
            WORK.format("None"),
            "def work(apps, schema_editor):\n    '''Nothing but words.'''\n    return None\n",
        ),
    ],
)
def test_functions_that_do_the_same(same, one, other):
    """Comments, docstrings, layout and what is not used do not count, and recursion ends."""
    assert same(one, other)


def test_the_name_of_a_function_does_not_count(same):
    """Forward and backward may be called anything."""
    other = WORK.format("1").replace("work", "fill")
    assert same(
        WORK.format("1") + migration("migrations.RunPython(work)"),
        other + migration("migrations.RunPython(fill)"),
    )


@pytest.mark.parametrize(
    "one, other",
    [
        (WORK.format("1"), WORK.format("2")),
        (WORK.format("1"), WORK.format("True")),
        (WORK.format("1"), WORK.format("1").replace("apps,", "registry,")),
        ("work = lambda a, b: 1\n", "work = lambda a, b: 2\n"),
        ("work = lambda a, b: 1\n", "work = lambda a, b: True\n"),
        ("work = lambda a, b: a.x\n", "work = lambda a, b: a.y\n"),
        ("work = lambda a, b: (lambda: 1)\n", "work = lambda a, b: (lambda: 2)\n"),
        ("work = lambda a, b: 1\n", "work = lambda a, b, c=1: 1\n"),
        ("N = 1\n" + WORK.format("N"), "N = 2\n" + WORK.format("N")),
        ("N = 1\n" + WORK.format("N"), "N = True\n" + WORK.format("N")),
        ("N = [1]\n" + WORK.format("(lambda: N)()"), "N = [2]\n" + WORK.format("(lambda: N)()")),
        (
            "def helper():\n    return 1\n" + WORK.format("helper()"),
            "def helper():\n    return 2\n" + WORK.format("helper()"),
        ),
        ("import os\n" + WORK.format("os"), "import sys as os\n" + WORK.format("os")),
        (
            "from os.path import join as f\n" + WORK.format("f"),
            "from os.path import split as f\n" + WORK.format("f"),
        ),
        (
            "N = 1\ndef work(a, b, c=N):\n    return c\n",
            "N = 2\ndef work(a, b, c=N):\n    return c\n",
        ),
        (
            "N = 1\ndef work(a, b, *, c=N):\n    return c\n",
            "N = 2\ndef work(a, b, *, c=N):\n    return c\n",
        ),
        (
            "def make(n):\n    def inner(a, b):\n        return n\n    return inner\nwork = make(1)\n",
            "def make(n):\n    def inner(a, b):\n        return n\n    return inner\nwork = make(2)\n",
        ),
        (
            "def odd(n):\n    return n and even(n - 1)\ndef even(n):\n    return not n or odd(n - 1)\n"
            + WORK.format("odd(3)"),
            "def odd(n):\n    return n and even(n - 1)\ndef even(n):\n    return not n or odd(n - 2)\n"
            + WORK.format("odd(3)"),
        ),
    ],
)
def test_functions_that_do_not_do_the_same(same, one, other):
    """Body, defaults, closures and the globals that are used count, however far away."""
    assert not same(one, other)


def test_closures_with_equal_contents_are_the_same(same):
    """What a function closes over is compared by what it holds."""
    text = "def make(n):\n    def inner(a, b):\n        return n\n    return inner\nwork = make([{}])\n"
    assert same(text.format("1, 2"), text.format("1, 1 + 1"))


def test_functions_that_are_nested_deeply(same):
    """As deep as Python can parse them: no crash, and a change is found."""
    text = "def work(apps, schema_editor):\n    return " + " + ".join(["apps"] * 1200)
    assert same(text, text + "  # a comment")
    assert not same(text, text + " + 1")


def test_a_method_counts_with_its_object(same):
    """A bound method of an imported object is the same, of one made in the migration it is not."""
    assert same("work = migrations.RunPython.noop\n", "\nwork = migrations.RunPython.noop\n")
    text = "class Worker:\n    def work(self, a, b):\n        pass\nwork = Worker().work\n"
    assert not same(text, text)


FIELD = "migrations.AddField('product', 'a', Code(null=True))"
CODE = "class Code(models.TextField):\n    LEVEL = {}\n\n    def level(self):\n        return self.LEVEL\n"


@pytest.mark.parametrize(
    "text, operation",
    [
        ("class Helper:\n    pass\n" + WORK.format("Helper"), "migrations.RunPython(work)"),
        (CODE.format(1), FIELD),
        ("class Base:\n    pass\n", "migrations.CreateModel('Product', [], bases=(Base, models.Model))"),
        ("class Run(migrations.RunSQL):\n    pass\n", "Run('SELECT 1')"),
        (
            "class Run(migrations.RunSQL):\n    @property\n    def x(self):\n        return 1\n",
            "Run('SELECT 1')",
        ),
    ],
)
def test_classes_are_compared_by_what_they_hold(same, text, operation):
    """The two texts define two classes of one name, which do the same."""
    assert same(text, "# Another text.\n" + text, operation)


@pytest.mark.parametrize(
    "other",
    [
        CODE.format(2),
        CODE.format(1).replace("self.LEVEL", "self.LEVEL + 1"),
        CODE.format(1).replace("TextField", "CharField"),
        CODE.format(1) + "    def more(self):\n        pass\n",
        CODE.format(1).replace("    def", "    @property\n    def"),
        CODE.format(1).replace("    def", "    @staticmethod\n    def"),
        "class Base(models.TextField):\n    pass\n" + CODE.format(1).replace("models.TextField", "Base"),
    ],
)
def test_classes_that_hold_something_else_differ(same, other):
    """In an attribute, in what a method does or is, in a base."""
    assert not same(CODE.format(1), other, FIELD)


def test_an_object_of_such_a_class_differs(same):
    """Nobody looks into it: what cannot be decided differs."""
    text = "class Helper:\n    pass\nHELPER = Helper()\n" + WORK.format("HELPER")
    assert not same(text, text)


def test_what_raises_when_it_is_compared_differs(same):
    """Whatever `__eq__` of a value does, the answer is that it differs."""
    text = """
    from decimal import Decimal
    N = Decimal("sNaN")
    def work(apps, schema_editor):
        return N
    """
    assert not same(text, text)


def test_callable_defaults_of_fields_are_compared_by_what_they_do(same):
    """A default that the migration defines is a function like any other."""
    field = "migrations.AddField('product', 'a', models.TextField(default=start))"
    assert same("def start():\n    return 'a'\n", "def start():\n    # from here\n    return 'a'\n", field)
    assert not same("def start():\n    return 'a'\n", "def start():\n    return 'b'\n", field)


def test_a_closure_that_was_never_filled_is_no_crash(same):
    """What cannot be decided differs."""
    text = """
    def make(flag):
        def inner(apps, schema_editor):
            return late
        if flag:
            late = 1
        return inner
    work = make(False)
    """
    assert not same(text, text + "\n")
