"""
What a rendered project state says of the database: tables, columns, indexes and constraints, each by its name.

Two states can be compared with it, and it is known where a name of one stands in the way of a name of the other.
Columns go with their model, for they go with its table wherever that is renamed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import CheckConstraint, Model

from ..utils.types import Key

# What kind of thing it is, and the names by which it can be only once.
Thing = tuple[str, ...]
Blueprint = dict[Thing, Any]

# What cannot be said, for it names a field or a model that is not there.
BROKEN = "broken"


class Column(NamedTuple):
    """What the database knows of a column, as far as two migrations can disagree on it."""

    type: Any
    is_null: bool
    is_key: bool
    is_unique: bool
    has_index: bool
    check: Any
    points_to: tuple[str, str] | None
    generated: str = ""

    def adds(self, before: Column, there: Column) -> bool:
        """Say whether what a change from `before` adds would be there already, in a column as it is `there`."""
        if self.is_key or before.is_key or self.generated or before.generated:
            return there != before
        parts = ("is_unique", "has_index", "check", "points_to")
        return any(
            getattr(self, part) and getattr(there, part) and not getattr(before, part) for part in parts
        )


def describe_thing(thing: Thing) -> str:
    kind, *names = thing
    if kind == "column":
        return f"the column '{names[-1]}' of the model '{names[1]}'"
    if kind == "model":
        return f"the model '{names[1]}'"
    return f"{kind} of the model '{names[1]}'" if kind.endswith("_together") else f"the {kind} '{names[-1]}'"


class Draughtsman:
    """
    Draw the blueprints of rendered states.

    Args:
        editor: a schema editor of the database, which executes nothing.
        index_names_are_global: whether the name of an index is in the way of that of another table's.
        constraints_are_indexes: whether a unique constraint is an index of its name.
    """

    def __init__(self, editor: Any, *, index_names_are_global: bool, constraints_are_indexes: bool) -> None:
        self.editor = editor
        self.connection = editor.connection
        self.index_names_are_global = index_names_are_global
        self.constraints_are_indexes = constraints_are_indexes
        self.ignores_case = self.connection.features.ignores_table_name_case

    def draw(self, apps: Any) -> Blueprint:
        """Return the blueprint of the models of a rendered state."""
        models = apps.get_models(include_auto_created=True)
        return {thing: what for model in models for thing, what in self._things(model)}

    def _things(self, model: type[Model]) -> Iterator[tuple[Thing, Any]]:
        options: Any = model._meta
        key = (options.app_label, options.model_name)
        table = self._folded(options.db_table)
        is_made = options.can_migrate(self.connection)
        yield ("model", *key), table if is_made else ""
        if not is_made:
            return
        yield ("table", table), key
        for field in options.local_concrete_fields:
            yield ("column", *key, self._folded(field.column)), self._said(self._column, field)
        for name in ("unique_together", "index_together"):
            columns = {self._said(self._columns, model, names) for names in getattr(options, name, ())}
            yield (name, *key), BROKEN if BROKEN in columns else frozenset(columns)
        for index in options.indexes:
            thing = self._named("index", key, index.name)
            yield thing, self._said(lambda index=index: str(index.create_sql(model, self.editor)))
        for constraint in options.constraints:
            yield self._constraint(model, key, constraint)

    def _folded(self, name: str) -> str:
        return name.lower() if self.ignores_case else name

    def _named(self, kind: str, key: Key, name: str) -> Thing:
        """Return a name that is in the way of the same one, be it of another table."""
        if kind == "constraint" and self.constraints_are_indexes:
            kind = "index"
        is_global = kind == "index" and self.index_names_are_global
        return (kind, *(() if is_global else key), self._folded(name))

    def _constraint(self, model: type[Model], key: Key, constraint: Any) -> tuple[Thing, Any]:
        """Return a constraint; one that a table cannot hold is an index of its own."""
        deferred = self.editor.deferred_sql
        deferred.clear()
        sql = self._said(lambda: constraint.constraint_sql(model, self.editor))
        kind = "check" if isinstance(constraint, CheckConstraint) else "constraint"
        if sql is None and deferred:
            kind, sql = "index", str(deferred[-1])
        return self._named(kind, key, constraint.name), sql

    def _columns(self, model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
        options: Any = model._meta
        return tuple(options.get_field(name).column for name in names)

    def _column(self, field: Any) -> Column:
        parameters = field.db_parameters(self.connection)
        target: Any = field.remote_field and getattr(field, "target_field", None)
        points_to = (target.model._meta.db_table, target.column) if target else None
        return Column(
            type=(parameters["type"], parameters.get("collation")),
            is_null=field.null,
            is_key=field.primary_key,
            is_unique=field.unique,
            has_index=field.db_index and not field.unique,
            check=parameters["check"],
            points_to=points_to if getattr(field, "db_constraint", False) else None,
            generated=str(field.generated_sql(self.connection)) if getattr(field, "generated", False) else "",
        )

    def _said(self, say: Callable[..., Any], *args: Any) -> Any:
        try:
            return say(*args)
        except Exception:  # noqa: BLE001 (whatever a field, an index or a constraint raises)
            return BROKEN
