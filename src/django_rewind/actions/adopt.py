"""Give missing migrations the names that they have on disk now, as after a rebase."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from django.db import transaction

from ..engine import capture
from ..engine.loader import RewindLoader
from ..exceptions import RewindError
from ..inventory.files import Files
from ..inventory.renames import renames
from ..models import Event
from ..schema.graph import closure, parents_in
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.records import rename_records
from ..storage.store import Store
from ..utils.types import Key, label


class Adoptions:
    """The missing migrations of a database that are on disk under another name, and what they wait for."""

    def __init__(self, loader: RewindLoader) -> None:
        self.loader = loader
        self.snapshot = loader.snapshot
        self.store = Store(loader.connection)

    @property
    def _applied(self) -> set[Key]:
        return set(self.loader.applied_migrations)

    @cached_property
    def pairs(self) -> dict[Key, Key]:
        """The files to adopt, by the missing migrations that they stand for."""
        return renames(self.snapshot, Files(self.store))

    def waiting(self) -> dict[Key, list[Key]]:
        """
        Return the files that cannot be adopted yet, with what they depend on and is not applied.

        Recorded as applied before its dependency, a migration is an inconsistent
        history to Django.
        """
        waiting: dict[Key, list[Key]] = {}
        while True:
            ready = {*self._applied, *self.pairs.values()} - waiting.keys()
            for key in self.pairs.values():
                lacking = [parent for parent in self._parents(key) if parent not in ready]
                if lacking and key not in waiting:
                    waiting[key] = lacking
                    break
            else:
                return waiting

    def wanted_first(self) -> Key | None:
        """Return a file that has to be applied before something can be adopted, if one can be."""
        parents = parents_in(self.loader.graph)
        renamed = set(self.pairs.values())
        for wanted in self.waiting().values():
            for key in wanted:
                if key not in renamed and not closure([key], parents) & (renamed - self._applied):
                    return key
        return None

    def _parents(self, key: Key) -> list[Key]:
        node = self.loader.graph.node_map.get(key)
        return [parent.key for parent in node.parents] if node else []


def adopt(adoptions: Adoptions, *, warn: capture.Warn) -> list[tuple[Key, Key]]:
    """
    Move records and stored rows to the names of the files, and return (missing migration, file) of each.

    The schema stays as it is.

    Raises:
        RewindError: a record is not what it was when it was looked at.
    """
    waiting, applied = adoptions.waiting(), adoptions.snapshot.applied
    moved = {old: new for old, new in adoptions.pairs.items() if new not in waiting}
    connection = adoptions.store.connection
    with transaction.atomic(using=connection.alias):
        for old, new in moved.items():
            if not rename_records(connection, applied[old], old, new):
                raise RewindError(
                    f"The record of {label(old)} has changed in the meantime.", "Look again, then try again."
                )
            adoptions.store.retire(old)
        adoptions.store.redirect(moved)
        files = {applied[old]: adoptions.loader.files[new] for old, new in moved.items()}
        capture.adopt(connection, files, warn=warn)
        audit_log = AuditLog(connection)
        if moved and audit_log.is_kept():
            digests = {key: row.digest for key, row in adoptions.store.rows().items()}
            audit_log.note(
                entry
                for old, new in moved.items()
                for entry in _entries(old, new, applied[old], digests.get(new, ""))
            )
    return list(moved.items())


def _entries(old: Key, new: Key, record_id: int, digest: str) -> Iterator[AuditEntry]:
    """Yield an entry for both names: either may be asked about."""
    yield AuditEntry(Event.RENAMED, old, record_id, detail=f"it is {label(new)} from now on")
    yield AuditEntry(Event.RENAMED, new, record_id, digest=digest, detail=f"it was {label(old)}")
