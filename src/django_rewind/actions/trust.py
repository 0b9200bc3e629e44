"""
Sign what a person trusts: stored sources that were signed elsewhere, or by nobody.

Nothing is executed. What was changed after it was signed is never trusted, whoever agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from ..exceptions import RewindError
from ..inventory.status import Status, statuses_of
from ..models import Event
from ..sources import signing
from ..sources.description import Metadata
from ..sources.signing import Verdict
from ..sources.static import described_anew
from ..sources.stored import StoredMigration, how_to_replace
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.facts import MissingBeforeInstall
from ..storage.identity import Identities
from ..storage.integrity import why_not_as_signed
from ..storage.store import Store, next_serial
from ..utils.matching import the_one
from ..utils.types import Key, label

_NOT_DESCRIBED = "what it depends on is not known, and it is not executed to find that out"


@dataclass(frozen=True)
class Doubt:
    """A stored migration that is not as one of our keys has signed it, and all that would be trusted with it."""

    status: Status
    text: str = field(repr=False)
    # What it carries along, by digest.
    contents: Mapping[str, bytes] = field(repr=False)
    # What is signed as its description: read out of the text, whatever the row says.
    metadata: Metadata | None = field(default=None, repr=False)
    # Why it can never be signed.
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.status.key

    @property
    def row(self) -> StoredMigration:
        assert self.status.stored is not None
        return self.status.stored

    @property
    def is_of_git(self) -> bool:
        """Whether a key of ours has signed it, and all that is missing is a person who agrees to what Git had."""
        return self.row.strict_verdict is Verdict.VERIFIED

    @property
    def record_id(self) -> int | None:
        """The record that it would count as proven for: the one that it names, if that is there."""
        return self.row.record_id if self.row.record_id == self.status.record_id else None

    @property
    def way_out(self) -> str:
        return how_to_replace(self.key)


class Trust:
    """What is stored in one database, of one app or one migration of it, and not signed with our first key."""

    def __init__(self, connection: Any, app_label: str | None = None, name: str | None = None) -> None:
        problem = signing.problem_with_keys()
        if problem:
            raise CommandError(problem)
        self.connection = connection
        # Whether it is the whole database that is looked at.
        self.is_whole = not app_label
        self.store = Store(connection)
        self.store.check_is_there()
        self.statuses = self._asked_for(app_label, name)
        texts = self.store.texts(status.key for status in self.statuses)
        contents = self.store.contents(
            member.digest for status in self.statuses for member in status.bundle.members
        )
        doubts = (_doubt(status, texts.get(status.key, ""), contents) for status in self.statuses)
        # Of what we have signed, the row verifies where a text was changed beside it.
        self.doubts = [
            doubt
            for doubt in doubts
            if doubt.reason or doubt.row.strict_verdict is not Verdict.VERIFIED or _lacks_consent(doubt.row)
        ]

    def _asked_for(self, app_label: str | None, name: str | None) -> list[Status]:
        found = [
            status
            for status in statuses_of(self.connection, [app_label] if app_label else None)
            if status.stored
        ]
        if app_label and not found:
            raise CommandError(f"No migration of an app '{app_label}' is stored.")
        if not (app_label and name):
            return found
        nothing = f"No migration '{name}' of an app '{app_label}' is stored."
        wanted = the_one((status.key for status in found), app_label, name, otherwise=nothing)
        return [status for status in found if status.key == wanted]

    @property
    def of_older_keys(self) -> list[StoredMigration]:
        """Return what verifies with a key of the list that is not the first."""
        doubtful = {doubt.key for doubt in self.doubts}
        rows = [status.stored for status in self.statuses if status.stored and status.key not in doubtful]
        return [row for row in rows if signing.sign(row.signed)[0] != row.signature]

    def sign(self, agreed: list[Doubt], renewed: Iterable[StoredMigration] = ()) -> bool:
        """
        Sign what a person has looked at, exactly as it was shown, and anew what is trusted already.

        What is noted of the database itself belongs to no migration: it is signed anew
        along with any of them, and where the whole database is looked at.

        Returns:
            Whether something is signed anew that is noted of the database itself.

        Raises:
            RewindError: it was changed in the meantime; nothing is signed.
        """
        entries = []
        with transaction.atomic(using=self.connection.alias):
            texts = self.store.texts(doubt.key for doubt in agreed)
            for doubt in agreed:
                if texts.get(doubt.key) != doubt.text:
                    raise changed_meanwhile(doubt.key)
                serial = next_serial(doubt.row.serial, doubt.row.newest)
                by_whom = f"it was signed with the key {doubt.row.key_fingerprint or 'of nobody'}"
                detail = "it was found in Git" if doubt.is_of_git else by_whom
                entries.append(self._sign(doubt.row, serial, doubt.record_id, detail, doubt.metadata))
            for row in renewed:
                again = f"signed again, with the first key after {row.key_fingerprint}"
                entries.append(self._sign(row, row.serial, row.record_id, again))
            is_renewed = (self.is_whole or bool(entries)) and self._renew_the_rest()
            audit_log = AuditLog(self.connection)
            if entries and audit_log.is_there():
                audit_log.note(entries)
        return is_renewed

    def _renew_the_rest(self) -> bool:
        """Sign anew what an older key has signed beside the migrations, and return whether there was any."""
        renewed = [Identities(self.connection).renew(), MissingBeforeInstall(self.connection).renew()]
        return any(renewed)

    def _sign(
        self,
        row: StoredMigration,
        serial: int,
        record_id: int | None,
        detail: str,
        metadata: Metadata | None = None,
    ) -> AuditEntry:
        described = metadata.as_text() if metadata else None
        if not self.store.sign(row, serial=serial, record_id=record_id, metadata=described):
            raise changed_meanwhile(row.key)
        return AuditEntry(
            Event.SIGNED, row.key, record_id=record_id, digest=row.digest, serial=serial, detail=detail
        )


def _lacks_consent(row: StoredMigration) -> bool:
    return row.is_found_in_git and not row.metadata.agreed


def _doubt(status: Status, text: str, contents: Mapping[str, bytes]) -> Doubt:
    """Return what there is to trust, and why a person can never agree to it."""
    assert status.stored is not None
    verdict: Verdict = status.stored.strict_verdict
    if verdict not in (Verdict.VERIFIED, *signing.SIGNABLE):
        reason = str(verdict.value)
    elif not status.stored.digest:
        reason = _NOT_DESCRIBED
    else:
        reason = why_not_as_signed(status.stored, text, contents)
    if reason:
        return Doubt(status, text, contents, reason=reason)
    try:
        metadata = described_anew(text, status.stored.claimed_metadata)
    except ValueError as error:
        return Doubt(status, text, contents, reason=str(error))
    # From then on it says that a person has agreed to what Git had.
    return Doubt(status, text, contents, replace(metadata, agreed=bool(metadata.commit)))


def changed_meanwhile(key: Key) -> RewindError:
    """Return the error about a row that is another one than what was looked at."""
    return RewindError(
        f"What is stored of {label(key)} has changed while it was looked at.", "Look at it again."
    )
