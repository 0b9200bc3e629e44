"""
Store the sources of applied migrations later: from the files of this checkout, as `migrate`
does by itself, and, where the files are gone, from the Git history that they were in.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader

from .. import conf
from ..engine.capture import Packing
from ..exceptions import NotInitialized
from ..git.repository import GitUnavailable, Repository
from ..inventory.contradictions import contradictions
from ..inventory.loader import loader_of
from ..inventory.snapshot import FileStatus
from ..models import Origin
from ..sources.bundle.modules import Modules
from ..sources.git_history import FoundSource, GitHistory, WantedSource
from ..sources.stored import NewSource
from ..storage.facts import unstored_among
from ..storage.integrity import not_as_signed
from ..storage.records import records
from ..storage.store import Store
from ..utils.printable import printable_name
from ..utils.types import Key, label

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


class Backfill:
    """What is applied in one database and not stored, all of it or what is asked for, and where its source is."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        # The migrations that are looked at; None for all.
        self.asked: Container[Key] | None = None
        self.found: list[Backfilled] = []
        # Looked for and not found, each with the reason.
        self.lost: dict[Key, str] = {}
        # Found, and not to be stored without consent, each with the reason.
        self.declined: dict[Key, str] = {}
        # Found, and not taken by the database.
        self.refused: list[Key] = []
        # What has to be said beside that, a line for each thing.
        self.notes: list[str] = []
        self._repositories: dict[Path, Repository | str] = {}
        if not conf.in_force():
            raise CommandError("django-rewind is switched off: set DJANGO_REWIND_ENABLED to True to store.")
        self._store = Store(connection)
        if not self._store.is_allowed:
            raise CommandError(
                f"A router keeps the table of django_rewind out of the database '{connection.alias}'."
            )
        loader = loader_of(connection)
        if not loader.store_is_ready:
            raise NotInitialized(connection.alias)
        self.disk = loader.files
        self.snapshot = loader.snapshot
        self.records: Mapping[Key, Any] = records(connection)

    @property
    def keys(self) -> set[Key]:
        """The migrations that may be asked for."""
        return {*self.snapshot.applied, *self.snapshot.files}

    @cached_property
    def damaged(self) -> dict[Key, str]:
        """What is stored and never to be used, each with the reason: it is replaced."""
        stored = {
            key: row
            for key, row in self.snapshot.stored.items()
            if key in self.snapshot.applied and self._is_asked_for(key)
        }
        return not_as_signed(self.connection, stored)

    def _is_asked_for(self, key: Key) -> bool:
        return self.asked is None or key in self.asked

    @cached_property
    def _unstored(self) -> list[Key]:
        keys = unstored_among(self._store.known(), self.snapshot.applied)
        return sorted({*filter(self._is_asked_for, keys), *self.damaged})

    @property
    def without_file(self) -> list[Key]:
        """Return what is applied, unstored and not on disk, and would have to be recovered."""
        statuses = self.snapshot.without_file
        return [
            key
            for key in self._unstored
            if key in self.records and key in statuses and statuses[key] not in _OF_NO_USE
        ]

    def look_on_disk(self) -> None:
        """Read what has a file."""
        packing = Packing(Origin.BACKFILLED)
        for key in self._unstored:
            if key in self.snapshot.files:
                record = self.records.get(key)
                packing.add(self.disk[key], record.pk if record is not None else None)
        self._leave_out_contradictions(packing)
        self._take(packing, {})

    def _leave_out_contradictions(self, packing: Packing) -> None:
        """Leave out files that are known to be other ones than what was applied: that takes a person."""
        files = {entry.key: entry.text for entry in packing.entries}
        for key, contradiction in contradictions(self.connection, files, self.snapshot.applied).items():
            if not contradiction.is_of_before:
                packing.failed[key] = f"{contradiction.reason} {contradiction.next_step}"
        packing.entries = [entry for entry in packing.entries if entry.key not in packing.failed]

    def look_in_git(self, revision: str = "") -> None:
        """
        Find what has no file, in the work tree that its app is in.

        Args:
            revision: the one whose history comes first, in the place of what is checked out.
        """
        packing = Packing(Origin.GIT)
        found: dict[Key, FoundSource] = {}
        for history, all_wanted in self._histories(revision):
            with self._losing(all_wanted):
                history.look_for(all_wanted)
                for wanted in all_wanted:
                    with self._losing([wanted]):
                        source = history.find(wanted)
                        self._pack(packing, source)
                        found[wanted.key] = source
        self._take(packing, found)

    @contextmanager
    def _losing(self, wanted: list[WantedSource]) -> Iterator[None]:
        try:
            yield
        except (GitUnavailable, LookupError) as error:
            # Git's names of files and revisions are in it.
            self.lost.update((source.key, printable_name(error)) for source in wanted)

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
            f"Of {label(key)}, git holds {source.contents} versions. The last one before it was applied is taken, "
            f"from commit {source.version.commit[:10]}: it need not be the one that was applied."
            for key, source in found.items()
            if source.contents > 1
        ]
        self.notes += [
            f"Of {label(key)}, {self.damaged[key]}: a backfill replaces it, and keeps it in the history as evidence."
            for key in (entry.key for entry in packing.entries)
            if key in self.damaged
        ]

    def _histories(self, revision: str) -> list[tuple[GitHistory, list[WantedSource]]]:
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
                trees[repository.top] = (GitHistory(repository, taken, revision), [])
                if repository.is_shallow:
                    self.notes.append(f"The clone in {repository.top} is shallow: its history is cut.")
            trees[repository.top][1].append(wanted)
        return list(trees.values())

    def _repository(self, folder: Path) -> Repository | str:
        """Return the work tree that holds a folder, or why there is none; Git is asked once."""
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

    @property
    def unreachable(self) -> list[Backfilled]:
        """
        Return what was found only in commits that are not in the history of what is checked out, or named.

        Whoever can push a branch has written it, and chosen its date.
        """
        return [source for source in self.found if source.found and not source.found.version.is_reachable]

    def agree(self, source: Backfilled) -> None:
        """Note that a person was shown all of it and agreed; that is signed with it."""
        metadata = replace(source.entry.metadata, agreed=True)
        self.found[self.found.index(source)] = replace(source, entry=replace(source.entry, metadata=metadata))

    def decline(self, source: Backfilled, reason: str) -> None:
        """Leave out what nobody has agreed to."""
        self.found.remove(source)
        self.declined[source.key] = reason

    def store(self) -> None:
        """Store what was found, but for what the database refuses."""
        entries = [source.entry for source in self.found]
        for entry, error in self._store.put_each(entries, replacing=self.damaged).refused:
            self.refused.append(entry.key)
            self.notes.append(f"The source of {label(entry.key)} cannot be stored: {error}")
        self.found = [source for source in self.found if source.key not in self.refused]


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
