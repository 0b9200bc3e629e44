"""
Simulate a run on project states before it begins.

What stays applied comes first in them, in the order in which it was applied; then what
is unapplied, in applied order too (and exactly in reverse when it runs), or what is
applied, in the order of Django's graph. Django's state is content with more than the
database is: what the database will ask for is looked for here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState
from django.db.models import IntegerField

from ..exceptions import NameReused, StateNotBuilt
from ..schema.effects import effects_in, effects_of, flatten, models_made, operations_in
from ..schema.graph import closure, in_applied_order
from ..schema.lineage import Lineage, Name, Reused, conflict, gives_name_again, name_of, reused
from ..schema.operations import (
    copy_relations,
    fields_handled,
    fields_named,
    has_fields,
    indexes_handled,
    model_named,
    rebuilt_models,
    table_of,
    targets,
    unrendered,
    uses_models,
)
from ..sources.missing_apps import app_to_install, how_to_install
from ..sources.recovered import modules_imported
from ..utils import compat
from ..utils.types import Applied, Key, key_of, label
from .preflight import target_before


def in_order_of_states(
    keys: Iterable[Key], parents: Mapping[Key, Iterable[Key]], ids: Applied, unapplied: Collection[Key]
) -> list[Key]:
    """Sort the keys of a full plan of Django's: what stays applied, what is unapplied, and the rest as it is."""
    keys = list(keys)
    stays = [key for key in keys if key in ids and key not in unapplied]
    order = in_applied_order(stays, parents, ids) + in_applied_order(unapplied, parents, ids)
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

    def backwards(self, kept: list[Migration], unapplied: list[Migration]) -> tuple[list[Migration], Any]:
        """
        Return an order for what is applied, and the state before the first of what is unapplied in it.

        What stays comes first, where that holds; else what took a model from its app, or what has
        models that exclude those of a step, may come later. Where no order holds, the error says of
        the first one why.
        """
        others: dict[Key, dict[Name, Reused]] = {}
        try:
            before = self.run(kept, unapplied)
            others = self.names_reused([*kept, *unapplied], unapplied)
            if not others:
                return [*kept, *unapplied], before
            # The step that comes first is the last one that was applied.
            key = next(step for step in map(key_of, reversed(unapplied)) if step in others)
            name, other = min(others[key].items())
            taken_by = next(one for one in (*kept, *unapplied) if key_of(one) == other.taken_by)
            raise NameReused(key, name, other.given_by, other.taken_by, *target_before(taken_by))
        except (StateNotBuilt, NameReused) as error:
            models = {step: {name for name in names if len(name) == 2} for step, names in others.items()}
            order = with_movers_later(self.empty, kept, unapplied, models)
            if order is None and isinstance(error, StateNotBuilt) and error.is_built:
                order = self._with_excluding_later(kept, unapplied)
            if order is not None and not self.names_reused(order, unapplied):
                with suppress(StateNotBuilt):
                    # What is there when everything is unapplied has to hold as well.
                    self.run(kept, [])
                    first, last = order.index(unapplied[0]), order.index(unapplied[-1])
                    return order, self.run(order[:first], order[first : last + 1])
            raise

    def _with_excluding_later(
        self, kept: list[Migration], unapplied: list[Migration]
    ) -> list[Migration] | None:
        """
        Put what stays, and excludes the models of a step, behind the steps.

        No state has both. The steps are unapplied as if it were not there, which does no harm as
        long as they work on other tables.
        """
        needed = closure(map(key_of, unapplied), self.parents)
        later: set[Key] = set()
        while True:
            known = [migration for migration in kept if key_of(migration) not in later]
            free = [migration for migration in known if key_of(migration) not in needed]
            if self._holds(known, unapplied):
                break
            # The first one with which it does not hold any more.
            low, high = 0, len(free)
            while low < high:
                middle = (low + high) // 2
                without = {*map(key_of, free[middle + 1 :])}
                holds = self._holds(
                    [migration for migration in known if key_of(migration) not in without], unapplied
                )
                low, high = (middle + 1, high) if holds else (low, middle)
            if not free or low == len(free):
                return None
            first = key_of(free[low])
            if not self._holds(
                [one for one in known if key_of(one) not in {*map(key_of, free[low:])}], unapplied
            ):
                return None
            later |= {key for key in map(key_of, kept) if first in closure([key], self.parents)}
        behind = [migration for migration in kept if key_of(migration) in later]
        if not later or later & needed or self._shares_a_table(known, unapplied, behind):
            return None
        return [*known, *unapplied, *behind]

    def _holds(self, kept: list[Migration], unapplied: list[Migration]) -> bool:
        try:
            self.run(kept, unapplied)
        except StateNotBuilt:
            return False
        return True

    def _shares_a_table(
        self, kept: list[Migration], unapplied: list[Migration], later: list[Migration]
    ) -> bool:
        """Say whether the steps work on a table that something else has changed of which their states do not know."""
        changed = models_changed(later)
        state = self.empty()
        for migration in kept:
            state = mutated(migration, state)
        worked_on = models_changed(unapplied)
        for migration in unapplied:
            for operation in operations_in(migration, database=True) if self.rebuilds else ():
                worked_on |= rebuilt_models(state, migration.app_label, operation, backwards=True)
            state = mutated(migration, state)
        return bool(changed & worked_on)

    def names_reused(
        self, order: list[Migration], unapplied: list[Migration]
    ) -> dict[Key, dict[Name, Reused]]:
        """Return by step the names that it uses and that stand for something else than when it was applied."""
        keys = [key_of(migration) for migration in order]
        as_applied = in_applied_order(keys, self.parents, self.ids)
        if as_applied == keys:
            return {}
        migrations = {key_of(migration): migration for migration in order}
        since = as_applied[min(as_applied.index(key_of(step)) for step in unapplied) :]
        if not gives_name_again({key: effects_of(migrations[key]) for key in since}):
            return {}
        effects = {key: effects_of(migration) for key, migration in migrations.items()}
        then, now = Lineage({key: effects[key] for key in as_applied}), Lineage(effects)
        others = reused(then, now, map(key_of, unapplied))
        if not others:
            return {}
        state = self.empty()
        for migration in order:
            key = key_of(migration)
            if key in others:
                used = names_used(migration, state)
                # Nobody can look into what is given models: it may use all that it depends on.
                is_opaque = any(map(uses_models, operations_in(migration, database=True)))
                known = closure([key], self.parents) if is_opaque else ()
                others[key] = {
                    name: other
                    for name, other in others[key].items()
                    if name in used or other.known_since in known
                }
            state = mutated(migration, state)
        return {key: names for key, names in others.items() if names}

    def run(
        self,
        kept: Iterable[Migration],
        steps: Iterable[Migration],
        *,
        backwards: bool = True,
        renders: bool = False,
    ) -> Any:
        """
        Build the states of a run, as the executor will, and return the one before the first step, which renders.

        With `renders` those before the other steps are rendered too, which takes as long as
        with Django. It does so itself, backwards for all of them before the first step.
        """
        state = self.empty()
        steps = list(steps)
        done: list[Migration] = []
        step: Migration | None = steps[0] if steps else None
        is_built = False
        try:
            for migration in kept:
                culprit = migration
                state = mutated(migration, state)
                done.append(migration)
            before = state.clone()
            rendered = state if renders else before.clone()
            rendered.apps  # noqa: B018 (rendered here; then the operations keep it up to date)
            for migration in steps:
                step = culprit = migration
                look_for_fields(migration, state)
                look_for_models(migration, state, backwards=backwards, rebuilds=self.rebuilds)
                state = mutated(migration, state)
                done.append(migration)
            is_built = True
            look_for_bases(state)
        except Exception as error:
            used = (culprit.app_label, effects_of(culprit))
            others = [
                key_of(one)
                for one in done
                if one is not culprit and conflict((one.app_label, effects_of(one)), used)
            ]
            suspects = others or self.suspects
            way_out = self._way_out(culprit, error, [one for one in done if key_of(one) in suspects], steps)
            not_built = StateNotBuilt(key_of(step or culprit), key_of(culprit), error, suspects, way_out)
            not_built.is_built = is_built
            raise not_built from error
        return before

    def after(self, steps: Iterable[Migration]) -> Any:
        """
        Return the state, not rendered, that migrations leave behind that are applied one after the other.

        Its indexes and constraints name the fields as they are called in the end.
        """
        state = self.empty()
        migration = None
        try:
            for migration in steps:
                look_for_fields(migration, state)
                look_for_models(migration, state, backwards=False, rebuilds=self.rebuilds)
                rename_in_indexes(migration, state)
                state = mutated(migration, state)
        except Exception as error:
            assert migration is not None
            raise StateNotBuilt(key_of(migration), key_of(migration), error, self.suspects) from error
        return state

    def _way_out(
        self, culprit: Migration, error: Exception, suspects: list[Migration], steps: list[Migration]
    ) -> str:
        """Return what helps where a state cannot be built; nothing where nobody knows."""
        app = app_to_install(error, modules_imported(culprit))
        if app:
            return how_to_install(app)
        applied_later = [one for one in suspects if key_of(one) in self.ids and one not in steps]
        if not applied_later or culprit in applied_later:
            return ""
        last = max(applied_later, key=lambda migration: self.ids[key_of(migration)])
        return "".join(
            f"Roll back {label(key_of(last))} first: 'manage.py rewind {last.app_label} {target}' shows "
            "what goes with it, and asks."
            for target in target_before(last)
        )

    def renders(self, applied: Iterable[Migration]) -> bool:
        """Say whether the state of all that is applied can be rendered at once."""
        state = self.empty()
        try:
            for migration in applied:
                state = mutated(migration, state)
            state.apps  # noqa: B018 (rendered here)
        except Exception:  # noqa: BLE001 (whatever an operation raises)
            return False
        return True


