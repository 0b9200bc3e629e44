"""Which tables SQLite makes anew in a run, and what code is executed before it does so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.migrations import Migration

from ..utils.types import Effect, Key, key_of
from .effects import effects_in, flatten
from .lineage import name_of, renamed
from .operations import ORDER, bind, forwards, named_when_executed, rebuilt_models, table_of, unrendered


class Rebuilt(NamedTuple):
    """A table that is made anew, with the columns that its model has."""

    step: Key
    # As the state calls it in which the database is before the run.
    model: Key
    # The words in the code that is executed before; None for any.
    words: set[str] | None


class _Change:
    """An operation of a run, with the models whose tables it makes anew."""

    def __init__(self, migration: Migration, models: set[Key], words: set[str] | None) -> None:
        self.step = key_of(migration)
        self.models = models
        self.words = words


def rebuilt_tables(state: Any, steps: Iterable[Migration], *, backwards: bool) -> list[Rebuilt]:
    """
    Return the tables that are made anew, in the order of the run.

    Args:
        state: the one before the first step in the order of application; afterwards it is the one behind the last.
        steps: in the order of application.
        backwards: whether they are unapplied, so that the database is in the state behind the last.
    """
    changes: list[_Change] = []
    # What a model was called before the first step; nothing of one that a step makes.
    former = {key: key for key in state.models}
    for migration in steps:
        for operation in migration.operations:
            inner = list(flatten([operation], database=True))
            is_plain = inner == [operation]
            within = state if is_plain else unrendered(state)
            for one in inner:
                models = rebuilt_models(within, migration.app_label, one, backwards=backwards)
                if not backwards:
                    models = {former[key] for key in models if key in former}
                changes.append(_Change(migration, models, named_when_executed(one, backwards=backwards)))
                if not is_plain:
                    forwards(within, migration.app_label, one)
            forwards(state, migration.app_label, operation)
            for effect in effects_in([operation]):
                _rename(changes, former, migration.app_label, effect, backwards=backwards)
    if backwards:
        changes.reverse()
    found = []
    words: set[str] | None = set()
    for change in changes:
        found += [Rebuilt(change.step, model, words) for model in sorted(change.models)]
        words = None if words is None or change.words is None else words | change.words
    return found


def _rename(
    changes: Iterable[_Change], former: dict[Key, Key], app_label: str, effect: Effect, *, backwards: bool
) -> None:
    if not effect["state"] or effect["effect"] not in ("create_model", "delete_model", "rename_model"):
        return
    model: Any = name_of(app_label, effect)
    after: Any = renamed(model, app_label, effect)
    is_renamed = effect["effect"] == "rename_model"
    before = former.pop(model, None)
    if is_renamed and before:
        former[after] = before
    for change in changes if backwards else ():
        if model in change.models:
            change.models.discard(model)
            change.models.update({after} if is_renamed else ())


def own_table(state: Any, model: Key) -> str:
    """Return the table of a model; empty where the migrations of it change none."""
    options = state.models[model].options if model in state.models else {"proxy": True}
    has_table = options.get("managed", True) and not options.get("proxy")
    return table_of(state.models, model) if has_table else ""


def columns_of(state: Any, model: Key) -> set[str]:
    """Return the columns of a model, in lower case; the model is not rendered."""
    model_state = state.models[model]
    bound = [bind(name, field) for name, field in model_state.fields.items()]
    columns = {field.column for field in bound if field.column and not field.many_to_many}
    if not any(field.primary_key for field in bound):
        # Django makes a key of its own, or one that points to the model that it is based on.
        bases = [base.rpartition(".")[2] for base in model_state.bases if isinstance(base, str)]
        columns.update(["id", *(f"{base}_ptr_id" for base in bases)])
    if model_state.options.get("order_with_respect_to"):
        columns.add(ORDER)
    return {column.lower() for column in columns}
