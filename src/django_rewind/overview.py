"""What is known of every migration of a database, in words. It executes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.migrations.exceptions import NodeNotFoundError
from django.template.defaultfilters import filesizeformat

from .history import History
from .loader import RewindLoader
from .signing import Verdict
from .store import StoredMigration
from .types import Key

__all__ = ["Line", "overview"]


@dataclass(frozen=True)
class Line:
    """One migration: applied, stored, missing or not."""

    key: Key
    is_applied: bool
    words: list[str]


def overview(connection: Any) -> list[Line]:
    """
    Return every migration that is on disk, applied or stored.

    By app; within it what is applied in the order in which that was done, then the
    rest by name.
    """
    loader = RewindLoader(connection, load=False)
    try:
        loader.build_graph()
    except NodeNotFoundError:
        # A file depends on one that is gone for good: there is no graph, but disk,
        # record and store can be read.
        pass
    history = loader.history or loader.read_history()
    keys = {*history.disk, *history.applied, *history.stored}
    newest = max(history.applied.values(), default=0) + 1
    order = sorted(keys, key=lambda key: (key[0], history.applied.get(key, newest), key[1]))
    return [Line(key, key in history.applied, _words(history, key)) for key in order]


def _words(history: History, key: Key) -> list[str]:
    stored = history.stored.get(key)
    if stored is None:
        words = ["not stored"]
    elif stored.verdict is Verdict.VERIFIED:
        words = ["stored" + _with_what(stored)]
    else:
        words = [f"stored, but {stored.verdict.value}"]
    standing = history.standing.get(key)
    if standing is not None:
        words.append(standing.value)
    return words


def _with_what(stored: StoredMigration) -> str:
    """Return the names and the size of what a migration carries along."""
    try:
        needs = stored.metadata.needs
    except ValueError:
        return ""
    names = [one.name for one in needs.carried]
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    # A space that does not break would not align.
    size = filesizeformat(needs.size).replace("\xa0", " ")
    return f" with {', '.join(names[:3])}{more} ({size})"
