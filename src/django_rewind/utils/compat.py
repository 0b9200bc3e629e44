"""Every branch on Django's version, each with the version in sight."""

from __future__ import annotations

import django

__all__ = ["HAS_PRUNE", "SQLITE_ADDS_NULLABLE_COLUMNS"]

# Django 4.0: "ALTER TABLE ADD COLUMN" for nullable columns on SQLite
# (django/db/backends/sqlite3/schema.py, add_field()); before that a rebuild.
SQLITE_ADDS_NULLABLE_COLUMNS = django.VERSION >= (4, 0)

# Django 4.1: "migrate --prune app" forgets applied migrations without a file
# (django/core/management/commands/migrate.py).
HAS_PRUNE = django.VERSION >= (4, 1)
