"""Every branch on Django's version, and every touch of its private parts, each with its place in sight."""

from __future__ import annotations

from sqlite3 import sqlite_version_info
from typing import Any

import django
from django.db.models import NOT_PROVIDED

# Django 4.0: "ALTER TABLE ADD COLUMN" for nullable columns on SQLite
# (django/db/backends/sqlite3/schema.py, add_field()); before that a rebuild.
SQLITE_ADDS_NULLABLE_COLUMNS = django.VERSION >= (4, 0)

# Django 4.2: "ALTER TABLE DROP COLUMN" on SQLite, since its 3.35.5
# (django/db/backends/sqlite3/features.py, can_alter_table_drop_column).
SQLITE_DROPS_COLUMNS = django.VERSION >= (4, 2) and sqlite_version_info >= (3, 35, 5)

# Django 4.1: "migrate --prune app" forgets applied migrations without a file
# (django/core/management/commands/migrate.py).
HAS_PRUNE = django.VERSION >= (4, 1)


def project_state(executor: Any, *, with_applied_migrations: bool = False) -> Any:
    """Return an executor's project state (django/db/migrations/executor.py), empty or of what is applied."""
    return executor._create_project_state(with_applied_migrations=with_applied_migrations)


def effective_default(connection: Any, field: Any) -> Any:
    """
    Return what `add_field` fills the rows of a table with (django/db/backends/base/schema.py).

    Not as the database would be given it: to write a key down, Django asks the model that it points to.
    """
    return connection.SchemaEditorClass._effective_default(field)


def has_db_default(field: Any) -> bool:
    """Return whether the database itself has a default for a field, as it can since Django 5.0."""
    return getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def attributes_without_column(field: Any) -> set[str]:
    """Return the arguments of a field for which Django changes no column (django/db/backends/base/schema.py)."""
    # What Django 3.2 and 4.0 have in the function itself.
    earlier = (
        *("blank", "db_column", "editable", "error_messages", "help_text", "limit_choices_to"),
        *("on_delete", "related_name", "related_query_name", "validators", "verbose_name"),
    )
    return {*getattr(field, "non_db_attrs", earlier)}


def condition_of(constraint: Any) -> Any:
    """Return what a check constraint demands; Django 5.1 has given it another name (django/db/models/constraints.py)."""
    return constraint.condition if django.VERSION >= (5, 1) else constraint.check


def refuses_transactions(operation: Any) -> bool:
    """Return whether an operation is one of those that PostgreSQL executes in no transaction."""
    # The mark of NotInTransactionMixin (django/contrib/postgres/operations.py), whose module needs a driver.
    return hasattr(operation, "_ensure_not_in_transaction")


def class_of_manager(manager: Any) -> tuple[type, tuple[Any, ...] | None]:
    """
    Return the class whose path `manager.deconstruct()` returns, and the arguments for it.

    The class of a manager that `QuerySet.as_manager()` has made is the query set, without arguments
    (django/db/models/manager.py).
    """
    if getattr(manager, "_built_with_asmanager", False):
        return manager._queryset_class, None
    return type(manager), manager._constructor_args


def is_called_from_command_line(command: Any) -> bool:
    """Return whether manage.py runs a command, not another program (django/core/management/base.py)."""
    return getattr(command, "_called_from_command_line", False)
