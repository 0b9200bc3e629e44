"""How far a run has come when it stops: its steps by their records, and the operations of one step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import count, takewhile
from typing import Any

from django.db import DatabaseError
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder

from ..backends import Backend, backend_for
from ..exceptions import HowFar
from ..models import Event
from ..schema.effects import effects_in, flatten, made_alone
from ..schema.operations import in_words
from ..sources.recovered import RecoveredMigration
from ..storage.audit_log import AuditEntry, AuditLog
from ..utils.causes import root_cause
from ..utils.printable import why
from ..utils.types import Key, Steps, key_of, label
from .preflight import target_before

_BEGUN = "begun"
_PUTS_OFF = ", but for what comes last"
_PART = re.compile(r"(?P<number>\d{1,9}) of (?P<of>\d{1,9}): ")
_SCHEMA_CHANGES = ("ALTER", "CREATE", "DROP", "RENAME")


class Progress:
    """
    The operations of one step while it runs: which have begun, and which are done.

    What `SeparateDatabaseAndState` does to the database is watched one by one. The
    operations are what they were before as soon as the step is over.

    Where each change of the schema is final, a run that dies leaves a step partially
    unapplied: there `resume` has each operation noted as it is reversed. What is noted is
    not reversed again by the next run. Of the operation that was under way nobody knows
    how far it came: it is reversed once more, and a statement of it that the database says
    has been executed already is passed over.
    """

    def __init__(self, migration: Migration, *, backwards: bool) -> None:
        self.migration = migration
        self.key = key_of(migration)
        self.backwards = backwards
        operations = list(flatten(migration.operations, database=True))
        # In the order in which they run.
        self.operations = operations[::-1] if backwards else operations
        self.begun: list[Operation] = []
        self.done: list[Operation] = []
        # Takes what is reversed, where that is final.
        self._note: Callable[[str], None] | None = None
        # For each operation that an earlier run has reversed, whether some of it was put off to the end.
        self._noted: list[bool] = []
        self._is_resumed = self._passes_over = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of each operation for as long as this lasts."""
        method = "database_backwards" if self.backwards else "database_forwards"
        with ExitStack() as stack:
            for operation in {id(operation): operation for operation in self.operations}.values():
                stack.enter_context(self._watching(operation, method))
            yield

    @contextmanager
    def _watching(self, operation: Operation, method: str) -> Iterator[None]:
        original, before = getattr(operation, method), dict(vars(operation))

        def run(*args: Any, **kwargs: Any) -> None:
            self.begun.append(operation)
            call = partial(original, *args, **kwargs)
            self._reverse(operation, args, call) if self._note else call()
            self.done.append(operation)

        setattr(operation, method, run)
        try:
            yield
        finally:
            if method in before:
                setattr(operation, method, before[method])
            else:
                vars(operation).pop(method, None)

    # Going on where an earlier run stopped -----------------------------------

    @contextmanager
    def resuming(
        self, audit_log: AuditLog, *, record_id: int | None, digest: str, warn: Callable[[str], None]
    ) -> Iterator[int]:
        """
        Note what is reversed, and go on where an earlier run has stopped.

        Args:
            record_id: of the row in django_migrations: applied once more, it begins anew.
            digest: of the text that runs.
            warn: takes a line about what is passed over.

        Yields:
            how many operations are reversed already.
        """
        self._backend = backend_for(audit_log.connection)
        self._warn = warn

        def note(detail: str) -> None:
            entry = AuditEntry(Event.PARTIAL, self.key, record_id=record_id, digest=digest, detail=detail)
            audit_log.note([entry])

        noted = audit_log.parts(self.key, record_id=record_id, digest=digest)
        self._note, self._is_resumed = note, bool(noted)
        self._noted = self._in_turn(noted)
        if not self._is_resumed:
            note(_BEGUN)
            yield 0
            return
        with audit_log.connection.execute_wrapper(self._execute):
            yield len(self._noted)

    def _in_turn(self, noted: list[str]) -> list[bool]:
        """Return of each operation that is noted, from the first one on, whether some of it was put off."""
        puts_off: dict[int, bool] = {}
        for detail in noted:
            part = _PART.match(detail)
            if part and int(part["of"]) == len(self.operations):
                # An entry that stands there twice says no more than one.
                puts_off[int(part["number"])] = detail.endswith(_PUTS_OFF)
        return [puts_off[number] for number in takewhile(puts_off.__contains__, count(1))]

    def _reverse(self, operation: Operation, args: tuple[Any, ...], call: Callable[[], Any]) -> None:
        """
        Reverse the next operation, unless that is done.

        Args:
            args: of its `database_backwards`: app label, schema editor, the state with it and without.
        """
        assert self._note is not None
        number = len(self.begun) - 1
        app_label, editor, state, _ = args
        is_noted = number < len(self._noted)
        if is_noted and not self._noted[number] and not self._is_back(operation, app_label, state):
            return
        was_put_off = len(editor.deferred_sql)
        self._passes_over = self._is_resumed and number <= len(self._noted)
        call()
        puts_off = len(editor.deferred_sql) > was_put_off
        # What was put off is executed at the end of the step, and may have been, too.
        self._passes_over = self._passes_over and puts_off
        if not is_noted:
            what = f"{number + 1} of {len(self.operations)}: {in_words(operation)}"
            self._note(what + (_PUTS_OFF if puts_off else ""))

    def _is_back(self, operation: Any, app_label: str, state: Any) -> bool:
        """
        Say whether a column or a table that was taken away is there again: put back by hand.

        Where another operation of the step is about it too, it may be the work of that.
        """
        made = made_alone(operation, self.operations, app_label)
        if made is None:
            return False
        model = state.apps.get_model(app_label, made["model"])
        if made["effect"] == "create_model":
            return self._backend.has(model._meta.db_table)
        field = model._meta.get_field(operation.name)
        if field.many_to_many:
            return self._backend.has(field.remote_field.through._meta.db_table)
        return self._backend.has(model._meta.db_table, field.column)

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if not (self._passes_over and _is_done_already(self._backend, sql, error)):
                raise
            self._warn(f"{label(self.key)}: passing over '{sql}', for an earlier run came so far: {error}")
            return None

    # In words ---------------------------------------------------------------

    def lines(self, connection: Any) -> list[str]:
        """
        Say which operations are done, where their database cannot take them back.

        Returns:
            nothing where the step as a whole was taken back, or never began.
        """
        backend = backend_for(connection)
        if not self.begun or backend.rolls_back(self.migration):
            return []
        is_able = backend.has_transactional_ddl
        why = "it is not atomic" if is_able else f"{connection.display_name} takes back no schema change"
        rest = list(self.operations)
        for operation in self.begun:
            if operation in rest:
                rest.remove(operation)
        undone = "undone" if self.backwards else "applied"
        said = [
            (f"  {undone.capitalize()}: ", self.done),
            ("  Stopped in: ", self.begun[len(self.done) :]),
            (f"  Not {undone}: ", rest),
        ]
        return [
            f"{label(self.key)} is half-way, for {why}:",
            *(f"{head}{'; '.join(map(in_words, operations))}" for head, operations in said if operations),
            *self._ways_out(),
        ]

    @property
    def by_hand(self) -> str:
        """What helps where stored code has failed that nobody can look into, such as a function."""
        stopped_in = effects_in(self.begun[len(self.done) :])
        is_of_its_own = any(effect["effect"] == "opaque" for effect in stopped_in)
        if not (self.backwards and is_of_its_own and isinstance(self.migration, RecoveredMigration)):
            return ""
        leave_out = " Leave out of the file what is undone already." if self.done and self._note else ""
        return f"{self.migration.how_to_edit}{leave_out}"

    def _ways_out(self) -> Iterator[str]:
        app_label, name = self.key
        if self.backwards:
            (target,) = target_before(self.migration) or ["<the one before it>"]
            record = f"mark it as unapplied with 'manage.py rewind {app_label} {target} --fake'"
            back, rest = "put back what was undone", "Undo the rest by hand"
        else:
            record = f"have it recorded by 'manage.py migrate {app_label} {name} --fake'"
            back, rest = "take back what was applied", "Apply the rest by hand"
        if len(self.done) == len(self.operations):
            yield "What may be wanting are indexes and constraints, which come last, and its record."
        elif self._note is None:
            yield "Look what is left of the one in which it stopped."
        if self._note is None:
            yield f"{rest} and {record}, or {back} by hand."
        else:
            yield f"What is undone of it is noted, and not repeated. Or {rest[0].lower()}{rest[1:]} and {record}."


