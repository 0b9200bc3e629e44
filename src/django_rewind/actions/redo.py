"""What `rewind --redo` unapplies as it was applied, and applies as it is on disk now."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.migrations.graph import MigrationGraph

from ..engine.plan import Plan
from ..exceptions import RedoNotPossible
from ..models import Origin
from ..schema.graph import children_in, closure, parents_in
from ..sources.stored import StoredMigration, why_unusable
from ..utils.types import APP_LABEL, Key, label
from .rewind import Rewind


def redo_one(rewind: Rewind, app_label: str, name: str) -> list[Key]:
    """Return the one migration to redo, given by its name or a prefix."""
    key = (app_label, rewind.find(app_label, name))
    obstacle = _obstacle(rewind, key)
    if obstacle is not None:
        raise RedoNotPossible(key, *obstacle)
    return [key]


def _obstacle(rewind: Rewind, key: Key) -> tuple[str, str] | None:
    """Return what keeps a migration from being redone, and what to do about it."""
    loader, name = rewind.loader, f"{key[0]} {key[1]}"
    if key[0] == APP_LABEL:
        return "what is stored would go with it.", "Use 'manage.py migrate', if that is meant."
    if key not in loader.disk_migrations:
        return (
            "it has no file in this checkout that could be applied again.",
            f"Undo it with 'manage.py rewind {key[0]}', or bring back its file.",
        )
    if key not in loader.graph:
        return "a squashed migration on disk has taken its place.", "Redo the squashed one."
    if key not in loader.applied_migrations and key not in rewind.snapshot.stored:
        return "it is not applied.", f"Apply it with 'manage.py migrate {name}'."
    return None


def redo_modified(rewind: Rewind, differing: Iterable[Key], app_label: str | None = None) -> list[Key]:
    """
    Return what differs from its file, and what an earlier redo left undone.

    Args:
        differing: the applied migrations that differ.
        app_label: only those of this app.
    """
    goals = [*differing, *LeftBehind(rewind).anywhere()]
    return [key for key in goals if app_label in (None, key[0]) and key[0] != APP_LABEL]


def with_parents(rewind: Rewind, plan: Plan, goals: Iterable[Key]) -> list[Key]:
    """
    Return what a redo applies from files, with what that depends on and is not applied, in the order of the graph.

    What depends on a migration that is redone is unapplied with it, and applied again where there
    is a file. A redo that was interrupted is gone on with: what it left unapplied is applied as well.

    Args:
        plan: unapplies what is redone.
        goals: what is to be redone. One that is not applied was unapplied by an earlier redo.
    """
    loader = rewind.loader
    again = {key for key in (*plan.keys, *goals) if key in loader.disk_migrations}
    again |= LeftBehind(rewind).after(goals)
    parents = parents_in(loader.graph)
    for key in again:
        for parent in closure([key], parents) & plan.unapplied:
            if parent not in loader.disk_migrations:
                raise RedoNotPossible(
                    key,
                    f"it depends on {label(parent)}, which would be undone and has no file.",
                    f"Bring back the file of {label(parent)} and try again.",
                )
    needed = closure(again, parents)
    wanted = {key for key in needed if key in plan.unapplied or key not in loader.applied_migrations}
    return _in_order(loader.graph, wanted)


def commands_again(keys: Iterable[Key]) -> list[str]:
    """Return the commands that redo migrations one by one."""
    return [f"'manage.py rewind --redo {key[0]} {key[1]}'" for key in keys]


class LeftBehind:
    """
    Look for what an earlier redo has undone and did not get to apply again.

    That is on disk, stored and not applied, and either something that it depends on
    was applied after it had been, or its file was captured by a run that never
    recorded it.
    """

    def __init__(self, rewind: Rewind) -> None:
        self.loader = rewind.loader
        self.ids = self.loader.recorded_ids
        self.parents = parents_in(self.loader.graph)
        self.children = children_in(self.loader.graph)
        self.waiting = {
            key: row
            for key, row in rewind.snapshot.stored.items()
            if key in self.loader.graph
            and key not in self.loader.applied_migrations
            and why_unusable(row) is None
        }

    def anywhere(self) -> list[Key]:
        """Return all of it, and what hangs on it."""
        found = [key for key, row in self.waiting.items() if self._was_interrupted(row)]
        return sorted(closure(found, self.children) & set(self.waiting))

    def after(self, goals: Iterable[Key]) -> set[Key]:
        """Return what of it hangs on these; of what is not applied, all that ran before."""
        undone = [key for key in goals if key in self.waiting]
        found = closure(undone, self.children) & set(self.waiting)
        return found | (closure(goals, self.children) & set(self.anywhere()))

    def _was_interrupted(self, row: StoredMigration) -> bool:
        if row.record_id is None:
            return row.origin == Origin.CAPTURED
        ancestors = closure(self.parents.get(row.key, ()), self.parents)
        newest = max((self.ids.get(key, 0) for key in ancestors), default=0)
        return row.record_id < newest


def _in_order(graph: MigrationGraph, wanted: set[Key]) -> list[Key]:
    """Return the keys in the order in which Django would apply them."""
    ordered: dict[Key, None] = {}
    for leaf in graph.leaf_nodes():
        ordered.update(dict.fromkeys(graph.forwards_plan(leaf)))
    return [key for key in ordered if key in wanted]
