"""What all of our tables have in common, wherever they are read or written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.db import DatabaseError, DataError
from django.db.models import Model, QuerySet

from ..utils.printable import why
from ..utils.types import Key

__all__ = [
    "APP_LABEL",
    "IN_CURRENT_SCHEMA",
    "Tables",
    "all_of_ours",
    "as_number",
    "as_text",
    "in_batches",
    "is_there",
]

_Value = TypeVar("_Value")

APP_LABEL = "django_rewind"

IN_CURRENT_SCHEMA = (
    "tableoid IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema())"
)
_EXISTS_IN_CURRENT_SCHEMA = (
    "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema() AND c.relname = %s"
)


class Unreadable(CommandError):
    """A column of a table of ours holds what Python cannot: a date of the year 20000, for one."""

    def __init__(self, table: str, error: Exception) -> None:
        super().__init__(
            f"The table {table} holds something that cannot be read ({why(error)}): none of ours wrote it.\n"
            "Look at what it holds, and take out what is no good."
        )


def is_there(connection: Any, table: str, column: str | None = None) -> bool:
    """Say whether a database has a table, or a column of it; one of any app's."""
    look = connection.introspection
    with connection.cursor() as cursor:
        if table not in look.table_names(cursor):
            return False
        return column is None or column in {one.name for one in look.get_table_description(cursor, table)}


class Tables:
    """
    The tables of ours that one connection sees.

    Nothing is cached: within PostgreSQL a connection may look at another schema
    the next moment, and each schema has tables of its own.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def exists(self, model: type[Model]) -> bool:
        """Look for a table of ours, on PostgreSQL in the current schema alone."""
        table = model._meta.db_table
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "postgresql":
                cursor.execute(_EXISTS_IN_CURRENT_SCHEMA, [table])
                return cursor.fetchone() is not None
            return table in self.connection.introspection.table_names(cursor)

    def _manager(self, model: type[Model]) -> Any:
        return model._default_manager.using(self.connection.alias)

    def _rows(self, model: type[Model]) -> Any:
        """Return the rows of a table of ours, never those of another schema."""
        rows = model.objects.using(self.connection.alias).order_by()  # type: ignore[attr-defined]
        if self.connection.vendor == "postgresql":
            # A tenant's search_path goes on to the public schema, whose table is not ours.
            rows = rows.extra(where=[IN_CURRENT_SCHEMA])  # noqa: S610 (a constant)
        return rows

    def _read(self, query: QuerySet[Any, Any]) -> list[Any]:
        """
        Run a query on a table of ours, and answer nothing where there is no table.

        That our migrations are recorded does not mean that the table is there:
        they may have been faked, or the table dropped by hand.

        Raises:
            Unreadable: something in it is nothing that Python knows.
        """
        aborts = self.connection.vendor == "postgresql" and self.connection.in_atomic_block
        if aborts and not self.exists(query.model):
            # A failing query would take the surrounding transaction with it.
            return []
        try:
            return self._listed(query)
        except DatabaseError:
            if not self.exists(query.model):
                return []
            if self.connection.vendor != "sqlite":
                raise
        with self._bytes_as_they_are():
            return self._listed(query.all())

    @staticmethod
    def _listed(query: QuerySet[Any, Any]) -> list[Any]:
        try:
            return list(query)
        except (DataError, OverflowError, ValueError) as error:
            raise Unreadable(query.model._meta.db_table, error) from error

    @contextmanager
    def _bytes_as_they_are(self) -> Iterator[None]:
        """Have SQLite return a text that is no UTF-8, which it takes from anybody."""
        raw = self.connection.connection
        before, raw.text_factory = raw.text_factory, as_text
        try:
            yield
        finally:
            raw.text_factory = before


def as_text(value: Any) -> str:
    """Return what a column for texts holds as one: SQLite keeps whatever it is given."""
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)


def as_number(value: Any) -> int | None:
    """Return what a column for numbers holds, or None where that is no number."""
    return value if isinstance(value, int) else None


def in_batches(values: list[_Value], size: int) -> Iterator[list[_Value]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def all_of_ours(disk: Iterable[Key], applied: Container[Key]) -> bool:
    """Say whether all of our own migrations on disk are applied: then the store is ready."""
    ours = [key for key in disk if key[0] == APP_LABEL]
    return bool(ours) and all(key in applied for key in ours)
