"""The only place that touches our tables. A `Store` belongs to one connection."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import BooleanField, Case, Model, Q, QuerySet, Value, When
from django.utils.timezone import now

from . import signing
from .exceptions import NotRecoverable
from .models import (
    BaselineMigration,
    MigrationCode,
    MigrationCodeHistory,
    MigrationVerification,
    Provenance,
    StoredContent,
)
from .signing import Verdict
from .source import NOT_DESCRIBED, Metadata, payload
from .types import Applied, Key, label

__all__ = [
    "APP_LABEL",
    "Entry",
    "Store",
    "StoredMigration",
    "Verification",
    "all_of_ours",
    "keep_stored_row",
    "why_unusable",
]

APP_LABEL = "django_rewind"

_IN_CURRENT_SCHEMA = (
    "tableoid IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema())"
)
_EXISTS_IN_CURRENT_SCHEMA = (
    "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = current_schema() AND c.relname = %s"
)


@dataclass(frozen=True)
class Entry:
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


@dataclass(frozen=True)
class Known:
    """What has to be known of a stored migration to see whether it has to be stored again."""

    # The row of django_migrations that it is proven for.
    record_id: int | None
    # Whether more is known than the text that version 0.1.0 stored.
    is_described: bool


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

    @cached_property
    def verdict(self) -> Verdict:
        """What the signature is worth. The text has to match `digest` as well."""
        signed = payload(
            self.key,
            module=self.module,
            metadata=self.metadata_text,
            source_digest=self.digest,
            provenance=self.provenance,
        )
        return signing.verify(signed, self.signature, self.key_fingerprint)

    @cached_property
    def metadata(self) -> Metadata:
        """
        The metadata as data. Look at `verdict` first.

        Raises:
            ValueError: when it cannot be read.
        """
        return Metadata.from_text(self.metadata_text)


class Store:
    """
    What one database knows of the sources of its migrations.

    Nothing is cached: within PostgreSQL a connection may look at another schema
    the next moment, and each schema has a store of its own.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    @property
    def is_allowed(self) -> bool:
        """Whether the routers let our table exist on this alias."""
        return bool(router.allow_migrate_model(self.connection.alias, MigrationCode))

    def all(self) -> QuerySet[MigrationCode]:
        """Return the rows themselves, to be shown."""
        rows: QuerySet[MigrationCode] = self._rows(MigrationCode)
        return rows

    def exists(self, model: type[Model] = MigrationCode) -> bool:
        """Look for a table of ours, on PostgreSQL in the current schema alone."""
        table = model._meta.db_table
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "postgresql":
                cursor.execute(_EXISTS_IN_CURRENT_SCHEMA, [table])
                return cursor.fetchone() is not None
            return table in self.connection.introspection.table_names(cursor)

    def known(self) -> dict[Key, Known]:
        """Return what is known of each stored migration in short, in one query."""
        columns = ("app_label", "migration_name", "record_id", "is_described")
        rows = self._rows(MigrationCode).annotate(is_described=_IS_DESCRIBED).values_list(*columns)
        return {
            (app_label, name): Known(record_id=record_id, is_described=bool(is_described))
            for app_label, name, record_id, is_described in self._read(rows)
        }

    def rows(self) -> dict[Key, StoredMigration]:
        """Return everything but the texts."""
        columns = ("app_label", "migration_name", "stored_at", *_TEXT_COLUMNS)
        rows = self._read(self._rows(MigrationCode).values(*columns))
        return {row.key: row for row in map(_stored, rows)}

    def texts(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the texts of some stored migrations."""
        wanted = set(keys)
        columns = ("app_label", "migration_name", "source_code")
        names = sorted({name for _, name in wanted})
        # The names alone go to the database: pairs would be one condition each.
        found: dict[Key, str] = {}
        for batch in _in_batches(names, 500):
            rows = self._rows(MigrationCode).filter(migration_name__in=batch).values_list(*columns)
            found.update({(a, n): text for a, n, text in self._read(rows) if (a, n) in wanted})
        return found

    def contents(self, digests: Iterable[str]) -> dict[str, bytes]:
        """
        Return what is stored under these digests; it may be something else by now.

        Whoever uses it compares it with its digest.
        """
        found: dict[str, bytes] = {}
        for batch in _in_batches(sorted(set(digests)), 500):
            rows = self._rows(StoredContent).filter(digest__in=batch).values_list("digest", "content")
            found.update({digest: bytes(content) for digest, content in self._read(rows)})
        return found

    def baseline(self) -> Applied:
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

    def verifications(self) -> dict[Key, Verification]:
        """Return what came of each stored migration when it was verified last."""
        columns = [column.name for column in fields(Verification) if column.name != "key"]
        rows = self._read(self._rows(MigrationVerification).values("app_label", "migration_name", *columns))
        found = (
            Verification(
                key=(row.pop("app_label"), row.pop("migration_name")),
                **{**row, "differs": tuple(filter(None, row["differs"].split(",")))},
            )
            for row in rows
        )
        return {one.key: one for one in found}

    def note_verifications(self, found: Iterable[Verification]) -> None:
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
                for batch in _in_batches(names, 500):
                    old = self._rows(MigrationVerification).filter(app_label=app_label)
                    old.filter(migration_name__in=batch).delete()
            self._manager(MigrationVerification).bulk_create(rows, batch_size=100)

    def put(self, entries: Iterable[Entry]) -> None:
        """
        Store texts, and what goes with them, in one go.

        What another text replaces moves into the history; the same text keeps its date.
        """
        entries = list(entries)
        stored = self.rows()
        fresh = {entry.key: _row(entry) for entry in entries}
        new = [row for key, row in fresh.items() if key not in stored]
        changed = {key: row for key, row in fresh.items() if key in stored and not _is_same(stored[key], row)}
        contents = self._without_stored(
            {digest: content for entry in entries for digest, content in entry.contents.items()}
        )
        if not new and not changed and not contents:
            return
        with transaction.atomic(using=self.connection.alias):
            for batch in _in_packets(contents):
                self._manager(StoredContent).bulk_create(batch, ignore_conflicts=True)
            self._keep_as_history({key for key in changed if _would_do_other(stored[key], fresh[key])})
            for (app_label, name), row in changed.items():
                values = {column: getattr(row, column) for column in _TEXT_COLUMNS}
                if stored[app_label, name].digest != row.digest:
                    values["stored_at"] = now()
                self._rows(MigrationCode).filter(app_label=app_label, migration_name=name).update(
                    **values, source_code=row.source_code
                )
            # Another process may be storing the same at this moment.
            self._manager(MigrationCode).bulk_create(new, batch_size=100, ignore_conflicts=True)

    def retire(self, key: Key) -> None:
        """Move what is stored for a migration into the history."""
        self._keep_as_history({key})
        self._rows(MigrationCode).filter(app_label=key[0], migration_name=key[1]).delete()

    def redirect(self, moved: Mapping[Key, Key]) -> None:
        """Have what was stored depending on moved migrations depend on them under their new names."""
        for row in self.rows().values():
            if row.verdict is not Verdict.VERIFIED:
                continue
            metadata = row.metadata.with_other_names(moved)
            if metadata == row.metadata:
                continue
            text = metadata.as_text()
            signature, fingerprint = signing.sign(
                payload(
                    row.key,
                    module=row.module,
                    metadata=text,
                    source_digest=row.digest,
                    provenance=row.provenance,
                )
            )
            self._rows(MigrationCode).filter(app_label=row.key[0], migration_name=row.key[1]).update(
                metadata=text, signature=signature, key_fingerprint=fingerprint
            )

    def prove(self, key: Key) -> None:
        """Note that what is stored is what the newest record of this migration stands for."""
        quote = self.connection.ops.quote_name
        records, code = (model._meta.db_table for model in (MigrationRecorder.Migration, MigrationCode))
        # In plain SQL, once for each migration: to put the query together takes longer than to run it.
        statement = (
            f"UPDATE {quote(code)} SET record_id = "  # noqa: S608 (names of tables)
            f"(SELECT MAX(id) FROM {quote(records)} WHERE app = %s AND name = %s) "
            "WHERE app_label = %s AND migration_name = %s"
        )
        if self.connection.vendor == "postgresql":
            statement += f" AND {quote(code)}.{_IN_CURRENT_SCHEMA}"
        with self.connection.cursor() as cursor:
            cursor.execute(statement, [*key, *key])

    def _without_stored(self, contents: Mapping[str, bytes]) -> list[StoredContent]:
        if not contents:
            return []
        known: set[str] = set()
        for batch in _in_batches(sorted(contents), 500):
            rows = self._rows(StoredContent).filter(digest__in=batch).values_list("digest", flat=True)
            known.update(self._read(rows))
        return [StoredContent(digest=one, content=contents[one]) for one in contents if one not in known]

    def _keep_as_history(self, keys: set[Key]) -> None:
        if not keys:
            return
        names = {name for _, name in keys}
        columns = [*_TEXT_COLUMNS, "app_label", "migration_name", "source_code", "stored_at"]
        rows = self._rows(MigrationCode).filter(migration_name__in=names).values(*columns)
        self._manager(MigrationCodeHistory).bulk_create(
            [
                MigrationCodeHistory(**row)
                for row in rows
                if (row["app_label"], row["migration_name"]) in keys
            ],
            batch_size=100,
        )

    def _manager(self, model: type[Model]) -> Any:
        return model._default_manager.using(self.connection.alias)

    def _rows(self, model: type[Model]) -> Any:
        """Return the rows of a table of ours, never those of another schema."""
        rows = model.objects.using(self.connection.alias).order_by()  # type: ignore[attr-defined]
        if self.connection.vendor == "postgresql":
            # A tenant's search_path goes on to the public schema, whose table is not ours.
            rows = rows.extra(where=[_IN_CURRENT_SCHEMA])  # noqa: S610 (a constant)
        return rows

    def _read(self, query: QuerySet[Any, Any]) -> list[Any]:
        """
        Run a query on a table of ours, and answer nothing where there is no table.

        That our migrations are recorded does not mean that the table is there:
        they may have been faked, or the table dropped by hand.
        """
        aborts = self.connection.vendor == "postgresql" and self.connection.in_atomic_block
        if aborts and not self.exists(query.model):
            # A failing query would take the surrounding transaction with it.
            return []
        try:
            return list(query)
        except DatabaseError:
            if self.exists(query.model):
                raise
            return []


# Looked for by the database, which need not send the metadata then.
_IS_DESCRIBED = Case(
    When(Q(provenance=Provenance.INHERITED, metadata__contains=NOT_DESCRIBED), then=Value(False)),
    default=Value(True),
    output_field=BooleanField(),
)

_TEXT_COLUMNS = (
    "module",
    "metadata",
    "provenance",
    "digest",
    "signature",
    "key_fingerprint",
    "record_id",
)


def _stored(row: dict[str, Any]) -> StoredMigration:
    return StoredMigration(
        key=(row["app_label"], row["migration_name"]),
        module=row["module"],
        metadata_text=row["metadata"],
        provenance=row["provenance"],
        digest=row["digest"],
        signature=row["signature"],
        key_fingerprint=row["key_fingerprint"],
        record_id=row["record_id"],
        stored_at=row["stored_at"],
    )


def _row(entry: Entry) -> MigrationCode:
    metadata = entry.metadata.as_text()
    source_digest = signing.digest(entry.text)
    signature, fingerprint = signing.sign(
        payload(
            entry.key,
            module=entry.module,
            metadata=metadata,
            source_digest=source_digest,
            provenance=entry.provenance,
        )
    )
    return MigrationCode(
        app_label=entry.key[0],
        migration_name=entry.key[1],
        source_code=entry.text,
        module=entry.module,
        metadata=metadata,
        provenance=entry.provenance,
        digest=source_digest,
        signature=signature,
        key_fingerprint=fingerprint,
        record_id=entry.record_id,
    )


def _in_batches(values: list[str], size: int) -> Iterator[list[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))


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
        return stored.metadata.needs.carried != Metadata.from_text(row.metadata).needs.carried
    except ValueError:
        return True


def _is_same(stored: StoredMigration, row: MigrationCode) -> bool:
    # The signature covers text, metadata, module and provenance.
    same_record = row.record_id is None or row.record_id == stored.record_id
    return stored.signature == row.signature and stored.digest == row.digest and same_record


def all_of_ours(disk: Iterable[Key], applied: Container[Key]) -> bool:
    """Say whether all of our own migrations on disk are applied: then the store is ready."""
    ours = [key for key in disk if key[0] == APP_LABEL]
    return bool(ours) and all(key in applied for key in ours)


def keep_stored_row(*, instance: Model, raw: bool, using: str, **kwargs: Any) -> None:
    """
    Keep `loaddata` from replacing a stored row: what is here ran here.

    A receiver of `pre_save`, which cannot refuse a row, but can make it the one
    that is there already. A row that is not there is added, proven for nothing.
    """
    ours = (MigrationCode, MigrationCodeHistory, BaselineMigration, StoredContent, MigrationVerification)
    if not raw or not isinstance(instance, ours):
        return
    names = ["digest"] if isinstance(instance, StoredContent) else ["app_label", "migration_name"]
    rows = type(instance).objects.using(using)
    present = rows.filter(**{name: getattr(instance, name) for name in names}).first()
    if present is None or isinstance(instance, MigrationCodeHistory):
        instance.pk = None
        if isinstance(instance, MigrationCode):
            instance.record_id = None
        return
    for column in instance._meta.concrete_fields:
        setattr(instance, column.attname, getattr(present, column.attname))


_SIGNED_BY_ANOTHER = (
    "Add the key that signed it to DJANGO_REWIND_SIGNING_KEYS, or bring back the file of {name}."
)


def why_unusable(stored: StoredMigration) -> NotRecoverable | None:
    """
    Return what keeps a stored migration out of the graph, before its text is read.
    """
    name = label(stored.key)
    if stored.verdict is Verdict.FOREIGN:
        return NotRecoverable(stored.key, stored.verdict.value + ".", _SIGNED_BY_ANOTHER.format(name=name))
    if stored.verdict is Verdict.NO_KEY:
        return NotRecoverable(stored.key, stored.verdict.value + ".", signing.problem_with_keys())
    if stored.verdict is not Verdict.VERIFIED:
        return NotRecoverable(stored.key, stored.verdict.value + ".")
    try:
        stored.metadata  # noqa: B018 (parsed here)
    except ValueError as error:
        return NotRecoverable(stored.key, f"its {error}.")
    return None
