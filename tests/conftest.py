from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest
from django.conf import settings
from django.db import DatabaseError, connections
from django.test import Client, override_settings
from pytest_django.plugin import blocking_manager_key

from tests.support.databases import drop_what_is_left
from tests.support.fixtures import App, Tree, clean_up, forget_modules

#: With this set to 1, as in CI, a server that cannot be reached fails the run.
REQUIRE_DATABASES = "REWIND_REQUIRE_DATABASES"

_unreachable = pytest.StashKey[Optional[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    # What a shell starts in the background ignores Ctrl-C, and so would the processes that stories interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with session.config.stash[blocking_manager_key].unblock():
        reason = _why_unreachable()
    session.config.stash[_unreachable] = reason
    if reason and os.environ.get(REQUIRE_DATABASES) == "1":
        pytest.exit(f"{reason} ({REQUIRE_DATABASES}=1)", returncode=1)


def pytest_sessionfinish() -> None:
    drop_what_is_left()


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _has_no_database(item):
            item.add_marker(pytest.mark.once)
    if reason := config.stash[_unreachable]:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


def _has_no_database(item: pytest.Item) -> bool:
    """Say whether a test is the same on every database, for it does not use any."""
    asks = {"app", "db", "transactional_db", "project"} & set(getattr(item, "fixturenames", ()))
    return not asks and item.get_closest_marker("django_db") is None and "scenarios" not in item.path.parts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reason := config.stash[_unreachable]:
        terminalreporter.line(f"All tests skipped: {reason}")


def _why_unreachable() -> str | None:
    for connection in connections.all():
        if connection.vendor == "sqlite":
            continue
        try:
            # Django warns before it tries other databases than `postgres`.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Not the database itself, which the test runner makes later.
                with connection._nodb_cursor():
                    pass
        except DatabaseError as error:
            return _describe(connection.settings_dict, error)
        finally:
            connection.close()
    return None


def _describe(settings: dict[str, object], error: DatabaseError) -> str:
    engine = str(settings["ENGINE"]).rpartition(".")[2]
    cause = str(error).strip().splitlines()[0]
    address = f"{settings['HOST']}:{settings['PORT']}"
    return f"cannot reach {engine} at {address}: {cause}"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[App]:
    """The app `shop`, installed in this process; for tests that may write to all databases."""
    request.getfixturevalue("transactional_db")
    # Two edits within one second would meet the bytecode of the first.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = App(tmp_path)
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, app.label]):
        yield app
        clean_up(app.label)
    forget_modules(app.label)
    sys.modules.pop(app.label, None)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """The package `bakery`, and whatever else a test writes beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    tree = Tree(tmp_path)
    yield tree
    tree.forget()


@pytest.fixture
def reader(client: Client) -> Client:
    """A superuser at the admin, who may look like anybody else, in a process that has read no file yet."""
    from django.contrib.auth import get_user_model

    from django_rewind.inventory import reading

    reading.forget()
    client.force_login(get_user_model().objects.create_superuser("somebody", password="x"))
    return client
