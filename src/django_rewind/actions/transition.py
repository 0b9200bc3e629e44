"""All that one `manage.py rewind` does to a database, planned and checked before the first of it is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..backends import backend_for
from ..engine.order import Order
from ..engine.plan import Plan
from ..engine.progress import Records
from ..engine.states import Simulation
from ..engine.transactions import STOPS
from ..exceptions import (
    FilesModified,
    HowFar,
    NameReused,
    NotInOrder,
    NotRecoverable,
    PlanOutdated,
    RewindError,
    RewindInterrupted,
    StateNotBuilt,
    SwappedIn,
)
from ..schema.graph import closure, parents_in
from ..sources.recovered import RecoveredMigration
from ..storage.store import Store
from ..utils import compat
from ..utils.types import NO_CHANGES, Key, RecordChanges, key_of, label
from .adopt import adopt
from .redo import commands_again, redo_modified, redo_one, with_parents
from .rewind import Rewind

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What `rewind` is asked for."""

    # An app; and the migration to go back to, or to redo.
    app_label: str | None = None
    name: str | None = None
    redoes: bool = False
    redoes_modified: bool = False
    # Missing migrations get the names of the files that do the same.
    adopts: bool = False
    # Whatever is not applied is applied.
    migrates: bool = False
    # Only records are changed.
    fake: bool = False
    # Nothing stored is executed to find out what differs from its file.
    only_shows: bool = False

    @property
    def named(self) -> Key | None:
        """The migration that is named, by a prefix perhaps."""
        return (self.app_label, self.name) if self.app_label and self.name else None

    @property
    def only_adopts(self) -> bool:
        return self.adopts and not self.migrates

    @property
    def is_redo(self) -> bool:
        return self.redoes or self.redoes_modified


