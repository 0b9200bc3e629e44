"""The stored migrations of one database: a `Store` belongs to one connection."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import Max, Model, Q, QuerySet
from django.utils.timezone import now

from ..models import Event, MigrationCode, MigrationCodeHistory, MigrationEvent, Origin, StoredContent
from ..sources import signing
from ..sources.description import Metadata
from ..sources.signing import Verdict
from ..sources.stored import (
    EarlierRevision,
    NewSource,
    StoredMigration,
    StoredRevision,
    StoredSummary,
    binding_of,
    payload,
    why_unusable,
)
from ..utils.types import Key
from .audit_log import AuditEntry, AuditLog
from .facts import StoredFacts
from .records import newest_record
from .tables import Unreadable, as_number, as_text, in_batches

__all__ = ["LAST_SERIAL", "Store", "as_stored", "next_serial"]


class Store(StoredFacts):
    """What one database knows of the sources of its migrations."""

    @property
    def is_allowed(self) -> bool:
        """Whether the routers let our table exist on this alias."""
        return bool(router.allow_migrate_model(self.connection.alias, MigrationCode))

    @property
    def is_complete(self) -> bool:
        """Whether all of our tables are there, with all of their columns."""
        return all(map(self._has_columns, MigrationCode._meta.app_config.get_models()))

    def _has_columns(self, model: type[Model]) -> bool:
        if not self.exists(model):
            return False
        quoted = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            # In one statement: Django's introspection takes two, and stumbles over what is added in between.
            cursor.execute(f"SELECT * FROM {quoted(model._meta.db_table)} WHERE 1 = 0")  # noqa: S608 (a name of ours)
            found = {column[0] for column in cursor.description}
        return {field.column for field in model._meta.local_fields} <= found

    def all(self) -> QuerySet[MigrationCode]:
        """Return the rows themselves, to be shown."""
        rows: QuerySet[MigrationCode] = self._rows(MigrationCode)
        return rows

    def shown(self, rows: QuerySet[MigrationCode]) -> list[MigrationCode]:
        """Read rows that are to be shown; where a time is out of range, they come without it."""
        try:
            return self._read(rows)
        except Unreadable:
            return self._read(rows.defer("source_code", "stored_at"))

    def summaries(self) -> list[StoredSummary]:
        """Return of each stored migration what little it takes to tell it from its file."""
        columns = ("pk", "app_label", "migration_name", "digest", "signature", "record_id", "provenance")
        rows = self._rows(MigrationCode).order_by("app_label", "migration_name").values_list(*columns)
        return [
            StoredSummary(
                pk=pk,
                key=(as_text(app_label), as_text(name)),
                digest=as_text(digest),
                signature=as_text(signature),
                record_id=as_number(record_id),
                origin=as_text(origin),
            )
            for pk, app_label, name, digest, signature, record_id, origin in self._read(rows)
        ]

    def squashes(self) -> dict[Key, StoredMigration]:
        """Return the stored migrations that may replace others, without the texts."""
        return self._some(~Q(metadata__contains='"replaces": []'))

    def of_apps(self, app_labels: Iterable[str]) -> dict[Key, StoredMigration]:
        """Return what is stored of some apps, without the texts."""
        found: dict[Key, StoredMigration] = {}
        for batch in in_batches(sorted(set(app_labels)), 500):
            found.update(self._some(Q(app_label__in=batch)))
        return found

    def mentioning(self, name: str) -> dict[Key, StoredMigration]:
        """Return the stored migrations in whose metadata a name occurs, without the texts."""
        return self._some(Q(metadata__contains=json.dumps(name)))

    def _some(self, condition: Q) -> dict[Key, StoredMigration]:
        columns = ("app_label", "migration_name", *_TEXT_COLUMNS)
        rows = self._read(self._rows(MigrationCode).filter(condition).values(*columns))
        return {row.key: row for row in map(_stored, rows)}

    def exists(self, model: type[Model] = MigrationCode) -> bool:
        return super().exists(model)

    def rows(self) -> dict[Key, StoredMigration]:
        """Return everything but the texts, each with the newest serial number that is known of it."""
        rows = self._as_they_are()
        newest = self.newest_serials() if rows else {}
        return {key: replace(row, newest=newest.get(key, 0)) for key, row in rows.items()}

    def _as_they_are(self) -> dict[Key, StoredMigration]:
        """Return everything but the texts; whether it is the newest is not looked at."""
        columns = ("app_label", "migration_name", *_TEXT_COLUMNS)
        query = self._rows(MigrationCode)
        try:
            rows = self._read(query.values(*columns, "stored_at"))
        except Unreadable:
            # A time out of range; it is only shown, and must not keep the rest from being read.
            rows = self._read(query.values(*columns))
        return {row.key: row for row in map(_stored, rows)}

    def newest_serials(self) -> dict[Key, int]:
        """
        Return the newest serial number that history or ledger know of each migration.

        Where both were emptied, nothing is known, and nothing is refused for it.
        """
        newest: dict[Key, int] = {}
        for rows in (
            self._rows(MigrationCodeHistory),
            self._rows(MigrationEvent).filter(event__in=_STORING),
        ):
            of_ours = rows.filter(serial__gt=0, serial__lte=LAST_SERIAL)
            grouped = of_ours.values_list("app_label", "migration_name").annotate(Max("serial"))
            for app_label, name, serial in self._read(grouped):
                newest[app_label, name] = max(serial, newest.get((app_label, name), 0))
        return newest

    def texts(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the texts of some stored migrations."""
        wanted = set(keys)
        columns = ("app_label", "migration_name", "source_code")
        found: dict[Key, str] = {}
        for batch in in_batches(sorted(wanted), 250):
            # Pairs would be one condition each; and of names alone every app has the same.
            apps, names = map(set, zip(*batch))
            rows = self._rows(MigrationCode).filter(app_label__in=apps, migration_name__in=names)
            texts = self._read(rows.values_list(*columns))
            found.update({(a, n): as_text(text) for a, n, text in texts if (a, n) in wanted})
        return found

    def contents(self, digests: Iterable[str]) -> dict[str, bytes]:
        """
        Return what is stored under these digests; it may be something else by now.

        Whoever uses it compares it with its digest.
        """
        found: dict[str, bytes] = {}
        for batch in in_batches(sorted(set(digests)), 500):
            rows = self._rows(StoredContent).filter(digest__in=batch).values_list("digest", "content")
            found.update({digest: _as_bytes(content) for digest, content in self._read(rows)})
        return found

    def put(
        self, entries: Iterable[NewSource], *, replacing: Collection[Key] = ()
    ) -> dict[Key, StoredRevision]:
        """
        Store texts, and what goes with them, in one go.

        What another text replaces moves into the history; the same text keeps its date.
        What is new or changed gets the next serial number.

        Args:
            replacing: what is not to be believed, and is replaced and kept as history
                whatever it looks like.

        Returns:
            what is stored now of each.
        """
        entries = list(entries)
        stored = self._as_they_are()
        same = {one.key: one.text for one in entries if _is_same(stored.get(one.key), one)}
        replacing = {*replacing, *self._changed_by_hand(same)}
        others = [one for one in entries if one.key in replacing or one.key not in same]
        wanted = {digest: content for entry in entries for digest, content in entry.contents.items()}
        contents = self._without_stored(wanted)
        newest = self.newest_serials() if others else {}
        fresh = {
            one.key: _row(one, _serial(one, stored.get(one.key), newest.get(one.key, 0), replacing))
            for one in others
        }
        if fresh or contents:
            with transaction.atomic(using=self.connection.alias):
                self._write_contents(contents)
                self._write(fresh, stored, replacing)
                self._hold(wanted)
        return {one.key: _kept(fresh.get(one.key) or stored[one.key]) for one in entries}

    def _write(
        self,
        fresh: Mapping[Key, MigrationCode],
        stored: Mapping[Key, StoredMigration],
        replacing: Collection[Key],
    ) -> None:
        changed = {key: row for key, row in fresh.items() if key in stored}
        self._keep_as_history(
            {key for key, row in changed.items() if key in replacing or _would_do_other(stored[key], row)}
        )
        for key, row in changed.items():
            values = {column: getattr(row, column) for column in _TEXT_COLUMNS}
            if stored[key].digest != row.digest:
                values["stored_at"] = now()
            self._row_of(key).update(**values, source_code=row.source_code)
        # Another process may be storing the same at this moment.
        new = [row for key, row in fresh.items() if key not in stored]
        self._manager(MigrationCode).bulk_create(new, batch_size=100, ignore_conflicts=True)
        self._note(list(fresh.values()))

    def _note(self, rows: list[MigrationCode]) -> None:
        """Have the ledger say what was stored, and why."""
        ledger = AuditLog(self.connection)
        happenings = [_happening(row) for row in rows if row.provenance in _STORED_AS]
        if happenings and ledger.is_kept():
            ledger.note(happenings)

    def _hold(self, contents: Mapping[str, bytes]) -> None:
        """
        Keep contents that were there already from being discarded until this is committed.

        What was discarded a moment ago is put back.
        """
        there: set[str] = set()
        for batch in in_batches(sorted(contents), 500):
            rows = self._rows(StoredContent).filter(digest__in=batch).order_by("digest")
            if self.connection.features.has_select_for_update:
                rows = rows.select_for_update()
            there.update(rows.values_list("digest", flat=True))
        gone = [StoredContent(digest=one, content=contents[one]) for one in contents if one not in there]
        self._write_contents(gone)

    def _row_of(self, key: Key) -> Any:
        return self._rows(MigrationCode).filter(app_label=key[0], migration_name=key[1])

    def _changed_by_hand(self, same: Mapping[Key, str]) -> set[Key]:
        """Return those of which all is as it would be stored but for the text itself."""
        there = self.texts(same) if same else {}
        return {key for key, text in same.items() if there.get(key) != text}

    def _write_contents(self, contents: list[StoredContent]) -> None:
        """Write contents, also in the place of what is not what it was stored as any more."""
        for digests in in_batches([one.digest for one in contents], 500):
            self._rows(StoredContent).filter(digest__in=digests).delete()
        for batch in _in_packets(contents):
            self._manager(StoredContent).bulk_create(batch, ignore_conflicts=True)

    def sign(self, row: StoredMigration, *, serial: int, record_id: int | None) -> bool:
        """
        Sign a row with our first key, as it was read.

        Returns:
            whether it was still what was read; else nothing is signed.
        """
        signed = replace(row, serial=serial, record_id=record_id)
        signature, fingerprint = signing.sign(signed.signed)
        as_it_was_read = self._row_of(row.key).filter(
            **{column: getattr(row, name) for column, name in _AS_READ.items()}
        )
        updated = as_it_was_read.update(
            signature=signature,
            key_fingerprint=fingerprint,
            serial=serial,
            record_id=record_id,
            proof=binding_of(row.key, signature, fingerprint, record_id),
        )
        return bool(updated == 1)

    def earlier(self, app_label: str) -> list[EarlierRevision]:
        """Return what was stored of the migrations of an app before, the oldest first, without the texts."""
        columns = ("pk", "app_label", "migration_name", "stored_at", "replaced_at", *_TEXT_COLUMNS)
        rows = self._rows(MigrationCodeHistory).filter(app_label=app_label).order_by("replaced_at", "pk")
        return [
            EarlierRevision(row["pk"], _stored(row), row["replaced_at"])
            for row in self._read(rows.values(*columns))
        ]

    def earlier_text(self, pk: int) -> str:
        """Return the text of an earlier one."""
        text: str = self._rows(MigrationCodeHistory).values_list("source_code", flat=True).get(pk=pk)
        return text

    def retire(self, key: Key) -> None:
        """Move what is stored for a migration into the history."""
        self._keep_as_history({key})
        self._row_of(key).delete()

    def redirect(self, moved: Mapping[Key, Key]) -> None:
        """Have what was stored depending on moved migrations depend on them under their new names."""
        for row in self.rows().values():
            if why_unusable(row) is not None:
                continue
            metadata = row.metadata.with_other_names(moved)
            if metadata == row.metadata:
                continue
            text = metadata.as_text()
            self._row_of(row.key).update(metadata=text)
            if row.strict_verdict is Verdict.VERIFIED:
                # Nothing is signed in passing that we had not signed.
                serial = next_serial(row.serial, row.newest)
                self.sign(replace(row, metadata_text=text), serial=serial, record_id=row.record_id)

    def bind(self, key: Key) -> StoredRevision | None:
        """
        Note that what is stored is what the newest record of this migration stands for.

        Returns:
            what was proven; None where nothing is stored.
        """
        table = self.connection.ops.quote_name(MigrationCode._meta.db_table)
        where = "WHERE app_label = %s AND migration_name = %s"
        if self.backend.in_current_schema:
            where += f" AND {table}.{self.backend.in_current_schema}"
        # In plain SQL, once for each migration: to put the query together takes longer than to run it.
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT signature, key_fingerprint, digest, serial, {newest_record(self.connection)} "  # noqa: S608 (names of tables)
                f"FROM {table} {where}",
                [*key, *key],
            )
            found = cursor.fetchone()
            if found is None:
                return None
            signature, fingerprint, digest, serial, record_id = found
            proof = binding_of(key, signature, fingerprint, record_id)
            cursor.execute(
                f"UPDATE {table} SET record_id = %s, proof = %s {where} "  # noqa: S608 (the same)
                "AND signature = %s",
                [record_id, proof, *key, signature],
            )
        return StoredRevision(digest=digest, serial=serial, record_id=record_id)

    def _without_stored(self, contents: Mapping[str, bytes]) -> list[StoredContent]:
        """Return what is not there as it has to be."""
        there = self.contents(contents)
        return [
            StoredContent(digest=digest, content=content)
            for digest, content in contents.items()
            if there.get(digest) != content
        ]

    def _keep_as_history(self, keys: set[Key]) -> None:
        if not keys:
            return
        names = {name for _, name in keys}
        columns = [*_TEXT_COLUMNS, "app_label", "migration_name", "source_code", "stored_at"]
        rows = self._read(self._rows(MigrationCode).filter(migration_name__in=names).values(*columns))
        self._manager(MigrationCodeHistory).bulk_create(
            [_as_history(row) for row in rows if (row["app_label"], row["migration_name"]) in keys],
            batch_size=100,
        )


