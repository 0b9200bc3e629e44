"""What a run leaves behind for the receiver of `post_migrate` that follows it, or what there is to see."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from ..storage.records import record_ids
from ..utils.types import Applied, Key


class Outcome(NamedTuple):
    """What an executor knows at the end of its run, so that nobody has to ask again."""

    applied: Applied
    disk: Mapping[Key, Migration]
    # What the run itself has recorded.
    recorded: Collection[Key] = ()
    # Prints a line of progress.
    say: Callable[[str], None] | None = None


# From the end of executor.migrate() to the post_migrate signal of the same command.
_outcomes: WeakKeyDictionary[Any, Outcome] = WeakKeyDictionary()
# Connections whose present run was told that nothing is stored.
_told: WeakSet[Any] = WeakSet()


def hand_over(connection: Any, outcome: Outcome) -> None:
    """Keep what a run has found out for the `reconcile` that follows it."""
    _outcomes[_real(connection)] = outcome


def outcome_of(connection: Any) -> Outcome:
    """Return what a run has left behind, once; else what is recorded, and what is on disk."""
    return _outcomes.pop(_real(connection), None) or _look(connection)


def _look(connection: Any) -> Outcome:
    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    return Outcome(applied=record_ids(connection), disk=loader.disk_migrations or {})


def forget_outcome(connection: Any) -> None:
    """Throw away what an earlier run has left behind."""
    _told.discard(_real(connection))
    _outcomes.pop(_real(connection), None)


def is_told_first(connection: Any) -> bool:
    """Say whether the present run hears for the first time that nothing is stored."""
    is_first = _real(connection) not in _told
    _told.add(_real(connection))
    return is_first


def _real(connection: Any) -> Any:
    """Return what `django.db.connection` stands for: the proxy cannot be a key."""
    return connections[connection.alias]
