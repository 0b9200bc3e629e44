"""PostgreSQL."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError
from django.db.models import Field

from .base import Backend, is_encodable
from .locks import ServerLock, process_in_words

_TABLES_OF_CURRENT_SCHEMA = (
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()"
)

# SQLSTATEs for what is there, or gone, already.
_DONE_ALREADY = {"42701", "42703", "42704", "42710", "42P01", "42P07"}

# SQLSTATEs for a schema, a table or a column that is not there.
_MISSING = {"3F000", "42703", "42P01"}

# More of an application's name would be cut off by the server.
_LONGEST_NAME = 63


class PostgreSQL(Backend):
    errors_abort_transaction = True
    # A tenant's search_path goes on to the public schema, which has tables of its own.
    in_current_schema = f"tableoid IN (SELECT c.oid {_TABLES_OF_CURRENT_SCHEMA})"

    def lock(self) -> AdvisoryLock:
        return AdvisoryLock(self.connection)

    def has_table_in_current_schema(self, table: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 {_TABLES_OF_CURRENT_SCHEMA} AND c.relname = %s", [table])
            return cursor.fetchone() is not None

    def keeps(self, text: str, table: str, column: str) -> bool:
        self.connection.ensure_connection()
        # The server has told it to the driver.
        encoding = self.connection.connection.info.parameter_status("server_encoding")
        return is_encodable(text, _codec_of(encoding or ""))

    def is_done_already(self, error: DatabaseError) -> bool:
        # Within a transaction, that is lost whatever the error was.
        return _state(error) in _DONE_ALREADY and not self.connection.in_atomic_block

    def against_type(self, field: Field[Any, Any], there: Any) -> str:
        types = self.connection.data_types
        kind = field.get_internal_type()
        # Without a cast, which Django writes for other types alone, nothing is cut.
        is_same = kind in types and types[kind] == types.get(there.get_internal_type())
        if is_same and field.max_length and str(field.db_type(self.connection)).startswith("varchar"):
            return f"CHAR_LENGTH({self.column(there.column)}) > {field.max_length}"
        return super().against_type(field, there)

    def is_missing(self, error: DatabaseError) -> bool:
        return _state(error) in _MISSING

    def limit_lock_waits(self, seconds: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{seconds:d}s'")


def _codec_of(encoding: str) -> str:
    """Return what Python calls an encoding of PostgreSQL, if it is the same to the letter."""
    name = encoding.lower()
    if name in ("utf8", "sql_ascii"):
        # Django's connections speak UTF-8, and SQL_ASCII stands for whatever bytes come.
        return "utf-8"
    if name.startswith("win"):
        return name.replace("win", "cp")
    return name if name.startswith(("latin", "iso_8859_")) else "ascii"


def _state(error: DatabaseError) -> str | None:
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


class AdvisoryLock(ServerLock):
    """An advisory lock of the session."""

    way_out = (
        "The lock ends with its connection: that process is still running, or the server has not noticed "
        "that it is gone. Try again when it is done. If it is gone, end the connection "
        "'django-rewind ...' of pg_stat_activity with pg_terminate_backend()."
    )

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
    _is_held_sql = f"SELECT 1 {_granted} AND l.pid = pg_backend_pid()"
    _holder_sql = f"SELECT a.application_name, a.backend_start, l.pid {_granted}"

    def _keys_of(self, digest: bytes) -> dict[str, Any]:
        key = int.from_bytes(digest[:8], "big", signed=True)
        return {"key": key, "high": key >> 32 & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}

    def _own_connection(self) -> Any:
        own = super()._own_connection()
        # For those who wait, and for whoever looks into pg_stat_activity.
        name = f"django-rewind {os.getpid()}@{socket.gethostname()}"
        own.settings_dict["OPTIONS"]["application_name"] = name[:_LONGEST_NAME]
        return own

    def holder(self, last_to_begin: Callable[[str], str]) -> str:
        name, since, backend = self._row(self._holder_sql) or ("", None, None)
        pid, at, host = (name or "").rpartition(" ")[2].partition("@")
        if at:
            return process_in_words(pid, host, since)
        return f"a connection of the server's process {backend}" if backend else ""
