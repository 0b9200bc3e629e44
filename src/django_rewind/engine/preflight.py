"""
What can be known before the first statement: what data a run would lose, and what stops it.

Each function looks at one thing and raises the error that names it. They work on
project states and, where the question is what is in a table, on the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import (
    BlockedRewind,
    ConflictsWithMissing,
    IrreversibleRewind,
    NotRecoverable,
    PruneRefused,
    RecordPruned,
    RewindError,
    UnknownColumns,
)
from ..inventory.snapshot import FileStatus, Snapshot
from ..inventory.unrecorded import Unrecorded
from ..schema.effects import effects_of, is_reversible, operations_in
from ..schema.graph import children_in, closure
from ..schema.lineage import Made, conflict, describe_place, touched_by
from ..schema.operations import in_words, unrendered
from ..schema.rebuilds import columns_of, own_table, rebuilt_tables
from ..utils import compat
from ..utils.types import APP_LABEL, Applied, Effect, Key, Steps, Target, key_of, label, some_names_of
from .loader import RewindLoader
from .plan import Lost, effects_of_step

#: Where the counting of rows stops, so that it stays cheap in tables of any size.
BOUND = 10_000


def check_reversible(undone: Iterable[Migration]) -> None:
    """
    Refuse to start when a step holds an irreversible operation.

    Django finds that out when it comes to the step, with the later ones undone.
    """
    for migration in undone:
        for operation in operations_in(migration, database=True):
            if not is_reversible(operation):
                raise IrreversibleRewind(
                    key_of(migration),
                    in_words(operation),
                    *target_before(migration),
                    stands_elsewhere=getattr(migration, "stands_elsewhere", False),
                )


def target_before(migration: Migration) -> list[str]:
    """Return the target that is just before a migration, if there is one such."""
    names = [name for app_label, name in migration.dependencies if app_label == migration.app_label]
    return (names or ["zero"]) if len(names) < 2 else []


def is_initial(migration: Migration) -> bool:
    """Say whether Django takes a migration for an initial one, as `--fake-initial` does."""
    if migration.initial is None:
        return all(app_label != migration.app_label for app_label, _ in migration.dependencies)
    return bool(migration.initial)


def _make_the_same_model(effects: Iterable[Effect], others: Iterable[Effect]) -> bool:
    """Say whether both make a model of the same name."""
    made = [
        {effect["model"] for effect in of if effect["effect"] == "create_model"} for of in (effects, others)
    ]
    return not made[0].isdisjoint(made[1])


def check_conflicts(
    steps: Iterable[Migration],
    missing: dict[Key, list[Effect]],
    ancestors: dict[Key, set[Key]],
    way_out: Callable[[Key], str] = lambda missing: "manage.py rewind",
) -> None:
    """
    Refuse to apply what takes away, renames or makes again what a missing one uses.

    Args:
        steps: the migrations to be applied.
        missing: what is left of the effects of the missing ones that stay applied.
        ancestors: what each step depends on; it knows of those.
        way_out: returns the command that rolls back a missing one.
    """
    for migration in steps:
        key = key_of(migration)
        effects = effects_of(migration)
        for other, of_other in missing.items():
            if other not in ancestors.get(key, ()):
                what = conflict((key[0], effects), (other[0], of_other))
                if what:
                    makes_again = _make_the_same_model(effects, of_other) and is_initial(migration)
                    raise ConflictsWithMissing(key, other, what, way_out(other), is_initial=makes_again)


def check_unknown_columns(
    connection: Any, state: Any, steps: Iterable[Migration], causes: Iterable[Key], *, backwards: bool
) -> None:
    """
    Refuse to have a table rebuilt whose columns the state does not all know.

    A rebuilt table has the columns of the state; the others go, with their data. What code names
    that is executed before is left to that.

    Args:
        state: the one before the first step in the order of application, not rendered; it is changed.
        steps: in the order of application.
        causes: applied migrations that are not in the state.
        backwards: whether the steps are unapplied.
    """
    backend = backend_for(connection)
    if not backend.rebuilds_tables:
        return
    now = None if backwards else unrendered(state)
    rebuilt = rebuilt_tables(state, steps, backwards=backwards)
    for step, model, words in rebuilt:
        table = own_table(now or state, model)
        if table and words is not None:
            known = columns_of(now or state, model) | words
            unknown = {column for column in backend.columns_with_data(table) if column.lower() not in known}
            if unknown:
                causes = sorted(key for key in causes if key[0] == model[0]) or list(causes)
                raise UnknownColumns(step, table, unknown, causes)


# What lies in the way of the targets, as far as disk, record and store tell while a run is planned.


def what_is_in_the_way(
    loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target], undone: list[Key]
) -> RewindError | None:
    """Return the error of a run that must not be anything but a fake one."""
    _refuse_what_is_out_of_reach(loader, snapshot, targets, undone)
    _refuse_to_leave_stale_apps_behind(loader, snapshot, undone)
    return (
        pruned_original(loader, snapshot, _originals_above(loader, snapshot, targets))
        or _missing_before_install(loader, snapshot, targets, undone)
        or _left_behind(loader, snapshot, undone)
        or _only_copies(snapshot, undone)
    )


def pruned_original(loader: RewindLoader, snapshot: Snapshot, keys: Iterable[Key]) -> RecordPruned | None:
    """Return the error for the first original of a squash that is applied, though its record was pruned."""
    keys = list(keys)
    if not keys or snapshot.squashed_by.without_record(snapshot.applied).keys().isdisjoint(keys):
        return None
    pruned = Unrecorded(snapshot, loader.connection).pruned_originals()
    return next((RecordPruned(key, pruned[key]) for key in keys if key in pruned), None)


def _originals_above(loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target]) -> list[Key]:
    """Return the originals without a record that a run to these targets would unapply if it knew of them."""
    originals = snapshot.squashed_by.without_record(snapshot.applied)
    above: set[Key] = set()
    for app_label, name in targets:
        if name is None:
            above.update(key for key in originals if key[0] == app_label)
        elif (app_label, name) in originals and (app_label, name) in loader.asked:
            above.add((app_label, name))
    return sorted(above)


def _refuse_what_is_out_of_reach(
    loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target], undone: list[Key]
) -> None:
    """
    Refuse when something unrecoverable was applied later than where we go back to.

    `migrate`, `migrate shop` and `migrate shop 0001` have the same target when
    0001 is the last file: only what was asked for by name counts.
    """
    if not loader.unusable:
        return
    # Of what is unusable nobody knows what it depends on: its record alone has a place for it.
    ids, children = loader.recorded_ids, children_in(loader.graph)
    earliest = snapshot.earliest_ids
    bounds: dict[str, float] = {}
    for app_label, name in targets:
        if name is None:
            bounds[app_label] = -inf
        elif (app_label, name) in loader.asked and (app_label, name) in ids:
            above = closure([(app_label, name)], children) & ids.keys()
            bounds[app_label] = min(earliest[key] - (key != (app_label, name)) for key in above)
    for key in undone:
        below = earliest.get(key, 0) - 1
        bounds[key[0]] = min(bounds.get(key[0], below), below)
    errors = [
        error for key, error in loader.unusable.items() if key[0] in bounds and ids[key] > bounds[key[0]]
    ]
    if errors:
        raise NotRecoverable.of_all(errors)


def _refuse_to_leave_stale_apps_behind(loader: RewindLoader, snapshot: Snapshot, undone: list[Key]) -> None:
    stale = set(snapshot.of(FileStatus.STALE_APP)).intersection(loader.skipped)
    children = children_in(loader.graph)
    skipped = [(child, key) for key in undone for child in children.get(key, ()) if child in stale]
    for dependent, key in (*skipped, *snapshot.dependents_in_stale_apps(undone)):
        raise BlockedRewind(
            key,
            f"{label(dependent)} depends on it and is applied, and its app is not installed any more.",
            f"Run 'manage.py rewind {dependent[0]} zero' first, or 'manage.py rewind --include-stale-apps'.",
        )


def _missing_before_install(
    loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target], undone: list[Key]
) -> RewindError | None:
    """
    Return the error for an app that is to be unapplied as a whole and cannot be.

    Of what was missing before install nobody knows what it made, nor what that refers to.
    Records can be changed all the same: to a fake run it is no error.
    """
    ids, applied = loader.record_ids, loader.applied_migrations
    to_zero = {app_label for app_label, name in targets if name is None}
    stays = {key[0] for key in applied if key in loader.graph.nodes and key not in undone}
    for key in snapshot.of(FileStatus.MISSING_BEFORE_INSTALL):
        app_label = key[0]
        below = [step for step in undone if step[0] == app_label]
        is_emptied = app_label not in stays and any(ids.get(step, 0) < ids[key] for step in below)
        if key in loader.recovered or not (app_label in to_zero or is_emptied):
            continue
        step = below[-1] if below else key
        mark = (
            f"with 'manage.py migrate --prune {app_label}', which does so for all of '{app_label}' without a file"
            if compat.HAS_PRUNE
            else "by deleting its row from django_migrations"
        )
        return BlockedRewind(
            step,
            f"{'it' if step == key else label(key)} had no file already when django-rewind was installed, "
            "and nobody knows what it made.",
            f"Look for its source in git with 'manage.py backfill_migration_code {app_label} --from-git', bring "
            f"back its file, or undo by hand what it did and then mark it as unapplied {mark}.",
        )
    return None


def _left_behind(loader: RewindLoader, snapshot: Snapshot, undone: list[Key]) -> BlockedRewind | None:
    """Return the error for what would be left in the database without a record: nobody would ever undo it."""
    for step, key, loss in snapshot.left_behind(undone):
        if backend_for(loader.connection).has(*loss):
            return BlockedRewind(
                step,
                f"the record of {label(key)} goes with it, and {describe_place(loss)} that this made stays, "
                "for no file has taken it over.",
                f"Bring back the file of {label(key)} and undo that, or drop {describe_place(loss)} by hand and try again.",
            )
    return None


def _only_copies(snapshot: Snapshot, undone: list[Key]) -> BlockedRewind | None:
    """Return the error for taking our table away while it holds the only source of something."""
    first = (APP_LABEL, "0001_initial")
    if first not in undone:
        return None
    missing = snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE, FileStatus.STALE_APP)
    stored = [key for key in missing if key in snapshot.stored]
    if not stored:
        return None
    return BlockedRewind(
        first,
        f"{some_names_of(stored)} would have no source any more, neither in this checkout nor in the database.",
        "Undo what has no file with 'manage.py rewind', or write the files with 'manage.py restore_migrations'. "
        "With DJANGO_REWIND_ENABLED = False in the settings it goes all the same.",
    )


def what_must_not_be_pruned(loader: RewindLoader, app_label: str) -> PruneRefused | None:
    """Return the error for pruning an app of which something is missing that could be rolled back."""
    snapshot = loader.snapshot
    missing = [
        key
        for key in snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
        if key[0] == app_label and key in loader.recovered
    ]
    if not missing:
        return None
    target = ""
    if any(snapshot.without_file[key] is FileStatus.TABLE_IN_USE for key in missing):
        # Those are rolled back when a target is named.
        target = next(iter(target_before(loader.recovered[missing[0]])), "")
    return PruneRefused(missing, target)


# What data a plan would lose: the rows behind the tables and columns that go with it.


def losses_of(
    connection: Any, snapshot: Snapshot, applied: Applied, steps: Steps, shown: Iterable[Lost] = ()
) -> list[Lost]:
    """
    Return what the steps would lose or change, in the order in which it was made, under its name of now.

    A column that holds nothing but its default holds data; one that holds nothing
    but NULL does not.

    Args:
        shown: what is known already, and is left out.
    """
    known = {lost.what for lost in shown}
    unapplied = {key_of(migration): migration for migration, backwards in steps if backwards}
    history = {
        key: effects_of_step(unapplied[key]) if key in unapplied else snapshot.effects(key)
        for key in sorted(applied, key=applied.__getitem__)
    }
    touched = touched_by(unapplied, history)
    going = {place for made, place in touched if not made.change}
    losses = []
    for made, (table, column) in touched:
        covering: set[tuple[str, str | None]] = {(table, None)} if column else set()
        if made.change:
            covering.add((table, column))
        is_known = (table, column, bool(made.change)) in known
        if not covering & going and not made.is_computed and not is_known:
            losses.append(_lost(connection, made, table, column))
    return [lost for lost in losses if lost.rows != 0]


def _lost(connection: Any, made: Made, table: str, column: str | None) -> Lost:
    """Count the rows that hold something, up to the bound."""
    rows = backend_for(connection).count(table, column, BOUND, nulls=made.change == "nulls")
    is_more = rows is not None and rows > BOUND
    return Lost(made.by, table, column, BOUND if is_more else rows, is_more, bool(made.change))