class WithOriginals(Migration):
    """A squashed migration, in whose state the models of its originals are there under their own names as well."""

    def __init__(self, squash: Migration, originals: list[Migration]) -> None:
        super().__init__(squash.name, squash.app_label)
        self._squash, self._originals = squash, originals
        # Class attributes to Django.
        setattr(self, "operations", squash.operations)  # noqa: B010
        setattr(self, "dependencies", squash.dependencies)  # noqa: B010

    def mutate_state(self, project_state: Any, preserve: bool = True) -> Any:
        state = self.with_old_names(project_state.clone() if preserve else project_state)
        # What the squash says of the same models is the last word.
        return self._squash.mutate_state(state, preserve=False)

    def with_old_names(self, state: Any) -> Any:
        """Return a state, which is changed, with the models of the originals alone."""
        for migration in self._originals:
            state = migration.mutate_state(state, preserve=False)
        return state


# What operations find and leave ---------------------------------------------


def names_used(step: Migration, state: Any) -> set[Name]:
    """
    Return the models and fields that a step changes, looks for or points to when it is unapplied.

    What it has made is dropped under its own name, and is none of them.
    """
    app_label = step.app_label
    used: set[Name] = set()
    for operation in operations_in(step, database=True):
        effects = [effect for effect in effects_in([operation]) if effect["effect"] != "opaque"]
        used.update((app_label, effect["model"]) for effect in effects)
        if any(effect["effect"] in ("add_field", "create_model") for effect in effects):
            continue
        used.update(name_of(app_label, effect) for effect in effects)
        for field in fields_handled(operation, state, app_label, backwards=True):
            to_field = getattr(field.remote_field, "field_name", None)
            for target in targets(field, app_label):
                used |= {target, (*target, to_field.lower())} if to_field else {target}
        model = (app_label, model_named(operation))
        model_state = state.models.get(model)
        indexes = indexes_handled(operation, model_state.options if model_state else {})
        # In words, for conditions and expressions name fields as well.
        used.update((*model, word) for word in re.split(r"\W+|__", repr(indexes).lower()))
    return used