_TEXT_COLUMNS = (
    "module",
    "metadata",
    "provenance",
    "digest",
    "signature",
    "key_fingerprint",
    "record_id",
    "proof",
    "serial",
)

# What has to be as it was read for a row to be signed: the column, and the attribute.
_AS_READ = {
    "module": "module",
    "metadata": "metadata_text",
    "provenance": "origin",
    "digest": "digest",
    "signature": "signature",
    "key_fingerprint": "key_fingerprint",
    "serial": "serial",
    "record_id": "record_id",
}

# When something is stored, or was to the end; what fails or is refused may be rolled back.
_STORING = (
    Event.CAPTURED,
    Event.BACKFILLED,
    Event.APPLIED,
    Event.MARKED_APPLIED,
    Event.RENAMED,
    Event.ACCEPTED,
    Event.SIGNED,
    Event.DISCARDED,
)

# As much as the column holds in every database.
LAST_SERIAL = 2**31 - 1


def next_serial(*serials: int) -> int:
    """Return the serial number that comes after these; what is none of ours does not count."""
    return min(max((one for one in serials if 0 <= one <= LAST_SERIAL), default=0) + 1, LAST_SERIAL)


# What was adopted is no news of the store: its record has moved as well, and its name.
_STORED_AS = {
    Origin.CAPTURED: (Event.CAPTURED, ""),
    Origin.BACKFILLED: (Event.BACKFILLED, "from its file"),
    Origin.GIT: (Event.BACKFILLED, "found in git"),
    Origin.INHERITED: (Event.BACKFILLED, "what version 0.1.0 stored is described from its file"),
    Origin.ACCEPTED: (Event.ACCEPTED, ""),
}


