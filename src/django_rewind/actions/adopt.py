"""Give missing migrations the names that they have on disk now, as after a rebase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import transaction

from ..engine import capture
from ..engine.loader import RewindLoader
from ..exceptions import RewindError
from ..models import Event
from ..sources.description import Metadata
from ..sources.stored import why_unusable
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.records import rename_records
from ..storage.store import Store
from ..utils.types import Key, label


def adopt(loader: RewindLoader, renamed: Mapping[Key, Key], *, warn: capture.Warn) -> None:
    """
    Move records and stored rows to the names of the files. The schema stays as it is.

    Args:
        renamed: the names of files, by those of missing migrations.

    Raises:
        RewindError: a record is not what it was when it was looked at.
    """
    connection: Any = loader.connection
    applied, store = loader.snapshot.applied, Store(connection)
    with transaction.atomic(using=connection.alias):
        for old, new in renamed.items():
            if not rename_records(connection, applied[old], old, new):
                raise RewindError(
                    f"The record of {label(old)} has changed in the meantime.", "Look again, then try again."
                )
            store.retire(old)
        store.redirect(renamed)
        files = {applied[old]: loader.files[new] for old, new in renamed.items()}
        stored = capture.adopt(connection, files, _as_applied(loader, renamed), warn=warn)
        audit_log = AuditLog(connection)
        if renamed and audit_log.is_kept():
            audit_log.note(
                entry
                for old, new in renamed.items()
                for entry in _entries(old, new, applied[old], stored[new].digest if new in stored else "")
            )


def _as_applied(loader: RewindLoader, renamed: Mapping[Key, Key]) -> dict[Key, Metadata]:
    """Return what was noted of what has got another name, where it was looked at when it was applied."""
    rows = ((new, loader.snapshot.bound(old)) for old, new in renamed.items())
    usable = {new: row.metadata for new, row in rows if row is not None and why_unusable(row) is None}
    return {new: metadata for new, metadata in usable.items() if metadata.was_imported}


def _entries(old: Key, new: Key, record_id: int, digest: str) -> Iterator[AuditEntry]:
    """Yield an entry for both names: either may be asked about."""
    yield AuditEntry(Event.RENAMED, old, record_id, detail=f"it is {label(new)} from now on")
    yield AuditEntry(Event.RENAMED, new, record_id, digest=digest, detail=f"it was {label(old)}")
