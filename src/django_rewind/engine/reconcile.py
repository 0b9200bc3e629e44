"""
What is filled in after a run: whatever is applied, on disk and still unstored.

After most runs that is nothing. What it takes to store something is imported when
there is something to store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..storage.facts import StoredFact, StoredFacts, unstored_among
from ..storage.records import with_ids_as_noted
from ..storage.tables import all_of_ours
from ..utils.types import APP_LABEL, Key, some_names_of
from .handover import Outcome, outcome_of

logger = logging.getLogger("django_rewind")


def reconcile(
    connection: Any,
    *,
    warn: Callable[[str], None] = logger.debug,
    ask: Callable[[str], None] = logger.warning,
) -> None:
    """
    Store whatever is applied, on disk and still unstored or bound to no record.

    That is everything at the first installation, later squashed migrations that
    were recorded on the side, and what a process without us has applied since.
    What is not signed, as what version 0.1.0 stored, is stored from its file if that is the same program.
    One query where there is nothing to do.

    Args:
        warn: takes a line about what cannot be stored.
        ask: takes a line about what a person has to decide.
    """

    def ask_here(line: str) -> None:
        from ..utils.advice import on_database

        ask(on_database(line, connection.alias))

    outcome = outcome_of(connection)
    if not (all_of_ours(outcome.disk, outcome.applied) or _tables_are_there(connection)):
        return
    known = StoredFacts(connection).known()
    on_disk = {key: record_id for key, record_id in outcome.applied.items() if key in outcome.disk}
    bound = ((key, fact.record_id) for key, fact in known.items() if on_disk.get(key))
    on_disk = with_ids_as_noted(connection, on_disk, bound)
    awaiting = {key for key in on_disk if key in known and known[key].awaits_file}
    found = sorted({*unstored_among(known, on_disk), *awaiting})
    if found:
        from .capture import fill_in

        stored = fill_in(connection, outcome.disk, found, warn=warn, ask=ask_here)
        _say_what_is_new(outcome, known.keys() - awaiting, stored)
    _say_what_waits(outcome, known, ask_here)


def _say_what_waits(outcome: Outcome, known: Mapping[Key, StoredFact], ask: Callable[[str], None]) -> None:
    """Say after an upgrade what waits for a person, since there is no file that it could be compared with."""
    if not any(app_label == APP_LABEL for app_label, _ in outcome.recorded):
        return
    waiting = [
        key
        for key, fact in known.items()
        if fact.awaits_file and key in outcome.applied and key not in outcome.disk
    ]
    if waiting:
        ask(
            f"What is stored of {some_names_of(sorted(waiting))} is not signed, and has no file here. It is refused "
            "until somebody has looked at it: run 'manage.py verify_migrations --sign'."
        )


def _tables_are_there(connection: Any) -> bool:
    """Return whether the tables are complete all the same; a record that is gone proves nothing."""
    from ..storage.store import Store

    return Store(connection).is_usable


def _say_what_is_new(outcome: Outcome, known: Collection[Key], stored: set[Key]) -> None:
    """
    Say how many migrations are stored for the first time.

    At the installation that is all of them, later what a process without us has applied meanwhile.
    What a run applies is always stored: that is not worth a word.
    """
    recorded = {*outcome.recorded}
    is_installation = recorded.issuperset(known)
    new = {*known, *stored} if is_installation else stored - recorded - {*known}
    if outcome.say is not None and stored and new:
        count = len(new)
        outcome.say(f"Stored the source of {count} migration{'' if count == 1 else 's'}.")
