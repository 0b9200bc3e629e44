"""Our own migrations: forward, to zero, and over a database of version 0.1.0."""

from __future__ import annotations

import contextlib
import sys
from io import StringIO
from textwrap import dedent

import pytest
from django.apps import apps as django_apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_rewind.actions.trust import Trust
from django_rewind.models import BaselineMigration, MigrationCode, MigrationCodeHistory, Origin
from django_rewind.sources import signing
from django_rewind.sources.signing import Verdict
from django_rewind.storage.store import Store
from django_rewind.storage.upgrade import describe_imported
from django_rewind.utils.types import APP_LABEL
from tests.support.fixtures import applied, columns, migrate, record_id, row, store_anew
from tests.support.helpers import add, create
from tests.unit.sources.test_description import CLASS

pytestmark = [pytest.mark.deep, pytest.mark.django_db(transaction=True, databases=["default", "other"])]

TABLES = ["django_migrations_code", "django_migrations_code_history", "django_migrations_baseline"]
OURS = [
    "0001_initial",
    "0002_signed_source",
    "0003_take_over",
    "0004_stored_content",
    "0005_verification",
    "0006_ledger",
    "0007_any_text",
    "0008_identity",
]


@pytest.fixture(autouse=True)
def _stored_anew(transactional_db):
    """What is applied is stored and proven, as every other test expects it."""
    yield
    store_anew()


@pytest.fixture
def old(app, settings):
    """The shop in a database where version 0.1.0 was at work: its table, its one record, its rows."""
    settings.DJANGO_REWIND_ENABLED = False
    migrate(APP_LABEL, "zero")
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    migrate(APP_LABEL, "0001")
    for name in ("0001_initial", "0002_a"):
        insert("shop", name, (app.path / f"{name}.py").read_text())
    settings.DJANGO_REWIND_ENABLED = True
    yield app
    settings.DJANGO_REWIND_ENABLED = True
    app.delete(*(path.stem for path in app.path.glob("0*.py")))
    app.reload()
    call_command("migrate", verbosity=0)


def insert(app_label: str, name: str, text: str) -> None:
    """Write a row as version 0.1.0 wrote it."""
    sql = (
        "INSERT INTO django_migrations_code (app_label, migration_name, source_code, stored_at)"
        " VALUES (%s, %s, %s, '2020-01-01 00:00:00')"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [app_label, name, text])


def look_and_sign(*words: str) -> None:
    """Agree to what is shown."""
    trust = Trust(connection, *words)
    trust.sign([doubt for doubt in trust.doubts if not doubt.reason])


def test_the_first_migration_makes_the_table_of_version_0_1_0(old):
    """The rest comes later."""
    assert applied(APP_LABEL) == OURS[:1]
    expected = {"id", "app_label", "migration_name", "source_code", "stored_at"}
    assert columns("django_migrations_code") == expected


def test_its_rows_are_stored_from_their_files(old):
    """Where the file is there and is the same: signed, bound to the record that is there, and of the same date."""
    migrate()
    stored = Store(connection).rows()[old.key("0002_a")]
    assert stored.verdict is Verdict.VERIFIED
    assert stored.origin == Origin.BACKFILLED
    assert stored.module == old.module("0002_a")
    assert stored.metadata.dependencies == [old.key("0001_initial")]
    assert stored.record_id == record_id(old.key("0002_a"))
    assert row(old.key("0002_a")).stored_at.year == 2020


def test_its_own_migration_is_what_ours_is(old):
    """It made the same table in other words: nothing is amiss, and its text is kept as an earlier one."""
    text = (
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    initial = True\n"
    )
    insert(APP_LABEL, "0001_initial", text)
    migrate()
    call_command("verify_migrations", APP_LABEL, stdout=StringIO())
    out = StringIO()
    call_command("rewind", plan=True, stdout=out)
    assert APP_LABEL not in out.getvalue()
    (earlier,) = MigrationCodeHistory.objects.filter(app_label=APP_LABEL)
    assert (earlier.source_code, earlier.stored_at.year) == (text, 2020)


def test_a_history_asks_for_our_tables(old):
    """Its tables hold less than ours, and what to do about it is said."""
    with pytest.raises(CommandError, match=r"run 'manage.py migrate --database default' first"):
        call_command("show_stored_migrations", history=["shop", "0002"], stdout=StringIO())


