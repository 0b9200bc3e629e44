"""The journal of a run: what is announced, noted and committed together with each of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import transaction
from django.db.migrations import Migration

from .. import conf
from ..backends import backend_for
from ..exceptions import RewindError
from ..inventory.files import digest_on_disk
from ..models import Event
from ..signals import announce, post_capture, post_rewind_step, pre_capture, pre_rewind_step, report
from ..sources.recovered import RecoveredMigration, source_of
from ..sources.stored import StoredMigration, StoredRevision
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.records import newest_record_id
from ..storage.tables import all_of_ours
from ..utils.causes import root_cause
from ..utils.printable import printable_name
from ..utils.types import APP_LABEL, Key, key_of, label
from .lock import check_held
from .messages import Messages
from .plan import Plan
from .progress import Progress, passing_over_what_is_done
from .transactions import Whole, leaving_nothing_open, one_transaction

# Nothing of the migration runs in these.
_ONLY_RECORDED = (Event.MARKED_APPLIED, Event.MARKED_UNAPPLIED)


@dataclass
class Step:
    """What the audit log says of one step."""

    migration: Migration
    event: Event
    started: float = field(default_factory=time.perf_counter)

    @property
    def key(self) -> Key:
        return key_of(self.migration)

    @property
    def _stored(self) -> StoredMigration | None:
        return self.migration.stored if isinstance(self.migration, RecoveredMigration) else None

    @property
    def digest(self) -> str:
        """Of the text that runs."""
        return self._stored.digest if self._stored else digest_on_disk(self.key)

    def record(
        self, key: Key, record_id: int | None = None, stored: StoredRevision | None = None
    ) -> AuditEntry:
        """
        Return what happens to a record in this step: its own, or one that goes with it.

        Args:
            stored: of the migration, where this run has stored it.
        """
        if key != self.key:
            return AuditEntry(self.event, key, record_id, detail=f"with {label(self.key)}")
        return AuditEntry(self.event, key, record_id, **self._what_runs(stored))

    def failure(self, error: BaseException) -> AuditEntry:
        error = root_cause(error)
        is_forwards = self.event in (Event.APPLIED, Event.MARKED_APPLIED)
        what = f"{'applying' if is_forwards else 'undoing'} it: {type(error).__name__}: {error}"
        return AuditEntry(Event.FAILED, self.key, **self._what_runs(None), detail=what)

    def _what_runs(self, stored: StoredRevision | None) -> dict[str, Any]:
        revision = stored or self._stored
        text = {
            "digest": revision.digest if revision else self.digest,
            "serial": revision and revision.serial,
        }
        if self.event in _ONLY_RECORDED:
            return text
        seconds = time.perf_counter() - self.started
        return {**text, "source": source_of(self.migration), "seconds": seconds}


class Journal:
    """
    What belongs to each step of a run, from the signal before it to the one after it.

    Without stored code among the steps, Django is Django: its steps are noted, and that is all.

    Args:
        executor: Django's.
        plan: what it runs; None where its steps are called by themselves.
        is_rewind: whether it is `rewind` that runs: then every step is announced.
        whole: the transaction around everything, where there is one.
    """

    def __init__(
        self, executor: Any, messages: Messages, plan: Plan | None, *, is_rewind: bool, whole: Whole | None
    ) -> None:
        self.executor = executor
        self.connection = executor.connection
        self.recorder = executor.recorder
        self.loader = executor.loader
        self.messages = messages
        self.plan = plan
        self.is_rewind = is_rewind
        self.whole = whole
        self.is_ours = is_rewind or (plan is not None and plan.has_stored_steps)
        # The operations of the step that is under way, or in which the run has stopped.
        self.progress: Progress | None = None
        self._has_captured = False

    @contextmanager
    def step(
        self, migration: Migration, *, backwards: bool, fake: bool, fake_initial: bool = False
    ) -> Iterator[None]:
        """
        Do everything that belongs to one step, around Django's own doing.

        A step back of ours is committed together with its record, where that can be: Django
        deletes it after the transaction of the schema. Records that stand and fall with it go too.

        Raises:
            LockLost: nothing of this step has been done.
        """
        check_held()
        step = Step(migration, self._event(migration, backwards=backwards, fake=fake))
        signal = {"migration": step.key, "using": self.connection.alias, "source": source_of(migration)}
        self.recorder.step = step
        if self.whole is not None:
            self.whole.at = step.key
        try:
            with ExitStack() as stack:
                if backwards:
                    self._enter_backwards(stack, step, signal, fake=fake)
                else:
                    self._enter_forwards(stack, step, fake=fake, fake_initial=fake_initial)
                yield
                for key in self._records_that_follow(migration) if backwards else ():
                    self.recorder.record_unapplied(*key)
        except BaseException as error:
            # Whatever else goes wrong, this is the error to hear of.
            with suppress(Exception):
                self._note_failure(step.failure(error))
            raise
        finally:
            self.recorder.step = None
            self.recorder.checks_constraints = False
        self.progress = None
        self._warn_of_unbound()
        if self.whole is not None:
            self.whole.at = None
        if backwards and self.is_ours and not fake:
            tell = partial(report, post_rewind_step, **signal)
            # As part of a whole it is unapplied only when all of it is committed.
            transaction.on_commit(tell, using=self.connection.alias) if self.whole is not None else tell()

    def _enter_forwards(self, stack: ExitStack, step: Step, *, fake: bool, fake_initial: bool) -> None:
        if fake_initial and not fake:
            stack.enter_context(self._soft_applied_is_faked(step))
        self._capture(step.migration, fake=fake)
        if step.key[0] == APP_LABEL and not fake:
            stack.enter_context(passing_over_what_is_done(self.connection))
        if self.is_ours and not fake:
            self.progress = Progress(step.migration, backwards=False)
            stack.enter_context(self.progress.watching())
            stack.enter_context(leaving_nothing_open(self.connection))

    def _enter_backwards(self, stack: ExitStack, step: Step, signal: dict[str, Any], *, fake: bool) -> None:
        if fake or not self.is_ours:
            return
        self.progress = Progress(step.migration, backwards=True)
        stack.enter_context(self.progress.watching())
        is_rolled_back = backend_for(self.connection).rolls_back(step.migration)
        if not is_rolled_back and self.recorder.keeps_audit_log(step.key):
            self._resume(step, self.progress, stack)
        announce(pre_rewind_step, **signal)
        if is_rolled_back:
            self.recorder.checks_constraints = True
            stack.enter_context(one_transaction(self.connection))
        stack.enter_context(leaving_nothing_open(self.connection))

    def _event(self, migration: Migration, *, backwards: bool, fake: bool) -> Event:
        """Return what a step is called, which is rolled back where that was asked for or stored code runs."""
        if not backwards:
            return Event.MARKED_APPLIED if fake else Event.APPLIED
        if fake:
            return Event.MARKED_UNAPPLIED
        by_us = self.is_rewind or isinstance(migration, RecoveredMigration)
        return Event.ROLLED_BACK if by_us else Event.UNAPPLIED

    def _warn_of_unbound(self) -> None:
        """Name what somebody else has changed between capture and record."""
        for key in self.recorder.unbound:
            self.messages.warn(
                f"The row that this run had stored for {label(key)} is another one by now, and is not bound to its "
                "record. What has taken its place is never used, and is kept as an earlier revision when the file is "
                "stored again at the end of this run. To see both, run "
                f"'manage.py show_stored_migrations --history {' '.join(map(printable_name, key))}'."
            )
        self.recorder.unbound.clear()

    def _note_failure(self, entry: AuditEntry) -> None:
        """Note it now, or once the transaction around everything has been taken back."""
        if self.whole is None:
            AuditLog(self.connection).try_to_note([entry])
        else:
            self.whole.by_hand = self.progress.by_hand if self.progress else ""
            self.whole.failures.append(entry)

    def _resume(self, step: Step, progress: Progress, stack: ExitStack) -> None:
        """Go on where an earlier run has left a step, where its database takes nothing back."""
        resuming = progress.resuming(
            self.recorder.audit_log,
            record_id=newest_record_id(self.connection, step.key),
            digest=step.digest,
            warn=self.messages.warn,
        )
        done = stack.enter_context(resuming)
        if done:
            undone = f"{done} of its {len(progress.operations)} operations are undone already"
            self.messages.say(f"  Going on with {label(step.key)}: {undone}")

    @contextmanager
    def _soft_applied_is_faked(self, step: Step) -> Iterator[None]:
        """Learn from Django whether an initial migration turns out to be there already."""
        before = vars(self.executor).get("detect_soft_applied")
        detect = self.executor.detect_soft_applied

        def observed(*args: Any, **kwargs: Any) -> Any:
            answer = detect(*args, **kwargs)
            if answer[0]:
                step.event = Event.MARKED_APPLIED
            return answer

        self.executor.detect_soft_applied = observed
        try:
            yield
        finally:
            del self.executor.detect_soft_applied
            if before is not None:
                # Another package has put one there itself.
                self.executor.detect_soft_applied = before

    def _capture(self, migration: Migration, *, fake: bool) -> None:
        """Capture everything that this run applies, before its first operation."""
        if self._has_captured:
            return
        changes = self.recorder.changes
        # Our own migrations may have been applied by this very run.
        gone = {key for key, is_applied in changes.items() if not is_applied}
        applied = {*self.loader.applied_migrations, *changes} - gone
        forwards = [step for step, backwards in self.plan.migrations if not backwards] if self.plan else []
        has_own = any(step.app_label == APP_LABEL for step in forwards)
        is_ready = all_of_ours(self.loader.files, applied)
        if not (is_ready or (self.loader.store_is_ready and not has_own)):
            return
        self._has_captured = bool(forwards)
        from . import capture

        migrations = [step for step in forwards or [migration] if not changes.get(key_of(step))]
        excluded = conf.excluded_apps()
        keys = [key_of(step) for step in migrations if step.app_label not in excluded]
        alias = self.connection.alias
        for key in keys:
            announce(pre_capture, key, using=alias, source="file")
        stored = capture.capture(self.connection, migrations, fake=fake, warn=self.messages.warn)
        self.recorder.captured.update(stored)
        for key in keys:
            if key in stored:
                report(post_capture, key, using=alias, source="file")

    def _records_that_follow(self, migration: Migration) -> set[Key]:
        key = key_of(migration)
        followers = set(self.loader.snapshot.followers.get(key, ())) if self.loader.has_missing else set()
        if isinstance(migration, RecoveredMigration) and migration.replaces:
            # Django 3.2 unrecords only what an unapplied squashed migration replaces.
            followers.add(key)
        if self.plan and self.plan.involves_stored_code and not self.loader.replace_migrations:
            # It went back through the originals; what stands for them goes too.
            for squashed, originals in self.loader.originals.items():
                if key in originals and squashed in self.loader.applied_migrations:
                    followers.add(squashed)
        return followers


def note_refusal(connection: Any, error: RewindError) -> None:
    """
    Have the audit log say that a run was refused, once.

    Within a transaction that would go with it: whoever began that may note it afterwards.
    """
    if not (error.is_noted or connection.in_atomic_block):
        error.is_noted = True
        key = getattr(error, "key", ("", ""))
        AuditLog(connection).try_to_note([AuditEntry(Event.REFUSED, key, detail=error.problem)])
