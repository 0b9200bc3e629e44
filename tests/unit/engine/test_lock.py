"""The lock of a database, within one process whose threads are others to each other."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.test import override_settings

from django_rewind import conf
from django_rewind.engine import lock
from django_rewind.engine.lock import Lock, check_held
from django_rewind.exceptions import LockLost, LockTimeout, LockUnavailable

is_sqlite = connection.vendor == "sqlite"
on_servers = pytest.mark.skipif(is_sqlite, reason="a lock of a connection")
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def database(tmp_path):
    """A connection to a database that others can see: of SQLite, one with a file."""
    other = connection.copy()
    if is_sqlite:
        other.settings_dict["NAME"] = str(tmp_path / "shop.sqlite3")
    yield other
    other.close()


def silently(line: str) -> None:
    """Say nothing."""


def attempt(connection: Any, **options: Any) -> Exception | None:
    """Take the lock in another thread and let go of it; return why that failed."""
    failures: list[Exception] = []

    def take() -> None:
        own = connection.copy()
        try:
            with Lock(own, options.get("say", silently), options.get("timeout", 0)):
                pass
        except Exception as error:  # noqa: BLE001 (for the thread that asks)
            failures.append(error)
        finally:
            own.close()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return failures[0] if failures else None


def test_one_at_a_time(database):
    """It is free for others when whoever had it is done, and not before."""
    with Lock(database, silently):
        error = attempt(database)
        assert isinstance(error, LockTimeout)
        assert f"process {os.getpid()} on " in str(error) or connection.vendor == "mysql"
    assert attempt(database) is None
    assert lock._held == {}


def test_more_than_once(database):
    """Whoever has it takes it again, and lets go of it at the outermost."""
    outer, inner = Lock(database, silently), Lock(database, silently, 0)
    with outer:
        with inner:
            assert inner.was_held
        assert isinstance(attempt(database), LockTimeout)
    assert not outer.was_held
    assert attempt(database) is None


def test_it_is_said_once_for_whom_one_waits(database):
    """And after that only at long intervals."""
    lines: list[str] = []
    with Lock(database, silently):
        attempt(database, timeout=0.5, say=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith(f"Waiting for the lock of the database '{connection.alias}', held by ")


def test_it_is_still_ours(database):
    """As long as nobody has taken it away."""
    with Lock(database, silently):
        check_held()
        held = next(iter(lock._held.values()))
        if is_sqlite:
            Path(held.lock.name).unlink()
        else:
            held.lock._own.close()
        with pytest.raises(LockLost):
            check_held()
    check_held()


@on_servers
def test_it_is_no_part_of_a_transaction(database):
    """The connection of the lock is its own, and in autocommit also where the database is not."""
    database.settings_dict["AUTOCOMMIT"] = False
    with Lock(database, silently):
        own = next(iter(lock._held.values())).lock._own
        assert own.connection is not database.connection
        assert own.get_autocommit()


@pytest.mark.skipif(not is_sqlite, reason="a lock by a file")
def test_the_file_stays_and_names_nobody(database, tmp_path):
    """If it were deleted, two could have a lock at once."""
    with Lock(database, silently):
        assert str(os.getpid()) in (tmp_path / "shop.sqlite3.rewind-lock").read_text()
    assert (tmp_path / "shop.sqlite3.rewind-lock").read_text() == ""


@on_servers
@override_settings(DJANGO_REWIND_LOCK_ALIAS="nowhere")
def test_an_alias_that_there_is_not(database):
    """It is an error that names it and those that there are."""
    with pytest.raises(LockUnavailable, match=r"'nowhere'(.|\n)*default"), Lock(database, silently):
        pass


@on_servers
@override_settings(DJANGO_REWIND_LOCK_ALIAS="other")
def test_another_alias(database):
    """The lock is still that of the database which is changed."""
    assert "other" in connections
    with Lock(database, silently):
        assert isinstance(attempt(database), LockTimeout)


@pytest.mark.parametrize("value, expected", [(True, 600.0), (0, 0.0), (2.5, 2.5)])
def test_how_long_a_migrate_waits(value, expected):
    """As long as a rollback does, not at all, or so many seconds."""
    with override_settings(DJANGO_REWIND_LOCK_MIGRATE=value):
        assert conf.locks_migrate()
        assert conf.lock_migrate_timeout() == expected


@pytest.mark.parametrize("value", ["60", -1, []])
def test_what_is_no_time(value):
    """It is an error that shows it."""
    with (
        override_settings(DJANGO_REWIND_LOCK_MIGRATE=value),
        pytest.raises(ImproperlyConfigured, match="DJANGO_REWIND_LOCK_MIGRATE"),
    ):
        conf.lock_migrate_timeout()


@pytest.mark.parametrize("value, expected", [(None, None), (0, 0.0), (2.5, 2.5)])
def test_how_long_a_rollback_waits(value, expected):
    """Ten minutes, without end, not at all, or so many seconds; so does a migrate that waits its turn."""
    assert conf.lock_timeout() == 600.0
    with override_settings(DJANGO_REWIND_LOCK_TIMEOUT=value, DJANGO_REWIND_LOCK_MIGRATE=True):
        assert conf.lock_timeout() == expected
        assert conf.lock_migrate_timeout() == expected


@pytest.mark.parametrize("value", ["60", -1, True, float("nan")])
def test_what_is_no_timeout(value):
    """It is an error that shows it."""
    with (
        override_settings(DJANGO_REWIND_LOCK_TIMEOUT=value),
        pytest.raises(ImproperlyConfigured, match="DJANGO_REWIND_LOCK_TIMEOUT"),
    ):
        conf.lock_timeout()


def test_a_migrate_does_not_wait_by_default():
    """Django stays Django."""
    assert not conf.locks_migrate()
