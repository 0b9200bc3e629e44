"""
The statements that a rewind would execute on this database, as text.

An executor runs the plan as ever, in its order and with its states, but for two
things: a step is collected, and its records are noted. Nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder

from ..backends import backend_for
from ..engine.handover import forget_outcome
from ..engine.plan import Plan
from ..engine.recorder import RewindRecorder
from ..exceptions import RewindError, SqlNotAvailable
from ..sources.recovered import source_of
from ..utils.types import Key, key_of, label
from .rewind import Rewind

# What a schema editor asks while it collects. Whatever else it sends to the database
# itself would change something there: on SQLite some renamings do.
_ASKS = re.compile(
    r"\s*\(?\s*(SELECT|SHOW|EXPLAIN|DESCRIBE|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|SET|PRAGMA\s+foreign_key|"
    r"PRAGMA\s+(table|index)_x?(info|list))",
    re.IGNORECASE,
)

_SOURCES = {"stored": "from stored code", "file": "from its file"}


def sql_of(rewind: Rewind, plan: Plan) -> list[str]:
    """
    Return the statements of a plan, each step named in a comment.

    Stored code is executed, as far as that makes a migration of it; no operation is.

    Raises:
        RewindError: what stands in the way of the plan itself.
        SqlNotAvailable: a step's statements depend on what an earlier one would have done.
    """
    rewind.runner.prepare(plan.migrations)
    collector = _Collector(rewind)
    try:
        with rewind.connection.execute_wrapper(_refuse_to_change):
            rewind.executor.migrate([], plan=plan.migrations)
    finally:
        rewind.runner.forget_stored_code()
        # Nothing has been run, and nobody will come to take what a run leaves.
        forget_outcome(rewind.connection)
    return collector.lines


class _Collector:
    """Stand in the place of an executor's steps, and of its recorder."""

    def __init__(self, rewind: Rewind) -> None:
        self.connection = rewind.connection
        self.lines: list[str] = []
        self.executor: Any = rewind.executor
        self.executor.recorder = self.recorder = _Notes(rewind.connection)
        # On the instance: both Django's class and the hooks on it stay as they are.
        self.executor.unapply_migration = self.collect

    def collect(self, state: Any, migration: Migration, fake: bool = False) -> Any:
        """Take down what a step would execute, in the place of unapplying it."""
        key = key_of(migration)
        editor = self.connection.schema_editor(collect_sql=True, atomic=migration.atomic)
        try:
            with editor:
                migration.unapply(state, editor, collect_sql=True)
        except RewindError:
            raise
        except Exception as error:
            raise SqlNotAvailable(key, error) from error
        statements = [*editor.collected_sql, *self._records_of(state, migration, editor)]
        if backend_for(self.connection).rolls_back(migration):
            ops = self.connection.ops
            statements = [ops.start_transaction_sql(), *statements, ops.end_transaction_sql()]
        self.lines += [f"-- {label(key)} ({_SOURCES[source_of(migration)]})", *statements, ""]
        return state

    def _records_of(self, state: Any, migration: Migration, editor: Any) -> list[str]:
        """Return what deletes the records of a step: Django and the hooks say which."""
        self.recorder.unrecorded.clear()
        type(self.executor).unapply_migration(self.executor, state, migration, fake=True)
        quote = self.connection.ops.quote_name
        table = quote(MigrationRecorder.Migration._meta.db_table)
        return [
            f"DELETE FROM {table} WHERE {quote('app')} = {editor.quote_value(app_label)}"  # noqa: S608 (quoted)
            f" AND {quote('name')} = {editor.quote_value(name)};"
            for app_label, name in dict.fromkeys(self.recorder.unrecorded)
        ]


class _Notes(RewindRecorder):
    """A recorder that reads, and only notes what it would write."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.unrecorded: list[Key] = []

    def ensure_schema(self) -> None:
        """Make no table."""

    def record_applied(self, app: str, name: str) -> None:
        """A squashed migration whose originals are all applied is not of this plan."""

    def record_unapplied(self, app: str, name: str) -> None:
        self.unrecorded.append((app, name))


def _refuse_to_change(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if not _ASKS.match(str(sql)):
        statement = " ".join(str(sql).split())
        raise RuntimeError(f"'{statement[:60]}' would have to be executed for it")
    return execute(sql, params, many, context)
