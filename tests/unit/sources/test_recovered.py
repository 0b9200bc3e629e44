"""From a stored text back to a migration."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from dataclasses import replace

import pytest
from django.db import connection, migrations
from django.db.migrations.state import ProjectState

from django_rewind.exceptions import NotRecoverable
from django_rewind.sources import signing
from django_rewind.sources.bundle.importer import StoredImporter
from django_rewind.sources.recovered import RecoveredMigration
from django_rewind.sources.stored import why_unusable
from django_rewind.utils.types import Key
from tests.support.fixtures import in_memory, stored

KEY = ("shop", "0002_more")
MODULE = "shop_of_revive.migrations.0002_more"
BEGIN = "from django.db import migrations\n"
CLASS = "class Migration(migrations.Migration):\n    operations = [migrations.RunSQL('SELECT 1', '')]\n"


class Reader:
    """Reads one text, as a store would."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def texts(self, keys: Iterable[Key]) -> dict[Key, str]:
        return {} if self.text is None else {KEY: self.text}

    def contents(self, digests: Iterable[str]) -> dict[str, bytes]:
        return {}


def store(text: str = BEGIN + CLASS, module: str = MODULE, **attributes: object) -> RecoveredMigration:
    """Return a stored text with its metadata as a recovered migration, not loaded yet."""
    attributes = {"after": "shop.0001", **attributes}
    migration = in_memory("shop.0002_more", migrations.RunSQL("SELECT 1", ""), **attributes)
    row = stored(migration, text=text, module=module)
    return RecoveredMigration(row, Reader(text), StoredImporter())


def changed(text: str, **columns: object) -> RecoveredMigration:
    """Return a recovered migration of a row that was changed by hand, and perhaps its text."""
    migration = store(MARK + BEGIN + CLASS)
    migration.stored, migration.text = replace(migration.stored, **columns), text
    return migration


@pytest.fixture
def executed(monkeypatch):
    """A list to which a stored text appends when it is executed: `import marks; marks.append(1)`."""
    marks = []
    monkeypatch.setitem(sys.modules, "marks_of_revive", type(sys)("marks_of_revive"))
    sys.modules["marks_of_revive"].marks = marks
    return marks


MARK = "from marks_of_revive import marks\nmarks.append(1)\n"


# Lazy


def test_its_place_in_the_graph_needs_no_execution(executed):
    """Dependencies and the like come from the metadata, and the operations are descriptions."""
    migration = store(
        MARK + BEGIN + CLASS,
        run_before=[("stock", "0001")],
        replaces=[("shop", "0002_a")],
        initial=True,
        atomic=False,
    )
    assert migration.dependencies == [("shop", "0001")]
    assert migration.run_before == [("stock", "0001")]
    assert migration.replaces == [("shop", "0002_a")]
    assert migration.initial is True
    assert migration.atomic is False
    assert [operation.describe() for operation in migration.operations] == ["Raw SQL operation"]
    assert migration.operations[0].reversible
    assert not migration.is_loaded
    assert executed == []


def test_a_description_cannot_be_run():
    """Whoever forgets to load is told so."""
    (operation,) = store().operations
    with pytest.raises(NotImplementedError, match="is a description"):
        operation.state_forwards("shop", ProjectState())


def test_it_says_where_it_comes_from():
    """In plans and errors."""
    assert str(store()) == "shop.0002_more (from stored code)"


def test_it_is_the_same_node_as_the_file_would_be():
    """Django compares migrations by app and name."""
    assert store() == in_memory("shop.0002_more")


def test_loading_takes_the_operations(executed):
    """The real ones, once."""
    migration = store(MARK + BEGIN + CLASS)
    migration.load()
    migration.load()
    assert migration.is_loaded
    assert isinstance(migration.operations[0], migrations.RunSQL)
    assert migration.operations is migration.loaded.operations
    assert executed == [1]


def test_what_needs_the_operations_loads_by_itself(executed):
    """A state is an example."""
    migration = store(MARK + BEGIN + CLASS)
    migration.mutate_state(ProjectState())
    assert executed == [1]


def test_an_inert_one_changes_no_state(executed):
    """In a fake run, what does not load only has to be forgotten."""
    migration = store(MARK + "raise ValueError")
    migration.is_inert = True
    state = ProjectState()
    assert migration.mutate_state(state, preserve=False) is state
    assert migration.mutate_state(state) is not state
    assert executed == []


# Trust


def refused(migration: RecoveredMigration, match: str) -> NotRecoverable:
    with pytest.raises(NotRecoverable, match=match) as caught:
        migration.load()
    assert caught.value.key == KEY
    assert not migration.is_loaded
    return caught.value


@pytest.mark.parametrize(
    "columns",
    [
        {"metadata_text": "{}"},
        {"module": "os"},
        {"digest": "0" * 64},
        {"origin": "inherited"},
        {"signature": "0" * 64},
        {"record_id": 4},
    ],
    ids="-".join,
)
def test_what_does_not_match_its_signature_is_never_executed(executed, columns):
    """Text, place and metadata are verified before anything is compiled."""
    refused(changed(MARK + BEGIN + CLASS, **columns), "was changed after it was signed")
    assert executed == []


def test_another_text_is_never_executed(executed):
    """Whether or not the digest was made to fit: that is no signature."""
    text = MARK + BEGIN + CLASS + "\n"
    refused(changed(text), "was changed after it was signed")
    refused(changed(text, digest=signing.digest(text)), "was changed after it was signed")
    assert executed == []


