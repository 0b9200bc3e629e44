"""What happens to a migration stands in an audit log in the database that it happened in."""

from __future__ import annotations

import getpass
import json
import os
import platform
import signal
import socket
from datetime import datetime

import django
import pytest

from tests.support.helpers import AUDIT_LOG, Project, add, create, python

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(null=True)")
STOCK = add("product", "stock", "IntegerField(null=True)")


def with_price(shop: Project) -> None:
    """Apply 0002 of a branch, whose file is gone afterwards."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")


def last(shop: Project, *columns: str, alias: str = "default") -> tuple[object, ...]:
    names = ", ".join(f"`{one}`" if shop.db().vendor == "mysql" else f'"{one}"' for one in columns)
    return shop.rows(f"SELECT {names} FROM {AUDIT_LOG} ORDER BY id DESC", alias=alias)[0]


def record_id(shop: Project, name: str) -> object:
    return shop.rows("SELECT id FROM django_migrations WHERE app = 'shop' AND name = %s", name)[0][0]


def digest(shop: Project, name: str) -> object:
    return shop.rows("SELECT digest FROM django_migrations_code WHERE migration_name = %s", name)[0][0]


# Every event -------------------------------------------------------------------


def test_applied(shop):
    """Captured, then applied: with the record, the text, the time that it took, and whence the code came."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate")

    assert shop.audit_log("shop.0002_price") == [("captured", ""), ("applied", "file")]
    columns = ("event", "record_id", "digest", "alias", "detail")
    expected = ("applied", record_id(shop, "0002_price"), digest(shop, "0002_price"), "default", "")
    assert last(shop, *columns) == expected
    assert 0 < last(shop, "seconds")[0] < 60


def test_what_was_applied_before_us(project):
    """It is filled in, and nobody claims to have seen it applied."""
    project.install()
    project.app("shop")
    project.migration("shop.0001_initial", create("Product"))
    project.manage("migrate")
    project.install("django_rewind", "shop")

    project.manage("migrate")

    assert project.audit_log("shop.0001_initial") == [("backfilled", "")]
    assert last(project, "detail") == ("from its file",)


def test_our_own_migrations(project):
    """From the one on that makes the audit log what it is: entries are signed from then on."""
    project.manage("migrate")

    names = project.rows(f"SELECT migration_name FROM {AUDIT_LOG} WHERE event = 'applied'")
    assert names[0] == ("0008_identity",)


def test_unapplied_by_its_file(shop):
    """Django's own way back."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    applied_as = record_id(shop, "0002_price")

    shop.manage("migrate", "shop", "0001")

    assert shop.audit_log("shop.0002_price")[2:] == [("unapplied", "file")]
    assert last(shop, "record_id", "digest") == (applied_as, digest(shop, "0002_price"))
    assert last(shop, "seconds")[0] > 0


@pytest.mark.parametrize("command", [("migrate", "shop", "0001"), ("rewind", "--noinput")])
def test_rewound_from_stored_code(shop, command):
    """By either command."""
    with_price(shop)
    applied_as = record_id(shop, "0002_price")

    shop.manage(*command)

    assert shop.audit_log("shop.0002_price")[2:] == [("rolled_back", "stored")]
    assert last(shop, "record_id", "digest") == (applied_as, digest(shop, "0002_price"))


def test_rewound_by_its_file(shop):
    """It is the command that makes it a rewind."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")

    shop.manage("rewind", "shop", "0001", "--noinput")

    assert shop.audit_log("shop.0002_price")[2:] == [("rolled_back", "file")]


