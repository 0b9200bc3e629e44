"""Whether what is stored could be recovered here and now: found out by loading it."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

from .exceptions import NotRecoverable
from .gather import Collector
from .isolation import Isolation
from .revive import RecoveredMigration, why_unusable
from .store import Store, StoredMigration
from .types import Key

__all__ = ["Finding", "verify"]


@dataclass(frozen=True)
class Finding:
    """What came of one stored migration."""

    key: Key
    # What stands in the way of recovering it, or None.
    error: NotRecoverable | None = None


def verify(connection: Any, app_labels: Container[str] | None = None) -> Iterator[Finding]:
    """
    Load each stored migration as if its file were gone, and yield what came of it.

    Args:
        app_labels: of which apps; None for all.
    """
    store = Store(connection)
    isolation = Isolation(Collector())
    for key, stored in sorted(store.rows().items()):
        if app_labels is None or key[0] in app_labels:
            yield Finding(key, _why_not_recoverable(stored, store, isolation))
            isolation.close()


def _why_not_recoverable(
    stored: StoredMigration, store: Store, isolation: Isolation
) -> NotRecoverable | None:
    error = why_unusable(stored)
    if error is not None:
        return error
    try:
        migration = RecoveredMigration(stored, store, isolation)
        migration.load()
        migration.check_functions()
    except NotRecoverable as found:
        return found
    return None