def test_what_it_stored_gives_way_to_its_file(old):
    """Comments apart the file is what was stored: the text of the file is stored, the other one is kept."""
    path = old.path / "0002_a.py"
    text = path.read_text()
    old.write("0002_a", f"# A remark\n{text}".encode())
    migrate()
    stored = Store(connection).rows()[old.key("0002_a")]
    assert stored.verdict is Verdict.VERIFIED
    assert stored.origin == Origin.BACKFILLED
    assert [one["text"] for one in stored.metadata.operations] == ["Add field a to product"]
    assert [one["effect"] for one in stored.metadata.effects] == ["add_field"]
    assert row(old.key("0002_a")).source_code == f"# A remark\n{text}"
    (earlier,) = MigrationCodeHistory.objects.filter(app_label="shop")
    assert (earlier.source_code, earlier.stored_at.year) == (text, 2020)


def test_once_described_it_costs_no_query_more(old, settings):
    """A `migrate` with nothing to do looks at it once."""
    migrate()
    with CaptureQueriesContext(connection) as ours:
        migrate()
    settings.DJANGO_REWIND_ENABLED = False
    with CaptureQueriesContext(connection) as alone:
        migrate()
    assert len(ours) == len(alone) + 1


def test_what_it_stored_is_not_described_from_an_edited_file(old):
    """What the file would do is not what ran: a person is asked. Back as it was, it is stored."""
    text = (old.path / "0002_a.py").read_text()
    old.write("0002_a", text.replace("TextField", "CharField").encode())
    for _ in range(2):
        with contextlib.redirect_stderr(StringIO()) as said:
            migrate()
        assert "verify_migrations --sign shop 0002_a" in said.getvalue()
        assert "verify_migrations --accept shop 0002_a" in said.getvalue()
    assert Store(connection).rows()[old.key("0002_a")].verdict is Verdict.UNSIGNED
    assert row(old.key("0002_a")).source_code == text
    old.write("0002_a", text.encode())
    migrate()
    assert Store(connection).rows()[old.key("0002_a")].verdict is Verdict.VERIFIED


def test_an_edited_file_is_accepted_in_place_of_what_it_stored(old):
    """That is what the warning names."""
    text = (old.path / "0002_a.py").read_text()
    old.write("0002_a", text.replace("TextField", "CharField").encode())
    migrate()
    call_command("verify_migrations", accept=["shop", "0002"], stdout=StringIO())
    stored = Store(connection).rows()[old.key("0002_a")]
    assert (stored.verdict, stored.origin) == (Verdict.VERIFIED, Origin.ACCEPTED)


def test_what_it_would_lose_is_found_out_before_it_is_undone(old, settings):
    """Without its file, it is loaded; in production rows are not lost by --noinput alone."""
    settings.DEBUG = False
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_product (a) VALUES ('x')")
    old.delete("0002_a")
    migrate()
    look_and_sign("shop")
    with pytest.raises(CommandError, match=r"column 'a' of 'shop_product' \(1 row; shop\.0002_a\)"):
        call_command("rewind", "shop", "0001", interactive=False, verbosity=0)
    assert applied("shop") == ["0001_initial", "0002_a"]
    call_command("rewind", "shop", "0001", interactive=False, verbosity=0, allow_data_loss=True)
    assert columns("shop_product") == {"id"}


def test_a_plan_says_what_the_text_spells_out(old):
    """Nothing is executed to show a plan."""
    old.delete("0002_a")
    migrate()
    look_and_sign("shop")
    out = StringIO()
    call_command("rewind", "shop", "0001", plan=True, stdout=out, no_color=True)
    assert "Undo Add field a to product" in out.getvalue()


def test_nobody_is_asked_about_one_that_cannot_be_undone(old, monkeypatch):
    """That it is irreversible is found out by loading it."""
    insert("shop", "0003_c", old.migration("0003_c", "migrations.RunSQL('SELECT 1')", after="0002_a"))
    MigrationRecorder(connection).record_applied("shop", "0003_c")
    old.delete("0003_c")
    migrate()
    look_and_sign("shop")
    monkeypatch.setattr("builtins.input", pytest.fail)
    with pytest.raises(CommandError, match=r"Cannot roll back shop\.0003_c"):
        call_command("rewind", "shop", "0002", verbosity=0, stdout=StringIO())


def test_what_it_stored_can_be_undone(old):
    """The file is gone, and the text of 0.1.0 takes it back."""
    migrate()
    old.delete("0002_a")
    migrate("shop", "0001")
    assert applied("shop") == ["0001_initial"]
    assert columns("shop_product") == {"id"}


