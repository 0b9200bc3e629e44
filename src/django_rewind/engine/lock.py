"""One run at a time: the lock of a database, which ones this process has, and the turn of a `migrate`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.db.migrations import Migration
from django.db.models.signals import post_migrate

from .. import conf
from ..backends import backend_for
from ..backends.locks import DatabaseLock, process_in_words
from ..exceptions import LockLost, LockTimeout, LockWaitCancelled, PlanOutdated
from ..models import Event
from ..schema.graph import children_in, parents_in
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.records import records
from ..utils.printable import printable_name
from ..utils.types import Key, Steps, key_of
from .loader import RewindLoader

# Seconds between two attempts: short at first, since most runs are.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
# Of whom nothing is known.
_SOMEBODY = "another process"
# Seconds until it is said again that we still wait.
_SILENCE = 30.0


@dataclass
class _Held:
    """A lock that this process has, and how many times over."""

    lock: DatabaseLock
    alias: str
    times: int = 1


# By process, thread and database. A forked child has none of its parent's locks, and
# threads run on connections of their own.
_held: dict[tuple[object, ...], _Held] = {}


def check_held() -> None:
    """Refuse to go on if one of the locks that this thread has taken was released meanwhile."""
    for key, held in list(_held.items()):
        if key[:2] == _here() and not held.lock.is_held():
            raise LockLost(held.alias)


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


class Lock:
    """
    The lock of one database: whoever has it is the only one to rewind there.

    It never waits inside the database, where `CREATE INDEX CONCURRENTLY` of the one
    that has the lock would wait for us in turn. A process that has it may take it
    again. The system or the server frees it with the process.

    Args:
        connection: of the database that is going to be changed.
        say: takes a line about the waiting.
        timeout: seconds to wait; None waits without end, 0 not at all.
    """

    def __init__(self, connection: Any, say: Callable[[str], None], timeout: float | None = None) -> None:
        self.connection = connection
        self.say = say
        self.timeout = timeout
        # Whether this process had it already: then nobody can have changed anything.
        self.was_held = False
        self._key: tuple[object, ...] | None = None
        self._is_noted = False

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lock, and wait for it as long as that is wanted."""
        lock = backend_for(self.connection).lock()
        if lock is None:
            return
        key = (*_here(), lock.name)
        self.was_held = key in _held
        if self.was_held:
            _held[key].times += 1
        else:
            self._wait_for(lock)
            _held[key] = _Held(lock, self.connection.alias)
        self._key = key

    def release(self) -> None:
        """Let go of it, at the outermost of those who took it."""
        held = _held.get(self._key) if self._key else None
        self._key = None
        if held is None:
            return
        held.times -= 1
        if not held.times:
            key = next(key for key, other in _held.items() if other is held)
            del _held[key]
            held.lock.release()

    def note(self, what: str) -> None:
        """Write into the audit log, once, that a run begins and whose it is; those who wait can read it there."""
        if self._is_noted:
            return
        held = _held.get(self._key) if self._key else None
        detail = " ".join(filter(None, [what, held.lock.mark if held else ""]))
        AuditLog(self.connection).try_to_note([AuditEntry(Event.BEGAN, ("", ""), detail=detail)])
        self._is_noted = True

    # Waiting ----------------------------------------------------------------

    def _wait_for(self, lock: DatabaseLock) -> None:
        try:
            self._poll(lock)
        except KeyboardInterrupt:
            lock.release()
            raise LockWaitCancelled(self.connection.alias) from None
        except BaseException:
            lock.release()
            raise

    def _poll(self, lock: DatabaseLock) -> None:
        name = f"the lock of the database '{self.connection.alias}'"
        began, said, pause = time.monotonic(), None, _FIRST_PAUSE
        while not lock.take():
            waited = time.monotonic() - began
            if self.timeout is not None and waited >= self.timeout:
                raise LockTimeout(self.connection.alias, self._holder(lock), self.timeout, lock.way_out)
            if said is None:
                self.say(f"Waiting for {name}, held by {self._holder(lock)}.")
                said = waited
            elif waited - said >= _SILENCE:
                self.say(
                    f"Still waiting after {waited:.0f} seconds for {name}, held by {self._holder(lock)}."
                )
                said = waited
            time.sleep(pause if self.timeout is None else min(pause, self.timeout - waited))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        if said is not None:
            self._reconnect()

    def _holder(self, lock: DatabaseLock) -> str:
        # Whatever it holds, it is no reason not to wait.
        with suppress(Exception):
            # Names of machines come from a file or a table, which others may write.
            return printable_name(lock.holder(self._last_to_begin) or self._last_to_begin() or _SOMEBODY)
        return _SOMEBODY

    def _last_to_begin(self, mark: str = "") -> str:
        event = AuditLog(self.connection).newest(Event.BEGAN)
        if event is None or mark not in event.detail:
            return ""
        words = process_in_words(event.pid, event.host, event.at)
        return words if mark else f"another process (the last one to begin was {words})"

    def _reconnect(self) -> None:
        """What was idle while we waited may have been closed by the server."""
        connection = self.connection
        if not connection.in_atomic_block and connection.connection and not connection.is_usable():
            connection.close()


