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
from dataclasses import dataclass, field
from typing import Any, Optional

from django.db.backends.utils import strip_quotes
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from ..utils.types import Effect, Key
from .operations import ORDER, default_table, effect_of, halves

# A table (column None) or a column that disappears when a migration is undone.
Loss = tuple[str, Optional[str]]


def thing(loss: Loss) -> str:
    """Return what disappears, in words."""
    table, column = loss
    return f"the table '{table}'" if column is None else f"the column '{column}' of '{table}'"


_MODEL_GONE = {"delete_model", "rename_model"}
_FIELD_GONE = {"remove_field", "rename_field"}


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


def effects_of(migration: Migration) -> list[Effect]:
    """Return what the migration does, in order, ready to be written as JSON."""
    return effects_in(migration.operations)


def effects_in(listed: Iterable[Operation]) -> list[Effect]:
    """Return what operations do, in order, ready to be written as JSON."""
    return [effect for operation in listed for effect in _effects(operation)]


def _effects(operation: Operation, *, in_database: bool = True, in_state: bool = True) -> Iterator[Effect]:
    effect = effect_of(operation)
    if effect is not None:
        yield {**effect, "database": in_database, "state": in_state}
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
    return are_texts and _are_columns(value.get("fields", {}))


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


_ORDER = {"column": ORDER, "chosen": True}


@dataclass
class Made:
    """A table or a column that a migration made, followed through later renames."""

    by: Key
    model: tuple[str, str]
    field: str | None = None

    @classmethod
    def by_effect(cls, key: Key, effect: Effect, before: Names) -> Iterator[Made]:
        """Yield what one effect of a migration makes in the database."""
        if not effect.get("database"):
            return
        if before.is_ordered_by(key[0], effect):
            yield cls(key, (key[0], effect["model"]), ORDER)
        elif effect["effect"] == "add_field":
            yield cls(key, (key[0], effect["model"]), effect["field"])
        elif effect["effect"] == "create_model" and not effect["without_table"]:
            yield cls(key, (key[0], effect["model"]))
            for name, column in effect["fields"].items():
                if column.get("many_to_many"):
                    yield cls(key, (key[0], effect["model"]), name)

    def follow(self, app_label: str, effect: Effect) -> None:
        """Take over what a later effect renames."""
        if not effect.get("state") or self.model != (app_label, effect.get("model")):
            return
        if effect["effect"] == "rename_model":
            self.model = (app_label, effect["to"])
        elif effect["effect"] == "rename_field" and self.field == effect["field"]:
            self.field = effect["to"]


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


