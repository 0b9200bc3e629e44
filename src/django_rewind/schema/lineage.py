"""
Which tables and columns the names of models and fields stand for, migration by migration.

A model or a field may bear the name of an earlier one and have a table or a column of its
own. Pure, told from the effects of migrations alone: nothing stored is executed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Optional, Union

from django.db.backends.utils import strip_quotes
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from ..utils.types import Effect, Key, key_of
from .effects import effects_in, operations_in
from .operations import ORDER, default_table, fields_named
from .values import Holds, change

# A table (column None) or a column of one, as the database calls it.
Place = tuple[str, Optional[str]]

# (app label, model), or (app label, model, field), in lower case as in Django's state.
Name = Union[tuple[str, str], tuple[str, str, str]]


def describe_place(place: Place) -> str:
    table, column = place
    return f"the table '{table}'" if column is None else f"the column '{column}' of '{table}'"


# Names ----------------------------------------------------------------------


_MAKES = {"create_model": "creates", "add_field": "adds"}
_GIVES_NAME = {*_MAKES, "rename_model", "rename_field"}

# What leaves nothing under the name that it is about.
_TAKES_AWAY = {
    "delete_model": "deletes",
    "rename_model": "renames",
    "remove_field": "removes",
    "rename_field": "renames",
}


def name_of(app_label: str, effect: Effect) -> Name:
    """Return the model or the field that an effect is about."""
    model = (app_label, effect["model"])
    return (*model, effect["field"]) if "field" in effect else model


def renamed(name: Name, app_label: str, effect: Effect) -> Name:
    """Return what a model or a field is called after an effect."""
    if effect["effect"] == "rename_model" and name[:2] == (app_label, effect["model"]):
        return (app_label, effect["to"], *name[2:])
    if effect["effect"] == "rename_field" and name == name_of(app_label, effect):
        return (*name[:2], effect["to"])
    return name


def _needs(app_label: str, effect: Effect) -> set[Name]:
    """Return the models and fields that have to be there for an effect."""
    if effect["effect"] == "opaque":
        return set()
    needed: set[Name] = {(app or app_label, model) for app, model in effect.get("refers", ())}
    if effect["effect"] != "create_model":
        needed.add((app_label, effect["model"]))
    return needed if effect["effect"] in _MAKES else {*needed, name_of(app_label, effect)}


def _in_words(name: Name) -> str:
    return f"the {'field' if len(name) == 3 else 'model'} '{'.'.join(name[1:])}'"


def taken_by(steps: Iterable[tuple[str, list[Effect]]]) -> dict[Name, str]:
    """Return the models and fields that steps take away and give to nothing else, and what they do to each."""
    taken: dict[Name, str] = {}
    for app_label, effects in steps:
        for effect in effects:
            kind = effect["effect"]
            if kind in _TAKES_AWAY:
                name = name_of(app_label, effect)
                taken[name] = f"{_TAKES_AWAY[kind]} {_in_words(name)}"
            if kind in _GIVES_NAME:
                taken.pop(renamed(name_of(app_label, effect), app_label, effect), None)
    return taken


def conflict(step: tuple[str, list[Effect]], missing: tuple[str, list[Effect]]) -> str | None:
    """Return what a step takes away or makes again of what a missing migration uses, to stand behind its name."""
    made = {name_of(missing[0], effect) for effect in missing[1] if effect["effect"] in _MAKES}
    used = made.union(*(_needs(missing[0], effect) for effect in missing[1]))
    for effect in step[1]:
        kind = effect["effect"]
        if kind in _TAKES_AWAY and name_of(step[0], effect) in used:
            return f"{_TAKES_AWAY[kind]} {_in_words(name_of(step[0], effect))}"
        if kind in _MAKES and name_of(step[0], effect) in made:
            return f"{_MAKES[kind]} {_in_words(name_of(step[0], effect))} again"
    return None


def lasting(history: Iterable[tuple[Key, list[Effect]]]) -> dict[Key, list[Effect]]:
    """Return what is left of each migration once all have run: what was renamed since bears its new name."""
    left: dict[Key, list[Effect]] = {}
    for key, effects in history:
        left[key] = []
        for effect in effects:
            if effect["effect"] in _TAKES_AWAY:
                for other, earlier in left.items():
                    after = (_left_after(key[0], effect, other[0], one) for one in earlier)
                    left[other] = [one for one in after if one is not None]
            left[key].append(effect)
    return left


def _left_after(later_app: str, change: Effect, app_label: str, effect: Effect) -> Effect | None:
    """Return what a removal or a renaming leaves of an earlier effect."""
    if effect["effect"] == "opaque":
        return effect
    name, gone = name_of(app_label, effect), name_of(later_app, change)
    if change["effect"] in ("delete_model", "remove_field"):
        # What goes from the state alone is still in the database.
        return None if change["database"] and name[: len(gone)] == gone else effect
    if not change["state"]:
        return effect
    parts: Effect = dict(zip(("model", "field"), renamed(name, later_app, change)[1:]))
    if change["effect"] == "rename_model":
        new = [later_app, change["to"]]
        refers = effect.get("refers", [])
        parts["refers"] = [
            new if (app or app_label, model) == gone else [app, model] for app, model in refers
        ]
    return {**effect, **parts}


def taken_away(
    steps: Iterable[Migration], applied: Iterable[tuple[Key, list[Effect]]], left_out: Container[Key]
) -> Iterator[tuple[Key, Key, str]]:
    """
    Yield steps that work on what a migration of which no state knows has taken away, with that and what it is.

    Leaving a migration out of the states does not reverse what it did to the database.
    """
    gone: dict[Name, Key] = {}
    for key, effects in applied:
        for effect in filter(_is_in_database, effects):
            if key in left_out and effect["effect"] in {*_TAKES_AWAY, "alter_table"}:
                gone[name_of(key[0], effect)] = key
            _take_back(gone, key[0], effect)
    for migration in steps:
        key = key_of(migration)
        for operation in operations_in(migration, database=True):
            needed = _needed_by(key[0], operation)
            yield from ((key, gone[name], _in_words(name)) for name in needed if name in gone)
            for effect in filter(_is_in_database, effects_in([operation])):
                _take_back(gone, key[0], effect)


def _needed_by(app_label: str, operation: Operation) -> list[Name]:
    """Return the models and fields that have to be there before an operation."""
    model, fields = fields_named(operation)
    needed: list[Name] = [(app_label, model, field.lower()) for field in fields]
    for effect in effects_in([operation]):
        needed += _needs(app_label, effect)
    return needed


def never_made(
    steps: Iterable[Migration], files: Mapping[Key, tuple[list[Effect], list[Effect]]]
) -> Iterator[tuple[Key, Key, str]]:
    """
    Yield steps that work on what only the file of an applied migration makes, with that and what it is.

    Args:
        files: what the file does, and what was applied.
    """
    claimed: dict[Name, Key] = {}
    for key, (in_file, applied) in files.items():
        made = (
            {
                renamed(name_of(key[0], effect), key[0], effect)
                for effect in effects
                if effect["effect"] in _GIVES_NAME
            }
            for effects in (in_file, applied)
        )
        claimed.update(dict.fromkeys(next(made) - next(made), key))
    for migration in steps:
        key = key_of(migration)
        for operation in operations_in(migration, database=True):
            needed = _needed_by(key[0], operation)
            yield from ((key, claimed[name], _in_words(name)) for name in needed if name in claimed)
            for effect in effects_in([operation]):
                _take_back(claimed, key[0], effect)


def _take_back(gone: dict[Name, Key], app_label: str, effect: Effect) -> None:
    """Forget that a name is gone under which an effect makes something."""
    if effect["effect"] in _GIVES_NAME:
        gone.pop(renamed(name_of(app_label, effect), app_label, effect), None)


def _is_in_database(effect: Effect) -> bool:
    return bool(effect.get("database")) and effect["effect"] != "opaque"


_ORDER = {"column": ORDER, "chosen": True}

# Tables and columns ---------------------------------------------------------


@dataclass
class Made:
    """A table or a column that a migration made or changed, followed through later renames."""

    by: Key
    # None as long as no model of the state has it.
    name: Name | None
    # What changes when that is reversed: "values", or those that are NULL. Else all of it goes.
    change: str = ""
    # Whether the database computes it of others, and has it again as soon as it is made again.
    is_computed: bool = False
    # Where it was when a state last knew it.
    last_place: Place | None = None

    def follow(self, names: Names, app_label: str, effect: Effect) -> bool:
        """
        Take over what a later effect renames, and return whether it is still there.

        Args:
            names: those before the effect; it is followed.
        """
        if self.name and effect["effect"] in ("delete_model", "remove_field") and effect["state"]:
            gone = name_of(app_label, effect)
            if self.name[: len(gone)] == gone:
                if effect["database"]:
                    return False
                # As where a model is moved to another app: the state alone has lost it.
                self.last_place, self.name = names.place(self.name), None
        elif self.name and effect.get("state"):
            self.name = renamed(self.name, app_label, effect)
        return True

    def take_name(self, places: Mapping[Name, Place]) -> None:
        """Be the model or the field to which a state gives the place that none had."""
        if self.name is None:
            self.name = next((name for name, place in places.items() if place == self.last_place), None)

    def place(self, names: Names) -> Place | None:
        return names.place(self.name) if self.name else self.last_place


@dataclass
class Names:
    """
    The tables and columns behind models and fields, after some migrations.

    What was never created here is assumed to bear Django's default name. Tables and columns
    are named as they were written; metadata of an earlier format have that in lower case.
    """

    tables: dict[Key, str] = field(default_factory=dict)
    columns: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def table(self, app_label: str, model: str) -> str:
        return self.tables.get((app_label, model)) or default_table(app_label, model)

    def places(self, model: Key, *fields: str) -> dict[Name, Place]:
        """Return the table of a model, and the columns or tables of its fields, or of some of them."""
        found: dict[Name, Place] = {model: (self.tables[model], None)} if model in self.tables else {}
        columns, table = self.columns.get(model, {}), self.table(*model)
        for name in fields or columns:
            column = columns.get(name, {"column": None})
            if column.get("many_to_many"):
                between = column.get("table")
                between = between or default_table(strip_quotes(table), column.get("name", name))
                found[(*model, name)] = (between, None)
            elif column["column"]:
                found[(*model, name)] = (table, column["column"])
        return found

    def place(self, name: Name) -> Place | None:
        """Return the table of a model or the column of a field; None if it is gone."""
        return self.places(name[:2], *name[2:]).get(name)

    def needed(self) -> set[Place]:
        """Return every table and column that these models live in."""
        return {place for model in {*self.tables, *self.columns} for place in self.places(model).values()}

    def needed_by(self, app_label: str, effects: Iterable[Effect]) -> set[Place]:
        """Return the tables and columns of the models that these effects are about."""
        known = (effect for effect in effects if effect["effect"] != "opaque")
        models = {renamed(name_of(app_label, effect), app_label, effect)[:2] for effect in known}
        return {place for model in models for place in self.places(model).values()}

    def _names_made(self, app_label: str, effect: Effect) -> list[Name]:
        """Return the models and fields whose tables and columns an effect makes in the database."""
        if not _is_in_database(effect) or effect.get("without_table"):
            return []
        name = name_of(app_label, effect)
        if effect["effect"] == "create_model":
            between = (field for field, column in effect["fields"].items() if column.get("many_to_many"))
            return [name, *((*name[:2], field) for field in between)]
        if effect["effect"] == "alter_order" and effect["by"]:
            # Ordered by something else, the column stays.
            return [] if ORDER in self.columns.get(name[:2], {}) else [(*name[:2], ORDER)]
        return [name] if effect["effect"] == "add_field" else []

    def made(self, key: Key, effect: Effect) -> Iterator[Made]:
        """Yield what an effect of a migration makes in the database."""
        is_computed = bool(effect.get("holds", {}).get("generated"))
        for name in self._names_made(key[0], effect):
            after = self._of(name[:2])
            after._follow(key[0], effect)
            known = name if effect["state"] else None
            yield Made(key, known, is_computed=is_computed, last_place=after.place(name))

    def changed(self, key: Key, effect: Effect) -> list[Made]:
        """Return the column whose values may change when an effect is reversed."""
        if not _is_in_database(effect) or effect["effect"] != "alter_field" or effect["column"] is None:
            return []
        name = name_of(key[0], effect)
        then = self.columns.get(name[:2], {}).get(effect["field"], {})
        what = change(effect.get("holds"), then.get("holds"), partial(self._held_by, key[0]))
        return [Made(key, name, what)] if what else []

    def _held_by(self, app_label: str, target: tuple[str, str | None]) -> Holds | None:
        """Return what the column can hold that a foreign key points to."""
        app, _, model = target[0].rpartition(".")
        columns = self.columns.get((app or app_label, model), {})
        held = {name: column.get("holds") or {} for name, column in columns.items()}
        keys = [name for name in held if held[name].get("key")]
        return next((held[name] for name in [(target[1] or "").lower(), *keys] if held.get(name)), None)

    def _of(self, model: Key) -> Names:
        """Return the names of one model alone, which can be followed apart."""
        tables = {model: self.tables[model]} if model in self.tables else {}
        return Names(tables, {model: {**self.columns.get(model, {})}})

    def step(self, app_label: str, effect: Effect) -> tuple[set[Place], set[Place]]:
        """Follow one effect and return what it takes away and what it makes, by name."""
        if not effect.get("state") or effect["effect"] == "opaque":
            return set(), set()
        name = name_of(app_label, effect)
        before = set(self.places(name[:2]).values())
        self._follow(app_label, effect)
        after = set(self.places(renamed(name, app_label, effect)[:2]).values())
        if effect["effect"] == "create_model":
            return set(), after
        if effect["effect"] == "add_field":
            return set(), {place for place in [self.place(name)] if place}
        return before - after, after - before

    def follow(self, app_label: str, effects: Iterable[Effect]) -> None:
        """Take over what the effects do to the state."""
        for effect in effects:
            if effect.get("state") and effect["effect"] != "opaque":
                self._follow(app_label, effect)

    def _follow(self, app_label: str, effect: Effect) -> None:
        kind, model = effect["effect"], effect["model"]
        key = (app_label, model)
        columns = self.columns.setdefault(key, {})
        if kind == "create_model":
            table = effect["table"] or default_table(app_label, model)
            # Said again of a table that is there, it was faked, and whatever columns that has stay.
            known = columns if self.tables.get(key) == table else {}
            self.tables[key] = table
            order = {ORDER: _ORDER} if effect.get("ordered") else {}
            self.columns[key] = {**known, **effect["fields"], **order}
        if kind == "delete_model" or effect.get("without_table"):
            self.tables.pop(key, None)
            del self.columns[key]
        elif kind == "rename_model":
            to = (app_label, effect["to"])
            table = self.tables.pop(key, None)
            if table is None or table == default_table(app_label, model):
                table = default_table(*to)
            self.tables[to] = table
            self.columns[to] = self.columns.pop(key)
        elif kind == "alter_table":
            self.tables[key] = effect["table"] or default_table(app_label, model)
        elif kind != "alter_model":
            self._follow_field(columns, effect)

    def _follow_field(self, columns: dict[str, Any], effect: Effect) -> None:
        kind = effect["effect"]
        if kind == "alter_order":
            columns.pop(ORDER, None)
            if effect["by"]:
                columns[ORDER] = _ORDER
        elif kind in ("add_field", "alter_field"):
            columns[effect["field"]] = effect
        elif kind == "remove_field":
            columns.pop(effect["field"], None)
        elif kind == "rename_field":
            old = columns.pop(effect["field"], {"column": effect["field"]})
            name, column = effect.get("name", effect["to"]), old["column"]
            if column and not old.get("chosen"):
                # The default column follows the name, with the "_id" of a relation.
                column = name + column[len(effect["field"]) :]
            columns[effect["to"]] = {**old, "column": column, "name": name}


def touched_by(steps: Container[Key], history: Mapping[Key, Iterable[Effect]]) -> list[tuple[Made, Place]]:
    """
    Return what goes, or may change its values, when the steps are reversed, with its place of now.

    Names are followed through whatever was renamed since.
    """
    names = Names()
    touched: list[Made] = []
    for key, effects in history.items():
        for effect in effects:
            touched = [earlier for earlier in touched if earlier.follow(names, key[0], effect)]
            if key in steps:
                touched += [*names.made(key, effect), *names.changed(key, effect)]
            names.follow(key[0], [effect])
            if effect["effect"] in _MAKES and effect["state"]:
                places = names.places((key[0], effect["model"]))
                for earlier in touched:
                    earlier.take_name(places)
    found = [(earlier, earlier.place(names)) for earlier in touched]
    return [(earlier, place) for earlier, place in found if place]


def made_by(steps: Container[Key], history: Mapping[Key, Iterable[Effect]]) -> list[tuple[Key, Place]]:
    """Return what the steps have made of what is there by now."""
    return [(made.by, place) for made, place in touched_by(steps, history) if not made.change]


# Lineage --------------------------------------------------------------------

# Who made a table or a column, and what it was called by then.
Origin = tuple[Key, Place]


class Meaning(NamedTuple):
    """What a name stands for since a migration; the origin is None where that is nothing, or nothing known."""

    since: Key
    origin: Origin | None


class Reused(NamedTuple):
    """What has the name now that a step knows as the name of something else."""

    # What gave it the name, and what took the name from the other, which may be the same.
    given_by: Key
    taken_by: Key
    # What has to be among the ancestors of whoever knows the other by that name.
    known_since: Key


class Lineage:
    """
    What each name has come to stand for, one after the other, along migrations in their order.

    What is made under the name of a table or a column that was dropped counts as that: to
    the database there is no other.
    """

    def __init__(self, history: Mapping[Key, list[Effect]]) -> None:
        self.meanings: dict[Name, list[Meaning]] = {}
        self._turns = {key: turn for turn, key in enumerate(history)}
        self._names = Names()
        self._origins: dict[Place, Origin] = {}
        for key, effects in history.items():
            known = [effect for effect in effects if effect["effect"] not in ("opaque", "alter_model")]
            touched = set().union(*(self._follow(key, effect) for effect in known))
            for name in touched:
                place = self._names.place(name)
                origin = self._origins.get(place) if place else None
                meanings = self.meanings.setdefault(name, [])
                if (meanings[-1].origin if meanings else None) != origin:
                    meanings.append(Meaning(key, origin))

    def _follow(self, key: Key, effect: Effect) -> set[Name]:
        """
        Take over what an effect makes and renames, and return the names that it is about.

        What is said in the state alone of a table or a column that is there is not done to
        that; of another it tells what SQL beside it has done.
        """
        model = name_of(key[0], effect)[:2]
        fields = [effect[part] for part in ("field", "to") if "field" in effect and part in effect]
        before = self._names.places(model, *fields)
        names = self._names
        if not effect["state"]:
            names = names._of(model)
        names._follow(key[0], effect)
        after = names.places(renamed(model, key[0], effect)[:2], *fields)
        moved: dict[Place, Origin] = {}
        for name, place in before.items():
            now = after.get(renamed(name, key[0], effect), place)
            if now != place and place in self._origins and (effect["database"] or now not in self._origins):
                moved[now] = self._origins.pop(place)
        self._origins.update(moved)
        for place in after.values():
            self._origins.setdefault(place, (key, place))
        return {*before, *after}

    def before(self, key: Key, name: Name) -> list[Meaning]:
        """Return what a name had come to stand for when it was a migration's turn."""
        meanings = self.meanings.get(name, [])
        return [meaning for meaning in meanings if self._turns[meaning.since] < self._turns[key]]


