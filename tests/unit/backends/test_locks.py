"""The lock of each kind of database, before anybody takes it."""

from __future__ import annotations

import pytest
from django.db import connection

from django_rewind.backends import backend_for

is_sqlite = connection.vendor == "sqlite"
on_servers = pytest.mark.skipif(is_sqlite, reason="a lock of a connection")
in_a_file = pytest.mark.skipif(not is_sqlite, reason="a lock by a file")
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database(tmp_path):
    """A connection to a database that others can see: of SQLite, one with a file."""
    other = connection.copy()
    if is_sqlite:
        other.settings_dict["NAME"] = str(tmp_path / "shop.sqlite3")
    yield other
    other.close()


@on_servers
def test_names_are_as_short_as_servers_want_them(database):
    """However long that of the database is."""
    lock = backend_for(database).lock()
    assert len(str(lock._keys["key"])) <= 64


@in_a_file
@pytest.mark.parametrize("name", [":memory:", "file:shop?mode=memory&cache=shared", "file:/shop?vfs=memdb"])
def test_a_database_in_memory(database, name):
    """No other process can see it, and there is nothing to lock."""
    database.settings_dict["NAME"] = name
    assert backend_for(database).lock() is None


@in_a_file
def test_the_file_is_found_by_any_path(database, tmp_path, monkeypatch):
    """Relative ones, links and URIs lead to the same lock, a pathlib one too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.sqlite3").symlink_to("shop.sqlite3")
    names = [tmp_path / "shop.sqlite3", "shop.sqlite3", "./link.sqlite3", "file:shop%2Esqlite3?mode=rwc"]
    found = set()
    for name in names:
        own = database.copy()
        own.settings_dict["NAME"] = name
        found.add(backend_for(own).lock().name)
        own.close()
    assert found == {str(tmp_path / "shop.sqlite3.rewind-lock")}
