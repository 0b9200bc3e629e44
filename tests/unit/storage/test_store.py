"""Our tables: what goes in, what comes out, and what the rest of Django does to them."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

import django_rewind
from django_rewind.models import (
    BaselineMigration,
    Event,
    MigrationCode,
    MigrationCodeHistory,
    MigrationEvent,
    StoredContent,
)
from django_rewind.sources import signing
from django_rewind.sources.description import describe
from django_rewind.sources.signing import Verdict
from django_rewind.sources.stored import NewSource, StoredRevision
from django_rewind.storage.audit_log import AuditEntry, AuditLog
from django_rewind.storage.facts import MissingBeforeInstall
from django_rewind.storage.store import LAST_SERIAL, Store
from django_rewind.utils.types import APP_LABEL
from tests.support.fixtures import hidden, in_memory, record_id, row

KEY = ("shop", "0001_initial")
TEXT = "class Migration: pass\r\n# Käse\n"

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> Store:
    """Nothing is known of the app, which other tests have stored and committed."""
    for model in (MigrationCode, MigrationCodeHistory, MigrationEvent):
        model.objects.filter(app_label=KEY[0]).delete()
    return Store(connection)


def entry(key=KEY, text=TEXT, **values) -> NewSource:
    values = {"module": f"{key[0]}.migrations.{key[1]}", "origin": "captured", **values}
    return NewSource(key=key, text=text, metadata=describe(in_memory(".".join(key))), **values)


class Elsewhere:
    """A router that keeps us out of the second database."""

    def allow_migrate(self, db, app_label, **hints):
        return not (app_label == APP_LABEL and db == "other")


# Putting and reading


def test_what_is_put_comes_out_signed(store):
    """Everything but the text, which is read where it is needed."""
    store.put([entry()])
    stored = store.rows()[KEY]
    assert stored.key == KEY
    assert stored.module == "shop.migrations.0001_initial"
    assert stored.digest == signing.digest(TEXT)
    assert stored.verdict is Verdict.VERIFIED
    assert stored.metadata.dependencies == []
    assert stored.record_id is None
    assert store.texts([KEY]) == {KEY: TEXT}


def test_texts_are_those_that_are_asked_for(store):
    """The same name in another app does not come along."""
    other = ("stock", KEY[1])
    store.put([entry(), entry(other, "other")])
    assert store.texts([other]) == {other: "other"}
    assert store.texts([]) == {}
    assert store.texts([("shop", "0009")]) == {}


def test_texts_of_one_app_are_read_of_that_app(store):
    """Every app has a migration of the same name."""
    store.put([entry((app_label, "0001"), f"# {app_label}") for app_label in ("auth", "shop", "stock")])
    with CaptureQueriesContext(connection) as queries:
        assert store.texts([("shop", "0001")]) == {("shop", "0001"): "# shop"}
    (asked,) = [one["sql"] for one in queries if "source_code" in one["sql"]]
    assert "'shop'" in asked


def test_many_texts_are_read_in_batches(store):
    """More than a database takes as parameters of one statement."""
    keys = [("shop", f"{number:04}") for number in range(1100)]
    store.put([entry(key, key[1]) for key in keys])
    assert store.texts(keys) == {key: key[1] for key in keys}


def test_many_entries_are_written_in_few_statements(store):
    """Ten times as many take the same statements, but for those that a database takes in parts."""

    def statements(count: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            store.put([entry((f"shop_{count}", f"{number:04}")) for number in range(count)])
        return len(queries)

    store.put([entry()])  # makes the identity
    assert statements(100) <= statements(10) + 3


def test_texts_of_any_alphabet_and_length_are_kept(store):
    """Not a character is lost."""
    text = "# \U0001f40d Käse сыр\n" + "x = 1\n" * 50_000
    store.put([entry(text=text)])
    assert store.texts([KEY]) == {KEY: text}


def test_the_same_again_changes_nothing(store, django_assert_num_queries):
    """It is found out by two queries, the second for the text."""
    store.put([entry()])
    before = row(KEY).stored_at
    with django_assert_num_queries(2 if connection.vendor != "postgresql" else 4):
        store.put([entry()])
    assert row(KEY).stored_at == before
    assert not MigrationCodeHistory.objects.exists()


def test_another_text_moves_the_old_one_into_the_history(store):
    """Old text is never lost, nor what it was bound to and when it was stored."""
    store.put([entry(record_id=7)])
    before = row(KEY)
    store.put([entry(text="new", record_id=8)])
    assert (row(KEY).source_code, row(KEY).record_id) == ("new", 8)
    assert row(KEY).stored_at >= before.stored_at
    (old,) = MigrationCodeHistory.objects.all()
    assert (old.app_label, old.migration_name, old.source_code) == (*KEY, TEXT)
    assert (old.record_id, old.stored_at, old.signature) == (7, before.stored_at, before.signature)


def test_every_earlier_text_is_kept(store):
    """In the order in which they were replaced."""
    for text in ("a", "b", "c", "a"):
        store.put([entry(text=text)])
    assert [one.source_code for one in MigrationCodeHistory.objects.all()] == ["a", "b", "c"]
    assert row(KEY).source_code == "a"


def test_the_history_holds_only_what_was_replaced(store):
    """The same name in another app stays where it is."""
    store.put([entry(), entry(("stock", KEY[1]))])
    store.put([entry(text="new"), entry(("stock", KEY[1]))])
    (old,) = MigrationCodeHistory.objects.all()
    assert old.app_label == "shop"


def test_what_is_only_signed_again_is_no_history(store):
    """The text did not change."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        store.put([entry()])
    assert store.rows()[KEY].verdict is Verdict.UNKNOWN_KEY
    store.put([entry()])
    assert store.rows()[KEY].verdict is Verdict.VERIFIED
    assert not MigrationCodeHistory.objects.exists()