def test_faked_and_forgotten(shop):
    """Records come and go without anything being done."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate", "--fake")
    assert shop.audit_log("shop.0002_price") == [("backfilled", ""), ("marked_applied", "")]
    assert last(shop, "seconds", "record_id") == (None, record_id(shop, "0002_price"))

    shop.manage("migrate", "--fake", "shop", "0001")
    assert shop.audit_log("shop.0002_price")[2:] == [("marked_unapplied", "")]


def test_faked_as_initial(shop):
    """What `--fake-initial` finds there is faked, what it does not find is applied."""
    shop.execute("DELETE FROM django_migrations WHERE app = 'shop'")
    shop.app("stock")
    shop.migration("stock.0001_initial", create("Item"))

    shop.manage("migrate", "--fake-initial")

    assert shop.audit_log("shop.0001_initial")[-1] == ("marked_applied", "")
    assert shop.audit_log("stock.0001_initial")[-1] == ("applied", "file")


@pytest.mark.skipif(django.VERSION < (4, 1), reason="migrate --prune is new in Django 4.1")
def test_pruned(shop):
    """Django's `--prune` deletes the record of what another file has made anew."""
    shop.manage("migrate")
    shop.delete("shop/migrations/0001_initial.py")
    shop.migration("shop.0001_again", create("Product", name="CharField(max_length=50)"), initial=True)
    shop.manage("migrate", "--fake-initial")
    was = record_id(shop, "0001_initial")

    shop.manage("migrate", "--prune", "shop")

    assert shop.audit_log("shop.0001_initial")[-1] == ("pruned", "")
    assert last(shop, "record_id") == (was,)


def test_a_squash_that_is_applied(project):
    """What it replaces is recorded along with it."""
    project.app("shop")
    project.migration("shop.0001_squashed", create("Product"), replaces=["0001_initial", "0002_more"])

    project.manage("migrate")

    assert project.audit_log("shop.0001_initial") == [("applied", "")]
    # Older Djangos record the squashed migration itself after the step, on the side.
    captured, applied = project.audit_log("shop.0001_squashed")
    assert captured == ("captured", "")
    assert applied in (("applied", "file"), ("applied", ""))
    details = project.rows(f"SELECT detail FROM {AUDIT_LOG} WHERE migration_name = '0002_more'")
    assert details == [("with shop.0001_squashed",)]


def test_a_squash_that_is_recorded_on_the_side(shop):
    """All that it replaces is applied already."""
    shop.migration("shop.0001_squashed", create("Product"), replaces=["0001_initial"])

    shop.manage("migrate")

    events = dict(shop.rows(f"SELECT event, detail FROM {AUDIT_LOG} WHERE migration_name = '0001_squashed'"))
    assert events["applied"] == "all that it replaces is applied"


def test_undoing_a_squash(project):
    """Each record is deleted once, and that is said once."""
    project.app("shop")
    with project.on_branch("squash"):
        project.migration("shop.0001_squashed", create("Product"), replaces=["0001_initial", "0002_more"])
        project.manage("migrate")

    project.manage("rewind", "--noinput")

    assert project.applied("shop") == []
    rows = project.rows(f"SELECT migration_name FROM {AUDIT_LOG} WHERE event = 'rolled_back'")
    assert sorted(rows) == [("0001_initial",), ("0001_squashed",), ("0002_more",)]


