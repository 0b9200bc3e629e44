"""Every branch on Django's version, each with the version in sight."""

from __future__ import annotations

from typing import Any

import django

__all__ = ["HAS_PRUNE", "SQLITE_ADDS_NULLABLE_COLUMNS", "effective_default"]

# Django 4.0: "ALTER TABLE ADD COLUMN" for nullable columns on SQLite
# (django/db/backends/sqlite3/schema.py, add_field()); before that a rebuild.
SQLITE_ADDS_NULLABLE_COLUMNS = django.VERSION >= (4, 0)

# Django 4.1: "migrate --prune app" forgets applied migrations without a file
# (django/core/management/commands/migrate.py).
HAS_PRUNE = django.VERSION >= (4, 1)


def effective_default(connection: Any, field: Any) -> Any:
    """
    Return what `add_field` fills the rows of a table with (django/db/backends/base/schema.py).

    Not as the database would be given it: to write a key down, Django asks the model that it points to.
    """
    return connection.SchemaEditorClass._effective_default(field)
