"""What is stored before a run, and what is filled in after it."""

from __future__ import annotations

import compileall
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate, pre_migrate
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_rewind.apps import forget_earlier_runs, reconcile_after_migrate
from django_rewind.engine.capture import capture
from django_rewind.engine.handover import Outcome, hand_over
from django_rewind.engine.reconcile import reconcile
from django_rewind.exceptions import NotRecoverable
from django_rewind.models import MigrationCode, MigrationCodeHistory, Origin
from django_rewind.sources.bundle.collector import Collector
from django_rewind.storage.store import Store
from tests.support.fixtures import applied, hidden, in_memory, migrate, record_id, row
from tests.support.helpers import add, create, python

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def texts(app) -> dict[str, str]:
    """Two migrations on disk, neither of them applied."""
    return {
        "0001_initial": app.migration("0001_initial", create("Product", name="CharField(max_length=9)")),
        "0002_more": app.migration(
            "0002_more", add("product", "more", "TextField(null=True)"), after="0001_initial"
        ),
    }


def stored_texts(alias: str = "default") -> dict[str, str]:
    rows = MigrationCode.objects.using(alias).filter(app_label="shop")
    return dict(rows.values_list("migration_name", "source_code"))


def test_migrate_stores_what_it_applies(app, texts):
    """As written, signed, and proven by the record that was made."""
    migrate("shop")
    assert stored_texts() == texts
    for name in texts:
        stored = row(app.key(name))
        assert stored.provenance == Origin.CAPTURED
        assert stored.record_id == record_id(app.key(name))
        assert stored.module == app.module(name)


def test_an_executor_that_is_used_again(app, texts):
    """What others have rolled back meanwhile, and edited, is stored anew before it runs again."""
    executor = MigrationExecutor(connection)
    executor.migrate([app.key("0002_more")])
    migrate("shop", "0001")
    edited = app.migration("0002_more", add("product", "other", "TextField(null=True)"), after="0001_initial")

    executor.loader.build_graph()
    executor.migrate([app.key("0002_more")])

    assert stored_texts()["0002_more"] == edited
    assert row(app.key("0002_more")).record_id == record_id(app.key("0002_more"))


def test_it_is_stored_before_it_runs(app):
    """The first operation of the first migration finds the sources of all in the database."""
    header = """
    def look(apps, schema_editor):
        from django_rewind.models import MigrationCode

        seen = MigrationCode.objects.using(schema_editor.connection.alias).filter(app_label="shop")
        assert sorted(seen.values_list("migration_name", flat=True)) == ["0001_look", "0002_later"]
    """
    app.migration("0001_look", python("look"), header=header)
    app.migration("0002_later", after="0001_look")
    migrate("shop")
    assert applied("shop") == ["0001_look", "0002_later"]


def test_only_what_runs_is_captured(app, texts):
    """A target stops the capture as it stops the run."""
    migrate("shop", "0001")
    assert set(stored_texts()) == {"0001_initial"}


def test_a_failed_migration_leaves_an_unproven_text(app, texts):
    """What was applied before it is proven."""
    app.migration(
        "0003_fail", python("fail"), after="0002_more", header="def fail(a, b):\n    raise RuntimeError('no')"
    )
    with pytest.raises(RuntimeError, match="no"):
        migrate("shop")
    assert row(app.key("0002_more")).record_id == record_id(app.key("0002_more"))
    assert row(app.key("0003_fail")).record_id is None


