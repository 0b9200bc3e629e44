"""What came of verifying stored migrations, as it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from ..models import MigrationVerification
from ..utils.printable import printable, printable_name
from ..utils.types import Key
from .tables import Tables, Unreadable, as_text, in_batches

__all__ = ["Verification", "Verifications"]


@dataclass(frozen=True)
class Verification:
    """What came of verifying a stored migration, and what exactly was verified."""

    key: Key
    # Why it could not be recovered, and what helps; empty if it could.
    problem: str = ""
    next_step: str = ""
    # What the file would do otherwise: of "operations" and "dependencies".
    differs: tuple[str, ...] = ()
    # Of the stored row, and of the file with what it needs.
    signature: str = ""
    file_digest: str = ""
    verified_at: datetime | None = None


class Verifications(Tables):
    """What came of verifying each stored migration of one database, last time."""

    def newest(self) -> dict[Key, Verification]:
        """Return what came of each stored migration when it was verified last."""
        columns = [column.name for column in fields(Verification) if column.name != "key"]
        query = self._rows(MigrationVerification).values("app_label", "migration_name", *columns)
        try:
            rows = self._read(query)
        except Unreadable:
            # Nothing is known then, until they are verified again.
            return {}
        return {one.key: one for one in map(_noted, rows)}

    def note(self, found: Iterable[Verification]) -> None:
        """Keep what came of verifying, in the place of what was known before."""
        rows = [
            MigrationVerification(
                app_label=one.key[0],
                migration_name=one.key[1],
                verified_at=now(),
                problem=one.problem,
                next_step=one.next_step,
                differs=",".join(one.differs),
                signature=one.signature,
                file_digest=one.file_digest,
            )
            for one in found
        ]
        with transaction.atomic(using=self.connection.alias):
            for app_label in {row.app_label for row in rows}:
                names = [row.migration_name for row in rows if row.app_label == app_label]
                for batch in in_batches(names, 500):
                    old = self._rows(MigrationVerification).filter(app_label=app_label)
                    old.filter(migration_name__in=batch).delete()
            self._manager(MigrationVerification).bulk_create(rows, batch_size=100)


def _noted(row: dict[str, Any]) -> Verification:
    """Return what a row says; it is shown, and nobody has signed it."""
    texts = {name: as_text(value) for name, value in row.items() if name != "verified_at"}
    return Verification(
        key=(texts["app_label"], texts["migration_name"]),
        problem=printable(texts["problem"]),
        next_step=printable(texts["next_step"]),
        differs=tuple(printable_name(one) for one in texts["differs"].split(",") if one),
        signature=texts["signature"],
        file_digest=texts["file_digest"],
        verified_at=row["verified_at"],
    )
