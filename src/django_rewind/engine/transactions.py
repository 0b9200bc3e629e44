"""One transaction around what is undone, and what cannot be in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.migrations import Migration

from ..backends import backend_for
from ..exceptions import AtomicNotPossible, RewindError, RewindInterrupted
from ..schema.effects import effects_in, flatten
from ..schema.operations import in_words
from ..storage.audit_log import AuditEntry, AuditLog
from ..utils import compat
from ..utils.types import Key, key_of, label

# What stops a run on its way.
STOPS = (Exception, KeyboardInterrupt)

_RENAMES = {"rename_model", "rename_field", "alter_table"}


def check_atomic(connection: Any, migrations: Iterable[Migration]) -> None:
    """
    Refuse what could not be undone or applied within one transaction.

    Of stored code that is not loaded yet, its operations are not known.
    """
    if not backend_for(connection).has_transactional_ddl:
        raise AtomicNotPossible(
            f"{connection.display_name}, the database '{connection.alias}', takes back no schema change."
        )
    for migration in migrations:
        if not migration.atomic:
            raise AtomicNotPossible(f"{label(key_of(migration))} has 'atomic = False'.", key_of(migration))
        for operation in flatten(migration.operations, database=True):
            if not _joins(connection, operation):
                raise AtomicNotPossible(
                    f"the operation '{in_words(operation)}' of {label(key_of(migration))} "
                    "cannot be executed in a transaction.",
                    key_of(migration),
                )


def _joins(connection: Any, operation: Any) -> bool:
    if compat.refuses_transactions(operation):
        return False
    # Until Django 4.2, of SQLite before 3.26 (django/db/backends/sqlite3/features.py).
    renames_at_all = getattr(connection.features, "supports_atomic_references_rename", True)
    return renames_at_all or all(effect["effect"] not in _RENAMES for effect in effects_in([operation]))


@contextmanager
def one_transaction(connection: Any) -> Iterator[None]:
    """
    Open a transaction in which schema editors of this database can work.

    SQLite's insists on foreign keys not being checked before it begins.
    """
    disabled = not connection.in_atomic_block and connection.disable_constraint_checking()
    try:
        with transaction.atomic(using=connection.alias):
            if disabled:
                # Ahead of what others have to do after the commit.
                transaction.on_commit(connection.enable_constraint_checking, using=connection.alias)
            yield
    finally:
        if disabled:
            connection.enable_constraint_checking()


@contextmanager
def leaving_nothing_open(connection: Any) -> Iterator[None]:
    """
    Leave the transactions that were begun meanwhile and are still open after an error.

    When SQLite's schema editor is left, it checks the foreign keys first, and where that fails its
    transaction stays open, with what has been done in it.
    """
    before = _depth(connection)
    try:
        yield
    except BaseException as error:
        is_left = _depth(connection) > before
        while _depth(connection) > before:
            transaction.atomic(connection.alias).__exit__(type(error), error, error.__traceback__)
        if is_left and not before:
            connection.enable_constraint_checking()
        raise


def _depth(connection: Any) -> int:
    return len(connection.savepoint_ids) + int(connection.in_atomic_block)


class Whole:
    """
    One transaction around a whole run, a redo included.

    What is said of it when it stops is said here, once everything is taken back.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        # The step that is under way.
        self.at: Key | None = None
        # What helps where that has failed.
        self.by_hand = ""
        # What has failed, to be written into the audit log when everything else is rolled back.
        self.failures: list[AuditEntry] = []
        self._afterwards: list[Callable[[], None]] = []
        self._is_committed = False

    def afterwards(self, call: Callable[[], None]) -> None:
        """Have something done after the commit."""
        self._afterwards.append(call)

    @contextmanager
    def run(self, what: str) -> Iterator[None]:
        """
        Do all of it or nothing.

        Args:
            what: what it is called: a rewind or a redo.
        """
        try:
            with one_transaction(self.connection):
                transaction.on_commit(self._note_commit, using=self.connection.alias)
                yield
                self.connection.check_constraints()
        except RewindError:
            self._note_failures()
            raise
        except STOPS as error:
            if self._is_committed:
                raise
            self._note_failures()
            raise RewindInterrupted(error, None, what=what, at=self.at, by_hand=self.by_hand) from error
        for call in self._afterwards:
            call()

    def _note_failures(self) -> None:
        if self.failures:
            AuditLog(self.connection).try_to_note(self.failures)

    def _note_commit(self) -> None:
        self._is_committed = True
