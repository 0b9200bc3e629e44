"""How far a run has come when it stops: its steps by their records, and the operations of one step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder

from ..backends import backend_for
from ..exceptions import HowFar
from ..schema.effects import flatten
from ..schema.operations import in_words
from ..utils.types import Key, Steps, key_of, label
from .preflight import target_before
from .trail import Trail

__all__ = ["Records", "Watch", "how_far_back"]


class Watch:
    """
    The operations of one step while it runs: which have begun, and which are done.

    What `SeparateDatabaseAndState` does to the database is watched one by one. The
    operations are what they were before as soon as the step is over.
    """

    def __init__(self, migration: Migration, *, backwards: bool) -> None:
        self.migration = migration
        self.backwards = backwards
        # What is noted of it, where its database takes nothing back.
        self.trail: Trail | None = None
        operations = list(flatten(migration.operations, database=True))
        # In the order in which they run.
        self.operations = operations[::-1] if backwards else operations
        self.begun: list[Operation] = []
        self.done: list[Operation] = []

    @property
    def key(self) -> Key:
        return key_of(self.migration)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of each operation for as long as this lasts."""
        method = "database_backwards" if self.backwards else "database_forwards"
        with ExitStack() as stack:
            for operation in {id(one): one for one in self.operations}.values():
                stack.enter_context(self._noting(operation, method))
            yield

    @contextmanager
    def _noting(self, operation: Operation, method: str) -> Iterator[None]:
        original, before = getattr(operation, method), dict(vars(operation))

        def run(*args: Any, **kwargs: Any) -> None:
            self.begun.append(operation)
            call = partial(original, *args, **kwargs)
            self.trail.run(operation, args, call) if self.trail else call()
            self.done.append(operation)

        setattr(operation, method, run)
        try:
            yield
        finally:
            if method in before:
                setattr(operation, method, before[method])
            else:
                vars(operation).pop(method, None)

    # In words ---------------------------------------------------------------

    def lines(self, connection: Any) -> list[str]:
        """
        Say which operations are done, where their database cannot take them back.

        Returns:
            nothing where the step as a whole was taken back, or never began.
        """
        if not self.begun or backend_for(connection).rolls_back(self.migration):
            return []
        is_able = backend_for(connection).has_transactional_ddl
        why = "it is not atomic" if is_able else f"{connection.display_name} takes back no schema change"
        done, stopped_in, rest = self._parts()
        undone = "undone" if self.backwards else "applied"
        said = [
            (f"  {undone.capitalize()}: ", done),
            ("  Stopped in: ", stopped_in),
            (f"  Not {undone}: ", rest),
        ]
        return [
            f"{label(self.key)} is half-way, for {why}:",
            *(f"{head}{'; '.join(map(in_words, them))}" for head, them in said if them),
            *self._ways_out(is_at_the_end=len(done) == len(self.operations)),
        ]

    def _parts(self) -> tuple[list[Operation], list[Operation], list[Operation]]:
        rest = list(self.operations)
        for operation in self.begun:
            if operation in rest:
                rest.remove(operation)
        return self.done, self.begun[len(self.done) :], rest

    def _ways_out(self, *, is_at_the_end: bool) -> Iterator[str]:
        app_label, name = self.key
        if self.backwards:
            (target,) = target_before(self.migration) or ["<the one before it>"]
            record = f"have it forgotten by 'manage.py rewind {app_label} {target} --fake'"
            back, rest = "put back what was undone", "Undo the rest by hand"
        else:
            record = f"have it recorded by 'manage.py migrate {app_label} {name} --fake'"
            back, rest = "take back what was applied", "Apply the rest by hand"
        if is_at_the_end:
            yield "What may be wanting are indexes and constraints, which come last, and its record."
        elif self.trail is None:
            yield "Look what is left of the one in which it stopped."
        if self.trail is None:
            yield f"{rest} and {record}, or {back} by hand."
        else:
            yield f"What is undone of it is noted, and not repeated. Or {rest[0].lower()}{rest[1:]} and {record}."


class Records:
    """What is recorded when a run has stopped; of a database that is gone, what was seen before."""

    def __init__(self, connection: Any, before: Iterable[Key], changes: Mapping[Key, bool]) -> None:
        self.is_certain = True
        try:
            self.keys = set(_read(connection))
        except Exception:  # noqa: BLE001 (it must not hide why the run has stopped)
            self.is_certain = False
            gone = {key for key, is_applied in changes.items() if not is_applied}
            self.keys = {*before, *changes} - gone

    def has(self, migration: Migration) -> bool:
        """Say whether it is applied; of a squashed one there may be the originals alone."""
        return not self.keys.isdisjoint([key_of(migration), *map(_key, migration.replaces)])


def _key(listed: Iterable[str]) -> Key:
    app_label, name = listed
    return app_label, name


def _read(connection: Any) -> Iterable[Key]:
    # Where it broke, the next query makes a new one.
    connection.close_if_unusable_or_obsolete()
    return MigrationRecorder(connection).applied_migrations()


def how_far_back(
    connection: Any,
    plan: Steps,
    changes: Mapping[Key, bool],
    watch: Watch | None = None,
    *,
    fake: bool = False,
) -> HowFar:
    """
    Return what of a plan that goes back is undone, as the database has it.

    Args:
        changes: what the recorder of the run has noted.
        watch: the operations of the step in which it stopped.
    """
    records = Records(connection, [key_of(migration) for migration, _ in plan], changes)
    stays = [key_of(migration) for migration, _ in plan if records.has(migration)]
    return HowFar(
        undone=[key for key in map(_step_key, plan) if key not in stays],
        not_undone=stays,
        halfway=watch.lines(connection) if watch and watch.key in stays else [],
        fake=fake,
        is_certain=records.is_certain,
    )


def _step_key(step: tuple[Migration, bool]) -> Key:
    return key_of(step[0])