def _is_done_already(backend: Backend, sql: Any, error: DatabaseError) -> bool:
    changes_schema = str(sql).lstrip().upper().startswith(_SCHEMA_CHANGES)
    return changes_schema and backend.is_done_already(error)


@contextmanager
def passing_over_what_is_done(connection: Any) -> Iterator[None]:
    """
    Go on where a run that died has left one of django-rewind's own migrations, where schema changes are final.

    Nothing but these migrations makes what they make: a change that is there already is theirs.
    """
    backend = backend_for(connection)

    def run(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if not _is_done_already(backend, sql, error):
                raise
            return None

    with nullcontext() if backend.has_transactional_ddl else connection.execute_wrapper(run):
        yield


class Records:
    """What is recorded when a run has stopped; of a database that is gone, what was seen before."""

    def __init__(self, connection: Any, before: Iterable[Key], changes: Mapping[Key, bool]) -> None:
        # Why they could not be read, as a sentence without an end.
        self.unread = ""
        try:
            # Where it broke, the next query makes a new one.
            connection.close_if_unusable_or_obsolete()
            self.keys = set(MigrationRecorder(connection).applied_migrations())
        except Exception as error:  # noqa: BLE001 (it must not hide why the run has stopped)
            what = (
                "What is recorded cannot be read" if _answers(connection) else "The database does not answer"
            )
            self.unread = f"{what} ({why(root_cause(error))})"
            gone = {key for key, is_applied in changes.items() if not is_applied}
            self.keys = {*before, *changes} - gone

    def has(self, migration: Migration) -> bool:
        """Say whether it is applied; of a squashed one there may be the originals alone."""
        return not self.keys.isdisjoint([key_of(migration), *map(tuple, migration.replaces)])


def _answers(connection: Any) -> bool:
    """Say whether there is a connection, whatever else keeps a query from being answered."""
    try:
        connection.ensure_connection()
        return bool(connection.is_usable()) or connection.in_atomic_block
    except Exception:  # noqa: BLE001 (any driver's)
        return False


def how_far_back(
    connection: Any,
    steps: Steps,
    changes: Mapping[Key, bool],
    progress: Progress | None = None,
    *,
    fake: bool = False,
) -> HowFar:
    """
    Return what of a plan that goes back is unapplied, as the database has it.

    Args:
        changes: what the recorder of the run has noted.
        progress: of the step in which it stopped.
    """
    records = Records(connection, [key_of(migration) for migration, _ in steps], changes)
    stays = [key_of(migration) for migration, _ in steps if records.has(migration)]
    return HowFar(
        undone=[key for key in (key_of(migration) for migration, _ in steps) if key not in stays],
        not_undone=stays,
        halfway=progress.lines(connection) if progress and progress.key in stays else [],
        fake=fake,
        unread=records.unread,
        by_hand=progress.by_hand if progress and progress.key in stays else "",
    )
