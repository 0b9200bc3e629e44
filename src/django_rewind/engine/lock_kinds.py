"""How each kind of database is locked, and who has the lock there."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from django.db import Error, connections

from .. import conf
from ..exceptions import LockUnavailable
from ..storage.tables import Unreadable

__all__ = ["Kind", "kind_for"]

if sys.platform == "win32":
    import msvcrt

    # Far behind the text, which others must be able to read.
    _FAR = 1 << 30

    def _lock_file(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
else:
    import fcntl

    def _lock_file(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Kind(ABC):
    """One way to lock a database. `take` never waits."""

    # What is locked: the same for everybody who means the same database.
    name: str
    # By what the ledger can say who has it, where the database itself does not know.
    mark: str = ""

    def __init__(self, connection: Any) -> None:
        #: Of the database that is to be locked.
        self.connection = connection

    @abstractmethod
    def take(self) -> bool:
        """Take the lock if it is free, and say whether it is ours now."""

    @abstractmethod
    def is_ours(self) -> bool:
        """Say whether it is still ours."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it and of what it took to have it."""

    @abstractmethod
    def _seen_holder(self) -> str:
        """Return who has it, as the lock itself tells; empty if it does not."""

    def holder(self) -> str:
        """Return who has it, in words."""
        with suppress(Error, OSError, ValueError, Unreadable):
            return self._seen_holder() or self._by_the_ledger() or "another process"
        return "another process"

    def _by_the_ledger(self, mark: str = "") -> str:
        from ..models import Event
        from ..storage.audit_log import AuditLog

        event = AuditLog(self.connection).newest(Event.BEGAN)
        if event is None or mark not in event.detail:
            return ""
        words = _in_words(event.pid, event.host, event.at)
        return words if mark else f"another process (the last one to begin was {words})"


def kind_for(connection: Any) -> Kind | None:
    """
    Return how a database is locked; None for one that no other process can see.

    Raises:
        LockUnavailable: the settings name no database that can hold a lock.
    """
    if connection.vendor == "sqlite":
        path = _file_of(connection)
        return FileLock(connection, path) if path else None
    server = _SERVERS.get(connection.vendor)
    return server(connection) if server else None


def _in_words(pid: object, host: str, since: datetime | None) -> str:
    words = f"process {pid} on {host}"
    return f"{words} since {since.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if since else words


# SQLite -------------------------------------------------------------------------


def _file_of(connection: Any) -> str:
    """Return where the file of a database really is; SQLite knows what URIs and paths stand for."""
    name = os.fspath(connection.settings_dict["NAME"])
    if connection.is_in_memory_db() or "vfs=memdb" in name:
        return ""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        path = next((row[2] for row in cursor.fetchall() if row[1] == "main"), "")
    return os.path.realpath(path) if path else ""


# Who has the lock, as its file says: process, host and time.
_WORDS = 3


class FileLock(Kind):
    """
    A lock of the operating system on a file beside the database.

    The file stays: if it were deleted, one who has opened it and one who makes it
    anew would both have a lock.
    """

    def __init__(self, connection: Any, path: str) -> None:
        super().__init__(connection)
        self.path = f"{path}.rewind-lock"
        self.name = self.path
        self._descriptor: int | None = None

    def take(self) -> bool:
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            _lock_file(self._descriptor)
        except BlockingIOError:
            self._close()
            return False
        except OSError as error:
            self._close()
            raise LockUnavailable(
                self.connection.alias,
                f"the file '{self.path}' cannot be locked ({error.strerror or error}).",
                "See to it that this file and its folder can be written.",
            ) from error
        if not self.is_ours():
            # Somebody has deleted it while we opened it.
            self._close()
            return False
        self._write(f"{os.getpid()} {socket.gethostname()} {datetime.now(timezone.utc).isoformat()}\n")
        return True

    def is_ours(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))  # noqa: PTH116
        except OSError:
            return False

    def release(self) -> None:
        if self._descriptor is not None:
            self._write("")
            self._close()

    def _write(self, text: str) -> None:
        # A full disk keeps nobody from locking.
        with suppress(OSError):
            os.ftruncate(self._descriptor or 0, 0)
            os.lseek(self._descriptor or 0, 0, os.SEEK_SET)
            os.write(self._descriptor or 0, text.encode())

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _seen_holder(self) -> str:
        words = Path(self.path).read_text(encoding="utf-8", errors="replace").split()
        if len(words) != _WORDS:
            return ""
        return _in_words(words[0], words[1], datetime.fromisoformat(words[2]))


# Servers ------------------------------------------------------------------------


