"""
What a migration does to models, tables and columns, as data.

It is written down when a migration is stored, so that questions about it (does
this drop a table that is needed? does that rename a model that it refers to?)
can be answered without executing stored code. Operations that nobody can look
into (RunPython, RunSQL, other packages' own) are "opaque".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from ..utils.types import Effect, Key
from .operations import effect_of, halves
from .values import are_holds


def is_name_of_model(value: Any) -> bool:
    """Say whether the value of a setting is the name of a model, like ``auth.User``."""
    return isinstance(value, str) and re.fullmatch(r"\w+\.\w+", value) is not None


def operations_in(migration: Migration, *, database: bool) -> Iterator[Operation]:
    """Yield what a migration does to the database (or to the state), flattened."""
    yield from flatten(migration.operations, database=database)


def flatten(listed: Iterable[Operation], *, database: bool) -> Iterator[Operation]:
    """Yield operations, and in the place of those that hold others what they do to one of the two."""
    for operation in listed:
        inner = halves(operation)[0 if database else 1]
        if inner is None:
            yield operation
        else:
            yield from flatten(inner, database=database)


def is_reversible(operation: Any) -> bool:
    """Ask also what `SeparateDatabaseAndState` holds, whose own answer is always True."""
    try:
        return all(bool(inner.reversible) for inner in (operation, *flatten([operation], database=True)))
    except Exception:  # noqa: BLE001 (Django asks for it when it goes back, and then it fails as well)
        return False


def effects_of(migration: Migration) -> list[Effect]:
    """Return what the migration does, in order, ready to be written as JSON."""
    return effects_in(migration.operations)


def effects_in(listed: Iterable[Operation]) -> list[Effect]:
    """Return what operations do, in order, ready to be written as JSON."""
    return [effect for operation in listed for effect in _effects(operation)]


def _effects(operation: Operation, *, in_database: bool = True, in_state: bool = True) -> Iterator[Effect]:
    effect = effect_of(operation)
    if effect is not None:
        effect.update(database=in_database, state=in_state)
        yield effect
    of_database, of_state = halves(operation)
    for inner in of_database or ():
        yield from _effects(inner, in_database=in_database, in_state=False)
    for inner in of_state or ():
        yield from _effects(inner, in_database=False, in_state=in_state)


def models_made(migration: Migration) -> set[Key]:
    """Return the models that a migration creates, and those that it gives another name."""
    return {
        (migration.app_label, effect.get("to") or effect["model"])
        for effect in effects_of(migration)
        if effect["effect"] in ("create_model", "rename_model")
    }


def models_without_key(listed: Iterable[Operation]) -> Iterator[Any]:
    """Yield what makes a model of which the setting DEFAULT_AUTO_FIELD decides the key."""
    for operation in {
        id(one): one for half in (True, False) for one in flatten(listed, database=half)
    }.values():
        effect = effect_of(operation)
        if effect is None or effect["effect"] != "create_model":
            continue
        made: Any = operation
        has_key = any(field.primary_key for _, field in made.fields)
        # A key may come from a model that it is based on.
        if not has_key and not any(isinstance(base, str) for base in made.bases):
            yield made


# What an effect of each kind says beside the model that it is about.
_DETAILS: dict[str, tuple[str, ...]] = {
    "add_field": ("field", "column"),
    "alter_field": ("field", "column"),
    "alter_model": (),
    "alter_order": ("by",),
    "alter_table": ("table",),
    "create_model": ("table", "without_table", "fields"),
    "delete_model": (),
    "remove_field": ("field",),
    "rename_field": ("field", "to"),
    "rename_model": ("to",),
}


def are_effects(value: Any) -> bool:
    """Say whether a value that was read from JSON is what `effects_in` returns."""
    return isinstance(value, list) and all(map(_is_effect, value))


def _is_effect(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("effect"), str):
        return False
    if not all(isinstance(value.get(name), bool) for name in ("database", "state")):
        return False
    if value["effect"] == "opaque":
        return True
    details = _DETAILS.get(value["effect"])
    is_complete = details is not None and all(name in value for name in ("model", *details))
    return is_complete and _are_as_written(value) and _are_refers(value.get("refers", []))


_TEXTS = {
    **dict.fromkeys(("model", "field", "to", "name"), (str,)),
    **dict.fromkeys(("table", "column", "by"), (str, type(None))),
}


def _are_as_written(value: dict[str, Any]) -> bool:
    """Say whether what an effect, or a column of one, holds are names where names belong."""
    are_texts = all(isinstance(value[name], types) for name, types in _TEXTS.items() if name in value)
    is_held = "holds" not in value or are_holds(value["holds"])
    return are_texts and is_held and _are_columns(value.get("fields", {}))


def _are_columns(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, dict) and "column" in one and "fields" not in one and _are_as_written(one)
        for one in value.values()
    )


def _are_refers(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one)
        for one in value
    )


def made_alone(operation: Operation, step: Iterable[Operation], app_label: str) -> Effect | None:
    """Return the effect of an operation that makes a table or a column no other one of its step is about."""
    made = effect_of(operation)
    if made is None or made["effect"] not in ("add_field", "create_model"):
        return None
    for other in step:
        effect = effect_of(other)
        if other is operation or effect is None or effect["effect"] in ("alter_model", "opaque"):
            continue
        named = {effect["model"], effect.get("to")}
        named |= {model for app, model in effect.get("refers", ()) if (app or app_label) == app_label}
        is_same = (effect["model"], effect.get("field")) == (made["model"], made.get("field"))
        if made["model"] in named and (is_same or effect["effect"] != "add_field"):
            return None
    return made


def outline(effect: Effect) -> tuple[Any, ...]:
    """Return what one effect has in common with another that makes the same by name."""
    return (effect["effect"], effect.get("model"), effect.get("field"), frozenset(effect.get("fields", ())))
