"""The questions that django-rewind has for every kind of database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, DataError, IntegrityError
from django.db.migrations import Migration
from django.db.models import DecimalField, Field

if TYPE_CHECKING:
    from .locks import DatabaseLock


class NotThere(Exception):
    """What a query asks for is in no table that the connection sees."""


class NotTold(Exception):
    """The database refuses to answer a query."""


class Backend:
    """
    The answers for databases that Django knows and django-rewind does not, such as Oracle.

    Other vendors override what is different. Nothing is cached: a connection of PostgreSQL may
    look at another schema the next moment.
    """

    #: Whether a change of a table copies it into a new one, which has the columns of the project state alone.
    rebuilds_tables = False
    #: Whether Django's schema editor itself checks all foreign keys before it commits.
    editor_checks_constraints = False
    #: Whether a statement that fails makes its transaction unusable.
    errors_abort_transaction = False
    #: Whether an index of one table has a name that no other table may use for one.
    index_names_are_global = True
    #: Whether a unique constraint is an index of its name.
    constraints_are_indexes = True
    #: The type of a column for names that are compared to the letter; empty where any column does that.
    name_type = ""
    #: The condition on rows that keeps to the tables of the current schema; empty where there is but one.
    in_current_schema = ""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @property
    def has_transactional_ddl(self) -> bool:
        return bool(self.connection.features.can_rollback_ddl)

    def rolls_back(self, migration: Migration) -> bool:
        """Return whether the database rolls back the migration as a whole when it fails."""
        return self.has_transactional_ddl and migration.atomic

    def lock(self) -> DatabaseLock | None:
        """
        Return the lock of the database, not yet taken; None where no other process can see the database.

        Raises:
            LockUnavailable: the settings name no database that can hold a lock.
        """
        return None

    def exists(self) -> bool:
        """Return whether connecting finds a database, rather than makes one."""
        return True

    # Tables -----------------------------------------------------------------

    def has_table_in_current_schema(self, table: str) -> bool:
        with self.connection.cursor() as cursor:
            return table in self.connection.introspection.table_names(cursor)

    def has(self, table: str, column: str | None = None) -> bool:
        """
        Return whether the connection sees a table, or a column of it.

        It is asked as a run will ask it: introspection lists neither views nor what is in another
        schema or database.
        """
        try:
            self._first(self._select(table, column, "1 = 0"))
        except NotThere:
            return False
        except NotTold:
            pass
        return True

    def has_rows(self, table: str, null_in: str | None = None) -> bool:
        """Return whether a table has rows, or rows with NULL in a column, as far as the database tells."""
        return self.finds(self._select(table, None, f"{self.column(null_in)} IS NULL" if null_in else ""))

    def count(self, table: str, column: str | None, bound: int, *, nulls: bool = False) -> int | None:
        """
        Count rows, or those with a value (or with NULL) in a column, up to one more than a bound.

        Returns:
            0 where there is no such table or column; None where the database does not tell.
        """
        condition = f"{self.column(column)} IS {'' if nulls else 'NOT '}NULL" if column else ""
        rows = f"{self._select(table, None, condition)} LIMIT {bound + 1}"
        try:
            row = self._first(f"SELECT COUNT(*) FROM ({rows}) bounded")  # noqa: S608 (quoted names)
        except NotThere:
            return 0
        except NotTold:
            return None
        return int(row[0]) if row else 0

    def finds(self, query: str, params: Sequence[Any] = ()) -> bool:
        """Return whether a query finds a row; not where it asks for what is not there, or is not told."""
        try:
            return self._first(f"{query} LIMIT 1", params) is not None
        except (NotThere, NotTold):
            return False

    def column(self, name: str, of: str = "counted") -> str:
        """Return a column for a query: alone, SQLite takes the quoted name of no column for a text."""
        return f"{of}.{self.connection.ops.quote_name(name)}"

    def _select(self, table: str, column: str | None, condition: str) -> str:
        what = self.column(column) if column else "1"
        where = f" WHERE {condition}" if condition else ""
        # (S608: names are quoted)
        return f"SELECT {what} AS found FROM {self.connection.ops.quote_name(table)} counted{where}"  # noqa: S608

    def _first(self, query: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        savepoint = self.connection.savepoint()
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(query, params or None)
                row: tuple[Any, ...] | None = cursor.fetchone()
        except DatabaseError as error:
            # In PostgreSQL the transaction would be lost.
            self.connection.savepoint_rollback(savepoint)
            if not self.connection.is_usable():
                raise
            raise (NotThere if self.is_missing(error) else NotTold) from error
        self.connection.savepoint_commit(savepoint)
        return row

    def is_missing(self, error: DatabaseError) -> bool:
        """Return whether a query failed because there is no such table or column."""
        return any(words in str(error) for words in ("no such table", "no such column"))

    def columns_with_data(self, table: str) -> set[str]:
        """Return the columns of a table but for those that are computed of others; none where it is not there."""
        with self.connection.cursor() as cursor:
            if table not in self.connection.introspection.table_names(cursor):
                return set()
            return {
                column.name for column in self.connection.introspection.get_table_description(cursor, table)
            }

    def makes_up_values(self, field: Field[Any, Any]) -> bool:
        """Return whether a column that takes no NULL can be added to a table with rows, without a default."""
        return False

    def against_type(self, field: Field[Any, Any], there: Any) -> str:
        """Return the condition of rows that keep a column from becoming that of a field; empty for none."""
        kind, name = field.get_internal_type(), self.column(there.column)
        if kind in self.connection.ops.integer_field_ranges:
            low, high = self.connection.ops.integer_field_range(kind)
            return f"({name} < {low} OR {name} > {high})"
        if isinstance(field, DecimalField) and None not in (field.max_digits, field.decimal_places):
            return f"ABS({name}) >= 1{'0' * (field.max_digits - field.decimal_places)}"
        return ""

    # Texts and errors -------------------------------------------------------

    def keeps(self, text: str, table: str, column: str) -> bool:
        """Return whether a column gives back this text as it was."""
        return is_encodable(text, "utf-8")

    def compares_exactly(self, name: str) -> bool:
        """Return whether a column for names takes no other for this one."""
        return True

    def alter_name_columns(self, table: str, columns: Sequence[str]) -> None:
        """Give columns for names their type in a table that an earlier version has made."""

    def refusing_what_does_not_fit(self) -> AbstractContextManager[None]:
        """Return a context in which no value is altered to fit into its column."""
        return nullcontext()

    def longest_statement(self) -> int | None:
        """Return how many bytes a statement may have with all of its values; None where nothing limits it."""
        return None

    def is_about_data(self, error: Exception) -> bool:
        """Return whether the database has refused the values of a statement."""
        return isinstance(error, (DataError, IntegrityError))

    def lenient_decoding(self) -> AbstractContextManager[None] | None:
        """Return a context in which texts in no valid encoding can be read, where the database takes such."""
        return None

    def is_done_already(self, error: DatabaseError) -> bool:
        """Return whether a change of the schema failed because it had been executed before."""
        said = str(error)
        return any(words in said for words in ("no such", "already exists", "duplicate column name"))

    def limit_lock_waits(self, seconds: int) -> None:
        """Have statements of this connection fail that wait longer for a locked table."""


def is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True
