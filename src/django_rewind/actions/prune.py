"""
Discard what is kept of migrations that are not applied: the work behind `prune_migration_code`.

Of what is applied, or counts as applied because a squashed migration stands for it,
nothing is ever discarded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder

from .. import conf
from ..inventory.loader import InventoryLoader, loader_of
from ..models import Event, MigrationCode, MigrationCodeHistory, MigrationEvent, StoredContent
from ..schema.graph import closure
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.tables import Tables, in_batches
from ..utils.types import APP_LABEL, Key

__all__ = ["Leftovers", "Pruning"]

# What metadata refer to contents by. Whatever looks like one keeps a content from being discarded.
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Leftovers:
    """Rows that are old enough and of nothing that is applied, by their ids."""

    stored: Mapping[Key, int] = field(default_factory=dict)
    revisions: Mapping[Key, frozenset[int]] = field(default_factory=dict)
    entries: Mapping[Key, frozenset[int]] = field(default_factory=dict)
    contents: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.contents)

    @property
    def keys(self) -> list[Key]:
        return sorted({*self.stored, *self.revisions, *self.entries})

    def in_words(self, key: Key) -> str:
        """Return what is left of a migration, or of runs that were refused because of none in particular."""
        parts = ["its stored source"] if key in self.stored else []
        parts += _count(len(self.revisions.get(key, ())), "earlier revision", "earlier revisions")
        parts += _count(len(self.entries.get(key, ())), "audit log entry", "audit log entries")
        return ", ".join(parts)

    def __and__(self, other: Leftovers) -> Leftovers:
        return Leftovers(
            stored={key: pk for key, pk in self.stored.items() if other.stored.get(key) == pk},
            revisions=_common(self.revisions, other.revisions),
            entries=_common(self.entries, other.entries),
            contents=self.contents & other.contents,
        )


class Pruning(Tables):
    """
    Find what is older than a date and of no use any more, and discard it.

    Args:
        connection: the database.
        before: what is younger is kept.
        app_label: only migrations of this app.

    Raises:
        CommandError: nothing is kept in this database, or it is switched off.
    """

    def __init__(self, connection: Any, before: datetime, app_label: str | None = None) -> None:
        super().__init__(connection)
        self.before = before
        self.app_label = app_label
        self.audit_log = AuditLog(connection)
        if not conf.in_force():
            raise CommandError("django-rewind is switched off: set DJANGO_REWIND_ENABLED to True to prune.")
        self._check(loader_of(connection))

    def _check(self, loader: InventoryLoader) -> None:
        if not (loader.store_is_ready and self.audit_log.is_there()):
            alias = self.connection.alias
            raise CommandError(
                f"Nothing is kept in the database '{alias}' yet: run "
                f"'manage.py migrate --database {alias}' first."
            )

    # Looking ----------------------------------------------------------------

    def look(self) -> Leftovers:
        """Return what would be discarded now."""
        kept = self._kept()
        stored = self._old_sources(kept)
        revisions = self._old_revisions(kept)
        entries = self._old_entries(kept, {*stored, *revisions})
        gone = frozenset(pk for ids in revisions.values() for pk in ids)
        return Leftovers(stored, revisions, entries, self._unused_contents({*stored.values()}, gone))

    def _kept(self) -> set[Key]:
        """Return what is applied, what it stands for, and what stands for something applied."""
        loader = loader_of(self.connection)
        applied = {*MigrationRecorder(self.connection).applied_migrations(), *loader.applied_migrations}
        snapshot = loader.snapshot
        replaced: dict[Key, list[Key]] = {
            key: [(one[0], one[1]) for one in migration.replaces]
            for key, migration in (loader.disk_migrations or {}).items()
        }
        for key, row in snapshot.stored.items():
            replaced[key] = [*replaced.get(key, ()), *_replaced_by(row)]
        standing_for = {key for key, originals in replaced.items() if applied.intersection(originals)}
        return set(closure({*applied, *standing_for}, replaced))

    def _wanted(self, model: Any) -> Any:
        rows = self._rows(model)
        return rows if self.app_label is None else rows.filter(app_label=self.app_label)

    def _old_sources(self, kept: set[Key]) -> dict[Key, int]:
        """Return the rows of what has not been applied, nor anything else, since the date."""
        young = self._wanted(MigrationEvent).filter(at__gte=self.before)
        since = set(self._read(young.values_list("app_label", "migration_name").distinct()))
        rows = self._wanted(MigrationCode).filter(stored_at__lt=self.before)
        return {
            (app_label, name): pk
            for app_label, name, pk in self._read(rows.values_list("app_label", "migration_name", "pk"))
            if (app_label, name) not in kept | since
        }

    def _old_revisions(self, kept: set[Key]) -> dict[Key, frozenset[int]]:
        return self._by_key(self._wanted(MigrationCodeHistory).filter(replaced_at__lt=self.before), kept)

    def _old_entries(self, kept: set[Key], discarded: Iterable[Key]) -> dict[Key, frozenset[int]]:
        """Return entries; that something was discarded is kept where nothing else is left to discard."""
        rows = self._wanted(MigrationEvent).filter(at__lt=self.before)
        others = {*discarded, *self._by_key(rows.exclude(event=Event.DISCARDED), kept)}
        return {key: ids for key, ids in self._by_key(rows, kept).items() if key in others}

    def _by_key(self, rows: Any, kept: set[Key]) -> dict[Key, frozenset[int]]:
        found: dict[Key, set[int]] = {}
        for app_label, name, pk in self._read(rows.values_list("app_label", "migration_name", "pk")):
            if (app_label, name) not in kept:
                found.setdefault((app_label, name), set()).add(pk)
        return {key: frozenset(ids) for key, ids in found.items()}

    def _unused_contents(self, sources: set[int], revisions: frozenset[int]) -> frozenset[int]:
        """Return the contents to which nothing refers but what goes."""
        used: set[str] = set()
        for model, gone in ((MigrationCode, sources), (MigrationCodeHistory, revisions)):
            for pk, metadata in self._read(self._rows(model).values_list("pk", "metadata")):
                if pk not in gone:
                    used.update(_DIGEST.findall(metadata))
        rows = self._read(self._rows(StoredContent).values_list("digest", "pk"))
        return frozenset(pk for digest, pk in rows if digest not in used)

    # Discarding -------------------------------------------------------------

    def discard(self, agreed: Leftovers) -> Leftovers:
        """
        Discard what was agreed to and is still left, in one transaction, and note it.

        Returns:
            what was discarded.
        """
        with transaction.atomic(using=self.connection.alias):
            self._wait_for_others()
            found = self.look() & agreed
            happenings = [self._discarded(key, found) for key in found.keys]
            self._delete(MigrationCode, found.stored.values())
            self._delete(MigrationCodeHistory, (pk for ids in found.revisions.values() for pk in ids))
            self._delete(MigrationEvent, (pk for ids in found.entries.values() for pk in ids))
            self._delete(StoredContent, found.contents)
            self.audit_log.note(happenings)
        return found

    def _wait_for_others(self) -> None:
        """
        Let another prune, and what is being stored, come to its end first.

        Whoever stores something holds the contents that it refers to until it is committed.
        """
        records = MigrationRecorder.Migration.objects.using(self.connection.alias)
        ours = records.filter(app=APP_LABEL).order_by("pk")
        if self.connection.features.has_select_for_update:
            list(ours.select_for_update()[:1])
            contents = self._rows(StoredContent).order_by("digest")
            list(contents.select_for_update().values_list("pk", flat=True))
        else:
            # Writing what is there already makes it the only writer.
            ours.update(app=APP_LABEL)

    def _discarded(self, key: Key, found: Leftovers) -> AuditEntry:
        digest, serial = "", None
        if key in found.stored:
            row = self._rows(MigrationCode).filter(pk=found.stored[key])
            digest, serial = row.values_list("digest", "serial").get()
        return AuditEntry(Event.DISCARDED, key, digest=digest, serial=serial, detail=found.in_words(key))

    def _delete(self, model: Any, ids: Iterable[int]) -> None:
        for batch in in_batches(sorted(ids), 500):
            self._rows(model).filter(pk__in=batch).delete()


def _replaced_by(row: Any) -> list[Key]:
    try:
        return [(one[0], one[1]) for one in row.metadata.replaces]
    except ValueError:
        return []


def _common(
    one: Mapping[Key, frozenset[int]], other: Mapping[Key, frozenset[int]]
) -> dict[Key, frozenset[int]]:
    both = {key: ids & other.get(key, frozenset()) for key, ids in one.items()}
    return {key: ids for key, ids in both.items() if ids}


def _count(number: int, one: str, many: str) -> list[str]:
    return [f"{number} {one if number == 1 else many}"] if number else []
