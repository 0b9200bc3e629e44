"""What goes into the store and comes out of it, and what a stored row is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from .. import conf
from ..exceptions import NotRecoverable
from ..utils.types import Key, label
from . import signing
from .description import Metadata, payload
from .signing import Verdict


@dataclass(frozen=True)
class NewSource:
    """A text on its way into the store."""

    key: Key
    module: str
    text: str
    metadata: Metadata
    provenance: str
    # What the metadata says that it carries along, by digest.
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    # Known already when a text is filled in; else proven when it is recorded.
    record_id: int | None = None


@dataclass(frozen=True)
class StoredSummary:
    """Of a row of the store, what it takes to tell it from its file: read for all rows at once."""

    pk: int
    key: Key
    digest: str
    signature: str = field(repr=False)
    record_id: int | None
    provenance: str


@dataclass(frozen=True)
class StoredRevision:
    """What the store holds of a migration by now, as the ledger notes it."""

    # Of the text.
    digest: str
    serial: int
    # The row of django_migrations that it is proven for.
    record_id: int | None = None


@dataclass(frozen=True)
class StoredMigration:
    """A row of the store, without its text."""

    key: Key
    module: str
    metadata_text: str = field(repr=False)
    provenance: str
    digest: str
    signature: str = field(repr=False)
    key_fingerprint: str
    record_id: int | None
    stored_at: datetime | None = None
    # What ties the signature to the record.
    proof: str = field(default="", repr=False)
    # The how manieth text stored for this migration it is, and the newest that is known of.
    serial: int = 0
    newest: int = 0
    # Whether its text was read and is not the one that `digest` is of.
    has_other_text: bool = False

    def with_text(self, text: str) -> StoredMigration:
        """Return the row as it is known once its text was read."""
        return replace(self, has_other_text=signing.digest(text) != self.digest)

    @property
    def verdict(self) -> Verdict:
        """
        What the row is worth. The text has to match `digest` as well: see `with_text`.

        Where signatures are not required, nobody asks who has signed.
        """
        unknown = self.strict_verdict in _OF_NOBODY_KNOWN
        return Verdict.VERIFIED if unknown and not conf.requires_signatures() else self.strict_verdict

    @cached_property
    def strict_verdict(self) -> Verdict:
        """What the row is worth where signatures are required."""
        if self.has_other_text:
            return Verdict.SIGNATURE_MISMATCH
        verdict = signing.verify(self.signed, self.signature, self.key_fingerprint)
        if verdict is Verdict.VERIFIED and self.record_id is not None and not self._is_tied_to_its_record:
            return Verdict.SIGNATURE_MISMATCH
        if verdict in (Verdict.VERIFIED, *_OF_NOBODY_KNOWN) and self.serial < self.newest:
            return Verdict.REPLAYED_REVISION
        return verdict

    @property
    def signed(self) -> list[str]:
        """What the signature covers."""
        return payload(
            self.key,
            module=self.module,
            metadata=self.metadata_text,
            source_digest=self.digest,
            provenance=self.provenance,
            serial=self.serial,
        )

    def is_bound_to(self, record_id: int | None) -> bool:
        """Say whether this is known to be what ran for a row of django_migrations."""
        if record_id is None or self.record_id != record_id:
            return False
        return self._is_tied_to_its_record or self.strict_verdict not in (
            Verdict.VERIFIED,
            Verdict.SIGNATURE_MISMATCH,
        )

    @cached_property
    def _is_tied_to_its_record(self) -> bool:
        assert self.record_id is not None
        return signing.proves(_tie(self.key, self.signature, self.record_id), self.proof)

    @cached_property
    def metadata(self) -> Metadata:
        """
        The metadata as data. Look at `verdict` first.

        Raises:
            ValueError: when it cannot be read.
        """
        return Metadata.from_text(self.metadata_text)


@dataclass(frozen=True)
class EarlierRevision:
    """What was stored of a migration until another text took its place."""

    pk: int
    stored: StoredMigration
    replaced_at: datetime


# Of these nobody knows who has signed them; what changed something is another matter.
_OF_NOBODY_KNOWN = (Verdict.UNKNOWN_KEY, Verdict.UNSIGNED)


def binding_of(key: Key, signature: str, fingerprint: str, record_id: int | None) -> str:
    """
    Return the proof that a row is what ran for a record; nothing where there is no record.

    Raises:
        ImproperlyConfigured: there is no key.
    """
    return "" if record_id is None else signing.prove(_tie(key, signature, record_id), fingerprint)


def _tie(key: Key, signature: str, record_id: int) -> list[str]:
    return ["1", *key, signature, str(record_id)]


def how_to_replace(key: Key) -> str:
    """Return the way out where what is stored was changed, and is never used."""
    command = f"manage.py backfill_migration_code {key[0]}"
    return (
        f"Have it replaced: '{command}' takes the file of {label(key)}, and "
        f"'{command} --from-git' finds it in git where it is gone."
    )


def _how_to_trust(key: Key) -> str:
    return f"look at it and agree: 'manage.py verify_migrations --sign {key[0]} {key[1]}'."


def why_unusable(stored: StoredMigration) -> NotRecoverable | None:
    """
    Return what keeps a stored migration out of the graph, before its text is read.
    """
    if stored.verdict is not Verdict.VERIFIED:
        return NotRecoverable(stored.key, stored.verdict.value + ".", _way_out(stored))
    try:
        stored.metadata  # noqa: B018 (parsed here)
    except ValueError as error:
        return NotRecoverable(stored.key, f"its {error}.", how_to_replace(stored.key))
    return None


def _way_out(stored: StoredMigration) -> str:
    if stored.verdict is Verdict.NO_KEY:
        return signing.problem_with_keys()
    if stored.verdict is Verdict.UNKNOWN_KEY:
        return (
            "Add the key that signed it to DJANGO_REWIND_SIGNING_KEYS, bring back the file of "
            f"{label(stored.key)}, or {_how_to_trust(stored.key)}"
        )
    if stored.verdict is Verdict.UNSIGNED:
        return f"Bring back the file of {label(stored.key)}, or {_how_to_trust(stored.key)}"
    return how_to_replace(stored.key)
