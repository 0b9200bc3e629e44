"""What is stored before a run, and what of it is filled in later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.migrations import Migration

from .. import conf
from ..inventory.contradictions import contradictions
from ..models import Origin
from ..sources import signing
from ..sources.bundle.collector import Collector
from ..sources.bundle.manifest import Bundle
from ..sources.bundle.modules import SourceUnavailable
from ..sources.description import Metadata, describe, module_of, read_text
from ..sources.stored import NewSource, StoredRevision
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


def capture(
    connection: Any, migrations: Iterable[Migration], *, fake: bool = False, warn: Warn
) -> dict[Key, StoredRevision]:
    """
    Store the sources of migrations that are about to be applied, in one go.

    A migration that is only recorded (`--fake`) has not run: its source is noted as
    filled in from disk.

    Returns:
        what is stored now, as it was signed, to be bound to its records when these are made.
    """
    origin = Origin.BACKFILLED if fake else Origin.CAPTURED
    return _store(connection, origin, [(migration, None) for migration in migrations], warn=warn)


def accept(connection: Any, migration: Migration, record_id: int, *, warn: Warn) -> bool:
    """
    Store the file of an applied migration in the place of its applied version, which becomes a revision.

    Args:
        record_id: of the row of django_migrations that it will stand for.

    Returns:
        whether it could be stored.
    """
    return bool(_store(connection, Origin.ACCEPTED, [(migration, record_id)], warn=warn))


def adopt(
    connection: Any, migrations: Mapping[int, Migration], applied: Mapping[Key, Metadata], *, warn: Warn
) -> dict[Key, StoredRevision]:
    """
    Store files that have taken over the records of missing migrations, by the ids of these.

    Args:
        applied: what was noted of these migrations when they were applied, by their new names.
    """
    files = [(migration, record_id) for record_id, migration in migrations.items()]
    return _store(connection, Origin.ADOPTED, files, applied, warn=warn)


def fill_in(
    connection: Any, disk: Mapping[Key, Migration], wanted: Iterable[Key], *, warn: Warn, ask: Warn
) -> set[Key]:
    """
    Store from their files what is applied and has no applied version, or is not signed.

    It is the file that is stored. What contradicts what is known to have been applied waits
    for a person.

    Args:
        disk: the migrations that have a file.
        ask: takes a line about what a person has to decide.

    Returns:
        the keys that are stored now.
    """
    if not _can_sign(connection, warn):
        return set()
    records = record_ids(connection)

    def without_contradictions(entries: list[NewSource]) -> list[NewSource]:
        found = contradictions(connection, {entry.key: entry.text for entry in entries}, records)
        for contradiction in found.values():
            ask(contradiction.warning)
        return [entry for entry in entries if entry.key not in found or found[entry.key].is_of_before]

    files = [(disk[key], records.get(key)) for key in wanted]
    return {*_store(connection, Origin.BACKFILLED, files, warn=warn, choose=without_contradictions)}


def _store(
    connection: Any,
    origin: str,
    migrations: Iterable[tuple[Migration, int | None]],
    applied: Mapping[Key, Metadata] = {},
    *,
    warn: Warn,
    choose: Callable[[list[NewSource]], list[NewSource]] = list,
) -> dict[Key, StoredRevision]:
    """Store the files of migrations, each with its record where that is known, and return what could be."""
    if not _can_sign(connection, warn):
        return {}
    store, packing = Store(connection), Packing(origin, applied)
    for migration, record_id in migrations:
        packing.add(migration, record_id)
    for key, reason in packing.failed.items():
        warn(f"The source of {label(key)} cannot be stored: {reason}.")
    for line in packing.left_out():
        warn(line)
    if not packing.entries or not store.is_allowed:
        return {}
    if not store.exists():
        if is_told_first(connection):
            warn(_NO_TABLE)
        return {}
    stored, refused = store.put_each(choose(packing.entries))
    for entry, error in refused:
        # Not a reason to keep somebody from migrating.
        warn(f"The source of {label(entry.key)} cannot be stored: {error}")
    return stored


def _can_sign(connection: Any, warn: Warn) -> bool:
    """Say whether there is a key, and once in a run what to do if there is none."""
    problem = signing.problem_with_keys()
    if problem and Store(connection).is_allowed and is_told_first(connection):
        warn(f"The sources of migrations are not stored. {problem}")
    return not problem


class Packing:
    """The entries that are about to be stored, and what could not be taken along."""

    def __init__(self, origin: str, applied: Mapping[Key, Metadata] = {}) -> None:
        self.origin = origin
        # What was noted of some when they were applied, which may come to something else here.
        self.applied = applied
        self.entries: list[NewSource] = []
        # What has no text to store, and why.
        self.failed: dict[Key, str] = {}
        self._collector = Collector()
        self._excluded = conf.excluded_apps()
        # (module or file, why) -> who would have needed it.
        self._missed: dict[tuple[str, str], list[Key]] = {}

    def add(self, migration: Migration, record_id: int | None = None) -> None:
        """Read a migration from its file, with what it needs."""
        key = key_of(migration)
        if key[0] in self._excluded:
            return
        try:
            module = module_of(key)
            text = read_text(module)
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
                lambda bundle: self._described(migration, bundle, (module, text)),
                record_id,
            )
        except Exception as error:  # noqa: BLE001 (not a reason to keep somebody from migrating)
            self.failed[key] = f"{type(error).__name__}: {error}"

    def _described(self, migration: Migration, bundle: Bundle, source: tuple[str, str]) -> Metadata:
        described, applied = describe(migration, bundle, source), self.applied.get(key_of(migration))
        return described if applied is None else described.as_applied(applied)

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