def look_for_fields(migration: Migration, state: Any) -> None:
    """Look for the fields that operations name: Django's state takes a new definition of one that is not there."""
    app_label = migration.app_label
    named = (fields_named(operation) for operation in operations_in(migration, database=True))
    if all(has_fields(state, app_label, model, names) for model, names in named):
        return
    state = unrendered(state)
    for operation in migration.operations:
        inner = list(flatten([operation], database=True))
        within = state if inner == [operation] else unrendered(state)
        for one in inner:
            model, names = fields_named(one)
            # That there is no such model, or no such state, is said in building the states.
            with suppress(LookupError, ValueError):
                # The model itself is asked: it may inherit a field, or have its primary key from Django.
                if not has_fields(within, app_label, model, names):
                    meta = within.apps.get_model(app_label, model)._meta
                    for name in names:
                        meta.get_field(name)
            if one is not operation:
                one.state_forwards(app_label, within)
        operation.state_forwards(app_label, state)


def mutated(migration: Migration, state: Any) -> Any:
    """Return the state behind a migration, which itself stays as it was."""
    if any(effect["effect"] == "rename_field" for effect in effects_of(migration)):
        copy_relations(state)
    return migration.mutate_state(state, preserve=False)


def rename_in_indexes(migration: Migration, state: Any) -> None:
    """
    Have indexes and constraints of a state name fields as a migration renames them.

    Those of the database follow the column. Django's state leaves their fields as they were, so that
    another field of that name would count as theirs.
    """
    now = {key: key for key in state.models}
    for effect in effects_of(migration):
        if not effect["state"] or effect["effect"] not in ("rename_model", "rename_field"):
            continue
        key = (migration.app_label, effect["model"])
        if effect["effect"] == "rename_model":
            now[migration.app_label, effect["to"]] = now.pop(key, key)
        elif model := state.models.get(now.get(key)):
            for name in ("indexes", "constraints"):
                known = model.options.get(name)
                if known:
                    model.options[name] = [_with_field(one, effect["field"], effect["name"]) for one in known]