@pytest.mark.parametrize(
    "column, value",
    [
        ("app_label", "stock"),
        ("migration_name", "0002"),
        ("module", "os"),
        ("metadata", "{}"),
        ("provenance", "inherited"),
        ("digest", "0" * 64),
    ],
)
def test_a_change_by_hand_is_seen(store, column, value):
    """Every column that decides what is executed is covered by the signature."""
    store.put([entry()])
    MigrationCode.objects.filter(app_label="shop").update(**{column: value})
    (stored,) = (one for one in store.rows().values() if one.module in {"shop.migrations.0001_initial", "os"})
    assert stored.verdict is Verdict.SIGNATURE_MISMATCH


def test_a_row_says_nothing_secret_of_itself(store):
    """Its text form has neither signature nor metadata."""
    store.put([entry()])
    stored = store.rows()[KEY]
    assert stored.signature not in repr(stored)
    assert stored.metadata_text not in repr(stored)


# Proof


def test_a_row_is_bound_by_the_newest_record(store):
    """Applied again, it stands for another record."""
    key = ("auth", "0001_initial")
    MigrationCode.objects.filter(app_label="auth").delete()
    store.bind(key, store.put([entry(key), entry(("auth", "0002"))])[key])
    assert store.known()[key].record_id == record_id(key)
    assert store.known()[("auth", "0002")].record_id is None


def test_without_a_record_nothing_is_bound(store):
    """The row stays unbound."""
    signed = store.put([entry(record_id=5)])[KEY]
    assert store.bind(KEY, signed) == replace(signed, record_id=None)
    assert store.known()[KEY].record_id is None
    assert row(KEY).proof == ""


def test_what_is_bound_is_told(store, django_assert_num_queries):
    """In two statements: it is done for each migration that is applied."""
    key = ("auth", "0001_initial")
    signed = store.put([entry(key)])[key]
    with django_assert_num_queries(2):
        bound = store.bind(key, signed)
    assert bound == replace(signed, record_id=record_id(key))
    assert (bound.digest, bound.serial) == (signing.digest(TEXT), row(key).serial)
    assert store.rows()[key].is_bound_to(record_id(key))


def test_of_what_is_not_stored_nothing_is_bound(store):
    """There is nothing that could be."""
    assert store.bind(("shop", "0009"), StoredRevision("", 1)) is None


@pytest.mark.parametrize("swapped", ["by another text", "by an earlier revision", "without a signature"])
def test_only_what_was_signed_here_is_bound(store, swapped):
    """What the row holds by now is never bound, whoever has signed it."""
    key = ("auth", "0001_initial")
    first = store.put([entry(key, text="a")])[key]
    earlier = MigrationCode.objects.filter(app_label="auth", migration_name=key[1]).values().get()
    signed = store.put([entry(key, text="b")])[key]
    values = {
        "by another text": {"source_code": "c", "digest": signing.digest("c")},
        "by an earlier revision": earlier,
        "without a signature": {"signature": ""},
    }[swapped]
    MigrationCode.objects.filter(pk=earlier["id"]).update(**values)
    assert first.signature != signed.signature
    assert store.bind(key, signed) is None
    assert (row(key).record_id, row(key).proof) == (None, "")


