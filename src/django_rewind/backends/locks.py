"""The lock of a database: what all vendors have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from django.db import Error, connections

from .. import conf
from ..exceptions import LockUnavailable


class DatabaseLock(ABC):
    """A lock that one process at a time can have. `take` never waits."""

    #: The same for everybody who means the same database.
    name: str
    #: By what the audit log can tell who has it, where the database itself does not know.
    mark = ""
    #: What helps those who have waited in vain: how to tell one that works from one that is dead.
    way_out = (
        "The lock ends with its process, so that process is still running. "
        "Try again when it is done. If it hangs, end it."
    )

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @abstractmethod
    def take(self) -> bool:
        """Take the lock if it is free, and return whether this process has it now."""

    @abstractmethod
    def is_held(self) -> bool:
        """Return whether this process still has it."""

    @abstractmethod
    def release(self) -> None:
        """Release it, with all that it took to have it."""

    @abstractmethod
    def holder(self, last_to_begin: Callable[[str], str]) -> str:
        """
        Return in words who has it; empty if the lock does not tell.

        Args:
            last_to_begin: returns from the audit log who began last, if the entry holds this mark.
        """


def process_in_words(pid: object, host: str, since: datetime | None) -> str:
    words = f"process {pid} on {host}"
    return f"{words} since {since.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if since else words


class ServerLock(DatabaseLock):
    """
    A lock that a server gives to a connection, and takes back when that ends.

    The connection is the lock's own and in autocommit: the run's transactions come and go,
    and nothing in the database ever waits for this one.
    """

    # Where the lock connection is, and what keeps it from being closed while it is idle.
    _database_sql: str
    _stay_sql: str
    _take_sql: str
    _is_held_sql: str
    _release_sql: str

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        with connection.cursor() as cursor:
            # Not what the settings say: through a pooler, a database may go by another name.
            cursor.execute(self._database_sql)
            self.name = f"django_rewind:{cursor.fetchone()[0]}"
        self._keys = self._keys_of(hashlib.sha256(self.name.encode()).digest())
        self._own: Any = None

    @abstractmethod
    def _keys_of(self, digest: bytes) -> dict[str, Any]:
        """Return what the statements name the lock by."""

    def take(self) -> bool:
        if self._own is None:
            self._own = self._own_connection()
            self._first(self._stay_sql)
        return bool(self._first(self._take_sql))

    def is_held(self) -> bool:
        try:
            return bool(self._first(self._is_held_sql))
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
