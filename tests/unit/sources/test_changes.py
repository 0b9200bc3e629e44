"""What of a bundle is missing or different in this checkout."""

from __future__ import annotations

import codecs

import pytest

from django_rewind.sources.bundle.changes import BundleChanges, ContentDamaged
from django_rewind.sources.bundle.collector import Collector
from tests.support.fixtures import Kept, Tree

PACKAGE = "bakery.migrations"
TONES = "from oven.marks import MARK\n\n\ndef louder(text):\n    return text + MARK\n"


@pytest.fixture
def kept(tree: Tree) -> Kept:
    """A migration that needs `oven.tones`, which needs `oven.marks`, and `oven.other`."""
    tree.write("oven/tones.py", TONES)
    tree.write("oven/marks.py", "MARK = '!'\n")
    tree.write("oven/other.py", "OTHER = 1\n")
    return tree.collect("import oven.tones, oven.other\n")


def outdated(kept: Kept) -> set[str]:
    changes = BundleChanges(Collector(), kept.contents)
    found = changes.modules(kept.bundle, PACKAGE)
    assert changes.has_changed(kept.bundle, PACKAGE) == bool(found)
    return set(found)


def never(digests):
    raise AssertionError("nothing has to be read")


# Modules


def test_nothing_is_read_where_nothing_has_changed(kept: Kept):
    """Not even from the database."""
    assert not BundleChanges(Collector(), never).has_changed(kept.bundle, PACKAGE)


@pytest.mark.parametrize(
    "data",
    [
        TONES.encode(),
        TONES.replace("\n", "\r\n").encode(),
        codecs.BOM_UTF8 + TONES.encode(),
        b"# coding: latin-1\n# K\xe4se\n" + TONES.encode(),
        ("'''A docstring.'''\n" + TONES + "# A comment.").encode(),
        TONES.replace("(text)", "(\n    text\n)").encode(),
    ],
)
def test_the_same_program_in_another_form(kept: Kept, data):
    """Encoding, line ends, comments and layout do not count."""
    kept.tree.write("oven/tones.py", data)
    assert outdated(kept) == set()


@pytest.mark.parametrize(
    "data", [TONES.replace("+ MARK", "* 2").encode(), b"", b"a = (", b"a = '\xff'", None]
)
def test_another_program(kept: Kept, data):
    """Different, empty, broken, unreadable or gone: it comes from the store, and nothing else does."""
    kept.tree.delete("oven/tones.py")
    if data is not None:
        kept.tree.write("oven/tones.py", data)
    assert outdated(kept) == {"oven.tones"}


def test_what_imports_something_outdated_is_outdated(kept: Kept):
    """It would meet the wrong one; it knows which."""
    kept.tree.write("oven/marks.py", "MARK = '?'\n")
    found = BundleChanges(Collector(), kept.contents).modules(kept.bundle, PACKAGE)
    assert {name: set(one.imports) for name, one in found.items()} == {
        "oven.tones": {"oven.marks"},
        "oven.marks": set(),
    }
    assert found["oven.tones"].text == TONES


def test_all_of_a_package_that_is_gone(kept: Kept):
    """And what took its place as a module has nothing below it."""
    kept.tree.delete("oven")
    assert outdated(kept) == {"oven.tones", "oven.marks", "oven.other"}
    kept.tree.write("oven.py", "")
    assert outdated(kept) == {"oven.tones", "oven.marks", "oven.other"}


def test_a_module_that_became_a_package(kept: Kept):
    """Under the same name, with the same text, it is the same."""
    kept.tree.delete("oven/other.py")
    kept.tree.write("oven/other/__init__.py", "OTHER = 1\n")
    assert outdated(kept) == set()


def test_a_cycle(tree: Tree):
    """All of it is outdated when one is."""
    tree.write("oven/one.py", "import oven.two\n")
    tree.write("oven/two.py", "import oven.one\n")
    kept = tree.collect("import oven.one\n")
    tree.write("oven/two.py", "import oven.one\nTWO = 2\n")
    assert outdated(kept) == {"oven.one", "oven.two"}


def test_what_is_installed_is_used_as_it_is_installed(tree: Tree, monkeypatch):
    """A later version of an app is still that app; only where it is gone, the store helps."""
    tree.write("site-packages/hall/__init__.py", "")
    tree.write("site-packages/hall/help.py", "HELP = 1\n")
    monkeypatch.syspath_prepend(str(tree.path / "site-packages"))
    text = "import hall.help\n"
    kept = Kept(tree, text, Collector().collect("hall.migrations.0001", text))
    tree.write("site-packages/hall/help.py", "HELP = 2\n")
    assert outdated(kept) == set()
    tree.delete("site-packages/hall/help.py")
    assert outdated(kept) == {"hall.help"}


# Models

