"""What goes into the store and comes out of it, and what a stored row is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Protocol

from django.apps import apps

from .. import conf
from ..exceptions import NotRecoverable
from ..schema.graph import target_below
from ..utils.types import Key, label
from . import signing
from .description import Metadata, has_file
from .signing import Verdict


def payload(
    database: str,
    key: Key,
    *,
    module: str,
    metadata: str,
    source_digest: str,
    origin: str,
    serial: int = 0,
) -> list[str]:
    """Return what a signature covers, beginning with the identity of the database. The text is covered by its digest."""
    return ["2", database, *key, module, metadata, source_digest, origin, str(serial)]


class SourceReader(Protocol):
    """Reads stored sources and what is bundled with them; a `Store` does."""

    def texts(self, keys: Iterable[Key]) -> Mapping[Key, str]: ...

    def contents(self, digests: Iterable[str]) -> Mapping[str, bytes]: ...


@dataclass(frozen=True)
class NewSource:
    """A text on its way into the store."""

    key: Key
    module: str
    text: str
    metadata: Metadata
    origin: str
    # Of what is bundled with it, by digest.
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    # Known already when a text is filled in; else bound when it is recorded.
    record_id: int | None = None


@dataclass(frozen=True)
class StoredSummary:
    """Of a row of the store, what it takes to tell it from its file: read for all rows at once."""

    pk: int
    key: Key
    digest: str
    signature: str = field(repr=False)
    record_id: int | None
    origin: str


@dataclass(frozen=True)
class StoredRevision:
    """
    A revision that this process has signed, as it was signed: it stays in memory.

    What the row holds later may be something else.
    """

    # Of the text.
    digest: str
    serial: int
    # The row of django_migrations that it is bound to.
    record_id: int | None = None
    signature: str = field(default="", repr=False)
    key_fingerprint: str = field(default="", repr=False)
    # The identity of the database.
    signed_for: str = ""


@dataclass(frozen=True)
class StoredMigration:
    """A row of the store, without its text."""

    key: Key
    module: str
    metadata_text: str = field(repr=False)
    origin: str
    digest: str
    signature: str = field(repr=False)
    key_fingerprint: str
    record_id: int | None
    stored_at: datetime | None = None
    # What binds the signature to the record.
    binding: str = field(default="", repr=False)
    # The how manieth text stored for this migration it is, and the newest that is known of.
    serial: int = 0
    newest: int = 0
    # Its columns that hold something else than they are for.
    unreadable: tuple[str, ...] = ()
    # Whether its text was read and is not the one that `digest` is of.
    has_other_text: bool = False
    # The identity of the database that it says it was signed for, and of the one that it was read from;
    # empty where that is not known.
    signed_for: str = ""
    here: str = ""

    def with_text(self, text: str) -> StoredMigration:
        """Return the row as it is known once its text was read."""
        return replace(self, has_other_text=not self.is_its_text(text))

    @property
    def is_found_in_git(self) -> bool:
        """Whether its metadata say that the text came from Git, and not from a file."""
        try:
            return bool(self.metadata.commit)
        except ValueError:
            # It is never used.
            return False

    @property
    def verdict(self) -> Verdict:
        """
        What the row is worth. The text has to match `digest` as well: see `with_text`.

        Where signatures are not required, nobody asks who has signed.
        """
        is_signable = self.strict_verdict in signing.SIGNABLE
        return Verdict.VERIFIED if is_signable and not conf.requires_signatures() else self.strict_verdict

    @cached_property
    def strict_verdict(self) -> Verdict:
        """What the row is worth where signatures are required."""
        if self.unreadable:
            return Verdict.UNREADABLE
        if self.has_other_text:
            return Verdict.SIGNATURE_MISMATCH
        binding = None if self.record_id is None else (self._bound(self.record_id), self.binding)
        verdict = signing.verify(self.signed, self.signature, self.key_fingerprint, binding)
        if verdict is Verdict.VERIFIED and not self._is_for_here:
            verdict = Verdict.ANOTHER_DATABASE if self.here else Verdict.NO_IDENTITY
        if verdict in (Verdict.VERIFIED, *signing.SIGNABLE) and self.serial < self.newest:
            return Verdict.REPLAYED_REVISION
        return verdict

    @property
    def signed(self) -> list[str]:
        return payload(
            self.signed_for,
            self.key,
            module=self.module,
            metadata=self.metadata_text,
            source_digest=self.digest,
            origin=self.origin,
            serial=self.serial,
        )

    def is_its_text(self, text: str) -> bool:
        """Say whether a text that was read beside the row is the one that the row is about."""
        return signing.digest(text) == self.digest

    @property
    def revision(self) -> StoredRevision:
        """The row as it was read. Look at `verdict` first."""
        signed = (self.signature, self.key_fingerprint, self.signed_for)
        return StoredRevision(self.digest, self.serial, self.record_id, *signed)

    def is_bound_to(self, record_id: int | None) -> bool:
        """Say whether this is known to be the applied version for a row of django_migrations."""
        if record_id is None or self.record_id != record_id or not self._is_for_here:
            return False
        return self.strict_verdict not in (
            Verdict.SIGNATURE_MISMATCH,
            Verdict.UNREADABLE,
        ) or signing.verifies_binding(self._bound(record_id), self.binding)

    @property
    def _is_for_here(self) -> bool:
        return bool(self.here) and self.signed_for == self.here

    def _bound(self, record_id: int) -> list[str]:
        return _bound(self.signed_for, self.key, self.signature, record_id)

    @cached_property
    def metadata(self) -> Metadata:
        """
        The metadata as data.

        Raises:
            ValueError: they cannot be read, or nobody we know has signed them.
        """
        if self.verdict is not Verdict.VERIFIED:
            # Whatever they say, nothing is decided by it.
            raise ValueError(f"metadata are not used, for {self.verdict.value}")
        return self.claimed_metadata

    @cached_property
    def claimed_metadata(self) -> Metadata:
        """What the row says of itself, whoever wrote it: to be shown and to be looked at, and for nothing else."""
        return Metadata.from_text(self.metadata_text)


@dataclass(frozen=True)
class EarlierRevision:
    """What was stored of a migration until another text took its place."""

    pk: int
    stored: StoredMigration
    replaced_at: datetime


def binding_of(database: str, key: Key, signature: str, fingerprint: str, record_id: int | None) -> str:
    """Return what binds a row to its record; nothing where there is no record, or nothing is signed."""
    if record_id is None or not signature:
        return ""
    return signing.sign_binding(_bound(database, key, signature, record_id), fingerprint)


def _bound(database: str, key: Key, signature: str, record_id: int) -> list[str]:
    return ["2", database, *key, signature, str(record_id)]


def how_to_replace(key: Key) -> str:
    """Return the way out where what is stored was changed, and is never used."""
    command = f"manage.py backfill_migration_code {key[0]} {key[1]}"
    if has_file(key):
        return f"Have it replaced: '{command}' takes the file of {label(key)}."
    return (
        f"Have it replaced: '{command} --from-git' takes what git holds of {label(key)}. "
        "Where that are several versions, it need not be the one that was applied."
    )


def how_to_edit(key: Key, parents: Iterable[Key], *, has_file: bool) -> str:
    """Return the way out where what is stored cannot be executed as it is, or does not do what it has to."""
    app_label, name = key
    if app_label not in apps.app_configs:
        return f"Install the app '{app_label}' to have its migrations written to files, and edited."
    before = target_below(key, parents)
    written = (
        "edit its file"
        if has_file
        else f"run 'manage.py restore_migrations {app_label} {name}', edit the file that this writes"
    )
    return (
        f"To change what it does when it is unapplied, {written}, and run "
        f"'manage.py rewind {app_label} {before} --use-file {label(key)}'."
    )


def why_unusable(stored: StoredMigration) -> NotRecoverable | None:
    """Return what keeps a stored migration out of the graph, before its text is read."""
    key, verdict = stored.key, stored.verdict
    if verdict is Verdict.VERIFIED:
        try:
            stored.metadata  # noqa: B018 (parsed here)
        except ValueError as error:
            return NotRecoverable(key, f"its {error}.", how_to_replace(key))
        return None
    trust = f"look at it and agree: 'manage.py verify_migrations --sign {key[0]} {key[1]}'."
    if verdict is Verdict.NO_KEY:
        way_out = signing.problem_with_keys()
    elif verdict is Verdict.UNKNOWN_KEY:
        way_out = (
            "Add the key that signed it to DJANGO_REWIND_SIGNING_KEYS, bring back the file of "
            f"{label(key)}, or {trust}"
        )
    elif verdict in (Verdict.UNSIGNED, Verdict.ANOTHER_DATABASE, Verdict.NO_IDENTITY):
        way_out = f"Bring back the file of {label(key)}, or {trust}"
    else:
        way_out = how_to_replace(key)
    return NotRecoverable(key, f"{verdict.value}.", way_out)
