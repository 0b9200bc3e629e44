"""What all of django-rewind's tables have in common, wherever they are read or written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, TypeVar

from django.core.management.base import CommandError
from django.db import DatabaseError, DataError
from django.db.models import CharField, IntegerField, Model, QuerySet, TextField

from ..backends import backend_for
from ..utils.printable import why
from ..utils.types import APP_LABEL, Key

_Value = TypeVar("_Value")


class Unreadable(CommandError):
    """A column holds what Python cannot: a date of the year 20000, for one."""

    def __init__(self, table: str, error: Exception) -> None:
        super().__init__(
            f"The table {table} holds something that cannot be read ({why(error)}): none of ours wrote it.\n"
            "Look at what it holds, and take out what is no good."
        )


class Tables:
    """
    The tables of django-rewind that one connection sees.

    Nothing is cached: within PostgreSQL a connection may look at another schema
    the next moment, and each schema has tables of its own.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.backend = backend_for(connection)

    def exists(self, model: type[Model]) -> bool:
        return self.backend.has_table_in_current_schema(model._meta.db_table)

    def is_complete_for(self, model: type[Model]) -> bool:
        """Return whether a table is there, with all of its columns: later migrations of ours add some."""
        return {field.column for field in model._meta.concrete_fields} <= self._columns(model)

    def _columns(self, model: type[Model]) -> set[str]:
        """Return the columns of a table; none where there is no table."""
        if not self.exists(model):
            return set()
        table = self.connection.ops.quote_name(model._meta.db_table)
        with self.connection.cursor() as cursor:
            # In one statement: Django's introspection takes two, and stumbles over what is added in between.
            cursor.execute(f"SELECT * FROM {table} WHERE 1 = 0")  # noqa: S608 (a quoted name)
            return {column[0] for column in cursor.description}

    def _manager(self, model: type[Model]) -> Any:
        return model._default_manager.using(self.connection.alias)

    def _rows(self, model: type[Model]) -> Any:
        """Return the rows of a table, never those of another schema."""
        rows = model.objects.using(self.connection.alias).order_by()  # type: ignore[attr-defined]
        if self.backend.in_current_schema:
            rows = rows.extra(where=[self.backend.in_current_schema])  # noqa: S610 (a constant)
        return rows

    def _read(self, query: QuerySet[Any, Any]) -> list[Any]:
        """
        Run a query, and return nothing where there is no table.

        That the migrations of django-rewind are recorded does not mean that the table is there:
        they may have been faked, or the table dropped by hand.
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

    def _values(self, query: QuerySet[Any, Any], *columns: str) -> list[dict[str, Any]]:
        """Run a query for some columns, each with what it is meant for."""
        return cleaned(query.model, self._read(query.values(*columns)))

    @staticmethod
    def _listed(query: QuerySet[Any, Any]) -> list[Any]:
        try:
            return list(query)
        except (DataError, OverflowError, ValueError) as error:
            raise Unreadable(query.model._meta.db_table, error) from error


def cleaned(model: type[Model], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put texts and numbers where columns are meant for them: SQLite keeps whatever it is given."""
    fields = model._meta.concrete_fields
    texts = {field.attname for field in fields if isinstance(field, (CharField, TextField))}
    numbers = {field.attname for field in fields if isinstance(field, IntegerField)}
    for row in rows:
        for name, value in row.items():
            if name in texts and not isinstance(value, str):
                row[name] = as_text(value)
            elif name in numbers and not isinstance(value, int):
                row[name] = None
    return rows


def as_text(value: Any) -> str:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)


def in_batches(values: list[_Value], size: int) -> Iterator[list[_Value]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def all_of_ours(disk: Iterable[Key], applied: Container[Key]) -> bool:
    """Return whether all of django-rewind's own migrations on disk are applied: then the store is ready."""
    own = [key for key in disk if key[0] == APP_LABEL]
    return bool(own) and all(key in applied for key in own)
