"""
What can be known before the first statement, and stops a run if it has to.

Each function looks at one thing and raises the error that names it. They work on
project states and, where the question is what is in a table, on the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED, Field

from . import compat
from .effects import conflict, effects_of, operations_in
from .exceptions import (
    BlockedRewind,
    ConflictsWithMissing,
    IrreversibleRewind,
    StateNotBuilt,
    UnknownColumns,
)
from .types import Effect, Key

__all__ = [
    "check_conflicts",
    "check_not_null",
    "check_reversible",
    "check_unknown_columns",
    "rehearse",
]

# On SQLite these leave a table as it is, or make or drop it as a whole.
_NO_REBUILD = (
    operations.AddIndex,
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.AlterModelTable,
    operations.CreateModel,
    operations.DeleteModel,
    operations.RemoveIndex,
    operations.RunPython,
    operations.RunSQL,
)


def key_of(migration: Migration) -> Key:
    return (migration.app_label, migration.name)


def check_reversible(undone: Iterable[Migration]) -> None:
    """
    Refuse to start when a step holds an irreversible operation.

    Django finds that out when it comes to the step, with the later ones undone.

    Raises:
        IrreversibleRewind: also for what `SeparateDatabaseAndState` holds.
    """
    for migration in undone:
        for operation in operations_in(migration, database=True):
            if not operation.reversible:
                raise IrreversibleRewind(key_of(migration), operation.describe())


def rehearse(
    state: Any, kept: Iterable[Migration], steps: Iterable[Migration], suspects: Iterable[Key]
) -> Any:
    """
    Build and render the states of a run, as the executor will.

    Args:
        state: where it begins; it is changed.
        kept: what is applied and stays, in order.
        steps: what is undone or applied, in the order of application.
        suspects: migrations from stored code, for the message.

    Returns:
        the state before the first step.

    Raises:
        StateNotBuilt: with the step and the migration at which it failed.
    """
    steps = list(steps)
    step = culprit = key_of(steps[0]) if steps else None
    try:
        for migration in kept:
            culprit = key_of(migration)
            state = migration.mutate_state(state, preserve=False)
        before = state.clone()
        state.apps  # noqa: B018 (rendered here, then kept up to date by the operations)
        for migration in steps:
            step = culprit = key_of(migration)
            state = migration.mutate_state(state, preserve=False)
    except Exception as error:
        raise StateNotBuilt(step or culprit, culprit, error, suspects) from error
    return before


def check_conflicts(
    steps: Iterable[Migration],
    missing: dict[Key, list[Effect]],
    ancestors: dict[Key, set[Key]],
) -> None:
    """
    Refuse to apply what takes away, renames or makes again what a missing one uses.

    Args:
        steps: the migrations to be applied.
        missing: the effects of the missing ones that stay applied.
        ancestors: what each step depends on; it knows of those.

    Raises:
        ConflictsWithMissing: names the step and the missing migration.
    """
    for migration in steps:
        key = key_of(migration)
        effects = effects_of(migration)
        for other, of_other in missing.items():
            if other not in ancestors.get(key, ()):
                what = conflict((key[0], effects), (other[0], of_other))
                if what:
                    raise ConflictsWithMissing(key, other, what)


def check_not_null(connection: Any, state: Any, undone: Sequence[Migration]) -> None:
    """
    Refuse to put a NOT NULL column without default back into a filled table.

    Args:
        state: the one before the first of `undone`; it is changed.
        undone: the steps in the order of application.

    Raises:
        BlockedRewind: names the step, the table and the column.
    """
    editor = connection.SchemaEditorClass(connection)
    for migration in undone:
        for operation in migration.operations:
            for app_label, removed in _removed_fields(migration, operation):
                model = state.apps.get_model(app_label, removed.model_name)
                column = model._meta.get_field(removed.name)
                table = model._meta.db_table
                if _needs_a_value(editor, column) and _has_rows(connection, table):
                    raise BlockedRewind(
                        key_of(migration),
                        f"it removed the column '{column.column}' of '{table}', which is NOT "
                        "NULL and has no default, and the table has rows to be filled.",
                        f"Empty '{table}', or write a migration that gives the column a default.",
                    )
            operation.state_forwards(migration.app_label, state)


def _removed_fields(
    migration: Migration, operation: Operation
) -> Iterator[tuple[str, operations.RemoveField]]:
    inner = (
        operation.database_operations
        if isinstance(operation, operations.SeparateDatabaseAndState)
        else [operation]
    )
    for one in inner:
        if isinstance(one, operations.RemoveField):
            yield migration.app_label, one


def _needs_a_value(editor: Any, column: Field[Any, Any]) -> bool:
    if column.null or column.many_to_many or column.column is None:
        return False
    if getattr(column, "generated", False):
        return False
    if getattr(column, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
        return False
    return editor.effective_default(column) is None


def _has_rows(connection: Any, table: str) -> bool:
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return False
        cursor.execute(f"SELECT 1 FROM {connection.ops.quote_name(table)} LIMIT 1")  # noqa: S608
        return cursor.fetchone() is not None


def check_unknown_columns(
    connection: Any, state: Any, steps: Iterable[Migration], not_in_state: Iterable[Key], *, backwards: bool
) -> None:
    """
    On SQLite, refuse to rebuild a table whose columns the state does not all know.

    A rebuilt table has the columns of the state; the others go, with their data.

    Args:
        state: the one in which the database is now.
        not_in_state: applied migrations that could not be put into the state.

    Raises:
        UnknownColumns: names the step, the table, the columns and the migrations.
    """
    causes = list(not_in_state)
    if connection.vendor != "sqlite" or not causes:
        return
    unknown = _unknown_columns(connection, state, {app_label for app_label, _ in causes})
    for migration in steps:
        for operation in operations_in(migration, database=True):
            table = _rebuilt_table(state, migration.app_label, operation, backwards=backwards)
            if table in unknown:
                related = [key for key in causes if key[0] == migration.app_label] or causes
                raise UnknownColumns(key_of(migration), table, unknown[table], related)


def _unknown_columns(connection: Any, state: Any, app_labels: set[str]) -> dict[str, set[str]]:
    found = {}
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in state.apps.get_models():
            table = model._meta.db_table
            if model._meta.app_label not in app_labels or table not in tables:
                continue
            actual = {
                column.name
                for column in connection.introspection.get_table_description(cursor, table)
            }
            rest = actual - {column.column for column in model._meta.local_concrete_fields}
            if rest:
                found[table] = rest
    return found


def _rebuilt_table(state: Any, app_label: str, operation: Operation, *, backwards: bool) -> str:
    """Return the table that SQLite may rebuild for an operation, or an empty string."""
    if isinstance(operation, _NO_REBUILD) or _only_adds_a_column(operation, backwards=backwards):
        return ""
    name = getattr(operation, "model_name", None) or getattr(operation, "old_name", None)
    name = name or getattr(operation, "name", "")
    model_state = state.models.get((app_label, str(name).lower()))
    if model_state is None:
        return ""
    return model_state.options.get("db_table") or f"{app_label}_{model_state.name.lower()}"


def _only_adds_a_column(operation: Operation, *, backwards: bool) -> bool:
    return (
        isinstance(operation, operations.AddField)
        and not backwards
        and compat.SQLITE_ADDS_NULLABLE_COLUMNS
        and operation.field.null
        and not operation.field.has_default()
        and not operation.field.unique
    )