def test_what_had_no_file_already_is_the_baseline(old):
    """It is remembered with its record, and is undone when it is named, once somebody has looked at it."""
    old.delete("0002_a")
    with contextlib.redirect_stderr(StringIO()) as said:
        migrate()
    assert "shop.0002_a is not signed" in said.getvalue()
    (baseline,) = BaselineMigration.objects.filter(app_label="shop")
    assert baseline.migration_name == "0002_a"
    assert baseline.record_id == record_id(old.key("0002_a"))
    for command in (["migrate", "shop", "0001"], ["migrate", "shop", "zero"], ["rewind", "shop", "0001"]):
        with pytest.raises(CommandError, match=r"shop\.0002_a.* not signed") as error:
            call_command(*command, interactive=False, verbosity=0)
        assert "verify_migrations --sign shop 0002_a" in str(error.value)
    assert applied("shop") == ["0001_initial", "0002_a"]
    look_and_sign("shop")
    migrate("shop", "0001")
    assert applied("shop") == ["0001_initial"]


def test_a_baseline_above_a_missing_one_is_not_undone_with_it(old):
    """A bare `rewind` says so, and with what both are undone."""
    old.delete("0002_a")
    migrate()
    look_and_sign("shop")
    old.delete("0001_initial")
    with pytest.raises(CommandError, match=r"shop\.0001_initial.* shop\.0002_a depends on it") as error:
        call_command("rewind", interactive=False, verbosity=0)
    assert "manage.py rewind shop zero" in str(error.value)
    assert applied("shop") == ["0001_initial", "0002_a"]
    call_command("rewind", "shop", "zero", interactive=False, verbosity=0)
    assert applied("shop") == []


def test_nothing_of_it_is_executed(old):
    """Metadata are read from the text, what stands around them is not run."""
    text = "import marks_of_takeover\nraise SystemExit\nclass Migration:\n    dependencies = [('shop', '0002_a')]\n"
    insert("shop", "0003_c", text)
    migrate()
    assert "marks_of_takeover" not in sys.modules
    assert Store(connection).rows()["shop", "0003_c"].claimed_metadata.dependencies == [("shop", "0002_a")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no python at all",
        "class Other: pass",
        "class Migration:\n    dependencies = make()",
    ],
)
def test_what_cannot_be_parsed_stays_unsigned(old, text):
    """It keeps nobody from migrating, and is refused should it be needed."""
    insert("shop", "0003_c", text)
    migrate()
    assert applied(APP_LABEL) == OURS
    assert Store(connection).rows()["shop", "0003_c"].verdict is Verdict.UNSIGNED
    assert row(("shop", "0003_c")).source_code == text


def test_a_row_of_an_app_that_is_gone_can_be_signed_too(old):
    """Where its module was is not known any more; by default it was in a package of its label."""
    insert("of_nothing", "0001_initial", "class Migration:\n    pass\n")
    migrate()
    assert applied(APP_LABEL) == OURS
    look_and_sign("of_nothing")
    stored = Store(connection).rows()["of_nothing", "0001_initial"]
    assert (stored.verdict, stored.module) == (Verdict.VERIFIED, "of_nothing.migrations.0001_initial")
    MigrationCode.objects.filter(app_label="of_nothing").delete()


def test_what_an_app_that_is_gone_has_left_behind_can_be_undone(old):
    """When it is named; back with its files, its migrations are stored like any other's."""
    with override_settings(INSTALLED_APPS=[one for one in settings.INSTALLED_APPS if one != "shop"]):
        migrate()
        look_and_sign("shop")
        call_command("rewind", "shop", "0001", interactive=False, verbosity=0)
    assert applied("shop") == ["0001_initial"]
    assert columns("shop_product") == {"id"}


def test_an_inherited_one_that_does_not_load_is_refused_by_name(old):
    """Nobody knew what it does until it was needed."""
    insert(
        "shop",
        "0003_c",
        dedent("""
        import of_nothing_at_all
        class Migration:
            dependencies = [("shop", "0002_a")]
    """),
    )
    MigrationRecorder(connection).record_applied("shop", "0003_c")
    migrate()
    look_and_sign("shop")
    with pytest.raises(CommandError, match=r"shop\.0003_c"):
        migrate("shop", "0001")
    assert applied("shop") == ["0001_initial", "0002_a", "0003_c"]
    assert columns("shop_product") == {"id", "a"}


def test_the_take_over_runs_once(old, settings):
    """A row that somebody writes later is not signed by migrating again."""
    migrate()
    MigrationCode.objects.create(
        app_label="shop", migration_name="0003_c", source_code="class Migration: pass"
    )
    migrate()
    assert Store(connection).rows()["shop", "0003_c"].verdict is Verdict.UNSIGNED


