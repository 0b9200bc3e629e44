"""MySQL and MariaDB, which Django calls by one vendor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import DatabaseError

from .base import Backend
from .locks import ServerLock

# Errors for what is there, or gone, already.
_DONE_ALREADY = {1050, 1051, 1054, 1060, 1061, 1091, 1146, 1826, 3821, 3822, 3940}


class MySQL(Backend):
    index_names_are_global = False

    def lock(self) -> NamedLock:
        return NamedLock(self.connection)

    def holds_unicode(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@character_set_database")
            return str(cursor.fetchone()[0]).lower() == "utf8mb4"

    def is_done_already(self, error: DatabaseError) -> bool:
        number = error.args[0] if error.args else None
        # 1005 stands for what the storage engine says: 121 is a name that there is already.
        return number in _DONE_ALREADY or (number == 1005 and "errno: 121" in str(error))

    def limit_lock_waits(self, seconds: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET SESSION lock_wait_timeout = {seconds:d}")


class NamedLock(ServerLock):
    """A named lock, which is one for the whole server."""

    _database_sql = "SELECT DATABASE()"
    _stay_sql = "SET SESSION wait_timeout = 2147483"
    _take_sql = "SELECT GET_LOCK(%(key)s, 0)"
    _is_held_sql = "SELECT IS_USED_LOCK(%(key)s) = CONNECTION_ID()"
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

    def holder(self, last_to_begin: Callable[[str], str]) -> str:
        row = self._row(self._holder_sql)
        if row is None:
            return ""
        number, user, host, seconds = row
        # The server does not know the process; the audit log does, as soon as the run begins.
        return last_to_begin(_mark(number)) or (
            f"the connection {number} of {user} from {host} (idle for {seconds} s)"
        )


def _mark(number: int) -> str:
    return f"(lock connection {number})"
