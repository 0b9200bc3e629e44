"""
Which tables and columns the names of models and fields stand for, told from who made them.

A model or a field may have the name of an earlier one, and a table or a column of its
own. What is made under the name of a table or a column that was dropped counts as that:
to the database there is no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Union

from ..utils.types import Effect, Key
from .effects import Names

__all__ = ["Meaning", "Meanings", "Name", "gives_a_name_again"]

# (app label, model), or (app label, model, field), as Django's state has them.
Name = Union[tuple[str, str], tuple[str, str, str]]

# Who made a table or a column, with its name by then.
Origin = tuple[Key, Any]


def gives_a_name_again(history: Mapping[Key, list[Effect]]) -> bool:
    """
    Say whether a name can stand for more than one thing in what migrations do.

    In most histories none can, and following all that is made takes six times as long.
    """
    given: dict[Key, set[str]] = {}
    for key, effects in history.items():
        for effect in effects:
            model, names = _given(key[0], effect, given)
            if names & given.setdefault(model, set()):
                return True
            given[model] |= names
            if effect["effect"] in _POINTS_ELSEWHERE and effect["database"] != effect["state"]:
                return True
    return False


# What gives a name that is there another table or column, where it is done in one place alone.
_POINTS_ELSEWHERE = ("alter_field", "alter_table")


def _given(app_label: str, effect: Effect, before: Mapping[Key, set[str]]) -> tuple[Key, set[str]]:
    """Return a model, and the names that an effect brings up: its own, which is empty, and those of fields."""
    kind, model = effect["effect"], (app_label, effect.get("model", ""))
    if kind == "create_model":
        return model, {"", *effect["fields"]}
    if kind == "rename_model":
        return (app_label, effect["to"]), before.get(model, {""})
    if kind == "add_field":
        return model, {effect["field"]}
    return model, {effect["to"]} if kind == "rename_field" else set()


class Meaning(NamedTuple):
    """What a name stands for since a migration; the origin is None where that is nothing, or nothing known."""

    since: Key
    origin: Origin | None


class Meanings:
    """
    What each name has come to stand for, one after the other.

    Args:
        history: what migrations do, in their order.
    """

    def __init__(self, history: Mapping[Key, list[Effect]]) -> None:
        self._places = {key: place for place, key in enumerate(history)}
        self._told: dict[Key, dict[str, list[Meaning]]] = {}
        origins = _Origins()
        for key, effects in history.items():
            for effect in effects:
                origins.follow(key, effect)
            for model in {(key[0], one[name]) for one in effects for name in ("model", "to") if name in one}:
                self._note(model, key, origins.of(model))

    def _note(self, model: Key, key: Key, now: Mapping[str, Origin]) -> None:
        told = self._told.setdefault(model, {})
        for name in {*told, *now}:
            before = told.setdefault(name, [])
            if (before[-1].origin if before else None) != now.get(name):
                before.append(Meaning(key, now.get(name)))

    def items(self) -> Iterator[tuple[Name, list[Meaning]]]:
        for model, names in self._told.items():
            for name, told in names.items():
                yield (*model, name) if name else model, told

    def before(self, key: Key, name: Name) -> list[Meaning]:
        """Return what a name had come to stand for when it was a migration's turn."""
        told = self._told.get(name[:2], {}).get("".join(name[2:]), [])
        return [one for one in told if self._places[one.since] < self._places[key]]


class _Origins:
    """
    What was made so far, under the names that it has by now.

    Tables are followed through what is done to the database, and columns through what is
    done to the state alone as well: beside that stands SQL of which nothing is known.
    """

    def __init__(self) -> None:
        self.names = Names()
        self.tables: dict[str, Origin] = {}
        self.columns: dict[Key, dict[Any, Origin]] = {}

    def of(self, model: Key) -> dict[str, Origin]:
        """Return the origins of the columns of a model by field, and of its table by an empty name."""
        made = self.columns.get(model, {})
        fields = self.names.columns.get(model, {}).items()
        found = {name: made[_place(one)] for name, one in fields if _place(one) in made}
        table = self.names.tables.get(model)
        return {**found, "": self.tables[table]} if table in self.tables else found

    def follow(self, key: Key, effect: Effect) -> None:
        """Take over what an effect of a migration makes and renames."""
        if effect["effect"] == "opaque":
            return
        model = (key[0], effect["model"])
        columns = self.names.columns.get(model, {})
        after = Names({model: self.names.table(*model)}, {model: {**columns}})
        # As if it were done to the state, to learn the names that it gives.
        after.follow(key[0], [{**effect, "state": True}])
        if effect["database"]:
            self._follow_table(key, effect, after)
        self._follow_columns(key, effect, columns, after.columns.get(model, {}))
        self.names.follow(key[0], [effect])

    def _follow_table(self, key: Key, effect: Effect, after: Names) -> None:
        before = self.names.table(key[0], effect["model"])
        table = after.table(key[0], effect.get("to") or effect["model"])
        if effect["effect"] == "create_model":
            if not effect["without_table"]:
                self.tables.setdefault(table, (key, table))
        elif effect["effect"] in ("alter_table", "rename_model") and before in self.tables:
            self.tables[table] = self.tables.pop(before)

    def _follow_columns(
        self, key: Key, effect: Effect, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        made = self.columns.setdefault((key[0], effect["model"]), {})
        kind = effect["effect"]
        if kind == "rename_model" and effect["state"]:
            self.columns[(key[0], effect["to"])] = self.columns.pop((key[0], effect["model"]))
        elif kind in ("create_model", "add_field"):
            fields = [effect["field"]] if kind == "add_field" else after
            for place in (_place(after[name]) for name in fields):
                made.setdefault(place, (key, place))
        elif kind in ("alter_field", "rename_field") and effect["field"] in before:
            old, new = _place(before[effect["field"]]), _place(after[effect.get("to") or effect["field"]])
            # What the state alone says of a column that is there is not done to that.
            if old in made and (effect["database"] or new not in made):
                made[new] = made.pop(old)


def _place(column: Mapping[str, Any]) -> Any:
    """Return what a column is called, or in a tuple what a many-to-many table is called after."""
    return column["column"] or (column.get("table") or column.get("name"),)
