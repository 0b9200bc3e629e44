"""
Columns that hold any text in any database, and give it back as it was.

A database in latin1 has no Cyrillic, PostgreSQL has no NUL, and a connection may encode less than
its database. What does not fit is spelled out in ASCII. A signature covers the text itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models import CharField, F, Func, IntegerField, TextField

if TYPE_CHECKING:
    # What Django's classes take only for a type checker.
    _Text = TextField[str, str]
    _Char = CharField[str, str]
else:
    _Text, _Char = TextField, CharField

# What a text that is spelled out begins with: no name does, and nothing that Python can read.
_MARK = "\\ascii:"
_SPELLED = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def spell_out(text: str) -> str:
    """Return a text in ASCII, from which `read_out` makes it again."""
    escaped = text.replace("\\", "\\\\").replace("\0", "\\x00")
    # To some databases blanks at the end are none.
    stripped = escaped.rstrip(" ")
    escaped = stripped + "\\x20" * (len(escaped) - len(stripped))
    return _MARK + escaped.encode("ascii", "backslashreplace").decode("ascii")


def read_out(value: Any) -> Any:
    """Return the text that a column stands for; what somebody else has put there stays as it is."""
    if not isinstance(value, str) or not value.startswith(_MARK):
        return value
    try:
        return _SPELLED.sub(_read, value[len(_MARK) :])
    except (OverflowError, ValueError):
        return value


def _read(match: re.Match[str]) -> str:
    escaped = match.group(1)
    return escaped if escaped == "\\" else chr(int(escaped[1:], 16))


class Octets(Func):
    """How many bytes a text or a content takes, which the database knows without sending it."""

    template = "OCTET_LENGTH(%(expressions)s)"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # To its LENGTH() a text ends at the first NUL, and OCTET_LENGTH() came late.
        measured = self.template.replace(
            "OCTET_LENGTH(%(expressions)s)", "LENGTH(CAST(%(expressions)s AS BLOB))"
        )
        return self.as_sql(compiler, connection, template=measured, **context)


class UpTo(Octets):
    """A text or a content, or NULL where it takes more bytes than so many."""

    template = f"CASE WHEN {Octets.template} <= %(longest)s THEN %(expressions)s END"

    def __init__(self, name: str, longest: int, output_field: Any) -> None:
        super().__init__(F(name), longest=longest)
        self.output_field = output_field


class _AnyText:
    """A column for texts that spells out what its database or connection cannot hold."""

    model: Any
    column: Any

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = super().get_db_prep_value(value, connection, prepared)  # type: ignore[misc]
        is_plain = not isinstance(value, str) or self._is_plain(value, connection)
        return value if is_plain else spell_out(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return read_out(value)

    def _is_plain(self, text: str, connection: Any) -> bool:
        # So are nearly all.
        is_unmistakable = "\0" not in text and not text.startswith(_MARK)
        return is_unmistakable and (text.isascii() or self._is_kept(text, connection))

    def _is_kept(self, text: str, connection: Any) -> bool:
        from . import backend_for

        return backend_for(connection).keeps(text, self.model._meta.db_table, self.column)


class AnyTextField(_AnyText, _Text):
    """A text of any length."""


class NameField(_AnyText, _Char):
    """The name of an app or a migration, which is compared to the letter."""

    def db_type(self, connection: Any) -> str | None:
        from . import backend_for

        return backend_for(connection).name_type or super().db_type(connection)

    def _is_plain(self, text: str, connection: Any) -> bool:
        from . import backend_for

        return backend_for(connection).compares_exactly(text) and super()._is_plain(text, connection)