@dataclass
class Names:
    """
    The tables and columns behind models and fields, after some migrations.

    Follow a history with `follow`; what was never created here (because the
    migration that did it is not known) is assumed to bear Django's default name.
    Models and fields are known in lower case, as in Django's state; tables and
    columns are named as they were written. Metadata of an earlier format hold no
    names as written: there they count as lower case.
    """

    tables: dict[tuple[str, str], str] = field(default_factory=dict)
    columns: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def is_ordered_by(self, app_label: str, effect: Effect) -> bool:
        """Say whether an effect gives a model the column of its order, which it has not had before."""
        if effect["effect"] != "alter_order" or not effect["by"]:
            return False
        return ORDER not in self.columns.get((app_label, effect["model"]), {})

    def table(self, app_label: str, model: str) -> str:
        return self.tables.get((app_label, model)) or default_table(app_label, model)

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
            self.tables[key] = effect["table"] or default_table(app_label, model)
            self.columns[key] = {**effect["fields"], **({ORDER: _ORDER} if effect.get("ordered") else {})}
            if effect["without_table"]:
                del self.tables[key], self.columns[key]
        elif kind == "delete_model":
            self.tables.pop(key, None)
            del self.columns[key]
        elif kind == "rename_model":
            renamed = (app_label, effect["to"])
            table = self.tables.pop(key, None)
            if table is None or table == default_table(app_label, model):
                table = default_table(*renamed)
            self.tables[renamed] = table
            self.columns[renamed] = self.columns.pop(key)
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
            name = effect.get("name", effect["to"])
            column = old["column"]
            if column and not old.get("chosen"):
                # The default column follows the name, with the "_id" of a relation.
                column = name + column[len(effect["field"]) :]
            columns[effect["to"]] = {**old, "column": column, "name": name}

    def step(self, app_label: str, effect: Effect) -> tuple[set[Loss], set[Loss]]:
        """Follow one effect and return what it takes away and what it makes, by name."""
        if not effect.get("state") or effect["effect"] == "opaque":
            return set(), set()
        before = self._of(app_label, effect)
        self._follow(app_label, effect)
        after = self._of(app_label, effect)
        if effect["effect"] == "create_model":
            return set(), after
        if effect["effect"] == "add_field":
            made = self.loss(Made((app_label, ""), (app_label, effect["model"]), effect["field"]))
            return set(), {made} if made else set()
        return before - after, after - before

    def _of(self, app_label: str, effect: Effect) -> set[Loss]:
        """Return the tables and columns of the model that an effect is about, under both its names."""
        keys = [(app_label, effect[name]) for name in ("model", "to") if name in effect]
        return Names(
            {key: self.tables[key] for key in keys if key in self.tables},
            {key: self.columns[key] for key in keys if key in self.columns},
        ).needed()

    def losses(self, app_label: str, effects: Iterable[Effect]) -> list[Loss]:
        """Return what disappears from the database when these effects are undone."""
        lost: list[Loss] = []
        for effect in effects:
            if effect.get("database"):
                lost += self._losses(app_label, effect)
        return lost

    def _losses(self, app_label: str, effect: Effect) -> list[Loss]:
        kind = effect["effect"]
        if kind == "create_model" and not effect["without_table"]:
            table = effect["table"] or default_table(app_label, effect["model"])
            return [
                (table, None),
                *(
                    (self._join_table(table, name, column), None)
                    for name, column in effect["fields"].items()
                    if column.get("many_to_many")
                ),
            ]
        if kind == "add_field":
            table = self.table(app_label, effect["model"])
            if effect.get("many_to_many"):
                return [(self._join_table(table, effect["field"], effect), None)]
            return [(table, effect["column"])] if effect["column"] else []
        if self.is_ordered_by(app_label, effect):
            return [(self.table(app_label, effect["model"]), ORDER)]
        return []

    def loss(self, made: Made) -> Loss | None:
        """Return what undoing takes away, under its name by now; None if it is gone."""
        columns = self.columns.get(made.model)
        if columns is None:
            return None
        table = self.table(*made.model)
        if made.field is None:
            return table, None
        column = columns.get(made.field)
        if column is None:
            return None
        if column.get("many_to_many"):
            return self._join_table(table, made.field, column), None
        return (table, column["column"]) if column["column"] else None

    @staticmethod
    def _join_table(table: str, name: str, column: dict[str, Any]) -> str:
        return column.get("table") or default_table(strip_quotes(table), column.get("name", name))

    def needed_by(self, app_label: str, effects: Iterable[Effect]) -> set[Loss]:
        """Return the tables and columns of the models that these effects are about."""
        models = {
            effect["to"] if effect["effect"] == "rename_model" else effect["model"]
            for effect in effects
            if "model" in effect
        }
        mine = Names(
            {key: table for key, table in self.tables.items() if key[0] == app_label and key[1] in models},
            {key: found for key, found in self.columns.items() if key[0] == app_label and key[1] in models},
        )
        return mine.needed()

    def needed(self) -> set[Loss]:
        """Return every table and column that these models live in."""
        found: set[Loss] = {(table, None) for table in self.tables.values()}
        for (app_label, model), columns in self.columns.items():
            table = self.table(app_label, model)
            for name, column in columns.items():
                if column.get("many_to_many"):
                    found.add((self._join_table(table, name, column), None))
                elif column["column"]:
                    found.add((table, column["column"]))
        return found


