"""What is kept of migrations that are not applied: found and discarded row by row."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from ..models import Event, MigrationCode, MigrationCodeHistory, MigrationEvent, StoredContent
from ..utils.types import Key
from .audit_log import AuditEntry, AuditLog
from .records import hold_own_records
from .tables import Tables, in_batches

# What metadata refer to contents by. Whatever looks like one keeps a content from being discarded.
_DIGEST = re.compile(r"[0-9a-f]{64}")

# The ids of rows, by migration.
Ids = Mapping[Key, frozenset[int]]


@dataclass(frozen=True)
class Leftovers:
    """Rows that are old enough and of nothing that is applied."""

    stored: Ids = field(default_factory=dict)
    revisions: Ids = field(default_factory=dict)
    entries: Ids = field(default_factory=dict)
    contents: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.contents)

    @property
    def keys(self) -> list[Key]:
        return sorted({*self.stored, *self.revisions, *self.entries})

    def in_words(self, key: Key) -> str:
        """Return what is left of a migration, or of runs that were refused because of none in particular."""
        parts = ["its stored source"] if key in self.stored else []
        for ids, singular, plural in (
            (self.revisions, "earlier revision", "earlier revisions"),
            (self.entries, "audit log entry", "audit log entries"),
        ):
            count = len(ids.get(key, ()))
            parts += [f"{count} {singular if count == 1 else plural}"] if count else []
        return ", ".join(parts)

    def __and__(self, other: Leftovers) -> Leftovers:
        def common(ids: Ids, others: Ids) -> Ids:
            return {key: both for key in ids if (both := ids[key] & others.get(key, frozenset()))}

        return Leftovers(
            stored=common(self.stored, other.stored),
            revisions=common(self.revisions, other.revisions),
            entries=common(self.entries, other.entries),
            contents=self.contents & other.contents,
        )


class Pruning(Tables):
    """
    Find what is older than a date and of no use any more, and discard it.

    Args:
        before: what is younger is kept.
        app_label: only migrations of this app.
        prefix: only those of which the name begins with this.
        kept: returns the migrations of which nothing is discarded.
    """

    def __init__(
        self,
        connection: Any,
        before: datetime,
        app_label: str | None,
        prefix: str,
        kept: Callable[[], Collection[Key]],
    ) -> None:
        super().__init__(connection)
        self.before = before
        self.app_label = app_label
        self.prefix = prefix
        self.kept = kept

    def look(self) -> Leftovers:
        """Return what would be discarded now."""
        kept = self.kept()
        # What has not been applied, nor anything else, since the date.
        young = self._by_key(self._wanted(MigrationEvent).filter(at__gte=self.before), kept)
        sources = self._by_key(self._wanted(MigrationCode).filter(stored_at__lt=self.before), {*kept, *young})
        revisions = self._by_key(self._wanted(MigrationCodeHistory).filter(replaced_at__lt=self.before), kept)
        old = self._wanted(MigrationEvent).filter(at__lt=self.before)
        # That something was discarded is kept where nothing else is left to discard.
        others = {*sources, *revisions, *self._by_key(old.exclude(event=Event.DISCARDED), kept)}
        entries = {key: ids for key, ids in self._by_key(old, kept).items() if key in others}
        return Leftovers(sources, revisions, entries, self._unused_contents(sources, revisions))

    def _wanted(self, model: Any) -> Any:
        rows = self._rows(model)
        return rows if self.app_label is None else rows.filter(app_label=self.app_label)

    def _by_key(self, rows: Any, kept: Collection[Key]) -> dict[Key, frozenset[int]]:
        found: dict[Key, set[int]] = {}
        for row in self._values(rows, "app_label", "migration_name", "pk"):
            app_label, name, pk = row["app_label"], row["migration_name"], row["pk"]
            # Not in SQL, where some databases do not tell upper case from lower.
            if (app_label, name) not in kept and name.startswith(self.prefix):
                found.setdefault((app_label, name), set()).add(pk)
        return {key: frozenset(ids) for key, ids in found.items()}

    def _unused_contents(self, sources: Ids, revisions: Ids) -> frozenset[int]:
        """Return the contents to which nothing refers but what is discarded."""
        used: set[str] = set()
        for model, discarded in ((MigrationCode, sources), (MigrationCodeHistory, revisions)):
            gone = _all(discarded)
            for row in self._values(self._rows(model), "pk", "metadata"):
                if row["pk"] not in gone:
                    used.update(_DIGEST.findall(row["metadata"]))
        rows = self._values(self._rows(StoredContent), "digest", "pk")
        return frozenset(row["pk"] for row in rows if row["digest"] not in used)

    def discard(self, agreed: Leftovers) -> Leftovers:
        """Discard what was agreed to and is still left, in one transaction; note it, and return it."""
        with transaction.atomic(using=self.connection.alias):
            # Let another prune come to its end first, and what is being stored: whoever stores
            # something holds the contents that it refers to until it is committed.
            hold_own_records(self.connection)
            if self.connection.features.has_select_for_update:
                contents = self._rows(StoredContent).order_by("digest")
                list(contents.select_for_update().values_list("pk", flat=True))
            found = self.look() & agreed
            entries = [self._discarded(key, found) for key in found.keys]
            self._delete(MigrationCode, _all(found.stored))
            self._delete(MigrationCodeHistory, _all(found.revisions))
            self._delete(MigrationEvent, _all(found.entries))
            self._delete(StoredContent, found.contents)
            AuditLog(self.connection).note(entries)
        return found

    def _discarded(self, key: Key, found: Leftovers) -> AuditEntry:
        rows = self._rows(MigrationCode).filter(pk__in=found.stored.get(key, ()))
        (row, *_) = self._values(rows, "digest", "serial") or [{"digest": "", "serial": None}]
        digest, serial = row["digest"], row["serial"]
        return AuditEntry(Event.DISCARDED, key, digest=digest, serial=serial, detail=found.in_words(key))

    def _delete(self, model: Any, ids: Iterable[int]) -> None:
        for batch in in_batches(sorted(ids), 500):
            self._rows(model).filter(pk__in=batch).delete()


def _all(ids: Ids) -> set[int]:
    return set().union(*ids.values())
