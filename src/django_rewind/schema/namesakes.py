"""
Models and fields that have the name of an earlier one, and another table or column.

What stays applied comes first in the states of a run. Where that took a model away from
them and gave its name to a new one, what was applied before would be undone on the table
of the new one; so it is with a field and its column. Which is which is known from who
made it. States are built here, and none is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.models import Field

from ..utils.types import Key, key_of
from .effects import effects_in, effects_of, operations_in
from .operations import fields_handled, indexes_handled, model_named, targets, uses_models
from .origins import Meanings, Name, gives_a_name_again

__all__ = ["Namesake", "Namesakes", "namesakes"]


class Namesake(NamedTuple):
    """What has the name now that a step knows as the name of something else."""

    # What gave it the name, and what took the name from the other, which may be the same.
    given_by: Key
    taken_by: Key
    # What has to be among the ancestors of whoever knows the other by that name.
    known_since: Key


# By step, the models and fields that it would take for others.
Namesakes = dict[Key, dict[Name, Namesake]]


def namesakes(
    empty: Callable[[], Any],
    as_applied: list[Migration],
    order: list[Migration],
    undone: Iterable[Migration],
    ancestors: Callable[[Key], Collection[Key]],
) -> Namesakes:
    """
    Find the steps that would be undone on another table or column than they were applied to.

    Args:
        empty: returns a state without any migration.
        as_applied: what is applied, in that order.
        order: the same in the order in which states are built.
        undone: the steps.
        ancestors: returns what a migration depends on, however far.
    """
    if as_applied == order:
        return {}
    effects = {key_of(migration): effects_of(migration) for migration in as_applied}
    if not gives_a_name_again(effects):
        return {}
    then, now = (
        Meanings({key_of(one): effects[key_of(one)] for one in listed}) for listed in (as_applied, order)
    )
    names = _ambiguous(then, now)
    others = {step: dict(_others(step, names, then, now)) for step in map(key_of, undone)}
    if not any(others.values()):
        return {}
    found: Namesakes = {}
    state = empty()
    for migration in order:
        key = key_of(migration)
        if others.get(key):
            used = {*_used(migration, state), *_within(others[key], ancestors(key), migration)}
            found[key] = {name: other for name, other in others[key].items() if name in used}
        state = migration.mutate_state(state, preserve=False)
    return {key: names for key, names in found.items() if names}


def _ambiguous(*meanings: Meanings) -> list[Name]:
    origins: dict[Name, set[Any]] = {}
    for name, told in chain.from_iterable(one.items() for one in meanings):
        origins.setdefault(name, set()).update(one.origin for one in told)
    return [name for name, found in origins.items() if len(found - {None}) > 1]


def _others(
    step: Key, names: Iterable[Name], then: Meanings, now: Meanings
) -> Iterator[tuple[Name, Namesake]]:
    """Yield the names that stand for something else than when the step was applied."""
    for name in names:
        other = _other(step, name, then, now)
        # In another table every column is another one.
        if other and (name == name[:2] or not _other(step, name[:2], then, now)):
            yield name, other


def _other(step: Key, name: Name, then: Meanings, now: Meanings) -> Namesake | None:
    ran_on, told = then.before(step, name), now.before(step, name)
    origins = [one[-1].origin for one in (ran_on, told) if one]
    if len(origins) < 2 or None in origins or origins[0] == origins[1]:
        return None
    last = max((at for at, one in enumerate(told) if one.origin == origins[0]), default=len(told) - 2)
    return Namesake(told[-1].since, told[last + 1].since, ran_on[-1].since)


def _used(step: Migration, state: Any) -> Iterator[Name]:
    """Yield the models and fields whose tables and columns are changed or pointed to when a step is undone."""
    for effect in effects_of(step):
        if effect["database"] and "model" in effect:
            yield step.app_label, effect["model"]
    for operation in operations_in(step, database=True):
        yield from _fields_named(operation, state, step.app_label)
        for one in _put_back(operation, state, step.app_label):
            yield from targets(one, step.app_label)
            yield from _fields_pointed_to(one, step.app_label)


def _fields_named(operation: Operation, state: Any, app_label: str) -> Iterator[Name]:
    """
    Yield the fields whose columns an operation looks for when it is undone.

    What it has made is dropped under its own name.
    """
    for effect in effects_in([operation]):
        if "field" in effect and effect["effect"] != "add_field":
            yield app_label, effect["model"], effect["field"]
    model = model_named(operation)
    model_state = state.models.get((app_label, model))
    for one in indexes_handled(operation, model_state.options if model_state else {}):
        # In words, for their conditions and expressions name fields as well.
        for word in set(re.split(r"\W+|__", repr(one).lower())):
            yield app_label, model, word


def _fields_pointed_to(one: Field[Any, Any], app_label: str) -> Iterator[Name]:
    name = getattr(one.remote_field, "field_name", None)
    if name:
        yield from ((*model, name.lower()) for model in targets(one, app_label))


def _put_back(operation: Operation, state: Any, app_label: str) -> list[Any]:
    """Return the fields whose columns, with what they point to, are made or changed when an operation is undone."""
    if any(effect["effect"] in ("add_field", "create_model") for effect in effects_in([operation])):
        return []
    return fields_handled(operation, state, app_label, backwards=True)


def _within(others: Mapping[Name, Namesake], ancestors: Collection[Key], step: Migration) -> Iterator[Name]:
    """Yield what a step may use where nobody can look into it: all that it depends on."""
    if any(map(uses_models, operations_in(step, database=True))):
        yield from (name for name, other in others.items() if other.known_since in ancestors)