def _happening(row: MigrationCode) -> AuditEntry:
    event, detail = _STORED_AS[Origin(row.provenance)]
    key = (row.app_label, row.migration_name)
    return AuditEntry(event, key, row.record_id, digest=row.digest, serial=row.serial, detail=detail)


def as_stored(row: MigrationCode, *, newest: int = 0) -> StoredMigration:
    """Return a row that was read to be shown as what it is worth can be asked of."""
    return replace(_stored(vars(row)), newest=newest)


def _stored(row: dict[str, Any]) -> StoredMigration:
    return StoredMigration(
        key=(as_text(row["app_label"]), as_text(row["migration_name"])),
        module=as_text(row["module"]),
        metadata_text=as_text(row["metadata"]),
        origin=as_text(row["provenance"]),
        digest=as_text(row["digest"]),
        signature=as_text(row["signature"]),
        key_fingerprint=as_text(row["key_fingerprint"]),
        record_id=as_number(row["record_id"]),
        stored_at=row.get("stored_at"),
        binding=as_text(row["proof"]),
        serial=as_number(row["serial"]) or 0,
    )


def _as_history(row: dict[str, Any]) -> MigrationCodeHistory:
    """Return a row as it is kept once another text takes its place, whatever SQLite was given by others."""
    numbers = {"record_id": as_number(row["record_id"]), "serial": as_number(row["serial"]) or 0}
    times = {"stored_at": row["stored_at"] if isinstance(row["stored_at"], datetime) else now()}
    others = {name: as_text(value) for name, value in row.items() if name not in {*numbers, *times}}
    # Bytes that are no text cannot be written as one.
    texts = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in others.items()}
    return MigrationCodeHistory(**texts, **numbers, **times)


