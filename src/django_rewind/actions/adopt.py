"""Give missing migrations the names that they have on disk now, as after a rebase."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder

from ..engine import capture
from ..exceptions import RewindError
from ..inventory.renames import Adoptions
from ..models import Event
from ..storage.audit_log import AuditEntry, AuditLog
from ..utils.types import Key, label

__all__ = ["adopt"]


def adopt(adoptions: Adoptions, *, warn: capture.Warn) -> list[tuple[Key, Key]]:
    """
    Move records and stored rows to the names of the files; the schema stays as it is.

    Returns:
        what was moved, as (missing migration, file).

    Raises:
        RewindError: a record is not what it was when it was looked at.
    """
    waiting = adoptions.waiting()
    moved = [(old, new) for old, new in adoptions.pairs.items() if new not in waiting]
    with transaction.atomic(using=adoptions.store.connection.alias):
        for old, new in moved:
            _move_record(adoptions, old, new)
            adoptions.store.retire(old)
        adoptions.store.redirect(dict(moved))
        files = {adoptions.snapshot.applied[old]: adoptions.loader.disk_migrations[new] for old, new in moved}
        capture.adopt(adoptions.store.connection, files, warn=warn)
        _note(adoptions, moved)
    return moved


def _note(adoptions: Adoptions, moved: list[tuple[Key, Key]]) -> None:
    """Have the audit log say it of both names: either may be asked about."""
    audit_log = AuditLog(adoptions.store.connection)
    if moved and audit_log.is_kept():
        digests = {key: row.digest for key, row in adoptions.store.rows().items()}
        audit_log.note(
            one
            for old, new in moved
            for one in _renamed(old, new, adoptions.snapshot.applied[old], digests.get(new, ""))
        )


def _move_record(adoptions: Adoptions, old: Key, new: Key) -> None:
    records = MigrationRecorder.Migration.objects.using(adoptions.store.connection.alias)
    record = records.filter(pk=adoptions.snapshot.applied[old], app=old[0], name=old[1])
    if record.update(name=new[1]) != 1:
        raise RewindError(
            f"The record of {label(old)} has changed in the meantime.", "Look again, then try again."
        )


def _renamed(old: Key, new: Key, record_id: int, digest: str) -> Iterator[AuditEntry]:
    yield AuditEntry(Event.RENAMED, old, record_id, detail=f"it is {label(new)} from now on")
    yield AuditEntry(Event.RENAMED, new, record_id, digest=digest, detail=f"it was {label(old)}")
