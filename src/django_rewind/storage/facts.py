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
from ..conf import MEBIBYTE
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
from .tables import UNREADABLE, as_text, in_batches


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
        """Return the ids of their records, as far as that was signed for this database."""
        return {_key(row): row["record_id"] for row in self._all() if self._verifies(row)}

    def acknowledged(self) -> set[Key]:
        """Return those that somebody has acknowledged here."""
        return {_key(row) for row in self._all() if row["forgotten_at"] is not None and self._verifies(row)}

    def unsigned(self) -> list[Key]:
        """Return those of which a row says it, and nobody whom we know. They do not count."""
        return sorted(_key(row) for row in self._all() if not self._verifies(row))

    def acknowledge(self, key: Key, record_id: int) -> None:
        """Note that somebody accepts a migration as missing for good, signed by this process."""
        signature = self.signature(key, record_id, is_acknowledged=True)
        values = {"record_id": record_id, "forgotten_at": now(), "signature": signature}
        manager = self._manager(BaselineMigration)
        manager.update_or_create(app_label=key[0], migration_name=key[1], defaults=values)

    def signature(self, key: Key, record_id: int, *, is_acknowledged: bool = False) -> str:
        return self.sign_fact(*self._signed(key, record_id, is_acknowledged=is_acknowledged))

    def renew(self) -> bool:
        """Sign anew, with the first key, what an older one has signed: nothing new is trusted. Return whether any was."""
        is_renewed = False
        if not conf.requires_signatures():
            return is_renewed
        for row in filter(self._verifies, self._all()):
            same = self._rows(BaselineMigration).filter(pk=row["pk"], signature=row["signature"])
            is_acknowledged = row["forgotten_at"] is not None
            signature = self.signature(_key(row), row["record_id"], is_acknowledged=is_acknowledged)
            if signature != row["signature"]:
                is_renewed |= same.update(signature=signature) > 0
        return is_renewed

    def _all(self) -> list[dict[str, Any]]:
        columns = ("pk", "app_label", "migration_name", "record_id", "forgotten_at", "signature")
        return self._values(self._rows(BaselineMigration), *columns)

    def _verifies(self, row: Mapping[str, Any]) -> bool:
        signed = self._signed(_key(row), row["record_id"], is_acknowledged=row["forgotten_at"] is not None)
        return self.verifies_fact(row["signature"], *signed)

    @staticmethod
    def _signed(key: Key, record_id: int | None, *, is_acknowledged: bool) -> list[Any]:
        return ["missing before install", *key, record_id, is_acknowledged]


def _key(row: Mapping[str, Any]) -> Key:
    return (row["app_label"], row["migration_name"])


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
        """Return what was found out here; what nobody whom we know has signed is not known."""
        columns = [column.name for column in fields(Verification) if column.name != "key"]
        rows = self._values(
            *(self._rows(MigrationVerification), "app_label", "migration_name", "result_signature"),
            *columns,
            longest=MEBIBYTE,
        )
        # Of others nothing is known, until they are verified again.
        readable = (row for row in rows if not row[UNREADABLE])
        signed = (row for row in readable if self.verifies_fact(row["result_signature"], *_found_out(row)))
        return {verification.key: verification for verification in map(_noted, signed)}

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
        for row in rows:
            row.result_signature = self.sign_fact(*_found_out(vars(row)))
        with transaction.atomic(using=self.connection.alias):
            for app_label in {row.app_label for row in rows}:
                names = [row.migration_name for row in rows if row.app_label == app_label]
                for batch in in_batches(names, 500):
                    old = self._rows(MigrationVerification).filter(app_label=app_label)
                    old.filter(migration_name__in=batch).delete()
            self._manager(MigrationVerification).bulk_create(rows, batch_size=100)


def _found_out(row: Mapping[str, Any]) -> list[Any]:
    """Return what a signature of a verification covers."""
    names = ("problem", "next_step", "differs", "signature", "file_digest")
    return ["verification", *_key(row), *(row[name] for name in names)]


def _noted(row: dict[str, Any]) -> Verification:
    """Return what a row says, to be shown."""
    return Verification(
        key=(row["app_label"], row["migration_name"]),
        problem=printable(row["problem"]),
        next_step=printable(row["next_step"]),
        differs=tuple(printable_name(name) for name in row["differs"].split(",") if name),
        signature=row["signature"],
        file_digest=row["file_digest"],
        verified_at=row["verified_at"],
    )
