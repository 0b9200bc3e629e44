"""The columns that are NOT NULL again when steps are unapplied, told from states that nobody renders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.migrations import Migration
from django.db.models import NOT_PROVIDED, AutoField, Field

from ..utils import compat
from ..utils.types import Effect, Key, key_of
from .effects import effects_in
from .lineage import Made, Name, name_of
from .operations import default_table


class NotNull(NamedTuple):
    step: Key
    # As it will be again.
    field: Field[Any, Any]
    table: str
    # What the column is called now, where it is there and only its NULLs matter.
    column: str | None

    def lacks_value(self, connection: Any, *, rebuilds_tables: bool) -> bool:
        """Return whether Django has nothing to put where there is no value."""
        field = self.field
        if (
            getattr(field, "generated", False)
            or getattr(field, "db_default", NOT_PROVIDED) is not NOT_PROVIDED
        ):
            return False
        if self.column and not rebuilds_tables and not field.has_default():
            # AlterField fills in a default that was written down, and none that Django makes up.
            return True
        fills_itself = isinstance(field, AutoField) and not self.column
        return not fills_itself and compat.effective_default(connection, field) is None


def not_null_again(state: Any, unapplied: Iterable[Migration]) -> list[NotNull]:
    """
    Return the columns that are NOT NULL again when steps are unapplied.

    Args:
        state: the one before the first step; it is changed.
        unapplied: the steps in the order of application.
    """
    columns: list[tuple[Made, Field[Any, Any], bool]] = []
    for migration in unapplied:
        for operation in migration.operations:
            effects = effects_in([operation])
            before = [(effect, _field_before(state, migration.app_label, effect)) for effect in effects]
            operation.state_forwards(migration.app_label, state)
            for effect in effects:
                for made, _, _ in columns:
                    made.follow(migration.app_label, effect)
            for effect, field in before:
                # Of a column that no state knows nothing can be said.
                if field is None or field.null or field.many_to_many or field.column is None:
                    continue
                made = Made(key_of(migration), name_of(migration.app_label, effect))
                now = _field_in(state, made.name)
                is_there = effect["effect"] == "alter_field"
                if not is_there or (now is not None and now.null):
                    columns.append((made, field, is_there))
    found = []
    for made, field, is_there in columns:
        model_state, now = state.models.get(made.name[:2]), _field_in(state, made.name)
        if model_state and (now or not is_there) and model_state.options.get("managed", True):
            table = model_state.options.get("db_table") or default_table(*made.name[:2])
            found.append(NotNull(made.by, field, table, now.column if now and is_there else None))
    return found


def _field_before(state: Any, app_label: str, effect: Effect) -> Field[Any, Any] | None:
    """Return the field that an effect changes or removes, as it comes back."""
    if not effect["database"] or effect["effect"] not in ("alter_field", "remove_field"):
        return None
    return _field_in(state, name_of(app_label, effect))


def _field_in(state: Any, wanted: Name) -> Field[Any, Any] | None:
    """Return a field with the name of its column; to render a model for that takes a hundred times as long."""
    model_state = state.models.get(wanted[:2])
    for name, field in model_state.fields.items() if model_state else ():
        if (*wanted[:2], name.lower()) == wanted:
            bound: Field[Any, Any] = field.clone()
            bound.set_attributes_from_name(name)
            return bound
    return None
