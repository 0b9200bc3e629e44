"""
Build the states of a run before it begins, and look for what the database will ask for.

Django's state is content with more than the database is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from ..exceptions import StateNotBuilt
from ..schema.demands import fields_handled, fields_named, has_fields, models_made, rebuilt_table, targets
from ..schema.effects import conflict, effects_of, flatten, operations_in
from ..utils.types import Key, key_of

__all__ = ["rehearse"]


def rehearse(
    state: Any,
    kept: Iterable[Migration],
    steps: Iterable[Migration],
    suspects: Iterable[Key],
    *,
    backwards: bool,
    rebuilds: bool,
    renders: bool,
) -> Any:
    """
    Build the states of a run, as the executor will, and render the one before the first step.

    Args:
        state: where it begins; it is changed.
        kept: what is applied and stays, in order.
        steps: what is undone or applied, in the order of application.
        suspects: migrations from stored code, for the message.
        backwards: the steps are undone.
        rebuilds: the database makes a table anew to change it.
        renders: the states before the other steps are rendered too, which takes as long as
            with Django. It does so itself, backwards for all of them before the first step.

    Returns:
        the state before the first step.

    Raises:
        StateNotBuilt: with the step and the migration at which it failed.
    """
    steps = list(steps)
    done: list[Migration] = []
    step: Migration | None = steps[0] if steps else None
    try:
        for migration in kept:
            culprit = migration
            state = migration.mutate_state(state, preserve=False)
            done.append(migration)
        before = state.clone()
        rendered = state if renders else before.clone()
        rendered.apps  # noqa: B018 (rendered here; then the operations keep it up to date)
        for migration in steps:
            step = culprit = migration
            _look_for_fields(migration, state)
            _look_for_models(migration, state, backwards=backwards, rebuilds=rebuilds)
            state = migration.mutate_state(state, preserve=False)
            done.append(migration)
    except Exception as error:
        others = [key_of(one) for one in done if _contradicts(one, culprit)]
        raise StateNotBuilt(key_of(step or culprit), key_of(culprit), error, others or suspects) from error
    return before


def _look_for_fields(migration: Migration, state: Any) -> None:
    """
    Look for the fields that the operations of a step name, as they will in the database.

    Django's state takes a new definition of a field that is not there.

    Args:
        state: the one before the step; it stays as it is.

    Raises:
        FieldDoesNotExist: in the words of Django.
    """
    app_label = migration.app_label
    named = (fields_named(operation) for operation in operations_in(migration, database=True))
    if all(has_fields(state, app_label, model, names) for model, names in named):
        return
    state = _unrendered(state)
    for operation in migration.operations:
        inner = list(flatten([operation], database=True))
        within = state if inner == [operation] else _unrendered(state)
        for one in inner:
            _find_fields(one, app_label, within)
            if one is not operation:
                one.state_forwards(app_label, within)
        operation.state_forwards(app_label, state)


def _unrendered(state: Any) -> ProjectState:
    models = {key: model_state.clone() for key, model_state in state.models.items()}
    return ProjectState(models=models, real_apps=state.real_apps)


def _find_fields(operation: Operation, app_label: str, state: ProjectState) -> None:
    """Ask the model itself: it may inherit a field, or have its primary key from Django."""
    model, names = fields_named(operation)
    if has_fields(state, app_label, model, names):
        return
    try:
        found = state.apps.get_model(app_label, model)
    except (LookupError, ValueError):
        # That there is no such model, or no such state, is said in building the states.
        return
    for name in names:
        found._meta.get_field(name)


def _look_for_models(migration: Migration, state: Any, *, backwards: bool, rebuilds: bool) -> None:
    """
    Look for the models that fields point to, as far as the database will ask for them.

    Django looks for them only when it renders a state as a whole.

    Raises:
        ValueError: in the words of Django.
    """
    app_label = migration.app_label
    known = {*state.models, *models_made(migration)}
    for operation in operations_in(migration, database=True):
        fields = fields_handled(operation, state, app_label, backwards=backwards)
        if rebuilds and rebuilt_table(state, app_label, operation, backwards=backwards):
            name = getattr(operation, "model_name", None) or getattr(operation, "name", "")
            model_state = state.models.get((app_label, str(name).lower()))
            fields += model_state.fields.values() if model_state else []
        for one in fields:
            for target in targets(one, app_label):
                if target not in known and target[0] not in state.real_apps:
                    raise ValueError(f"Related model '{'.'.join(target)}' cannot be resolved")


def _contradicts(earlier: Migration, later: Migration) -> bool:
    """Say whether a migration took away or renamed what a later one works on."""
    of_earlier = (earlier.app_label, effects_of(earlier))
    return conflict(of_earlier, (later.app_label, effects_of(later))) is not None