# By alias, the plan of which `pre_migrate` has told: its command sends `post_migrate` too.
_announced: dict[str, Any] = {}
# By alias, the turns that last until the receivers of `post_migrate` have run.
_lasting: dict[str, Turn] = {}


def announce(alias: str, plan: Any) -> None:
    """Take note that a command is about to run a plan, and to send `post_migrate` after it."""
    _announced[alias] = plan


class Turn:
    """
    Wait for the turn of a run, take out of its plan what others have done, and end it.

    The executor has read what is applied before the lock was ours, so it is read
    again. Where a command runs, its receivers of `post_migrate` belong to the turn:
    two processes that make content types at once get into each other's way.
    """

    def __init__(self, connection: Any, steps: Steps, say: Callable[[str], None]) -> None:
        self.steps = steps
        self.alias: str = connection.alias
        self._say_line = say
        self.lock = Lock(connection, self._say, conf.lock_migrate_timeout())

    def _say(self, line: str) -> None:
        # Among the lines of `migrate`.
        self._say_line(f"  {line}")

    def __enter__(self) -> None:
        # A command that failed after its run, in this process, has never ended its turn.
        _end(self.alias)
        self.lock.take()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        is_of_a_command = _announced.pop(self.alias, None) is self.steps
        # Where it was held before, whoever holds it does so for longer.
        if kind is None and is_of_a_command and not self.lock.was_held:
            _lasting[self.alias] = self
            _watch()
        else:
            self.lock.release()

    # Catching up ------------------------------------------------------------

    def is_late(self, loader: RewindLoader) -> bool:
        """
        Say whether another process has changed the records while this one waited.

        Squashed migrations that count as applied stand there themselves.
        """
        if self.lock.was_held:
            return False
        seen: dict[Key, Any] = dict(loader.applied_migrations)
        beside = {*loader.replacements, *(key for key, of in seen.items() if isinstance(of, Migration))}
        return _ids(seen, beside) != _ids(records(self.lock.connection), beside)

    def catch_up(self, loader: Any, steps: Steps) -> Steps:
        """
        Build the graph of now, and return what is left of a plan.

        The plan itself is shortened, too: it is what `post_migrate` tells of.
        """
        loader.build_graph()
        left = left_of(loader, steps)
        if steps and not left:
            self._say(
                "Nothing to unapply: another process has unapplied it."
                if steps[0][1]
                else "No migrations to apply: another process has applied them."
            )
        if isinstance(steps, list):
            steps[:] = left
        return left


def left_of(loader: Any, steps: Steps) -> Steps:
    """
    Return what is left of a plan in a graph that was built again.

    Raises:
        PlanOutdated: a step does not fit any more.
    """
    for migration, _ in steps:
        # The migrations of the plan: others have added operations to them.
        key = key_of(migration)
        if type(loader.graph.nodes.get(key)) is type(migration) and key not in loader.recovered:
            loader.graph.nodes[key] = loader.disk_migrations[key] = migration
    graph, applied = loader.graph, loader.applied_migrations
    keys = [
        (key, backwards)
        for key, backwards in ((key_of(migration), backwards) for migration, backwards in steps)
        if (key in applied) is backwards
    ]
    left = {key for key, _ in keys}
    parents, children = parents_in(graph), children_in(graph)
    for key, backwards in keys:
        if backwards:
            fits = all(child in left for child in children.get(key, ()) if child in applied)
        else:
            fits = all(parent in left or parent in applied for parent in parents.get(key, ()))
        if key not in graph.nodes or not fits:
            raise PlanOutdated(key)
    return [(graph.nodes[key], backwards) for key, backwards in keys]


def _ids(applied: dict[Key, Any], without: set[Key]) -> dict[Key, int]:
    return {key: record.pk for key, record in applied.items() if key not in without}


def _watch() -> None:
    """
    Have each sending of `post_migrate` pass here as long as a turn lasts.

    A receiver of ours would never hear of one before it that fails.
    """
    if "send" not in vars(post_migrate):
        setattr(post_migrate, "send", partial(_send, post_migrate.send))  # noqa: B010 (a method)


def _send(send: Callable[..., Any], sender: Any, **named: Any) -> Any:
    """End the turn after the last app, or with the first receiver that fails."""
    with_models = [config for config in apps.get_app_configs() if config.models_module is not None]
    is_over = True
    try:
        answers = send(sender, **named)
        is_over = sender is with_models[-1]
        return answers
    finally:
        if is_over:
            _end(named.get("using", ""))


def _end(alias: str) -> None:
    turn = _lasting.pop(alias, None)
    if not _lasting:
        vars(post_migrate).pop("send", None)
    if turn is not None:
        turn.lock.release()
