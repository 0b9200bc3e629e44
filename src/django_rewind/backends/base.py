"""The questions that django-rewind has for every kind of database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, DataError, IntegrityError
from django.db.migrations import Migration

if TYPE_CHECKING:
    from .locks import DatabaseLock


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
        return self.has(table)

    def has(self, table: str, column: str | None = None) -> bool:
        """Return whether the connection sees a table, or a column of it."""
        inspector = self.connection.introspection
        with self.connection.cursor() as cursor:
            if table not in inspector.table_names(cursor):
                return False
            return column is None or column in {
                description.name for description in inspector.get_table_description(cursor, table)
            }

    def has_rows(self, table: str, null_in: str | None = None) -> bool:
        """Return whether a table has rows, or rows with NULL in a column."""
        if not self.has(table, null_in):
            return False
        quote = self.connection.ops.quote_name
        condition = "" if null_in is None else f" WHERE {quote(null_in)} IS NULL"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {quote(table)}{condition} LIMIT 1")  # noqa: S608 (quoted names)
            return cursor.fetchone() is not None

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
