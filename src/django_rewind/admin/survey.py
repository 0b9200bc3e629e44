"""
What disk, record and store of one database say of its stored migrations, as a page needs it.

It is cheap: the names of the files are listed, no migration is imported, and no text is
read but of what is shown or asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder

from django_rewind.inventory.snapshot import FileStatus, Snapshot, tables_in_use
from django_rewind.sources.stored import StoredMigration, StoredSummary
from django_rewind.storage.facts import MissingBeforeInstall, Verification, Verifications
from django_rewind.storage.store import Store
from django_rewind.utils.types import Key

from .disk import Disk
from .standings import Standings
from .states import OF_STANDING, FileState

__all__ = ["Survey"]

# What it takes knowing the others to say more of.
_PERHAPS_UNDONE = (FileStatus.MISSING, FileStatus.STALE_APP, FileStatus.MISSING_BEFORE_INSTALL)


class Survey:
    """
    One database, read once.

    Args:
        connection: the database.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.store = Store(connection)
        self.disk = Disk()
        # As they are known by now.
        self._states: dict[Key, FileState | None] = {}

    @cached_property
    def has_store(self) -> bool:
        """Whether there is a table to look at."""
        return self.store.exists()

    @cached_property
    def stored(self) -> dict[Key, StoredSummary]:
        return {one.key: one for one in self.store.summaries()} if self.has_store else {}

    @cached_property
    def records(self) -> dict[Key, Any]:
        """The rows of django_migrations."""
        try:
            return dict(MigrationRecorder(self.connection).applied_migrations())
        except DatabaseError:
            return {}

    @cached_property
    def newest_serials(self) -> dict[Key, int]:
        return self.store.newest_serials()

    @cached_property
    def _verifications(self) -> dict[Key, Verification]:
        return Verifications(self.connection).newest()

    @cached_property
    def snapshot(self) -> Snapshot:
        """What it means that one has no file; nobody looks at what the migrations do."""
        modules = settings.MIGRATION_MODULES
        return Snapshot(
            files=dict.fromkeys(self.disk.keys),  # type: ignore[arg-type]
            applied={key: record.pk for key, record in self.records.items()},
            stored=self.store.squashes() if self.has_store else {},
            missing_before_install=MissingBeforeInstall(self.connection).records() if self.has_store else {},
            installed_apps=self.disk.installed,
            disabled_apps=frozenset(
                label
                for label in {label for label, _ in self.records}
                if label in modules and modules[label] is None
            ),
        )

    # One migration ----------------------------------------------------------

    def is_applied(self, key: Key) -> bool:
        return key in self.records

    def state(self, key: Key) -> FileState | None:
        """Return how a migration stands to its file; None where its file was not compared yet."""
        if key not in self._states:
            self._states[key] = self._state(key)
        return self._states[key]

    def _state(self, key: Key) -> FileState | None:
        if key not in self.disk.keys:
            return self._without_file(key)
        stored = self.stored.get(key)
        if stored is None or not self.is_compared(stored):
            return FileState.ON_DISK
        if self.disk.digest(key) == "":
            return FileState.UNREADABLE
        is_as_stored = self.disk.is_as_stored(stored)
        if is_as_stored is None:
            return None
        return self._as_verified(stored) or (FileState.ON_DISK if is_as_stored else FileState.EDITED)

    def _without_file(self, key: Key) -> FileState:
        if not self.is_applied(key):
            return FileState.NO_FILE
        return OF_STANDING[self._standings.get(key) or self.snapshot.at_first_sight(key)]

    @cached_property
    def _at_first_sight(self) -> dict[Key, FileStatus]:
        """What could be undone by the looks of it, of what is applied and has no file."""
        without_file = (key for key in self.records if key not in self.disk.keys)
        found = {key: self.snapshot.at_first_sight(key) for key in without_file}
        return {key: standing for key, standing in found.items() if standing in _PERHAPS_UNDONE}

    @property
    def apps_to_look_at(self) -> list[str]:
        """The apps of which it takes more to say what their migrations without a file are."""
        return sorted({key[0] for key in self._at_first_sight})

    @cached_property
    def _standings(self) -> dict[Key, FileStatus]:
        """What these are, as far as files were read."""
        if not self.has_store or not self._at_first_sight:
            return {}
        found = Standings(
            disk=self.disk,
            applied=self.snapshot.applied,
            stored=self.stored,
            baseline=self.snapshot.missing_before_install,
            tables_in_use=tables_in_use(),
            read=self._rows_of,
        ).of_apps(self.apps_to_look_at)
        return {key: found[key] for key in self._at_first_sight}

    def _rows_of(self, app_labels: Iterable[str]) -> dict[Key, StoredMigration]:
        rows = self.store.of_apps(app_labels)
        return {key: replace(row, newest=self.newest_serials.get(key, 0)) for key, row in rows.items()}

    def is_compared(self, stored: StoredSummary) -> bool:
        """Say whether it is known to be what ran: then a file that is another program matters."""
        return self.is_applied(stored.key) and stored.record_id == self.records[stored.key].pk

    def _as_verified(self, stored: StoredSummary) -> FileState | None:
        """Return what the last verification said of a file that is another program, or needs other things."""
        verified = self.verified(stored)
        if verified is None or verified.problem or not verified.file_digest:
            return None
        if verified.file_digest != self.disk.digest(stored.key) and not self.disk.is_as_stored(stored):
            return None
        return FileState.DIFFERS if verified.differs else FileState.ON_DISK

    def verified(self, stored: StoredSummary) -> Verification | None:
        """Return what came of verifying what is stored now, if that was done."""
        found = self._verifications.get(stored.key)
        return found if found is not None and found.signature == stored.signature else None

    # All of them ------------------------------------------------------------

    def compare(self, keys: Iterable[Key]) -> None:
        """Compare the files of these with what is stored, where that tells something."""
        known = [self.stored[key] for key in keys if key in self.stored and key in self.disk.keys]
        self._look_again()
        self.disk.compare([one for one in known if self.is_compared(one)], self.store)

    def read(self, app_labels: Iterable[str]) -> None:
        """Read what the files of these apps say of themselves, where that tells something."""
        wanted = set(app_labels).intersection(self.apps_to_look_at)
        self._look_again()
        self.disk.read((key for key in self.disk.keys if key[0] in wanted), self.stored)

    def _look_again(self) -> None:
        self._states.clear()
        vars(self).pop("_standings", None)

    @cached_property
    def keys(self) -> list[Key]:
        """Every migration that is stored, applied or on disk."""
        return sorted({*self.stored, *self.records, *self.disk.keys})

    def pks(self, keys: Iterable[Key]) -> list[int]:
        return [self.stored[key].pk for key in keys]
