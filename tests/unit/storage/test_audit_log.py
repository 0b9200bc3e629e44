"""The audit log takes what happens, whatever it says, and gives it back."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_rewind.engine import hooks
from django_rewind.engine.journal import note_refusal
from django_rewind.engine.messages import Messages
from django_rewind.engine.recorder import RewindRecorder
from django_rewind.exceptions import NotRecoverable, RewindError
from django_rewind.git.environment import current_environment
from django_rewind.models import Event, MigrationEvent
from django_rewind.storage.audit_log import AuditEntry, AuditLog
from tests.support.fixtures import in_memory, migrate, record_id
from tests.support.helpers import AUDIT_LOG, create

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

KEY = ("shop", "0001_initial")


@pytest.fixture(autouse=True)
def empty():
    """The tables are nobody's to empty but ours."""
    for alias in ("default", "other"):
        MigrationEvent.objects.using(alias).all().delete()
    yield
    for alias in ("default", "other"):
        MigrationEvent.objects.using(alias).all().delete()


@pytest.fixture
def audit_log() -> AuditLog:
    return AuditLog(connection)


def test_all_of_it_comes_back(audit_log):
    """What happened, and under which circumstances."""
    audit_log.note([AuditEntry(Event.APPLIED, KEY, 7, "d" * 64, 3, "file", 0.25, "so")])

    (entry,) = audit_log.of(KEY)
    assert (entry.event, entry.record_id, entry.digest) == ("applied", 7, "d" * 64)
    assert (entry.serial, entry.source, entry.seconds, entry.detail) == (3, "file", 0.25, "so")
    around = current_environment()
    assert (entry.django, entry.python, entry.pid) == (around.django, around.python, around.pid)
    assert (entry.os_user, entry.host, entry.alias) == (around.os_user, around.host, "default")
    assert str(entry) == "shop.0001_initial: applied"


def test_what_is_not_known_is_empty(audit_log):
    """And no number is made up."""
    audit_log.note([AuditEntry(Event.PRUNED, KEY)])
    (entry,) = audit_log.of(KEY)
    assert (entry.record_id, entry.serial, entry.seconds) == (None, None, None)
    assert (entry.digest, entry.source, entry.detail) == ("", "", "")


def test_in_order(audit_log):
    """The oldest first, of this migration alone, many of them in few statements."""
    keys = [("shop", f"{number % 3:04}") for number in range(300)]
    with CaptureQueriesContext(connection) as queries:
        audit_log.note(AuditEntry(Event.APPLIED, key, number) for number, key in enumerate(keys))
    assert len(queries) < 12
    assert [one.record_id for one in audit_log.of(keys[1])] == list(range(1, 300, 3))
    assert audit_log.keys("shop") == set(keys)
    assert audit_log.keys("stock") == set()


@pytest.mark.parametrize(
    "text, kept",
    [
        ("no \0 good", r"no \x00 good"),
        ("half \ud83d of one", r"half \ud83d of one"),
        ("größe \U0001f40d", "größe \U0001f40d"),
        ("x" * 9000, "x" * 4000),
        ("'; DROP TABLE x; -- %s %(a)s", "'; DROP TABLE x; -- %s %(a)s"),
    ],
)
def test_texts_of_any_kind(audit_log, text, kept):
    """What no column takes is spelled out, and what is too long is cut."""
    audit_log.note([AuditEntry(Event.FAILED, KEY, detail=text)])
    assert [one.detail for one in audit_log.of(KEY)] == [kept]


def test_a_database_that_knows_no_unicode(audit_log, monkeypatch):
    """Other characters are spelled out there."""
    monkeypatch.setattr(type(audit_log.backend), "keeps", lambda *args: False)
    audit_log.note([AuditEntry(Event.FAILED, KEY, detail="größe")])
    assert [one.detail for one in audit_log.of(KEY)] == [r"gr\xf6\xdfe"]


def test_values_that_are_too_long(audit_log):
    """Columns of the circumstances too."""
    audit_log.note([AuditEntry(Event.APPLIED, ("a" * 300, "n" * 300), digest="d" * 99)])
    (entry,) = audit_log.of(("a" * 255, "n" * 255))
    assert entry.digest == "d" * 64


def test_each_database_has_its_own():
    """Of the connection that it is given."""
    AuditLog(connections["other"]).note([AuditEntry(Event.APPLIED, KEY)])
    assert AuditLog(connection).of(KEY) == []
    assert [one.alias for one in AuditLog(connections["other"]).of(KEY)] == ["other"]


def test_it_is_rolled_back_with_what_it_says(audit_log):
    """Within the transaction of the caller."""
    with transaction.atomic():
        audit_log.note([AuditEntry(Event.APPLIED, KEY)])
        transaction.set_rollback(True)
    assert audit_log.of(KEY) == []


def test_trying(audit_log):
    """What cannot be written is no error, and does no harm to a transaction around it."""
    with transaction.atomic():
        audit_log.try_to_note([AuditEntry(Event.FAILED, KEY, record_id="no number")])  # type: ignore[arg-type]
        audit_log.try_to_note([AuditEntry(Event.FAILED, KEY)])
    assert len(audit_log.of(KEY)) == 1


