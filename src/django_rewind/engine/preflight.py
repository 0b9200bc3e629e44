"""
What can be known before the first statement, and stops a run if it has to.

Each function looks at one thing and raises the error that names it. They work on
project states and, where the question is what is in a table, on the connection.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import BlockedRewind, ConflictsWithMissing, IrreversibleRewind, UnknownColumns
from ..schema.effects import conflict, effects_of, operations_in
from ..schema.not_null import not_null_again
from ..schema.operations import fields_named, rebuilt_table
from ..sources.description import in_words, is_reversible
from ..utils.types import Effect, Key, key_of

__all__ = [
    "check_conflicts",
    "check_not_null",
    "check_reversible",
    "check_unknown_columns",
    "taken_away",
    "target_before",
]

# What leaves nothing under the name that it is about.
_TAKES_AWAY = {"alter_table", "delete_model", "remove_field", "rename_field", "rename_model"}


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
                raise IrreversibleRewind(key_of(migration), in_words(operation), *target_before(migration))


def target_before(migration: Migration) -> list[str]:
    """Return the target that is just before a migration, if there is one such."""
    names = [name for app_label, name in migration.dependencies if app_label == migration.app_label]
    return (names or ["zero"]) if len(names) < 2 else []


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


def taken_away(
    steps: Iterable[Migration], ran: Iterable[tuple[Key, list[Effect]]], left_out: Container[Key]
) -> Iterator[tuple[Key, Key, str]]:
    """
    Find steps that work on what a migration has taken away of which no state knows.

    Leaving a migration out of the states does not undo what it did to the database.

    Args:
        steps: the migrations to be applied.
        ran: what is applied, in that order, with its effects as it ran.
        left_out: those of them that are in no state.

    Returns:
        the step, the one that has taken something away, and what that is.
    """
    gone: dict[tuple[str, ...], Key] = {}
    for key, effects in ran:
        for effect in effects:
            _follow(gone, key, effect, takes=key in left_out)
    for migration in steps:
        key = key_of(migration)
        for effect in effects_of(migration):
            for name in _needed(key[0], effect):
                if name in gone:
                    yield key, gone[name], _in_words(name)
            _follow(gone, key, effect, takes=False)
        for operation in operations_in(migration, database=True):
            model, fields = fields_named(operation)
            for field in fields:
                name = (key[0], model.lower(), field.lower())
                if name in gone:
                    yield key, gone[name], _in_words(name)


def _follow(gone: dict[tuple[str, ...], Key], key: Key, effect: Effect, *, takes: bool) -> None:
    """Note what an effect takes away from the database, and what it makes there."""
    if not effect.get("database") or effect["effect"] == "opaque":
        return
    kind, model = effect["effect"], (key[0], effect["model"])
    name = (*model, effect["field"]) if kind.endswith("_field") else model
    if takes and kind in _TAKES_AWAY:
        gone[name] = key
    if kind in ("create_model", "add_field"):
        gone.pop(name, None)
    elif kind == "rename_model":
        gone.pop((key[0], effect["to"]), None)
    elif kind == "rename_field":
        gone.pop((*model, effect["to"]), None)


def _needed(app_label: str, effect: Effect) -> Iterator[tuple[str, ...]]:
    """Yield the models and fields that have to be in the database for an effect."""
    if not effect.get("database") or effect["effect"] == "opaque":
        return
    kind, model = effect["effect"], (app_label, effect["model"])
    if kind != "create_model":
        yield model
    if kind in ("alter_field", "remove_field", "rename_field"):
        yield (*model, effect["field"])
    for other_app, other in effect.get("refers", ()):
        yield (other_app or app_label, other)


def _in_words(name: tuple[str, ...]) -> str:
    return f"the {'field' if len(name) == 3 else 'model'} '{'.'.join(name[1:])}'"


def check_not_null(connection: Any, state: Any, undone: Sequence[Migration]) -> None:
    """
    Refuse to put back a NOT NULL that the rows do not allow.

    That is a column without default in a filled table, and a column that was made
    nullable and holds NULL.

    Args:
        state: the one before the first of `undone`, not rendered; it is changed.
        undone: the steps in the order of application.

    Raises:
        BlockedRewind: names the step, the table and the column.
    """
    backend = backend_for(connection)
    for column in not_null_again(state, undone):
        is_lacking = column.lacks_value(connection, rebuilds_tables=backend.rebuilds_tables)
        if is_lacking and backend.has_rows(column.table, column.column):
            raise BlockedRewind(
                column.step,
                f"the column '{column.field.column}' of '{column.table}' would be NOT NULL again, it has "
                "no default, and the table has rows without a value for it.",
                f"Give these rows of '{column.table}' a value or delete them, then try again.",
            )


def check_unknown_columns(
    connection: Any, state: Any, steps: Iterable[Migration], not_in_state: Iterable[Key], *, backwards: bool
) -> None:
    """
    Where changing a table rebuilds it, refuse to rebuild a table whose columns the state does not all know.

    A rebuilt table has the columns of the state; the others go, with their data.

    Args:
        state: the one in which the database is now.
        not_in_state: applied migrations that could not be put into the state.

    Raises:
        UnknownColumns: names the step, the table, the columns and the migrations.
    """
    causes = list(not_in_state)
    if not backend_for(connection).rebuilds_tables or not causes:
        return
    unknown = _unknown_columns(connection, state, {app_label for app_label, _ in causes})
    for migration in steps:
        for operation in operations_in(migration, database=True):
            table = rebuilt_table(state, migration.app_label, operation, backwards=backwards)
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
