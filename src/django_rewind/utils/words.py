"""Which names the code of a function spells out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from types import CodeType, FunctionType
from typing import Any, NamedTuple


class Words(NamedTuple):
    # What strings hold, such as the names of models that are looked up.
    in_strings: frozenset[str]
    # Names of attributes, arguments and variables.
    names: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.in_strings | self.names


def words_of(function: Any) -> Words:
    """Return the words in a function and in the functions and plain values that it uses by name, in lower case."""
    in_strings: set[str] = set()
    names: set[str] = set()
    seen: set[int] = set()
    todo = [function]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, str):
            in_strings.update(re.split(r"\W+|__", value.lower()))
        elif isinstance(value, CodeType):
            names.update(
                part for name in value.co_names for part in (name.lower(), *name.lower().split("__"))
            )
            todo += value.co_consts
        else:
            todo += _parts(value)
    return Words(frozenset(in_strings), frozenset(names))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (*value, *value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(function := getattr(value, "__func__", value), FunctionType) and _is_of_project(function):
        yield function.__code__
        yield getattr(function, "__wrapped__", None)
        yield from (cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell))
        yield from _used(function.__code__, function.__globals__)


def _is_of_project(function: FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] != "django"


def _used(code: CodeType, namespace: dict[str, Any]) -> Iterator[Any]:
    yield from (namespace[name] for name in code.co_names if name in namespace)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _used(inner, namespace)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
