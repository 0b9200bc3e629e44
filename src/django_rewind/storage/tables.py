"""What all of our tables have in common, wherever they are read or written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.db import DatabaseError, DataError
from django.db.models import Model, QuerySet

from ..backends import backend_for
from ..utils.printable import why
from ..utils.types import APP_LABEL, Key

__all__ = [
    "Tables",
    "all_of_ours",
    "as_number",
    "as_text",
    "in_batches",
]

_Value = TypeVar("_Value")


class Unreadable(CommandError):
    """A column of a table of ours holds what Python cannot: a date of the year 20000, for one."""

    def __init__(self, table: str, error: Exception) -> None:
        super().__init__(
            f"The table {table} holds something that cannot be read ({why(error)}): none of ours wrote it.\n"
            "Look at what it holds, and take out what is no good."
        )


class Tables:
    """
    The tables of ours that one connection sees.

    Nothing is cached: within PostgreSQL a connection may look at another schema
    the next moment, and each schema has tables of its own.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.backend = backend_for(connection)

    def exists(self, model: type[Model]) -> bool:
        """Look for a table of ours, on PostgreSQL in the current schema alone."""
        return self.backend.has_table_in_current_schema(model._meta.db_table)

    def _manager(self, model: type[Model]) -> Any:
        return model._default_manager.using(self.connection.alias)

    def _rows(self, model: type[Model]) -> Any:
        """Return the rows of a table of ours, never those of another schema."""
        rows = model.objects.using(self.connection.alias).order_by()  # type: ignore[attr-defined]
        if self.backend.in_current_schema:
            rows = rows.extra(where=[self.backend.in_current_schema])  # noqa: S610 (a constant)
        return rows

    def _read(self, query: QuerySet[Any, Any]) -> list[Any]:
        """
        Run a query on a table of ours, and answer nothing where there is no table.

        That our migrations are recorded does not mean that the table is there:
        they may have been faked, or the table dropped by hand.

        Raises:
            Unreadable: something in it is nothing that Python knows.
        """
        aborts = self.backend.errors_abort_transaction and self.connection.in_atomic_block
        if aborts and not self.exists(query.model):
            # A failing query would take the surrounding transaction with it.
            return []
        try:
            return self._listed(query)
        except DatabaseError:
            if not self.exists(query.model):
                return []
            lenient_decoding = self.backend.lenient_decoding()
            if lenient_decoding is None:
                raise
        with lenient_decoding:
            return self._listed(query.all())

    @staticmethod
    def _listed(query: QuerySet[Any, Any]) -> list[Any]:
        try:
            return list(query)
        except (DataError, OverflowError, ValueError) as error:
            raise Unreadable(query.model._meta.db_table, error) from error


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