def test_accepted(shop):
    """The file in the place of what ran."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_price", PRICE.replace("Integer", "Text"), after="0001_initial")

    shop.manage("verify_migrations", "--accept", "shop", "0002_price")

    assert shop.audit_log("shop.0002_price")[2:] == [("accepted", "")]
    assert last(shop, "digest", "record_id") == (digest(shop, "0002_price"), record_id(shop, "0002_price"))


def test_adopted(shop):
    """Under both names."""
    with_price(shop)
    shop.migration("shop.0003_price", PRICE, after="0001_initial")

    shop.manage("rewind", "--adopt", "--noinput")

    assert shop.audit_log("shop.0002_price")[-1] == ("renamed", "")
    assert shop.audit_log("shop.0003_price") == [("renamed", "")]
    assert last(shop, "detail") == ("it was shop.0002_price",)


def test_restored(shop):
    """The file is there again."""
    with_price(shop)

    shop.manage("restore_migrations")

    assert shop.audit_log("shop.0002_price")[2:] == [("restored", "")]
    assert last(shop, "digest")[0] == digest(shop, "0002_price")
    assert last(shop, "detail")[0].endswith("0002_price.py")


def test_found_in_git(project):
    """That it was looked for there is said."""
    project.install()
    project.app("shop")
    project.migration("shop.0001_initial", create("Product"))
    project.commit()
    project.manage("migrate")
    project.delete("shop/migrations/0001_initial.py")
    project.install("django_rewind", "shop")
    project.manage("migrate")

    project.manage("backfill_migration_code", "--from-git")

    assert project.audit_log("shop.0001_initial") == [("backfilled", "")]
    assert last(project, "detail") == ("found in git",)


# What goes wrong ------------------------------------------------------------------


def test_failed(shop):
    """The error, and what was done before it stays done."""
    header = "def fail(apps, schema_editor):\n    raise RuntimeError('no \\0 good' + '!' * 9000)"
    shop.migration("shop.0002_fail", python("fail"), after="0001_initial", header=header)

    result = shop.attempt("migrate")

    assert "no \0 good" in result.stderr
    assert shop.audit_log("shop.0002_fail") == [("captured", ""), ("failed", "file")]
    detail = last(shop, "detail")[0]
    assert detail.startswith(r"applying it: RuntimeError: no \x00 good!")
    assert len(detail) == 4000


def write_what_fails_going_back(shop: Project) -> None:
    header = "def fail(apps, schema_editor):\n    raise RuntimeError('no')"
    shop.migration(
        "shop.0002_fail",
        python("migrations.RunPython.noop", "fail"),
        after="0001_initial",
        header=header,
    )


def test_failed_going_back(shop):
    """The record is there, and so is what ran."""
    with shop.on_branch("feature"):
        write_what_fails_going_back(shop)
        shop.manage("migrate")

    assert shop.attempt("rewind", "--noinput").returncode == 1

    assert shop.applied("shop") == ["0001_initial", "0002_fail"]
    assert shop.audit_log("shop.0002_fail")[2:] == [("failed", "stored")]
    assert last(shop, "detail", "digest") == ("undoing it: RuntimeError: no", digest(shop, "0002_fail"))


@pytest.fixture
def irreversible(shop: Project) -> Project:
    """0002 cannot be undone and has no file."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_once", python(), after="0001_initial")
        shop.manage("migrate")
    return shop


@pytest.mark.parametrize("command", [("migrate", "shop", "zero"), ("rewind", "--noinput")])
def test_refused(irreversible, command):
    """Once, with what stands in the way."""
    irreversible.refused(*command)

    assert irreversible.audit_log("shop.0002_once")[2:] == [("refused", "")]
    assert "0002_once" in last(irreversible, "detail")[0]


def test_refused_while_planning(shop):
    """Where Django's `migrate` has not begun."""
    with_price(shop)
    shop.execute("UPDATE django_migrations_code SET module = 'x' WHERE migration_name = '0002_price'")

    shop.refused("migrate", "shop", "zero", naming="shop.0002_price")

    assert shop.audit_log("shop.0002_price")[2:] == [("refused", "")]


def test_questions_leave_nothing(shop):
    """Nothing was going to be done."""
    with_price(shop)
    shop.execute("UPDATE django_migrations_code SET module = 'x' WHERE migration_name = '0002_price'")
    before = shop.rows(f"SELECT id FROM {AUDIT_LOG}")

    for command in (
        ("migrate", "shop", "zero", "--plan"),
        ("rewind", "--plan"),
        ("rewind", "--check"),
        ("rewind", "--sql"),
        ("rewind", "shop", "zero", "--sql"),
        ("restore_migrations", "--dry-run"),
        ("verify_migrations",),
        ("show_stored_migrations",),
        ("check",),
    ):
        shop.attempt(*command)

    assert shop.rows(f"SELECT id FROM {AUDIT_LOG}") == before


