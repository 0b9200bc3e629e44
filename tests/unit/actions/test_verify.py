"""Whether what is stored could be recovered here and now."""

from __future__ import annotations

import linecache
import sys
import tempfile

import pytest
from django.db import connection, migrations
from django.test.utils import CaptureQueriesContext

from django_rewind.actions.verify import Verifier
from django_rewind.models import MigrationCode, StoredContent
from django_rewind.sources.description import describe
from django_rewind.sources.stored import NewSource
from django_rewind.storage.store import Store
from django_rewind.utils.types import label
from tests.support.fixtures import Tree, in_memory

pytestmark = pytest.mark.django_db

BEGIN = "from django.db import migrations\n"
CLASS = "\n\nclass Migration(migrations.Migration):\n    operations = [migrations.RunPython({}, back)]\n"
END = CLASS.format("migrations.RunPython.noop")
BACK = "def back(apps, schema_editor):\n    pass\n"


@pytest.fixture
def put(tree: Tree):
    """Store a text as a migration of `bakery`, with what it needs."""

    def put(name: str, text: str, app: str = "bakery") -> None:
        kept = tree.collect(text)
        entry = NewSource(
            key=(app, name),
            module=Tree.MIGRATION,
            text=kept.text,
            metadata=describe(in_memory(f"{app}.{name}", migrations.RunSQL("", "")), kept.bundle),
            origin="captured",
            contents=kept.collected.contents,
        )
        Store(connection).put([entry])

    return put


def found() -> dict[str, str]:
    """Return the problems by migration; an empty text where there is none."""
    findings = Verifier(connection).findings()
    return {label(one.key): one.problem for one in findings if one.key[0] in ("bakery", "oven")}


def test_each_stored_migration_has_a_finding(put):
    """In order."""
    put("0002_b", BEGIN + BACK + END)
    put("0001_a", BEGIN + BACK + END)
    put("0001_a", BEGIN + BACK + END, app="oven")
    assert list(found()) == ["bakery.0001_a", "bakery.0002_b", "oven.0001_a"]
    assert set(found().values()) == {""}


@pytest.mark.parametrize(
    "text, naming",
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys\nsys.exit(1)", "SystemExit"),
        ("import gone.away", "gone.away"),
        ("a = (", "SyntaxError"),
        ("import sys\nsys.path.clear()\nimport gone", "gone"),
    ],
)
def test_what_does_not_load(put, text, naming):
    """Whatever it raises, with the others none the worse."""
    path = list(sys.path)
    put("0001_a", BEGIN + BACK + text + END)
    put("0002_b", BEGIN + BACK + END)
    assert naming in found()["bakery.0001_a"]
    assert found()["bakery.0002_b"] == ""
    assert sys.path == path


def test_what_its_helper_does_not_find(tree: Tree, put):
    """Migration, helper and import are named."""
    tree.write("oven/tones.py", "from oven.marks import MARK\n")
    put("0001_a", BEGIN + BACK + "import oven.tones" + END)
    tree.delete("oven")
    problem = found()["bakery.0001_a"]
    assert "its module oven.tones cannot import" in problem
    assert "oven.marks" in problem


def test_what_a_function_will_not_find(put):
    """It is known though nothing calls it."""
    put("0001_a", BEGIN + BACK.replace("pass", "import gone.away") + END)
    assert "gone.away" in found()["bakery.0001_a"]


def test_what_a_function_may_not_need(put):
    """It is no reason to be red."""
    put("0001_a", BEGIN + BACK.replace("pass", "if apps is None:\n        import gone") + END)
    assert found()["bakery.0001_a"] == ""


@pytest.mark.parametrize(
    "field, value", [("source_code", "import os"), ("metadata", "{}"), ("signature", "")]
)
def test_what_does_not_verify_is_not_executed(put, field, value):
    """It is red for that reason."""
    put("0001_a", BEGIN + BACK + "raise SystemError" + END)
    MigrationCode.objects.filter(app_label="bakery").update(**{field: value})
    assert "SystemError" not in found()["bakery.0001_a"]
    assert "signed" in found()["bakery.0001_a"]


def test_what_it_carries_is_verified_where_it_is_needed(tree: Tree, put):
    """Changed or gone, by name."""
    tree.write("oven/tones.py", "TONE = 1\n")
    put("0001_a", BEGIN + BACK + "import oven.tones" + END)
    StoredContent.objects.update(content=b"raise SystemError")
    assert found()["bakery.0001_a"] == ""
    tree.delete("oven")
    assert "oven.tones" in found()["bakery.0001_a"]
    StoredContent.objects.all().delete()
    assert "gone from the database" in found()["bakery.0001_a"]


def test_nothing_is_left_behind(tree: Tree, put, monkeypatch):
    """No module, no folder."""
    folder = tree.path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    tree.write("bakery/migrations/up.sql", "SELECT 1")
    put("0001_a", BEGIN + BACK + "open(__file__.replace('0002_bread.py', 'up.sql')).close()" + END)
    tree.delete("bakery/migrations/up.sql")
    before = set(sys.modules)
    assert found() == {"bakery.0001_a": ""}
    assert set(sys.modules) == before
    assert list(folder.iterdir()) == []


def test_texts_are_read_together_and_not_kept(put):
    """A query for a hundred of them, and no more of them in memory at the end than before."""
    for number in range(1, 4):
        put(f"000{number}_a", BEGIN + END)
    before = set(linecache.cache)
    with CaptureQueriesContext(connection) as queries:
        found()
    assert len([one for one in queries if "source_code" in one["sql"]]) == 1
    assert not [name for name in set(linecache.cache) - before if name.startswith("<stored")]
