"""One plan, and what of stored code it involves."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db.migrations import Migration

from ..exceptions import NotRecoverable, RewindError
from ..inventory.files import Edits
from ..inventory.loader import RewindLoader
from ..inventory.snapshot import FileStatus
from ..schema.graph import closure, parents_in
from ..sources.recovered import RecoveredMigration
from ..sources.stored import StoredMigration
from ..storage.store import Store
from ..utils.types import Key, Plan, key_of, label

__all__ = ["Run", "Survey"]


@dataclass
class Run:
    """
    A plan, the stored code in its reach, and what has been found out about it.

    A migration is in reach when its app is one of the plan's, or is one dependency
    away from one: only then can the run touch it or its tables.
    """

    plan: Plan
    # Its steps when it was planned: a receiver of pre_migrate may have taken some out.
    planned: list[Key] = field(default_factory=list)
    # Missing migrations with stored source, and edited ones as they ran.
    recovered: dict[Key, RecoveredMigration] = field(default_factory=dict)
    differing: dict[Key, RecoveredMigration] = field(default_factory=dict)
    # Applied, in reach, and in no state that can be built.
    not_in_state: set[Key] = field(default_factory=set)
    # The nodes in the order in which states are built; None before the preparation.
    order: list[Migration] | None = None
    # The same for the state that pre_migrate is given, where the one above cannot be rendered as a whole.
    order_to_show: list[Migration] | None = None
    # What stands in the way; raised when the run begins.
    error: RewindError | None = None
    fake: bool = False
    fake_initial: bool = False

    @property
    def is_backwards(self) -> bool:
        return any(backwards for _, backwards in self.plan)

    @property
    def steps(self) -> list[Key]:
        return [key_of(migration) for migration, _ in self.plan]

    @property
    def undone(self) -> set[Key]:
        return {key_of(migration) for migration, backwards in self.plan if backwards}

    @cached_property
    def has_stored_steps(self) -> bool:
        """Whether stored code is among its steps; asked at each of them, when they are settled."""
        return any(isinstance(migration, RecoveredMigration) for migration, _ in self.plan)

    @property
    def involves_stored_code(self) -> bool:
        return bool(self.recovered or self.differing)

    @property
    def needs_states_of_its_own(self) -> bool:
        """Whether Django's states would leave out something that is in play."""
        return self.involves_stored_code or bool(self.not_in_state)


class Survey:
    """
    Find out what of stored code is in reach of a plan, without executing any.

    Args:
        loader: of the executor that made the plan.
        warn: takes a line about something that will not be used.
        by_file: edited migrations that count as they are on disk.
    """

    def __init__(
        self, loader: RewindLoader, warn: Callable[[str], None], by_file: frozenset[Key] = frozenset()
    ) -> None:
        self.loader = loader
        self.warn = warn
        self.by_file = by_file

    def of(self, plan: Plan) -> Run:
        """
        Return the run that a plan would be.

        Raises:
            NotRecoverable: a step to be undone was edited, and what ran is damaged.
        """
        run = Run(plan)
        apps = self._apps_in_reach(run.steps)
        run.recovered = self._recovered(apps)
        run.differing = {**self._differing(apps, run.undone), **self._as_planned_before(plan)}
        run.not_in_state = self._not_in_state(apps, run)
        return run

    def _apps_in_reach(self, steps: Iterable[Key]) -> set[str]:
        apps = {app_label for app_label, _ in steps}
        reach = set(apps)
        for key, node in self.loader.graph.node_map.items():
            if key[0] in apps:
                reach.update(other.key[0] for other in (*node.parents, *node.children))
        return reach

    def _recovered(self, apps: set[str]) -> dict[Key, RecoveredMigration]:
        """
        Return the recovered migrations in reach, and those that a state needs anyway.

        A file may depend on one whose file is gone, in whatever app.
        """
        recovered = self.loader.recovered
        rest = {key for key in self.loader.graph.nodes if key not in recovered or key[0] in apps}
        needed = closure(rest, parents_in(self.loader.graph)) if recovered else set()
        return {key: migration for key, migration in recovered.items() if key in needed}

    def _differing(self, apps: set[str], undone: set[Key]) -> dict[Key, RecoveredMigration]:
        """Return what is applied and was edited since, as far as texts can tell."""
        store = Store(self.loader.connection)
        edited = (row for row in self.edited(apps) if row.key not in self.by_file)
        found = (self._as_it_ran(row, store, undone) for row in edited)
        return {migration.key: migration for migration in found if migration is not None}

    def edited(self, apps: Container[str]) -> list[StoredMigration]:
        """
        Return what is stored of applied migrations whose files were edited since.

        An unproven row never counts: another process may have applied other source.
        """
        ids = self.loader.bound_ids()
        on_disk = {
            key
            for key in ids
            if key[0] in apps and key in self.loader.graph and key not in self.loader.recovered
        }
        if not on_disk or not self.loader.store_is_ready:
            return []
        store = Store(self.loader.connection)
        stored = store.rows()
        applied = sorted(on_disk & stored.keys(), key=ids.__getitem__)
        proven = [stored[key] for key in applied if stored[key].record_id == ids[key]]
        return [stored[key] for key in Edits(store).among(proven)]

    def _as_it_ran(self, row: StoredMigration, store: Store, undone: set[Key]) -> RecoveredMigration | None:
        """Return a file's migration with its stored operations, at the file's place."""
        on_disk: Any = self.loader.disk_migrations[row.key]
        try:
            migration = RecoveredMigration(row, store, self.loader.importer)
        except ValueError as damage:
            error = NotRecoverable(
                row.key,
                f"it differs from its file, and its stored {damage}.",
                f"Have it undone by its file: 'manage.py rewind' takes '--use-file {label(row.key)}'.",
            )
            if row.key in undone:
                raise error from None
            self.warn(f"{error.problem} Its file is used instead.")
            return None
        migration.take_place_of(on_disk)
        return migration

    def _as_planned_before(self, plan: Plan) -> dict[Key, RecoveredMigration]:
        """Return the edited ones of a plan of ours: by now they may hold operations of others."""
        return {
            migration.key: migration
            for migration, _ in plan
            if isinstance(migration, RecoveredMigration) and migration.key not in self.loader.recovered
        }

    def _not_in_state(self, apps: set[str], run: Run) -> set[Key]:
        if not self.loader.has_missing:
            return set()
        unknown = self.loader.snapshot.of(
            FileStatus.MISSING,
            FileStatus.TABLE_IN_USE,
            FileStatus.MISSING_BEFORE_INSTALL,
            FileStatus.RECREATED,
        )
        return {key for key in unknown if key[0] in apps and key not in run.recovered}