def _as_bytes(content: Any) -> bytes:
    # Where it is something else, SQLite was given it by somebody: no digest matches.
    return bytes(content) if isinstance(content, (bytes, memoryview)) else b""


def _row(entry: NewSource, serial: int) -> MigrationCode:
    metadata = entry.metadata.as_text()
    source_digest = signing.digest(entry.text)
    signature, fingerprint = signing.sign(
        payload(
            entry.key,
            module=entry.module,
            metadata=metadata,
            source_digest=source_digest,
            origin=entry.origin,
            serial=serial,
        )
    )
    return MigrationCode(
        app_label=entry.key[0],
        migration_name=entry.key[1],
        source_code=entry.text,
        module=entry.module,
        metadata=metadata,
        provenance=entry.origin,
        digest=source_digest,
        signature=signature,
        key_fingerprint=fingerprint,
        record_id=entry.record_id,
        proof=binding_of(entry.key, signature, fingerprint, entry.record_id),
        serial=serial,
    )


def _kept(row: MigrationCode | StoredMigration) -> StoredRevision:
    return StoredRevision(digest=row.digest, serial=row.serial, record_id=row.record_id)


# Databases limit what one statement may hold: MariaDB by default to 16 MiB.
_PACKET = 2 * 1024 * 1024


def _in_packets(contents: list[StoredContent]) -> Iterator[list[StoredContent]]:
    packet: list[StoredContent] = []
    for one in contents:
        if packet and sum(len(other.content) for other in packet) + len(one.content) > _PACKET:
            yield packet
            packet = []
        packet.append(one)
    if packet:
        yield packet


