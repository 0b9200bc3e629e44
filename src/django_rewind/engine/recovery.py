"""Which migrations without a file become nodes of the graph, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from django.db.migrations.graph import MigrationGraph

from ..exceptions import NotRecoverable, RecordPruned
from ..inventory.snapshot import FileStatus, Snapshot
from ..schema.graph import closure, parents_in
from ..sources.recovered import RecoveredMigration
from ..sources.stored import StoredMigration
from ..utils.types import Key, label

# What becomes a node: all but what another migration, or nothing at all, stands for in Django's graph.
_NODES = (
    FileStatus.MISSING,
    FileStatus.TABLE_IN_USE,
    FileStatus.MISSING_BEFORE_INSTALL,
    FileStatus.STALE_APP,
    FileStatus.RECREATED,
)


class Recovery:
    """
    The applied migrations of one database that have no file, divided in two.

    Args:
        snapshot: knows what has no file, and what is stored of it.
        files: every migration that has a file.
        stale_apps: apps that are not installed and whose migrations may be rolled back; None for all.
    """

    def __init__(
        self, snapshot: Snapshot, files: Collection[Key], stale_apps: Collection[str] | None
    ) -> None:
        self.snapshot = snapshot
        self.files = files
        self.stale_apps = stale_apps
        self.recovered: dict[Key, RecoveredMigration] = {}
        # Each with the error that says why it is no node.
        self.unusable: dict[Key, NotRecoverable] = {}

    def find(self, make: Callable[[StoredMigration], RecoveredMigration]) -> None:
        """Make a node of everything that can be one."""
        for key in self.snapshot.of(*_NODES):
            error = self.snapshot.reason_against(key)
            if error is None:
                self.recovered[key] = make(self.snapshot.stored[key])
            else:
                self._note(error)
        nodes = {*self.recovered, *self.files}
        for key, migration in self.recovered.items():
            parents = (self._parents(written, key, nodes) for written in migration.dependencies)
            migration.replace_dependencies(dict.fromkeys(parent for found in parents for parent in found))
        self._drop_orphans()

    @property
    def skipped(self) -> set[Key]:
        """The nodes that are there for others to depend on, and are not rolled back."""
        return {key for key in self.recovered if self._is_skipped(key)}

    def _is_skipped(self, key: Key) -> bool:
        if self.snapshot.without_file[key] is FileStatus.STALE_APP:
            return self.stale_apps is not None and key[0] not in self.stale_apps
        return self.snapshot.without_file[key] is FileStatus.RECREATED

    def _note(self, error: NotRecoverable) -> None:
        """Keep why one is no node, where it would be rolled back."""
        before_install = self.snapshot.without_file[error.key] is FileStatus.MISSING_BEFORE_INSTALL
        is_known = before_install and error.key not in self.snapshot.stored
        if not is_known and not self._is_skipped(error.key):
            self.unusable[error.key] = error

    def leave_out(self, misfit: Key, error: Exception) -> None:
        """Do without one that does not fit into the graph, and what hangs on it."""
        del self.recovered[misfit]
        self._note(NotRecoverable(misfit, f"it does not fit into the graph ({error})."))
        self._drop_orphans()

    def same_target(self, app_label: str, prefix: str, graph: MigrationGraph) -> Key | None:
        """Return the node that is the same target as a squashed migration: what stands for it, and ends where it did."""
        squashed = self.snapshot.of(FileStatus.SQUASHED)
        matching = [key for key in squashed if key[0] == app_label and key[1].startswith(prefix)]
        if len(matching) != 1:
            return None
        (key,) = matching
        in_place_of, parents = self.snapshot.squashed_by.in_place_of, parents_in(graph)
        standing = {one for one in in_place_of(key) & graph.nodes.keys() if one[0] == app_label}
        inner = closure((parent for one in standing for parent in parents[one]), parents)
        ends = standing - inner
        before = {one: self.snapshot.dependencies(one) for one in squashed}
        later = [one for one in squashed if one != key and key in closure([one], before)]
        is_the_end = len(ends) == 1 and not any(ends & in_place_of(one) for one in later)
        return ends.pop() if is_the_end else None

    def _parents(
        self, written: Key, key: Key, nodes: Collection[Key], seen: frozenset[Key] = frozenset()
    ) -> Iterator[Key]:
        """
        Yield the nodes that a dependency means, as it is written; itself where there are none.

        That is what stands for it where it was squashed, as Django has it while the file of the squashed
        migration says so. Of what is no node and need not be one, it is what that depends on.
        """
        if written in nodes:
            yield written
            yield from self._makers(written, key)
            return
        meant = [one for one in self.snapshot.meant_by(written, key) if one not in (written, key)]
        substitutes = [one for one in meant if one in nodes]
        if substitutes:
            yield from sorted(substitutes)
        elif written[1] in ("__first__", "__latest__"):
            for one in meant:
                yield from self._parents(one, key, nodes, seen)
        elif self._needs_no_node(written) and written not in seen:
            yield from self._makers(written, key)
            for one in self.snapshot.dependencies(written):
                yield from self._parents(one, key, nodes, seen | {written})
        else:
            yield written

    def _needs_no_node(self, key: Key) -> bool:
        """Say of what another file makes, or an app without migrations, that states need not know it."""
        return self.snapshot.without_file.get(key) in (FileStatus.DISABLED, FileStatus.RECREATED)

    def _makers(self, parent: Key, key: Key) -> Iterator[Key]:
        """Yield the file with which a recreated parent goes: whatever is built on that goes before it."""
        status = self.snapshot.without_file.get
        if status(parent) is FileStatus.RECREATED and status(key) is not FileStatus.RECREATED:
            yield self.snapshot.recreated.maker(parent)

    def _drop_orphans(self) -> None:
        """
        Take out what depends on something that is not an applied node.

        It would break rendering and trip `check_consistent_history`. A child that is no node would be a hole.
        """
        pruned = self.snapshot.squashed_by.without_record(self.snapshot.applied)
        while orphans := {
            key: parent
            for key, migration in self.recovered.items()
            for parent in migration.dependencies
            if not self._is_applied_node(parent)
        }:
            for key, parent in orphans.items():
                del self.recovered[key]
                why = f"it depends on {label(parent)}, which is {self._why_no_node(parent)}."
                squash = pruned.get(parent)
                next_step = RecordPruned(parent, squash).next_step if squash else ""
                self._note(NotRecoverable(key, why, next_step))
        nodes = {*self.recovered, *self.files}
        for migration in self.recovered.values():
            migration.limit_run_before(nodes)

    def _is_applied_node(self, key: Key) -> bool:
        return key in self.recovered or (key in self.files and key in self.snapshot.applied)

    def _why_no_node(self, key: Key) -> str:
        if key not in self.snapshot.applied:
            return "not applied"
        if key not in self.snapshot.without_file:
            return "not known"
        return "missing as well and cannot be recovered"
