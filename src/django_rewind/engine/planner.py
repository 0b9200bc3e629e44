"""What happens between Django's plan and its first statement: survey, load, order, simulate."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from typing import Any

from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import (
    AppliedUnderAnotherName,
    NotRecoverable,
    RewindError,
    StateConflict,
    StateNotBuilt,
)
from ..inventory.files import Files
from ..inventory.renames import renames
from ..inventory.snapshot import FileStatus
from ..schema.effects import effects_of
from ..schema.graph import children_in, closure, in_applied_order, parents_in
from ..schema.lineage import taken_away
from ..sources.compare import same_operations
from ..sources.recovered import RecoveredMigration
from ..sources.stored import StoredMigration, why_unusable
from ..storage.store import Store
from ..utils import compat
from ..utils.types import Effect, Key, Steps, key_of, label
from . import preflight
from .loader import RewindLoader
from .plan import Plan
from .states import Simulation, in_order_of_states

# Takes a line about something that will not be used.
Warn = Callable[[str], None]


def survey(loader: RewindLoader, steps: Steps, warn: Warn, by_file: Container[Key] = ()) -> Plan:
    """
    Return the plan that Django's steps make with the stored code in their reach, without executing any.

    Steps back come exactly in reverse of how they were applied.

    Args:
        by_file: modified migrations that count as they are on disk.

    Raises:
        NotRecoverable: a step to be unapplied was modified, and its stored source is damaged.
    """
    plan = Plan(steps)
    planned = {app_label for app_label, _ in plan.keys}
    apps = set(planned)
    for key, node in loader.graph.node_map.items():
        if key[0] in planned:
            apps.update(neighbour.key[0] for neighbour in (*node.parents, *node.children))
    plan.recovered = _recovered_in_reach(loader, apps)
    plan.applied_versions = _applied_versions(loader, apps, plan, warn, by_file)
    plan.not_in_state = _not_in_state(loader, apps, plan)
    if plan.involves_stored_code and plan.is_backwards:
        keys = in_applied_order(plan.keys, parents_in(loader.graph), loader.record_ids)
        nodes = {**loader.graph.nodes, **plan.applied_versions}
        return replace(plan, migrations=[(nodes[key], True) for key in reversed(keys)])
    return plan


def _recovered_in_reach(loader: RewindLoader, apps: set[str]) -> dict[Key, RecoveredMigration]:
    """Return the recovered migrations of these apps, and those that a file of any app depends on."""
    rest = {key for key in loader.graph.nodes if key not in loader.recovered or key[0] in apps}
    needed = closure(rest, parents_in(loader.graph)) if loader.recovered else set()
    return {key: migration for key, migration in loader.recovered.items() if key in needed}


def modified_rows(loader: RewindLoader, apps: Container[str]) -> list[StoredMigration]:
    """
    Return what is stored of applied migrations whose files were modified since, as far as texts can tell.

    A row that is not bound to its record never counts: another process may have applied other source.
    """
    on_disk = [key for key in loader.applied_migrations if key[0] in apps and key in loader.graph]
    if not loader.store_is_ready or all(key in loader.recovered for key in on_disk):
        return []
    snapshot = loader.snapshot
    bound = [
        stored
        for key in sorted(on_disk, key=snapshot.applied.__getitem__)
        if key not in loader.recovered and (stored := snapshot.bound(key)) is not None
    ]
    compared = Files(Store(loader.connection)).compare(bound)
    return [snapshot.stored[key] for key, comparison in compared.items() if comparison.is_modified]


def _applied_versions(
    loader: RewindLoader, apps: set[str], plan: Plan, warn: Warn, by_file: Container[Key]
) -> dict[Key, RecoveredMigration]:
    """Return modified migrations as they were applied, each at the place of its file."""
    versions: dict[Key, RecoveredMigration] = {}
    for row in modified_rows(loader, apps):
        if row.key in by_file:
            continue
        try:
            migration = RecoveredMigration(row, Store(loader.connection), loader.importer)
        except ValueError as damage:
            error = NotRecoverable(
                row.key,
                f"it differs from its file, and its stored {damage}.",
                f"Have it undone by its file: 'manage.py rewind' takes '--use-file {label(row.key)}'.",
            )
            if row.key in plan.unapplied:
                raise error from None
            warn(f"{error.problem} Its file is used instead.")
            continue
        on_disk: Any = loader.disk_migrations[row.key]
        migration.take_place_of(on_disk)
        versions[row.key] = migration
    # Those of a plan of ours: by now they may hold operations of others.
    versions.update(
        (migration.key, migration)
        for migration, _ in plan.migrations
        if isinstance(migration, RecoveredMigration) and migration.key not in loader.recovered
    )
    return versions


def _not_in_state(loader: RewindLoader, apps: set[str], plan: Plan) -> set[Key]:
    if not loader.has_missing:
        return set()
    unknown = loader.snapshot.of(
        FileStatus.MISSING,
        FileStatus.TABLE_IN_USE,
        FileStatus.MISSING_BEFORE_INSTALL,
        FileStatus.RECREATED,
    )
    return {key for key in unknown if key[0] in apps and key not in plan.recovered}


class Preparation:
    """
    Make a run ready: everything that it needs is loaded, ordered and simulated.

    What stays applied comes first, in the order in which it was applied; then what
    is undone, in applied order too (it is unapplied in reverse), or what is to be
    applied, in the order of Django's graph. Where no such states can be built, the
    module `moves` may know others.

    Args:
        executor: Django's, for its loader, its connection and its empty state.
        plan: it is changed: what cannot be used is taken out of it.
        warn: takes a line about what is taken out.
    """

    def __init__(self, executor: Any, plan: Plan, warn: Warn) -> None:
        self.executor = executor
        self.loader: RewindLoader = executor.loader
        self.plan = plan
        self.warn = warn
        self.parents = parents_in(self.loader.graph)
        self.ids = self.loader.record_ids
        # What ran where a file is used that says something else.
        self._effects_as_applied: dict[Key, list[Effect]] = {}

    def order(self, full_plan: Steps) -> list[Migration]:
        """
        Return all nodes in the order in which states are built.

        Args:
            full_plan: Django's, on an empty database.

        Raises:
            RewindError: the run could not be finished.
        """
        if self.plan.fake:
            self._load_for_fake()
            return self._in_order(full_plan)
        self._load()
        if self.plan.is_backwards:
            return self._backwards(full_plan)
        return self._forwards(full_plan)

    # Loading ----------------------------------------------------------------

    def _load(self) -> None:
        """
        Execute the stored source of everything in play.

        What is undone has to load. What stays is left out with a warning if it does
        not, and of an edited one the file is used.
        """
        self._read_texts()
        for key, migration in list(self.plan.applied_versions.items()):
            error = self._load_one(migration)
            if error is not None:
                self._use_the_file(key, error)
            elif same_operations(migration.loaded, _as_written(self.loader.disk_migrations[key])):
                del self.plan.applied_versions[key]
        for key, migration in list(self.plan.recovered.items()):
            error = self._load_one(migration)
            if error is not None:
                self._leave_out([key], error)
        if self.plan.is_backwards:
            # In place: it is the plan that receivers of pre_migrate are given, and to
            # whose migrations they add operations.
            self.plan.migrations[:] = [(self._node(key), True) for key in self.plan.keys]

    def _read_texts(self) -> None:
        """Read what is going to be executed in one go: one by one each is a query."""
        waiting = [
            migration
            for migration in (*self.plan.applied_versions.values(), *self.plan.recovered.values())
            if not migration.is_loaded and why_unusable(migration.stored) is None
        ]
        texts = Store(self.loader.connection).texts(migration.key for migration in waiting)
        for migration in waiting:
            migration.text = texts.get(migration.key)

    def _load_one(self, migration: RecoveredMigration) -> NotRecoverable | None:
        try:
            migration.load()
        except NotRecoverable as error:
            if migration.key not in self.plan.unapplied:
                return error
            if migration.key in self.plan.applied_versions:
                raise with_way_out(error) from error
            raise
        return None

    def _load_for_fake(self) -> None:
        """
        Load what can be loaded: a fake run executes no operation of it.

        Forgetting a migration is the last resort when its source is no good.
        """
        for migration in (*self.plan.applied_versions.values(), *self.plan.recovered.values()):
            migration.is_inert = not migration.can_be_loaded()

    def _use_the_file(self, key: Key, because: RewindError) -> None:
        self.warn(f"{because.problem} The file of {label(key)} is used instead.")
        self._effects_as_applied[key] = self.plan.applied_versions.pop(key).stored.metadata.effects

    def _leave_out(self, keys: Iterable[Key], because: RewindError) -> None:
        """
        Take recovered migrations, and what hangs on them, out of the states.

        Raises:
            RewindError: the plan itself hangs on them.
        """
        gone = closure(keys, children_in(self.loader.graph))
        if gone & set(self.plan.keys):
            raise because
        gone &= set(self.loader.applied_migrations)
        names = ", ".join(sorted(label(key) for key in gone))
        self.warn(f"{because.problem} It goes on without {names}.")
        for key in gone:
            self.plan.recovered.pop(key, None)
        self.plan.not_in_state |= gone

    # Order ------------------------------------------------------------------

    def _in_order(self, full_plan: Steps) -> list[Migration]:
        left_out = self._left_out()
        known = [key for key in (key_of(migration) for migration, _ in full_plan) if key not in left_out]
        return [
            self._node(key) for key in in_order_of_states(known, self.parents, self.ids, self.plan.unapplied)
        ]

    def _node(self, key: Key) -> Migration:
        node: Migration = self.plan.applied_versions.get(key) or self.loader.graph.nodes[key]
        return node

    def _left_out(self) -> set[Key]:
        """
        Return the nodes that take part in no state.

        Without replacements the graph holds a squashed migration and its originals.
        """
        out_of_reach = set(self.loader.recovered) - set(self.plan.recovered)
        left_out = self.plan.not_in_state | out_of_reach
        if not self.loader.replace_migrations:
            for key, migration in self.loader.replacements.items():
                if any(tuple(original) in self.loader.graph for original in migration.replaces):
                    left_out.add(key)
        return left_out

    # Backwards --------------------------------------------------------------

    def _backwards(self, full_plan: Steps) -> list[Migration]:
        order = self._in_order(full_plan)
        undone = [migration for migration in order if key_of(migration) in self.plan.unapplied]
        if self.plan.involves_stored_code:
            preflight.check_reversible(reversed(undone))
            for migration in undone:
                if isinstance(migration, RecoveredMigration):
                    migration.check_functions()
            applied = self._applied(order)
            kept = [migration for migration in applied if key_of(migration) not in self.plan.unapplied]
            found, before = self._simulation().backwards(kept, undone)
            order = [*found, *(migration for migration in order if migration not in applied)]
            preflight.check_not_null(self.executor.connection, before, undone)
            self.plan.order_to_show = self._order_to_show(order)
        if self._has_to_look_for_columns():
            now = self._simulate(order, [])
            self._check_unknown_columns(now, undone)
        return order

    def _applied(self, order: list[Migration]) -> list[Migration]:
        return [one for one in order if key_of(one) in self.loader.applied_migrations]

    def _order_to_show(self, order: list[Migration]) -> list[Migration]:
        """
        Return what Django can render at once, as it does for `pre_migrate`.

        What is undone may refer to a model that what stays has renamed or deleted.
        Step by step that does no harm; for the state as a whole it is left out.
        """
        recovered = closure(self.plan.recovered, children_in(self.loader.graph))
        of_files = [migration for migration in order if key_of(migration) not in recovered]
        kept = [migration for migration in order if key_of(migration) not in self.plan.unapplied]
        simulation = self._simulation()
        return next((one for one in (order, of_files) if simulation.renders(self._applied(one))), kept)

    # Forwards ---------------------------------------------------------------

    def _forwards(self, full_plan: Steps) -> list[Migration]:
        steps = [migration for migration, _ in self.plan.migrations]
        # An initial migration may turn out to be there already; Django will look.
        really = [m for m in steps if not (self.plan.fake_initial and m.initial)]
        self._refuse_what_is_done_already(really)
        self._refuse_conflicts(really)
        self._refuse_what_is_taken_away(really)
        order, now = self._simulate_forwards(full_plan, steps)
        if self._has_to_look_for_columns():
            self._check_unknown_columns(now, steps)
        return order

    def _refuse_what_is_done_already(self, steps: list[Migration]) -> None:
        """
        Refuse steps that are applied under another name, as long as something is left of what they did.

        Of data nobody would notice that it is changed twice.
        """
        if not self.loader.has_missing:
            return
        renamed = renames(self.loader.snapshot, Store(self.loader.connection))
        applied_as = {file: missing for missing, file in renamed.items()}
        again = [key for key in map(key_of, steps) if key in applied_as]
        if not again:
            return
        left = self.loader.snapshot.lasting_effects(renamed)
        for key in again:
            if left[applied_as[key]]:
                raise AppliedUnderAnotherName(key, applied_as[key])

    def _refuse_conflicts(self, steps: list[Migration]) -> None:
        if self.loader.has_missing:
            snapshot = self.loader.snapshot
            preflight.check_conflicts(
                steps,
                snapshot.lasting_effects(snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)),
                {key_of(step): closure([key_of(step)], self.parents) for step in steps},
            )

    def _refuse_what_is_taken_away(
        self, steps: list[Migration], files: Iterable[Key] = (), missing: Iterable[Key] = ()
    ) -> None:
        """
        Refuse steps that work on what has been taken away by something left out.

        Args:
            files: edited ones whose files would be used, beside those where that is so.
            missing: recovered ones that would be left out, beside those that are.
        """
        not_in_state: set[Key] = set()
        if self.loader.has_missing:
            unknown = self.loader.snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
            not_in_state = {*self.plan.not_in_state, *missing}.intersection(unknown)
        as_applied = dict(self._effects_as_applied)
        as_applied.update((key, self.plan.applied_versions[key].stored.metadata.effects) for key in files)
        if not not_in_state and not as_applied:
            return
        ran = [
            (key, as_applied.get(key) or self._effects(key))
            for key in sorted(self.ids, key=self.ids.__getitem__)
        ]
        for step, by, what in taken_away(steps, ran, {*not_in_state, *as_applied}):
            raise StateConflict(step, by, what, has_file=by in as_applied)

    def _effects(self, key: Key) -> list[Effect]:
        if self.loader.has_missing:
            return self.loader.snapshot.effects(key)
        migration = self.loader.disk_migrations.get(key)
        return effects_of(migration) if migration else []

    def _simulate_forwards(self, full_plan: Steps, steps: list[Migration]) -> tuple[list[Migration], Any]:
        """Find states that hold, first with all stored code, at last with none of it."""
        while True:
            order = self._in_order(full_plan)
            try:
                return order, self._simulate(order, steps)
            except StateNotBuilt as error:
                if not self.plan.involves_stored_code:
                    # Without us it fails as well: it is Django's to say so.
                    return order, self._empty_state()
                self._do_without_some(error, steps)

    def _do_without_some(self, error: StateNotBuilt, steps: list[Migration]) -> None:
        """Take out the stored code of the app where it failed, or else all of it."""
        app_label = error.key[0]
        nearby = [key for key in self.plan.recovered if key[0] == app_label]
        files = [key for key in self.plan.applied_versions if key[0] == app_label or not nearby]
        missing = nearby or list(self.plan.recovered)
        self._refuse_what_is_taken_away(steps, files, missing)
        for key in files:
            self._use_the_file(key, error)
        if missing:
            self._leave_out(missing, error)

    # States -----------------------------------------------------------------

    def refuse_without_states(self) -> None:
        """
        Find what keeps the states of a run back from being rendered, where Django has found that there is something.

        Raises:
            StateNotBuilt: names it.
        """
        applied = self._applied(self.plan.order or [])
        first = next(
            (at for at, one in enumerate(applied) if key_of(one) in self.plan.unapplied), len(applied)
        )
        self._simulate(applied, applied[first:], renders=True)

    def _simulate(
        self, order: list[Migration], steps: list[Migration], *, renders: bool | None = None
    ) -> Any:
        """
        Return the state of what is applied, before the steps, having tried those.

        Args:
            renders: see `Simulation.run`; forwards by default.
        """
        in_steps = {key_of(step) for step in steps}
        return self._simulation().run(
            [migration for migration in self._applied(order) if key_of(migration) not in in_steps],
            steps,
            backwards=self.plan.is_backwards,
            renders=not self.plan.is_backwards if renders is None else renders,
        )

    def _simulation(self) -> Simulation:
        return Simulation(
            self._empty_state,
            self.parents,
            self.ids,
            rebuilds=backend_for(self.executor.connection).rebuilds_tables,
            suspects=[*self.plan.recovered, *self.plan.applied_versions],
        )

    def _empty_state(self) -> Any:
        return compat.project_state(self.executor)

    def _has_to_look_for_columns(self) -> bool:
        apps = {app_label for app_label, _ in self.plan.keys}
        rebuilds_tables = backend_for(self.executor.connection).rebuilds_tables
        return rebuilds_tables and any(app_label in apps for app_label, _ in self.plan.not_in_state)

    def _check_unknown_columns(self, now: Any, steps: list[Migration]) -> None:
        preflight.check_unknown_columns(
            self.executor.connection,
            now,
            steps,
            self.plan.not_in_state,
            backwards=self.plan.is_backwards,
        )


def with_way_out(error: NotRecoverable) -> NotRecoverable:
    """An edited file is there, though it is not what ran."""
    name = label(error.key)
    way_out = f"Or have it undone by its file, as that is now: 'manage.py rewind' takes '--use-file {name}'."
    return NotRecoverable(error.key, error.reason, f"{error.next_step}\n{way_out}")


def _as_written(migration: Migration) -> Migration:
    """Return a migration without the operations that others have added in memory."""
    return type(migration)(migration.name, migration.app_label)
