"""
Simulate a run on project states before it begins.

What stays applied comes first in them, in the order in which it was applied; then what
is unapplied, in applied order too (and exactly in reverse when it runs), or what is
applied, in the order of Django's graph. Django's state is content with more than the
database is: what the database will ask for is looked for here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from ..exceptions import NameReused, StateNotBuilt
from ..schema.effects import conflict, effects_of, flatten, models_made, operations_in
from ..schema.graph import closure, in_applied_order
from ..schema.namesakes import Namesakes, namesakes
from ..schema.operations import (
    fields_handled,
    fields_named,
    has_fields,
    model_named,
    rebuilt_table,
    targets,
)
from ..utils.types import Applied, Key, key_of
from .moves import with_both_names
from .preflight import target_before


def in_order_of_states(
    keys: Iterable[Key], parents: Mapping[Key, Iterable[Key]], ids: Applied, undone: Collection[Key]
) -> list[Key]:
    """Sort the keys of a full plan of Django's: what stays applied, what is unapplied, and the rest as it is."""
    keys = list(keys)
    stays = [key for key in keys if key in ids and key not in undone]
    order = in_applied_order(stays, parents, ids) + in_applied_order(undone, parents, ids)
    return order + [key for key in keys if key not in ids]


@dataclass(frozen=True)
class Simulation:
    """Build the states of a run, in an order in which each is the one that the database will be in."""

    # Returns a state without any migration.
    empty: Callable[[], Any]
    # What each migration depends on, and the records of what is applied.
    parents: Mapping[Key, Iterable[Key]]
    ids: Applied
    # Whether the database makes a table anew to change it.
    rebuilds: bool
    # Migrations from stored code, for the message.
    suspects: Collection[Key] = ()

    def backwards(self, kept: list[Migration], undone: list[Migration]) -> tuple[list[Migration], Any]:
        """
        Find an order for what is applied, with the state before the first of what is unapplied in it.

        What stays comes first, where that holds; else what took a model from its app may
        come later.

        Args:
            kept: what is applied and stays, in the order in which it was applied.
            undone: what is unapplied, in that order.

        Raises:
            StateNotBuilt: there is no such order; it says of the first one why.
            NameReused: a step would be undone on another table or column than it was applied to.
        """
        others: Namesakes = {}
        try:
            before = self.run(kept, undone)
            others = self._namesakes([*kept, *undone], undone)
            if others:
                raise self._name_reused(others, kept, undone)
            return [*kept, *undone], before
        except (StateNotBuilt, NameReused):
            found = self._with_both_names(kept, undone, others)
            if found is None:
                raise
            return found

    def _with_both_names(
        self, kept: list[Migration], undone: list[Migration], others: Namesakes
    ) -> tuple[list[Migration], Any] | None:
        models = {step: [name for name in names if len(name) == 2] for step, names in others.items()}
        order = with_both_names(self.empty, kept, undone, models)
        if order is None or self._namesakes(order, undone):
            return None
        with suppress(StateNotBuilt):
            # What is there when everything is undone has to hold as well.
            self.run(kept, [])
            first = order.index(undone[0])
            return order, self.run(order[:first], order[first:])
        return None

    def _namesakes(self, order: list[Migration], undone: list[Migration]) -> Namesakes:
        migrations = {key_of(migration): migration for migration in order}
        as_applied = in_applied_order(migrations, self.parents, self.ids)
        return namesakes(
            self.empty,
            [migrations[key] for key in as_applied],
            order,
            undone,
            lambda key: closure([key], self.parents),
        )

    @staticmethod
    def _name_reused(others: Namesakes, kept: list[Migration], undone: list[Migration]) -> NameReused:
        """Name the step that comes first, which is the last one that was applied."""
        key = next(step for step in map(key_of, reversed(undone)) if step in others)
        name, other = min(others[key].items())
        taken_by = next(one for one in (*kept, *undone) if key_of(one) == other.taken_by)
        return NameReused(key, name, other.given_by, other.taken_by, *target_before(taken_by))

    def run(
        self,
        kept: Iterable[Migration],
        steps: Iterable[Migration],
        *,
        backwards: bool = True,
        renders: bool = False,
    ) -> Any:
        """
        Build the states of a run, as the executor will, and render the one before the first step.

        Args:
            kept: what is applied and stays, in order.
            steps: what is undone or applied, in the order of application.
            backwards: the steps are undone.
            renders: the states before the other steps are rendered too, which takes as long as
                with Django. It does so itself, backwards for all of them before the first step.

        Returns:
            the state before the first step.

        Raises:
            StateNotBuilt: with the step and the migration at which it failed.
        """
        state = self.empty()
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
                _look_for_models(migration, state, backwards=backwards, rebuilds=self.rebuilds)
                state = migration.mutate_state(state, preserve=False)
                done.append(migration)
        except Exception as error:
            others = [key_of(one) for one in done if _contradicts(one, culprit)]
            suspects = others or self.suspects
            raise StateNotBuilt(key_of(step or culprit), key_of(culprit), error, suspects) from error
        return before

    def renders(self, applied: Iterable[Migration]) -> bool:
        """Say whether the state of all that is applied can be rendered at once."""
        state = self.empty()
        try:
            for migration in applied:
                state = migration.mutate_state(state, preserve=False)
            state.apps  # noqa: B018 (rendered here)
        except Exception:  # noqa: BLE001 (whatever an operation raises)
            return False
        return True


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
            model_state = state.models.get((app_label, model_named(operation)))
            fields += model_state.fields.values() if model_state else []
        for one in fields:
            for target in targets(one, app_label):
                if target not in known and target[0] not in state.real_apps:
                    raise ValueError(f"Related model '{'.'.join(target)}' cannot be resolved")


def _contradicts(earlier: Migration, later: Migration) -> bool:
    """Say whether a migration took away or renamed what a later one works on."""
    of_earlier = (earlier.app_label, effects_of(earlier))
    return conflict(of_earlier, (later.app_label, effects_of(later))) is not None
