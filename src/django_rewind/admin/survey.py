"""
What disk, records and store of one database say of its stored migrations, as a page needs it.

It is cheap: the names of the files are listed, no migration is imported, and no text is read but of what is
shown or asked for. What it takes knowing other migrations to say is looked for app by app: what another app
has recreated, the commands tell.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from django_rewind.inventory.reading import Comparisons, ReadFiles
from django_rewind.inventory.snapshot import FileStatus, Snapshot, disabled_apps, tables_in_use
from django_rewind.inventory.status import file_status
from django_rewind.sources.description import Metadata
from django_rewind.sources.stored import StoredMigration, StoredSummary, why_unusable
from django_rewind.storage.facts import MissingBeforeInstall, Verification, Verifications
from django_rewind.storage.records import records, with_ids_as_noted
from django_rewind.storage.store import Store
from django_rewind.utils.types import Applied, Key

# What may be something else, once the other migrations of the app are known.
_AT_FIRST_SIGHT = (FileStatus.MISSING, FileStatus.STALE_APP, FileStatus.MISSING_BEFORE_INSTALL)

# Of all that is known of an app, what came of it: it is asked for on every page.
_known: dict[Hashable, dict[Key, FileStatus]] = {}

# So many are more than a project has; somebody else's rows must not fill the memory.
_MANY = 10_000

# Of a file that says nothing, or was not read yet.
_NOTHING = Metadata(
    dependencies=[], run_before=[], replaces=[], initial=None, atomic=True, operations=[], effects=[]
)


class Survey:
    """One database, read once."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.store = Store(connection)
        self.disk = ReadFiles()

    @cached_property
    def has_store(self) -> bool:
        """Whether there is a table to look at."""
        return self.store.exists()

    @cached_property
    def stored(self) -> dict[Key, StoredSummary]:
        return {summary.key: summary for summary in self.store.summaries()} if self.has_store else {}

    @cached_property
    def records(self) -> dict[Key, Any]:
        """The rows of django_migrations."""
        try:
            return records(self.connection)
        except (CommandError, DatabaseError):
            return {}

    @cached_property
    def newest_serials(self) -> dict[Key, int]:
        return self.store.newest_serials()

    @cached_property
    def snapshot(self) -> Snapshot:
        """What is known without reading a file; nobody looks at what the migrations do."""
        stored: Mapping[Key, Any] = self.stored
        files: Mapping[Key, Any] = dict.fromkeys(self.disk.keys)
        verifications = Verifications(self.connection).newest() if self.has_store else {}
        return Snapshot(
            files=files,
            applied=self._applied,
            stored=stored,
            stored_squashes=self.store.squashes() if self.has_store else {},
            missing_before_install=MissingBeforeInstall(self.connection).records() if self.has_store else {},
            verifications=verifications,
            comparisons=Comparisons(self.disk, self.stored, verifications),
            installed_apps=self.disk.installed,
            disabled_apps=disabled_apps(app_label for app_label, _ in self.records),
            tables_in_use=tables_in_use(),
        )

    @property
    def _applied(self) -> Applied:
        applied = {key: record.pk for key, record in self.records.items()}
        bound = ((key, one.record_id) for key, one in self.stored.items())
        return with_ids_as_noted(self.connection, applied, bound)

    # File status ------------------------------------------------------------

    def file_status(self, key: Key) -> FileStatus:
        """Return what the checkout says of a migration, as far as files were read."""
        if key in self.disk.keys:
            return file_status(self.snapshot, key)
        if not self.is_applied(key):
            return FileStatus.NO_FILE
        return self._without_file.get(key) or self.snapshot.at_first_sight(key)

    def is_applied(self, key: Key) -> bool:
        return key in self.records

    def verified(self, key: Key) -> Verification | None:
        """Return the last verification, if it was of what is there now."""
        return self.snapshot.verification(key)

    @cached_property
    def _at_first_sight(self) -> dict[Key, FileStatus]:
        absent = {key: self.snapshot.at_first_sight(key) for key in self.records if key not in self.disk.keys}
        return {key: status for key, status in absent.items() if status in _AT_FIRST_SIGHT}

    @property
    def apps_to_look_at(self) -> list[str]:
        """The apps of which it takes more to say what their migrations without a file are."""
        return sorted({key[0] for key in self._at_first_sight})

    @cached_property
    def _without_file(self) -> dict[Key, FileStatus]:
        """What these are, as far as files were read."""
        if not self.has_store:
            return {}
        members: dict[str, set[Key]] = {app_label: set() for app_label in self.apps_to_look_at}
        for key in self.keys:
            if key[0] in members:
                members[key[0]].add(key)
        hashes = {app_label: self._all_of(keys) for app_label, keys in members.items()}
        if len(_known) > _MANY:
            _known.clear()
        new = [app_label for app_label in members if hashes[app_label] not in _known]
        rows = self._rows_of(new) if new else {}
        for app_label in new:
            _known[hashes[app_label]] = self._snapshot_of(members[app_label], rows).without_file
        statuses = {key: status for app in hashes.values() for key, status in _known[app].items()}
        return {key: statuses[key] for key in self._at_first_sight}

    def _all_of(self, keys: Collection[Key]) -> Hashable:
        """Return all that the statuses of an app hang on: what is the same has the same, in whatever database."""
        snapshot, stored = self.snapshot, (self.stored[key] for key in keys if key in self.stored)
        parts: list[Iterable[Any]] = [
            ((key, snapshot.applied[key]) for key in keys if key in snapshot.applied),
            ((one.key, one.digest, one.signature, one.record_id) for one in stored),
            (
                (key, self.disk.digest(key), self.disk.said(key) is None)
                for key in keys
                if key in self.disk.keys
            ),
            ((key, snapshot.missing_before_install.get(key)) for key in keys),
        ]
        return (*map(frozenset, parts), snapshot.tables_in_use, self.disk.installed)

    def _rows_of(self, app_labels: Iterable[str]) -> dict[Key, StoredMigration]:
        rows = self.store.of_apps(app_labels)
        return {key: replace(row, newest=self.newest_serials.get(key, 0)) for key, row in rows.items()}

    def _snapshot_of(self, keys: Collection[Key], rows: Mapping[Key, StoredMigration]) -> Snapshot:
        """Return the snapshot of one app, with what its files say of themselves."""
        applied = {key: self.snapshot.applied[key] for key in keys if key in self.snapshot.applied}
        files = {key: next(self._said(key, rows.get(key)), _NOTHING) for key in keys if key in self.disk.keys}
        return replace(
            self.snapshot,
            files=files,
            applied=applied,
            stored={key: rows[key] for key in keys if key in rows},
            stored_squashes=None,
            squashes=[key for key in files if key in applied and files[key].replaces],
        )

    def _said(self, key: Key, stored: StoredMigration | None) -> Iterator[Metadata]:
        """Yield what a file says of itself; one that was not read yet is taken to be as stored."""
        if stored and self.disk.digest(key) in (None, stored.digest) and why_unusable(stored) is None:
            yield stored.metadata
        said = self.disk.said(key)
        if said is not None:
            yield said

    # Reading ----------------------------------------------------------------

    def compare(self, keys: Iterable[Key]) -> None:
        """Compare the files of these with what is stored, where that tells something."""
        known = [self.stored[key] for key in keys if key in self.stored and key in self.disk.keys]
        self.disk.compare([one for one in known if self.snapshot.bound(one.key) is not None], self.store)
        self._look_again()

    def read(self, app_labels: Iterable[str]) -> None:
        """Read what the files of these apps say of themselves, where that tells something."""
        wanted = set(app_labels).intersection(self.apps_to_look_at)
        self.disk.read((key for key in self.disk.keys if key[0] in wanted), self.stored)
        self._look_again()

    def _look_again(self) -> None:
        vars(self).pop("_without_file", None)

    # All of them ------------------------------------------------------------

    @cached_property
    def keys(self) -> list[Key]:
        """Every migration that is stored, applied or on disk."""
        return sorted({*self.stored, *self.records, *self.disk.keys})

    def pks(self, keys: Iterable[Key]) -> list[int]:
        return [self.stored[key].pk for key in keys]
