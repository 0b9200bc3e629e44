"""What lies in the way of the targets of a run, as far as disk, record and store tell while it is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..backends import backend_for
from ..exceptions import BlockedRewind, RewindError
from ..inventory.snapshot import FileStatus, Snapshot
from ..schema.effects import thing
from ..storage.tables import APP_LABEL
from ..utils import compat
from ..utils.types import Key, Target, label, some_names_of

if TYPE_CHECKING:
    from ..inventory.loader import RewindLoader

__all__ = ["what_is_in_the_way"]


def what_is_in_the_way(
    loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target], undone: list[Key]
) -> RewindError | None:
    """
    Return the error of a run that must not be anything but a fake one.

    Raises:
        RewindError: it must not be that either.
    """
    _refuse_what_is_out_of_reach(loader, targets, undone)
    _refuse_to_leave_stale_apps_behind(loader, snapshot, undone)
    return (
        _baseline_in_the_way(loader, snapshot, targets, undone)
        or _left_behind(loader, snapshot, undone)
        or _only_copies(snapshot, undone)
    )


def _refuse_what_is_out_of_reach(loader: RewindLoader, targets: Sequence[Target], undone: list[Key]) -> None:
    """
    Refuse when something unrecoverable was applied later than where we go back to.

    `migrate`, `migrate shop` and `migrate shop 0001` have the same target when
    0001 is the last file: only what was asked for by name counts.
    """
    if not loader.unusable:
        return
    ids = loader.record_ids
    bounds: dict[str, int] = {}
    for app_label, name in targets:
        if name is None:
            bounds[app_label] = -1
        elif (app_label, name) in loader.asked and (app_label, name) in ids:
            bounds[app_label] = ids[(app_label, name)]
    for key in undone:
        earliest = ids.get(key, 0) - 1
        bounds[key[0]] = min(bounds.get(key[0], earliest), earliest)
    for key, error in loader.unusable.items():
        if key[0] in bounds and ids[key] > bounds[key[0]]:
            raise error


def _refuse_to_leave_stale_apps_behind(loader: RewindLoader, snapshot: Snapshot, undone: list[Key]) -> None:
    """Refuse to undo what an app that is not installed any more still depends on."""
    for dependent, key in snapshot.dependents_in_stale_apps(undone):
        if dependent not in loader.recovered:
            raise BlockedRewind(
                key,
                f"{label(dependent)} depends on it and is applied, and its app is not installed any more.",
                f"Run 'manage.py rewind {dependent[0]} zero' first, or "
                "'manage.py rewind --include-stale-apps'.",
            )


def _baseline_in_the_way(
    loader: RewindLoader, snapshot: Snapshot, targets: Sequence[Target], undone: list[Key]
) -> RewindError | None:
    """
    Return the error for an app that is to be undone as a whole and cannot be.

    Of a baseline nobody knows what it made, nor what that refers to. Records can
    be changed all the same: to a fake run it is no error.
    """
    ids = loader.record_ids
    to_zero = {app_label for app_label, name in targets if name is None}
    emptied = _emptied(loader, {app_label for app_label, _ in undone}, set(undone))
    for key in snapshot.of(FileStatus.MISSING_BEFORE_INSTALL):
        below = [one for one in undone if one[0] == key[0]]
        is_above = key[0] in emptied and any(ids.get(one, 0) < ids[key] for one in below)
        if key not in loader.recovered and (key[0] in to_zero or is_above):
            return _baseline_stays(below[-1] if below else key, key)
    return None


def _emptied(loader: RewindLoader, apps: set[str], undone: set[Key]) -> set[str]:
    """Return the apps of which nothing would stay applied that is in the graph."""
    applied = (key for key in loader.applied_migrations if key in loader.graph.nodes)
    return apps - {key[0] for key in applied if key not in undone}


def _baseline_stays(key: Key, baseline: Key) -> BlockedRewind:
    it = "it" if key == baseline else label(baseline)
    app_label = baseline[0]
    forget = (
        f"'manage.py migrate --prune {app_label}', which forgets all of '{app_label}' that has no file"
        if compat.HAS_PRUNE
        else "deleting its row from django_migrations"
    )
    return BlockedRewind(
        key,
        f"{it} had no file already when django-rewind was installed, and nobody knows what it made.",
        f"Look for its source in git with 'manage.py backfill_migration_code {app_label} --from-git', bring "
        f"back its file, or undo by hand what it did and then have it forgotten by {forget}.",
    )


def _left_behind(loader: RewindLoader, snapshot: Snapshot, undone: list[Key]) -> BlockedRewind | None:
    """Return the error for what would be left in the database without a record: nobody would ever undo it."""
    for step, key, loss in snapshot.left_behind(undone):
        if backend_for(loader.connection).has(*loss):
            return BlockedRewind(
                step,
                f"the record of {label(key)} goes with it, and {thing(loss)} that this made stays, "
                "for no file has taken it over.",
                f"Bring back the file of {label(key)} and undo that, or drop {thing(loss)} by hand and try again.",
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