def test_applied_again_with_other_content_keeps_the_old_text(app, texts):
    """What ran before becomes history."""
    migrate("shop")
    migrate("shop", "0001")
    text = app.migration("0002_more", add("product", "other", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    assert row(app.key("0002_more")).source_code == text
    assert row(app.key("0002_more")).record_id == record_id(app.key("0002_more"))
    (old,) = MigrationCodeHistory.objects.filter(app_label="shop")
    assert old.source_code == texts["0002_more"]


def test_what_is_only_recorded_is_filled_in_from_disk(app, texts):
    """`--fake` ran nothing, so that nobody claims that it did."""
    migrate("shop", fake=True)
    assert stored_texts() == texts
    assert row(app.key("0001_initial")).provenance == Origin.BACKFILLED
    assert row(app.key("0001_initial")).record_id == record_id(app.key("0001_initial"))


def test_unapplied_it_stays_stored(app, texts):
    """Old text is never lost."""
    migrate("shop")
    migrate("shop", "zero")
    assert stored_texts() == texts


def test_each_database_captures_into_itself(app, texts):
    """The other one knows nothing of it."""
    migrate("shop", database="other")
    assert stored_texts("other") == texts
    assert stored_texts() == {}
    assert row(app.key("0001_initial"), "other").record_id == record_id(app.key("0001_initial"), "other")


def test_with_the_setting_off_nothing_is_stored(app, texts):
    """Migrations run as Django runs them, and what ran is filled in when it is on again."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    assert stored_texts() == {}
    migrate("shop")
    assert stored_texts() == texts
    assert row(app.key("0001_initial")).provenance == Origin.BACKFILLED


def test_what_a_process_without_us_applied_again_is_filled_in(app, texts):
    """The record has another id by then; the text is the one on disk."""
    migrate("shop")
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop", "0001")
        text = app.migration("0002_more", add("product", "b", "TextField(null=True)"), after="0001_initial")
        migrate("shop")
    assert row(app.key("0002_more")).record_id != record_id(app.key("0002_more"))
    migrate()
    assert row(app.key("0002_more")).source_code == text
    assert row(app.key("0002_more")).provenance == Origin.BACKFILLED
    assert row(app.key("0002_more")).record_id == record_id(app.key("0002_more"))


def test_what_a_failed_run_left_behind_is_filled_in(app, texts):
    """Mended and applied by a process without us, it is stored from its file."""
    fail = {"header": "def fail(a, b):\n    raise RuntimeError('no')", "after": "0002_more"}
    app.migration("0003_fail", python("fail"), **fail)
    with pytest.raises(RuntimeError, match="no"):
        migrate("shop")
    text = app.migration("0003_fail", add("product", "c", "TextField(null=True)"), after="0002_more")
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    migrate()
    assert row(app.key("0003_fail")).source_code == text
    assert row(app.key("0003_fail")).provenance == Origin.BACKFILLED
    assert row(app.key("0003_fail")).record_id == record_id(app.key("0003_fail"))
    app.delete("0003_fail")
    migrate("shop", "0002")
    assert applied("shop") == ["0001_initial", "0002_more"]


def test_what_a_failed_run_left_behind_is_refused_without_a_file(app, texts):
    """Nobody knows what ran since, by whom."""
    app.migration("0003_fail", python("fail"), after="0002_more", header="def fail(a, b):\n    1 / 0")
    with pytest.raises(ZeroDivisionError):
        migrate("shop")
    app.migration("0003_fail", add("product", "c", "TextField(null=True)"), after="0002_more")
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    app.delete("0003_fail")
    with pytest.raises(NotRecoverable, match=r"shop\.0003_fail.* not proven"):
        migrate("shop", "0002")
    assert applied("shop")[-1] == "0003_fail"


def test_only_bytecode_is_said_and_not_stored(app, capsys):
    """The migration runs all the same."""
    app.migration("0001_initial", create("Product"))
    compileall.compile_dir(app.path, quiet=2, legacy=True)
    app.delete("0001_initial")
    said = migrate("shop")
    assert applied("shop") == ["0001_initial"]
    assert stored_texts() == {}
    assert "The source of shop.0001_initial cannot be stored" in said + capsys.readouterr().err


def test_what_cannot_be_packed_is_said_and_not_stored(app, texts, monkeypatch):
    """Whatever goes wrong with one migration, it runs, and the others are stored."""
    collect = Collector.collect

    def fail_for_one(self, module, text):
        if module.endswith("0001_initial"):
            raise RuntimeError("out of string")
        return collect(self, module, text)

    monkeypatch.setattr(Collector, "collect", fail_for_one)
    said = migrate("shop")
    assert applied("shop") == ["0001_initial", "0002_more"]
    assert set(stored_texts()) == {"0002_more"}
    assert "The source of shop.0001_initial cannot be stored: RuntimeError: out of string." in said


def test_without_our_table_migrate_goes_on(app, texts):
    """Recorded does not mean that it exists."""
    with hidden(MigrationCode._meta.db_table):
        migrate("shop")
        migrate("shop", "0001")
        migrate("shop")
    assert applied("shop") == ["0001_initial", "0002_more"]


def test_flush_fills_in_nothing(app, texts):
    """It sends `post_migrate` without a plan."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    call_command("flush", interactive=False, verbosity=0)
    assert stored_texts() == {}


def test_reconcile_does_nothing_twice(app, texts, django_assert_num_queries):
    """Looking costs the record and one query of ours."""
    migrate("shop")
    reconcile(connection)
    before = list(MigrationCode.objects.order_by("pk").values())
    with CaptureQueriesContext(connection) as queries:
        reconcile(connection)
    # SHOW: how Django 3.2 looks for tables on MySQL.
    reading = ("SELECT", "SHOW")
    assert not [one for one in queries if not one["sql"].lstrip().upper().startswith(reading)]
    assert list(MigrationCode.objects.order_by("pk").values()) == before


def test_reconcile_says_nothing_of_another_database(app, texts):
    """It works on the connection that it is given."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    reconcile(connections["other"])
    assert stored_texts() == {}
    reconcile(connection)
    assert stored_texts() == texts


def test_reconcile_does_not_believe_an_earlier_run(app, texts):
    """What an executor left behind is forgotten when the next `migrate` begins."""
    hand_over(connection, Outcome({}, {}))
    with override_settings(DJANGO_REWIND_ENABLED=False):
        migrate("shop")
    reconcile(connection)
    assert stored_texts() == texts


def test_a_migration_made_in_memory_has_no_source():
    """There is nothing to store, and nothing to warn of."""
    said = []
    assert capture(connection, [in_memory("of_nothing.0001")], warn=said.append) == {}
    assert said == []


def queries_of(*args: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        migrate(*args)
    return [one["sql"] for one in queries]


def test_with_a_squash_it_costs_one_query_too(app, texts):
    """That a squashed migration stands for others is no reason to look again."""
    migrate()
    app.migration("0001_squashed", replaces=[app.key(name) for name in texts])
    migrate()
    with override_settings(DJANGO_REWIND_ENABLED=False):
        of_django = len(queries_of())
    assert len(queries_of()) == of_django + 1


def test_nothing_to_do_costs_one_query(app, texts):
    """Compared with Django alone, a `migrate` with nothing to do asks one thing more."""
    migrate()
    with override_settings(DJANGO_REWIND_ENABLED=False):
        of_django = len(queries_of())
    assert len(queries_of()) == of_django + 1


def test_what_takes_the_place_of_our_config_in_memory_is_not_taken_for_it(app, texts):
    """
    Signals know a sender by its address, where tests that install apps have others take turns.

    So a receiver of a config that is gone hears what is sent for one that came after it.
    """
    migrate()
    once = len(queries_of())
    with _connected_to(apps.get_app_config("auth")):
        assert len(queries_of()) == once


@contextmanager
def _connected_to(sender: object) -> Iterator[None]:
    receivers = ((pre_migrate, forget_earlier_runs), (post_migrate, reconcile_after_migrate))
    for signal, receiver in receivers:
        signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        for signal, receiver in receivers:
            assert signal.disconnect(receiver, sender=sender)


def test_showing_and_checking_cost_no_query(app, texts):
    """`--plan` and `--check` with nothing missing ask what Django asks."""
    migrate()
    with override_settings(DJANGO_REWIND_ENABLED=False):
        of_django = len(queries_of("--plan"))
    assert len(queries_of("--plan")) == of_django


def test_the_recorder_notes_what_it_did(app, texts):
    """Its changes and the proof are those of this run."""
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    executor.migrate([app.key("0002_more")])
    changes = executor.recorder.changes
    assert {key: done for key, done in changes.items() if key[0] == "shop"} == {
        app.key("0001_initial"): True,
        app.key("0002_more"): True,
    }
    assert executor.recorder.captured == {}
    executor.recorder.record_unapplied(*app.key("0002_more"))
    assert executor.recorder.changes[app.key("0002_more")] is False
    assert app.key("0002_more") not in MigrationRecorder(connection).applied_migrations()
    assert Store(connection).known()[app.key("0002_more")].record_id is not None


def test_what_was_not_captured_is_not_proven(app, texts):
    """A record that is made by hand proves nothing."""
    from django.db.migrations.executor import MigrationExecutor

    migrate("shop", "0001")
    before = row(app.key("0001_initial")).record_id
    recorder = MigrationExecutor(connection).recorder
    recorder.record_unapplied(*app.key("0001_initial"))
    recorder.record_applied(*app.key("0001_initial"))
    assert row(app.key("0001_initial")).record_id == before != record_id(app.key("0001_initial"))


def test_record_and_proof_stand_and_fall_together(app, monkeypatch):
    """Also where Django records outside of the transaction of the schema."""

    def fail(*args):
        raise ValueError("no proof")

    app.migration("0001_initial", create("Product", name="TextField()"), atomic=False)
    monkeypatch.setattr(Store, "bind", fail)
    with pytest.raises(ValueError, match="no proof"):
        migrate("shop")
    assert applied("shop") == []
