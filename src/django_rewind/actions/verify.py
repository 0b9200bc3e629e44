"""
Whether what is stored could be recovered here and now, and what a file would do otherwise.

It is found out by loading what is stored, as if the file were gone. Beside a run this
is the only place that executes stored code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.migrations import Migration
from django.utils.timezone import now

from ..engine import capture
from ..exceptions import UNCHANGED, NotInitialized, NotRecoverable
from ..inventory.files import text_on_disk
from ..inventory.loader import loader_of
from ..inventory.status import Status, statuses, with_comparisons, with_unrecorded
from ..inventory.unrecorded import Unrecorded
from ..models import Event
from ..schema.graph import in_applied_order
from ..sources.bundle.collector import Collector
from ..sources.bundle.importer import StoredImporter
from ..sources.compare import same_operations
from ..sources.consent import Consent
from ..sources.recovered import RecoveredMigration
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration, how_to_replace, why_unusable
from ..storage import records
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.facts import MissingBeforeInstall, Verification, Verifications
from ..storage.integrity import not_as_signed
from ..storage.store import Store
from ..storage.tables import in_batches
from ..utils.advice import on_database
from ..utils.printable import printable_name
from ..utils.types import Key, label, names_of
from .trust import changed_meanwhile


@dataclass(frozen=True)
class Finding:
    """What came of one migration."""

    status: Status
    # Why it could not be recovered, and what helps; empty if it could.
    problem: str = ""
    next_step: str = ""

    @property
    def key(self) -> Key:
        return self.status.key

    @property
    def is_missing(self) -> bool:
        return self.status.is_applied and not self.status.on_disk

    @property
    def is_wrong(self) -> bool:
        """Whether somebody has to look: at what is applied and cannot be undone as it ran."""
        is_different = bool(self.problem or self.status.differs) and not self.status.is_settled
        return is_different or self.status.is_unrecorded

    def as_data(self) -> dict[str, Any]:
        """Return all of it as data that can be written as JSON."""
        found = {"wrong": self.is_wrong, "problem": self.problem, "next_step": self.next_step}
        return {**self.status.as_data(), "recoverable": not self.problem, **found}


# How many texts are in memory together.
_AT_ONCE = 100


class Verifier:
    """Verify the migrations of one database, or some of its `statuses`, and note what came of it."""

    def __init__(self, connection: Any) -> None:
        self.store = Store(connection)
        self.noted = Verifications(connection)
        loader = loader_of(connection)
        # No migration is applied to it, and no table of ours would be made.
        self.is_kept_empty = not (loader.applied_migrations or self.store.is_allowed)
        if not (loader.store_is_ready or self.is_kept_empty):
            raise NotInitialized(connection.alias)
        if not self.is_kept_empty:
            self.store.check_is_there()
        self.files = loader.files
        self.snapshot = with_unrecorded(with_comparisons(loader), connection)
        self.statuses = [status for status in statuses(self.snapshot) if status.stored or status.is_applied]
        self._isolation = StoredImporter(Collector(), Consent(counts_agreed=True))

    def warnings(self) -> Iterator[str]:
        """Yield a line about each thing that would decide something, and does not count for it is not signed."""
        if self.is_kept_empty:
            return
        alias = self.store.connection.alias
        identity = self.store.identity
        if identity.problem and self.snapshot.stored:
            yield (
                f"The identity of the database '{alias}' {identity.problem}. What is stored counts as signed for "
                "another one. 'manage.py migrate' signs anew what has the same file, and "
                "'manage.py verify_migrations --sign' asks about the rest."
            )
        missing = MissingBeforeInstall(self.store.connection)
        for key in missing.unsigned():
            name = " ".join(map(printable_name, key))
            yield (
                f"That {label(key)} was missing before install is not signed for this database, and does not count. "
                f"If it is true, run 'manage.py verify_migrations --acknowledge {name}'."
            )
        audit_log = AuditLog(self.store.connection, self.store.identity)
        unsigned = audit_log.unsigned() if audit_log.is_there() else 0
        if unsigned:
            are = "entry of the audit log is" if unsigned == 1 else "entries of the audit log are"
            yield f"{unsigned} {are} not signed for this database, and cannot decide anything."

    def findings(self) -> Iterator[Finding]:
        """Load one after the other, yield what came of each, and note it."""
        noted: list[Verification] = []
        for batch in in_batches(self.statuses, _AT_ONCE):
            texts = self.store.texts(
                status.key for status in batch if status.stored and not _reason_against(status)
            )
            for status in batch:
                yield self._verified(status, texts.pop(status.key, None), noted)
                self._isolation.close()
                self._isolation.forget_texts()
        try:
            self.noted.note(noted)
        except DatabaseError:
            # A database that may only be read: what came of it was said all the same.
            pass

    def _verified(self, status: Status, text: str | None, noted: list[Verification]) -> Finding:
        problem, next_step, differs = "", "", status.differs
        if status.stored is None:
            problem = status.reason_against.reason if status.reason_against else ""
            contradiction = self.snapshot.contradicted.get(status.key)
            next_step = contradiction.next_step if contradiction else _how_to_store(status)
        else:
            try:
                loaded = self._load(status, status.stored, text)
                differs = self._differs(status, loaded)
            except NotRecoverable as error:
                problem, next_step = error.reason, error.next_step
            comparison = self.snapshot.comparisons.get(status.key)
            fingerprint = comparison.fingerprint if comparison else ""
            verification = Verification(
                status.key, problem, next_step, differs, status.stored.signature, fingerprint, now()
            )
            noted.append(verification)
            status = replace(status, verified=verification, differs=differs)
        # What is noted may be read under another alias: only what is said now names this one.
        return Finding(status, problem, on_database(next_step, self.store.connection.alias))

    def _load(self, status: Status, stored: StoredMigration, text: str | None) -> Migration:
        error = _reason_against(status)
        if error is not None:
            raise error
        migration = RecoveredMigration(stored, self.store, self._isolation)
        migration.text = text
        migration.load()
        migration.check_functions()
        return migration.loaded

    def _differs(self, status: Status, loaded: Migration) -> tuple[str, ...]:
        if not status.has_other_text:
            return ()
        has_other_operations = not same_operations(loaded, self.files[status.key])
        return ("operations",) * has_other_operations + tuple({*status.differs} - {"operations"})


def _reason_against(status: Status) -> NotRecoverable | None:
    """Return what is known against a stored migration before its text is read."""
    return status.reason_against or (why_unusable(status.stored) if status.stored else None)


def _how_to_store(status: Status) -> str:
    app_label, name = status.key
    if status.on_disk:
        return f"Run 'manage.py backfill_migration_code {app_label}'."
    return (
        f"Run 'manage.py backfill_migration_code {app_label} --from-git', or, if it is known to be so, "
        f"'manage.py verify_migrations --acknowledge {app_label} {name}'."
    )


def diff(status: Status, store: Store) -> list[str]:
    """Return a unified diff from the stored source to the file, line by line."""
    stored = store.texts([status.key]).get(status.key, "")
    here = text_on_disk(status.key) or ""
    stored_name, name = (f"{label(status.key)} ({where})" for where in ("stored", "on disk"))
    return [*difflib.unified_diff(stored.splitlines(), here.splitlines(), stored_name, name, lineterm="")]


def accept(connection: Any, status: Status, *, warn: capture.Warn) -> str:
    """Store the file of an applied migration in place of the applied version, and return what came of it."""
    name = label(status.key)
    migration = loader_of(connection).files.get(status.key)
    if status.record_id is None or migration is None:
        what = "not applied" if status.record_id is None else "without a file"
        raise CommandError(f"{name} is {what}: only the file of an applied migration can be accepted.")
    is_verified = status.stored is not None and status.stored.verdict is Verdict.VERIFIED
    if is_verified and status.is_bound and not status.has_other_text:
        return f"{name} is stored as its file has it: there is nothing to accept."
    if not capture.accept(connection, migration, status.record_id, warn=warn):
        raise CommandError(f"The file of {name} could not be stored. {UNCHANGED}")
    return f"The file of {name} is what will be reversed. What ran is kept as history."


def acknowledge(connection: Any, status: Status, **options: Any) -> str:
    """Note that a migration is known to be without file and source, and return what came of it."""
    name = label(status.key)
    if status.record_id is None or status.on_disk:
        what = "not applied" if status.record_id is None else "on disk"
        raise CommandError(f"{name} is {what}: only an applied migration without a file can be acknowledged.")
    if status.stored is not None and not status.problem:
        raise CommandError(
            f"{name} is stored and can be rolled back: run 'manage.py rewind {status.key[0]}' "
            "instead of acknowledging it."
        )
    MissingBeforeInstall(connection).acknowledge(status.key, status.record_id)
    return f"{name} is known to be without a file, and is left as it is from now on."


def record_again(connection: Any, status: Status, **options: Any) -> str:
    """
    Record a migration whose record is gone, with what it depends on, and return what came of it.

    Each gets the record that it had, for which what is stored is signed. An original of a squashed migration
    gets one even if its source is not stored.
    """
    snapshot = loader_of(connection).snapshot
    unrecorded = Unrecorded(snapshot, connection)
    if status.key not in unrecorded.pruned_originals():
        _refuse_to_record(status, unrecorded)
    keys = unrecorded.with_parents(status.key)
    for key in keys:
        for parent in snapshot.dependencies(key):
            if parent not in keys and parent not in snapshot.applied:
                raise CommandError(
                    f"{label(key)} depends on {label(parent)}, which is not applied. {UNCHANGED}"
                )
    rows = {key: snapshot.stored[key] for key in keys & unrecorded.records.keys()}
    for key, reason in not_as_signed(connection, rows).items():
        raise NotRecoverable(key, f"{reason}.", how_to_replace(key))
    in_order = in_applied_order(keys, {key: snapshot.dependencies(key) for key in keys}, unrecorded.records)
    _record(connection, {key: unrecorded.records.get(key) for key in in_order}, rows)
    return f"Recorded again: {names_of(in_order)}."


def _refuse_to_record(status: Status, unrecorded: Unrecorded) -> None:
    """Refuse what has no trace of having been applied."""
    name = label(status.key)
    if status.is_applied or status.on_disk:
        what = "applied" if status.is_applied else "on disk"
        raise CommandError(
            f"{name} is {what}: only a migration without record and file can be recorded again."
        )
    if status.key not in unrecorded.records:
        raise CommandError(
            f"{name} has no stored source of which it is known that it was applied. {UNCHANGED}"
        )
    if unrecorded.places(status.key) and not unrecorded.left([status.key]):
        raise CommandError(f"Nothing of what {name} made is in the database. {UNCHANGED}")


def _record(connection: Any, wanted: Mapping[Key, int | None], rows: Mapping[Key, StoredMigration]) -> None:
    """
    Make records again, and bind what has another one now: as it was verified, not as it is stored by now.

    Args:
        wanted: the record that each had, where that is known.

    Raises:
        RewindError: a row is another one by now; nothing is recorded.
    """
    store, audit_log = Store(connection), AuditLog(connection)
    with transaction.atomic(using=connection.alias):
        entries = []
        for key, noted in wanted.items():
            record_id = records.record_again(connection, key, noted)
            is_moved = noted is not None and record_id != noted
            if is_moved and store.bind(key, rows[key].revision) is None:
                raise changed_meanwhile(key)
            entries.append(AuditEntry(Event.MARKED_APPLIED, key, record_id, detail="recorded again"))
        if audit_log.is_kept():
            audit_log.note(entries)
