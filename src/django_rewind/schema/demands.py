"""What operations have to find in a state, and what SQLite makes of them. Pure, and nothing is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.models import Field
from django.db.models.fields.related import RECURSIVE_RELATIONSHIP_CONSTANT

from ..utils import compat
from ..utils.types import Key
from .effects import operations_in

__all__ = ["fields_handled", "fields_named", "has_fields", "models_made", "rebuilt_table", "targets"]

# On SQLite these leave a table as it is, or make or drop it as a whole.
_NO_REBUILD = (
    operations.AddIndex,
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.AlterModelTable,
    operations.CreateModel,
    operations.DeleteModel,
    operations.RemoveIndex,
    operations.RunPython,
    operations.RunSQL,
)


def fields_named(operation: Operation) -> tuple[str, list[str]]:
    """Return a model and the fields that have to be there before an operation."""
    if isinstance(operation, operations.AlterField):
        return operation.model_name, [operation.name]
    if isinstance(operation, operations.AddIndex):
        return operation.model_name, [name.lstrip("-") for name in operation.index.fields]
    if isinstance(operation, operations.AddConstraint):
        return operation.model_name, list(getattr(operation.constraint, "fields", ()))
    if isinstance(operation, (operations.AlterUniqueTogether, operations.AlterIndexTogether)):
        return operation.name, [name for names in operation.option_value or () for name in names]
    return "", []


def has_fields(state: Any, app_label: str, model: str, names: Iterable[str]) -> bool:
    model_state = state.models.get((app_label, model.lower()))
    return all(model_state is not None and name in model_state.fields for name in names)


def models_made(migration: Migration) -> Iterator[Key]:
    for in_database in (True, False):
        for operation in operations_in(migration, database=in_database):
            if isinstance(operation, operations.CreateModel):
                yield migration.app_label, operation.name_lower
            elif isinstance(operation, operations.RenameModel):
                yield migration.app_label, operation.new_name_lower


def fields_handled(
    operation: Operation, state: Any, app_label: str, *, backwards: bool
) -> list[Field[Any, Any]]:
    """
    Return the fields whose columns or tables an operation makes, changes or drops one by one.

    Args:
        state: the one before the operation.
    """
    if isinstance(operation, operations.CreateModel):
        # A table is dropped with its columns; many-to-many ones have tables of their own.
        return [one for _, one in operation.fields if one.many_to_many or not backwards]
    if isinstance(operation, operations.DeleteModel):
        fields = _fields(state, app_label, operation.name).values()
        return [one for one in fields if one.many_to_many or backwards]
    if isinstance(operation, (operations.AddField, operations.AlterField, operations.RemoveField)):
        before = _fields(state, app_label, operation.model_name).get(operation.name)
        found = [getattr(operation, "field", None), before]
        return [one for one in found if one is not None]
    return []


def _fields(state: Any, app_label: str, model: str) -> Mapping[str, Field[Any, Any]]:
    model_state = state.models.get((app_label, model.lower()))
    return dict(model_state.fields) if model_state else {}


def targets(one: Field[Any, Any], app_label: str) -> Iterator[Key]:
    """Yield the models that a field points to, where the migration names them."""
    remote = getattr(one, "remote_field", None)
    for target in (getattr(remote, "model", None), getattr(remote, "through", None)):
        if isinstance(target, str) and target != RECURSIVE_RELATIONSHIP_CONSTANT:
            app, _, model = target.rpartition(".")
            yield app or app_label, model.lower()


def rebuilt_table(state: Any, app_label: str, operation: Operation, *, backwards: bool) -> str:
    """Return the table that SQLite may rebuild for an operation, or an empty string."""
    if isinstance(operation, _NO_REBUILD) or _only_adds_a_column(operation, backwards=backwards):
        return ""
    name = getattr(operation, "model_name", None) or getattr(operation, "old_name", None)
    name = name or getattr(operation, "name", "")
    model_state = state.models.get((app_label, str(name).lower()))
    if model_state is None:
        return ""
    return model_state.options.get("db_table") or f"{app_label}_{model_state.name.lower()}"


def _only_adds_a_column(operation: Operation, *, backwards: bool) -> bool:
    return (
        isinstance(operation, operations.AddField)
        and not backwards
        and compat.SQLITE_ADDS_NULLABLE_COLUMNS
        and operation.field.null
        and not operation.field.has_default()
        and not operation.field.unique
    )