def test_failed_in_one_transaction(shop):
    """It is all that is left of the run: everything else is taken back."""
    if shop.db().vendor == "mysql":
        pytest.skip("there is no such transaction here")
    with shop.on_branch("feature"):
        write_what_fails_going_back(shop)
        shop.migration("shop.0003_price", PRICE, after="0002_fail")
        shop.manage("migrate")

    assert shop.attempt("rewind", "--atomic", "--noinput").returncode == 1

    assert shop.audit_log("shop.0003_price")[2:] == []
    assert shop.audit_log("shop.0002_fail")[2:] == [("failed", "stored")]


# Snapshot ------------------------------------------------------------------------------


@pytest.fixture
def twice(shop: Project) -> Project:
    """0002 was applied twice, with other source, and undone in between."""
    for number in (1, 2):
        with shop.on_branch(f"feature{number}"):
            text = PRICE.replace("null=True", f"null=True, default={number}")
            shop.migration("shop.0002_price", text, after="0001_initial")
            shop.manage("migrate")
        if number == 1:
            shop.manage("rewind", "--noinput")
    return shop


def history(shop: Project, *options: str) -> dict[str, dict[str, list[dict[str, object]]]]:
    command = ("show_stored_migrations", "--history", "shop", "0002", "--format", "json", *options)
    document = json.loads(shop.manage(*command).stdout)
    return {alias: found["history"] for alias, found in document["databases"].items()}


def test_applied_twice_with_other_source(twice):
    """Both are kept: what was done, and the texts."""
    found = history(twice)["default"]

    events = [(one["event"], one["digest"]) for one in found["events"]]
    first, second = (one["digest"] for one in found["revisions"])
    assert first != second
    assert events == [
        ("captured", first),
        ("applied", first),
        ("rolled_back", first),
        ("captured", second),
        ("applied", second),
    ]
    assert [bool(one["replaced_at"]) for one in found["revisions"]] == [True, False]
    for time in (found["events"][0]["at"], found["revisions"][0]["replaced_at"]):
        assert datetime.fromisoformat(time).tzinfo is not None
        assert "T" in time


def test_an_earlier_text(twice):
    """It is printed as it was."""
    first, second = (one["digest"] for one in history(twice)["default"]["revisions"])
    command = ("show_stored_migrations", "--source", "shop", "0002", "--digest")

    assert "default=1" in twice.manage(*command, first[:8]).stdout
    assert "default=2" in twice.manage(*command, second).stdout
    twice.refused(*command, "nothing", naming="nothing")
    assert twice.refused("show_stored_migrations", "--digest", first, naming="--source").returncode == 2


def test_to_read(twice):
    """When, what, by whom, at which commit, with which versions."""
    lines = twice.manage("show_stored_migrations", "--history", "shop", "0002_price").stdout.splitlines()

    assert lines[0] == "shop.0002_price in the database 'default':"
    assert "rolled back, from stored code, in 0." in "\n".join(lines)
    assert f"by {getpass.getuser()}@{socket.gethostname()}" in lines[1]
    assert f"Django {django.get_version()}, Python {platform.python_version()}; source " in lines[2]
    assert "feature1" in lines[4]
    assert "main" in lines[6]
    assert lines[-3] == "Revisions:"
    assert "replaced" in lines[-2]
    assert lines[-1].endswith("current")


def test_an_event_that_this_version_does_not_know(twice):
    """It is shown as it is: an entry of another version is one all the same."""
    twice.execute(f"UPDATE {AUDIT_LOG} SET event = 'rewound' WHERE event = 'rolled_back'")

    shown = twice.manage("show_stored_migrations", "--history", "shop", "0002_price").stdout

    assert "  rewound, from stored code, in 0." in shown
    assert "rewound" in [event["event"] for event in history(twice)["default"]["events"]]


