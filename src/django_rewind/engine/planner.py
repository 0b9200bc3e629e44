"""What happens between Django's plan and its first statement: survey, load, order, simulate."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import (
    AppliedUnderAnotherName,
    NeverApplied,
    NotRecoverable,
    RewindError,
    StateConflict,
    StateNotBuilt,
)
from ..inventory.contradictions import contradicted_in
from ..inventory.files import Files
from ..inventory.snapshot import Comparison, FileStatus
from ..schema.effects import effects_of
from ..schema.graph import children_in, closure, in_applied_order, parents_in, target_below
from ..schema.lineage import never_made, taken_away
from ..schema.operations import unrendered
from ..sources.as_applied import is_evaluated_otherwise
from ..sources.compare import same_operations
from ..sources.description import as_written, module_of
from ..sources.recovered import RecoveredMigration
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration, why_unusable
from ..storage.store import Store
from ..utils import compat
from ..utils.types import Applied, Effect, Key, Steps, key_of, label
from . import preflight
from .conflicts import check_branches, check_versions
from .loader import RewindLoader
from .plan import Plan
from .rows import check_rows
from .states import Simulation, WithOriginals, in_order_of_states

# Takes a line about something that will not be used.
Warn = Callable[[str], None]


def survey(loader: RewindLoader, steps: Steps, warn: Warn, by_file: Container[Key] = ()) -> Plan:
    """
    Return the plan that Django's steps make with the stored code in their reach, without executing any.

    Steps back come exactly in reverse of how they were applied.

    Args:
        by_file: modified migrations that count as they are on disk.
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
    """Return the recovered migrations of these apps, and those that one of them or any file depends on."""
    rest = {
        key
        for key in loader.graph.nodes
        if key not in loader.recovered or (key[0] in apps and key not in loader.skipped)
    }
    needed = closure(rest, parents_in(loader.graph)) if loader.recovered else set()
    return {key: migration for key, migration in loader.recovered.items() if key in needed}


def modified_rows(loader: RewindLoader, apps: Container[str]) -> list[StoredMigration]:
    """
    Return what is stored of applied migrations whose files were modified since, as far as texts can tell.

    A row that is not bound to its record never counts: another process may have applied other source.
    """
    return [row for row, comparison in _compared(loader, apps) if comparison.is_modified]


def rows_that_differ(loader: RewindLoader, apps: Container[str]) -> list[StoredMigration]:
    """Return these, and what is stored of applied migrations whose files come to something else here."""
    return [
        row
        for row, comparison in _compared(loader, apps)
        if comparison.is_modified or _is_evaluated_otherwise(loader, row)
    ]


def _compared(loader: RewindLoader, apps: Container[str]) -> list[tuple[StoredMigration, Comparison]]:
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
    return [(snapshot.stored[key], comparison) for key, comparison in compared.items()]


def _is_evaluated_otherwise(loader: RewindLoader, row: StoredMigration) -> bool:
    """Say whether a file comes to something else than it did when it was applied, by what is signed of that."""
    # Few have one of the two noted, and to verify a row takes longer than to look.
    is_noted = any(name in row.metadata_text for name in ('"evaluated"', '"auto_field"'))
    if not is_noted or row.verdict is not Verdict.VERIFIED:
        return False
    try:
        metadata = row.metadata
    except ValueError:
        return False
    return is_evaluated_otherwise(metadata, as_written(loader.disk_migrations[row.key]), module_of(row.key))


def _applied_versions(
    loader: RewindLoader, apps: set[str], plan: Plan, warn: Warn, by_file: Container[Key]
) -> dict[Key, RecoveredMigration]:
    """Return modified migrations as they were applied, each at the place of its file."""
    versions: dict[Key, RecoveredMigration] = {}
    refused: list[NotRecoverable] = []
    for row in rows_that_differ(loader, apps):
        if row.key in by_file:
            continue
        error = why_unusable(row)
        if error is not None:
            if row.key in plan.unapplied:
                refused.append(with_way_out(error))
            else:
                warn(f"{error.problem} Its file is used instead. {error.next_step}")
            continue
        migration = RecoveredMigration(row, Store(loader.connection), loader.importer)
        on_disk: Any = loader.disk_migrations[row.key]
        migration.take_place_of(on_disk)
        versions[row.key] = migration
    by_files = plan.unapplied - {*versions} - {error.key for error in refused}
    refused += contradicted(loader, (key for key in by_files if key not in by_file)).values()
    if refused:
        plan.obstacle = NotRecoverable.of_all(refused)
    # Those of a plan of ours: by now they may hold operations of others.
    versions.update(
        (migration.key, migration)
        for migration, _ in plan.migrations
        if isinstance(migration, RecoveredMigration) and migration.key not in loader.recovered
    )
    return versions