def test_without_a_table(audit_log):
    """It is not there, knows nothing, and is not written to."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {AUDIT_LOG} RENAME TO elsewhere")
    try:
        assert not audit_log.is_kept()
        assert audit_log.of(KEY) == []
        audit_log.try_to_note([AuditEntry(Event.FAILED, KEY)])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {AUDIT_LOG}")
    assert audit_log.is_kept()


def test_a_table_of_another_schema():
    """A tenant's search_path goes on to the public schema, whose audit log is not its own."""
    if connection.vendor != "postgresql":
        pytest.skip("schemas are PostgreSQL's")
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA tenant")
        cursor.execute("SET search_path TO tenant, public")
    try:
        recorder = RewindRecorder(connection)
        recorder.record_applied(*KEY)
        recorder.record_unapplied(*KEY)
        assert AuditLog(connection).of(KEY) == []
        assert not AuditLog(connection).is_kept()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public")
            cursor.execute("DROP SCHEMA tenant CASCADE")
    assert AuditLog(connection).of(KEY) == []


# The recorder ---------------------------------------------------------------------


def test_one_statement_for_each_record(app):
    """Beside the one that makes the record, and one to ask for its id; the audit log is looked for once."""
    of_django = statements(MigrationRecorder(connection), "0001")
    assert statements(RewindRecorder(connection), "0002") == of_django + 2
    assert AuditLog(connection).of(("shop", "0002"))[0].record_id == record_id(("shop", "0002"))


def statements(recorder: MigrationRecorder, name: str) -> int:
    """Return how many a record takes that is not the first one of its recorder."""
    recorder.record_applied("shop", f"before_{name}")
    with CaptureQueriesContext(connection) as queries:
        recorder.record_applied("shop", name)
    return len([one for one in queries if not one["sql"].startswith(("BEGIN", "COMMIT", "SET"))])


def test_recorded_by_code(app):
    """Nothing was applied, and nothing undone."""
    recorder = RewindRecorder(connection)
    recorder.record_applied(*KEY)
    recorder.record_unapplied(*KEY)
    assert [one.event for one in AuditLog(connection).of(KEY)] == ["marked_applied", "pruned"]


def test_what_is_not_recorded_is_not_unrecorded(app):
    """Django 3.2 has records deleted twice, and none may be there."""
    recorder = RewindRecorder(connection)
    recorder.record_unapplied(*KEY)
    assert AuditLog(connection).of(KEY) == []


def test_switched_off(app):
    """Nothing is looked for, and nothing written."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        RewindRecorder(connection).record_applied(*KEY)
    assert AuditLog(connection).of(KEY) == []


def test_the_record_goes_with_the_entry(app, monkeypatch):
    """And the other way round."""
    recorder = RewindRecorder(connection)

    def fail(self, happening):
        raise DatabaseError("full")

    monkeypatch.setattr(AuditLog, "note_newest", fail)
    with pytest.raises(DatabaseError, match="full"):
        recorder.record_applied(*KEY)
    assert KEY not in recorder.applied_migrations()
    assert KEY not in recorder.changes


def test_applied_again_with_other_source_keeps_both(app):
    """Two entries, with two texts and two serial numbers."""
    app.migration("0001_initial", create("Product"))
    migrate("shop")
    migrate("shop", "zero")
    app.migration("0001_initial", create("Product", name="TextField()"))
    migrate("shop")

    applied = [one for one in AuditLog(connection).of(KEY) if one.event == "applied"]
    assert len({one.digest for one in applied}) == 2
    assert [one.serial for one in applied] == [1, 2]
    assert all(one.serial == other.serial for one, other in zip(applied, captured()))


def captured() -> list[MigrationEvent]:
    return [one for one in AuditLog(connection).of(KEY) if one.event == "captured"]


# Steps and refusals ------------------------------------------------------------------


def test_a_failure_that_cannot_be_told(app):
    """The error that stopped the step is the one to hear of."""

    class Speechless(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    journal = hooks.runner_of(MigrationExecutor(connection)).journal
    with (
        pytest.raises(Speechless),
        journal.step(in_memory("shop.0001_initial"), backwards=False, fake=True),
    ):
        raise Speechless
    assert journal.recorder.step is None


def test_a_refusal_is_noted_once():
    """By whoever hears of it first, and not within a transaction, with which it would go."""
    error = NotRecoverable(KEY, "it is gone.")
    with transaction.atomic():
        note_refusal(connection, error)
    assert AuditLog(connection).of(KEY) == []
    note_refusal(connection, error)
    note_refusal(connection, error)
    (entry,) = AuditLog(connection).of(KEY)
    assert entry.detail == "Cannot recover shop.0001_initial: it is gone."


def test_a_refusal_of_none_in_particular():
    """Without a name."""
    note_refusal(connection, RewindError("No."))
    assert [one.detail for one in AuditLog(connection).of(("", ""))] == ["No."]


def test_a_plan_of_nobody():
    """Code that only plans asks a question."""
    assert Messages(MigrationExecutor(connection)).is_question