@pytest.mark.parametrize("values", [{"record_id": 6}, {"proof": ""}, {"proof": "0" * 64}], ids=str)
def test_a_record_without_a_proof_was_changed(store, values):
    """The row says nothing of a record that was not signed with it."""
    store.put([entry(record_id=5)])
    assert store.rows()[KEY].verdict is Verdict.VERIFIED
    MigrationCode.objects.filter(app_label="shop").update(**values)
    assert store.rows()[KEY].verdict is Verdict.SIGNATURE_MISMATCH
    assert not store.rows()[KEY].is_bound_to(6)


# Serial numbers


def test_each_text_has_the_next_number(store):
    """And what is put is told with it."""
    for serial, text in enumerate(("a", "b", "a"), 1):
        stored = store.put([entry(text=text)])[KEY]
        assert (stored.digest, stored.serial) == (signing.digest(text), serial)
    assert store.put([entry(text="a")]) == {KEY: stored}
    assert store.rows()[KEY].verdict is Verdict.VERIFIED


def test_it_comes_after_what_history_and_audit_log_know_of(store):
    """Also where the row itself has gone."""
    store.put([entry(text="a")])
    store.put([entry(text="b")])
    store.retire(KEY)
    assert store.put([entry()])[KEY].serial == 3
    store.retire(KEY)
    MigrationCodeHistory.objects.all().delete()
    AuditLog(connection).note([AuditEntry(Event.CAPTURED, KEY, serial=7)])
    assert store.put([entry()])[KEY].serial == 8