def test_what_nobody_signed_is_never_executed(executed):
    """A row that was written by hand is refused by that name."""
    refused(changed(MARK + BEGIN + CLASS, signature="", key_fingerprint=""), "is not signed")
    assert executed == []


def test_what_another_key_signed_says_what_to_do(executed, settings):
    """The setting is named."""
    settings.DJANGO_REWIND_SIGNING_KEYS = ["of somebody else"]
    stored = replace(store(MARK + BEGIN + CLASS).stored)
    del settings.DJANGO_REWIND_SIGNING_KEYS
    error = why_unusable(stored)
    assert "signed with another key" in error.reason
    assert "DJANGO_REWIND_SIGNING_KEYS" in error.next_step
    with pytest.raises(ValueError, match="signed with another key"):
        RecoveredMigration(stored, Reader(None), StoredImporter())
    assert executed == []


def test_a_row_that_is_gone_is_said_to_be_gone():
    """Between the plan and the run somebody deleted it."""
    gone = RecoveredMigration(store().stored, Reader(None), StoredImporter())
    refused(gone, "has gone from the database")


# Loading


@pytest.mark.parametrize(
    "text, reason",
    [
        ("class Migration(:", "SyntaxError"),
        ("a = 1\x0c\x01", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("def f():\n    f()\nf()", "RecursionError"),
        ("raise RecursionError('deep')", "RecursionError: deep"),
        ("import of_nothing_at_all", "No module named 'of_nothing_at_all'"),
        ("from django.db import of_nothing", "cannot import name 'of_nothing' from 'django.db'"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
        ("Migration = 5", "TypeError"),
        ("class Migration:\n    pass", "TypeError"),
        ("def Migration(name, app_label):\n    return 5", "no class Migration of Django's"),
    ],
)
def test_what_does_not_load_is_not_recoverable(text, reason):
    """Whatever the text does, the run ends with an error that names migration and cause."""
    before = dict(sys.modules)
    error = refused(store(text), reason)
    assert "shop.0002_more" in str(error)
    assert "Nothing has been changed." in str(error)
    assert MODULE not in sys.modules
    assert set(sys.modules) - set(before) <= {"of_nothing_at_all"}


def test_an_interrupt_is_an_interrupt():
    """Ctrl-C is nobody's broken migration."""
    with pytest.raises(KeyboardInterrupt):
        store("raise KeyboardInterrupt").load()
    assert MODULE not in sys.modules


def test_the_cause_is_kept():
    """A debugger finds where the text failed."""
    error = refused(store("def f():\n    raise ValueError('here')\nf()"), "ValueError: here")
    told = "".join(traceback.format_exception(None, error.__cause__, error.__cause__.__traceback__))
    assert "raise ValueError('here')" in told
    assert f"<stored {MODULE} " in told


def test_a_dataclass_can_be_defined():
    """It looks its module up in `sys.modules` while it is made."""
    text = (
        "from __future__ import annotations\nimport dataclasses\nfrom typing import ClassVar\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int = 0\n    of: ClassVar[int] = 1\n"
    )
    migration = store(text + BEGIN + CLASS)
    migration.load()
    assert type(migration.loaded).__module__ == MODULE


def test_its_own_future_imports_count_and_ours_do_not():
    """Annotations are evaluated unless the text says otherwise."""
    text = BEGIN + "def f(a: int): pass\nassert f.__annotations__ == {'a': int}\n" + CLASS
    store(text).load()


def test_the_module_is_what_it_was():
    """Name, package, specification and place are those of the file."""
    text = (
        f"assert __name__ == __spec__.name == {'django.db.migrations.0002_more'!r}\n"
        "assert __package__ == __spec__.parent == 'django.db.migrations'\n"
        "assert __file__.endswith('0002_more.py')\nimport sys\n"
        "assert sys.modules[__name__].__dict__ is globals()\n"
    )
    store(text + BEGIN + CLASS, module="django.db.migrations.0002_more").load()


def test_a_package_that_is_gone_is_no_obstacle():
    """The whole app may have been deleted."""
    store(BEGIN + CLASS, module="of_nothing_at_all.migrations.0002_more").load()


def test_nothing_is_left_behind_in_sys_modules():
    """An import from disk must not meet it."""
    store().load()
    assert MODULE not in sys.modules


def test_what_was_imported_under_its_name_comes_back(monkeypatch):
    """Also after an error."""
    there = type(sys)(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, there)
    store().load()
    assert sys.modules[MODULE] is there
    refused(store("raise ValueError"), "ValueError")
    assert sys.modules[MODULE] is there


@pytest.mark.django_db
def test_it_runs_as_a_migration_does():
    """Applied and unapplied by Django's own code."""
    text = (
        BEGIN + MARK.replace("marks.append(1)\n", "") + "class Migration(migrations.Migration):\n"
        "    operations = [migrations.RunPython(lambda a, s: marks.append('f'), lambda a, s: marks.append('b'))]\n"
    )
    marks = []
    sys.modules["marks_of_revive"] = type(sys)("marks_of_revive")
    sys.modules["marks_of_revive"].marks = marks
    try:
        migration = store(text)
        state = ProjectState()
        migration.apply(state.clone(), connection.SchemaEditorClass(connection))
        migration.unapply(state, connection.SchemaEditorClass(connection))
    finally:
        del sys.modules["marks_of_revive"]
    assert marks == ["f", "b"]


def test_a_description_cannot_be_run_on_a_database():
    """Whoever forgets to load is told so, backwards too."""
    (operation,) = store().operations
    with pytest.raises(NotImplementedError, match="is a description"):
        operation.database_backwards("shop", None, ProjectState(), ProjectState())
