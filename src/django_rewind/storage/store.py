"""The stored migrations of one database: a `Store` belongs to one connection."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from django.db import DatabaseError, DataError, IntegrityError, router, transaction
from django.db.models import Max, Model, Q, QuerySet
from django.utils.timezone import now

from ..backends.fields import read_out
from ..exceptions import NotInitialized
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
from .audit_log import AUDITED, AuditEntry, AuditLog
from .facts import StoredFacts
from .records import newest_record
from .tables import LONGEST, UNREADABLE, in_batches


class Put(NamedTuple):
    """What came of storing several sources: the revisions, and what the database refused, with its error."""

    stored: dict[Key, StoredRevision]
    refused: list[tuple[NewSource, Exception]]


class Store(StoredFacts):
    """What one database knows of the sources of its migrations."""

    @property
    def is_allowed(self) -> bool:
        """Whether the routers let the table exist on this alias."""
        return bool(router.allow_migrate_model(self.connection.alias, MigrationCode))

    def check_is_there(self) -> None:
        """Raise NotInitialized where the database has no table for the sources."""
        if not self.exists():
            raise NotInitialized(self.connection.alias)

    @property
    def is_complete(self) -> bool:
        """Whether all tables of django-rewind are there, with all of their columns."""
        return all(map(self.is_complete_for, MigrationCode._meta.app_config.get_models()))

    @property
    def is_usable(self) -> bool:
        """Whether the routers let the tables exist here, and they are complete, whatever the records say."""
        return self.is_allowed and self.is_complete

    def has(self, columns: Iterable[tuple[str, Iterable[str]]]) -> bool:
        """Return whether our tables have columns, which are given by the names of models."""
        models = {model._meta.model_name: model for model in MigrationCode._meta.app_config.get_models()}
        return all(name in models and {*names} <= self._columns(models[name]) for name, names in columns)

    def drop(self) -> None:
        """Drop those of the tables of django-rewind that are there."""
        models = [model for model in MigrationCode._meta.app_config.get_models() if self.exists(model)]
        with self.connection.schema_editor() as editor:
            for model in models:
                editor.delete_model(model)

    def all(self) -> QuerySet[MigrationCode]:
        """Return the rows themselves, to be shown."""
        rows: QuerySet[MigrationCode] = self._rows(MigrationCode)
        return rows

    def shown(self, rows: QuerySet[MigrationCode]) -> list[MigrationCode]:
        """Read rows that are to be shown, without their texts; whatever they hold, each is shown."""
        # In their order, as Django makes objects of them.
        fields = [field.attname for field in MigrationCode._meta.concrete_fields]
        columns = [name for name in fields if name != "source_code"]
        found = []
        for row in self._values(rows, *columns, "octets"):
            made = MigrationCode.from_db(self.connection.alias, columns, [row[name] for name in columns])
            vars(made).update(octets=row["octets"], unreadable=row[UNREADABLE])
            found.append(made)
        return found

    def summaries(self) -> list[StoredSummary]:
        """Return of each stored migration what little it takes to tell it from its file."""
        rows = self._rows(MigrationCode).order_by("app_label", "migration_name")
        columns = ("pk", "app_label", "migration_name", "digest", "signature", "record_id", "provenance")
        return [
            StoredSummary(
                pk=row["pk"],
                key=(row["app_label"], row["migration_name"]),
                digest=row["digest"],
                signature=row["signature"],
                record_id=row["record_id"],
                origin=row["provenance"],
            )
            for row in self._values(rows, *columns)
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
        rows = self._values(self._rows(MigrationCode).filter(condition), *_COLUMNS)
        return {row.key: row for row in map(self._stored, rows)}

    def exists(self, model: type[Model] = MigrationCode) -> bool:
        return super().exists(model)

    def rows(self) -> dict[Key, StoredMigration]:
        """Return everything but the texts, each with the newest serial number that is known of it."""
        rows = self._as_they_are()
        newest = self.newest_serials({key: row.serial for key, row in rows.items()}) if rows else {}
        return {key: replace(row, newest=newest.get(key, 0)) for key, row in rows.items()}

    def _as_they_are(self) -> dict[Key, StoredMigration]:
        """Return everything but the texts; whether it is the newest is not looked at."""
        rows = self._values(self._rows(MigrationCode), *_COLUMNS, "stored_at")
        return {row.key: row for row in map(self._stored, rows)}

    def newest_serials(self, above: Mapping[Key, int] | None = None) -> dict[Key, int]:
        """
        Return the newest serial number that history or audit log know of each migration.

        A number counts where what it is written beside was signed for this database. Where both
        were emptied, nothing is known, and nothing is refused for it.

        Args:
            above: numbers by migration, of which only greater ones matter.
        """
        newest = dict(above or {})
        audit_log = AuditLog(self.connection, self.identity)
        events = self._rows(MigrationEvent).filter(event__in=_STORING)
        for rows, columns, verifies in (
            (self._rows(MigrationCodeHistory), _COLUMNS, self._verifies_revision),
            (events, AUDITED, audit_log.verifies_columns),
        ):
            claimed = self._claimed_above(rows, newest)
            for batch in in_batches(claimed, 250):
                apps, names = map(set, zip(*batch))
                of_batch = rows.filter(app_label__in=apps, migration_name__in=names)
                found = of_batch.filter(serial__gt=0, serial__lte=LAST_SERIAL).order_by("-serial")
                # The greatest first: nearly always it is the one that counts.
                for row in self._values(found, *columns):
                    key = (row["app_label"], row["migration_name"])
                    if (row["serial"] or 0) > newest.get(key, 0) and verifies(row):
                        newest[key] = row["serial"]
        return newest

    def _claimed_above(self, rows: QuerySet[Any], newest: Mapping[Key, int]) -> list[Key]:
        """Return the migrations of which a row claims a greater number, whoever has written it."""
        valid = rows.filter(serial__gt=0, serial__lte=LAST_SERIAL)
        grouped = valid.values_list("app_label", "migration_name").annotate(Max("serial"))
        return [
            (app_label, name)
            for app_label, name, serial in self._read(grouped)
            if serial > newest.get((app_label, name), 0)
        ]

    def _verifies_revision(self, row: dict[str, Any]) -> bool:
        return self._stored(row).verdict is Verdict.VERIFIED

    def as_stored(self, row: MigrationCode, *, newest: int = 0) -> StoredMigration:
        """Return a row that was read to be shown as one whose verdict can be asked."""
        return replace(self._stored(vars(row)), newest=newest)

    def _stored(self, row: dict[str, Any]) -> StoredMigration:
        return _stored(row, self.identity.value)

    def texts(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the texts of some stored migrations, but for those that are longer than any is stored."""
        wanted = set(keys)
        found: dict[Key, str] = {}
        for batch in in_batches(sorted(wanted), 250):
            # Pairs would be one condition each; and of names alone every app has the same.
            apps, names = map(set, zip(*batch))
            rows = self._rows(MigrationCode).filter(app_label__in=apps, migration_name__in=names)
            for row in self._values(rows, "app_label", "migration_name", "source_code"):
                if row["source_code"] or "source_code" not in row[UNREADABLE]:
                    found[row["app_label"], row["migration_name"]] = row["source_code"]
        return {key: text for key, text in found.items() if key in wanted}

    def unsigned_texts(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the texts of those of some stored migrations that are not signed for this database."""
        elsewhere = Q(signature="") | ~Q(signed_for=self.identity.value)
        unsigned = self._values(self._rows(MigrationCode).filter(elsewhere), "app_label", "migration_name")
        return self.texts({(row["app_label"], row["migration_name"]) for row in unsigned} & {*keys})

    def contents(self, digests: Iterable[str], *, longest: int | None = None) -> dict[str, bytes]:
        """
        Return what is stored under these digests; it may be something else by now.

        Whoever uses it compares it with its digest.

        Args:
            longest: in bytes; what is longer is not read, and comes empty.
        """
        found: dict[str, bytes] = {}
        for batch in in_batches(sorted(set(digests)), 500):
            rows = self._rows(StoredContent).filter(digest__in=batch)
            for row in self._values(rows, "digest", "content", longest=longest):
                found[row["digest"]] = bytes(row["content"] or b"")
        return found

    def put(
        self, sources: Iterable[NewSource], *, replacing: Collection[Key] = ()
    ) -> dict[Key, StoredRevision]:
        """
        Store texts, and what goes with them, in one go.

        What another text replaces moves into the history; the same text keeps its date.
        What is new or changed gets the next serial number.

        Args:
            replacing: what is not to be believed, and is replaced and kept as history
                whatever it looks like.

        Returns:
            the revision that is stored now of each.
        """
        by_key = {source.key: source for source in sources}
        for source in by_key.values():
            _check_size(source.text)
        stored, database = self._as_they_are(), self.identify()
        same = {key for key, source in by_key.items() if _is_same(stored.get(key), source, database)}
        texts = self.texts(same) if same else {}
        # Of some all is as it would be stored but for the text itself, which somebody has changed.
        replacing = {*replacing, *(key for key in same if texts.get(key) != by_key[key].text)}
        others = {key: source for key, source in by_key.items() if key in replacing or key not in same}
        newest = self.newest_serials() if others else {}
        fresh = {
            key: _row(
                source, _serial(source, stored.get(key), newest.get(key, 0), replacing, database), database
            )
            for key, source in others.items()
        }
        wanted = {
            digest: content for source in by_key.values() for digest, content in source.contents.items()
        }
        present = self.contents(wanted)
        contents = [digest for digest, content in wanted.items() if present.get(digest) != content]
        if fresh or contents:
            with self.backend.refusing_what_does_not_fit(), transaction.atomic(using=self.connection.alias):
                self._write_contents({digest: wanted[digest] for digest in contents})
                self._write(fresh, stored, replacing)
                self._hold(wanted)
        return {key: _revision(fresh[key]) if key in fresh else stored[key].revision for key in by_key}

    def put_each(self, sources: Sequence[NewSource], *, replacing: Collection[Key] = ()) -> Put:
        """Store as `put` does, but for what the database refuses."""
        try:
            return Put(self.put(sources, replacing=replacing), [])
        except (DatabaseError, UnicodeError, ValueError) as error:
            middle = len(sources) // 2
            is_of_one = isinstance(error, ValueError) or self.backend.is_about_data(error)
            if not (middle and is_of_one):
                return Put({}, [(source, error) for source in sources])
        # One takes all others along: where it is, is found by halves.
        first, second = (
            self.put_each(half, replacing=replacing) for half in (sources[:middle], sources[middle:])
        )
        return Put({**first.stored, **second.stored}, [*first.refused, *second.refused])

    def _write(
        self,
        fresh: Mapping[Key, MigrationCode],
        stored: Mapping[Key, StoredMigration],
        replacing: Collection[Key],
    ) -> None:
        changed = {key: row for key, row in fresh.items() if key in stored}
        self._keep_as_history(
            {key for key, row in changed.items() if key in replacing or _acts_differently(stored[key], row)}
        )
        for key, row in changed.items():
            values = {column: getattr(row, column) for column in _TEXT_COLUMNS}
            if stored[key].digest != row.digest:
                values["stored_at"] = now()
            self._row_of(key).update(**values, source_code=row.source_code)
        # Another process may be storing the same at this moment.
        new = [row for key, row in fresh.items() if key not in stored]
        self._insert(new)
        audit_log = AuditLog(self.connection, self.identity)
        entries = [_entry(row) for row in fresh.values() if row.provenance in _STORED_AS]
        if entries and audit_log.is_kept():
            audit_log.note(entries)

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
        self._write_contents({digest: contents[digest] for digest in contents if digest not in there})

    def _row_of(self, key: Key) -> Any:
        rows = self._rows(MigrationCode).filter(app_label=key[0], migration_name=key[1])
        found = rows.values_list("pk", "app_label", "migration_name")
        # A collation may take another name for the same.
        return self._rows(MigrationCode).filter(pk__in=[pk for pk, *name in found if tuple(name) == key])

    def _write_contents(self, contents: Mapping[str, bytes]) -> None:
        """Write contents, also in the place of what is not what it was stored as any more."""
        for digests in in_batches(list(contents), 500):
            self._rows(StoredContent).filter(digest__in=digests).delete()
        self._insert([StoredContent(digest=digest, content=content) for digest, content in contents.items()])

    def _insert(self, rows: Sequence[Model]) -> None:
        """
        Insert rows, but for those that another process has inserted at this moment.

        Not with `ignore_conflicts`: to MySQL that is `INSERT IGNORE`, which alters what does not fit.
        """
        for packet in _in_packets(rows, self.backend.longest_statement() if rows else None):
            manager = self._manager(type(packet[0]))
            try:
                with transaction.atomic(using=self.connection.alias):
                    manager.bulk_create(packet)
            except IntegrityError:
                if len(packet) == 1 and not self._is_there(packet[0]):
                    raise
                for row in packet if len(packet) > 1 else []:
                    self._insert([row])

    def _is_there(self, row: Model) -> bool:
        unique: dict[type[Model], list[str]] = {
            StoredContent: ["digest"],
            MigrationCode: ["app_label", "migration_name"],
        }
        names = unique.get(type(row), [])
        wanted = tuple(getattr(row, name) for name in names)
        present = (
            self._rows(type(row)).filter(**dict(zip(names, wanted))).values_list(*names) if names else []
        )
        return wanted in set(present)

    def sign(
        self, row: StoredMigration, *, serial: int, record_id: int | None, metadata: str | None = None
    ) -> bool:
        """
        Sign a row for this database with the first key if it is still as it was read; return whether it was.

        Args:
            metadata: what is signed and stored in the place of what the row says of itself.
        """
        metadata = row.metadata_text if metadata is None else metadata
        database = self.identify()
        signed = replace(row, serial=serial, record_id=record_id, metadata_text=metadata, signed_for=database)
        signature, fingerprint = signing.sign(signed.signed)
        as_it_was_read = self._row_of(row.key).filter(
            **{column: getattr(row, name) for column, name in _AS_READ.items()}
        )
        updated = as_it_was_read.update(
            metadata=metadata,
            signature=signature,
            key_fingerprint=fingerprint,
            serial=serial,
            record_id=record_id,
            signed_for=database,
            proof=binding_of(database, row.key, signature, fingerprint, record_id),
        )
        return bool(updated == 1)

    def earlier(self, app_label: str) -> list[EarlierRevision]:
        """Return what was stored of the migrations of an app before, the oldest first, without the texts."""
        rows = self._rows(MigrationCodeHistory).filter(app_label=app_label).order_by("replaced_at", "pk")
        return [
            EarlierRevision(row["pk"], self._stored(row), row["replaced_at"])
            for row in self._values(rows, "pk", "stored_at", "replaced_at", *_COLUMNS)
        ]

    def earlier_text(self, pk: int) -> str:
        """Return the text of an earlier one."""
        rows = self._values(self._rows(MigrationCodeHistory).filter(pk=pk), "source_code")
        return str(rows[0]["source_code"]) if rows else ""

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

    def bind(self, key: Key, signed: StoredRevision) -> StoredRevision | None:
        """
        Bind what this process has signed of a migration to the newest record of that.

        Args:
            signed: as it was signed here. What the row holds by now is never taken for it.

        Returns:
            the same with its record; None where the row is another one by now, or gone.
        """
        table = self.connection.ops.quote_name(MigrationCode._meta.db_table)
        fields: Iterable[Any] = map(MigrationCode._meta.get_field, ("app_label", "migration_name"))
        names = [field.get_db_prep_value(name, self.connection) for field, name in zip(fields, key)]
        where = "WHERE app_label = %s AND migration_name = %s"
        if self.backend.in_current_schema:
            where += f" AND {table}.{self.backend.in_current_schema}"
        # In plain SQL, once for each migration: to put the query together takes longer than to run it.
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT app_label, migration_name, id, {newest_record(self.connection)} FROM {table} {where}",  # noqa: S608 (names of tables)
                [*key, *names],
            )
            # A collation may take another name for the same.
            rows = [row for row in cursor.fetchall() if tuple(map(read_out, row[:2])) == key]
            if not rows:
                return None
            pk, record_id = rows[0][2:]
            binding = binding_of(signed.signed_for, key, signed.signature, signed.key_fingerprint, record_id)
            cursor.execute(
                f"UPDATE {table} SET record_id = %s, proof = %s WHERE id = %s AND signature = %s AND digest = %s",  # noqa: S608
                [record_id, binding, pk, signed.signature, signed.digest],
            )
            is_bound = cursor.rowcount == 1
        return replace(signed, record_id=record_id) if is_bound else None

    def _keep_as_history(self, keys: set[Key]) -> None:
        if not keys:
            return
        names = {name for _, name in keys}
        query = self._rows(MigrationCode).filter(migration_name__in=names)
        rows = self._values(query, *_COLUMNS, "source_code", "stored_at")
        self._insert([_as_history(row) for row in rows if (row["app_label"], row["migration_name"]) in keys])


# What has to be as it was read for a row to be signed: the column, and the attribute.
_AS_READ = {
    **{
        name: name
        for name in ("module", "digest", "signature", "key_fingerprint", "serial", "record_id", "signed_for")
    },
    "metadata": "metadata_text",
    "provenance": "origin",
}
_TEXT_COLUMNS = (*_AS_READ, "proof")
_COLUMNS = ("app_label", "migration_name", *_TEXT_COLUMNS)

# When something is stored, or was to the end; what fails or is refused may be rolled back.
_STORING = (
    *(Event.CAPTURED, Event.BACKFILLED, Event.APPLIED, Event.MARKED_APPLIED),
    *(Event.RENAMED, Event.ACCEPTED, Event.SIGNED, Event.DISCARDED),
)

# As much as the column holds in every database.
LAST_SERIAL = 2**31 - 1


# Numbers that nobody has signed count up to here: so much room is left above them that none is the last.
_LAST_CLAIMED = 2**30


def next_serial(claimed: int, newest: int = 0) -> int:
    """
    Return the serial number that comes after both.

    Args:
        claimed: what a row says of itself, which somebody may have written to use up all numbers.
        newest: what is known from what was signed.
    """
    numbers = [newest, claimed if 0 <= claimed <= _LAST_CLAIMED else 0]
    return min(max(numbers) + 1, LAST_SERIAL)


# What was adopted is no news of the store: its record has moved as well, and its name.
_STORED_AS = {
    Origin.CAPTURED: (Event.CAPTURED, ""),
    Origin.BACKFILLED: (Event.BACKFILLED, "from its file"),
    Origin.GIT: (Event.BACKFILLED, "found in git"),
    Origin.ACCEPTED: (Event.ACCEPTED, ""),
}


def _entry(row: MigrationCode) -> AuditEntry:
    event, detail = _STORED_AS[Origin(row.provenance)]
    key = (row.app_label, row.migration_name)
    return AuditEntry(event, key, row.record_id, digest=row.digest, serial=row.serial, detail=detail)


def _stored(row: dict[str, Any], here: str) -> StoredMigration:
    return StoredMigration(
        key=(row["app_label"], row["migration_name"]),
        module=row["module"],
        metadata_text=row["metadata"],
        origin=row["provenance"],
        digest=row["digest"],
        signature=row["signature"],
        key_fingerprint=row["key_fingerprint"],
        record_id=row["record_id"],
        stored_at=row.get("stored_at"),
        binding=row["proof"],
        serial=row["serial"] or 0,
        signed_for=row["signed_for"],
        here=here,
        # A time is only shown, and must not keep the rest from being used.
        unreadable=tuple(name for name in row[UNREADABLE] if name not in ("stored_at", "replaced_at")),
    )


def _as_history(row: dict[str, Any]) -> MigrationCodeHistory:
    numbers = {"record_id": row["record_id"], "serial": row["serial"] or 0}
    times = {"stored_at": row["stored_at"] or now()}
    others = {name: value for name, value in row.items() if name not in {*numbers, *times, UNREADABLE}}
    # Bytes that are no text cannot be written as one.
    texts = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in others.items()}
    return MigrationCodeHistory(**texts, **numbers, **times)


def _check_size(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LONGEST:
        raise ValueError(f"it takes {size:,} bytes, and a source is stored up to {LONGEST:,}")


def _row(entry: NewSource, serial: int, database: str) -> MigrationCode:
    """Return the row of a text, signed where it is known for which database."""
    metadata = entry.metadata.as_text()
    source_digest = signing.digest(entry.text)
    signed = payload(
        database,
        entry.key,
        module=entry.module,
        metadata=metadata,
        source_digest=source_digest,
        origin=entry.origin,
        serial=serial,
    )
    signature, fingerprint = signing.sign(signed) if database else ("", "")
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
        proof=binding_of(database, entry.key, signature, fingerprint, entry.record_id),
        serial=serial,
        signed_for=database,
    )


def _revision(row: MigrationCode) -> StoredRevision:
    signed = (row.signature, row.key_fingerprint, row.signed_for)
    return StoredRevision(row.digest, row.serial, row.record_id, *signed)


# As much as goes well in one statement.
_PACKET = 2 * 1024 * 1024
_ROWS = 100
# What a statement has beside its values.
_AROUND = 4096


def _in_packets(rows: Iterable[Model], longest: int | None) -> Iterator[list[Model]]:
    """Return rows in lists that fit into statements of this length; a DataError says that one does not."""
    packet: list[Model] = []
    size = 0
    for row in rows:
        length = _length(row)
        if longest is not None and length + _AROUND > longest:
            # The server would close the connection.
            raise DataError(f"it takes {length:,} bytes, and the server's max_allowed_packet is {longest:,}")
        if packet and (size + length > min(_PACKET, (longest or _PACKET) - _AROUND) or len(packet) == _ROWS):
            yield packet
            packet, size = [], 0
        packet.append(row)
        size += length
    if packet:
        yield packet


def _length(row: Model) -> int:
    """Return how many bytes the values of a row take in a statement, in which some are escaped."""
    values = (getattr(row, field.attname) for field in row._meta.concrete_fields)
    contents = [_as_content(value) for value in values if isinstance(value, (str, bytes))]
    return sum(len(content) + sum(map(content.count, _ESCAPED)) for content in contents)


_ESCAPED = (b"\0", b"\n", b"\r", b"\\", b"'", b'"', b"\x1a")


def _as_content(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _acts_differently(stored: StoredMigration, row: MigrationCode) -> bool:
    """Return whether text or bundle has changed; versions at the time do not count."""
    if stored.digest != row.digest:
        return True
    try:
        return stored.claimed_metadata.bundle.members != Metadata.from_text(row.metadata).bundle.members
    except ValueError:
        return True


def _is_same(stored: StoredMigration | None, entry: NewSource, database: str) -> bool:
    """Return whether the very same is stored, signed with the first key."""
    if stored is None or stored.unreadable:
        return False
    # The signature covers text, metadata, module and origin.
    row = _row(entry, stored.serial, database)
    is_signed = (stored.signature, stored.digest) == (row.signature, row.digest)
    is_bound = (stored.record_id, stored.binding) == (row.record_id, row.proof)
    return is_signed and (row.record_id is None or is_bound)


def _serial(
    entry: NewSource,
    stored: StoredMigration | None,
    newest: int,
    replacing: Collection[Key],
    database: str,
) -> int:
    """Return the next serial number, or the same where only the key is another."""
    if stored is None:
        return next_serial(0, newest)
    row = _row(entry, stored.serial, database)
    is_same = all(
        getattr(stored, name) == getattr(row, column)
        for column, name in _AS_READ.items()
        if column not in ("signature", "key_fingerprint")
    )
    is_verified = replace(stored, newest=newest).strict_verdict is Verdict.VERIFIED
    if is_same and is_verified and entry.key not in replacing:
        return stored.serial
    return next_serial(stored.serial, newest)
