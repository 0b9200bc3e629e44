"""
Models that were moved to another app in the state alone: their tables stayed where they were.

What stays applied comes first in the states of a run. Where that takes a model from its
old app, what is undone may still point to it there. For as long as it does, the states
have to know the table under both its names, as they did when that was applied. Where what
stays has given the old name to a new model by now, that model comes later, too.
States are built here, and none is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.db.migrations import Migration
from django.db.models import Field

from ..schema.effects import effects_of
from ..schema.graph import closure
from ..schema.operations import targets
from ..utils.types import Key, key_of

__all__ = ["with_both_names"]

Models = Mapping[Key, Any]

# Arguments of a field that say nothing of its column.
_NOT_OF_THE_COLUMN = {
    "auto_created",
    "blank",
    "choices",
    "default",
    "editable",
    "error_messages",
    "help_text",
    "limit_choices_to",
    "on_delete",
    "related_name",
    "related_query_name",
    "serialize",
    "through",
    "to",
    "validators",
    "verbose_name",
}


def with_both_names(
    empty: Callable[[], Any],
    kept: list[Migration],
    undone: list[Migration],
    others: Mapping[Key, Collection[Key]] = {},
) -> list[Migration] | None:
    """
    Put what took a model from its app behind the last step that points to it there.

    Args:
        empty: returns a state without any migration.
        kept: what is applied and stays, in order.
        undone: the steps in the order of application.
        others: by step, the models under whose names something that is kept has made others.

    Returns:
        both in one order, or None where there is none in which the states are true.
    """
    try:
        order = _order(empty, kept, undone, others)
        again = {model for models in others.values() for model in models}
        is_other = order != [*kept, *undone]
        return order if is_other and _is_true(empty, order, kept, undone, again) else None
    except Exception:  # noqa: BLE001 (whatever an operation, or a field of somebody's own, raises)
        return None


def _order(
    empty: Callable[[], Any],
    kept: list[Migration],
    undone: list[Migration],
    others: Mapping[Key, Collection[Key]],
) -> list[Migration]:
    behind = _movers(empty(), kept, undone, others)
    order = [migration for migration in kept if key_of(migration) not in behind]
    for step in undone:
        order.append(step)
        order += [migration for migration in kept if behind.get(key_of(migration)) == key_of(step)]
    return order


def _movers(
    state: Any, kept: list[Migration], undone: Iterable[Migration], others: Mapping[Key, Collection[Key]]
) -> dict[Key, Key]:
    """Return what took away a model, and before which steps something still points to that: the last."""
    taken: dict[Key, Key] = {}
    for migration in kept:
        before = set(state.models)
        state = migration.mutate_state(state, preserve=False)
        taken.update(dict.fromkeys(before - set(state.models), key_of(migration)))
    found = {}
    for step in undone:
        for model in _pointed_to(state.models) - set(state.models):
            if model in taken:
                found[taken[model]] = key_of(step)
        for model in others.get(key_of(step), ()):
            if model in taken:
                found.update(dict.fromkeys(_about(model, kept, taken[model]), key_of(step)))
        state = step.mutate_state(state, preserve=False)
    return found


def _about(model: Key, kept: list[Migration], taken: Key) -> list[Key]:
    """Return what took away a model, and what has been done since to the one that has its name."""
    keys = [key_of(migration) for migration in kept]
    since = kept[keys.index(taken) :]
    return [
        key_of(migration)
        for migration in since
        if any(model == (migration.app_label, one.get("model")) for one in effects_of(migration))
    ]


def _states(state: Any, order: Iterable[Migration], steps: Iterable[Migration]) -> list[Models]:
    """Return the models before each of the steps, and at last those behind everything."""
    keys = {key_of(step) for step in steps}
    found = []
    for migration in order:
        is_step = key_of(migration) in keys
        if is_step:
            found.append(state.models)
        state = migration.mutate_state(state, preserve=is_step)
    return [*found, state.models]


def _pointed_to(models: Models) -> set[Key]:
    return {target for key in models for target in _targets(models, key)}


def _targets(models: Models, key: Key) -> set[Key]:
    fields = models[key].fields.values() if key in models else ()
    return {target for one in fields for target in targets(one, key[0])}


def _is_true(
    empty: Callable[[], Any],
    order: list[Migration],
    kept: list[Migration],
    undone: list[Migration],
    again: set[Key],
) -> bool:
    """Say whether the states of an order are those in which the database really is."""
    true = _states(empty(), [*kept, *undone], undone)
    said = _states(empty(), order, undone)
    (rest,) = _states(empty(), [migration for migration in order if migration not in undone], [])
    is_same = rest == true[0] and said[-1] == true[-1] and not again & _pointed_to(rest)
    return is_same and all(_is_true_before(*one, again) for one in zip(undone, said, true))


def _is_true_before(step: Migration, said: Models, true: Models, again: set[Key]) -> bool:
    """Say the same of the models before a step, of which some may have a second name, and some not be there yet."""
    hidden = {key for key in again if said.get(key) != true.get(key)}
    twice = said.keys() - true.keys() | hidden
    return (
        {key: said[key] for key in said if key not in twice}
        == {key: true[key] for key in true if key not in hidden}
        and all(_is_second_name(key, said, true) and not _is_changed_with(key, said, step) for key in twice)
        and not any(_is_changed_with(key, true, step) for key in hidden)
    )


def _is_second_name(key: Key, said: Models, true: Models) -> bool:
    """Say whether there is a table as a model has it, under another model."""
    same = [other for other in true if _table(true, other) == _table(said, key)]
    return any(_columns(said, key).items() <= _columns(true, other).items() for other in same)


def _is_changed_with(key: Key, models: Models, step: Migration) -> bool:
    """
    Say whether a step works on the model, or on one that it points to, however far.

    When that has its key changed, the tables that point there are changed as well, and
    one with two names would be changed twice.
    """
    edges = {one: _targets(models, one) for one in models}
    worked_on = {(step.app_label, one.get("model")) for one in effects_of(step) if one["database"]}
    return bool(closure([key], edges) & worked_on)


def _table(models: Models, key: Key) -> str:
    return str(models[key].options.get("db_table") or f"{key[0]}_{key[1]}")


def _columns(models: Models, key: Key) -> dict[str, str]:
    """Return the fields with their columns, and which is the key; of what can be pointed to, all that it is."""
    fields = models[key].fields
    keys = [name for name, one in fields.items() if one.primary_key]
    return {"": str(keys), **{name: _column(models, key[0], one) for name, one in fields.items()}}


def _column(models: Models, app_label: str, one: Field[Any, Any]) -> str:
    if not one.unique:
        return str(one.db_column)
    _, path, args, kwargs = one.deconstruct()
    of_column = {name: kwargs[name] for name in sorted(kwargs) if name not in _NOT_OF_THE_COLUMN}
    tables = [_table(models, target) if target in models else target for target in targets(one, app_label)]
    return repr((path, args, of_column, tables))
