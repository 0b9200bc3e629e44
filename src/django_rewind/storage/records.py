"""The records of Django's own table, `django_migrations`."""

from __future__ import annotations

from typing import Any

from django.db.migrations.recorder import MigrationRecorder

from ..utils.types import Applied

__all__ = ["record_ids"]


def record_ids(connection: Any) -> Applied:
    """Return the id of the record of each applied migration."""
    recorded = MigrationRecorder(connection).applied_migrations()
    return {key: record.pk for key, record in recorded.items()}