def outline(effect: Effect) -> tuple[Any, ...]:
    """Return what one effect has in common with another that makes the same by name."""
    return (effect["effect"], effect.get("model"), effect.get("field"), frozenset(effect.get("fields", ())))


def lasting(history: Iterable[tuple[Key, list[Effect]]]) -> dict[Key, list[Effect]]:
    """
    Return what is left of each migration once all of them have run.

    What a later one removed is gone, and what it renamed bears its new name.

    Args:
        history: migrations with their effects, in the order in which they were applied.
    """
    left: dict[Key, list[Effect]] = {}
    for key, effects in history:
        left[key] = []
        for effect in effects:
            if effect["effect"] in _MODEL_GONE | _FIELD_GONE:
                for other, earlier in left.items():
                    left[other] = [
                        rest
                        for one in earlier
                        if (rest := _left_after((key[0], effect), (other[0], one))) is not None
                    ]
            left[key].append(effect)
    return left


def _left_after(later: tuple[str, Effect], earlier: tuple[str, Effect]) -> Effect | None:
    """Return what a removal or a renaming leaves of an earlier effect."""
    (later_app, change), (app_label, effect) = later, earlier
    same_model = (later_app, change["model"]) == (app_label, effect.get("model"))
    same_field = same_model and effect.get("field") == change.get("field")
    kind = change["effect"]
    # What goes from the state alone is still in the database.
    if change["database"] and (
        (kind == "delete_model" and same_model) or (kind == "remove_field" and same_field)
    ):
        return None
    if kind == "rename_field" and same_field and change["state"]:
        return {**effect, "field": change["to"]}
    if kind == "rename_model" and change["state"]:
        old, new = [later_app, change["model"]], [later_app, change["to"]]
        refers = [new if [a or app_label, m] == old else [a, m] for a, m in effect.get("refers", [])]
        renamed = {"model": change["to"]} if same_model else {}
        return {**effect, **renamed, "refers": refers}
    return effect


def conflict(step: tuple[str, list[Effect]], missing: tuple[str, list[Effect]]) -> str | None:
    """
    Say what a step to be applied does to something that a missing migration uses.

    Args:
        step: app label and effects of the step that would be applied.
        missing: app label and effects of the applied migration without a file.

    Returns:
        words that fit behind the name of the step, or None.
    """
    app_label, effects = step
    used_models, used_fields, made = _uses(*missing)
    for effect in effects:
        kind = effect["effect"]
        if kind == "opaque":
            continue
        model = (app_label, effect["model"])
        name = (*model, effect.get("field", ""))
        if kind in _MODEL_GONE and model in used_models:
            verb = "deletes" if kind == "delete_model" else "renames"
            return f"{verb} the model '{effect['model']}'"
        if kind in _FIELD_GONE and name in used_fields:
            verb = "removes" if kind == "remove_field" else "renames"
            return f"{verb} the field '{effect['model']}.{effect['field']}'"
        if kind == "create_model" and (*model, "") in made:
            return f"creates the model '{effect['model']}' again"
        if kind == "add_field" and name in made:
            return f"adds the field '{effect['model']}.{effect['field']}' again"
    return None


def _uses(
    app_label: str, effects: list[Effect]
) -> tuple[set[tuple[str, str]], set[tuple[str, str, str]], set[tuple[str, str, str]]]:
    """Return the models and the fields that the effects touch, and what they make."""
    used_models: set[tuple[str, str]] = set()
    used_fields: set[tuple[str, str, str]] = set()
    made: set[tuple[str, str, str]] = set()
    for effect in effects:
        if effect["effect"] == "opaque":
            continue
        model = (app_label, effect["model"])
        used_models.add(model)
        used_models |= {(a or app_label, m) for a, m in effect.get("refers", [])}
        if "field" in effect:
            used_fields.add((*model, effect["field"]))
        if effect["effect"] == "create_model":
            made.add((*model, ""))
        elif effect["effect"] == "add_field":
            made.add((*model, effect["field"]))
    return used_models, used_fields, made
