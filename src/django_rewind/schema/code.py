"""Which models, fields, tables and columns the code and the SQL of migrations name."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db.migrations import Migration

from ..utils.types import Key
from ..utils.words import Words, words_of
from .effects import operations_in
from .graph import closure
from .lineage import Name
from .operations import code_of, named_when_executed, targets
from .rebuilds import columns_of, own_table


def words_in_code(step: Migration, *, backwards: bool) -> Iterator[Words]:
    """Yield the words in each function that a migration executes."""
    for operation in operations_in(step, database=True):
        code = code_of(operation, backwards=backwards)
        if code is not None:
            yield words_of(code)


def is_named(name: Name, words: Words, state: Any) -> bool:
    """Say whether code can be about a model, or about a field of a model that it comes to."""
    if len(name) == 2:
        return name[1] in words.in_strings
    if name[2] not in words.all:
        return False
    start = [key for key in state.models if key[1] in words.in_strings]
    return name[:2] in closure(start, _ways(words.all, state))


def _ways(words: Collection[str], state: Any) -> dict[Key, list[Key]]:
    """Return the models that can be come to from each one by fields, or back by them, that are among the words."""
    ways: dict[Key, list[Key]] = {}
    for key, model_state in state.models.items():
        bases = (base.lower().partition(".") for base in model_state.bases if isinstance(base, str))
        ways.setdefault(key, []).extend((app_label, name) for app_label, _, name in bases)
        for name, field in model_state.fields.items():
            back = {key[1], f"{key[1]}_set", str(getattr(field.remote_field, "related_name", None)).lower()}
            for target in targets(field, key[0]):
                if name.lower() in words:
                    ways[key].append(target)
                if not back.isdisjoint(words):
                    ways.setdefault(target, []).append(key)
    return ways


def executes_code(step: Migration, *, backwards: bool = False) -> bool:
    """Say whether a migration executes code or SQL of its own when it is applied, or unapplied."""
    return any(
        named_when_executed(operation, backwards=backwards) != set()
        for operation in operations_in(step, database=True)
    )


def lacking(step: Migration, meant: Any, actual: Any, *, backwards: bool = False) -> set[Key]:
    """
    Return the models of which a migration would not find what its code and its SQL name.

    Args:
        meant: the state that it was written for.
        actual: the one in which it would be applied, or unapplied.
        backwards: whether it is unapplied.
    """
    named = list(words_in_code(step, backwards=backwards))
    found = {
        key
        for key, fields in _gone(meant, actual).items()
        for name in _names(key, fields)
        if any(is_named(name, words, meant) for words in named)
    }
    for operation in operations_in(step, database=True):
        words = named_when_executed(operation, backwards=backwards)
        if words and code_of(operation, backwards=backwards) is None:
            found |= _out_of_place(words, meant, actual)
    return found


def _names(model: Key, fields: list[str]) -> list[Name]:
    """Return the names of the fields of a model, or its own where it has none."""
    return [(*model, field.lower()) for field in fields] if fields else [model]


def _gone(meant: Any, actual: Any) -> dict[Key, list[str]]:
    """Return the models that only one state has, and the fields of others that only that has."""
    return {
        key: [name for name in model.fields if key in actual.models and name not in actual.models[key].fields]
        for key, model in meant.models.items()
        if key not in actual.models or model.fields.keys() - actual.models[key].fields.keys()
    }


def _out_of_place(words: Collection[str], meant: Any, actual: Any) -> set[Key]:
    """Return the models whose tables, or columns of them, words name that are there in one state alone."""
    tables = {own_table(actual, key).lower(): key for key in actual.models}
    found = set()
    for key in meant.models:
        table = own_table(meant, key).lower()
        if table and table in words:
            there = columns_of(actual, tables[table]) if table in tables else set()
            if not there or not (columns_of(meant, key) - there).isdisjoint(words):
                found.add(key)
    return found
