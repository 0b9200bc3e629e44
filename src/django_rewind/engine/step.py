"""The step that an executor is at: what the ledger says of the records that it makes and deletes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db.migrations import Migration

from ..exceptions import RewindError
from ..inventory.files import digest_on_disk
from ..models import Event
from ..sources.recovered import RecoveredMigration, source_of
from ..sources.stored import StoredMigration, StoredRevision
from ..storage.audit_log import AuditEntry, AuditLog
from ..utils.frames import ask_callers
from ..utils.types import Key, key_of, label

__all__ = ["Step", "is_a_question", "note_refusal", "soft_applied_is_faked"]

# Nothing of the migration runs in these.
_ONLY_RECORDED = (Event.MARKED_APPLIED, Event.MARKED_UNAPPLIED)


@dataclass
class Step:
    """A migration that is being applied, undone, or only recorded as one or the other."""

    migration: Migration
    event: Event
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def forwards(cls, migration: Migration, *, fake: bool) -> Step:
        return cls(migration, Event.MARKED_APPLIED if fake else Event.APPLIED)

    @classmethod
    def backwards(cls, migration: Migration, *, fake: bool, is_rewind: bool) -> Step:
        """Return a step back, which is a rewind where that was asked for or stored code runs."""
        if fake:
            return cls(migration, Event.MARKED_UNAPPLIED)
        by_us = is_rewind or isinstance(migration, RecoveredMigration)
        return cls(migration, Event.ROLLED_BACK if by_us else Event.UNAPPLIED)

    @property
    def key(self) -> Key:
        return key_of(self.migration)

    def record(
        self, key: Key, record_id: int | None = None, kept: StoredRevision | None = None
    ) -> AuditEntry:
        """
        Return what happens to a record in this step: its own, or one that goes with it.

        Args:
            kept: what is stored of the migration, where this run has stored it.
        """
        if key != self.key:
            return AuditEntry(self.event, key, record_id, detail=f"with {label(self.key)}")
        return AuditEntry(self.event, key, record_id, **self._what_runs(kept))

    @property
    def digest(self) -> str:
        """Of the text that is undone."""
        return self._stored.digest if self._stored else digest_on_disk(self.key)

    @property
    def _stored(self) -> StoredMigration | None:
        return self.migration.stored if isinstance(self.migration, RecoveredMigration) else None

    def failure(self, error: BaseException) -> AuditEntry:
        """Return that the step has failed."""
        forwards = self.event in (Event.APPLIED, Event.MARKED_APPLIED)
        what = f"{'applying' if forwards else 'undoing'} it: {type(error).__name__}: {error}"
        return AuditEntry(Event.FAILED, self.key, **self._what_runs(None), detail=what)

    def _what_runs(self, kept: StoredRevision | None) -> dict[str, Any]:
        of_text = kept or self._stored
        text = {"digest": of_text.digest if of_text else self.digest, "serial": of_text and of_text.serial}
        if self.event in _ONLY_RECORDED:
            return text
        seconds = time.perf_counter() - self.started
        return {**text, "source": source_of(self.migration), "seconds": seconds}


@contextmanager
def soft_applied_is_faked(executor: Any, step: Step) -> Iterator[None]:
    """Learn from Django whether an initial migration turns out to be there already."""
    before = vars(executor).get("detect_soft_applied")
    detect = executor.detect_soft_applied

    def observed(*args: Any, **kwargs: Any) -> Any:
        answer = detect(*args, **kwargs)
        if answer[0]:
            step.event = Event.MARKED_APPLIED
        return answer

    executor.detect_soft_applied = observed
    try:
        yield
    finally:
        del executor.detect_soft_applied
        if before is not None:
            # Another package has put one there itself.
            executor.detect_soft_applied = before


def note_refusal(connection: Any, error: RewindError) -> None:
    """
    Have the ledger say that a run was refused, once.

    Within a transaction that would go with it: whoever began that may note it afterwards.
    """
    if not (error.is_noted or connection.in_atomic_block):
        error.is_noted = True
        key = getattr(error, "key", ("", ""))
        AuditLog(connection).try_to_note([AuditEntry(Event.REFUSED, key, detail=error.problem)])


def is_a_question(executor: Any) -> bool:
    """
    Say whether a plan is made only to be shown, or nobody knows what for.

    `migrate --plan` and `--check` plan as a run does, with the same calls: only the options
    of the command tell, which are in no other place than the frame of its `handle`.
    """
    command = getattr(executor.progress_callback, "__self__", None)

    def only_shows(names: Mapping[str, Any]) -> bool | None:
        options = names.get("options") if names.get("self") is command else None
        if isinstance(options, dict) and "plan" in options:
            return any(options.get(name) for name in ("plan", "check_unapplied", "check", "sql"))
        return None

    return command is None or ask_callers(only_shows) is not False