def test_what_is_only_in_the_audit_log(twice):
    """It is found by its prefix too; what nothing knows of is an error."""
    twice.execute("DELETE FROM django_migrations_code WHERE app_label = 'shop'")
    twice.execute("DELETE FROM django_migrations_code_history")

    assert len(history(twice)["default"]["events"]) == 5
    assert history(twice)["default"]["revisions"] == []
    twice.refused("show_stored_migrations", "--history", "shop", "0009", naming="0009")
    twice.refused("show_stored_migrations", "--history", "shop", "000", naming="More than one")


def test_history_of_all_databases(twice):
    """Of those that know something of it."""
    twice.add_database("other")
    assert set(history(twice, "--database", "all")) == {"default"}
    twice.refused(
        "show_stored_migrations", "--history", "shop", "0002", "--database", "other", naming="other"
    )

    twice.manage("migrate", "shop", "--database", "other")
    with twice.on_branch("feature2"):
        twice.manage("migrate", "--database", "other")
    found = history(twice, "--database", "all")
    assert [len(one["events"]) for one in found.values()] == [5, 2]


# Where nothing can be written ----------------------------------------------------


def test_a_audit_log_dropped_by_hand(shop):
    """Migrations come and go as before."""
    shop.execute(f"DROP TABLE {AUDIT_LOG}")

    with_price(shop)
    shop.manage("rewind", "--noinput")

    assert shop.applied("shop") == ["0001_initial"]


def test_the_audit_log_is_taken_away_by_the_same_run(shop):
    """Until then it is written."""
    shop.manage("migrate", "django_rewind", "0005")
    assert AUDIT_LOG not in shop.tables()

    shop.manage("migrate", "django_rewind", "zero")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")

    assert shop.audit_log("shop.0002_price")[-1] == ("applied", "file")


def test_switched_off(shop):
    """Nothing of ours is done."""
    shop.configure(DJANGO_REWIND_ENABLED=False, SILENCED_SYSTEM_CHECKS=["django_rewind.W002"])
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate")

    assert shop.audit_log("shop.0002_price") == []


ROUTER = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        if app_label == "django_rewind":
            return db == "default"