def contradicted(loader: RewindLoader, keys: Iterable[Key]) -> dict[Key, NotRecoverable]:
    """Return which of these must not be unapplied by their files, each with the error."""
    wanted = [key for key in keys if key not in loader.recovered]
    if not wanted or not loader.store_is_ready:
        return {}
    found = contradicted_in(loader.connection, loader.snapshot, wanted)
    return {key: contradiction.error for key, contradiction in found.items()}


def _recreated(loader: RewindLoader) -> set[Key]:
    return set(loader.snapshot.of(FileStatus.RECREATED)) if loader.has_missing else set()


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
    Make a plan ready for its run: everything that it needs is loaded, ordered and simulated.

    What stays applied comes first, in the order in which it was applied; then what is
    unapplied, in applied order too (and exactly in reverse when it runs), or what is to be
    applied, in the order of Django's graph. The module `states` may know another order.

    Args:
        executor: Django's.
        plan: it is changed: what cannot be used is taken out of it.
        warn: takes a line about what is taken out.
    """

    def __init__(self, executor: Any, plan: Plan, warn: Warn) -> None:
        self.executor = executor
        self.connection = executor.connection
        self.loader: RewindLoader = executor.loader
        self.plan = plan
        self.warn = warn
        self.parents = parents_in(self.loader.graph)
        self.ids = self.loader.record_ids
        self.recreated = _recreated(self.loader)
        # Squashed migrations in whose place the states have them with what they replace.
        self.with_originals: dict[Key, WithOriginals] = {}
        # What was applied where a file is used that says something else.
        self._effects_as_applied: dict[Key, list[Effect]] = {}

    def order(self, full_plan: Steps) -> list[Migration]:
        """
        Return all nodes in the order in which states are built.

        Args:
            full_plan: Django's, on an empty database.
        """
        if self.plan.fake:
            for migration in self._stored:
                # A fake run executes no operation: it is the last resort when a source is no good.
                migration.is_inert = not migration.can_be_loaded()
            self._use_equal_files()
            order = self._in_order(full_plan)
            if not self._renders(order):
                for migration in self._stored:
                    migration.is_inert = True
            return self._nodes(order)
        self._load()
        return self._backwards(full_plan) if self.plan.is_backwards else self._forwards(full_plan)

    def _renders(self, order: list[Key]) -> bool:
        """Say whether all states of the plan can be rendered, as Django does with them."""
        if not self.plan.involves_stored_code:
            return True
        keys = set(self.plan.keys)
        kept = self._nodes(key for key in self._applied(order) if key not in keys)
        try:
            self._simulation().run(
                kept,
                self._nodes(key for key in order if key in keys),
                backwards=self.plan.is_backwards,
                renders=True,
            )
        except StateNotBuilt:
            return False
        return True

    @property
    def _ids_of_states(self) -> Applied:
        """What was recreated comes as early as it can: what files say of the same tables is what is there now."""
        oldest = min(self.ids.values(), default=0) - 1
        return {key: oldest if key in self.recreated else at for key, at in self.ids.items()}

    def _find_other_states(self) -> bool:
        """Have the states know more, or less, of what stays because something else stands for it."""
        return self._do_without_recreated() or self._do_with_originals()

    def _do_with_originals(self) -> bool:
        """
        Have the states know the models that squashed migrations had under their old names; return whether that is new.

        What stands on an original needs them where the squash is another app's, or says them otherwise.
        """
        if self.with_originals or not self.loader.has_missing:
            return False
        snapshot, store = self.loader.snapshot, Store(self.connection)
        squashed_by = snapshot.squashed_by
        squashed = [key for key in snapshot.of(FileStatus.SQUASHED) if not squashed_by.follows_originals(key)]
        parents = {key: snapshot.dependencies(key) for key in (*squashed, *self.plan.recovered)}
        wanted = closure(self.plan.recovered, parents)
        originals: dict[Key, list[Migration]] = {}
        for key in squashed:
            standing = sorted(squashed_by.in_place_of(key) & self.loader.graph.nodes.keys())
            if key in wanted and standing and snapshot.reason_against(key) is None:
                migration = RecoveredMigration(snapshot.stored[key], store, self.loader.importer)
                if migration.can_be_loaded():
                    originals.setdefault(standing[0], []).append(migration)
        self.with_originals = {key: WithOriginals(self._node(key), found) for key, found in originals.items()}
        return bool(originals)

    def _do_without_recreated(self) -> bool:
        """Have the states know what was recreated by its file alone; return whether that is anything new."""
        known = self.recreated & self.plan.recovered.keys()
        for key in known:
            del self.plan.recovered[key]
        return bool(known)

    @property
    def _stored(self) -> list[RecoveredMigration]:
        return [*self.plan.applied_versions.values(), *self.plan.recovered.values()]

    def _load(self) -> None:
        """
        Execute the stored source of everything in play.

        What is unapplied has to load. What stays is left out with a warning if it does
        not, and of a modified one the file is used.
        """
        stored = self._stored
        waiting = [row for row in stored if not row.is_loaded and why_unusable(row.stored) is None]
        # In one go: one by one each is a query.
        texts = Store(self.connection).texts(migration.key for migration in waiting)
        for migration in waiting:
            migration.text = texts.get(migration.key)
        for migration in stored:
            key = migration.key
            is_modified = key in self.plan.applied_versions
            try:
                migration.load()
            except NotRecoverable as error:
                if key in self.plan.unapplied:
                    raise (with_way_out(error) if is_modified else error) from error.__cause__
                if key in self.recreated:
                    self._do_without_recreated()
                else:
                    self._use_the_file(key, error) if is_modified else self._leave_out([key], error)
        self._use_equal_files()

    def _use_equal_files(self) -> None:
        """Use the files of modified migrations that turn out to do the same as what was applied."""
        for key, migration in list(self.plan.applied_versions.items()):
            is_equal = migration.is_loaded and same_operations(
                migration.loaded, as_written(self.loader.disk_migrations[key])
            )
            if is_equal:
                del self.plan.applied_versions[key]
        if self.plan.is_backwards:
            # In place: it is the plan that receivers of pre_migrate are given, and to
            # whose migrations they add operations.
            self.plan.migrations[:] = [(self._node(key), True) for key in self.plan.keys]

    def _use_the_file(self, key: Key, because: RewindError) -> None:
        self.warn(f"{because.problem} The file of {label(key)} is used instead.")
        self._effects_as_applied[key] = self.plan.applied_versions.pop(key).stored.metadata.effects

    def _leave_out(self, keys: Iterable[Key], because: RewindError) -> None:
        """Take recovered migrations, and what hangs on them, out of the states."""
        gone = closure(keys, children_in(self.loader.graph))
        if gone & set(self.plan.keys):
            raise because
        gone &= set(self.loader.applied_migrations)
        self.warn(f"{because.problem} It goes on without {', '.join(sorted(map(label, gone)))}.")
        for key in gone:
            self.plan.recovered.pop(key, None)
        self.plan.not_in_state |= gone

    # Order ------------------------------------------------------------------

    def _in_order(self, full_plan: Steps) -> list[Key]:
        left_out = self.plan.not_in_state | (set(self.loader.recovered) - set(self.plan.recovered))
        if not self.loader.replace_migrations:
            # The graph holds a squashed migration and its originals.
            for key, originals in self.loader.originals.items():
                if any(original in self.loader.graph for original in originals):
                    left_out.add(key)
        keys = [(migration.app_label, migration.name) for migration, _ in full_plan]
        known = [key for key in keys if key not in left_out]
        return in_order_of_states(known, self.parents, self._ids_of_states, self.plan.unapplied)

    def _node(self, key: Key) -> Migration:
        node: Migration = self.plan.applied_versions.get(key) or self.loader.graph.nodes[key]
        return self.with_originals.get(key, node)

    def _nodes(self, keys: Iterable[Key]) -> list[Migration]:
        return [self._node(key) for key in keys]

    def _applied(self, order: Iterable[Key]) -> list[Key]:
        return [key for key in order if key in self.loader.applied_migrations]

    def _kept(self, order: Iterable[Key]) -> list[Key]:
        return [key for key in order if key not in self.plan.unapplied]

    # Backwards --------------------------------------------------------------

    def _backwards(self, full_plan: Steps) -> list[Migration]:
        order = self._in_order(full_plan)
        unapplied = self._nodes(key for key in order if key in self.plan.unapplied)
        if self.plan.involves_stored_code:
            preflight.check_reversible(reversed(unapplied))
            for migration in unapplied:
                if isinstance(migration, RecoveredMigration):
                    migration.check_functions()
            applied = self._applied(order)
            try:
                found, before = self._simulation().backwards(self._nodes(self._kept(applied)), unapplied)
            except StateNotBuilt:
                if self._find_other_states():
                    return self._backwards(full_plan)
                raise
            not_applied = [key for key in order if key not in self.loader.applied_migrations]
            order = [*((migration.app_label, migration.name) for migration in found), *not_applied]
            for key in self.with_originals.keys() & self.plan.unapplied:
                before = self.with_originals[key].with_old_names(before)
            self._check_columns(unapplied, before)
            check_rows(self.connection, before, unapplied)
            self.plan.order_to_show = self._order_to_show(order)
        elif backend_for(self.connection).rebuilds_tables:
            kept = self._nodes(self._kept(self._applied(order)))
            self._check_columns(unapplied, self._simulation().run(kept, unapplied))
        return self._nodes(order)

    def _order_to_show(self, order: list[Key]) -> list[Migration]:
        """
        Return what Django can render at once, as it does for `pre_migrate`.

        What is unapplied may refer to a model that what stays has renamed or deleted.
        Step by step that does no harm; for the state as a whole it is left out.
        """
        recovered = closure(self.plan.recovered, children_in(self.loader.graph))
        for candidate in (order, [key for key in order if key not in recovered]):
            if self._simulation().renders(self._nodes(self._applied(candidate))):
                return self._nodes(candidate)
        return self._nodes(self._kept(order))

    def refuse_without_states(self) -> None:
        """
        Name what keeps the states of a run from being rendered, where Django has found that there is something.
        """
        order = [(migration.app_label, migration.name) for migration in self.plan.order or []]
        applied = self._applied(order)
        unapplied = self.plan.unapplied
        first = next((at for at, key in enumerate(applied) if key in unapplied), len(applied))
        self._simulation().run(self._nodes(applied[:first]), self._nodes(applied[first:]), renders=True)

    # Forwards ---------------------------------------------------------------

    def _forwards(self, full_plan: Steps) -> list[Migration]:
        steps = [migration for migration, _ in self.plan.migrations]
        # An initial migration may turn out to be there already; Django will look.
        really = [step for step in steps if not (self.plan.fake_initial and step.initial)]
        if self.loader.has_missing:
            self._refuse_what_is_renamed(really)
            self._refuse_conflicts(full_plan, really)
        self._refuse_what_is_taken_away(really)
        self._refuse_what_is_made_already(full_plan, really)
        order, now = self._simulate_forwards(full_plan, steps)
        self._check_columns(steps, now)
        return order

    def _refuse_what_is_renamed(self, steps: list[Migration]) -> None:
        """
        Refuse steps that are applied under another name, as long as something is left of what they did.

        Of data nobody would notice that it is changed twice.
        """
        applied_as = {file: missing for missing, file in self.loader.renamed.items()}
        again = [key for key in map(key_of, steps) if key in applied_as]
        left = self.loader.snapshot.lasting_effects(applied_as.values()) if again else {}
        for key in again:
            if left[applied_as[key]]:
                raise AppliedUnderAnotherName(key, applied_as[key])

    def _refuse_conflicts(self, full_plan: Steps, steps: list[Migration]) -> None:
        """Refuse steps that do not go with what is missing, from what is known of that, and from its states."""
        snapshot = self.loader.snapshot
        missing = snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
        preflight.check_conflicts(
            steps,
            snapshot.lasting_effects(missing),
            {key_of(step): closure([key_of(step)], self.parents) for step in steps},
            self._way_out,
        )
        keys = set(self.plan.keys)
        check_branches(
            self.connection,
            partial(compat.project_state, self.executor),
            self._nodes(key for key in self._applied(self._in_order(full_plan)) if key not in keys),
            children_in(self.loader.graph),
            steps=steps,
            missing=[key for key in missing if key in self.plan.recovered],
            way_out=self._way_out,
        )

    def _way_out(self, missing: Key) -> str:
        """Return the command that rolls back a missing migration."""
        if self.loader.snapshot.without_file[missing] is FileStatus.TABLE_IN_USE:
            return f"manage.py rewind {missing[0]} {target_below(missing, self.parents.get(missing, ()))}"
        return f"manage.py rewind{' --include-renamed' if missing in self.loader.renamed else ''}"

    def _refuse_what_is_taken_away(
        self, steps: list[Migration], files: Iterable[Key] = (), missing: Iterable[Key] = ()
    ) -> None:
        """
        Refuse steps that work on what has been taken away by something left out.

        Args:
            files: modified ones whose files would be used, beside those where that is so.
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
        applied = [(key, as_applied.get(key) or self._effects(key)) for key in self.ids]
        for step, by, what in taken_away(steps, applied, {*not_in_state, *as_applied}):
            command = "" if by in as_applied else self._way_out(by)
            raise StateConflict(step, by, what, command)

    def _refuse_what_is_made_already(self, full_plan: Steps, steps: list[Migration]) -> None:
        """Refuse steps that make again what was applied under a name whose file does not say so any more."""
        versions = self.plan.applied_versions
        if versions:
            keys = set(self.plan.keys)
            applied = [key for key in self._applied(self._in_order(full_plan)) if key not in keys]
            check_versions(
                self.connection,
                partial(compat.project_state, self.executor),
                [self.loader.graph.nodes[key] for key in applied],
                {key: versions[key] for key in applied if key in versions},
                steps=steps,
                missing=self.plan.recovered,
            )

    def _refuse_what_was_never_made(self, steps: list[Migration], files: Iterable[Key]) -> None:
        """Refuse steps for which a file would be used that claims to have made what it has not."""
        effects = {
            key: (
                effects_of(self.loader.disk_migrations[key]),
                self.plan.applied_versions[key].stored.metadata.effects,
            )
            for key in files
        }
        for step, by, what in never_made(steps, effects):
            raise NeverApplied(step, by, what)

    def _effects(self, key: Key) -> list[Effect]:
        if self.loader.has_missing:
            return self.loader.snapshot.effects(key)
        migration = self.loader.disk_migrations.get(key)
        return effects_of(migration) if migration else []

    def _simulate_forwards(self, full_plan: Steps, steps: list[Migration]) -> tuple[list[Migration], Any]:
        """Find states that hold, first with all stored code, at last with none of it."""
        keys = set(self.plan.keys)
        while True:
            order = self._in_order(full_plan)
            kept = self._nodes(key for key in self._applied(order) if key not in keys)
            try:
                now = self._simulation().run(kept, steps, backwards=False, renders=True)
                return self._nodes(order), now
            except StateNotBuilt as error:
                if not self.plan.involves_stored_code:
                    # Without us it fails as well: it is Django's to say so.
                    return self._nodes(order), compat.project_state(self.executor)
                if not self._find_other_states():
                    self._do_without_some(error, steps)

    def _do_without_some(self, error: StateNotBuilt, steps: list[Migration]) -> None:
        """Take out the stored code of the app where it failed, or else all of it."""
        app_label = error.key[0]
        nearby = [key for key in self.plan.recovered if key[0] == app_label]
        files = [key for key in self.plan.applied_versions if key[0] == app_label or not nearby]
        missing = nearby or list(self.plan.recovered)
        self._refuse_what_was_never_made(steps, files)
        self._refuse_what_is_taken_away(steps, files, missing)
        for key in files:
            self._use_the_file(key, error)
        if missing:
            self._leave_out(missing, error)

    # States -----------------------------------------------------------------

    def _simulation(self) -> Simulation:
        return Simulation(
            partial(compat.project_state, self.executor),
            self.parents,
            self._ids_of_states,
            rebuilds=backend_for(self.connection).rebuilds_tables,
            suspects=[*self.plan.recovered, *self.plan.applied_versions],
        )

    def _check_columns(self, steps: list[Migration], before: Any) -> None:
        if self.loader.foreseen:
            # The tables are not yet what they will be by then.
            return
        # What was recreated may have made more than its file, whose word is the last.
        unsure = self.plan.not_in_state | self.recreated | self.with_originals.keys()
        preflight.check_unknown_columns(
            self.connection, unrendered(before), steps, unsure, backwards=self.plan.is_backwards
        )


def check_rows_of_files(executor: Any, order: Iterable[Migration], unapplied: Container[Key]) -> None:
    """
    Refuse to put back what rows do not allow where every step has its file, and Django builds the states.

    Args:
        order: everything, in the order in which Django does so.
    """
    applied = [migration for migration in order if key_of(migration) in executor.loader.applied_migrations]
    state = compat.project_state(executor)
    try:
        for migration in applied:
            if key_of(migration) not in unapplied:
                state = migration.mutate_state(state, preserve=False)
    except Exception:  # noqa: BLE001 (what keeps states from being built is Django's to say)
        return
    check_rows(executor.connection, state, [one for one in applied if key_of(one) in unapplied])


def with_way_out(error: NotRecoverable) -> NotRecoverable:
    """An edited file is there, though it is not what ran."""
    name = label(error.key)
    if f"--use-file {name}" in error.next_step:
        return error
    way_out = f"Or have it undone by its file, as that is now: 'manage.py rewind' takes '--use-file {name}'."
    return NotRecoverable(error.key, error.reason, f"{error.next_step}\n{way_out}")
