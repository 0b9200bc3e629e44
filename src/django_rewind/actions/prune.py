"""
Discard what is kept of migrations that are not applied.

Of what is applied, or counts as applied because a squashed migration stands for it,
nothing is ever discarded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from .. import conf
from ..exceptions import NotInitialized
from ..inventory.loader import loader_of
from ..inventory.squashes import originals_of, standing_together, stored_originals
from ..storage.audit_log import AuditLog
from ..storage.leftovers import Pruning
from ..storage.records import record_ids
from ..utils.types import Key


def pruning(connection: Any, before: datetime, app_label: str | None = None, prefix: str = "") -> Pruning:
    """Return what finds and discards what is older than a date, of all apps, of one, or of migrations of it."""
    if not conf.in_force():
        raise CommandError("django-rewind is switched off: set DJANGO_REWIND_ENABLED to True to prune.")
    if not (loader_of(connection).store_is_ready and AuditLog(connection).is_there()):
        raise NotInitialized(connection.alias)
    return Pruning(connection, before, app_label, prefix, lambda: _kept(connection))


def _kept(connection: Any) -> set[Key]:
    """Return what is applied, what it stands for, and what stands for something applied."""
    loader = loader_of(connection)
    applied = {*record_ids(connection), *loader.applied_migrations}
    stored = stored_originals(loader.snapshot.stored, lambda row: True)
    return standing_together(applied, originals_of(loader.files), stored)
