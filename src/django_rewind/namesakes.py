"""
Models that have the name of an earlier one, and another table.

What stays applied comes first in the states of a run. Where that took a model away from
them and gave its name to a new one, what was applied before would be undone on the table
of the new one. Which table is which is known from who made it.
States are built here, and none is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation

from .demands import fields_handled, targets
from .effects import Names, effects_in, effects_of, operations_in
from .types import Effect, Key, key_of

__all__ = ["Namesakes", "namesakes"]

# By step, the models that it would take for others, each with what gave it the name.
Namesakes = dict[Key, dict[Key, Key]]

# Who made a table, with its name by then; and what gave a model its name.
_Table = tuple[tuple[Key, str], Key]

_GIVES_A_TABLE = {"alter_table", "create_model", "rename_model"}


def namesakes(
    empty: Callable[[], Any],
    as_applied: list[Migration],
    order: list[Migration],
    undone: Iterable[Migration],
    ancestors: Callable[[Key], Collection[Key]],
) -> Namesakes:
    """
    Find the steps that would be undone on another table than they were applied to.

    Args:
        empty: returns a state without any migration.
        as_applied: what is applied, in that order.
        order: the same in the order in which states are built.
        undone: the steps.
        ancestors: returns what a migration depends on, however far.
    """
    if as_applied == order:
        return {}
    steps = {key_of(step) for step in undone}
    then, now = _tables_before(as_applied, steps), _tables_before(order, steps)
    others = {step: _others(then[step], now[step]) for step in then}
    if not any(others.values()):
        return {}
    found: Namesakes = {}
    state = empty()
    for migration in order:
        key = key_of(migration)
        if others.get(key):
            used = {*_used(migration, state), *_within(then[key], ancestors(key), migration)}
            found[key] = {model: by for model, by in others[key].items() if model in used}
        state = migration.mutate_state(state, preserve=False)
    return {key: models for key, models in found.items() if models}


def _others(then: Mapping[Key, _Table], now: Mapping[Key, _Table]) -> dict[Key, Key]:
    both = then.keys() & now.keys()
    return {model: now[model][1] for model in both if now[model][0] != then[model][0]}


def _tables_before(order: Iterable[Migration], steps: Collection[Key]) -> dict[Key, dict[Key, _Table]]:
    """Return the models before each of the steps, each with its table."""
    names, made, given, found = Names(), dict[str, tuple[Key, str]](), dict[Key, Key](), {}
    for migration in order:
        key = key_of(migration)
        if key in steps:
            tables = names.tables.items()
            found[key] = {model: (made[name], given[model]) for model, name in tables if name in made}
        for effect in effects_of(migration):
            if effect["effect"] in _GIVES_A_TABLE:
                if effect["database"]:
                    _follow_table(made, names, key, effect)
                if effect["state"]:
                    given[(key[0], effect.get("to") or effect["model"])] = key
            names.follow(key[0], [effect])
    return found


def _follow_table(made: dict[str, tuple[Key, str]], names: Names, key: Key, effect: Effect) -> None:
    """
    Take over what an effect makes or renames in the database.

    A table that is made in the place of one that was dropped counts as that: there is no other.
    """
    model = (key[0], effect["model"])
    before = names.table(*model)
    of_model = Names({model: before})
    of_model.follow(key[0], [{**effect, "state": True}])
    after = of_model.table(key[0], effect.get("to") or effect["model"])
    if effect["effect"] == "create_model":
        if not effect["without_table"]:
            made.setdefault(after, (key, after))
    elif before in made:
        made[after] = made.pop(before)


def _used(step: Migration, state: Any) -> Iterator[Key]:
    """Yield the models whose tables are changed or pointed to when a step is undone."""
    for effect in effects_of(step):
        if effect["database"] and "model" in effect:
            yield step.app_label, effect["model"]
    for operation in operations_in(step, database=True):
        for one in _put_back(operation, state, step.app_label):
            yield from targets(one, step.app_label)


def _put_back(operation: Operation, state: Any, app_label: str) -> list[Any]:
    """Return the fields whose columns, with what they point to, are made or changed when an operation is undone."""
    if isinstance(operation, operations.RenameField):
        model_state = state.models.get((app_label, operation.model_name_lower))
        before = model_state.fields.get(operation.old_name) if model_state else None
        return [] if before is None else [before]
    if isinstance(operation, (operations.AddField, operations.CreateModel)):
        return []
    return fields_handled(operation, state, app_label, backwards=True)


def _within(tables: Mapping[Key, _Table], ancestors: Collection[Key], step: Migration) -> Iterator[Key]:
    """Yield the models that a step may use where nobody can look into it: those that it depends on."""
    if any(map(_is_given_models, operations_in(step, database=True))):
        yield from (model for model, (_, given_by) in tables.items() if given_by in ancestors)


def _is_given_models(operation: Operation) -> bool:
    if isinstance(operation, operations.RunPython):
        return operation.reverse_code != operations.RunPython.noop
    is_opaque = any(effect["effect"] == "opaque" for effect in effects_in([operation]))
    return is_opaque and not isinstance(operation, operations.RunSQL)
