"""
What is undone of a step that its database cannot take back.

Where each change of the schema is for good, a run that dies leaves a step undone in part.
Its operations are noted as they are undone, so that the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError
from django.db.migrations.operations.base import Operation

from ..backends import backend_for
from ..models import Event
from ..schema.effects import made_alone
from ..schema.operations import in_words
from ..storage.audit_log import AuditEntry, AuditLog
from ..utils.types import Key, label

__all__ = ["Trail"]

_BEGUN = "begun"
_PUTS_OFF = ", but for what comes last"

_SCHEMA_CHANGES = ("ALTER", "CREATE", "DROP", "RENAME")


class Trail:
    """
    The trail that one step leaves, and what an earlier run has left of it.

    What is noted is not undone again. Of the operation that was under way nobody knows how
    far it came: it is undone once more, and a statement of it that the database says has been
    executed already is passed over.

    Args:
        ledger: of the database.
        key: the migration.
        record_id: its row in django_migrations: applied once more, it begins anew.
        digest: of the text that runs.
        operations: of the step, in the order in which they are undone.
        warn: takes a line about what is passed over.
    """

    def __init__(
        self,
        ledger: AuditLog,
        key: Key,
        *,
        record_id: int | None,
        digest: str,
        operations: Sequence[Operation],
        warn: Callable[[str], None],
    ) -> None:
        self.ledger, self.key, self.operations, self.warn = ledger, key, operations, warn
        self._backend = backend_for(ledger.connection)
        self._identity: dict[str, Any] = {"record_id": record_id, "digest": digest}
        noted = ledger.parts(key, **self._identity)
        self.is_resumed = bool(noted)
        # For each operation that is undone, whether some of it was put off to the end of the step.
        self._undone = [detail.endswith(_PUTS_OFF) for detail in noted[1:]]
        self._at = 0
        self._passes_over = False
        if not noted:
            self._note(_BEGUN)

    @property
    def undone_before(self) -> int:
        """How many operations an earlier run has undone."""
        return len(self._undone)

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Pass over what was executed already, for as long as this lasts."""
        if not self.is_resumed:
            yield
            return
        with self.ledger.connection.execute_wrapper(self._execute):
            yield

    def run(self, operation: Operation, args: tuple[Any, ...], call: Callable[[], Any]) -> None:
        """
        Undo the next operation, unless that is done.

        Args:
            args: of its `database_backwards`: app label, schema editor, the state with it and without.
            call: undoes it.
        """
        number, self._at = self._at, self._at + 1
        app_label, editor, state, _ = args
        is_known = number < self.undone_before
        if is_known and not self._undone[number] and not self._is_back(operation, app_label, state):
            return
        was_put_off = len(editor.deferred_sql)
        self._passes_over = self.is_resumed and number <= self.undone_before
        call()
        puts_off = len(editor.deferred_sql) > was_put_off
        # What was put off is executed at the end of the step, and may have been, too.
        self._passes_over = self._passes_over and puts_off
        if not is_known:
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

    def _note(self, detail: str) -> None:
        self.ledger.note([AuditEntry(Event.PARTIAL, self.key, **self._identity, detail=detail)])

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if not self._is_done_already(str(sql), error):
                raise
            self.warn(f"{label(self.key)}: passing over '{sql}', for an earlier run came so far: {error}")
            return None

    def _is_done_already(self, sql: str, error: DatabaseError) -> bool:
        is_one = sql.lstrip().upper().startswith(_SCHEMA_CHANGES)
        return self._passes_over and is_one and self._backend.is_done_already(error)