class ServerLock(Kind):
    """
    A lock that a server gives to a connection, and takes back when that ends.

    The connection is our own and in autocommit: the run's transactions come and go,
    and nothing in the database ever waits for this one.
    """

    # Where the lock connection is, and what keeps it from being closed while it is idle.
    _database_sql: str
    _stay_sql: str
    _take_sql: str
    _is_ours_sql: str
    _release_sql: str
    _holder_sql: str

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        with connection.cursor() as cursor:
            # Not what the settings say: through a pooler, a database may go by another name.
            cursor.execute(self._database_sql)
            self.name = f"django_rewind:{cursor.fetchone()[0]}"
        digest = hashlib.sha256(self.name.encode()).digest()
        self._keys = self._keys_of(digest)
        self._own: Any = None

    @abstractmethod
    def _keys_of(self, digest: bytes) -> dict[str, Any]:
        """Return what the statements name the lock by."""

    def take(self) -> bool:
        if self._own is None:
            self._own = self._own_connection()
            self._first(self._stay_sql)
        return bool(self._first(self._take_sql))

    def is_ours(self) -> bool:
        try:
            return bool(self._first(self._is_ours_sql))
        except Error:
            return False

    def release(self) -> None:
        with suppress(Error):
            if self._own is not None and self._own.connection is not None:
                self._first(self._release_sql)
        with suppress(Error):
            if self._own is not None:
                self._own.close()

    def _first(self, sql: str) -> Any:
        row = self._row(sql)
        return row[0] if row else None

    def _row(self, sql: str) -> Any:
        with self._own.cursor() as cursor:
            cursor.execute(sql, self._keys)
            return cursor.fetchone() if cursor.description else None

    def _own_connection(self) -> Any:
        own = self._source().copy()
        own.settings_dict["AUTOCOMMIT"] = True
        # A pool would be given back a connection that still has the lock.
        own.settings_dict["OPTIONS"].pop("pool", None)
        return own

    def _source(self) -> Any:
        alias = conf.lock_alias()
        if alias is None:
            return self.connection
        if alias not in connections or connections[alias].vendor != self.connection.vendor:
            problem = "has another kind of database" if alias in connections else "there is not"
            raise LockUnavailable(
                self.connection.alias,
                f"DJANGO_REWIND_LOCK_ALIAS names '{alias}', which {problem}.",
                f"Name one of the databases that are configured: {', '.join(connections)}.",
            )
        return connections[alias]


class PostgreSQLLock(ServerLock):
    """An advisory lock of the session."""

    _database_sql = "SELECT current_database()"
    # A setting of PostgreSQL 14 and later.
    _stay_sql = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
    _take_sql = "SELECT pg_try_advisory_lock(%(key)s)"
    _release_sql = "SELECT pg_advisory_unlock(%(key)s)"
    _granted = (
        "FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        " AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    _is_ours_sql = f"SELECT 1 {_granted} AND l.pid = pg_backend_pid()"
    _holder_sql = f"SELECT a.application_name, a.backend_start, l.pid {_granted}"

    def _keys_of(self, digest: bytes) -> dict[str, Any]:
        key = int.from_bytes(digest[:8], "big", signed=True)
        return {"key": key, "high": key >> 32 & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}

    def _own_connection(self) -> Any:
        own = super()._own_connection()
        # For those who wait, and for whoever looks into pg_stat_activity.
        own.settings_dict["OPTIONS"]["application_name"] = _application_name()
        return own

    def _seen_holder(self) -> str:
        name, since, backend = self._row(self._holder_sql) or ("", None, None)
        pid, at, host = (name or "").rpartition(" ")[2].partition("@")
        if at:
            return _in_words(pid, host, since)
        return f"a connection of the server's process {backend}" if backend else ""


# More would be cut off by the server.
_LONGEST_NAME = 63


def _application_name() -> str:
    return f"django-rewind {os.getpid()}@{socket.gethostname()}"[:_LONGEST_NAME]


class MySQLLock(ServerLock):
    """A named lock, which is one for the whole server."""

    _database_sql = "SELECT DATABASE()"
    _stay_sql = "SET SESSION wait_timeout = 2147483"
    _take_sql = "SELECT GET_LOCK(%(key)s, 0)"
    _is_ours_sql = "SELECT IS_USED_LOCK(%(key)s) = CONNECTION_ID()"
    _release_sql = "SELECT RELEASE_LOCK(%(key)s)"
    _holder_sql = (
        "SELECT id, user, host, time FROM information_schema.processlist WHERE id = IS_USED_LOCK(%(key)s)"
    )

    def _keys_of(self, digest: bytes) -> dict[str, Any]:
        # A name has at most 64 characters.
        return {"key": f"django_rewind:{digest.hex()[:40]}"}

    def take(self) -> bool:
        is_taken = super().take()
        if is_taken:
            self.mark = _mark(self._first("SELECT CONNECTION_ID()"))
        return is_taken

    def _seen_holder(self) -> str:
        row = self._row(self._holder_sql)
        if row is None:
            return ""
        number, user, host, seconds = row
        # The server does not know the process; the ledger does, as soon as the run begins.
        return self._by_the_ledger(_mark(number)) or (
            f"the connection {number} of {user} from {host} (idle for {seconds} s)"
        )


def _mark(number: int) -> str:
    return f"(lock connection {number})"


_SERVERS: dict[str, type[ServerLock]] = {"postgresql": PostgreSQLLock, "mysql": MySQLLock}
