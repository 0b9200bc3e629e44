"""Several processes at once on one database: one at a time, and each does what is left to do."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.support.helpers import Result, add, python

pytestmark = pytest.mark.deep

VENDOR = connection.vendor
on_servers = pytest.mark.skipif(VENDOR == "sqlite", reason="a lock of a connection")

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")

# A step that is under way as long as the file `gate` is there, and says so by making `inside`.
WAITS = """
import pathlib
import time


def wait(apps, schema_editor):
    pathlib.Path("inside").touch()
    while pathlib.Path("gate").exists():
        time.sleep(0.02)
"""

DIES = 60.0


@pytest.fixture
def left(shop):
    """A shop on main, with two migrations of feature applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")
    return shop


@pytest.fixture
def gate(shop) -> Iterator[Path]:
    """A file beside manage.py: as long as it is there, slow steps wait."""
    path = shop.path / "gate"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def slow(shop, gate):
    """The same with a slow step to be undone, and a quick one below it."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration(
            "shop.0003_slow", python("lambda *args: None", "wait"), after="0002_price", header=WAITS
        )
        shop.manage("migrate")
    return shop


def at_once(project, count: int, *args: str) -> list[Result]:
    """Start several processes, and wait for all of them."""
    started = [project.start(*args) for _ in range(count)]
    return [one.result(DIES) for one in started]


def wait_for(condition) -> None:
    until = time.monotonic() + DIES
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def holding(project, *args: str):
    """Start a process and return it when it is in the middle of its slow step."""
    started = project.start(*args)
    wait_for(lambda: (project.path / "inside").exists() or started.has_ended)
    assert not started.has_ended, str(started.result(1))
    return started


def waiting(project, *args: str):
    """Start a process and return it when it says that it waits."""
    started = project.start(*args)
    wait_for(lambda: "Waiting" in started.so_far() or started.has_ended)
    assert not started.has_ended, str(started.result(1))
    return started


def kill_lock_connection(project, started) -> None:
    """Have the server end the connection that has the lock."""
    if VENDOR == "postgresql":
        name = f"django-rewind {started.pid}@%"
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
        assert project.rows(sql, name) == [(True,)]
        return
    detail = "SELECT detail FROM django_migrations_code_ledger WHERE event = 'began' AND pid = %s"
    found = project.rows(detail, started.pid)
    if found:
        number = int(str(found[-1][0]).rpartition(" ")[2].rstrip(")"))
    else:
        # A migrate: its connections are two, of which the other one works.
        own = "SELECT id FROM information_schema.processlist WHERE db = database() AND id != connection_id()"
        number = max(int(str(one)) for (one,) in project.rows(own))
    project.execute(f"KILL {number}")


def is_fine(result: Result) -> bool:
    assert "Traceback" not in result.output, str(result)
    assert result.returncode == 0, str(result)
    return True


# Rewinds ------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4, 8])
def test_rewinds_at_once(left, count):
    """One does the work, the others wait, find nothing left and succeed."""
    results = at_once(left, count, "rewind", "--noinput")

    assert all(map(is_fine, results))
    did_it = [one for one in results if "Unapplying shop.0003_stock" in one.stdout]
    assert len(did_it) == 1
    assert "Unapplying shop.0002_price" in did_it[0].stdout
    assert all("Nothing to rewind." in one.stdout for one in results if one is not did_it[0])
    assert left.columns("shop_product") == {"id", "name"}
    assert left.applied("shop") == ["0001_initial"]


def test_it_waits_and_says_for_whom(slow, gate):
    """The process, its machine and since when; when its turn comes, it does what is left."""
    first = holding(slow, "rewind", "--noinput")
    second = waiting(slow, "rewind", "--noinput")
    said = second.so_far()
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "the database 'default'" in said
    assert f"process {first.pid} on " in said
    assert "since 20" in said
    assert second.result(1).stdout.count("aiting for the lock") == 1
    assert "Nothing to rewind." in second.result(1).stdout


def test_a_run_is_in_the_audit_log(left):
    """By its process and its words; one that finds nothing to do is not."""
    for _ in range(2):
        left.manage("rewind", "shop", "0001", "--noinput")

    sql = "SELECT detail FROM django_migrations_code_ledger WHERE event = 'began'"
    ((detail,),) = left.rows(sql)
    assert str(detail).startswith("rewind shop 0001")


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_timeout(slow, gate, seconds):
    """One that does not get the lock in time names who has it, and has done nothing."""
    first = holding(slow, "rewind", "--noinput")
    before = slow.applied("shop")
    began = time.monotonic()
    result = slow.attempt("rewind", "--noinput", "--lock-timeout", seconds)
    took = time.monotonic() - began
    after = slow.applied("shop")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert f"process {first.pid} on " in result.stderr
    assert "not free" in result.stderr
    assert took >= float(seconds)
    assert before == after


def test_what_only_shows_does_not_wait(slow, gate):
    """`--plan`, `--check`, `--sql` and the other commands look while another one works."""
    first = holding(slow, "rewind", "--noinput")
    shown = [
        slow.attempt("rewind", "--plan"),
        slow.attempt("rewind", "--check"),
        slow.attempt("show_stored_migrations"),
        slow.attempt("migrate", "--plan"),
    ]
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert not any("Traceback" in one.output or "aiting" in one.output for one in shown)


def test_interrupted_while_waiting(slow, gate):
    """Ctrl-C ends the waiting without a traceback, and holds nothing up."""
    first = holding(slow, "rewind", "--noinput")
    second = waiting(slow, "rewind", "--noinput")
    second.send(signal.SIGINT)
    result = second.result(DIES)
    gate.unlink()

    assert result.returncode == 130
    assert "Traceback" not in result.output
    assert "Interrupted" in result.stderr
    assert is_fine(first.result(DIES))
    assert "Nothing to rewind." in slow.manage("rewind", "--lock-timeout", "0").stdout


def test_a_killed_holder_leaves_no_lock(slow, gate):
    """Whoever waited for it goes on, and undoes what is left."""
    first = holding(slow, "rewind", "--noinput")
    second = waiting(slow, "rewind", "--noinput")
    gate.unlink()
    gate.touch()
    first.send(signal.SIGKILL)
    first.result(DIES)
    gate.unlink()

    assert is_fine(second.result(DIES))
    assert slow.applied("shop") == ["0001_initial"]
    assert slow.columns("shop_product") == {"id", "name"}


def test_a_killed_waiter_leaves_no_lock(slow, gate):
    """Neither a lock nor anything else that others would wait for."""
    first = holding(slow, "rewind", "--noinput")
    second = waiting(slow, "rewind", "--noinput")
    second.send(signal.SIGKILL)
    second.result(DIES)
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert "Nothing to rewind." in slow.manage("rewind", "--lock-timeout", "0").stdout
    assert slow.applied("shop") == ["0001_initial"]


def test_a_lost_lock(slow, gate):
    """The run stops before the next step; the same command again does what is left."""
    first = holding(slow, "rewind", "--noinput")
    if VENDOR == "sqlite":
        (slow.path / "default.sqlite3.rewind-lock").unlink()
    else:
        kill_lock_connection(slow, first)
    gate.unlink()
    result = first.result(DIES)

    assert result.returncode == 1
    assert "Traceback" not in result.output, str(result)
    assert "was lost" in result.stderr
    assert slow.applied("shop") == ["0001_initial", "0002_price"]
    assert slow.columns("shop_product") == {"id", "name", "price"}
    slow.manage("rewind", "--noinput", "--lock-timeout", "0")
    assert slow.columns("shop_product") == {"id", "name"}


def test_two_databases(slow, gate):
    """They do not wait for each other."""
    slow.add_database("other")
    slow.manage("migrate", "--database", "other", "shop", "0001")
    slow.manage("migrate", "--database", "other", "django_rewind")
    first = holding(slow, "rewind", "--noinput")
    result = slow.attempt("rewind", "--noinput", "--database", "other", "--lock-timeout", "0")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(result)


def test_a_redo_and_what_follows_a_rewind_are_locked_too(slow, gate):
    """`--migrate` and `--redo` wait like the rest, and need no second lock for their `migrate`."""
    slow.configure(DJANGO_REWIND_LOCK_MIGRATE=1)
    slow.migration("shop.0002_stock", STOCK, after="0001_initial")
    first = holding(slow, "rewind", "--noinput", "--migrate")
    second = waiting(slow, "rewind", "--redo", "shop", "0002", "--noinput")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert slow.applied("shop") == ["0001_initial", "0002_stock"]
    assert slow.columns("shop_product") == {"id", "name", "stock"}


# Migrates -----------------------------------------------------------------------


@pytest.fixture
def pods(new_shop):
    """A project that was never migrated, with content types and permissions, whose migrates take turns."""
    auth = ["django.contrib.contenttypes", "django.contrib.auth"]
    new_shop.install(*auth, *new_shop.installed)
    new_shop.configure(DJANGO_REWIND_LOCK_MIGRATE=True)
    return new_shop


@pytest.mark.parametrize("count", [4, 8])
def test_first_migrates_at_once(pods, count):
    """On an empty database, one applies everything and the others find nothing left."""
    results = at_once(pods, count, "migrate", "--noinput")

    assert all(map(is_fine, results))
    assert sum("Applying shop.0001_initial... OK" in one.stdout for one in results) == 1
    sql = "SELECT count(*), count(DISTINCT name) FROM django_migrations WHERE app = 'shop'"
    assert pods.rows(sql) == [(1, 1)]
    assert {"shop_product", "auth_permission", "django_migrations_code"} <= pods.tables()
    assert pods.rows("SELECT count(*) FROM auth_permission WHERE codename = 'add_product'") == [(1,)]
    assert "shop.0001_initial" in pods.stored()
    assert "Nothing" in pods.manage("rewind", "--lock-timeout", "0").stdout


@pytest.fixture
def slow_pods(shop, gate):
    """A shop whose migrates take turns, with a quick migration to be applied, a slow one, and a quick one."""
    shop.configure(DJANGO_REWIND_LOCK_MIGRATE=True)
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_slow", python("wait", "wait"), after="0002_price", header=WAITS)
    shop.migration("shop.0004_stock", STOCK, after="0003_slow")
    return shop


ALL_FOUR = ["0001_initial", "0002_price", "0003_slow", "0004_stock"]


def test_a_migrate_waits_for_another(slow_pods, gate):
    """It finds out that its plan was carried out, says so, and succeeds."""
    first = holding(slow_pods, "migrate")
    second = waiting(slow_pods, "migrate")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "No migrations to apply: another process has applied them." in second.result(1).stdout
    assert "Applying" not in second.result(1).stdout
    assert slow_pods.applied("shop") == ALL_FOUR
    assert slow_pods.columns("shop_product") == {"id", "name", "price", "stock"}
    assert {"shop.0002_price", "shop.0003_slow", "shop.0004_stock"} <= set(slow_pods.stored())


def test_what_a_killed_migrate_has_left_is_applied(slow_pods, gate):
    """The one that waited drops from its plan what was done, and has the right state for the rest."""
    first = holding(slow_pods, "migrate")
    second = waiting(slow_pods, "migrate")
    first.send(signal.SIGKILL)
    first.result(DIES)
    gate.unlink()

    result = second.result(DIES)
    assert is_fine(result)
    assert "Applying shop.0002_price" not in result.stdout
    assert "Applying shop.0004_stock... OK" in result.stdout
    assert slow_pods.applied("shop") == ALL_FOUR
    assert slow_pods.columns("shop_product") == {"id", "name", "price", "stock"}


def test_backwards_in_turn(slow_pods, gate):
    """Two that go back to the same migration do it once."""
    gate.unlink()
    slow_pods.manage("migrate")
    (slow_pods.path / "inside").unlink()
    gate.touch()
    first = holding(slow_pods, "migrate", "shop", "0001")
    second = waiting(slow_pods, "migrate", "shop", "0001")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "Nothing to unapply: another process has unapplied it." in second.result(1).stdout
    assert slow_pods.applied("shop") == ["0001_initial"]
    assert slow_pods.columns("shop_product") == {"id", "name"}


def test_what_no_longer_fits_is_refused(slow_pods, gate):
    """A migrate whose plan depends on what another one has undone meanwhile says so, and does nothing."""
    gate.unlink()
    slow_pods.manage("migrate", "shop", "0003")
    (slow_pods.path / "inside").unlink()
    gate.touch()
    first = holding(slow_pods, "migrate", "shop", "0002")
    second = waiting(slow_pods, "migrate", "shop", "0004")
    gate.unlink()

    assert is_fine(first.result(DIES))
    result = second.result(DIES)
    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert "shop.0004_stock" in result.stderr
    assert slow_pods.applied("shop") == ["0001_initial", "0002_price"]
    slow_pods.manage("migrate")
    assert slow_pods.applied("shop") == ALL_FOUR


def test_a_squashed_migration_in_turn(slow_pods, gate):
    """It counts as applied for the one that waited, with what it replaces."""
    slow_pods.app("cart")
    slow_pods.migration("cart.0001_initial", python())
    slow_pods.migration("cart.0002_more", python(), after="0001_initial")
    slow_pods.migration(
        "cart.0001_squashed", python("wait"), header=WAITS, replaces=["0001_initial", "0002_more"]
    )
    first = holding(slow_pods, "migrate", "cart")
    second = waiting(slow_pods, "migrate", "cart")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "another process" in second.result(1).stdout
    assert sorted(slow_pods.applied("cart")) == ["0001_initial", "0001_squashed", "0002_more"]


def test_a_rewind_waits_for_a_migrate(slow_pods, gate):
    """And undoes then what is missing, not what the migrate has applied."""
    first = holding(slow_pods, "migrate")
    second = waiting(slow_pods, "rewind", "--noinput")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "Nothing to rewind." in second.result(1).stdout
    assert slow_pods.applied("shop") == ALL_FOUR


def test_a_migrate_waits_for_a_rewind(slow, gate):
    """What was recovered when it planned is gone by its turn, and in no state that it builds."""
    slow.configure(DJANGO_REWIND_LOCK_MIGRATE=True)
    slow.migration("shop.0002_stock", STOCK, after="0001_initial")
    first = holding(slow, "rewind", "--noinput")
    second = waiting(slow, "migrate")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert "Applying shop.0002_stock... OK" in second.result(1).stdout
    assert slow.applied("shop") == ["0001_initial", "0002_stock"]
    assert slow.columns("shop_product") == {"id", "name", "stock"}


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_migrate_that_waits_no_longer(slow_pods, gate, seconds):
    """With a number, it fails by name after so many seconds."""
    first = holding(slow_pods, "migrate")
    slow_pods.configure(DJANGO_REWIND_LOCK_MIGRATE=seconds)
    result = slow_pods.attempt("migrate")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert "not free" in result.stderr


def test_a_migrate_whose_lock_is_lost(slow_pods, gate):
    """It stops before its next step; what is done is recorded, and the same command goes on."""
    first = holding(slow_pods, "migrate")
    if VENDOR == "sqlite":
        (slow_pods.path / "default.sqlite3.rewind-lock").unlink()
    else:
        kill_lock_connection(slow_pods, first)
    gate.unlink()
    result = first.result(DIES)

    assert result.returncode == 1
    assert "Traceback" not in result.output, str(result)
    assert "was lost" in result.stderr
    assert slow_pods.applied("shop") == ALL_FOUR[:3]
    slow_pods.manage("migrate")
    assert slow_pods.applied("shop") == ALL_FOUR


@pytest.mark.skipif(VENDOR != "postgresql", reason="indexes made concurrently")
@pytest.mark.parametrize("command", ["migrate", "rewind"])
def test_indexes_made_concurrently(slow_pods, gate, command):
    """One that waits is not waited for: PostgreSQL would see a deadlock, or none would go on."""
    slow_pods.migration(
        "shop.0005_index",
        "AddIndexConcurrently('product', models.Index(fields=['name'], name='by_name'))",
        after="0004_stock",
        header="from django.contrib.postgres.operations import AddIndexConcurrently",
        atomic=False,
    )
    first = holding(slow_pods, "migrate")
    second = waiting(slow_pods, command, "--noinput")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(second.result(DIES))
    assert slow_pods.rows("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_name'") == [(1,)]
    assert slow_pods.applied("shop") == [*ALL_FOUR, "0005_index"]


WHEN_HELD = """
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.db.models.signals import post_migrate
    from django_rewind.engine import lock

    def is_held(what, **kwargs):
        print(what, bool(lock._held))

    post_migrate.connect(lambda **kwargs: is_held("receiver"), weak=False)
    call_command("migrate", "shop", "0002", verbosity=0)
    is_held("command")
    MigrationExecutor(connection).migrate([("shop", "0004_stock")])
    is_held("executor")
    try:
        call_command("migrate", verbosity=0)
    except ZeroDivisionError:
        is_held("failed")

    def fails(**kwargs):
        raise ValueError

    post_migrate.connect(fails, weak=False)
    try:
        call_command("migrate", "shop", "0002", verbosity=0)
    except ValueError:
        is_held("failing receiver")
    post_migrate.disconnect(fails)
    print("hooked", "send" in vars(post_migrate))