"""


def test_a_router_keeps_us_out(shop):
    """The other database is migrated without an audit log, also where it had one."""
    shop.add_database("other")
    shop.manage("migrate", "--database", "other")
    shop.write("routers.py", ROUTER)
    shop.configure(DATABASE_ROUTERS=["routers.Router"])
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate", "--database", "other")

    assert shop.applied("shop", alias="other") == ["0001_initial", "0002_price"]
    assert shop.audit_log("shop.0002_price", alias="other") == []


def test_two_databases_keep_audit_logs_of_their_own(shop):
    """Each with its alias."""
    shop.add_database("other")
    shop.manage("migrate", "--database", "other")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate", "--database", "other")

    assert shop.audit_log("shop.0002_price") == []
    assert shop.audit_log("shop.0002_price", alias="other") == [("captured", ""), ("applied", "file")]
    assert last(shop, "alias", alias="other") == ("other",)


# Together with the record -----------------------------------------------------------


def refuse_entries(shop: Project, event: str) -> None:
    """Have the database refuse some audit log entries."""
    if shop.db().vendor == "sqlite":
        action = "BEGIN SELECT RAISE(ABORT, 'no such entry'); END"
        shop.execute(
            f"CREATE TRIGGER no_entry BEFORE INSERT ON {AUDIT_LOG} WHEN NEW.event = '{event}' {action}"
        )
    elif shop.db().vendor == "postgresql":
        shop.execute(f"ALTER TABLE {AUDIT_LOG} ADD CHECK (event <> '{event}') NOT VALID")
    else:
        action = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no such entry'"
        shop.execute(
            f"CREATE TRIGGER no_entry BEFORE INSERT ON {AUDIT_LOG} FOR EACH ROW "
            f"BEGIN IF NEW.event = '{event}' THEN {action}; END IF; END"
        )


def test_no_record_without_its_entry(shop):
    """Going forward; where schema rolls back, it does too."""
    refuse_entries(shop, "applied")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    assert shop.attempt("migrate").returncode != 0

    assert shop.applied("shop") == ["0001_initial"]
    assert ("price" in shop.columns("shop_product")) == (shop.db().vendor == "mysql")


def test_the_record_stays_without_an_entry_that_it_goes(shop):
    """Going back; where schema rolls back, it does too."""
    with_price(shop)
    refuse_entries(shop, "rolled_back")

    assert shop.attempt("rewind", "--noinput").returncode != 0

    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert ("price" not in shop.columns("shop_product")) == (shop.db().vendor == "mysql")


def test_no_entry_without_its_record(shop):
    """What fails after the record takes the entry with it."""
    if shop.db().vendor == "mysql":
        pytest.skip("the schema of a migration is no transaction here")
    header = """
    def hang(apps, schema_editor):
        schema_editor.execute("CREATE TABLE parent (id integer PRIMARY KEY)")
        schema_editor.execute(
            "CREATE TABLE child (id integer REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        schema_editor.execute("INSERT INTO child VALUES (7)")
    """
    shop.migration("shop.0002_orphan", python("hang"), after="0001_initial", header=header)

    assert shop.attempt("migrate").returncode != 0

    assert shop.applied("shop") == ["0001_initial"]
    assert ("applied", "file") not in shop.audit_log("shop.0002_orphan")


def test_killed_in_the_middle(shop):
    """The audit log does not say what has not been committed."""
    header = f"""
    import os

    def die(apps, schema_editor):
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    """
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_die", python("die"), after="0002_price", header=header)

    assert shop.attempt("migrate").returncode != 0

    assert shop.audit_log("shop.0002_price")[-1] == ("applied", "file")
    assert shop.audit_log("shop.0003_die") == [("captured", "")]


# Circumstances ---------------------------------------------------------------------


def test_circumstances(shop):
    """The versions, who did it and where, and which commit was checked out."""
    shop.branch("feature/price")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.commit()

    shop.manage("migrate")

    assert last(shop, "django", "python") == (django.get_version(), platform.python_version())
    assert last(shop, "os_user", "host") == (getpass.getuser(), socket.gethostname())
    commit = shop.git("rev-parse", "HEAD").strip()
    assert last(shop, "commit", "branch") == (commit, "feature/price")
    assert last(shop, "pid")[0] not in (0, os.getpid())


def test_a_branch_with_any_name(shop):
    """What the column cannot hold is cut, and no migration fails of it."""
    shop.branch("größe/\U0001f40d" + "x" * 200)
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate")

    assert last(shop, "branch")[0].startswith("größe/\U0001f40dxxx")


# What leaves it alone ----------------------------------------------------------------


def test_flush_and_dumpdata(shop):
    """It is no data of the project."""
    with_price(shop)
    before = shop.rows(f"SELECT * FROM {AUDIT_LOG}")

    shop.manage("flush", "--noinput")
    dumped = shop.manage("dumpdata", "--all").stdout

    assert shop.rows(f"SELECT * FROM {AUDIT_LOG}") == before
    assert "migrationevent" not in dumped


def test_loaddata_replaces_no_entry(shop):
    """One from elsewhere is added beside those that are there."""
    first = shop.rows(f"SELECT id, event, app_label FROM {AUDIT_LOG} ORDER BY id")[0]
    fields = '"at": "2020-01-01T00:00:00Z", "event": "applied", "app_label": "x", "migration_name": "y"'
    shop.write(
        "entry.json",
        f'[{{"model": "django_rewind.migrationevent", "pk": {first[0]}, "fields": {{{fields}, '
        '"alias": "default", "django": "", "python": "", "pid": 1}}]',
    )

    shop.manage("loaddata", "entry.json")

    rows = shop.rows(f"SELECT id, event, app_label FROM {AUDIT_LOG} ORDER BY id")
    assert rows[0] == first
    assert rows[-1][1:] == ("applied", "x")


def test_nothing_to_do_writes_nothing(shop):
    """Nor does a look at it."""
    before = shop.snapshot()

    shop.manage("migrate")

    assert shop.snapshot() == before
