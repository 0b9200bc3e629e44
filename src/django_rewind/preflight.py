"""
What can be known before the first statement, and stops a run if it has to.

Each function looks at one thing and raises the error that names it. They work on
project states and, where the question is what is in a table, on the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.models import NOT_PROVIDED, Field

from . import compat
from .effects import conflict, effects_of, flatten, operations_in
from .exceptions import (
    BlockedRewind,
    ConflictsWithMissing,
    IrreversibleRewind,
    StateNotBuilt,
    UnknownColumns,
)
from .source import in_words, is_reversible
from .types import Effect, Key, key_of

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


def check_reversible(undone: Iterable[Migration]) -> None:
    """
    Refuse to start when a step holds an irreversible operation.

    Django finds that out when it comes to the step, with the later ones undone.

    Raises:
        IrreversibleRewind: also for what `SeparateDatabaseAndState` holds.
    """
    for migration in undone:
        for operation in operations_in(migration, database=True):
            if not is_reversible(operation):
                raise IrreversibleRewind(key_of(migration), in_words(operation))


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
    done: list[Migration] = []
    step: Migration | None = steps[0] if steps else None
    try:
        for migration in kept:
            culprit = migration
            state = migration.mutate_state(state, preserve=False)
            done.append(migration)
        before = state.clone()
        state.apps  # noqa: B018 (rendered here, then kept up to date by the operations)
        for migration in steps:
            step = culprit = migration
            state = migration.mutate_state(state, preserve=False)
            done.append(migration)
    except Exception as error:
        others = [key_of(one) for one in done if _contradicts(one, culprit)]
        raise StateNotBuilt(key_of(step or culprit), key_of(culprit), error, others or suspects) from error
    return before


def _contradicts(earlier: Migration, later: Migration) -> bool:
    """Say whether a migration took away or renamed what a later one works on."""
    of_earlier = (earlier.app_label, effects_of(earlier))
    return conflict(of_earlier, (later.app_label, effects_of(later))) is not None


def check_conflicts(
    steps: Iterable[Migration],
    missing: dict[Key, list[Effect]],
    ancestors: dict[Key, set[Key]],
) -> None:
    """
    Refuse to apply what takes away, renames or makes again what a missing one uses.

    Args:
        steps: the migrations to be applied.
        missing: what is left of the effects of the missing ones that stay applied.
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
    Refuse to put back a NOT NULL that the rows do not allow.

    That is a column without default in a filled table, and a column that was made
    nullable and holds NULL.

    Args:
        state: the one before the first of `undone`; it is changed.
        undone: the steps in the order of application.

    Raises:
        BlockedRewind: names the step, the table and the column.
    """
    editor = connection.SchemaEditorClass(connection)
    put_back: list[_NotNull] = []
    for migration in undone:
        for operation in migration.operations:
            before = state.clone()
            operation.state_forwards(migration.app_label, state)
            for one in put_back:
                one.follow(migration.app_label, operation)
            put_back += _not_null_put_back(migration, operation, before, state)
    for one in put_back:
        table, column = one.in_database_now(state)
        if table and _needs_a_value(editor, one.field) and _has_rows(connection, table, column):
            raise BlockedRewind(
                one.key,
                f"the column '{one.field.column}' of '{table}' would be NOT NULL again, it has "
                "no default, and the table has rows without a value for it.",
                f"Give these rows of '{table}' a value or delete them, then try again.",
            )


@dataclass
class _NotNull:
    """A column that comes back as NOT NULL, under the names that it has by now."""

    key: Key
    field: Field[Any, Any]
    model: Key
    name: str
    # Whether the column is there and only its NULLs matter.
    is_there: bool

    def follow(self, app_label: str, operation: Operation) -> None:
        """Take over what a later operation renames."""
        for inner in flatten([operation], database=False):
            if isinstance(inner, operations.RenameModel):
                if self.model == (app_label, inner.old_name.lower()):
                    self.model = (app_label, inner.new_name.lower())
            elif isinstance(inner, operations.RenameField):
                same_model = self.model == (app_label, inner.model_name.lower())
                if same_model and self.name == inner.old_name:
                    self.name = inner.new_name

    def in_database_now(self, state: Any) -> tuple[str | None, str | None]:
        """Return the table, and the column if it is there; no table if that was dropped."""
        try:
            model = state.apps.get_model(*self.model)
            column = model._meta.get_field(self.name).column if self.is_there else None
        except (LookupError, FieldDoesNotExist):
            return None, None
        return model._meta.db_table, column


def _not_null_put_back(
    migration: Migration, operation: Operation, before: Any, after: Any
) -> Iterator[_NotNull]:
    for inner in flatten([operation], database=True):
        if not isinstance(inner, (operations.RemoveField, operations.AlterField)):
            continue
        is_there = isinstance(inner, operations.AlterField)
        model = (migration.app_label, inner.model_name.lower())
        try:
            old = before.apps.get_model(*model)._meta.get_field(inner.name)
            if is_there and not after.apps.get_model(*model)._meta.get_field(inner.name).null:
                continue
        except (LookupError, FieldDoesNotExist):
            # Of a column that no state knows nothing can be said.
            continue
        yield _NotNull(key_of(migration), old, model, inner.name, is_there)


def _needs_a_value(editor: Any, column: Field[Any, Any]) -> bool:
    if column.null or column.many_to_many or column.column is None:
        return False
    if getattr(column, "generated", False):
        return False
    if getattr(column, "db_default", NOT_PROVIDED) is not NOT_PROVIDED:
        return False
    return editor.effective_default(column) is None


def _has_rows(connection: Any, table: str, without_value: str | None = None) -> bool:
    """Say whether a table has rows, or rows with NULL in a column."""
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return False
        condition = ""
        if without_value is not None:
            columns = connection.introspection.get_table_description(cursor, table)
            if without_value not in {column.name for column in columns}:
                return False
            condition = f" WHERE {quote(without_value)} IS NULL"
        cursor.execute(f"SELECT 1 FROM {quote(table)}{condition} LIMIT 1")  # noqa: S608
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
            actual = {column.name for column in connection.introspection.get_table_description(cursor, table)}
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
