"""
What it means that an applied migration has no file, from what the files of its app say of themselves.

It is what the commands find out of migrations that they have imported. Here they are read,
and no more than one app is looked at: what another app has taken over, the commands tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from django_rewind.inventory.snapshot import FileStatus, Snapshot
from django_rewind.sources.description import Metadata
from django_rewind.sources.stored import StoredMigration, StoredSummary, why_unusable
from django_rewind.utils.types import Applied, Key

from .disk import Disk

__all__ = ["Standings"]

# Of all that is known of an app, what came of it: it is asked for on every page.
_found: dict[Hashable, dict[Key, FileStatus]] = {}

# So many are more than a project has; somebody else's rows must not fill the memory.
_MANY = 10_000

# Of a file that says nothing, or was not read yet.
_NOTHING = Metadata(
    dependencies=[], run_before=[], replaces=[], initial=None, atomic=True, operations=[], effects=[]
)


@dataclass
class _App:
    """What is known of the migrations of an app, in short."""

    applied: dict[Key, int] = field(default_factory=dict)
    stored: dict[Key, StoredSummary] = field(default_factory=dict)
    # The digests of the files that were read.
    files: dict[Key, str | None] = field(default_factory=dict)
    baseline: dict[Key, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Standings:
    """
    Apps of one database, each looked at by itself.

    Attributes:
        applied: of all apps, with the ids of the records.
        stored: of all apps.
        tables_in_use: those of the installed models.
        read: returns what is stored of some apps.
    """

    disk: Disk
    applied: Applied
    stored: Mapping[Key, StoredSummary]
    baseline: Applied
    tables_in_use: frozenset[str]
    read: Callable[[Collection[str]], Mapping[Key, StoredMigration]]

    def of_apps(self, app_labels: Collection[str]) -> dict[Key, FileStatus]:
        """Return what each applied migration of these apps that has no file is."""
        apps = self._apps(app_labels)
        known = {app_label: self._all_of(app) for app_label, app in apps.items()}
        new = [app_label for app_label in apps if known[app_label] not in _found]
        if len(_found) > _MANY:
            _found.clear()
            new = [*apps]
        stored = self.read(new) if new else {}
        for app_label in new:
            _found[known[app_label]] = self._snapshot(apps[app_label], stored).without_file
        return {key: one for app_label in apps for key, one in _found[known[app_label]].items()}

    def _apps(self, app_labels: Collection[str]) -> dict[str, _App]:
        apps = {app_label: _App() for app_label in app_labels}
        for name in ("applied", "stored", "baseline"):
            for key, value in getattr(self, name).items():
                if key[0] in apps:
                    getattr(apps[key[0]], name)[key] = value
        for key in self.disk.keys:
            if key[0] in apps:
                apps[key[0]].files[key] = self.disk.digest(key)
        return apps

    def _all_of(self, app: _App) -> Hashable:
        """Return all that it hangs on: what is the same has the same standings, in whatever database."""
        stored = ((key, one.digest, one.signature, one.record_id) for key, one in app.stored.items())
        files = ((key, found, self.disk.said(key) is None) for key, found in app.files.items())
        parts = (app.applied.items(), stored, files, app.baseline.items())
        return (*map(frozenset, parts), self.tables_in_use, self.disk.installed)

    def _snapshot(self, app: _App, stored: Mapping[Key, StoredMigration]) -> Snapshot:
        said = {key: self._said_by(key, stored.get(key), found) for key, found in app.files.items()}
        return Snapshot(
            files=said,
            applied=app.applied,
            stored={key: row for key, row in stored.items() if key in app.stored},
            missing_before_install=app.baseline,
            squashes=[key for key in said if key in app.applied and said[key].replaces],
            installed_apps=self.disk.installed,
            tables_in_use=self.tables_in_use,
        )

    def _said_by(self, key: Key, stored: StoredMigration | None, found: str | None) -> Metadata:
        """Return what a file says of itself; one that was not read yet is taken to be as stored."""
        return next(self._known_of(key, stored, found), _NOTHING)

    def _known_of(self, key: Key, stored: StoredMigration | None, found: str | None) -> Iterator[Metadata]:
        if stored is not None and found in (None, stored.digest) and why_unusable(stored) is None:
            yield stored.metadata
        said = self.disk.said(key)
        if said is not None:
            yield said
