"""Which missing migrations become nodes of the graph, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..exceptions import NotRecoverable
from ..inventory.snapshot import FileStatus, Snapshot
from ..sources.recovered import RecoveredMigration
from ..sources.stored import StoredMigration
from ..utils.types import Key, label


class Recovery:
    """
    The missing migrations of one database, divided in two.

    Args:
        snapshot: knows what is missing, and what is stored of it.
        files: every migration that has a file.
        apps: the labels that Django knows.
    """

    def __init__(self, snapshot: Snapshot, files: Collection[Key], apps: Collection[str]) -> None:
        self.snapshot = snapshot
        self.files = files
        self.apps = apps
        self.recovered: dict[Key, RecoveredMigration] = {}
        # Each with the error that says why it is no node.
        self.unusable: dict[Key, NotRecoverable] = {}

    def find(
        self, make: Callable[[StoredMigration], RecoveredMigration], stale_apps: Collection[str] | None
    ) -> None:
        """
        Make a node of everything that can be one.

        Args:
            stale_apps: apps that are not installed and whose migrations are wanted; None for all.
        """
        snapshot = self.snapshot
        wanted = snapshot.of(
            FileStatus.MISSING, FileStatus.TABLE_IN_USE, FileStatus.MISSING_BEFORE_INSTALL
        ) + [key for key in snapshot.of(FileStatus.STALE_APP) if stale_apps is None or key[0] in stale_apps]
        for key in wanted:
            error = snapshot.reason_against(key)
            if error is None:
                self.recovered[key] = make(snapshot.stored[key])
            elif snapshot.without_file[key] is not FileStatus.MISSING_BEFORE_INSTALL:
                self.unusable[key] = error
        self._depend_on_substitutes()
        self._drop_orphans()

    def leave_out(self, misfit: Key, error: Exception) -> None:
        """Do without one that does not fit into the graph, and what hangs on it."""
        del self.recovered[misfit]
        self.unusable[misfit] = NotRecoverable(misfit, f"it does not fit into the graph ({error}).")
        self._drop_orphans()

    def _depend_on_substitutes(self) -> None:
        """
        Have nodes depend on what stands for their parents where those were squashed.

        Django does that as long as the file of the squashed migration says so.
        """
        nodes = {*self.recovered, *self.files}
        for key, migration in self.recovered.items():
            parents: list[Key] = []
            for parent in migration.dependencies:
                substitutes = sorted((self.snapshot.squashed_by.in_place_of(parent) & nodes) - {key, parent})
                parents += substitutes if parent not in nodes and substitutes else [parent]
            migration.replace_dependencies(dict.fromkeys(parents))

    def _drop_orphans(self) -> None:
        """
        Take out what depends on something that is not an applied node.

        It would break rendering and trip `check_consistent_history`. A child that is no node would be a hole.
        """
        while orphans := {
            key: parent
            for key, migration in self.recovered.items()
            for parent in migration.dependencies
            if not self._is_applied_node(parent, key[0])
        }:
            for key, parent in orphans.items():
                del self.recovered[key]
                why = f"it depends on {label(parent)}, which is {self._why_no_node(parent)}."
                self.unusable[key] = NotRecoverable(key, why)
        nodes = {*self.recovered, *self.files}
        for migration in self.recovered.values():
            migration.limit_run_before(nodes)

    def _is_applied_node(self, key: Key, of_app: str) -> bool:
        if key[1] in ("__first__", "__latest__"):
            return key[0] == of_app or key[0] in {*self.apps, *(app_label for app_label, _ in self.recovered)}
        return key in self.recovered or (key in self.files and key in self.snapshot.applied)

    def _why_no_node(self, key: Key) -> str:
        if key not in self.snapshot.applied:
            return "not applied"
        status = self.snapshot.without_file.get(key)
        if status is FileStatus.MISSING:
            return "missing as well and cannot be recovered"
        return f"not rolled back by default ({status.value})" if status else "not known"