"""


def test_how_long_a_turn_lasts(slow_pods, gate):
    """Until the receivers of a command have run, or one has failed; else until the executor is done, or has failed."""
    gate.unlink()
    slow_pods.migration("shop.0005_fails", python("lambda *args: 1 / 0"), after="0004_stock")
    lines = slow_pods.run(WHEN_HELD).stdout.split("\n")

    assert set(lines) == {
        *("receiver True", "command False", "executor False", "failed False"),
        *("failing receiver False", "hooked False", ""),
    }


def test_without_the_setting(shop):
    """A `migrate` locks nothing, and executes nothing of what would."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    result = shop.run("""
        import sys
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print("django_rewind.engine.turn" in sys.modules)
    """)

    assert result.stdout == "False\n", str(result)
    assert not (shop.path / "default.sqlite3.rewind-lock").exists()


# How it is set up ---------------------------------------------------------------


@on_servers
def test_another_way_to_the_server(slow, gate):
    """The lock goes over the alias that the settings name, and keeps databases apart as before."""
    slow.add_database("direct")
    slow.add_database("other")
    slow.manage("migrate", "--database", "other", "django_rewind")
    slow.configure(DJANGO_REWIND_LOCK_ALIAS="direct")
    first = holding(slow, "rewind", "--noinput")
    refused = slow.attempt("rewind", "--noinput", "--lock-timeout", "0")
    apart = slow.attempt("rewind", "--noinput", "--lock-timeout", "0", "--database", "other")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert is_fine(apart)
    assert f"{first.pid}" in refused.stderr
    assert refused.returncode == 1


@on_servers
@pytest.mark.parametrize("alias", ["nowhere", "file"])
def test_no_way_to_the_server(left, alias):
    """An alias that is not configured, or has no such locks, is an error by name."""
    databases = dict(left.settings["DATABASES"])
    databases["file"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    left.configure(DATABASES=databases, DJANGO_REWIND_LOCK_ALIAS=alias)

    left.refused("rewind", "--noinput", naming=("DJANGO_REWIND_LOCK_ALIAS", f"'{alias}'", "default"))


@pytest.mark.skipif(VENDOR != "sqlite", reason="a lock by a file")
def test_a_file_that_cannot_be_made(left):
    """It is named, with what keeps it from being made."""
    (left.path / "default.sqlite3.rewind-lock").mkdir()

    left.refused("rewind", "--noinput", naming=("default.sqlite3.rewind-lock", "cannot be locked"))


@pytest.mark.skipif(VENDOR != "sqlite", reason="a lock by a file")
def test_the_same_file_by_another_name(slow, gate):
    """One that reaches the database over a link, by a relative path, meets the same lock."""
    first = holding(slow, "rewind", "--noinput")
    (slow.path / "link.sqlite3").symlink_to("default.sqlite3")
    engine = slow.settings["DATABASES"]["default"]["ENGINE"]
    slow.configure(DATABASES={"default": {"ENGINE": engine, "NAME": "file:./link%2Esqlite3?mode=rw"}})
    result = slow.attempt("rewind", "--noinput", "--lock-timeout", "0")
    gate.unlink()

    assert is_fine(first.result(DIES))
    assert result.returncode == 1
    assert f"process {first.pid} on " in result.stderr


def test_a_timeout_that_is_none(shop):
    """A negative number makes no sense."""
    result = shop.attempt("rewind", "--lock-timeout", "-1")

    assert result.returncode == 2
    assert "--lock-timeout" in result.stderr
