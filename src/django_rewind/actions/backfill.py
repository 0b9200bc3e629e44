"""
Store what was applied before anybody stored it: the work behind `backfill_migration_code`.

From the files of this checkout, as `migrate` does by itself; and, where the files are
gone, from the history of the git work trees that they were in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from .. import conf
from ..engine.capture import Packing
from ..git.repository import GitUnavailable, Repository
from ..inventory.loader import loader_of
from ..inventory.snapshot import FileStatus
from ..models import Origin
from ..sources.bundle.modules import Modules
from ..sources.git_history import FoundSource, GitHistory, WantedSource
from ..sources.stored import NewSource
from ..storage.facts import unstored_among
from ..storage.integrity import not_as_signed
from ..storage.store import Store
from ..utils.types import Key, label, names_of

__all__ = ["Backfill", "Backfilled"]

# What has no file, and is to be undone neither by itself nor by another that stands for it.
_OF_NO_USE = (FileStatus.SQUASHED, FileStatus.DISABLED)


@dataclass(frozen=True)
class Backfilled:
    """One migration whose source was found."""

    entry: NewSource
    # Where in git, or nothing where it was read from its file.
    found: FoundSource | None = None

    @property
    def key(self) -> Key:
        return self.entry.key


@dataclass
class Backfill:
    """
    What is applied in one database and not stored, and where its source is.

    Args:
        connection: the database.
        app_labels: of which apps; all of them without one.

    Raises:
        CommandError: there is nothing to store it in, or there is no such app.
    """

    connection: Any
    app_labels: Iterable[str] = ()
    found: list[Backfilled] = field(default_factory=list)
    # Stored and never to be used, each with the reason: it is replaced.
    damaged: dict[Key, str] = field(default_factory=dict)
    # Looked for and not found, each with the reason.
    lost: dict[Key, str] = field(default_factory=dict)
    # What has to be said beside that, a line for each thing.
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app_labels = list(self.app_labels)
        self._repositories: dict[Path, Repository | str] = {}
        self._check_store()
        loader = loader_of(self.connection)
        if not loader.store_is_ready:
            alias = self.connection.alias
            raise CommandError(
                f"Nothing can be stored in the database '{alias}' yet: run "
                f"'manage.py migrate --database {alias}' first."
            )
        self.disk = loader.files
        self.snapshot = loader.snapshot
        self.records: Mapping[Key, Any] = MigrationRecorder(self.connection).applied_migrations()
        self._check_labels()
        stored = {
            key: row
            for key, row in self.snapshot.stored.items()
            if key in self.snapshot.applied and self._is_asked_for(key)
        }
        self.damaged = not_as_signed(self.connection, stored)

    def _check_store(self) -> None:
        alias = self.connection.alias
        if not conf.in_force():
            raise CommandError("django-rewind is switched off: set DJANGO_REWIND_ENABLED to True to store.")
        if not Store(self.connection).is_allowed:
            raise CommandError(f"A router keeps the table of django_rewind out of the database '{alias}'.")

    def _check_labels(self) -> None:
        known = {config.label for config in apps.get_app_configs()}
        known.update(app_label for app_label, _ in (*self.snapshot.applied, *self.snapshot.files))
        for app_label in self.app_labels:
            if app_label not in known:
                raise CommandError(
                    f"No installed app with label '{app_label}', and none of its migrations is applied."
                )

    # Looking ----------------------------------------------------------------

    @cached_property
    def _unstored(self) -> list[Key]:
        keys = unstored_among(Store(self.connection).known(), self.snapshot.applied)
        return sorted({*filter(self._is_asked_for, keys), *self.damaged})

    def _is_asked_for(self, key: Key) -> bool:
        return not self.app_labels or key[0] in self.app_labels

    @property
    def without_file(self) -> list[Key]:
        """What is applied, unstored and not on disk, and would have to be recovered."""
        standing = self.snapshot.without_file
        return [
            key
            for key in self._unstored
            if key in self.records and key in standing and standing[key] not in _OF_NO_USE
        ]

    def look_on_disk(self) -> None:
        """Read what has a file."""
        packing = Packing(Origin.BACKFILLED)
        for key in self._unstored:
            if key in self.snapshot.files:
                record = self.records.get(key)
                packing.add(self.disk[key], record.pk if record is not None else None)
        self._take(packing, {})

    def look_in_git(self) -> None:
        """Find what has no file, in the work tree that its app is in."""
        packing = Packing(Origin.GIT)
        found: dict[Key, FoundSource] = {}
        for past, wanted in self._pasts():
            failure = self._look_for(past, wanted)
            for one in wanted:
                reason = failure or self._find(past, one, packing, found)
                if reason:
                    self.lost[one.key] = reason
        self._take(packing, found)

    def _look_for(self, past: GitHistory, wanted: list[WantedSource]) -> str:
        """Walk through the history; return why that cannot be done, or nothing."""
        try:
            past.look_for(wanted)
        except GitUnavailable as error:
            return str(error)
        return ""

    def _find(
        self, past: GitHistory, wanted: WantedSource, packing: Packing, found: dict[Key, FoundSource]
    ) -> str:
        """Find one migration and pack it; return why that cannot be done, or nothing."""
        try:
            one = past.find(wanted)
            self._pack(packing, one)
        except (GitUnavailable, LookupError) as error:
            return str(error)
        found[wanted.key] = one
        return ""

    def _pack(self, packing: Packing, found: FoundSource) -> None:
        version = found.version
        packing.collect(
            found.wanted.key,
            found.module,
            found.text,
            found.collector,
            lambda bundle: replace(
                found.metadata, bundle=bundle, commit=version.commit, committed=version.when.isoformat()
            ),
            record_id=self.records[found.wanted.key].pk,
        )

    def _take(self, packing: Packing, found: Mapping[Key, FoundSource]) -> None:
        self.found += [Backfilled(entry, found.get(entry.key)) for entry in packing.entries]
        self.lost.update(packing.failed)
        self.notes += packing.left_out()
        self.notes += [
            f"Of {label(key)}, {self.damaged[key]}: a backfill replaces it, and keeps it in the history as evidence."
            for key in (entry.key for entry in packing.entries)
            if key in self.damaged
        ]

    # Places -----------------------------------------------------------------

    def _pasts(self) -> list[tuple[GitHistory, list[WantedSource]]]:
        """Return the work trees, each with what is wanted from it."""
        trees: dict[Path, tuple[GitHistory, list[WantedSource]]] = {}
        taken = [place for place in map(_folder_of, _labels()) if place is not None]
        for key in self.without_file:
            wanted = self._wanted(key)
            repository = self._repository(wanted.file.parent if wanted.file else _project())
            if isinstance(repository, str):
                self.lost[key] = repository
                continue
            if repository.top not in trees:
                trees[repository.top] = (GitHistory(repository, taken), [])
                if repository.is_shallow:
                    self.notes.append(f"The clone in {repository.top} is shallow: its history is cut.")
            trees[repository.top][1].append(wanted)
        return list(trees.values())

    def _repository(self, folder: Path) -> Repository | str:
        """Return the work tree that holds a folder, or why there is none; git is asked once."""
        if folder not in self._repositories:
            try:
                self._repositories[folder] = Repository.around(folder)
            except GitUnavailable as error:
                self._repositories[folder] = str(error)
        return self._repositories[folder]

    def _wanted(self, key: Key) -> WantedSource:
        # Without a time zone it is local time, which Django has set for this process.
        applied = self.records[key].applied.timestamp()
        folder = _folder_of(key[0]) if key[0] in self.snapshot.installed_apps else None
        if folder is None:
            return WantedSource(key, applied)
        package, _ = MigrationLoader.migrations_module(key[0])
        return WantedSource(key, applied, folder / f"{key[1]}.py", f"{package}.{key[1]}")

    # Storing ----------------------------------------------------------------

    def store(self) -> None:
        """
        Store what was found, in one go.

        Raises:
            CommandError: the database does not take it.
        """
        try:
            Store(self.connection).put([one.entry for one in self.found], replacing=self.damaged)
        except (DatabaseError, UnicodeError) as error:
            names = names_of(one.key for one in self.found)
            raise CommandError(f"The sources of {names} cannot be stored: {error}") from error


def _labels() -> list[str]:
    return [config.label for config in apps.get_app_configs()]


def _folder_of(app_label: str) -> Path | None:
    """Return where the migrations of an installed app lie, or would lie."""
    package, _ = MigrationLoader.migrations_module(app_label)
    if package is None:
        return None
    modules = Modules()
    folder = modules.folder(package)
    if folder is None:
        # Git knows no empty folders: it goes with the last file in it.
        above, _, last = package.rpartition(".")
        parent = modules.folder(above) if above else None
        folder = parent / last if parent is not None else None
    return folder


def _project() -> Path:
    """Return a folder of the project: where its settings lie, else where we are."""
    name = getattr(settings, "SETTINGS_MODULE", None)
    place = getattr(import_module(name), "__file__", None) if name else None
    return Path(place).parent if place else Path.cwd()
