"""What is stored before a run, and what of it is filled in later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
from ..utils.types import Key, key_of, label, some_names_of
from .handover import is_told_first

_NO_TABLE = (
    "The sources of migrations are not stored: the table 'django_migrations_code' is gone. To make it again, "
    "run 'manage.py migrate django_rewind zero' and then 'manage.py migrate'."
)

# Takes one line about something that could not be stored.
Warn = Callable[[str], None]


def capture(connection: Any, migrations: Iterable[Migration], *, fake: bool = False, warn: Warn) -> set[Key]:
    """
    Store the sources of migrations that are about to be applied, in one go.

    A migration that is only recorded (`--fake`) has not run: its source is noted as
    filled in from disk.

    Returns:
        the keys that are stored now, to be bound to their records when these are made.
    """
    origin = Origin.BACKFILLED if fake else Origin.CAPTURED
    return _store(connection, origin, [(migration, None, None) for migration in migrations], warn=warn)


def accept(connection: Any, migration: Migration, record_id: int, *, warn: Warn) -> bool:
    """
    Store the file of an applied migration in the place of its applied version, which becomes a revision.

    Args:
        record_id: of the row of django_migrations that it will stand for.

    Returns:
        whether it could be stored.
    """
    return bool(_store(connection, Origin.ACCEPTED, [(migration, record_id, None)], warn=warn))


def adopt(connection: Any, migrations: Mapping[int, Migration], *, warn: Warn) -> set[Key]:
    """Store files that have taken over the records of missing migrations, by the ids of these."""
    files = [(migration, record_id, None) for record_id, migration in migrations.items()]
    return _store(connection, Origin.ADOPTED, files, warn=warn)


def fill_in(
    connection: Any,
    disk: Mapping[Key, Migration],
    unstored: Iterable[Key],
    undescribed: set[Key],
    *,
    warn: Warn,
) -> set[Key]:
    """
    Store from disk what is applied and unstored, and describe what was imported from 0.1.0.

    Args:
        disk: the migrations that have a file.
        undescribed: of which there is nothing but the text; described if their files are
            the same programs.

    Returns:
        the keys that are stored now and were not before.
    """
    if not _can_sign(connection, warn):
        return set()
    records = record_ids(connection)
    files = [(disk[key], records.get(key), None) for key in unstored]
    stored = _store(connection, Origin.BACKFILLED, files, warn=warn)
    texts = Store(connection).texts(undescribed)
    imported = [
        (disk[key], records.get(key), text)
        for key, text in sorted(texts.items())
        if same_text(text, text_on_disk(key) or "")
    ]
    _store(connection, Origin.INHERITED, imported, warn=warn)
    return stored


def _store(
    connection: Any,
    origin: str,
    migrations: Iterable[tuple[Migration, int | None, str | None]],
    *,
    warn: Warn,
) -> set[Key]:
    """Store migrations, each with its record and its text where these are known, and return what could be."""
    if not _can_sign(connection, warn):
        return set()
    store, packing = Store(connection), Packing(origin)
    for migration, record_id, text in migrations:
        packing.add(migration, record_id, text)
    for key, reason in packing.failed.items():
        warn(f"The source of {label(key)} cannot be stored: {reason}.")
    for line in packing.left_out():
        warn(line)
    if not packing.entries or not store.is_allowed:
        return set()
    if not store.exists():
        if is_told_first(connection):
            warn(_NO_TABLE)
        return set()
    keys = {entry.key for entry in packing.entries}
    for entry, error in store.put_each(packing.entries):
        # Not a reason to keep somebody from migrating.
        warn(f"The source of {label(entry.key)} cannot be stored: {error}")
        keys.discard(entry.key)
    return keys


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
        """Read a migration from its file, unless a text is given, with what it needs."""
        key = key_of(migration)
        if key[0] in self._excluded:
            return
        try:
            module = module_of(key)
            text = read_text(module) if text is None else text
        except LookupError:
            # Made in memory for an app that does not exist: there is no source.
            return
        except SourceUnavailable as error:
            self.failed[key] = str(error)
            return
        try:
            self.collect(
                key,
                module,
                text,
                self._collector,
                lambda bundle: describe(migration, bundle, (module, text)),
                record_id,
            )
        except Exception as error:  # noqa: BLE001 (not a reason to keep somebody from migrating)
            self.failed[key] = f"{type(error).__name__}: {error}"

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
        return [
            f"{name} is not stored with {some_names_of(keys)}, which needs it: {reason}."
            for (name, reason), keys in self._missed.items()
        ]
