"""One rewind at a time: the lock of a database, waiting for it, and which ones this process has."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import Error

from ..backends import backend_for
from ..backends.locks import DatabaseLock, process_in_words
from ..exceptions import LockLost, LockTimeout, LockWaitCancelled
from ..models import Event
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.tables import Unreadable

# Seconds between two attempts: short at first, since most runs are.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5
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
    """
    Ask whether the locks that this thread has taken are still its own.

    Raises:
        LockLost: the server, or somebody, has released one.
    """
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
        """
        Take the lock, and wait for it as long as that is wanted.

        Raises:
            LockTimeout: somebody has it, and goes on having it.
            LockUnavailable: this database cannot be locked as it is set up.
            LockWaitCancelled: somebody pressed Ctrl-C.
        """
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
                raise LockTimeout(self.connection.alias, self._holder(lock), self.timeout)
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
        with suppress(Error, OSError, ValueError, Unreadable):
            return lock.holder(self._last_to_begin) or self._last_to_begin() or "another process"
        return "another process"

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
