"""
What is asked of Django's executor beyond its own.

Django plans, builds states, and runs. `Rewinding` stands beside one executor: it
orders what Django planned, sees to it that the states know what really ran, and
refuses to start what could not be finished. With nothing missing and nothing
differing in play it hands back what Django handed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import transaction
from django.db.migrations import Migration

from . import capture, compat, conf
from .exceptions import BlockedRewind, RewindError
from .history import Standing
from .loader import RewindLoader
from .messages import Messages
from .plan import children_in, closure, parents_in
from .preparation import Preparation
from .revive import RecoveredMigration, source_of
from .run import Run, Survey
from .signals import announce, around_step, post_capture, pre_capture, report
from .store import all_of_ours
from .types import Key, Plan, Target, key_of, label

__all__ = ["Rewinding"]


class Rewinding:
    """
    The side of one executor that knows of stored code.

    `planned` is called with every plan that Django makes, `ordered` with the plan
    of everything that its states are built along, `begin` and `end` around a run,
    `before_apply` and `unapplying` with its steps.
    """

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.connection = executor.connection
        self.messages = Messages(executor)
        # Whether it is `rewind` that runs: then every step is announced.
        self.is_rewind = False
        # Edited migrations that are to be undone by their files for once.
        self.by_file: frozenset[Key] = frozenset()
        self.run: Run | None = None
        self._has_begun = False
        self._has_captured = False

    @property
    def loader(self) -> RewindLoader:
        loader: RewindLoader = self.executor.loader
        return loader

    # Planning ---------------------------------------------------------------

    def planned(self, targets: Sequence[Target], plan: Plan) -> Plan:
        """
        Take up a plan of Django's and return it in the order in which it has to run.

        Nothing stored is executed here: this is where `--plan` and `--check` stop.

        Raises:
            RewindError: something that cannot be recovered matters to the targets.
        """
        self.run = None
        undone = [key_of(migration) for migration, backwards in plan if backwards]
        self._refuse_what_is_out_of_reach(targets, undone)
        self._refuse_to_leave_removed_apps_behind(undone)
        error = self._baseline_in_the_way(targets, undone)
        if not plan:
            if error is not None:
                raise error
            return plan
        self.run = Survey(self.loader, self.messages.warn, self.by_file).of(plan)
        self.run.error = error
        if self.run.involves_stored_code and self.run.is_backwards:
            self.run.plan = self._preparation(self.run).backwards_plan()
        self.run.planned = self.run.steps
        return self.run.plan

    def _preparation(self, run: Run) -> Preparation:
        return Preparation(self.executor, run, self.messages.warn)

    def _refuse_what_is_out_of_reach(self, targets: Sequence[Target], undone: list[Key]) -> None:
        """
        Refuse when something unrecoverable was applied later than where we go back to.

        `migrate`, `migrate shop` and `migrate shop 0001` have the same target when
        0001 is the last file: only what was asked for by name counts.
        """
        if not self.loader.unusable:
            return
        ids = self.loader.record_ids
        bounds: dict[str, int] = {}
        for app_label, name in targets:
            if name is None:
                bounds[app_label] = -1
            elif (app_label, name) in self.loader.asked and (app_label, name) in ids:
                bounds[app_label] = ids[(app_label, name)]
        for key in undone:
            earliest = ids.get(key, 0) - 1
            bounds[key[0]] = min(bounds.get(key[0], earliest), earliest)
        for key, error in self.loader.unusable.items():
            if key[0] in bounds and ids[key] > bounds[key[0]]:
                raise error

    def _refuse_to_leave_removed_apps_behind(self, undone: list[Key]) -> None:
        history = self.loader.history
        for dependent, key in history.dependents_in_removed_apps(undone) if history else []:
            if dependent not in self.loader.recovered:
                raise BlockedRewind(
                    key,
                    f"{label(dependent)} depends on it and is applied, and its app is not "
                    "installed any more.",
                    f"Run 'manage.py rewind {dependent[0]} zero' first, or "
                    "'manage.py rewind --include-removed-apps'.",
                )

    def _baseline_in_the_way(self, targets: Sequence[Target], undone: list[Key]) -> RewindError | None:
        """
        Return the error for an app that is to be undone as a whole and cannot be.

        Of a baseline nobody knows what it made, nor what that refers to. Records can
        be changed all the same: to a fake run it is no error.
        """
        history, ids = self.loader.history, self.loader.record_ids
        to_zero = {app_label for app_label, name in targets if name is None}
        emptied = self._emptied({app_label for app_label, _ in undone}, set(undone))
        for key in history.of(Standing.BASELINE) if history else []:
            below = [one for one in undone if one[0] == key[0]]
            is_above = key[0] in emptied and any(ids.get(one, 0) < ids[key] for one in below)
            if key not in self.loader.recovered and (key[0] in to_zero or is_above):
                return _baseline_stays(below[-1] if below else key, key)
        return None

    def _emptied(self, apps: set[str], undone: set[Key]) -> set[str]:
        """Return the apps of which nothing would stay applied that is in the graph."""
        applied = (key for key in self.loader.applied_migrations if key in self.loader.graph.nodes)
        return apps - {key[0] for key in applied if key not in undone}

    # States -----------------------------------------------------------------

    def ordered(self, full_plan: Plan) -> Plan:
        """
        Return the plan that states are built along.

        Before a run begins, what stands in its way is kept for `begin`: until then
        nobody knows whether the run is a fake one.
        """
        run = self.run
        if run is None or not run.needs_states_of_its_own:
            return self._without_recovered(full_plan)
        if run.order is None and run.error is None:
            try:
                run.order = self._preparation(run).order(full_plan)
            except RewindError as error:
                run.error = error
        if run.order is None:
            return self._without_recovered(full_plan, all_of_them=True)
        order = run.order if self._has_begun else run.order_to_show or run.order
        return [(migration, False) for migration in order]

    def _without_recovered(self, full_plan: Plan, *, all_of_them: bool = False) -> Plan:
        """
        Leave out recovered nodes and, when all of them have to go, their descendants.

        One that a file depends on has to stay: its file was deleted from the middle
        of the chain, and no state can be built without it.
        """
        recovered = set(self.loader.recovered)
        if not recovered:
            return full_plan
        if all_of_them:
            gone = closure(recovered, children_in(self.loader.graph))
        else:
            files: set[Key] = set(self.loader.graph.nodes) - recovered
            needed = closure(files, parents_in(self.loader.graph))
            gone = recovered - needed
        return [(migration, backwards) for migration, backwards in full_plan if key_of(migration) not in gone]

    # Running ----------------------------------------------------------------

    def prepare(self, plan: Plan) -> list[Migration]:
        """
        Load, order and rehearse a plan ahead of its run.

        Returns:
            everything, in the order in which states are built.

        Raises:
            RewindError: the run cannot be finished; nothing has been changed.
        """
        if self.run is None or self.run.plan != plan:
            self.planned([], plan)
        full_plan = self.executor.migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)
        if self.run is not None and self.run.error is not None:
            error = self.run.error
            self.forget_stored_code()
            raise error
        order = self.run.order if self.run is not None else None
        return order or [migration for migration, _ in full_plan]

    def begin(self, plan: Plan, *, fake: bool, fake_initial: bool) -> Plan:
        """
        Check, before the first statement, what can be known before it.

        Raises:
            RewindError: the run cannot be finished; nothing has been changed.
        """
        capture.forget_outcome(self.connection)
        self._has_captured = False
        if self.run is None or self.run.planned != [key_of(migration) for migration, _ in plan]:
            # Another package has trimmed the plan, or made its own.
            self.planned([], plan)
        run = self.run
        if run is None:
            return plan
        run.fake, run.fake_initial = fake, fake_initial
        if fake or fake_initial:
            # Prepared before anybody knew that; more is allowed now.
            run.error, run.order, run.order_to_show = None, None, None
        if run.needs_states_of_its_own and run.order is None and run.error is None:
            self.executor.migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)
        if run.error is not None:
            self.forget_stored_code()
            raise run.error
        self._say_what_is_loaded(run)
        self._has_begun = True
        return run.plan

    def _say_what_is_loaded(self, run: Run) -> None:
        for migration in (*run.recovered.values(), *run.differing.values()):
            if migration.is_loaded:
                self.messages.say(f"  Loading {label(migration.key)} from stored code")

    def end(self) -> None:
        """Leave what this run knows to the `reconcile` that follows it."""
        self._has_begun = False
        # A squashed migration that counts as applied stands there itself, without a record.
        applied = {key: getattr(of, "pk", 0) for key, of in self.loader.applied_migrations.items()}
        for key, is_applied in self.executor.recorder.changes.items():
            if is_applied:
                applied[key] = 0
            else:
                applied.pop(key, None)
        capture.hand_over(self.connection, applied, self.loader.disk_migrations)
        self.forget_stored_code()

    def forget_stored_code(self) -> None:
        """Throw away what was executed of stored code, and the run with it."""
        if self.run is not None:
            for migration in (*self.run.recovered.values(), *self.run.differing.values()):
                migration.unload()
        self.loader.isolation.close()
        self.run = None

    # Steps ------------------------------------------------------------------

    def before_apply(self, migration: Migration, *, fake: bool) -> None:
        """Capture everything that this run applies, before its first operation."""
        if self._has_captured or not self._store_is_ready():
            return
        forwards = [one for one, backwards in self.run.plan if not backwards] if self.run else []
        self._has_captured = bool(forwards)
        recorded = self.executor.recorder.changes
        self._capture([one for one in forwards or [migration] if not recorded.get(key_of(one))], fake=fake)

    def _capture(self, migrations: list[Migration], *, fake: bool) -> None:
        excluded = conf.excluded_apps()
        keys = [key_of(migration) for migration in migrations if migration.app_label not in excluded]
        for key in keys:
            announce(pre_capture, key, using=self.connection.alias, source="file")
        stored = capture.capture(self.connection, migrations, fake=fake, warn=self.messages.warn)
        self.executor.recorder.captured |= stored
        for key in keys:
            if key in stored:
                report(post_capture, key, using=self.connection.alias, source="file")

    def _store_is_ready(self) -> bool:
        """Our own migrations may have been applied by this very run."""
        changes = self.executor.recorder.changes
        gone = {key for key, is_applied in changes.items() if not is_applied}
        return all_of_ours(self.loader.disk_migrations, {*self.loader.applied_migrations, *changes} - gone)

    @contextmanager
    def unapplying(self, migration: Migration, *, fake: bool) -> Iterator[None]:
        """
        Commit a step from stored code together with its record, where that can be.

        Django deletes the record after the transaction of the schema. Other records
        that stand and fall with this one go with it.
        """
        with self._announced(migration, fake=fake), self._one_transaction(migration, fake=fake):
            yield
            for key in self._records_that_follow(migration):
                self.executor.recorder.record_unapplied(*key)

    def _announced(self, migration: Migration, *, fake: bool) -> AbstractContextManager[None]:
        """Without stored code in a run, Django is Django: nothing is sent."""
        plan = self.run.plan if self.run else []
        from_store = any(isinstance(one, RecoveredMigration) for one, _ in plan)
        if fake or not (self.is_rewind or from_store):
            return nullcontext()
        source = source_of(migration)
        return around_step(key_of(migration), using=self.connection.alias, source=source)

    def _records_that_follow(self, migration: Migration) -> set[Key]:
        key = key_of(migration)
        history = self.loader.history
        followers = set(history.companions.get(key, ())) if history else set()
        if isinstance(migration, RecoveredMigration) and migration.replaces:
            # Django 3.2 unrecords only what an unapplied squashed migration replaces.
            followers.add(key)
        if self.run and self.run.involves_stored_code and not self.loader.replace_migrations:
            # It went back through the originals; what stands for them goes too.
            for squashed, other in self.loader.replacements.items():
                is_applied = squashed in self.loader.applied_migrations
                if is_applied and key in {tuple(original) for original in other.replaces}:
                    followers.add(squashed)
        return followers

    @contextmanager
    def _one_transaction(self, migration: Migration, *, fake: bool) -> Iterator[None]:
        connection = self.connection
        can_join = connection.features.can_rollback_ddl and migration.atomic
        if not isinstance(migration, RecoveredMigration) or not can_join or fake:
            yield
            return
        # SQLite's schema editor insists on this before the transaction begins.
        disabled = not connection.in_atomic_block and connection.disable_constraint_checking()
        try:
            with transaction.atomic(using=connection.alias):
                yield
        finally:
            if disabled:
                connection.enable_constraint_checking()


def _baseline_stays(key: Key, baseline: Key) -> BlockedRewind:
    it = "it" if key == baseline else label(baseline)
    forget = (
        f"'manage.py migrate --prune {baseline[0]}'"
        if compat.HAS_PRUNE
        else "deleting its row from django_migrations"
    )
    return BlockedRewind(
        key,
        f"{it} had no file already when django-rewind was installed, and nobody knows what it made.",
        f"Bring back the file of {label(baseline)}, or undo by hand what it did and then have it "
        f"forgotten by {forget}.",
    )