class Transition:
    """
    The way of a database to the files of a checkout: names, then back, then forward.

    Records get the names of files first, so that all that follows is about these. Then
    migrations are unapplied, and applied. It can be stopped anywhere: the same
    command goes on from there, for it looks at nothing but records, store and files.

    Args:
        first: has read the database as it is.
        make: returns another one, with changes of records taken for done.
        wishes: what is asked for.
    """

    def __init__(self, first: Rewind, make: Callable[[RecordChanges], Rewind], wishes: Wishes) -> None:
        self.first = first
        self.make = make
        self.wishes = wishes
        self.renamed: dict[Key, Key] = dict(first.loader.renamed) if wishes.adopts else {}
        # Knows the records under their new names.
        self.rewind = first
        # What is unapplied and applied again because it cannot stay where it is.
        self._misplaced: set[Key] = set()
        self._stays: set[Key] = set()
        self._goals: list[Key] = []
        # Only texts decide where nothing stored may be executed.
        modified = first.modified if wishes.only_shows else first.differing
        self._modified = modified() if wishes.redoes_modified else []
        # What is applied before `migrate` is run.
        self.applies: list[Key] = []
        self.plan = self._settled()
        # The rewinds that have begun to run.
        self._back: Rewind | None = None
        self._forward: Rewind | None = None
        # What is done of it.
        self._is_renamed = False
        self._is_back = False

    @property
    def acts(self) -> bool:
        """Whether there is anything to do but `migrate`."""
        return bool(self.renamed or self.plan.migrations or self.applies)

    # Planning ---------------------------------------------------------------

    def _settled(self) -> Plan:
        """Plan again and again, until everything that stays applied can stay."""
        self.plan = self._planned_anew()
        while again := self._to_apply_again():
            self._apply_again(again)
            self.plan = self._planned_anew()
        self.applies = self._applies()
        self.plan.renamed = self.renamed
        self.plan.applies = self._all_that_is_applied() if self.wishes.migrates else self.applies
        return self.plan

    def _planned_anew(self) -> Plan:
        changes = RecordChanges(self.renamed, redone=self._modified)
        self.rewind = self.make(changes) if changes else self.first
        self.rewind.includes_renamed |= self.wishes.adopts
        return self._planned(self.rewind)

    def _to_apply_again(self) -> set[Key]:
        """Return what cannot stay where it is, as far as files tell."""
        if self.wishes.fake or not (self.wishes.adopts or self.wishes.migrates):
            return set()
        if unapplied := self.plan.unapplied.intersection(
            self.renamed.values() if self.wishes.migrates else ()
        ):
            # Its place among what was applied is that of its old name.
            return unapplied
        order = self._order()
        for key, parent in order.swapped_in(self.plan.unapplied):
            raise SwappedIn(key, parent)
        self._stays = set(order.early(self.plan.unapplied))
        if self.wishes.only_adopts:
            self._refuse_what_has_to_wait(order)
            return set()
        return order.to_apply_again(self.plan.unapplied)

    def _apply_again(self, again: set[Key]) -> None:
        """Have migrations unapplied, under the name that they are applied by, and their files applied."""
        names = {new: old for old, new in self.renamed.items()}
        self._misplaced |= {names.get(key, key) for key in again}
        self._stays -= again
        self.renamed = {old: new for old, new in self.renamed.items() if new not in again}

    def _planned(self, rewind: Rewind) -> Plan:
        """Return what unapplies all that has to go."""
        wishes = self.wishes
        if wishes.only_adopts:
            return Plan([])
        if wishes.named and not wishes.redoes:
            plan = rewind.plan_to(*wishes.named)
            if not self._misplaced:
                return plan
            return rewind.plan_unapplying(plan.keys, self._misplaced, self._stays)
        if wishes.named:
            self._goals = redo_one(rewind, *wishes.named)
        elif wishes.redoes_modified:
            self._goals = redo_modified(rewind, self._modified, wishes.app_label)
        goals = [key for key in self._goals if key in rewind.loader.applied_migrations]
        if not wishes.is_redo or wishes.adopts:
            goals += rewind.missing(wishes.app_label)
        return rewind.plan_unapplying(goals, self._misplaced, self._stays)

    def _order(self) -> Order:
        loader, runner = self.rewind.loader, self.rewind.runner
        files = {
            key_of(migration): migration
            for migration, _ in runner.full_plan()
            if key_of(migration) in loader.files
        }
        # How it was: the files say how it is to have been.
        ids = loader.recorded_ids
        applied = sorted((key for key in files if key in loader.applied_migrations), key=ids.__getitem__)
        renamed = set(self.renamed.values())
        return Order(files, parents_in(loader.graph), applied, renamed, self._simulation(self.rewind))

    @staticmethod
    def _simulation(rewind: Rewind) -> Simulation:
        return Simulation(
            partial(compat.project_state, rewind.executor),
            parents_in(rewind.loader.graph),
            rewind.loader.record_ids,
            rebuilds=backend_for(rewind.connection).rebuilds_tables,
        )

    def _refuse_what_has_to_wait(self, order: Order) -> None:
        """Recorded as applied before what it depends on, a migration is an inconsistent history to Django."""
        for old, new in self.renamed.items():
            lacking = [parent for parent in order.parents[new] if parent not in order.applied]
            if new in self._stays and lacking:
                raise NotInOrder(new, old, lacking)

    def _applies(self) -> list[Key]:
        """Return what is redone, and what has to be there so that nothing is applied before what it depends on."""
        again = with_parents(self.rewind, self.plan, self._goals) if self.wishes.is_redo else []
        if self.wishes.is_redo and not self.wishes.adopts:
            on_disk = self.rewind.loader.disk_migrations
            self.plan.not_reapplied = [
                key for key in self.plan.keys if key not in on_disk and key not in self._misplaced
            ]
        if self.wishes.migrates and (again or self._misplaced or self._stays):
            # In one go, in the order of the graph: `migrate` would refuse a history that is not consistent yet.
            return self._all_that_is_applied()
        return again

    def _all_that_is_applied(self) -> list[Key]:
        """Return the files that are not applied, or not any more, in the order of the graph."""
        loader = self.rewind.loader
        full_plan = (key_of(migration) for migration, _ in self.rewind.runner.full_plan())
        return [
            key
            for key in full_plan
            if key in loader.files and (key not in loader.applied_migrations or key in self.plan.unapplied)
        ]

    # Checking ---------------------------------------------------------------

    def check(self) -> None:
        """Refuse, before the first statement, what could not be finished."""
        try:
            if self.wishes.migrates and not self.wishes.redoes_modified:
                self._refuse_modified_files()
            while again := self._not_commuting():
                self._apply_again(again)
                self._settled()
            if self.acts and self.plan.applies:
                self._check_forward()
        except RewindError:
            self.rewind.runner.forget_stored_code()
            raise

    def _not_commuting(self) -> set[Key]:
        """Return what cannot stay while that goes on which it was applied, or raise what else stands in the way."""
        self.rewind.check(self.plan)
        if not self.plan.migrations:
            return set()
        order, loader = self._order(), self.rewind.loader
        suspects = {*self._stays, *self.renamed.values()} - self.plan.unapplied
        try:
            nodes = self.rewind.runner.prepare(self.plan.migrations)
            as_unapplied = [node for node in nodes if key_of(node) in loader.applied_migrations]
            as_applied = sorted(as_unapplied, key=lambda node: loader.recorded_ids[key_of(node)])
            return order.not_commuting(as_applied, as_unapplied, suspects) if suspects else set()
        except (NameReused, StateNotBuilt):
            if not suspects:
                raise
            return suspects

    def _refuse_modified_files(self) -> None:
        """Do not say that a database is as the files say where what was applied said something else."""
        loader = self.rewind.loader
        stays = [key for key in self.rewind.differing() if key not in self.plan.unapplied]
        versions = {}
        for key in stays:
            # What cannot be loaded is told elsewhere.
            with suppress(ValueError, NotRecoverable):
                stored = loader.snapshot.stored[key]
                migration = RecoveredMigration(stored, Store(loader.connection), loader.importer)
                migration.load()
                versions[key] = migration
        found = self._order().not_as_files_say(versions) if versions else set()
        for migration in versions.values():
            migration.unload()
        if found:
            raise FilesModified(found)

    def _check_forward(self) -> None:
        """Look at what is applied as if everything before it were done."""
        unapplied, followers = self.plan.unapplied, self.rewind.snapshot.followers
        gone = unapplied.union(*(followers.get(key, ()) for key in unapplied))
        after = self.make(RecordChanges(self.renamed, gone))
        nodes = after.loader.graph.nodes
        steps = [(nodes[key], False) for key in self.plan.applies if key in nodes]
        try:
            order = after.runner.prepare(after.runner.planned([], steps))
            applied = after.loader.applied_migrations
            self._simulation(after).run(
                [migration for migration in order if key_of(migration) in applied],
                [migration for migration, _ in steps],
                backwards=False,
                renders=True,
            )
        finally:
            after.runner.forget_stored_code()

    # Running ----------------------------------------------------------------

    def run(self, say: Say, warn: Say, **options: Any) -> None:
        """
        Do all of it but what `migrate` does afterwards.

        Args:
            say: takes the heading of each part.
            warn: takes what could not be stored.
            options: of `Rewind.run_steps`.
        """
        with self.first.saying_how_far(self._what, self._how_far):
            back = self.rewind
            if self.renamed:
                adopt(self.first.loader, self.renamed, warn=warn)
                self._is_renamed = True
                for old, new in self.renamed.items():
                    say(f"  {label(old)} is {label(new)} from now on")
                back = self.make(RecordChanges(redone=self._modified))
            if self.plan.migrations:
                say("Marking as unapplied:" if self.plan.fake else "Rewinding:")
                self._run_back(back, **options)
            self._is_back = True
            if self.applies:
                say("Applying from files:")
                self._forward = forward = self.make(NO_CHANGES)
                nodes: Any = forward.loader.graph.nodes
                steps = forward.runner.planned([], [(nodes[key], False) for key in self.applies])
                forward.run_steps(forward.plan_of(steps), **options)

    def _run_back(self, back: Rewind, **options: Any) -> None:
        plan = self.plan
        if back is not self.rewind:
            nodes: Any = back.loader.graph.nodes
            if any(key not in nodes for key in plan.keys):
                raise PlanOutdated(next(key for key in plan.keys if key not in nodes))
            agreed = plan
            plan = back.plan_of(back.runner.planned([], [(nodes[key], True) for key in plan.keys]))
            plan.losses, plan.may_lose_anything = agreed.losses, agreed.may_lose_anything
        self._back = back
        back.run_steps(plan, goes_on=bool(self.applies), **options)

    def run_migrate(self, migrate: Callable[[], None]) -> None:
        """Apply the rest, and do not say that nothing has been changed if something was before."""
        try:
            migrate()
        except RewindInterrupted:
            raise
        except STOPS as error:
            how_far, _ = self._how_far()
            if not self.acts or not how_far.has_begun:
                raise
            raise RewindInterrupted(error, how_far, what=self._what) from error

    @property
    def _what(self) -> str:
        return "redo" if self._goes_on_by_itself else "rewind"

    def _how_far(self) -> tuple[HowFar, list[str]]:
        """Return what is done, and the commands that go on, where it is not the same one."""
        renamed = self.renamed if self._is_renamed else {}
        if not self._is_back:
            back = self._back.how_far_back(self.plan) if self._back else HowFar(not_undone=self.plan.keys)
            waiting = [key for key in self.plan.applies if key in back.undone]
            then = [f"'manage.py migrate {app_label} {name}'" for app_label, name in waiting[-1:]]
            again = commands_again(key for key in self._goals if key not in back.undone)
            go_on = [*again, *then] if self._goes_on_by_itself else []
            return back._replace(not_applied=waiting, renamed=renamed), go_on
        return self._how_far_forward(renamed)

    @property
    def _goes_on_by_itself(self) -> bool:
        return self.wishes.is_redo and not self.wishes.migrates

    def _how_far_forward(self, renamed: dict[Key, Key]) -> tuple[HowFar, list[str]]:
        forward = self._forward
        progress = forward.runner.progress if forward else None
        changes = forward.executor.recorder.changes if forward else {}
        connection = self.rewind.connection
        records = Records(connection, (), changes)
        applied = [key for key in self.plan.applies if key in records.keys]
        waiting = [key for key in self.plan.applies if key not in applied]
        how_far = HowFar(
            undone=self.plan.keys,
            applied=applied,
            not_applied=waiting,
            halfway=progress.lines(connection) if progress and progress.key in waiting else [],
            unread=records.unread,
            renamed=renamed,
        )
        if not self._goes_on_by_itself:
            return how_far, []
        parents = parents_in(self.rewind.loader.graph)
        # Those on which the others hang.
        first = [key for key in waiting if not (closure([key], parents) - {key}) & set(waiting)]
        return how_far, commands_again(sorted(first))
