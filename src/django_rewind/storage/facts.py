"""What is known of migrations for good, or from the last time that somebody looked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple, Optional

from django.db import DatabaseError, transaction
from django.db.models import BooleanField, Case, Q, Subquery, Value, When
from django.utils.timezone import now

from .. import conf
from ..models import (
    NOT_DESCRIBED,
    BaselineMigration,
    DatabaseIdentity,
    MigrationCode,
    MigrationVerification,
    Origin,
)
from ..sources import signing
from ..sources.identity import Identity
from ..utils.printable import printable, printable_name
from ..utils.types import Applied, Key
from .identity import IdentifiedTables
from .records import is_bound
from .tables import Unreadable, as_text, in_batches


class StoredFact(NamedTuple):
    """What tells whether a stored migration has to be stored again."""

    # The row of django_migrations that it is bound to.
    record_id: Optional[int]  # noqa: UP045 (Python 3.9 reads it)
    # Whether its file knows more: it is not signed for this database, or nothing is known but the text
    # that version 0.1.0 stored.
    awaits_file: bool


# Looked for by the database, which need not send the metadata then.
_AWAITS_FILE = Case(
    When(
        Q(signature="") | Q(provenance=Origin.INHERITED, metadata__contains=NOT_DESCRIBED), then=Value(True)
    ),
    default=Value(False),
    output_field=BooleanField(),
)


# The columns of the identity, by the names that they have beside those of a stored migration.
_IDENTITY = {"here": "identity", "here_signature": "signature", "here_fingerprint": "key_fingerprint"}


class StoredFacts(IdentifiedTables):
    """What is stored, in short: one query at the end of every `migrate`."""

    def known(self) -> dict[Key, StoredFact]:
        rows = self._rows(MigrationCode).annotate(awaits_file=_AWAITS_FILE)
        columns = ("app_label", "migration_name", "record_id", "awaits_file", "signed_for", "key_fingerprint")
        ours = signing.fingerprints()
        try:
            # In the same query.
            asked = self._values(rows.annotate(**self._identity_of(ours)), *columns, *_IDENTITY)
        except DatabaseError:
            if self.exists(DatabaseIdentity):
                raise
            asked = self._values(rows, *columns)
        here = self._here(asked) if any(row["key_fingerprint"] in ours for row in asked) else ""
        return {
            (row["app_label"], row["migration_name"]): StoredFact(
                row["record_id"],
                bool(row["awaits_file"]) or (row["key_fingerprint"] in ours and row["signed_for"] != here),
            )
            for row in asked
        }

    def _identity_of(self, fingerprints: Collection[str]) -> dict[str, Subquery]:
        signed = self._rows(DatabaseIdentity).filter(key_fingerprint__in=fingerprints).order_by("pk")
        return {name: Subquery(signed.values(column)[:1]) for name, column in _IDENTITY.items()}

    def _here(self, asked: list[dict[str, Any]]) -> str:
        """Return the identity of this database, by what was asked for with each row if that can be."""
        found = [as_text(asked[0].get(name)) for name in _IDENTITY]
        return Identity.judged(*found).value or self.identity.value


def unstored_among(known: Mapping[Key, StoredFact], applied: Applied) -> list[Key]:
    """Return by name what is applied and not stored, or stored and not bound to its record."""
    excluded = conf.excluded_apps()
    return sorted(
        key
        for key, record_id in applied.items()
        if key[0] not in excluded and not (key in known and is_bound(known[key].record_id, record_id))
    )


class MissingBeforeInstall(IdentifiedTables):
    """The migrations that had no file already when django-rewind was installed, or were acknowledged later."""

    def records(self) -> Applied:
        columns = ("app_label", "migration_name", "record_id")
        rows = self._read(self._rows(BaselineMigration).values_list(*columns))
        return {(app_label, name): record_id for app_label, name, record_id in rows}

    def acknowledged(self) -> set[Key]:
        rows = self._rows(BaselineMigration).filter(forgotten_at__isnull=False)
        return set(self._read(rows.values_list("app_label", "migration_name")))

    def acknowledge(self, key: Key, record_id: int) -> None:
        """Note that somebody accepts a migration as missing for good."""
        values = {"record_id": record_id, "forgotten_at": now()}
        manager = self._manager(BaselineMigration)
        manager.update_or_create(app_label=key[0], migration_name=key[1], defaults=values)


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


class Verifications(IdentifiedTables):
    """What came of verifying each stored migration last time."""

    def newest(self) -> dict[Key, Verification]:
        columns = [column.name for column in fields(Verification) if column.name != "key"]
        query = self._rows(MigrationVerification)
        try:
            rows = self._values(query, "app_label", "migration_name", *columns)
        except Unreadable:
            # Nothing is known then, until they are verified again.
            return {}
        return {verification.key: verification for verification in map(_noted, rows)}

    def note(self, verifications: Iterable[Verification]) -> None:
        rows = [
            MigrationVerification(
                app_label=verification.key[0],
                migration_name=verification.key[1],
                verified_at=now(),
                problem=verification.problem,
                next_step=verification.next_step,
                differs=",".join(verification.differs),
                signature=verification.signature,
                file_digest=verification.file_digest,
            )
            for verification in verifications
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
    return Verification(
        key=(row["app_label"], row["migration_name"]),
        problem=printable(row["problem"]),
        next_step=printable(row["next_step"]),
        differs=tuple(printable_name(name) for name in row["differs"].split(",") if name),
        signature=row["signature"],
        file_digest=row["file_digest"],
        verified_at=row["verified_at"],
    )
