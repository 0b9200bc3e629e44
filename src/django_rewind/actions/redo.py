"""Undo what ran and apply what is on disk now: the work behind `rewind --redo`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.graph import MigrationGraph

from ..backends import backend_for
from ..engine import preflight
from ..engine.progress import Records
from ..engine.states import Simulation
from ..exceptions import HowFar, RedoNotPossible, RewindError
from ..inventory.snapshot import FileStatus
from ..models import Origin
from ..schema.graph import children_in, closure, parents_in
from ..sources.stored import StoredMigration
from ..utils import compat
from ..utils.types import APP_LABEL, Key, key_of, label
from .rewind import Rewind


def redo_one(rewind: Rewind, app_label: str, name: str) -> Redo:
    """Return the redo of one migration, given by its name or a prefix."""
    key = (app_label, rewind.find(app_label, name))
    obstacle = _obstacle(rewind, key)
    if obstacle is not None:
        raise RedoNotPossible(key, *obstacle)
    return Redo(rewind, [key])


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


def redo_modified(rewind: Rewind, differing: Iterable[Key], app_label: str | None = None) -> Redo:
    """
    Return the redo of what differs from its file, and of what an earlier redo left undone.

    Args:
        differing: the applied migrations that differ.
        app_label: only those of this app.
    """
    goals = [*differing, *LeftBehind(rewind).anywhere()]
    wanted = [key for key in goals if app_label in (None, key[0]) and key[0] != APP_LABEL]
    return Redo(rewind, wanted)


class Redo:
    """
    A redo of one database: what it undoes, and what it applies from files afterwards.

    What depends on a migration that is redone is undone with it, and applied again
    where there is a file. A redo that was interrupted is gone on with: what it left
    undone is applied as well.

    Args:
        rewind: its executor undoes; another one applies.
        goals: what is to be redone. One that is not applied was undone by an earlier redo.
    """

    def __init__(self, rewind: Rewind, goals: Iterable[Key]) -> None:
        self.rewind = rewind
        self.loader = rewind.loader
        self.goals = goals = list(goals)
        is_applied = self.loader.applied_migrations
        self.plan = rewind.plan_unapplying([key for key in goals if key in is_applied])
        on_disk = [key for key in self.plan.keys if key in self.loader.disk_migrations]
        self.plan.not_reapplied = [key for key in self.plan.keys if key not in self.loader.disk_migrations]
        again = {*on_disk, *(key for key in goals if key not in is_applied)}
        self.plan.applies = self._with_parents(again | LeftBehind(rewind).after(goals))
        # What applies, once everything is undone.
        self._forward: Rewind | None = None

    def _with_parents(self, again: set[Key]) -> list[Key]:
        """Add what the files depend on and is not applied, in the order of the graph."""
        parents = parents_in(self.loader.graph)
        for key in again:
            for parent in closure([key], parents) & set(self.plan.not_reapplied):
                raise RedoNotPossible(
                    key,
                    f"it depends on {label(parent)}, which would be undone and has no file.",
                    f"Bring back the file of {label(parent)} and try again.",
                )
        needed = closure(again, parents)
        wanted = {
            key for key in needed if key in self.plan.unapplied or key not in self.loader.applied_migrations
        }
        return _in_order(self.loader.graph, wanted)

    # Running ----------------------------------------------------------------

    def check(self) -> None:
        """Refuse, before the first statement, what could not be applied again."""
        if not self.plan.migrations:
            # Then the forward run looks for itself before it begins.
            return
        order = self.rewind.runner.prepare(self.plan.migrations)
        try:
            self._simulate(order)
        except RewindError:
            self.rewind.runner.forget_stored_code()
            raise

    def _simulate(self, order: Iterable[Migration]) -> None:
        snapshot, parents = self.rewind.snapshot, parents_in(self.loader.graph)
        missing = snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
        preflight.check_conflicts(
            self.files,
            {key: snapshot.effects(key) for key in missing if key not in self.plan.unapplied},
            {key: closure([key], parents) for key in self.plan.applies},
        )
        stays = set(self.loader.applied_migrations) - self.plan.unapplied
        Simulation(
            partial(compat.project_state, self.rewind.executor),
            parents,
            self.loader.record_ids,
            rebuilds=backend_for(self.rewind.connection).rebuilds_tables,
        ).run(
            [migration for migration in order if key_of(migration) in stays],
            self.files,
            backwards=False,
            renders=True,
        )

    @property
    def files(self) -> list[Migration]:
        """What is applied afterwards, as it is on disk."""
        graph: Any = self.loader.graph
        return [graph.nodes[key] for key in self.plan.applies]

    def run(self, make: Callable[[], Rewind], say: Callable[[str], None], **options: Any) -> None:
        """
        Unapply the applied versions, and apply what is on disk.

        Args:
            make: returns a rewind whose executor has read the database anew.
            say: takes the heading of each half.
            options: of `Rewind.run_steps`.
        """
        with self.rewind.saying_how_far("redo", self._how_far):
            if self.plan.migrations:
                say("Rewinding:")
                self.rewind.run_steps(self.plan, goes_on=bool(self.plan.applies), **options)
            if self.plan.applies:
                say("Applying from files:")
                self._forward = forward = make()
                forward.loader.check_consistent_history(forward.connection)
                nodes: Any = forward.loader.graph.nodes
                steps = forward.runner.planned([], [(nodes[key], False) for key in self.plan.applies])
                forward.run_steps(forward.plan_of(steps), **options)

    def _how_far(self) -> tuple[HowFar, list[str]]:
        """Return what is done, and the commands that go on."""
        if self._forward is not None:
            return self._how_far_forward(self._forward)
        back = self.rewind.how_far_back(self.plan)
        waiting = [key for key in self.plan.applies if key in back.undone]
        again = [_again(key) for key in self.goals if key not in back.undone]
        then = [f"'manage.py migrate {app_label} {name}'" for app_label, name in waiting[-1:]]
        return back._replace(not_applied=waiting), [*again, *then]

    def _how_far_forward(self, forward: Rewind) -> tuple[HowFar, list[str]]:
        connection, progress = forward.connection, forward.runner.progress
        records = Records(connection, (), forward.executor.recorder.changes)
        applied = [key for key in self.plan.applies if key in records.keys]
        waiting = [key for key in self.plan.applies if key not in applied]
        how_far = HowFar(
            undone=self.plan.keys,
            applied=applied,
            not_applied=waiting,
            halfway=progress.lines(connection) if progress and progress.key in waiting else [],
            unread=records.unread,
        )
        parents = parents_in(self.loader.graph)
        # Those on which the others hang.
        first = [key for key in waiting if not (closure([key], parents) - {key}) & set(waiting)]
        return how_far, [_again(key) for key in sorted(first)]


def _again(key: Key) -> str:
    return f"'manage.py rewind --redo {key[0]} {key[1]}'"


class LeftBehind:
    """
    Look for what an earlier redo has undone and did not get to apply again.

    That is on disk, stored and not applied, and either something that it depends on
    was applied after it had been, or its file was captured by a run that never
    recorded it.
    """

    def __init__(self, rewind: Rewind) -> None:
        self.loader = rewind.loader
        self.ids = self.loader.record_ids
        self.parents = parents_in(self.loader.graph)
        self.children = children_in(self.loader.graph)
        self.waiting = {
            key: row
            for key, row in rewind.snapshot.stored.items()
            if key in self.loader.graph and key not in self.loader.applied_migrations
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