MODELS = """
from django.db import models

PREFIX = "up"

def path(instance, name):
    return PREFIX

class Bread(models.Model):
    name = models.TextField()

    class Meta:
        app_label = "bakery"
"""


@pytest.fixture
def of_models(tree: Tree) -> Kept:
    """A migration that needs a function of `bakery.models`."""
    tree.write("bakery/models.py", MODELS)
    return tree.collect("import bakery.models\nbakery.models.path\n", importing=["bakery.models"])


@pytest.mark.parametrize(
    "old, new",
    [("TextField", "IntegerField"), ("Bread", "Rye"), ("PREFIX = ", "# Why.\nPREFIX = "), ("", "NEW = 1\n")],
)
def test_what_was_not_taken_does_not_count(of_models: Kept, old, new):
    """Models and other functions may change as they like."""
    of_models.tree.write("bakery/models.py", MODELS.replace(old, new, 1))
    of_models.tree.imported("bakery.models")
    assert outdated(of_models) == set()


@pytest.mark.parametrize("old, new", [('"up"', '"down"'), ("def path", "def other"), ("return", "yield")])
def test_what_was_taken_counts(of_models: Kept, old, new):
    """With what it needs."""
    of_models.tree.write("bakery/models.py", MODELS.replace(old, new))
    of_models.tree.imported("bakery.models")
    assert outdated(of_models) == {"bakery.models"}


def test_models_are_not_imported_to_be_compared(of_models: Kept):
    """They would be registered, or refuse to be where their app is not installed."""
    of_models.tree.write("bakery/models.py", MODELS)
    assert outdated(of_models) == {"bakery.models"}


def test_what_counts_as_a_model(of_models: Kept):
    """A class that was one then is none of what is compared, whatever it is now."""
    of_models.tree.write("bakery/models.py", MODELS.replace("models.Model", "object"))
    of_models.tree.imported("bakery.models")
    assert outdated(of_models) == set()


# Files


@pytest.fixture
def with_file(tree: Tree) -> Kept:
    """A migration that reads `sql/up.sql`, as the helper `_read` does, and needs `_other`."""
    tree.write("bakery/migrations/sql/up.sql", "SELECT 1")
    tree.write("bakery/migrations/_read.py", "open(__file__)\n")
    tree.write("bakery/migrations/_other.py", "OTHER = 1\n")
    return tree.collect("from . import _read, _other\nopen(__file__ + 'sql/up.sql')\n")


def test_a_file_that_is_the_same(with_file: Kept):
    """Nothing is read for it."""
    assert not BundleChanges(Collector(), never).has_changed(with_file.bundle, PACKAGE)


@pytest.mark.parametrize("content", [b"SELECT 2", b"SELECT 1\r\n", b"", None])
def test_a_file_that_is_not(with_file: Kept, content):
    """Every byte of it counts; and who reads it here would read the wrong one."""
    with_file.tree.delete("bakery/migrations/sql")
    if content is not None:
        with_file.tree.write("bakery/migrations/sql/up.sql", content)
    changes = BundleChanges(Collector(), with_file.contents)
    assert [one.name for one in changes.files(with_file.bundle, PACKAGE)] == ["sql/up.sql"]
    assert set(changes.modules(with_file.bundle, PACKAGE)) == {"bakery.migrations._read"}
    assert changes.has_changed(with_file.bundle, PACKAGE)


@pytest.mark.parametrize("place", ["sql/up.sql/more", "sql"])
def test_something_else_in_the_place_of_a_file(with_file: Kept, place):
    """A folder is none."""
    with_file.tree.delete("bakery/migrations/sql")
    with_file.tree.write(f"bakery/migrations/{place}", "")
    assert BundleChanges(Collector(), with_file.contents).files(with_file.bundle, PACKAGE)


def test_files_of_a_package_that_is_gone(with_file: Kept):
    """They are all missing."""
    changes = BundleChanges(Collector(), with_file.contents)
    assert changes.files(with_file.bundle, "gone.migrations") == with_file.bundle.files


# Damage


@pytest.mark.parametrize(
    "contents, match",
    [
        (lambda digests: {}, "gone from the database"),
        (lambda digests: dict.fromkeys(digests, b"evil"), "changed after"),
    ],
)
def test_what_is_not_what_was_signed(kept: Kept, contents, match):
    """It is an error by name where it is needed, and none where it is not."""
    assert not BundleChanges(Collector(), contents).has_changed(kept.bundle, PACKAGE)
    kept.tree.delete("oven/marks.py")
    with pytest.raises(ContentDamaged, match=rf"oven\.marks.*{match}"):
        BundleChanges(Collector(), contents).modules(kept.bundle, PACKAGE)


def test_reading_nothing_asks_nobody():
    """One query fewer."""
    assert BundleChanges(Collector(), never).read([]) == {}
