"""MySQL and MariaDB, which Django calls by one vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError
from django.db.models import Field

from .base import Backend, is_encodable
from .fields import spell_out
from .locks import ServerLock

# Errors for what is there, or gone, already.
_DONE_ALREADY = {1050, 1051, 1054, 1060, 1061, 1091, 1146, 1826, 3821, 3822, 3940}

# Errors for values that a column does not take, which drivers do not call a DataError.
_DATA_REFUSED = {1300, 1366, 3988}

# By connection of the driver, by table and column.
_charsets: WeakKeyDictionary[Any, dict[tuple[str, str], list[str]]] = WeakKeyDictionary()

# Errors for a database, a column or a table that is not there.
_MISSING = {1049, 1054, 1146}


class MySQL(Backend):
    index_names_are_global = False
    # Every collation of ASCII but this one takes upper and lower case for the same. At a byte for each character,
    # an index on two such columns is short enough for MyISAM (1,000 bytes) and for rows in the formats COMPACT
    # and REDUNDANT (767 bytes for each column). Other characters are spelled out, so there is room for more.
    name_type = "varchar(480) CHARACTER SET ascii COLLATE ascii_bin"

    def lock(self) -> NamedLock:
        return NamedLock(self.connection)

    def keeps(self, text: str, table: str, column: str) -> bool:
        return all(_holds(charset, text) for charset in self._charsets(table, column))

    def _charsets(self, table: str, column: str) -> list[str]:
        """Return in what the client encodes, and in what a column does; asked once of each connection."""
        self.connection.ensure_connection()
        known = _charsets.setdefault(self.connection.connection, {})
        if (table, column) not in known:
            sql = (
                "SELECT @@character_set_client, character_set_name FROM information_schema.columns"
                " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s"
            )
            with self.connection.cursor() as cursor:
                cursor.execute(sql, [table, column])
                known[table, column] = list(map(str, cursor.fetchone() or ["ascii"]))
        return known[table, column]

    def compares_exactly(self, name: str) -> bool:
        # Blanks at the end do not count.
        return name.isascii() and not name.endswith(" ")

    def alter_name_columns(self, table: str, columns: Sequence[str]) -> None:
        if self._are_for_names(table, columns):
            return
        names = ", ".join(columns)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT id, {names} FROM {table}")  # noqa: S608 (our own names)
            rows = [(pk, [_as_text(name) for name in found]) for pk, *found in cursor.fetchall()]
            others = [(pk, found) for pk, found in rows if not all(map(self.compares_exactly, found))]
            if others:
                # There is room for them by then.
                self._modify(cursor, table, columns, "varbinary(480)")
            for pk, found in others:
                values = [name if self.compares_exactly(name) else spell_out(name) for name in found]
                assignments = ", ".join(f"{column} = %s" for column in columns)
                cursor.execute(f"UPDATE {table} SET {assignments} WHERE id = %s", [*values, pk])  # noqa: S608
            self._modify(cursor, table, columns, self.name_type)

    def _are_for_names(self, table: str, columns: Sequence[str]) -> bool:
        sql = (
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name = %s AND collation_name = 'ascii_bin' AND character_maximum_length = 480"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [table])
            return {*columns} <= {column for (column,) in cursor.fetchall()}

    def _modify(self, cursor: Any, table: str, columns: Sequence[str], kind: str) -> None:
        changes = ", ".join(f"MODIFY {column} {kind} NOT NULL" for column in columns)
        cursor.execute(f"ALTER TABLE {table} {changes}")

    @contextmanager
    def refusing_what_does_not_fit(self) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.sql_mode")
            mode = str(cursor.fetchone()[0])
        # Without this one texts are cut. With STRICT_TRANS_TABLES alone, so they are by MyISAM.
        self._set_mode(mode if "STRICT_ALL_TABLES" in mode else f"{mode},STRICT_ALL_TABLES".lstrip(","))
        try:
            yield
        finally:
            self._set_mode(mode)

    def _set_mode(self, mode: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = %s", [mode])

    def longest_statement(self) -> int | None:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            return int(cursor.fetchone()[0])

    def is_about_data(self, error: Exception) -> bool:
        number = error.args[0] if error.args else None
        return super().is_about_data(error) or number in _DATA_REFUSED

    def is_done_already(self, error: DatabaseError) -> bool:
        number = error.args[0] if error.args else None
        # 1005 stands for what the storage engine says: 121 is a name that there is already.
        return number in _DONE_ALREADY or (number == 1005 and "errno: 121" in str(error))

    def makes_up_values(self, field: Field[Any, Any]) -> bool:
        # 0 or an empty text, which no foreign key points to.
        if getattr(field, "db_constraint", False):
            return False
        is_date = field.get_internal_type() in ("DateField", "DateTimeField")
        return not is_date or "NO_ZERO_DATE" not in self.connection.sql_mode

    def against_type(self, field: Field[Any, Any], there: Any) -> str:
        is_strict = any(mode.startswith("STRICT_") for mode in self.connection.sql_mode)
        if not is_strict:
            return ""
        if field.max_length and str(field.db_type(self.connection)).startswith("varchar"):
            return f"CHAR_LENGTH({self.column(there.column)}) > {field.max_length}"
        return super().against_type(field, there)

    def is_missing(self, error: DatabaseError) -> bool:
        return bool(error.args) and error.args[0] in _MISSING

    def limit_lock_waits(self, seconds: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET SESSION lock_wait_timeout = {seconds:d}")


def _as_text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _holds(charset: str, text: str) -> bool:
    if charset == "utf8mb4":
        return is_encodable(text, "utf-8")
    if charset in ("utf8", "utf8mb3"):
        return is_encodable(text, "utf-8") and max(text) <= "\uffff"
    # What MySQL calls latin1 is Windows' code page.
    return is_encodable(text, "cp1252" if charset == "latin1" else "ascii")


class NamedLock(ServerLock):
    """A named lock, which is one for the whole server."""

    _database_sql = "SELECT DATABASE()"
    _stay_sql = "SET SESSION wait_timeout = 2147483"
    _take_sql = "SELECT GET_LOCK(%(key)s, 0)"
    _is_held_sql = "SELECT IS_USED_LOCK(%(key)s) = CONNECTION_ID()"
    _release_sql = "SELECT RELEASE_LOCK(%(key)s)"
    way_out = (
        "The lock ends with its connection: that process is still running, or the server has not noticed "
        "that it is gone. Try again when it is done. If it is gone, KILL its connection, "
        "which SHOW PROCESSLIST lists."
    )
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