def _with_field(index: Any, old: str, new: str) -> Any:
    """Return an index or a constraint, of which a name in descending order has a minus, with the new name of a field."""
    fields = getattr(index, "fields", ())
    if old in (field.lstrip("-").lower() for field in fields):
        index = index.clone()
        kind: Any = type(fields)
        index.fields = kind(
            field.replace(field.lstrip("-"), new) if field.lstrip("-").lower() == old else field
            for field in fields
        )
    return index


def look_for_models(migration: Migration, state: Any, *, backwards: bool, rebuilds: bool) -> None:
    """
    Look for the models that fields point to, as far as the database will ask for them.

    Django looks for them only when it renders a state as a whole, and says so in these words.
    """
    app_label = migration.app_label
    known = {*state.models, *models_made(migration)}
    for operation in operations_in(migration, database=True):
        fields = [(app_label, fields_handled(operation, state, app_label, backwards=backwards))]
        if rebuilds:
            rebuilt = rebuilt_models(state, app_label, operation, backwards=backwards)
            fields += [(model[0], state.models[model].fields.values()) for model in sorted(rebuilt)]
        for target in (
            target for app, of_app in fields for field in of_app for target in targets(field, app)
        ):
            if target not in known and target[0] not in state.real_apps:
                raise ValueError(f"Related model '{'.'.join(target)}' cannot be resolved")


def look_for_bases(state: Any) -> None:
    """
    Look whether models can be made of what they inherit, as Django does when it renders a state.

    Models that inherit from none of their kind, and relations, need not be rendered for that.
    """
    inherit = {
        key: [base.lower() for base in model.bases if isinstance(base, str)]
        for key, model in state.models.items()
    }
    parents = {key: [tuple(base.split(".", 1)) for base in bases] for key, bases in inherit.items()}
    wanted = closure((key for key, bases in parents.items() if bases), parents)
    models = {}
    for key in wanted & state.models.keys():
        model = state.models[key].clone()
        model.options = {name: value for name, value in model.options.items() if name in ("proxy", "managed")}
        model.managers = []
        model.fields = {
            name: field if _is_plain(field) else IntegerField() for name, field in model.fields.items()
        }
        models[key] = model
    ProjectState(models=models, real_apps=state.real_apps).apps  # noqa: B018 (rendered here)


def _is_plain(field: Any) -> bool:
    return not field.is_relation or getattr(field.remote_field, "parent_link", False)


def models_changed(migrations: Iterable[Migration]) -> set[Key]:
    """Return the models whose tables migrations work on, as far as anybody can tell."""
    return {
        (migration.app_label, effect[part])
        for migration in migrations
        for effect in effects_of(migration)
        for part in ("model", "to")
        if part in effect and (part == "model" or effect["effect"] == "rename_model")
    }


def models_needed(migration: Migration) -> set[Key]:
    """Return the models that a migration changes, and those that it points to, as far as anybody can tell."""
    return models_changed([migration]) | {
        (app or migration.app_label, model)
        for effect in effects_of(migration)
        for app, model in effect.get("refers", ())
    }


# Models that were moved to another app ---------------------------------------

Models = Mapping[Key, Any]

# Arguments of a field that say nothing of its column.
_NOT_OF_THE_COLUMN = {"auto_created", "choices", "default", "serialize", "through", "to"}