def _would_do_other(stored: StoredMigration, row: MigrationCode) -> bool:
    """Say whether text or what goes with it has changed; versions at the time do not count."""
    if stored.digest != row.digest:
        return True
    try:
        return stored.metadata.bundle.members != Metadata.from_text(row.metadata).bundle.members
    except ValueError:
        return True


def _is_same(stored: StoredMigration | None, entry: NewSource) -> bool:
    """Say whether the very same is stored, signed with the first key."""
    if stored is None:
        return False
    # The signature covers text, metadata, module and provenance.
    row = _row(entry, stored.serial)
    is_signed = (stored.signature, stored.digest) == (row.signature, row.digest)
    is_proven = (stored.record_id, stored.binding) == (row.record_id, row.proof)
    return is_signed and (row.record_id is None or is_proven)


def _serial(entry: NewSource, stored: StoredMigration | None, newest: int, replacing: Collection[Key]) -> int:
    """Return the next serial number, or the same where only the key is another."""
    if stored is None:
        return next_serial(newest)
    row = _row(entry, stored.serial)
    is_the_same = (
        stored.module,
        stored.metadata_text,
        stored.origin,
        stored.digest,
        stored.record_id,
    ) == (
        row.module,
        row.metadata,
        row.provenance,
        row.digest,
        row.record_id,
    )
    is_ours = replace(stored, newest=newest).strict_verdict is Verdict.VERIFIED
    if is_the_same and is_ours and entry.key not in replacing:
        return stored.serial
    return next_serial(stored.serial, newest)
