"""
What Django's operations do: a row for each of their classes in Django 3.2 to 6.1.

This is the only module that asks for the class of an operation. One of another package has
the row of its nearest base, in the end that of `Operation`, of which nothing is known.
Pure, and nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, Optional

from django.db import connection
from django.db.backends.utils import truncate_name
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Field
from django.db.models.fields.related import RECURSIVE_RELATIONSHIP_CONSTANT

from ..utils import compat
from ..utils.types import Effect, Key
from ..utils.words import words_of
from .values import holds

Fields = list[Any]
# Operations for the database and for the state; None stands for the operation itself.
Halves = tuple[Optional[list[Operation]], Optional[list[Operation]]]

# The column that `order_with_respect_to` gives a model (django/db/models/options.py).
ORDER = "_order"


@dataclass(frozen=True)
class Row:
    # What it does to models, tables and columns, as it is written down; None where that is nothing.
    effect: Callable[[Any], Effect | None]
    # The fields of its model that have to be there before it, as far as Django's state does not ask.
    needs: Callable[[Any], Iterable[str]] = lambda operation: ()
    # The fields whose columns or tables it makes, changes or drops one by one, forwards or backwards,
    # from those that its model has before it.
    fields: Callable[[Any, Mapping[str, Field[Any, Any]], bool], Fields] = lambda *args: []
    # What it finds by its columns, or makes of them, when it is reversed; from the options of its model.
    indexes: Callable[[Any, Mapping[str, Any]], list[Any]] = lambda *args: []
    # Whether SQLite rebuilds the table of its model for it, forwards or backwards; from the model before it.
    rebuilds: Callable[[Any, Any, bool], bool] = lambda *args: True
    # Whether it may then rebuild the tables that point to it as well; from the fields that are handled.
    rebuilds_related: Callable[[Fields], bool] = lambda fields: False
    # Whether reversing it may use any model that the migration knows.
    uses_models: Callable[[Any], bool] = lambda operation: False
    # The function that it executes, forwards or backwards.
    code: Callable[[Any, bool], Any] = lambda operation, backwards: None
    # The words in what it executes beside what its effect says, forwards or backwards; None for any.
    executes: Callable[[Any, bool], set[str] | None] = lambda *args: set()
    halves: Callable[[Any], Halves] = lambda operation: (None, None)


def row_of(operation: Operation) -> Row:
    for cls in type(operation).__mro__:
        if cls.__name__ in _ROWS and cls.__module__.startswith("django."):
            return _ROWS[cls.__name__]
    return _ROWS["Operation"]


# Questions ------------------------------------------------------------------


def halves(operation: Operation) -> Halves:
    """Return the operations inside one, which hides them: its own `reversible` says nothing of them."""
    return row_of(operation).halves(operation)


def in_words(operation: Any) -> str:
    """Return what an operation says of itself, or else what it is."""
    try:
        return str(operation.describe())
    except Exception:  # noqa: BLE001 (Django asks for it when it shows a plan, not when it runs one)
        return type(operation).__name__


def effect_of(operation: Operation) -> Effect | None:
    """Return what an operation does to models, tables and columns, ready to be written as JSON."""
    try:
        return row_of(operation).effect(operation)
    except Exception:  # noqa: BLE001 (a class of somebody's own need not have what its base is asked for)
        return {"effect": "opaque"}


def model_named(operation: Operation) -> str:
    """Return the model that an operation names, in lower case, or an empty string."""
    names = (getattr(operation, attribute, None) for attribute in ("model_name", "old_name", "name"))
    return next((str(name).lower() for name in names if name), "")


def fields_named(operation: Operation) -> tuple[str, list[str]]:
    """Return a model and the fields that have to be there before an operation."""
    return model_named(operation), list(row_of(operation).needs(operation))


def fields_handled(operation: Operation, state: Any, app_label: str, *, backwards: bool) -> Fields:
    """
    Return the fields whose columns or tables an operation makes, changes or drops one by one.

    Args:
        state: the one before the operation.
    """
    model_state = state.models.get((app_label, model_named(operation)))
    return row_of(operation).fields(operation, model_state.fields if model_state else {}, backwards)


def indexes_handled(operation: Operation, options: Mapping[str, Any]) -> list[Any]:
    """
    Return what an operation finds by its columns, or makes of them, when it is reversed.

    Args:
        options: of its model, before the operation.
    """
    return row_of(operation).indexes(operation, options)


def uses_models(operation: Operation) -> bool:
    """Say whether reversing an operation may use any model, and nobody can tell which."""
    return row_of(operation).uses_models(operation)


def code_of(operation: Operation, *, backwards: bool) -> Any:
    """Return the function that an operation executes, or None."""
    return row_of(operation).code(operation, backwards)


def named_when_executed(operation: Operation, *, backwards: bool) -> set[str] | None:
    """
    Return the words, in lower case, in the code and the SQL that an operation executes.

    They may name tables, models and columns. None where nobody can look into it.
    """
    return row_of(operation).executes(operation, backwards)


def bind(name: str, field: Field[Any, Any]) -> Field[Any, Any]:
    """Return a field with the name of its column; to render a model for that takes a hundred times as long."""
    bound: Field[Any, Any] = field.clone()
    bound.set_attributes_from_name(name)
    return bound


def unrendered(state: Any) -> ProjectState:
    """Return a copy of a state that can be changed apart, and that takes no time to render."""
    models = {key: model_state.clone() for key, model_state in state.models.items()}
    return ProjectState(models=models, real_apps=state.real_apps)


def forwards(state: Any, app_label: str, operation: Operation) -> None:
    """Take an operation over into a state that nobody renders, and leave all other operations as they are."""
    if (effect_of(operation) or {}).get("effect") == "rename_field":
        copy_relations(state)
    operation.state_forwards(app_label, state)


def copy_relations(state: Any) -> None:
    """
    Give the models of a state relations of their own.

    RenameField changes the fields that point to the renamed one in place, and so in the operations that
    have made them.
    """
    for model_state in state.models.values():
        relations = {name: field for name, field in model_state.fields.items() if field.is_relation}
        model_state.fields.update({name: deepcopy(field) for name, field in relations.items()})


def has_fields(state: Any, app_label: str, model: str, names: Iterable[str]) -> bool:
    model_state = state.models.get((app_label, model.lower()))
    return all(model_state is not None and name in model_state.fields for name in names)


def targets(field: Field[Any, Any], app_label: str) -> Iterator[Key]:
    """Yield the models that a field points to, where the migration names them."""
    remote = getattr(field, "remote_field", None)
    for target in (getattr(remote, "model", None), getattr(remote, "through", None)):
        if isinstance(target, str) and target != RECURSIVE_RELATIONSHIP_CONSTANT:
            app, _, model = target.rpartition(".")
            yield app or app_label, model.lower()


def default_table(first: str, second: str) -> str:
    """
    Return the name that Django gives a table, on whatever database it is.

    Django cuts it to what the default database can take (`Options.contribute_to_class`
    and `ManyToManyField._get_m2m_db_table`).
    """
    return truncate_name(f"{first}_{second}", connection.ops.max_name_length())


def table_of(models: Mapping[Key, Any], key: Key) -> str:
    """Return the table of a model in a state; of one that is not there, the default."""
    options = models[key].options if key in models else {}
    return str(options.get("db_table") or default_table(*key))


def rebuilt_models(state: Any, app_label: str, operation: Operation, *, backwards: bool) -> set[Key]:
    """
    Return the models whose tables SQLite rebuilds for an operation.

    Args:
        state: the one before the operation.
    """
    row, effect = row_of(operation), effect_of(operation) or {}
    # Of a model that is renamed, the state may know the other name.
    names: tuple[Any, ...] = (
        model_named(operation),
        effect.get("to") if effect.get("effect") == "rename_model" else None,
    )
    models = {(app_label, name) for name in names if (app_label, name) in state.models}
    if not models or not row.rebuilds(
        operation, state.models.get((app_label, model_named(operation))), backwards
    ):
        return set()
    if row.rebuilds_related(fields_handled(operation, state, app_label, backwards=backwards)):
        models |= {
            key
            for key, model_state in state.models.items()
            if any(
                target in models for field in model_state.fields.values() for target in targets(field, key[0])
            )
        }
    return models


# Effects --------------------------------------------------------------------


def _opaque(operation: Any) -> Effect:
    return {"effect": "opaque"}


def _on(model: str, kind: str, **details: Any) -> Effect:
    return {"effect": kind, "model": model.lower(), **details}


def _alters_model(operation: Any) -> Effect:
    return _on(getattr(operation, "model_name", None) or operation.name, "alter_model")


def _sets_field(kind: str) -> Callable[[Any], Effect]:
    return lambda operation: _on(
        operation.model_name,
        kind,
        field=operation.name.lower(),
        refers=_refers(operation.field),
        **_column(operation.name, operation.field),
    )


def _creates_model(operation: Any) -> Effect:
    options = operation.options
    columns: dict[str, Any] = {}
    refers: list[list[str]] = []
    for name, field in operation.fields:
        columns[name.lower()] = _column(name, field)
        refers += _refers(field)
    for base in operation.bases or ():
        if isinstance(base, str) and "." in base:
            refers.append([part.lower() for part in base.split(".", 1)])
    return _on(
        operation.name,
        "create_model",
        table=options.get("db_table"),
        # Neither a proxy nor an unmanaged model has a table of the migration's making.
        without_table=bool(options.get("proxy")) or options.get("managed") is False,
        fields=columns,
        refers=refers,
        **({"ordered": True} if options.get("order_with_respect_to") else {}),
    )


def _column(name: str, field: Field[Any, Any]) -> dict[str, Any]:
    """Return the column of a field, or the table of a many-to-many one."""
    if field.many_to_many:
        through = getattr(field.remote_field, "through", None)
        own = through is None or getattr(getattr(through, "_meta", None), "auto_created", False)
        return {"column": None, "many_to_many": own, "table": getattr(field, "db_table", None), "name": name}
    # Not clone(), which makes the field anew: that takes as long as all the rest of a description.
    bound = copy(field)
    bound.name = name
    bound.set_attributes_from_name(name)
    return {"column": bound.column, "chosen": field.db_column is not None, "holds": holds(field)}


def _refers(field: Field[Any, Any]) -> list[list[str]]:
    """Return the models that a field points to, as [[app label, model], …]."""
    remote = getattr(field, "remote_field", None)
    found: list[list[str]] = []
    if remote is None:
        return found
    for target in (getattr(remote, "model", None), getattr(remote, "through", None)):
        if isinstance(target, str):
            app_label, _, model = target.rpartition(".")
            found.append([app_label.lower(), model.lower()])
        elif target is not None:
            found.append([target._meta.app_label, target._meta.model_name])
    return found


def _words_in(executed: Any) -> set[str] | None:
    """Return the words in a function, or in SQL; None for what is no function that can be looked into."""
    is_readable = isinstance(
        getattr(executed, "__func__", executed), (FunctionType, partial)
    ) or not callable(executed)
    return set(words_of(executed).all) if is_readable else None


# Other columns of the table -------------------------------------------------


def _never(*args: Any) -> bool:
    return False


def _always(operation: Any) -> bool:
    return True


def _its_field(operation: Any, before: Mapping[str, Field[Any, Any]], backwards: bool) -> Fields:
    fields = (getattr(operation, "field", None), before.get(operation.name))
    return [field for field in fields if field is not None]


def _rebuilds_to_add(operation: Any, before: Any, backwards: bool) -> bool:
    field = operation.field
    return _rebuilds_to_drop(field) if backwards else _rebuilds_to_make(field)


def _rebuilds_to_remove(operation: Any, before: Any, backwards: bool) -> bool:
    field = _field_of(before, operation.name)
    return field is None or (_rebuilds_to_make(field) if backwards else _rebuilds_to_drop(field))


def _rebuilds_to_rename(operation: Any, before: Any, backwards: bool) -> bool:
    field = _field_of(before, operation.old_name)
    # A column that is chosen keeps its name.
    return field is None or (not field.many_to_many and _has_key(field) and field.db_column is None)


def _rebuilds_to_alter(operation: Any, before: Any, backwards: bool) -> bool:
    """See `BaseDatabaseSchemaEditor._field_should_be_altered`."""
    field = _field_of(before, operation.name)
    if field is None or field.many_to_many:
        return field is None
    return bool(_of_column(field) != _of_column(operation.field))


def _of_column(field: Field[Any, Any]) -> Any:
    _, path, args, options = field.deconstruct()
    ignored = compat.attributes_without_column(field)
    return (
        path,
        args,
        {name: value for name, value in options.items() if name not in ignored},
        field.db_column,
    )


def _rebuilds_for_constraint(operation: Any, before: Any, backwards: bool) -> bool:
    constraint = getattr(operation, "constraint", None)
    if constraint is None:
        found = _by_name(operation, before.options if before else {})
        constraint = found[0] if found else None
    # A unique index that is no part of its table.
    parts = ("condition", "expressions", "include", "deferrable")
    is_unique = hasattr(constraint, "fields")
    return not (is_unique and any(getattr(constraint, part, None) for part in parts))


def _field_of(model_state: Any, name: str) -> Any:
    return model_state.fields.get(name) if model_state else None


def _rebuilds_to_make(field: Any) -> bool:
    is_plain = field.null and not field.has_default() and not field.unique
    in_place = is_plain and not compat.has_db_default(field) and compat.SQLITE_ADDS_NULLABLE_COLUMNS
    return not (field.many_to_many or in_place)


def _rebuilds_to_drop(field: Any) -> bool:
    in_place = not (field.unique or field.db_index or _has_key(field)) and compat.SQLITE_DROPS_COLUMNS
    return not (field.many_to_many or in_place)


def _has_key(field: Any) -> bool:
    return field.remote_field is not None and bool(getattr(field, "db_constraint", False))


def _by_name(operation: Any, options: Mapping[str, Any]) -> list[Any]:
    both = (*options.get("indexes", ()), *options.get("constraints", ()))
    return [index for index in both if index.name == operation.name]


def _fields_of_constraint(operation: Any) -> Iterable[str]:
    return getattr(operation.constraint, "fields", ())


# The table ------------------------------------------------------------------

_ALTERS = Row(_alters_model)
_ALTERS_IN_PLACE = Row(_alters_model, rebuilds=_never)
_TOGETHER = Row(
    _alters_model,
    needs=lambda operation: [name for names in operation.option_value or () for name in names],
    indexes=lambda operation, options: [operation.option_value, options.get(operation.option_name)],
    rebuilds=_never,
)
_ADDS_INDEX = Row(
    _alters_model,
    needs=lambda operation: [name.lstrip("-") for name in operation.index.fields],
    rebuilds=_never,
)
_REMOVES_INDEX = Row(_alters_model, indexes=_by_name, rebuilds=_never)
_ADDS_CONSTRAINT = Row(_alters_model, needs=_fields_of_constraint, rebuilds=_rebuilds_for_constraint)
# What belongs to the database as a whole.
_NO_MODEL = Row(lambda operation: None, rebuilds=_never)

_ROWS = {
    # django.db.migrations.operations.base and special
    "Operation": Row(_opaque, uses_models=_always, executes=lambda *args: None),
    "RunPython": Row(
        _opaque,
        rebuilds=_never,
        uses_models=lambda operation: operation.reverse_code != type(operation).noop,
        code=lambda operation, backwards: operation.reverse_code if backwards else operation.code,
        executes=lambda operation, backwards: _words_in(
            operation.reverse_code if backwards else operation.code
        ),
    ),
    "RunSQL": Row(
        _opaque,
        rebuilds=_never,
        executes=lambda operation, backwards: _words_in(
            operation.reverse_sql if backwards else operation.sql
        ),
        halves=lambda operation: (None, getattr(operation, "state_operations", [])),
    ),
    "SeparateDatabaseAndState": Row(
        lambda operation: None,
        rebuilds=_never,
        halves=lambda operation: (operation.database_operations, operation.state_operations),
    ),
    # django.db.migrations.operations.fields
    "FieldOperation": _ALTERS,
    "AddField": Row(_sets_field("add_field"), fields=_its_field, rebuilds=_rebuilds_to_add),
    "AlterField": Row(
        _sets_field("alter_field"),
        needs=lambda operation: [operation.name],
        fields=_its_field,
        rebuilds=_rebuilds_to_alter,
        rebuilds_related=lambda fields: any(field.unique for field in fields),
    ),
    "RemoveField": Row(
        lambda operation: _on(operation.model_name, "remove_field", field=operation.name.lower()),
        fields=_its_field,
        rebuilds=_rebuilds_to_remove,
    ),
    "RenameField": Row(
        lambda operation: _on(
            operation.model_name,
            "rename_field",
            field=operation.old_name.lower(),
            to=operation.new_name.lower(),
            name=operation.new_name,
        ),
        fields=_its_field,
        rebuilds=_rebuilds_to_rename,
    ),
    # django.db.migrations.operations.models
    "ModelOperation": _ALTERS,
    "ModelOptionOperation": _ALTERS,
    "CreateModel": Row(
        _creates_model,
        # A table is dropped with its columns; many-to-many ones have tables of their own.
        fields=lambda operation, before, backwards: [
            field for _, field in operation.fields if field.many_to_many or not backwards
        ],
        rebuilds=_never,
    ),
    "DeleteModel": Row(
        lambda operation: _on(operation.name, "delete_model"),
        fields=lambda operation, before, backwards: [
            field for field in before.values() if field.many_to_many or backwards
        ],
        rebuilds=_never,
    ),
    "RenameModel": Row(
        lambda operation: _on(operation.old_name, "rename_model", to=operation.new_name.lower()),
        rebuilds_related=lambda fields: True,
    ),
    "AlterModelTable": Row(
        lambda operation: _on(operation.name, "alter_table", table=operation.table), rebuilds=_never
    ),
    "AlterModelTableComment": _ALTERS_IN_PLACE,
    "AlterModelOptions": _ALTERS_IN_PLACE,
    "AlterModelManagers": _ALTERS_IN_PLACE,
    "AlterTogetherOptionOperation": _TOGETHER,
    "AlterUniqueTogether": _TOGETHER,
    "AlterIndexTogether": _TOGETHER,
    "AlterOrderWithRespectTo": Row(
        lambda operation: _on(operation.name, "alter_order", by=operation.order_with_respect_to or None),
        needs=lambda operation: filter(None, [operation.order_with_respect_to]),
    ),
    "IndexOperation": _ALTERS,
    "AddIndex": _ADDS_INDEX,
    "RemoveIndex": _REMOVES_INDEX,
    "RenameIndex": Row(
        _alters_model,
        needs=lambda operation: operation.old_fields or (),
        # Reversing it leaves an index that had no name of its own as it is.
        rebuilds=_never,
    ),
    "AddConstraint": _ADDS_CONSTRAINT,
    "AlterConstraint": Row(_alters_model, needs=_fields_of_constraint, rebuilds=_never),
    "RemoveConstraint": Row(_alters_model, indexes=_by_name, rebuilds=_rebuilds_for_constraint),
    # django.contrib.postgres.operations, which needs PostgreSQL's driver
    "AddIndexConcurrently": _ADDS_INDEX,
    "RemoveIndexConcurrently": _REMOVES_INDEX,
    "AddConstraintNotValid": _ADDS_CONSTRAINT,
    "ValidateConstraint": _ALTERS_IN_PLACE,
    **dict.fromkeys(
        [
            "CreateExtension",
            "BloomExtension",
            "BtreeGinExtension",
            "BtreeGistExtension",
            "CITextExtension",
            "CryptoExtension",
            "HStoreExtension",
            "TrigramExtension",
            "UnaccentExtension",
            "CollationOperation",
            "CreateCollation",
            "RemoveCollation",
        ],
        _NO_MODEL,
    ),
}
