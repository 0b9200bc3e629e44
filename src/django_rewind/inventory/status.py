"""
What is known of every migration of a database: one status, one wording.

Commands, system checks, the admin and the Git hook take it from here. Nothing stored is executed: what only
execution can tell is told as it was verified last.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.defaultfilters import filesizeformat

from ..exceptions import NotRecoverable
from ..models import Origin
from ..schema.graph import in_applied_order
from ..sources.bundle.manifest import EMPTY_BUNDLE, Bundle
from ..sources.signing import IN_SHORT, Verdict
from ..sources.stored import StoredMigration
from ..storage.facts import MissingBeforeInstall, Verification, Verifications
from ..storage.store import Store
from ..utils.printable import in_local_time, printable_name
from ..utils.types import Key, some_of
from .contradictions import contradicted_in
from .files import Files
from .loader import InventoryLoader, loader_of
from .renames import renames
from .snapshot import FileStatus, Snapshot
from .unrecorded import Unrecorded

_MODIFIED = (FileStatus.MODIFIED, FileStatus.MODIFIED_OPERATIONS)
_WITH_FILE = (FileStatus.ON_DISK, FileStatus.NOT_COMPARED, FileStatus.UNREADABLE, *_MODIFIED)
_SETTLED = (FileStatus.SQUASHED, FileStatus.RECREATED, FileStatus.DISABLED)

# Beside these it tells nothing that a source is not bound to its record.
_SAYS_ALL = (Verdict.SIGNATURE_MISMATCH, Verdict.UNREADABLE)

LEFT_BEHIND = "its record is gone, and what it did is still in the database"


@dataclass(frozen=True)
class Status:
    """One migration that is on disk, applied or stored, and all that is known of it."""

    key: Key
    # What can be said without knowing whether a modified file would act differently.
    at_first: FileStatus
    # The row of django_migrations; None where it is not applied.
    record_id: int | None = None
    applied_at: datetime | None = None
    stored: StoredMigration | None = None
    # Why it could not be recovered, as far as can be told without loading it.
    reason_against: NotRecoverable | None = None
    # What the file would do otherwise: of "operations" and "dependencies".
    differs: tuple[str, ...] = ()
    # The last verification, if it was of what is there now.
    verified: Verification | None = None
    # A file, not applied, that does the same as this one, which is missing.
    renamed_to: Key | None = None
    is_excluded: bool = False
    # It has neither record nor file, and what it did is still in the database.
    is_unrecorded: bool = False
    # Somebody has accepted that it has no file.
    is_acknowledged: bool = False

    @property
    def file_status(self) -> FileStatus:
        """What the checkout says of it; a modified file that was verified to do the same is as good as any."""
        return _file_status(self.at_first, self.differs, self.verified)

    @property
    def has_other_text(self) -> bool:
        """Whether the file, or what is bundled with it, is another program than what was applied."""
        return self.at_first is FileStatus.MODIFIED

    @property
    def is_modified(self) -> bool:
        return self.file_status in _MODIFIED

    @property
    def on_disk(self) -> bool:
        return self.at_first in _WITH_FILE

    @property
    def is_applied(self) -> bool:
        return self.record_id is not None

    @property
    def is_missing(self) -> bool:
        return self.at_first in (FileStatus.MISSING, FileStatus.TABLE_IN_USE)

    @property
    def is_bound(self) -> bool:
        """Whether what is stored is known to be the applied version."""
        return self.stored is not None and self.stored.is_bound_to(self.record_id)

    @property
    def problem(self) -> str:
        """Why it cannot be recovered, as far as is known."""
        if self.reason_against is not None:
            return self.reason_against.reason
        return self.verified.problem if self.verified else ""

    @property
    def is_settled(self) -> bool:
        """Whether nobody expects that its applied version can be rolled back."""
        return not self.is_applied or self.is_acknowledged or self.is_excluded or self.at_first in _SETTLED

    @property
    def bundle(self) -> Bundle:
        """What goes with the stored source, as its row says; nothing where that cannot be read."""
        try:
            return self.stored.claimed_metadata.bundle if self.stored else EMPTY_BUNDLE
        except ValueError:
            return EMPTY_BUNDLE

    # Words ------------------------------------------------------------------

    @property
    def of_file(self) -> str:
        """What the checkout says of it, for a table."""
        if self.is_unrecorded:
            return "unrecorded"
        return "acknowledged" if self.is_acknowledged and not self.on_disk else self.file_status.short

    @property
    def of_store(self) -> str:
        """What the database says of it."""
        if self.stored is None:
            return "excluded" if self.is_excluded else "not stored"
        words = [_origin(self.stored)]
        if self.stored.stored_at is not None:
            words[0] += f" {in_local_time(self.stored.stored_at):%Y-%m-%d %H:%M}"
        verdict = self.stored.strict_verdict
        if self.is_applied and not self.is_bound and verdict not in _SAYS_ALL:
            words.append("unbound")
        if verdict is not Verdict.VERIFIED:
            words.append(IN_SHORT[verdict])
        return ", ".join(words)

    @property
    def notes(self) -> list[str]:
        """What else there is to say."""
        notes = []
        if self.bundle.members:
            names = [printable_name(member.name) for member in self.bundle.members]
            # A space that does not break would not align.
            size = filesizeformat(self.bundle.size).replace("\xa0", " ")
            notes.append(f"with {some_of(names)} ({size})")
        if "dependencies" in self.differs:
            notes.append("its file has other dependencies")
        if self.stored is not None and self.problem and not self.is_settled:
            notes.append(f"cannot be recovered: {self.problem}")
        if self.is_unrecorded:
            notes.append(f"{LEFT_BEHIND}: see 'manage.py verify_migrations'")
        if self.renamed_to is not None:
            notes.append(
                f"{printable_name(self.renamed_to[1])} does the same: see 'manage.py rewind --adopt --migrate'"
            )
        return notes

    def as_data(self) -> dict[str, Any]:
        """Return all of it as data that can be written as JSON."""
        return {
            "app": self.key[0],
            "name": self.key[1],
            "applied": self.is_applied,
            "applied_at": self.applied_at,
            "on_disk": self.on_disk,
            "file_status": self.file_status.slug,
            "acknowledged": self.is_acknowledged,
            "modified": self.is_modified,
            "differs": list(self.differs),
            "stored": self.stored is not None,
            "excluded": self.is_excluded,
            "unrecorded": self.is_unrecorded,
            "stored_at": self.stored.stored_at if self.stored else None,
            "origin": self.stored.origin if self.stored else None,
            "bound": self.is_bound,
            "signature": self.stored.strict_verdict.name.lower() if self.stored else None,
            "bundled": [
                {"kind": member.kind, "name": member.name, "size": member.size}
                for member in self.bundle.members
            ],
            "verified_at": self.verified.verified_at if self.verified else None,
            "recoverable": not self.verified.problem if self.verified else None,
            "problem": self.problem,
            "renamed_to": self.renamed_to[1] if self.renamed_to else None,
        }


def _origin(stored: StoredMigration) -> str:
    """Return where a source came from; of one that was found in Git, the commit."""
    try:
        commit = stored.claimed_metadata.commit[:10] if stored.origin == Origin.GIT else ""
    except ValueError:
        commit = ""
    return printable_name(f"{stored.origin} {commit}".rstrip())


def statuses_of(connection: Any, app_labels: Container[str] | None = None) -> list[Status]:
    """Return the statuses of the migrations of a database, of some apps or of all, as they are now."""
    return [
        status
        for status in statuses(with_unrecorded(with_comparisons(loader_of(connection)), connection))
        if app_labels is None or status.key[0] in app_labels
    ]


def with_comparisons(loader: InventoryLoader) -> Snapshot:
    """Return the snapshot of a loader with what takes more reading: how files compare, and what was noted."""
    connection: Any = loader.connection
    snapshot, files = loader.snapshot, Files(Store(connection))
    if not loader.store_is_ready:
        return snapshot
    bound = (snapshot.bound(key) for key in snapshot.stored if key in snapshot.files)
    return snapshot.with_more(
        acknowledged=MissingBeforeInstall(connection).acknowledged(),
        verifications=Verifications(connection).newest(),
        comparisons=files.compare(row for row in bound if row is not None),
        renamed=renames(snapshot, files),
        contradicted={
            key: contradiction.error
            for key, contradiction in contradicted_in(connection, snapshot, snapshot.applied).items()
        },
    )


def with_unrecorded(snapshot: Snapshot, connection: Any) -> Snapshot:
    """Return a snapshot with what has lost its record, for which the database is asked."""
    return snapshot.with_more(unrecorded=Unrecorded(snapshot, connection).find())


def statuses(snapshot: Snapshot) -> list[Status]:
    """
    Return the status of every migration that is on disk, applied or stored.

    App by app; within it in the order of the graph, what is applied first.
    """
    keys = {*snapshot.files, *snapshot.applied, *snapshot.stored}
    # What is squashed stands where it was applied, not behind what stands for it.
    in_graph = (key for key in keys if not snapshot.squashed_by.is_squashed(key))
    order = in_applied_order(keys, {key: snapshot.dependencies(key) for key in in_graph}, snapshot.ids)
    # What is part of a circle has no place in an order.
    order += sorted(keys.difference(order))
    in_order = sorted(order, key=lambda key: (key[0], key not in snapshot.applied))
    return [status_of(snapshot, key) for key in in_order]


def status_of(snapshot: Snapshot, key: Key) -> Status:
    """Return the status of one migration."""
    at_first, verified = _at_first(snapshot, key), snapshot.verification(key)
    return Status(
        key=key,
        at_first=at_first,
        record_id=snapshot.applied.get(key),
        applied_at=snapshot.applied_at.get(key),
        stored=snapshot.stored.get(key),
        reason_against=snapshot.reason_against(key) if key in snapshot.applied else None,
        differs=_differs(snapshot, key, verified) if at_first is FileStatus.MODIFIED else (),
        verified=verified,
        renamed_to=snapshot.renamed.get(key),
        is_excluded=key[0] in snapshot.excluded_apps,
        is_unrecorded=key in snapshot.unrecorded,
        is_acknowledged=key in snapshot.acknowledged
        and snapshot.missing_before_install.get(key) == snapshot.applied.get(key),
    )


def file_status(snapshot: Snapshot, key: Key) -> FileStatus:
    """Return what the checkout says of one migration, without all else that a status tells."""
    at_first, verified = _at_first(snapshot, key), snapshot.verification(key)
    differs = _differs(snapshot, key, verified) if at_first is FileStatus.MODIFIED else ()
    return _file_status(at_first, differs, verified)


def _file_status(at_first: FileStatus, differs: tuple[str, ...], verified: Verification | None) -> FileStatus:
    if at_first is not FileStatus.MODIFIED:
        return at_first
    if "operations" in differs:
        return FileStatus.MODIFIED_OPERATIONS
    is_the_same = verified is not None and not verified.problem and not differs
    return FileStatus.ON_DISK if is_the_same else FileStatus.MODIFIED


def _at_first(snapshot: Snapshot, key: Key) -> FileStatus:
    if key not in snapshot.files:
        return snapshot.without_file.get(key, FileStatus.NO_FILE)
    if snapshot.bound(key) is None:
        return FileStatus.ON_DISK
    comparison = snapshot.comparisons.get(key)
    if comparison is None:
        return FileStatus.NOT_COMPARED
    if comparison.is_modified is None:
        return FileStatus.UNREADABLE
    return FileStatus.MODIFIED if comparison.is_modified else FileStatus.ON_DISK


def _differs(snapshot: Snapshot, key: Key, verified: Verification | None) -> tuple[str, ...]:
    """
    Return what a modified file would do otherwise, as far as it is known.

    Descriptions that are the same say nothing of operations: the default of a field is not in them.
    A squashed migration loses its `replaces` once its originals are gone, and what depended on one of
    these depends on it from then on (Django's docs/topics/migrations.txt, "Squashing migrations").
    """
    try:
        before, now = snapshot.stored[key].metadata, snapshot.files[key]
        has_other_operations = bool(before.comparable() != now.comparable())
    except Exception:  # noqa: BLE001 (whatever an operation raises that describes itself)
        return verified.differs if verified and not verified.problem else ()
    if verified and not verified.problem:
        has_other_operations = "operations" in verified.differs
    settled = snapshot.squashed_by.settled
    has_other_place = (
        settled(before.dependencies) != settled(now.dependencies)
        or set(before.run_before) != set(now.run_before)
        or (bool(now.replaces) and set(before.replaces) != set(now.replaces))
    )
    return ("operations",) * has_other_operations + ("dependencies",) * has_other_place