def test_signed_with_another_key_alone_it_keeps_its_number(store):
    """The text is the same, and is trusted already."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        store.put([entry()])
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new", "old"]):
        assert store.put([entry()])[KEY].serial == 1
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"]):
        assert store.rows()[KEY].verdict is Verdict.VERIFIED


@pytest.mark.parametrize("event", [Event.REFUSED, Event.FAILED, Event.BEGAN])
def test_what_may_have_been_rolled_back_does_not_count(store, event):
    """A failure is noted after the transaction that it undid."""
    store.put([entry()])
    AuditLog(connection).note([AuditEntry(event, KEY, serial=2)])
    assert store.rows()[KEY].verdict is Verdict.VERIFIED


def test_an_older_row_is_seen(store):
    """By the audit log, or by the history, where what they say was signed."""
    store.put([entry(text="a")])
    row = MigrationCode.objects.filter(app_label=KEY[0], migration_name=KEY[1])
    older = row.values().get()
    store.put([entry(text="b")])
    newer = row.values().get()
    row.update(**older)
    assert store.rows()[KEY].verdict is Verdict.REPLAYED_REVISION
    MigrationEvent.objects.update(signature="")
    assert store.rows()[KEY].verdict is Verdict.VERIFIED
    newer.pop("id")
    MigrationCodeHistory.objects.create(**newer)
    assert store.rows()[KEY].verdict is Verdict.REPLAYED_REVISION
    MigrationCodeHistory.objects.update(serial=LAST_SERIAL)
    assert store.rows()[KEY].verdict is Verdict.VERIFIED


def test_nobody_uses_up_the_numbers(store):
    """What a row claims without a signature leaves room above it."""
    store.put([entry(text="a")])
    row = MigrationCode.objects.filter(app_label=KEY[0], migration_name=KEY[1])
    row.update(serial=LAST_SERIAL - 1)
    serial = store.put([entry(text="b")])[KEY].serial
    assert serial == 2
    row.update(serial=2**30)
    serial = store.put([entry(text="c")])[KEY].serial
    assert serial == 2**30 + 1
    assert store.put([entry(text="d")])[KEY].serial == serial + 1


def test_the_last_number_is_not_passed(store):
    """Columns hold no more; what is larger is none of ours."""
    AuditLog(connection).note([AuditEntry(Event.CAPTURED, KEY, serial=LAST_SERIAL)])
    assert store.put([entry()])[KEY].serial == LAST_SERIAL
    assert store.put([entry(text="b")])[KEY].serial == LAST_SERIAL
    assert store.rows()[KEY].verdict is Verdict.VERIFIED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [MigrationEvent, MigrationCodeHistory])
def test_without_audit_log_or_history_nothing_is_refused(store, model):
    """Either may have been dropped by hand."""
    store.put([entry()])
    try:
        with hidden(model._meta.db_table):
            assert store.rows()[KEY].verdict is Verdict.VERIFIED
    finally:
        MigrationCode.objects.filter(app_label="shop").delete()


def test_a_text_that_was_changed_by_hand_is_put_right(store):
    """All columns but the text itself are as they would be stored."""
    store.put([entry()])
    MigrationCode.objects.filter(app_label="shop").update(source_code="other")
    store.put([entry()])
    assert row(KEY).source_code == TEXT
    assert [one.source_code for one in MigrationCodeHistory.objects.all()] == ["other"]


def test_contents_that_were_changed_by_hand_are_put_right(store):
    """Whoever stores them again."""
    digest = signing.digest_of(b"content")
    store.put([entry(contents={digest: b"content"})])
    StoredContent.objects.filter(digest=digest).update(content=b"other")
    store.put([entry(contents={digest: b"content"})])
    assert store.contents([digest]) == {digest: b"content"}


def test_the_baseline_is_read_with_its_records(store):
    """A record with another id was applied later, and what nobody has signed does not count."""
    missing = MissingBeforeInstall(connection)
    missing.acknowledge(("shop", "0009"), 3)
    BaselineMigration.objects.create(app_label="shop", migration_name="0010", record_id=3)
    assert missing.records() == {("shop", "0009"): 3}
    assert missing.acknowledged() == {("shop", "0009")}
    assert missing.unsigned() == [("shop", "0010")]
    BaselineMigration.objects.filter(migration_name="0009").update(forgotten_at=None)
    assert missing.records() == {}


# The table is not there


def read_everything(store: Store) -> list[object]:
    return [store.rows(), store.known(), store.texts([KEY])]


@pytest.mark.django_db(transaction=True)
def test_a_table_that_was_dropped_by_hand_is_empty(store):
    """Whoever asks gets an answer."""
    with hidden(MigrationCode._meta.db_table):
        assert not store.exists()
        assert read_everything(store) == [{}, {}, {}]
    assert store.exists()


@pytest.mark.django_db(transaction=True)
def test_a_missing_table_does_not_take_the_transaction_along(store):
    """Inside `atomic()` the next statement runs as if nobody had asked."""
    with hidden(MigrationCode._meta.db_table), transaction.atomic():
        assert read_everything(store) == [{}, {}, {}]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL has schemas in this sense.")
def test_each_schema_has_its_own_store(store):
    """A tenant's `search_path` goes on to the public schema, whose rows are not the tenant's."""
    store.put([entry()])
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA tenant")
        cursor.execute("SET LOCAL search_path TO tenant, public")
        assert not store.exists()
        assert read_everything(store) == [{}, {}, {}]
        for model in (MigrationCode, MigrationCodeHistory, BaselineMigration):
            table = model._meta.db_table
            cursor.execute(f"CREATE TABLE tenant.{table} (LIKE public.{table} INCLUDING ALL)")
        assert read_everything(store) == [{}, {}, {}]
        store.put([entry(text="of the tenant")])
        assert store.texts([KEY]) == {KEY: "of the tenant"}
        store.put([entry(text="newer")])
        cursor.execute("SET LOCAL search_path TO public")
        assert store.texts([KEY]) == {KEY: TEXT}
        assert not MigrationCodeHistory.objects.exists()


# Several databases


@pytest.mark.django_db(databases=["default", "other"])
def test_each_alias_has_its_own_store():
    """What is put into one is not in the other."""
    Store(connections["other"]).put([entry()])
    assert Store(connections["other"]).texts([KEY]) == {KEY: TEXT}
    assert Store(connection).texts([KEY]) == {}


@pytest.mark.django_db(databases=["default", "other"])
def test_a_second_text_goes_into_the_history_of_its_alias():
    """The history is kept where the text is."""
    other = Store(connections["other"])
    other.put([entry()])
    other.put([entry(text="new")])
    assert MigrationCodeHistory.objects.using("other").count() == 1
    assert not MigrationCodeHistory.objects.exists()


def test_a_router_may_keep_us_out():
    """It is asked for each alias."""
    assert Store(connections["other"]).is_allowed
    with override_settings(DATABASE_ROUTERS=[Elsewhere()]):
        assert not Store(connections["other"]).is_allowed
        assert Store(connection).is_allowed


# What Django does to data


def dump(*args: str, **options: object) -> list[dict[str, object]]:
    out = StringIO()
    call_command("dumpdata", *args, stdout=out, **options)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("everything", [False, True])
def test_dumpdata_leaks_no_source(store, everything):
    """Neither of a whole project nor, with `--all`, past the default manager."""
    store.put([entry()])
    store.put([entry(text="new")])
    BaselineMigration.objects.create(app_label="shop", migration_name="0009", record_id=3)
    dumped = dump(use_base_manager=everything)
    assert dumped
    assert not [one for one in dumped if one["model"].startswith(f"{APP_LABEL}.")]


def load(tmp_path, *objects: dict[str, object]) -> None:
    path = tmp_path / "fixture.json"
    path.write_text(json.dumps(objects))
    call_command("loaddata", str(path), verbosity=0)


def fixture(pk: int | None = None, **fields: object) -> dict[str, object]:
    fields = {
        "app_label": KEY[0],
        "migration_name": KEY[1],
        "source_code": "forged",
        "metadata": "{}",
        "record_id": 1,
        "stored_at": "2020-01-01T00:00:00Z",
        **fields,
    }
    return {"model": "django_rewind.migrationcode", "pk": pk, "fields": fields}


def test_loaddata_replaces_no_stored_row(store, tmp_path):
    """What is here ran here, whether the key of the row is the same or not."""
    store.put([entry(record_id=7)])
    before = MigrationCode.objects.values().get(app_label="shop")
    for pk in (before["id"], before["id"] + 1000, None):
        load(tmp_path, fixture(pk))
    assert MigrationCode.objects.values().get(app_label="shop") == before


def test_loaddata_does_not_overwrite_by_key(store, tmp_path):
    """A row that is not here is added beside what has its number."""
    store.put([entry()])
    pk = row(KEY).pk
    load(tmp_path, fixture(pk, app_label="stock"))
    assert row(KEY).source_code == TEXT
    assert row(("stock", KEY[1])).pk != pk


def test_what_loaddata_adds_is_bound_to_nothing(store, tmp_path):
    """It was never applied here, and its signature is looked at like any other."""
    load(tmp_path, fixture())
    stored = store.rows()[KEY]
    assert stored.record_id is None
    assert stored.verdict is Verdict.UNSIGNED


def test_loaddata_of_everything_works_on_both_sides(store, tmp_path):
    """A dump of a whole project goes in again."""
    store.put([entry()])
    load(tmp_path, *dump())
    assert row(KEY).source_code == TEXT


def test_our_own_writes_are_not_kept_back(store):
    """Only what is loaded raw is."""
    store.put([entry()])
    stored = row(KEY)
    stored.source_code = "other"
    stored.save()
    assert row(KEY).source_code == "other"


@pytest.mark.django_db(transaction=True)
def test_flush_keeps_what_is_stored(store):
    """`flush` empties data, not the safety net."""
    store.put([entry()])
    store.put([entry(text="new")])
    try:
        call_command("flush", interactive=False, verbosity=0)
        assert row(KEY).source_code == "new"
        assert MigrationCodeHistory.objects.filter(app_label="shop").count() == 1
    finally:
        for model in (MigrationCode, MigrationCodeHistory):
            model.objects.filter(app_label="shop").delete()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_test_case_keeps_what_is_stored(store):
    """It empties every managed table when it is done."""
    store.put([entry()])

    class Case(TransactionTestCase):
        def test(self):
            assert row(KEY)

    try:
        case = Case("test")
        assert case.run().wasSuccessful()
        assert row(KEY).source_code == TEXT
    finally:
        MigrationCode.objects.filter(app_label="shop").delete()


def test_our_own_migrations_are_stored_too(store):
    """They are stored once the tables are there."""
    ours = [key for key in store.rows() if key[0] == APP_LABEL]
    migrations = Path(django_rewind.__file__).parent / "migrations"
    on_disk = {path.stem for path in migrations.glob("0*.py")}
    assert {name for _, name in ours} == on_disk
    assert {store.rows()[key].verdict for key in ours} == {Verdict.VERIFIED}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_baseline_that_was_dropped_by_hand_is_empty():
    """Recorded does not mean that each of our tables exists."""
    with hidden(BaselineMigration._meta.db_table):
        assert MissingBeforeInstall(connection).records() == {}


def test_a_column_that_comes_in_meanwhile_does_no_harm(store):
    """Another process may be about to make our tables: what it adds between two statements is not stumbled over."""
    table = MigrationCode._meta.db_table
    added = []

    def add_a_column_after(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if table in f"{sql} {params}" and "ALTER TABLE" not in sql:
            added.append(f"late_{len(added)}")
            connection.cursor().execute(f"ALTER TABLE {table} ADD COLUMN {added[-1]} integer NULL")
        return result

    try:
        with connection.execute_wrapper(add_a_column_after):
            assert store.is_complete
        assert added
    finally:
        # MySQL takes no schema change back.
        for column in added if connection.vendor == "mysql" else []:
            connection.cursor().execute(f"ALTER TABLE {table} DROP COLUMN {column}")


@pytest.mark.django_db(transaction=True)
def test_without_one_of_its_tables_it_is_not_complete(store):
    """Nor within a transaction, which goes on."""
    with hidden(MigrationEvent._meta.db_table), transaction.atomic():
        assert not store.is_complete
        assert Store(connection).all() is not None
    assert store.is_complete