def with_movers_later(
    empty: Callable[[], Any],
    kept: list[Migration],
    unapplied: list[Migration],
    others: Mapping[Key, Collection[Key]] = {},
) -> list[Migration] | None:
    """
    Put what took a model from its app, in the state alone, behind the last step that points to it there.

    For as long as a step does, the states have to know the table under both its names, as
    they did when that was applied. Where what stays has given the old name to a new model
    by now (`others`, by step), that model comes later, too. There may be no order in which
    the states are true.
    """
    try:
        behind = _movers(empty(), kept, unapplied, others)
        if not behind:
            return None
        order = [migration for migration in kept if key_of(migration) not in behind]
        for step in unapplied:
            order += [step, *(mover for mover in kept if behind.get(key_of(mover)) == key_of(step))]
        again = {model for models in others.values() for model in models}
        true = _states(empty(), [*kept, *unapplied], unapplied)
        built = _states(empty(), order, unapplied)
        (rest,) = _states(empty(), [migration for migration in order if migration not in unapplied], [])
        is_same = rest == true[0] and built[-1] == true[-1] and not again & _pointed_to(rest)
        is_true = is_same and all(_is_true(*states, again) for states in zip(unapplied, built, true))
        return order if is_true else None
    except Exception:  # noqa: BLE001 (whatever an operation, or a field of somebody's own, raises)
        return None


def _movers(
    state: Any, kept: list[Migration], unapplied: list[Migration], others: Mapping[Key, Collection[Key]]
) -> dict[Key, Key]:
    """Return what took away a model, and what has been done to its name since, with the last step that knows it."""
    taken: dict[Key, int] = {}
    for place, migration in enumerate(kept):
        before = set(state.models)
        state = mutated(migration, state)
        taken.update(dict.fromkeys(before - set(state.models), place))
    behind = {}
    for step in unapplied:
        unknown = _pointed_to(state.models) - state.models.keys()
        for model in {*unknown, *others.get(key_of(step), ())} & taken.keys():
            for migration in kept[taken[model] :]:
                if model in {(migration.app_label, effect.get("model")) for effect in effects_of(migration)}:
                    behind[key_of(migration)] = key_of(step)
        state = mutated(step, state)
    return behind


def _states(state: Any, order: Iterable[Migration], steps: list[Migration]) -> list[Models]:
    """Return the models before each of the steps, and at last those behind everything."""
    models = []
    for migration in order:
        is_step = migration in steps
        if is_step:
            models.append(state.models)
        state = migration.mutate_state(state, preserve=is_step)
    return [*models, state.models]


def _is_true(step: Migration, built: Models, true: Models, again: set[Key]) -> bool:
    """
    Say whether the models before a step are those in which the database really is.

    Some may have a second name, and some not be there yet, where the step changes neither them
    nor what they point to, however far: when a key is changed, the tables that point to it
    follow, and one with two names would be changed twice.
    """
    hidden = {key for key in again if built.get(key) != true.get(key)}
    twice = built.keys() - true.keys() | hidden
    worked_on = {(step.app_label, effect.get("model")) for effect in effects_of(step) if effect["database"]}

    def is_changed(key: Key, models: Models) -> bool:
        return bool(closure([key], {one: _targets(models, one) for one in models}) & worked_on)

    def is_second_name(key: Key) -> bool:
        table, columns = table_of(built, key), _columns(built, key).items()
        return any(
            table_of(true, other) == table and columns <= _columns(true, other).items() for other in true
        )

    return (
        {key: built[key] for key in built if key not in twice}
        == {key: true[key] for key in true if key not in hidden}
        and all(is_second_name(key) and not is_changed(key, built) for key in twice)
        and not any(is_changed(key, true) for key in hidden)
    )


def _pointed_to(models: Models) -> set[Key]:
    return {target for key in models for target in _targets(models, key)}


def _targets(models: Models, key: Key) -> set[Key]:
    fields = models[key].fields.values() if key in models else ()
    return {target for field in fields for target in targets(field, key[0])}


def _columns(models: Models, key: Key) -> dict[str, Any]:
    """Return the fields with their columns, and which is the key; of what can be pointed to, all that it is."""
    columns: dict[str, Any] = {"": [name for name, field in models[key].fields.items() if field.primary_key]}
    for name, field in models[key].fields.items():
        columns[name] = field.db_column
        if field.unique:
            _, path, args, kwargs = field.deconstruct()
            unknown = compat.attributes_without_column(field) | _NOT_OF_THE_COLUMN
            of_column = {part: kwargs[part] for part in sorted(kwargs) if part not in unknown}
            related = targets(field, key[0])
            tables = [table_of(models, target) if target in models else target for target in related]
            columns[name] = repr((field.db_column, path, args, of_column, tables))
    return columns
