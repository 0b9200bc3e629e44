"""
Which database the commands work on that a text names as the next step.

Whoever makes such a text seldom knows the database. It is put in where the text leaves
us: in the errors of a run and of a command, in what is said meanwhile, and in reports.
There the names in it, which come from rows, are made fit for a terminal, too.
"""

from __future__ import annotations

import re

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS

from .printable import printable

# Those that take --database: ours, and `migrate`.
_COMMAND = re.compile(
    r"'manage\.py (?:backfill_migration_code|migrate|prune_migration_code|restore_migrations|rewind|"
    r"show_stored_migrations|verify_migrations)(?: (?!--database )[^'\s]+)*(?=')"
)


def on_database(text: str, alias: str) -> str:
    """Return the text with each quoted command of ``manage.py`` in it working on this database."""
    text = printable(text)
    if alias == DEFAULT_DB_ALIAS:
        return text
    return _COMMAND.sub(lambda command: f"{command.group()} --database {alias}", text)


def name_database(error: CommandError, alias: str) -> None:
    """Have the commands that an error names work on the database that it is about."""
    error.args = (on_database(str(error), alias),)
    if hasattr(error, "next_step"):
        error.next_step = on_database(error.next_step, alias)
