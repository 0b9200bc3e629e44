"""Django's recorder, which notes for each record what was done and which stored source it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder

from ..backends import backend_for
from ..models import Event
from ..utils.types import APP_LABEL, Key

if TYPE_CHECKING:
    # Executed where something is recorded, which most runs do not.
    from ..sources.stored import StoredRevision
    from ..storage.audit_log import AuditEntry, AuditLog
    from .step import Step

__all__ = ["RewindRecorder"]


class RewindRecorder(MigrationRecorder):
    """
    Prove the captured source of a migration by the id of its record, and write the ledger.

    It is done where the record is made or deleted, so that all of it is committed
    together. A process without us records under another id: then what is stored is
    unproven.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        # What this run has captured and not recorded yet.
        self.captured: set[Key] = set()
        # What this run has recorded (True) or unrecorded (False).
        self.changes: dict[Key, bool] = {}
        # Of which step the records are that are made and deleted now.
        self.step: Step | None = None
        self._is_running = False
        # None: nobody has looked since our own migrations have changed.
        self._has_ledger: bool | None = None
        # Whether a commit that comes later would have the last word on constraints.
        self.checks_constraints = False

    @cached_property
    def ledger(self) -> AuditLog:
        from ..storage.audit_log import AuditLog

        return AuditLog(self.connection)

    def record_applied(self, app: str, name: str) -> None:
        from ..storage.store import Store

        key = (app, name)
        keeps_ledger = self.keeps_ledger(key)
        with self._together(keeps_ledger or key in self.captured):
            super().record_applied(app, name)
            kept = Store(self.connection).prove(key) if key in self.captured else None
            if keeps_ledger:
                self.ledger.note_newest(self._applied(key, kept))
            self._check_constraints()
        self.captured.discard(key)
        self.changes[key] = True

    def record_unapplied(self, app: str, name: str) -> None:
        key = (app, name)
        record_id = self.newest(key) if self.keeps_ledger(key) else None
        with self._together(record_id is not None):
            super().record_unapplied(app, name)
            if record_id is not None:
                self.ledger.note([self._unapplied(key, record_id)])
            self._check_constraints()
        self.changes[key] = False

    def _together(self, is_more_than_one: bool) -> AbstractContextManager[Any]:
        alias = self.connection.alias
        return transaction.atomic(using=alias, savepoint=False) if is_more_than_one else nullcontext()

    def newest(self, key: Key) -> int | None:
        """Return the id of the newest record of a migration."""
        # In plain SQL, once for each migration: to put the query together takes longer than to run it.
        records = self.connection.ops.quote_name(self.Migration._meta.db_table)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT MAX(id) FROM {records} WHERE app = %s AND name = %s", key)  # noqa: S608 (a name)
            newest: int | None = cursor.fetchone()[0]
        return newest

    def _check_constraints(self) -> None:
        """
        Check what was put off, before anybody says that a step is OK.

        PostgreSQL also alters no table about which something is put off.
        """
        if self.checks_constraints and not backend_for(self.connection).editor_checks_constraints:
            self.connection.check_constraints()

    # The ledger -------------------------------------------------------------

    def keeps_ledger(self, key: Key) -> bool:
        """Look for the ledger once, and again where our own migrations make or drop it."""
        if self._has_ledger is None or key[0] == APP_LABEL:
            self._has_ledger = self.ledger.is_kept()
        return self._has_ledger

    def _applied(self, key: Key, kept: StoredRevision | None) -> AuditEntry:
        from ..storage.audit_log import AuditEntry

        if self.step is not None:
            return self.step.record(key, kept=kept)
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

    @contextmanager
    def during(self, step: Step, failures: list[AuditEntry] | None = None) -> Iterator[None]:
        """
        Say of the records made and deleted meanwhile that they are of this step, or that it failed.

        Args:
            failures: takes that it failed, where a transaction around it would take back what is written.
        """
        self.step = step
        try:
            yield
        except BaseException as error:
            # Whatever else goes wrong, this is the error to hear of.
            with suppress(Exception):
                failure = step.failure(error)
                self.try_to_note(failure) if failures is None else failures.append(failure)
            raise
        finally:
            self.step = None

    def try_to_note(self, happening: AuditEntry) -> None:
        """Append what went wrong to the ledger, if that can be done."""
        self.ledger.try_to_note([happening])
