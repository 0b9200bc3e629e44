"""
What is asked of Django's executor beyond its own.

Django plans, builds states, and runs. `Rewinding` stands beside one executor: it
orders what Django planned, sees to it that the states know what really ran, and
refuses to start what could not be finished. With nothing missing and nothing
differing in play it hands back what Django handed in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional

from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.migrations import Migration

from . import capture, preflight
from .compare import same_operations, same_text
from .exceptions import BlockedRewind, NotRecoverable, RewindError, StateNotBuilt
from .history import Standing
from .loader import RewindLoader
from .plan import closure, in_applied_order
from .revive import RecoveredMigration
from .signing import digest
from .source import SourceUnavailable, module_of, read_text
from .store import APP_LABEL, Store, StoredMigration
from .types import Key, Plan, Target, label

__all__ = ["Rewinding"]

logger = logging.getLogger("django_rewind")


@dataclass
class Run:
    """One plan, and what of stored code it involves."""

    plan: Plan
    # Stored migrations in reach of the plan, missing and differing ones.
    recovered: dict[Key, RecoveredMigration] = field(default_factory=dict)
    differing: dict[Key, RecoveredMigration] = field(default_factory=dict)
    # Applied, in reach, and in no state that can be built.
    not_in_state: set[Key] = field(default_factory=set)
    # What `prepare` made of it: the nodes in the order of the states.
    order: Optional[list[Migration]] = None
    # What stands in the way; raised when the run begins.
    error: Optional[RewindError] = None
    fake: bool = False
    fake_initial: bool = False

    @property
    def is_backwards(self) -> bool:
        return any(backwards for _, backwards in self.plan)

    @property
    def steps(self) -> list[Key]:
        return [(migration.app_label, migration.name) for migration, _ in self.plan]

    @property
    def involves_stored_code(self) -> bool:
        return bool(self.recovered or self.differing)


class Rewinding:
    """
    The side of one executor that knows of stored code.

    `planned` is called with every plan that Django makes, `ordered` with the plan
    of everything that its states are built along, `begin` and `end` around a run.
    """

    def __init__(self, executor: Any) -> None:
        self.executor = executor
        self.connection = executor.connection
        self.run: Optional[Run] = None
        self._captured = False

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
        self._refuse_what_is_out_of_reach(targets, plan)
        if plan:
            self.run = self._survey(plan)
            if self.run.involves_stored_code and self.run.is_backwards:
                self.run.plan = self._backwards_plan(self.run)
            return self.run.plan
        return plan

    def _refuse_what_is_out_of_reach(self, targets: Sequence[Target], plan: Plan) -> None:
        """
        Refuse when something unrecoverable was applied later than where we go back to.

        `migrate`, `migrate shop` and `migrate shop 0001` have the same target when
        0001 is the last file: only what was asked for by name counts.
        """
        ids = self.loader.record_ids if self.loader.unusable or plan else {}
        bounds: dict[str, int] = {}
        for app_label, name in targets:
            if name is None:
                bounds[app_label] = -1
            elif (app_label, name) in self.loader.asked and (app_label, name) in ids:
                bounds[app_label] = ids[(app_label, name)]
        undone = [(m.app_label, m.name) for m, backwards in plan if backwards]
        for key in undone:
            earliest = ids.get(key, 0) - 1
            bounds[key[0]] = min(bounds.get(key[0], earliest), earliest)
        for key, error in self.loader.unusable.items():
            if key[0] in bounds and ids[key] > bounds[key[0]]:
                raise error
        self._refuse_to_leave_removed_apps_behind(undone)

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

    def _survey(self, plan: Plan) -> Run:
        run = Run(plan)
        apps_in_reach = self._apps_in_reach(run.steps)
        run.recovered = {
            key: migration
            for key, migration in self.loader.recovered.items()
            if key[0] in apps_in_reach
        }
        run.differing = self._differing(apps_in_reach, run)
        run.not_in_state = self._not_in_state(apps_in_reach, run)
        return run

    def _apps_in_reach(self, steps: Iterable[Key]) -> set[str]:
        """Return the apps of the steps, and those one dependency away from them."""
        apps = {app_label for app_label, _ in steps}
        reach = set(apps)
        for key, node in self.loader.graph.node_map.items():
            if key[0] in apps:
                reach.update(other.key[0] for other in (*node.parents, *node.children))
        return reach

    def _differing(self, apps: set[str], run: Run) -> dict[Key, RecoveredMigration]:
        """
        Return what is applied and was edited since, as far as texts can tell.

        An unproven row never counts: another process may have applied other source.
        """
        ids = self.loader.record_ids
        applied = {key for key in ids if key[0] in apps and key in self.loader.graph.nodes}
        on_disk = applied - set(self.loader.recovered)
        if not on_disk or not self.loader.store_is_ready:
            return {}
        store = Store(self.connection)
        stored = store.rows()
        suspects = {
            key: stored[key]
            for key in on_disk
            if key in stored and stored[key].record_id == ids[key] and _text_differs(stored[key])
        }
        texts = store.texts(suspects) if suspects else {}
        return {
            key: migration
            for key, row in suspects.items()
            if not same_text(texts.get(key, ""), _text_on_disk(row))
            and (migration := self._as_it_ran(row, store, run)) is not None
        }

    def _as_it_ran(self, row: StoredMigration, store: Store, run: Run) -> Optional[RecoveredMigration]:
        """Return a file's migration with its stored operations, at the file's place."""
        on_disk = self.loader.disk_migrations[row.key]
        try:
            migration = RecoveredMigration(row, store)
        except ValueError:
            error = NotRecoverable(row.key, "it differs from its file, and its metadata is damaged.")
            if row.key in run.steps and run.is_backwards:
                raise error from None
            self._warn(f"{error.problem} Its file is used instead.")
            return None
        migration.dependencies = on_disk.dependencies
        migration.run_before = on_disk.run_before
        migration.replaces = on_disk.replaces
        return migration

    def _not_in_state(self, apps: set[str], run: Run) -> set[Key]:
        history = self.loader.history
        if history is None:
            return set()
        unknown = history.of(
            Standing.MISSING, Standing.IN_USE, Standing.BASELINE, Standing.SUPERSEDED
        )
        return {key for key in unknown if key[0] in apps and key not in run.recovered}

    # Order and states -------------------------------------------------------

    def ordered(self, full_plan: Plan) -> Plan:
        """
        Return the plan that states are built along.

        Before a run begins, what stands in its way is kept for `begin`: until then
        nobody knows whether the run is a fake one.
        """
        run = self.run
        if run is None or not self._needs_states(run):
            return self._without_recovered(full_plan)
        if run.order is None and run.error is None:
            try:
                run.order = self._prepare(run, full_plan)
            except RewindError as error:
                run.error = error
        if run.order is None:
            return self._without_recovered(full_plan, all_of_them=True)
        return [(migration, False) for migration in run.order]

    @staticmethod
    def _needs_states(run: Run) -> bool:
        """Say whether Django's states would leave out something that is in play."""
        return run.involves_stored_code or bool(run.not_in_state)

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
            gone = closure(recovered, self._children())
        else:
            files = set(self.loader.graph.nodes) - recovered
            gone = recovered - closure(files, self._parents())
        return [(m, backwards) for m, backwards in full_plan if (m.app_label, m.name) not in gone]

    def _parents(self) -> dict[Key, list[Key]]:
        nodes = self.loader.graph.node_map
        return {key: [parent.key for parent in node.parents] for key, node in nodes.items()}

    def _children(self) -> dict[Key, list[Key]]:
        nodes = self.loader.graph.node_map
        return {key: [child.key for child in node.children] for key, node in nodes.items()}

    def _backwards_plan(self, run: Run) -> Plan:
        """Unapply exactly in reverse of the order in which it was applied."""
        keys = in_applied_order(run.steps, self._parents(), self.loader.record_ids)
        return [(self._node(run, key), True) for key in reversed(keys)]

    def _node(self, run: Run, key: Key) -> Migration:
        node: Migration = run.differing.get(key) or self.loader.graph.nodes[key]
        return node

    def _prepare(self, run: Run, full_plan: Plan) -> list[Migration]:
        """Load what the run needs, find its order, and rehearse it."""
        if run.fake:
            self._load_for_fake(run)
            return self._order(run, full_plan)
        self._load(run)
        if run.is_backwards:
            return self._prepare_backwards(run, full_plan)
        return self._prepare_forwards(run, full_plan)

    def _order(self, run: Run, full_plan: Plan) -> list[Migration]:
        """
        Return all nodes: what stays in applied order, then what the run is about.

        What is undone follows in applied order too, what is to be applied in the
        order of Django's graph.
        """
        ids = self.loader.record_ids
        nodes = [(m.app_label, m.name) for m, _ in full_plan]
        known = [key for key in nodes if key not in self._left_out(run)]
        undone = set(run.steps) if run.is_backwards else set()
        stays = [key for key in known if key in ids and key not in undone]
        parents = self._parents()
        order = in_applied_order(stays, parents, ids) + in_applied_order(undone, parents, ids)
        order += [key for key in known if key not in ids]
        return [self._node(run, key) for key in order]

    def _left_out(self, run: Run) -> set[Key]:
        """
        Return the nodes that take part in no state.

        Without replacements the graph holds a squashed migration and its originals.
        """
        left_out = run.not_in_state | {
            key for key in self.loader.recovered if key not in run.recovered
        }
        if not self.loader.replace_migrations:
            nodes = self.loader.graph.nodes
            for key, migration in self.loader.replacements.items():
                if any(tuple(one) in nodes for one in migration.replaces):
                    left_out.add(key)
        return left_out

    def _load(self, run: Run) -> None:
        """
        Execute the stored source of everything in play.

        What is undone has to load. What stays is left out with a warning if it does
        not, and of a differing one the file is used.
        """
        undone = set(run.steps) if run.is_backwards else set()
        for key, migration in list(run.differing.items()):
            try:
                migration.load()
            except NotRecoverable as error:
                if key in undone:
                    raise
                self._warn(f"{error.problem} Its file is used instead.")
                del run.differing[key]
            else:
                if same_operations(migration.loaded, self.loader.disk_migrations[key]):
                    del run.differing[key]
        for key, migration in list(run.recovered.items()):
            try:
                migration.load()
            except NotRecoverable as error:
                if key in undone:
                    raise
                self._leave_out(run, [key], error)
        if run.is_backwards:
            run.plan = [(self._node(run, key), True) for key in run.steps]

    def _leave_out(self, run: Run, keys: Iterable[Key], because: RewindError) -> None:
        """Take recovered migrations, and what hangs on them, out of the states."""
        gone = closure(keys, self._children()) & set(self.loader.applied_migrations)
        if gone & set(run.steps):
            raise because
        names = ", ".join(sorted(label(key) for key in gone))
        self._warn(f"{because.problem} It goes on without {names}.")
        for key in gone:
            run.recovered.pop(key, None)
        run.not_in_state |= gone

    def _load_for_fake(self, run: Run) -> None:
        """
        Load what can be loaded; a fake run executes no operation of it.

        Forgetting a migration is the last resort when its source is no good.
        """
        for key, migration in [*run.differing.items(), *run.recovered.items()]:
            try:
                migration.load()
            except NotRecoverable:
                migration.is_inert = True

    def _prepare_backwards(self, run: Run, full_plan: Plan) -> list[Migration]:
        order = self._order(run, full_plan)
        undone = [m for m in order if (m.app_label, m.name) in set(run.steps)]
        if run.involves_stored_code:
            preflight.check_reversible(reversed(undone))
            before = self._rehearse(run, order, undone)
            preflight.check_not_null(self.connection, before.clone(), undone)
        if self._has_to_look_for_columns(run):
            after = self._rehearse(run, order, undone, until_the_end=True)
            preflight.check_unknown_columns(
                self.connection, after, undone, run.not_in_state, backwards=True
            )
        return order

    def _prepare_forwards(self, run: Run, full_plan: Plan) -> list[Migration]:
        steps = [migration for migration, _ in run.plan]
        # An initial migration may turn out to be there already; Django will look.
        self._refuse_conflicts([m for m in steps if not (run.fake_initial and m.initial)])
        order, before = self._rehearse_forwards(run, full_plan, steps)
        if self._has_to_look_for_columns(run):
            preflight.check_unknown_columns(
                self.connection, before, steps, run.not_in_state, backwards=False
            )
        return order

    def _has_to_look_for_columns(self, run: Run) -> bool:
        apps = {app_label for app_label, _ in run.steps}
        return self.connection.vendor == "sqlite" and any(
            key[0] in apps for key in run.not_in_state
        )

    def _refuse_conflicts(self, steps: list[Migration]) -> None:
        history = self.loader.history
        if history is None:
            return
        missing = history.of(Standing.MISSING, Standing.IN_USE)
        parents = self._parents()
        preflight.check_conflicts(
            steps,
            {key: history.effects(key) for key in missing},
            {
                (step.app_label, step.name): closure([(step.app_label, step.name)], parents)
                for step in steps
            },
        )

    def _rehearse_forwards(
        self, run: Run, full_plan: Plan, steps: list[Migration]
    ) -> tuple[list[Migration], Any]:
        """Find states that hold, first with all stored code, at last with none of it."""
        while True:
            order = self._order(run, full_plan)
            try:
                return order, self._rehearse(run, order, steps)
            except StateNotBuilt as error:
                if not run.involves_stored_code:
                    # Without us it fails as well: it is Django's to say so.
                    return order, self._state()
                same_app = {key for key in run.recovered if key[0] == error.key[0]}
                for key in [key for key in run.differing if key[0] == error.key[0] or not same_app]:
                    self._warn(f"{error.problem} The file of {label(key)} is used instead.")
                    del run.differing[key]
                if run.recovered:
                    self._leave_out(run, same_app or set(run.recovered), error)

    def _rehearse(
        self,
        run: Run,
        order: list[Migration],
        steps: list[Migration],
        *,
        until_the_end: bool = False,
    ) -> Any:
        applied = self.loader.applied_migrations
        in_run = set(run.steps)
        kept = [
            m
            for m in order
            if (m.app_label, m.name) in applied
            and (until_the_end or (m.app_label, m.name) not in in_run)
        ]
        return preflight.rehearse(
            self._state(),
            kept,
            [] if until_the_end else steps,
            [*run.recovered, *run.differing],
        )

    def _state(self) -> Any:
        return self.executor._create_project_state()

    # Running ----------------------------------------------------------------

    def begin(self, plan: Plan, *, fake: bool, fake_initial: bool) -> Plan:
        """
        Check, before the first statement, what can be known before it.

        Raises:
            RewindError: the run cannot be finished; nothing has been changed.
        """
        capture.forget_outcome(self.connection)
        self._captured = False
        if self.run is None or self.run.plan != plan:
            # Another package has trimmed the plan, or made its own.
            self.planned([], plan)
        run = self.run
        if run is None:
            return plan
        run.fake, run.fake_initial = fake, fake_initial
        if fake or fake_initial:
            run.error, run.order = None, None
        if self._needs_states(run) and run.order is None and run.error is None:
            self.executor.migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)
        if run.error is not None:
            raise run.error
        self._say_what_is_loaded(run)
        return run.plan

    def end(self) -> None:
        """Leave what this run knows to the `reconcile` that follows it."""
        applied = {
            key: self.loader.record_ids.get(key, 0) for key in self.loader.applied_migrations
        }
        for key, is_applied in self.executor.recorder.changes.items():
            if is_applied:
                applied[key] = 0
            else:
                applied.pop(key, None)
        capture.hand_over(self.connection, applied, self.loader.disk_migrations)
        self.run = None

    def _say_what_is_loaded(self, run: Run) -> None:
        for migration in [*run.recovered.values(), *run.differing.values()]:
            if migration.is_loaded:
                self._say(f"  Loading {label(migration.key)} from stored code")

    def before_apply(self, migration: Migration, *, fake: bool) -> None:
        """Capture everything that this run applies, before its first operation."""
        if self._captured or not self._store_is_ready():
            return
        forwards = [m for m, backwards in self.run.plan if not backwards] if self.run else []
        self._captured = bool(forwards)
        recorded = self.executor.recorder.changes
        self.executor.recorder.captured |= capture.capture(
            self.connection,
            [m for m in forwards or [migration] if not recorded.get((m.app_label, m.name))],
            fake=fake,
            warn=self._warn,
        )

    def _store_is_ready(self) -> bool:
        ours = [key for key in self.loader.disk_migrations if key[0] == APP_LABEL]
        recorded = self.executor.recorder.changes
        return bool(ours) and all(
            recorded.get(key, key in self.loader.applied_migrations) for key in ours
        )

    @contextmanager
    def unapplying(self, migration: Migration, *, fake: bool) -> Iterator[None]:
        """
        Commit a step from stored code together with its record, where that can be.

        Django deletes the record after the transaction of the schema. What depends
        on the record goes with it: superseded rows, and a squashed migration whose
        originals are on disk.
        """
        with self._one_transaction(migration, fake=fake):
            yield
            for key in self._records_that_follow(migration):
                self.executor.recorder.record_unapplied(*key)

    def _records_that_follow(self, migration: Migration) -> set[Key]:
        key = (migration.app_label, migration.name)
        history = self.loader.history
        followers = set(history.companions.get(key, ())) if history else set()
        if isinstance(migration, RecoveredMigration) and migration.replaces:
            # Django 3.2 unrecords only what an unapplied squashed migration replaces.
            followers.add(key)
        if self.run and self.run.involves_stored_code and not self.loader.replace_migrations:
            # It went back through the originals; what stands for them goes too.
            followers |= {
                squashed
                for squashed, other in self.loader.replacements.items()
                if key in {tuple(one) for one in other.replaces}
                and squashed in self.loader.applied_migrations
            }
        return followers

    @contextmanager
    def _one_transaction(self, migration: Migration, *, fake: bool) -> Iterator[None]:
        connection = self.connection
        can_join = connection.features.can_rollback_ddl and migration.atomic
        if not isinstance(migration, RecoveredMigration) or not can_join or fake:
            yield
            return
        # SQLite's schema editor insists on this before the transaction begins.
        outermost = not connection.in_atomic_block
        disabled = outermost and connection.disable_constraint_checking()
        try:
            with transaction.atomic(using=connection.alias):
                yield
        finally:
            if disabled:
                connection.enable_constraint_checking()

    # Talking ----------------------------------------------------------------

    @property
    def _command(self) -> Optional[BaseCommand]:
        """The command that listens to the progress of the executor, if there is one."""
        owner = getattr(self.executor.progress_callback, "__self__", None)
        return owner if isinstance(owner, BaseCommand) else None

    def _say(self, line: str) -> None:
        command = self._command
        if command is None:
            logger.info(line.strip())
        elif getattr(command, "verbosity", 1) >= 1:
            command.stdout.write(line)

    def _warn(self, line: str) -> None:
        command = self._command
        if command is None:
            logger.warning(line)
        else:
            command.stderr.write(command.style.WARNING(f"Warning: {line}"))


def _text_on_disk(row: StoredMigration) -> str:
    try:
        return read_text(module_of(row.key))
    except (LookupError, SourceUnavailable):
        return ""


def _text_differs(row: StoredMigration) -> bool:
    try:
        return digest(read_text(module_of(row.key))) != row.digest
    except (LookupError, SourceUnavailable):
        # Only bytecode: there is nothing to compare with.
        return False
