"""
Whether steps can be applied on top of missing migrations, and those be rolled back from under them.

And whether they can be on top of what was applied where a file says something else by now.

Neither branch knows of the other, so they have to commute. What the database will hold is
compared with what the states will say when the missing ones are rolled back, thing by thing.
Of code it is asked whether it names what the other branch takes away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import ConflictsWithMissing, MadeAlready
from ..schema.blueprint import BROKEN, Blueprint, Column, Draughtsman, describe_thing
from ..schema.code import is_named, words_in_code
from ..schema.effects import effects_of
from ..schema.graph import closure
from ..schema.lineage import taken_by
from ..schema.operations import ORDER, unrendered
from ..utils.printable import why
from ..utils.types import Key, key_of
from .states import look_for_fields, look_for_models, mutated

Migrations = Sequence[Migration]


def check_branches(
    connection: Any,
    empty: Callable[[], Any],
    applied: Migrations,
    children: Mapping[Key, Collection[Key]],
    *,
    steps: Migrations,
    missing: Sequence[Key],
    way_out: Callable[[Key], str],
) -> None:
    """
    Refuse the first step that does not go with what is missing.

    Args:
        empty: returns a state without any migration.
        applied: in the order in which the states are built, the missing ones among them.
        children: what depends on each migration.
        steps: the migrations to be applied.
        missing: what has no file and can be rolled back, in applied order.
        way_out: returns the command that rolls back a missing one.

    Raises:
        ConflictsWithMissing: it names the step, and the first of the missing ones that it does not go with.
    """
    question = partial(_Question, connection, empty, children)
    if not steps or not missing or not question(applied, steps, missing).answer():
        return
    for count in range(1, len(steps) + 1):
        if question(applied, steps[:count], missing).answer():
            break
    steps = steps[:count]
    for count in range(1, len(missing) + 1):
        left_out = closure(missing[count:], children)
        known = [migration for migration in applied if key_of(migration) not in left_out]
        answer = question(known, steps, missing[:count]).answer()
        if answer:
            key = missing[count - 1]
            raise ConflictsWithMissing(key_of(steps[-1]), key, answer.what, way_out(key), answer.reason)


def check_versions(
    connection: Any,
    empty: Callable[[], Any],
    applied: Migrations,
    versions: Mapping[Key, Migration],
    *,
    steps: Migrations,
    missing: Container[Key],
) -> None:
    """
    Refuse the first step that makes again what the applied version of a modified file has made.

    Args:
        empty: returns a state without any migration.
        applied: files, and what is missing, in the order in which the states are built.
        versions: what was applied of those that were modified since, in that order.
        missing: what has no file. It may stand on what no file makes any more.

    Raises:
        MadeAlready: it names the step, and the first of those that have made it.
    """

    files = [migration for migration in applied if key_of(migration) not in missing]

    def made_again(steps: Migrations, versions: Mapping[Key, Migration]) -> str | None:
        with_versions = [versions.get(key_of(migration), migration) for migration in applied]
        try:
            states = [_in_one(empty(), order) for order in (files, with_versions, [*files, *steps])]
        except Exception:  # noqa: BLE001 (whatever an operation raises: other states are looked for then)
            return None
        meant, there, here = _draw(connection, *states)
        made = here.keys() & there.keys() - meant.keys()
        if not made:
            # It may have another column.
            return _first_overwritten(steps, states[1])
        # A model says more than its columns.
        return describe_thing(min(made, key=lambda thing: (thing[0] != "model", thing)))

    if not steps or not made_again(steps, versions):
        return
    count = next(count for count in range(1, len(steps) + 1) if made_again(steps[:count], versions))
    for key, version in versions.items():
        what = made_again(steps[:count], {key: version})
        if what:
            raise MadeAlready(key_of(steps[count - 1]), key, what)


def _first_overwritten(steps: Migrations, state: Any) -> str | None:
    """Return the first model or field whose name steps give to another one, or None; the state is changed."""
    for step in steps:
        for what in _overwritten(step, state):
            return what
        try:
            state = mutated(step, state)
        except Exception:  # noqa: BLE001 (whatever an operation raises: other states are looked for then)
            break
    return None


def _in_one(state: Any, migrations: Migrations) -> Any:
    """Return a state behind migrations, rendered as a whole."""
    for migration in migrations:
        state = mutated(migration, state)
    state.apps  # noqa: B018 (rendered here)
    return state


def _draw(connection: Any, *states: Any) -> list[Blueprint]:
    """Return what each of some rendered states says of the database."""
    backend = backend_for(connection)
    editor = connection.schema_editor(collect_sql=True)
    # Django makes it where a with statement begins.
    editor.deferred_sql = []
    draughtsman = Draughtsman(
        editor,
        index_names_are_global=backend.index_names_are_global,
        constraints_are_indexes=backend.constraints_are_indexes,
    )
    return [draughtsman.draw(state.apps) for state in states]


class _Answer(NamedTuple):
    # What the step does to what the missing one needs, or else why both do not go together.
    what: str = ""
    reason: str = ""


class _Question:
    """Whether these steps go with these missing migrations."""

    def __init__(
        self,
        connection: Any,
        empty: Callable[[], Any],
        children: Mapping[Key, Collection[Key]],
        applied: Migrations,
        steps: Migrations,
        missing: Sequence[Key],
    ) -> None:
        above = closure(missing, children)
        self.connection = connection
        self.backend = backend_for(connection)
        self.empty = empty
        self.applied = applied
        self.base = [migration for migration in applied if key_of(migration) not in above]
        self.theirs = [migration for migration in applied if key_of(migration) in above]
        self.steps = steps
        # What depends on a missing one knows of it, and goes with it.
        self.ours = [step for step in steps if key_of(step) not in above]
        self.dependents = [step for step in steps if key_of(step) in above]

    def answer(self) -> _Answer | None:
        """Return what is wrong, or None."""
        try:
            base = self._built(self.empty(), self.base, looks=False)
            is_tail = [*self.applied] == [*self.base, *self.theirs]
            there = self._built(
                *((base, self.theirs) if is_tail else (self.empty(), self.applied)), looks=False
            )
            here = self._built(base, self.ours)
        except Exception:  # noqa: BLE001 (whatever an operation raises: one branch alone is in no state)
            return None
        try:
            now = self._built(there, self.steps)
            backwards = self._built(here, [*self.theirs, *self.dependents], backwards=True)
        except Exception as error:  # noqa: BLE001
            return _Answer(reason=why(error).rstrip("."))
        return self._said_by_code(base) or self._said_by_states(base, there, here, now, backwards)

    def _built(
        self, state: Any, migrations: Migrations, *, looks: bool = True, backwards: bool = False
    ) -> Any:
        """Return a rendered state with these migrations on top of another one, which is left as it is."""
        state = unrendered(state)
        for migration in migrations:
            if looks:
                _refuse_to_overwrite(migration, state, backwards=backwards)
                look_for_fields(migration, state)
                look_for_models(migration, state, backwards=backwards, rebuilds=self.backend.rebuilds_tables)
            state = mutated(migration, state)
        # As a whole: kept up to date, a model is not looked at anew for what its grandparent has.
        state.apps  # noqa: B018 (rendered here)
        return state

    # What states say --------------------------------------------------------

    def _said_by_states(self, *states: Any) -> _Answer | None:
        what = next(self._differences(*_draw(self.connection, *states)), None)
        return _Answer(what) if what else None

    def _differences(
        self, base: Blueprint, there: Blueprint, here: Blueprint, now: Blueprint, backwards: Blueprint
    ) -> Iterator[str]:
        """
        Yield what is wrong.

        Args:
            base: what both branches have.
            there: with the missing ones alone.
            here: with the steps alone.
            now: what the database will hold.
            backwards: what the states will say when the missing ones are rolled back.
        """
        for thing in sorted(there.keys() & here.keys() - base.keys()):
            # Django compares the order of rows with the one that a state has already.
            if thing[0] != "column" or thing[-1] != ORDER:
                yield f"makes {describe_thing(thing)} again"
        for thing in sorted(base.keys() - there.keys() - here.keys()):
            yield f"takes away {describe_thing(thing)} once more"
        for thing in sorted(now.keys() | backwards.keys() | here.keys()):
            values = [state.get(thing) for state in (now, backwards, here, there)]
            is_broken = BROKEN in values[:2] and BROKEN not in values[2:]
            # Rolling back would make again what then names a field that is not there.
            is_made_broken = values[2] == BROKEN != values[1]
            is_left = base.get(thing) != there.get(thing)
            if is_broken or is_made_broken or (is_left and not self._is_same(*values[:3])):
                yield f"changes {describe_thing(thing)}"

    def _is_same(self, now: Any, backwards: Any, here: Any) -> bool:
        """Say whether a thing can be rolled back from where it will be, and is then as it has to be."""
        if now == backwards:
            return True
        if not all(isinstance(value, Column) for value in (now, backwards, here)):
            return False
        # Both have changed a column. What it will be is what it has to be in the end.
        return self.backend.rebuilds_tables or not here.adds(backwards, now)

    # What code says ---------------------------------------------------------

    def _said_by_code(self, state: Any) -> _Answer | None:
        """Say what one branch takes away of what the code of the other one names."""
        what = self._taken(self.ours, self.theirs, state, backwards=True)
        if what:
            return _Answer(what)
        what = self._taken(self.theirs, self.ours, state, backwards=False)
        return _Answer(reason=f"that {what}, which the code of this one names") if what else None

    def _taken(self, takers: Migrations, users: Migrations, state: Any, *, backwards: bool) -> str | None:
        named = [words for step in users for words in words_in_code(step, backwards=backwards)]
        taken = taken_by((step.app_label, effects_of(step)) for step in takers) if named else {}
        return next(
            (what for name, what in taken.items() if any(is_named(name, words, state) for words in named)),
            None,
        )


def _refuse_to_overwrite(migration: Migration, state: Any, *, backwards: bool) -> None:
    """
    Django's state takes a new model or a new field for the one that is there.

    Backwards, a field may be one that was removed again before the other was made.
    """
    for what in _overwritten(migration, state, with_fields=not backwards):
        raise ValueError(f"there is {what} already")


def _overwritten(migration: Migration, state: Any, *, with_fields: bool = True) -> Iterator[str]:
    """Yield the models and fields of a state whose names a migration gives to others."""
    known = {key: {name.lower() for name in model.fields} for key, model in state.models.items()}
    for effect in effects_of(migration):
        if not effect["state"] or effect["effect"] == "opaque":
            continue
        kind, key = effect["effect"], (migration.app_label, effect["model"])
        fields = known.pop(key, set()) if kind in ("delete_model", "rename_model") else known.get(key, set())
        if kind in ("remove_field", "rename_field"):
            fields.discard(effect["field"])
        if kind in ("create_model", "rename_model"):
            made = (key[0], effect.get("to") or key[1])
            if made in known:
                yield f"the model '{made[1]}'"
            known[made] = {*effect["fields"]} if kind == "create_model" else fields
        if kind in ("add_field", "rename_field"):
            name = effect.get("to") or effect["field"]
            if with_fields and name in fields:
                yield f"the field '{key[1]}.{name}'"
            fields.add(name)
