"""What is stored before a run, and what of it is filled in later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db import DatabaseError
from django.db.migrations import Migration

from .. import conf
from ..inventory.files import text_on_disk
from ..models import Origin
from ..sources import signing
from ..sources.bundle.collector import Collector
from ..sources.bundle.manifest import Bundle
from ..sources.bundle.modules import SourceUnavailable
from ..sources.compare import same_text
from ..sources.description import Metadata, describe, module_of, read_text
from ..sources.stored import NewSource
from ..storage.records import record_ids
from ..storage.store import Store
from ..utils.types import Key, label, some_names_of
from .handover import is_told_first

__all__ = ["Packing", "accept", "adopt", "capture", "fill_in"]

# Takes one line about something that could not be stored.
Warn = Callable[[str], None]


def capture(connection: Any, migrations: Iterable[Migration], *, fake: bool = False, warn: Warn) -> set[Key]:
    """
    Store the sources of migrations that are about to be applied, in one go.

    A migration that is only recorded (`--fake`) has not run: its text is noted as
    filled in from disk.

    Returns:
        the keys that are stored now and have to be proven when they are recorded.
    """
    if not _can_sign(connection, warn):
        return set()
    packing = Packing(Origin.BACKFILLED if fake else Origin.CAPTURED)
    for migration in migrations:
        packing.add(migration)
    return _put(connection, packing, warn=warn)


def accept(connection: Any, migration: Migration, record_id: int, *, warn: Warn) -> bool:
    """
    Store the file of an applied migration in the place of what ran.

    What ran is kept as history.

    Args:
        record_id: of the row of django_migrations that it will stand for.

    Returns:
        whether it could be stored.
    """
    return bool(_put_as(Origin.ACCEPTED, connection, {record_id: migration}, warn=warn))


def adopt(connection: Any, migrations: Mapping[int, Migration], *, warn: Warn) -> set[Key]:
    """
    Store files that have taken over the records of missing migrations.

    Args:
        migrations: by the ids of the rows of django_migrations that they stand for now.

    Returns:
        the keys of what could be stored.
    """
    return _put_as(Origin.ADOPTED, connection, migrations, warn=warn)


def _put_as(origin: str, connection: Any, migrations: Mapping[int, Migration], *, warn: Warn) -> set[Key]:
    if not _can_sign(connection, warn):
        return set()
    packing = Packing(origin)
    for record_id, migration in migrations.items():
        packing.add(migration, record_id)
    return _put(connection, packing, warn=warn)


def _can_sign(connection: Any, warn: Warn) -> bool:
    """Say whether there is a key, and once in a run what to do if there is none."""
    problem = signing.problem_with_keys()
    if problem and Store(connection).is_allowed and is_told_first(connection):
        warn(f"The sources of migrations are not stored. {problem}")
    return not problem


class Packing:
    """The entries that are about to be stored, and what could not be taken along."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.entries: list[NewSource] = []
        # What has no text to store, and why.
        self.failed: dict[Key, str] = {}
        self._collector = Collector()
        self._excluded = conf.excluded_apps()
        # (module or file, why) -> who would have needed it.
        self._missed: dict[tuple[str, str], list[Key]] = {}

    def add(self, migration: Migration, record_id: int | None = None, text: str | None = None) -> None:
        """
        Read a migration from its file, and what it needs.

        Args:
            text: is stored instead of that of the file.
        """
        key = (migration.app_label, migration.name)
        if key[0] in self._excluded:
            return
        try:
            self._add(key, migration, record_id, text)
        except LookupError:
            # Made in memory for an app that does not exist: there is no source.
            return
        except SourceUnavailable as error:
            self.failed[key] = str(error)

    def _add(self, key: Key, migration: Migration, record_id: int | None, text: str | None) -> None:
        module = module_of(key)
        text = read_text(module) if text is None else text
        try:
            self.collect(
                key, module, text, self._collector, lambda bundle: describe(migration, bundle), record_id
            )
        except Exception as error:
            # Not a reason to keep somebody from migrating.
            raise SourceUnavailable(f"{type(error).__name__}: {error}") from error

    def collect(
        self,
        key: Key,
        module: str,
        text: str,
        collector: Collector,
        describe_with: Callable[[Bundle], Metadata],
        record_id: int | None = None,
    ) -> None:
        """Add a text with what it needs, which the collector gathers."""
        collected = collector.collect(module, text)
        metadata = describe_with(collected.bundle)
        # What cannot be written down cannot be stored.
        metadata.as_text()
        for missed in collected.missed.items():
            self._missed.setdefault(missed, []).append(key)
        self.entries.append(
            NewSource(
                key=key,
                module=module,
                text=text,
                metadata=metadata,
                origin=self.origin,
                contents=collected.contents,
                record_id=record_id,
            )
        )

    def left_out(self) -> list[str]:
        """Return what the entries had to leave out, a line for each thing."""
        lines = []
        for (name, reason), keys in self._missed.items():
            lines.append(f"{name} is not stored with {some_names_of(keys)}, which needs it: {reason}.")
        return lines


def _put(connection: Any, packing: Packing, *, warn: Warn) -> set[Key]:
    for key, reason in packing.failed.items():
        warn(f"The source of {label(key)} cannot be stored: {reason}.")
    for line in packing.left_out():
        warn(line)
    entries = packing.entries
    store = Store(connection)
    if not entries or not store.is_allowed or not store.exists():
        return set()
    try:
        store.put(entries)
    except (DatabaseError, UnicodeError) as error:
        # Not a reason to keep somebody from migrating.
        names = ", ".join(label(entry.key) for entry in entries)
        warn(f"The sources of {names} cannot be stored: {error}")
        return set()
    return {entry.key for entry in entries}


def fill_in(
    connection: Any,
    disk: Mapping[Key, Migration],
    unstored: Iterable[Key],
    undescribed: set[Key],
    *,
    warn: Warn,
) -> None:
    """
    Store from disk what is applied and unstored, and describe what version 0.1.0 stored.

    Args:
        disk: the migrations that have a file.
        undescribed: of which there is nothing but the text; described if their files are
            the same programs.
    """
    if not _can_sign(connection, warn):
        return
    records = record_ids(connection)
    packing = Packing(Origin.BACKFILLED)
    for key in unstored:
        packing.add(disk[key], records.get(key))
    _put(connection, packing, warn=warn)
    inherited = Packing(Origin.INHERITED)
    for key, text in sorted(_still_on_disk(Store(connection), undescribed).items()):
        inherited.add(disk[key], records.get(key), text)
    _put(connection, inherited, warn=warn)


def _still_on_disk(store: Store, keys: set[Key]) -> dict[Key, str]:
    """Return the stored texts that are the same programs as their files."""
    texts = store.texts(keys)
    return {key: text for key, text in texts.items() if same_text(text, text_on_disk(key) or "")}