def gives_name_again(history: Mapping[Key, list[Effect]]) -> bool:
    """Say whether a name can stand for something else behind migrations: much quicker than to follow all of them."""
    taken: set[Name] = set()
    given: set[Name] = set()
    for key, effects in history.items():
        for effect in effects:
            if effect["effect"] in ("alter_field", "alter_table") and effect["database"] != effect["state"]:
                return True
            if effect["effect"] in _TAKES_AWAY:
                taken.add(name_of(key[0], effect))
            if effect["effect"] in _GIVES_NAME:
                given.add(renamed(name_of(key[0], effect), key[0], effect))
    return bool(taken & given)


def reused(then: Lineage, now: Lineage, steps: Iterable[Key]) -> dict[Key, dict[Name, Reused]]:
    """Return by step the names that stand for something else in its turn than when it was applied."""
    origins: dict[Name, set[Any]] = {}
    for name, meanings in (*then.meanings.items(), *now.meanings.items()):
        origins.setdefault(name, set()).update(meaning.origin for meaning in meanings)
    ambiguous = [name for name in origins if len(origins[name] - {None}) > 1]
    found = {}
    for step in steps:
        others = {name: _reused(then.before(step, name), now.before(step, name)) for name in ambiguous}
        # In another table every column is another one.
        found[step] = {
            name: other
            for name, other in others.items()
            if other and (len(name) == 2 or not others.get(name[:2]))
        }
    return {step: others for step, others in found.items() if others}


def _reused(then: list[Meaning], now: list[Meaning]) -> Reused | None:
    origins = [meanings[-1].origin for meanings in (then, now) if meanings]
    if len(origins) < 2 or None in origins or origins[0] == origins[1]:
        return None
    last = max((at for at, meaning in enumerate(now) if meaning.origin == origins[0]), default=len(now) - 2)
    return Reused(now[-1].since, now[last + 1].since, then[-1].since)
