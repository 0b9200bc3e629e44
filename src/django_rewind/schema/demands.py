"""
What rows have to meet again when steps are unapplied, told from states that nobody renders.

An operation lifts a demand that its model makes before it, and not after it: to reverse the
operation makes that again, over the rows that are there by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from dataclasses import field as item
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.models import Field

from ..utils.types import Effect, Key, key_of
from .effects import effects_in, flatten
from .lineage import Name, name_of, renamed
from .operations import bind, forwards, named_when_executed, table_of, targets, unrendered

# NOT NULL; unique columns; a foreign key; what a type allows; a constraint of the model.
NOT_NULL, UNIQUE, REFERS, TYPE, CONSTRAINT = "NOT NULL", "unique", "refers", "type", "constraint"

# What it is, and the field or fields that it is about: (kind, …).
_Rule = tuple[Any, ...]

# What these change of a model alone can lift a demand.
_LIFTING = {"alter_field", "alter_model", "remove_field"}


@dataclass
class Column:
    """A column of which something is demanded, followed through later migrations."""

    name: Name
    # As it is again by then.
    field: Field[Any, Any]
    # As it comes back within the steps, where it is not there now.
    returns: Field[Any, Any] | None = None
    # As it is now, where it is there.
    there: Field[Any, Any] | None = None

    @property
    def now(self) -> str | None:
        return self.there.column if self.there else None

    @property
    def title(self) -> str:
        return self.now or str(self.field.column)


@dataclass
class Demand:
    """Something that the rows of a table have to meet again."""

    step: Key
    kind: str
    model: Name
    columns: list[Column]
    # Of the model, where it is a constraint of that.
    constraint: Any = None
    # What a foreign key points to; its column has no field of its own.
    target: Column | None = None
    # Whether the database may do without it: the table goes, or code may mend the rows before.
    is_void: bool = False
    # As the database calls them now; the table of the target is empty where that is not there.
    table: str = ""
    target_table: str = ""

    def follow(self, app_label: str, effect: Effect) -> None:
        """Take over what a later effect renames or takes away."""
        of_target = [self.target] if self.target else []
        if effect["state"]:
            self.model = renamed(self.model, app_label, effect)
            for column in (*self.columns, *of_target):
                column.name = renamed(column.name, app_label, effect)
        if effect["effect"] == "delete_model":
            gone = name_of(app_label, effect)
            self.is_void |= gone == self.model
            for column in of_target:
                if gone == column.name[:2] and effect["database"]:
                    column.name = ("", "", "")

    def lose(self, name: Name, returns: Field[Any, Any] | None) -> None:
        """Take over that a field is removed; it returns within the steps, or the state alone has lost it."""
        for column in self.columns:
            if column.name == name and column.returns is None:
                column.returns = returns
                self.is_void |= returns is None

    def is_met_by(self, words: set[str] | None) -> bool:
        """Say whether code that names these words may have the rows meet it; None stands for any words."""
        names = {self.model[1], self.table.lower()} | ({self.target.name[1]} if self.target else set())
        return words is None or bool(words & names)


def lifted(state: Any, unapplied: Iterable[Migration]) -> list[Demand]:
    """
    Return the demands that come back when steps are unapplied, under the names of now.

    Args:
        state: the one before the first step; it is changed.
        unapplied: the steps in the order of application.
    """
    demands: list[Demand] = []
    for migration in unapplied:
        for operation in migration.operations:
            _follow(demands, state, migration, operation)
    return [demand for demand in demands if not demand.is_void and _is_there(demand, state)]


def _follow(demands: list[Demand], state: Any, migration: Migration, operation: Operation) -> None:
    """Take an operation over into the state, with the demands that it lifts and what it does to earlier ones."""
    app_label = migration.app_label
    inner = list(flatten([operation], database=True))
    is_plain = inner == [operation]
    within = state if is_plain else unrendered(state)
    for one in inner:
        _reverse(demands, within, migration, one)
    if not is_plain:
        forwards(state, app_label, operation)
    for effect in effects_in([operation]):
        for demand in demands:
            demand.follow(app_label, effect)
            for name in _removed(app_label, [effect]) if effect["state"] else ():
                demand.lose(name, None)


def _reverse(demands: list[Demand], state: Any, migration: Migration, operation: Operation) -> None:
    """Take over what it means that the database reverses an operation before all that came before it."""
    app_label = migration.app_label
    words = named_when_executed(operation, backwards=True)
    for demand in demands:
        demand.table = table_of(state.models, demand.model[:2])
        demand.is_void |= demand.is_met_by(words)
    effects = effects_in([operation])
    before = [_rules(state, app_label, effect) for effect in effects]
    returning = {name: _field_in(state, name) for name in _removed(app_label, effects)}
    forwards(state, app_label, operation)
    for effect, rules in zip(effects, before):
        after = _rules(state, app_label, effect)
        gone = [rule for rule in rules if after.get(rule) != rules[rule]]
        demands += [_demand(migration, effect, rule, rules[rule]) for rule in gone]
    for name, field in returning.items():
        for demand in demands:
            demand.lose(name, field)


def _removed(app_label: str, effects: Iterable[Effect]) -> list[Name]:
    return [name_of(app_label, effect) for effect in effects if effect["effect"] == "remove_field"]


# What a model demands -------------------------------------------------------------


@dataclass
class _Details:
    """What a rule says; where it is another one afterwards, it has been lifted."""

    says: Any
    columns: list[Column] = item(compare=False)
    constraint: Any = item(default=None, compare=False)
    target: Column | None = item(default=None, compare=False)


def _rules(state: Any, app_label: str, effect: Effect) -> dict[_Rule, _Details]:
    """Return what the model of an effect demands of its rows."""
    model_state = state.models.get((app_label, effect.get("model")))
    if effect["effect"] not in _LIFTING or model_state is None:
        return {}
    model = (app_label, effect["model"])
    columns = {
        name: Column((*model, name.lower()), bound)
        for name, bound in ((name, bind(name, one)) for name, one in model_state.fields.items())
        if bound.column is not None and not bound.many_to_many
    }
    rules: dict[_Rule, _Details] = {}
    for name, column in columns.items():
        rules.update((rule, details) for rule, details in _of_field(state, app_label, name, column))
    for names in map(tuple, model_state.options.get("unique_together") or ()):
        if all(name in columns for name in names):
            rules[(UNIQUE, *names)] = _Details(None, [columns[name] for name in names])
    for constraint in model_state.options.get("constraints") or ():
        rules[CONSTRAINT, constraint.name] = _Details(constraint, list(columns.values()), constraint)
    return rules


def _of_field(state: Any, app_label: str, name: str, column: Column) -> Iterator[tuple[_Rule, _Details]]:
    bound = column.field
    if not bound.null:
        yield (NOT_NULL, name), _Details(None, [column])
    if bound.unique:
        yield (UNIQUE, name), _Details(None, [column])
    size = [getattr(bound, limit, None) for limit in ("max_length", "max_digits", "decimal_places")]
    yield (TYPE, name), _Details((bound.get_internal_type(), size), [column])
    target = next(targets(bound, app_label), None)
    if target is not None and target in state.models and getattr(bound, "db_constraint", False):
        to_field = getattr(bound.remote_field, "field_name", None) or _key_of(state, target)
        yield (
            (REFERS, name),
            _Details((target, to_field), [column], None, Column((*target, to_field.lower()), bound)),
        )


def _key_of(state: Any, model: Key) -> str:
    fields = state.models[model].fields
    return next((name for name, one in fields.items() if one.primary_key), "id")


def _demand(migration: Migration, effect: Effect, rule: _Rule, details: _Details) -> Demand:
    columns = [Column(column.name, column.field) for column in details.columns]
    model = (migration.app_label, effect["model"])
    return Demand(key_of(migration), rule[0], model, columns, details.constraint, details.target)


# What it is called now ------------------------------------------------------------


def _is_there(demand: Demand, state: Any) -> bool:
    """Put in what the database calls a table and its columns now, and say whether it is there."""
    model_state = state.models.get(demand.model)
    if model_state is None or not model_state.options.get("managed", True):
        return False
    demand.table = table_of(state.models, demand.model[:2])
    for column in demand.columns:
        column.there = _field_in(state, column.name) if column.returns is None else None
        if column.there is None and column.returns is None:
            return False
    if demand.target and demand.target.name[:2] in state.models:
        demand.target.there = _field_in(state, demand.target.name)
        demand.target_table = table_of(state.models, demand.target.name[:2])
        return demand.target.there is not None
    return True


def _field_in(state: Any, wanted: Name) -> Field[Any, Any] | None:
    """Return a field with the name of its column; to render a model for that takes a hundred times as long."""
    model_state = state.models.get(wanted[:2])
    for name, one in model_state.fields.items() if model_state else ():
        if (*wanted[:2], name.lower()) == wanted:
            return bind(name, one)
    return None
