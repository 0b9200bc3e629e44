"""What was applied and already without a file when we were installed."""

from __future__ import annotations

from django.utils.timezone import now

from ..models import BaselineMigration
from ..utils.types import Applied, Key
from .tables import Tables

__all__ = ["Baseline"]


class Baseline(Tables):
    """The baseline of one database, and what of it somebody has accepted."""

    def records(self) -> Applied:
        """Return what was already without a file when we were installed."""
        columns = ("app_label", "migration_name", "record_id")
        rows = self._read(self._rows(BaselineMigration).values_list(*columns))
        return {(app_label, name): record_id for app_label, name, record_id in rows}

    def forgotten(self) -> set[Key]:
        """Return the baseline migrations of which somebody said that they are known."""
        rows = self._rows(BaselineMigration).filter(forgotten_at__isnull=False)
        return set(self._read(rows.values_list("app_label", "migration_name")))

    def forget(self, key: Key, record_id: int) -> None:
        """Note that a migration without a file is known to be so, and is a baseline."""
        manager = self._manager(BaselineMigration)
        values = {"record_id": record_id, "forgotten_at": now()}
        manager.update_or_create(app_label=key[0], migration_name=key[1], defaults=values)
