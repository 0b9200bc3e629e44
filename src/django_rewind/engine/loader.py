"""Django's loader, plus the migrations that are applied and have no file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db.migrations import Migration
from django.db.migrations.exceptions import (
    AmbiguityError,
    CircularDependencyError,
    InconsistentMigrationHistory,
    NodeNotFoundError,
)
from django.db.migrations.graph import MigrationGraph

from .. import conf
from ..exceptions import NotInOrder, NotRecoverable
from ..inventory.loader import InventoryLoader
from ..models import Origin
from ..schema.graph import apps_by_setting, closure
from ..utils.types import APP_LABEL, Applied, Key

if TYPE_CHECKING:
    # Executed by the few processes that have something to recover, not by every one
    # in which we are installed.
    from ..inventory.snapshot import Snapshot
    from ..sources.bundle.importer import StoredImporter
    from ..sources.consent import Consent
    from ..sources.recovered import RecoveredMigration


class DiskMigrations(dict):  # type: ignore[type-arg]
    """
    The migrations on disk, where a look-up also finds recovered ones.

    `migrate --prune` goes through it to see what has a file; `record_migration`
    of Django 6.0 and later looks `replaces` up in it.
    """

    def __init__(self, disk: Mapping[Key, Migration], recovered: Mapping[Key, Migration]) -> None:
        super().__init__(disk)
        self._recovered = recovered

    def __missing__(self, key: Key) -> Migration:
        return self._recovered[key]

    def get(self, key: Key, default: Any = None) -> Any:
        return super().get(key, self._recovered.get(key, default))


class RewindLoader(InventoryLoader):
    """
    Build Django's graph, and again with the missing migrations if there are any.

    Recovered migrations are nodes of the graph. Everything that describes the
    disk (conflicts, the state that models are compared with, `--prune`, prefixes
    that match a file) goes on describing the disk.

    It is bound in the module of Django's executor only. `makemigrations` and
    every other user of Django's loader see what Django shows them.
    """

    # Django's own since 3.0; django-stubs does not know it.
    replace_migrations: bool

    # Apps that are not installed and whose migrations are wanted; None for all.
    stale_apps: frozenset[str] | None = frozenset()

    recovered: Mapping[Key, RecoveredMigration] = {}
    # Those of them on which others depend, and which are not rolled back.
    skipped: Collection[Key] = ()
    # Missing ones that cannot be nodes, each with the error that says why.
    unusable: Mapping[Key, NotRecoverable] = {}
    # Whether something that is applied has no file: then the graph was built with the store at hand.
    has_missing = False
    # The targets that were asked for by name or prefix.
    asked: frozenset[Key] = frozenset()

    # What may be executed although it was found in Git.
    @cached_property
    def consent(self) -> Consent:
        from ..sources.consent import Consent

        return Consent(counts_agreed=True)

    def set_consent(self, consent: Consent) -> None:
        """Have another consent count, for what is recovered already, too."""
        self.consent = self.importer.consent = consent

    # What recovered migrations share of what they were executed with.
    @cached_property
    def importer(self) -> StoredImporter:
        from ..sources.bundle.importer import StoredImporter

        return StoredImporter(consent=self.consent)

    def close_importer(self) -> None:
        """Put away what stored code was executed with, if any was."""
        importer = self.__dict__.get("importer")
        if importer is not None:
            importer.close()

    @cached_property
    def renamed(self) -> Mapping[Key, Key]:
        """The missing migrations that are on disk under another name, with the files that do the same."""
        from ..inventory.files import Files
        from ..inventory.renames import renames
        from ..storage.store import Store

        return renames(self.snapshot, Files(Store(self.connection)))

    _disk: Mapping[Key, Migration] | None = None
    _disk_graph: MigrationGraph | None = None

    # Building ---------------------------------------------------------------

    def build_graph(self) -> None:
        self.__dict__.pop("importer", None)
        for name in ("described", "snapshot", "_snapshot_without_store", "renamed", "_tables_are_there"):
            self.__dict__.pop(name, None)
        self.recovered, self.unusable, self.skipped, self.has_missing = {}, {}, (), False
        self._disk = self._disk_graph = None
        broken: NodeNotFoundError | None = None
        try:
            super().build_graph()
        except NodeNotFoundError as error:
            # Perhaps a file depends on one whose file is gone.
            broken = error
        if self.connection is not None and conf.in_force():
            if self.store_is_ready:
                broken = self._look_for_missing(broken)
            if broken is None and not self.has_all_of_ours:
                self._run_ours_first()
        if broken is not None:
            raise self._because_of_what_is_missing(broken) or broken

    def _because_of_what_is_missing(self, broken: NodeNotFoundError) -> NotRecoverable | None:
        """Return why there is no node, where it is one that is applied; else Django says it best."""
        error = self.unusable.get(broken.node)
        if error is None:
            return None
        from ..utils.advice import on_database

        connection: Any = self.connection
        next_step = on_database(error.next_step, connection.alias)
        return NotRecoverable(error.key, f"{error.reason} {broken}.", next_step)

    def load_disk(self) -> None:
        if self._disk is None:
            super().load_disk()
            return
        self.disk_migrations = {**self._disk, **self.recovered}
        # An app that has no place here still has migrations; one without any here has none for Django.
        self.migrated_apps |= {app_label for app_label, _ in self.recovered} - self.unmigrated_apps

    @property
    def files(self) -> Mapping[Key, Migration]:
        """What is on disk, also while the graph is built with recovered migrations."""
        return self._disk if self._disk is not None else super().files

    def _run_ours_first(self) -> None:
        """
        Have whatever is applied next wait for our tables, so that it is captured.

        It ends when they are there; what is applied already never waits.
        """
        from ..storage.store import Store

        ours = [key for key in self.graph.nodes if key[0] == APP_LABEL]
        if not ours or not Store(self.connection).is_allowed:
            return
        newest = self.graph.leaf_nodes(APP_LABEL)[0]
        for key, migration in list(self.graph.nodes.items()):
            parents = self.graph.node_map[key].parents
            is_next = all(parent.key in self.applied_migrations for parent in parents)
            if key[0] != APP_LABEL and key not in self.applied_migrations and is_next:
                self.graph.add_dependency(migration, key, newest, skip_validation=True)

    def _look_for_missing(self, broken: NodeNotFoundError | None) -> NodeNotFoundError | None:
        """Build again if something is missing; return what is broken all the same."""
        assert self.disk_migrations is not None
        if all(key in self.disk_migrations for key in self.applied_migrations):
            # So with most runs, and found out at once.
            return broken
        if not self.snapshot_without_store().may_lack_something:
            return broken
        from ..sources.recovered import RecoveredMigration
        from ..storage.store import Store
        from .recovery import Recovery

        self.has_missing = True
        store = Store(self.connection)
        self._recovery = Recovery(self.snapshot, self.files, self.stale_apps)
        self._recovery.find(lambda stored: RecoveredMigration(stored, store, self.importer))
        self.recovered, self.unusable = self._recovery.recovered, self._recovery.unusable
        return self._build_with_recovered(broken) if self.recovered else broken

    @property
    def record_ids(self) -> Applied:
        """
        The order in which migrations were applied, as ids of `django_migrations`.

        A squashed migration stands with the last of those that it replaced. Where the ids contradict the graph,
        the graph is right.
        """
        return self._known.ids

    @property
    def recorded_ids(self) -> Applied:
        """The same as the records alone tell it, be that right or wrong."""
        return self._known.recorded_ids

    @property
    def _known(self) -> Snapshot:
        return self.snapshot if self.has_missing else self.snapshot_without_store()

    def _build_with_recovered(self, broken: NodeNotFoundError | None) -> NodeNotFoundError | None:
        """Build again with the recovered migrations; return what is still broken."""
        assert self.disk_migrations is not None
        self._disk = self.disk_migrations
        self._disk_graph = None if broken else self.graph
        while (error := self._failure_to_build()) is not None:
            misfit = self._misfit(error) if broken is None else self._origin(error)
            if misfit is None:
                return self._go_on_without_recovered(error, broken)
            self._recovery.leave_out(misfit, error)
        self.skipped = self._recovery.skipped
        self.disk_migrations = DiskMigrations(self._disk, self.recovered)
        for key in self.recovered:
            # `--prune` refuses while a squashed migration that it finds there is in use.
            self.replacements.pop(key, None)
        if not self.replace_migrations:
            self._tie_to_originals()
        return None

    def _failure_to_build(self) -> Exception | None:
        try:
            super().build_graph()
        except (NodeNotFoundError, CircularDependencyError, ValueError) as error:
            # ValueError: a dependency on an app of which Django knows nothing.
            return error
        return None

    def _origin(self, error: Exception) -> Key | None:
        """Return the recovered migration that an error is about, where it says so."""
        key = getattr(getattr(error, "origin", None), "key", None)
        return key if key in self.recovered else None

    def _misfit(self, error: Exception) -> Key | None:
        """Find the one without which the graph can be built, the newest first."""
        recovered = self.recovered
        found = self._origin(error)
        for key in reversed(list(recovered)):
            if found is not None:
                break
            children = {
                parent: [child for child in recovered if parent in recovered[child].dependencies]
                for parent in recovered
            }
            gone = closure([key], children)
            self.recovered = {one: recovered[one] for one in recovered if one not in gone}
            if self._failure_to_build() is None:
                found = key
        self.recovered = recovered
        return found

    def _tie_to_originals(self) -> None:
        """
        Have what depends on a squashed migration depend on its originals too.

        Going back to a replaced migration, Django puts both into the graph, and
        would leave standing what hangs on the squashed one alone.
        """
        for key, replaced in self.originals.items():
            originals = [self.graph.node_map[original] for original in replaced if original in self.graph]
            inner = {parent.key for node in originals for parent in node.parents}
            for child in list(self.graph.node_map[key].children):
                for original in originals:
                    if original.key not in inner and child.key != original.key:
                        self.graph.add_dependency(
                            self.graph.nodes[child.key], child.key, original.key, skip_validation=True
                        )

    def _go_on_without_recovered(
        self, error: Exception, broken: NodeNotFoundError | None
    ) -> NodeNotFoundError | None:
        self.unusable = {
            **self.unusable,
            **{
                key: NotRecoverable(key, f"it does not fit into the graph ({error}).")
                for key in self.recovered
            },
        }
        self.recovered, self._disk = {}, None
        if broken is None:
            super().build_graph()
        elif isinstance(error, NodeNotFoundError) and error.node in self.unusable:
            return error
        return broken

    # What Django asks -------------------------------------------------------

    def check_consistent_history(self, connection: Any) -> None:
        """
        Say which command mends a history that only another place in the graph has made inconsistent.

        Raises:
            NotInOrder: what is applied depended on something else when it was applied.
        """
        try:
            super().check_consistent_history(connection)
        except InconsistentMigrationHistory:
            if conf.in_force() and self.store_is_ready:
                self._refuse_what_was_applied_elsewhere()
            raise

    def _refuse_what_was_applied_elsewhere(self) -> None:
        from ..sources.stored import why_unusable

        for key in self.snapshot.in_order:
            stored = self.snapshot.bound(key)
            if stored is None or key not in self.graph.nodes or why_unusable(stored) is not None:
                continue
            # A model that is swapped in late is no matter of order, and Django's to say.
            swapped_in = apps_by_setting(self.graph.nodes[key])
            lacking = [
                parent.key
                for parent in self.graph.node_map[key].parents
                if parent.key not in self.applied_migrations and parent.key[0] not in swapped_in
            ]
            has_moved = stored.origin == Origin.ADOPTED or not {*lacking} <= {*stored.metadata.dependencies}
            if lacking and has_moved:
                raise NotInOrder(key, key, lacking)

    def get_migration_by_prefix(self, app_label: str, name_prefix: str) -> Migration:
        """
        Find a file's migration, and only if there is none, a recovered one.

        Raises:
            NotRecoverable: what was asked for is missing and cannot be recovered.
        """
        try:
            migration = super().get_migration_by_prefix(app_label, name_prefix)
        except KeyError:
            found = self._by_prefix(app_label, name_prefix)
            if found is None:
                raise
            migration = found
        self.asked = self.asked | {(migration.app_label, migration.name)}
        return migration

    def _by_prefix(self, app_label: str, prefix: str) -> Migration | None:
        def matching(keys: Iterable[Key]) -> Iterator[Key]:
            return (key for key in keys if key[0] == app_label and key[1].startswith(prefix))

        names = sorted(matching(self.recovered))
        if len(names) > 1:
            raise AmbiguityError(
                f"There is more than one migration for '{app_label}' with the prefix '{prefix}'"
            )
        if names:
            return self.recovered[names[0]]
        for key in sorted(matching(self.unusable)):
            raise self.unusable[key]
        same = self._recovery.same_target(app_label, prefix, self.graph) if self.has_missing else None
        return self.graph.nodes[same] if same else None

    def detect_conflicts(self) -> dict[str, list[str]]:
        """Return the conflicts among files, as if the recovered ones were not there."""
        if not self.recovered:
            return super().detect_conflicts()
        leaves: dict[str, list[str]] = {}
        for app_label, name in self._leaves_on_disk():
            leaves.setdefault(app_label, []).append(name)
        return {app_label: sorted(names) for app_label, names in leaves.items() if len(names) > 1}

    def _leaves_on_disk(self) -> list[Key]:
        """A file is a leaf when no file of its app comes after it, however far after."""
        children = {
            key: [child.key for child in node.children if child.key[0] == key[0]]
            for key, node in self.graph.node_map.items()
        }
        files = [key for key in self.graph.nodes if key not in self.recovered]
        return [
            key for key in files if all(one in self.recovered for one in closure(children[key], children))
        ]

    def project_state(self, nodes: Any = None, at_end: bool = True) -> Any:
        """Return Django's state; the state of everything is that of the disk."""
        if nodes is None and self.recovered and self._disk_graph is not None:
            real_apps: Any = self.unmigrated_apps
            return self._disk_graph.make_state(nodes=None, at_end=at_end, real_apps=real_apps)
        return super().project_state(nodes=nodes, at_end=at_end)
