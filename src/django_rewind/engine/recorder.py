"""Django's recorder, which notes for each record what was done and which stored source it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder

from ..backends import backend_for
from ..models import Event
from ..storage.records import matching_records
from ..utils.frames import ask_callers
from ..utils.types import APP_LABEL, Key

if TYPE_CHECKING:
    # Executed where something is recorded, which most runs do not.
    from ..sources.stored import StoredRevision
    from ..storage.audit_log import AuditEntry, AuditLog
    from .journal import Step
    from .loader import RewindLoader


class RewindRecorder(MigrationRecorder):
    """
    Bind the captured source of a migration to its record, and write the audit log.

    It is done where the record is made or deleted, so that all of it is committed
    together. A process without us records under another id: then what is stored is
    not bound to it.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        # What this run has captured and not recorded yet, as it has signed it.
        self.captured: dict[Key, StoredRevision] = {}
        # What it has recorded and not bound, for the row was another one by then.
        self.unbound: list[Key] = []
        # What was recorded (True) or unrecorded (False) since the loader has read the records.
        self.changes: dict[Key, bool] = {}
        self._read: Any = None
        # Set by whoever makes the executor, which has both.
        self.loader: RewindLoader | None = None
        # Of which step the records are that are made and deleted now.
        self.step: Step | None = None
        self._is_running = False
        # None: nobody has looked since our own migrations have changed.
        self._has_audit_log: bool | None = None
        # Whether a commit that comes later would have the last word on constraints.
        self.checks_constraints = False

    def begin(self, applied: Any) -> None:
        """
        Forget, when a run begins, what an earlier one of the same executor has left.

        Args:
            applied: what the loader has read, another object each time.
        """
        if self._read is not None and applied is not self._read:
            self.changes.clear()
        self._read = applied
        self.captured.clear()
        self.unbound.clear()

    @cached_property
    def audit_log(self) -> AuditLog:
        from ..storage.audit_log import AuditLog

        return AuditLog(self.connection)

    def record_applied(self, app: str, name: str) -> None:
        from ..storage.store import Store

        key = (app, name)
        keeps_audit_log = self.keeps_audit_log(key)
        with self._together(keeps_audit_log or key in self.captured):
            super().record_applied(app, name)
            captured = self.captured.get(key)
            bound = captured and Store(self.connection).bind(key, captured)
            if keeps_audit_log:
                # What was captured is what ran, whatever the row holds.
                self.audit_log.note_newest(self._applied(key, bound or captured))
            self._check_constraints()
        if captured and not bound:
            self.unbound.append(key)
        self.captured.pop(key, None)
        self.changes[key] = True

    def record_unapplied(self, app: str, name: str) -> None:
        key = (app, name)
        if self.step is None and not self._is_running and self.loader is not None:
            self._refuse_to_prune(self.loader, app)
        matching = matching_records(self.connection, key) if self.has_table() else []
        ids = [pk for pk, *names in matching if tuple(names) == key]
        is_noted = bool(ids) and self.keeps_audit_log(key)
        with self._together(is_noted):
            if len(ids) == len(matching):
                super().record_unapplied(app, name)
            else:
                # By its names Django would delete the record of another one, which the collation takes for this.
                self.migration_qs.filter(pk__in=ids).delete()
            if is_noted:
                self.audit_log.note([self._unapplied(key, max(ids))])
            self._check_constraints()
        self.changes[key] = False

    def _refuse_to_prune(self, loader: RewindLoader, app_label: str) -> None:
        """Stop `migrate --prune` before it deletes the first record, if one of them is wanted."""

        def is_pruning(names: Mapping[str, Any]) -> bool | None:
            options = names.get("options") if isinstance(names.get("self"), BaseCommand) else None
            return bool(options.get("prune")) if isinstance(options, dict) else None

        if loader.has_missing and ask_callers(is_pruning):
            from ..utils.advice import name_database
            from .journal import note_refusal
            from .preflight import what_must_not_be_pruned

            error = what_must_not_be_pruned(loader, app_label)
            if error is not None:
                name_database(error, self.connection.alias)
                note_refusal(self.connection, error)
                raise error

    def _together(self, is_more_than_one: bool) -> AbstractContextManager[Any]:
        alias = self.connection.alias
        return transaction.atomic(using=alias, savepoint=False) if is_more_than_one else nullcontext()

    def _check_constraints(self) -> None:
        """
        Check what was put off, before anybody says that a step is OK.

        PostgreSQL also alters no table about which something is put off.
        """
        if self.checks_constraints and not backend_for(self.connection).editor_checks_constraints:
            self.connection.check_constraints()

    # The audit log ----------------------------------------------------------

    def keeps_audit_log(self, key: Key) -> bool:
        """Look for the audit log once, and again where our own migrations make or drop it."""
        if self._has_audit_log is None or key[0] == APP_LABEL:
            self._has_audit_log = self.audit_log.is_kept()
        return self._has_audit_log

    def _applied(self, key: Key, stored: StoredRevision | None) -> AuditEntry:
        from ..storage.audit_log import AuditEntry

        if self.step is not None:
            return self.step.record(key, stored=stored)
        if self._is_running:
            return AuditEntry(Event.APPLIED, key, detail="all that it replaces is applied")
        return AuditEntry(Event.MARKED_APPLIED, key, detail="recorded outside of a run")

    def _unapplied(self, key: Key, record_id: int) -> AuditEntry:
        from ..storage.audit_log import AuditEntry

        if self.step is not None:
            return self.step.record(key, record_id)
        return AuditEntry(Event.PRUNED, key, record_id)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say of what is recorded between the steps that the run does it: squashed migrations."""
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
