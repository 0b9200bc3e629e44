"""
What is known of every migration of a database: one state, one wording.

Commands, system checks and the admin take it from here. Nothing stored is executed:
what only execution can tell is told as it was verified last.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.migrations import Migration
from django.template.defaultfilters import filesizeformat

from .. import conf
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
from .files import Edits
from .loader import loader_of
from .renames import renames
from .snapshot import DIFFERS, EDITED, NO_FILE, ON_DISK, FileStatus, Snapshot

__all__ = ["Status", "statuses"]


@dataclass(frozen=True)
class Status:
    """One migration that is on disk, applied or stored, and all that is known of it."""

    key: Key
    # The row of django_migrations; None where it is not applied.
    record_id: int | None = None
    applied_at: datetime | None = None
    on_disk: bool = False
    # What it means that an applied one has no file.
    standing: FileStatus | None = None
    stored: StoredMigration | None = None
    # What its file makes, if there is one.
    migration: Migration | None = None
    # Why it could not be recovered, as far as can be told without loading it.
    reason_against: NotRecoverable | None = None
    # The file, or what it needs, is another program than the one that is stored.
    has_other_text: bool = False
    # What the file would do otherwise: of "operations" and "dependencies".
    differs: tuple[str, ...] = ()
    # The file has another place in the graph than what ran.
    is_elsewhere: bool = False
    # The last verification, if it was of what is there now.
    verified: Verification | None = None
    # A file, not applied, that does the same as this one, which is missing.
    adoptable_as: Key | None = None
    is_excluded: bool = False
    # A baseline of which somebody said that it is known.
    is_forgotten: bool = False

    @property
    def is_applied(self) -> bool:
        return self.record_id is not None

    @property
    def is_missing(self) -> bool:
        return self.standing in (FileStatus.MISSING, FileStatus.TABLE_IN_USE)

    @property
    def is_proven(self) -> bool:
        """Whether what is stored is known to be what ran."""
        return self.stored is not None and self.stored.is_bound_to(self.record_id)

    @property
    def is_edited(self) -> bool:
        """Whether the file is another program, and nobody knows whether it does the same."""
        return self.has_other_text and not self.differs and (self.verified is None or bool(self.problem))

    @property
    def problem(self) -> str:
        """Why it cannot be recovered, as far as is known."""
        if self.reason_against is not None:
            return self.reason_against.reason
        return self.verified.problem if self.verified else ""

    @property
    def may_stay_as_it_is(self) -> bool:
        """Whether nobody expects that it can be undone as it ran."""
        settled = (FileStatus.SQUASHED, FileStatus.RECREATED, FileStatus.DISABLED)
        return not self.is_applied or self.is_forgotten or self.is_excluded or self.standing in settled

    @property
    def bundle(self) -> Bundle:
        """What goes with the stored text; nothing where that cannot be read."""
        try:
            return self.stored.metadata.bundle if self.stored else EMPTY_BUNDLE
        except ValueError:
            return EMPTY_BUNDLE

    # Words ------------------------------------------------------------------

    @property
    def of_file(self) -> str:
        """What the checkout says of it."""
        if self.differs:
            return f"{DIFFERS}: {', '.join(self.differs)}"
        if self.is_edited:
            return EDITED
        if self.on_disk:
            return ON_DISK
        if self.standing is None:
            return NO_FILE
        return f"{self.standing.value}, known" if self.is_forgotten else self.standing.value

    @property
    def of_store(self) -> str:
        """What the database says of it."""
        if self.stored is None:
            return "excluded" if self.is_excluded else "not stored"
        words = [_provenance(self.stored)]
        if self.stored.stored_at is not None:
            words[0] += f" {in_local_time(self.stored.stored_at):%Y-%m-%d %H:%M}"
        is_tampered = self.stored.strict_verdict is Verdict.SIGNATURE_MISMATCH
        if self.is_applied and not self.is_proven and not is_tampered:
            words.append("unproven")
        if self.stored.strict_verdict is not Verdict.VERIFIED:
            words.append(IN_SHORT[self.stored.strict_verdict])
        return ", ".join(words)

    @property
    def notes(self) -> list[str]:
        """What else there is to say."""
        notes = []
        if self.bundle.members:
            notes.append(_carries(self.bundle))
        if self.stored is not None and self.problem and not self.may_stay_as_it_is:
            notes.append(f"cannot be recovered: {self.problem}")
        if self.adoptable_as is not None:
            notes.append(
                f"{printable_name(self.adoptable_as[1])} does the same: see 'manage.py rewind --adopt'"
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
            "standing": self.standing.name.lower() if self.standing else None,
            "forgotten": self.is_forgotten,
            "edited": self.is_edited,
            "differs": list(self.differs),
            "stored": self.stored is not None,
            "excluded": self.is_excluded,
            "stored_at": self.stored.stored_at if self.stored else None,
            "provenance": self.stored.origin if self.stored else None,
            "proven": self.is_proven,
            "signature": self.stored.strict_verdict.name.lower() if self.stored else None,
            "carries": [
                {"kind": one.kind, "name": one.name, "size": one.size} for one in self.bundle.members
            ],
            "verified_at": self.verified.verified_at if self.verified else None,
            "recoverable": not self.verified.problem if self.verified else None,
            "problem": self.problem,
            "adoptable_as": self.adoptable_as[1] if self.adoptable_as else None,
        }


def _provenance(stored: StoredMigration) -> str:
    """Return where a text came from; of one that was found in git, the commit."""
    try:
        commit = stored.metadata.commit[:10] if stored.origin == Origin.GIT else ""
    except ValueError:
        commit = ""
    return printable_name(f"{stored.origin} {commit}".rstrip())


def _carries(bundle: Bundle) -> str:
    names = [printable_name(one.name) for one in bundle.members]
    # A space that does not break would not align.
    size = filesizeformat(bundle.size).replace("\xa0", " ")
    return f"with {some_of(names)} ({size})"


def statuses(connection: Any, app_labels: Container[str] | None = None) -> list[Status]:
    """
    Return every migration that is on disk, applied or stored.

    App by app; within it in the order of the graph, what is applied first.

    Args:
        app_labels: of which apps; None for all.
    """
    survey = _Survey(connection)
    return [survey.status(key) for key in survey.order() if app_labels is None or key[0] in app_labels]


class _Survey:
    """Disk, record and store of one database, read once."""

    def __init__(self, connection: Any) -> None:
        self.loader = loader_of(connection)
        self.store = Store(connection)
        self.snapshot = self.loader.snapshot
        is_ready = self.loader.store_is_ready
        self.verifications = Verifications(connection).newest() if is_ready else {}
        self.forgotten = MissingBeforeInstall(connection).acknowledged() if is_ready else set()
        self.edits = Edits(self.store)
        self.edited = set(self.edits.among(self._proven_with_file()))
        self.adoptions = renames(self.snapshot, self.store)
        self.excluded = set(conf.excluded_apps())

    def _proven_with_file(self) -> Iterable[StoredMigration]:
        applied, disk = self.snapshot.applied, self.snapshot.files
        for key, stored in self.snapshot.stored.items():
            if key in disk and key in applied and stored.record_id == applied[key]:
                yield stored

    def order(self) -> list[Key]:
        snapshot = self.snapshot
        keys = {*snapshot.files, *snapshot.applied, *snapshot.stored}
        order = in_applied_order(keys, {key: snapshot.dependencies(key) for key in keys}, snapshot.ids)
        order += sorted(keys.difference(order))
        return sorted(order, key=lambda key: (key[0], key not in snapshot.applied))

    def status(self, key: Key) -> Status:
        stored = self.snapshot.stored.get(key)
        verified = self._verified(key, stored)
        has_other_text = key in self.edited
        does_other, is_elsewhere = _compared(self.snapshot, key) if has_other_text else (False, False)
        if has_other_text and verified is not None and not verified.problem:
            does_other = "operations" in verified.differs
        return Status(
            key=key,
            record_id=self.snapshot.applied.get(key),
            applied_at=getattr(self.loader.applied_migrations.get(key), "applied", None),
            on_disk=key in self.snapshot.files,
            standing=self.snapshot.without_file.get(key),
            stored=stored,
            migration=self.loader.files.get(key),
            reason_against=self.snapshot.reason_against(key) if key in self.snapshot.applied else None,
            has_other_text=has_other_text,
            differs=differences(does_other=does_other, is_elsewhere=is_elsewhere),
            is_elsewhere=is_elsewhere,
            verified=verified,
            adoptable_as=self.adoptions.get(key),
            is_excluded=key[0] in self.excluded,
            is_forgotten=key in self.forgotten,
        )

    def _verified(self, key: Key, stored: StoredMigration | None) -> Verification | None:
        verified = self.verifications.get(key)
        if verified is None or stored is None or verified.signature != stored.signature:
            return None
        now = self.edits.fingerprint(stored) if key in self.edited else ""
        return verified if verified.file_digest == now else None


def differences(*, does_other: bool, is_elsewhere: bool) -> tuple[str, ...]:
    """Return what an edited file would do otherwise than what ran."""
    found = {"operations": does_other, "dependencies": is_elsewhere}
    return tuple(name for name, differs in found.items() if differs)


def _compared(snapshot: Snapshot, key: Key) -> tuple[bool, bool]:
    """
    Say whether a file has other operations than what ran, and whether it has another place in the graph.

    Descriptions that are the same say nothing of operations: the default of a field is not in them.
    A squashed migration loses its `replaces` once its originals are gone, and what depended on one of
    these depends on it from then on (Django's docs/topics/migrations.txt, "Squashing migrations").
    """
    try:
        before, now = snapshot.stored[key].metadata, snapshot.files[key]
        does_other = before.comparable() != now.comparable()
    except Exception:  # noqa: BLE001 (whatever an operation raises that describes itself)
        return False, False
    is_elsewhere = (
        snapshot.squashed_by.settled(before.dependencies) != snapshot.squashed_by.settled(now.dependencies)
        or set(before.run_before) != set(now.run_before)
        or (bool(now.replaces) and set(before.replaces) != set(now.replaces))
    )
    return does_other, is_elsewhere
