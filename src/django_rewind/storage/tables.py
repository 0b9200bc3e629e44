"""What all of django-rewind's tables have in common, wherever they are read or written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from math import isfinite
from typing import Any, TypeVar

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError, DataError
from django.db.models import (
    BinaryField,
    CharField,
    DateTimeField,
    F,
    FloatField,
    IntegerField,
    Model,
    QuerySet,
    TextField,
)
from django.utils.timezone import is_aware

from ..backends import backend_for
from ..backends.fields import AnyTextField, NameField, UpTo
from ..conf import MEBIBYTE
from ..utils.printable import why
from ..utils.types import APP_LABEL, Key

_Value = TypeVar("_Value")


class Unreadable(CommandError):
    """A table cannot be read at all, row by row neither."""

    def __init__(self, table: str, error: Exception) -> None:
        super().__init__(
            f"The table {table} holds something that cannot be read ({why(error)}).\n"
            "Look at what it holds, and take out what Django has not written."
        )


#: Under this name a row lists its columns that could not be read, or hold something else than they are for.
UNREADABLE = "unreadable"

#: In bytes: longer texts are not read. Nothing that is stored for a migration beside its source is so long.
LONGEST = 16 * MEBIBYTE

# What Python raises at values that a column cannot be meant for: an error of the driver, of Django, or of its own.
_MEANINGLESS = (DataError, OverflowError, ValueError, TypeError, AttributeError)


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

    def _values(
        self, query: QuerySet[Any, Any], *columns: str, longest: int | None = LONGEST
    ) -> list[dict[str, Any]]:
        """
        Return some columns of rows, each with what it is meant for, whatever the database holds.

        One bad value harms its own row: that comes without it, and lists its column under `UNREADABLE`.

        Args:
            longest: of a text, in bytes. The database is asked for its size, and a longer one is not read.
        """
        select = _Columns(query.model, columns, longest)
        try:
            rows = [select.named(row) for row in self._read(select.of(query))]
        except Unreadable:
            rows = self._one_by_one(query, columns, longest)
        return cleaned(query.model, rows)

    def _one_by_one(
        self, query: QuerySet[Any, Any], columns: Sequence[str], longest: int | None
    ) -> list[dict[str, Any]]:
        """Read column by column, and where that fails row by row: what cannot be read is left out."""
        pks = self._read(query.values_list("pk", flat=True))
        rows: dict[Any, dict[str, Any]] = {pk: {} for pk in pks}
        fields = {"pk", *(field.attname for field in query.model._meta.concrete_fields)}
        for column in columns:
            # What is computed by the database can be read, and by the query alone.
            is_field = column in fields
            computed = [] if is_field else self._read(query.values_list("pk", column))
            for pk, value in self._column(query.model, column, pks, longest) if is_field else computed:
                if pk in rows:
                    rows[pk][column] = value
        for row in rows.values():
            lacking = [column for column in columns if column not in row]
            row.update({UNREADABLE: tuple(lacking), **dict.fromkeys(lacking)})
        return list(rows.values())

    def _column(
        self, model: type[Model], column: str, pks: list[Any], longest: int | None
    ) -> Iterator[tuple[Any, Any]]:
        select = _Columns(model, [column], longest)
        for batch in in_batches(pks, 500):
            query = select.of(self._rows(model).filter(pk__in=batch), with_key=True)
            try:
                for row in map(select.named, self._read(query)):
                    yield row[_KEY], row[column]
            except Unreadable:
                middle = len(batch) // 2
                halves = [batch[:middle], batch[middle:]] if middle else []
                for half in halves:
                    yield from self._column(model, column, half, longest)

    @staticmethod
    def _listed(query: QuerySet[Any, Any]) -> list[Any]:
        try:
            return list(query)
        except _MEANINGLESS as error:
            raise Unreadable(query.model._meta.db_table, error) from error


# What the primary key is selected as beside a column, and what a text is whose size was asked for first.
_KEY, _CUT = "of_row", "_if_short"


class _Columns:
    """Some columns of a model to be selected, texts and contents only up to a length."""

    def __init__(self, model: type[Model], names: Iterable[str], longest: int | None) -> None:
        fields = {field.attname: field for field in model._meta.concrete_fields}
        self.cut: dict[str, Any] = {
            name + _CUT: UpTo(name, longest, fields[name])
            for name in names
            if longest is not None and isinstance(fields.get(name), (CharField, TextField, BinaryField))
        }
        self.plain = [name for name in names if name + _CUT not in self.cut]

    def of(self, query: QuerySet[Any, Any], *, with_key: bool = False) -> QuerySet[Any, Any]:
        key = {_KEY: F("pk")} if with_key else {}
        return query.values(*self.plain, **self.cut, **key)

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row by the names of its columns."""
        return {name[: -len(_CUT)] if name in self.cut else name: value for name, value in row.items()}


def cleaned(model: type[Model], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Put into columns what they are meant for, and list those that hold something else.

    SQLite keeps whatever it is given. Elsewhere a constraint may have been dropped.
    """
    fields = {field.attname: field for field in model._meta.concrete_fields}
    for row in rows:
        wrong = [name for name, value in row.items() if name in fields and not _fits(fields[name], value)]
        for name in wrong:
            row[name] = _instead(fields[name], row[name])
        row[UNREADABLE] = (*row.get(UNREADABLE, ()), *wrong)
    return rows


# What a column gives, by the class of its field.
_TYPES: list[tuple[Any, Any]] = [
    (IntegerField, int),
    (FloatField, (float, int)),
    (DateTimeField, datetime),
    (BinaryField, (bytes, bytearray, memoryview)),
    (object, str),
]


@cache
def _types_of(field_class: type) -> Any:
    # Asked for with each value that is read.
    return next(types for kind, types in _TYPES if issubclass(field_class, kind))


def _fits(field: Any, value: Any) -> bool:
    if value is None:
        return bool(field.null)
    if not isinstance(value, _types_of(field.__class__)):
        return False
    if isinstance(value, str):
        # Halves of a character cannot be written into a column that does not spell them out.
        return isinstance(field, AnyTextField) or value.isascii() or as_text(value) == value
    if isinstance(value, datetime):
        return is_aware(value) is bool(settings.USE_TZ)
    return not isinstance(value, float) or isfinite(value)


def _instead(field: Any, value: Any) -> Any:
    """Return what stands for something else: a name that no other row has, any text, or nothing."""
    if isinstance(field, NameField):
        return repr(value)
    return as_text(value) if isinstance(field, (CharField, TextField)) else None


def as_text(value: Any) -> str:
    """Return a text that can be written anywhere, and shows what it was made of."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return "" if value is None else str(value).encode("utf-8", "backslashreplace").decode()


def in_batches(values: list[_Value], size: int) -> Iterator[list[_Value]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def all_of_ours(disk: Iterable[Key], applied: Container[Key]) -> bool:
    """Return whether all of django-rewind's own migrations on disk are applied: then the store is ready."""
    own = [key for key in disk if key[0] == APP_LABEL]
    return bool(own) and all(key in applied for key in own)
