"""
Signals around what happens to a single migration.

Each is sent with

- ``sender``: the config of the migration's app, or None where that is not installed;
- ``migration``: the pair (app label, name);
- ``using``: the alias of the database;
- ``source``: ``"stored"`` or ``"file"``, where the code comes from.

A receiver of a ``pre_`` signal that raises stops the step, as an error in it would.
One of a ``post_`` signal comes too late for that: what it raises is logged.
"""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.dispatch import Signal

from .utils.types import Key, label

__all__ = ["post_capture", "post_rewind_step", "pre_capture", "pre_rewind_step"]

logger = logging.getLogger("django_rewind")

#: Sent before a migration is undone by `rewind`, or by any other run that undoes stored
#: code. Not for one that is only marked as unapplied (``--fake``).
pre_rewind_step = Signal()

#: Sent when a migration has been undone and its record is gone, with the transaction
#: of the step behind it; of a run that is one transaction, when that is committed.
post_rewind_step = Signal()

#: Sent before the source of a migration that is about to be applied is stored. Nothing of
#: the run has been stored or applied by then.
pre_capture = Signal()

#: Sent when the source is stored, and before the first operation of the run.
post_capture = Signal()


def announce(signal: Signal, migration: Key, *, using: str, source: str) -> None:
    """Send a ``pre_`` signal, whose receivers may object."""
    signal.send(_sender(migration), migration=migration, using=using, source=source)


def report(signal: Signal, migration: Key, *, using: str, source: str) -> None:
    """Send a ``post_`` signal; a broken receiver must not break what has been done."""
    answers = signal.send_robust(_sender(migration), migration=migration, using=using, source=source)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.error("The receiver %s failed after %s", name, label(migration), exc_info=answer)


def _sender(migration: Key) -> Any:
    try:
        return apps.get_app_config(migration[0])
    except LookupError:
        return None
