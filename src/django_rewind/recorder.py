"""Django's recorder, which notes for each record which stored source it stands for."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.migrations.recorder import MigrationRecorder

from .store import Store
from .types import Key

__all__ = ["RewindRecorder"]


class RewindRecorder(MigrationRecorder):
    """
    Prove the captured source of a migration by the id of its record.

    It is done where the record is made, so that both are committed together. A
    process without us records under another id: then what is stored is unproven.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        # What this run has captured and not recorded yet.
        self.captured: set[Key] = set()
        # What this run has recorded (True) or unrecorded (False).
        self.changes: dict[Key, bool] = {}

    def record_applied(self, app: str, name: str) -> None:
        if (app, name) in self.captured:
            with transaction.atomic(using=self.connection.alias, savepoint=False):
                super().record_applied(app, name)
                Store(self.connection).prove((app, name))
            self.captured.discard((app, name))
        else:
            super().record_applied(app, name)
        self.changes[(app, name)] = True

    def record_unapplied(self, app: str, name: str) -> None:
        super().record_unapplied(app, name)
        self.changes[(app, name)] = False