def test_to_zero_and_forward_again(app):
    """The tables go and come, and what is on disk is stored anew."""
    app.migration("0001_initial", create("Product"))
    migrate("shop")
    try:
        migrate(APP_LABEL, "zero")
        assert applied(APP_LABEL) == []
        assert [columns(table) for table in TABLES] == [set(), set(), set()]
        migrate("shop", "zero")
    finally:
        migrate()
    assert applied(APP_LABEL) == OURS
    assert all(columns(table) for table in TABLES)
    assert row(app.key("0001_initial")).source_code
    assert applied("shop") == ["0001_initial"]


def test_what_was_signed_before_there_were_bindings_is_stored_anew():
    """From its file, whatever stands in the row; what has no file waits for a person."""
    tampered, gone = ("auth", "0001_initial"), ("auth", "0002_alter_permission_name_max_length")
    try:
        migrate(APP_LABEL, "0005")
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_migrations_code SET module = 'os' WHERE migration_name = %s", [tampered[1]]
            )
            cursor.execute(
                "UPDATE django_migrations_code SET app_label = 'gone' WHERE app_label = 'auth'"
                " AND migration_name = %s",
                [gone[1]],
            )
    finally:
        migrate()
    found = Store(connection).rows()
    assert found[tampered].verdict is Verdict.VERIFIED
    assert found[tampered].is_bound_to(record_id(tampered))
    assert found["gone", gone[1]].verdict is Verdict.UNSIGNED
    MigrationCode.objects.filter(app_label="gone").delete()


@pytest.mark.parametrize("target", ["0001", "0002"])
def test_a_step_back_and_forward_again(target):
    """In between nothing is captured and nothing breaks."""
    try:
        migrate(APP_LABEL, target)
        migrate("auth", "0001")
    finally:
        migrate()
    assert applied(APP_LABEL) == OURS
    assert Store(connection).rows()["auth", "0001_initial"].verdict is Verdict.VERIFIED


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize(
    "line", ["dependencies = [migrations.swappable_dependency(settings.GONE_MODEL)]", "dependencies = 5"]
)
def test_a_strange_row_of_0_1_0_keeps_nobody_from_migrating(app, line):
    """It stays unsigned."""
    MigrationCode.objects.create(app_label="shop", migration_name="0001", source_code=CLASS.format(line))
    describe_imported(django_apps, connection)
    assert Store(connection).rows()["shop", "0001"].verdict is Verdict.UNSIGNED


# What was stored before 0007


@pytest.mark.skipif(connection.vendor != "mysql", reason="elsewhere columns compare to the letter")
@pytest.mark.parametrize("kind", ["varchar(255) CHARACTER SET utf8mb4", "varbinary(480)"])
def test_columns_of_an_earlier_version(kind):
    """Their names are kept, whatever is in them, and told apart from then on; also where it was interrupted."""
    names = ["0002_price ", "0003_цена", "0004_" + "日" * 50, "0005_plain"]
    try:
        migrate(APP_LABEL, "0006")
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE django_migrations_code MODIFY migration_name {kind} NOT NULL")
            for name in names:
                cursor.execute(
                    "INSERT INTO django_migrations_code (app_label, migration_name, source_code, module, metadata,"
                    " provenance, digest, signature, key_fingerprint, proof, serial, stored_at)"
                    " VALUES ('cheese', %s, '', '', '{}', 'captured', '', '', '', '', 0, '2020-01-01')",
                    [name],
                )
    finally:
        migrate()
    found = MigrationCode.objects.filter(app_label="cheese")
    assert set(found.values_list("migration_name", flat=True)) == set(names)
    assert found.filter(migration_name=names[2]).exists()
    assert not found.filter(migration_name=names[0].rstrip()).exists()
    MigrationCode.objects.create(app_label="cheese", migration_name="0005_PLAIN", source_code="")
    found.delete()


def test_its_own_migrations_are_stored_anew():
    """Earlier versions had written them otherwise: nothing is amiss, and what they stored is kept."""
    try:
        migrate(APP_LABEL, "0006")
        old = MigrationCode.objects.filter(app_label=APP_LABEL, migration_name="0001_initial")
        old.update(source_code="class Migration: pass", digest=signing.digest("class Migration: pass"))
    finally:
        migrate()
    call_command("verify_migrations", APP_LABEL, stdout=StringIO())
    (earlier,) = MigrationCodeHistory.objects.filter(app_label=APP_LABEL, migration_name="0001_initial")
    assert earlier.source_code == "class Migration: pass"
    assert "django_migrations_code" in row((APP_LABEL, "0001_initial")).source_code
    earlier.delete()
