"""The audit log of one database: what happened to its migrations, when and by whose hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.db import router, transaction
from django.db.models import CharField, TextField
from django.utils.timezone import now

from .. import conf
from ..backends.fields import NameField
from ..conf import MEBIBYTE
from ..models import Event, MigrationEvent
from ..utils.types import Key
from .identity import IdentifiedTables
from .records import newest_record_id
from .tables import in_batches


@dataclass(frozen=True)
class AuditEntry:
    """Something that happens to a migration, on its way into the audit log."""

    event: Event
    key: Key
    # The row of django_migrations that it is about.
    record_id: int | None = None
    # Of the text that ran or was stored.
    digest: str = ""
    serial: int | None = None
    # Where the code that ran came from: "stored" or "file".
    source: str = ""
    # How long it took.
    seconds: float | None = None
    detail: str = ""


class LastApplied(NamedTuple):
    """Which text of a migration was applied last, as far as the audit log knows."""

    digest: str
    # The row of django_migrations that was made then.
    record_id: int | None
    at: datetime | None


class AuditLog(IdentifiedTables):
    """
    Append what happens, and read it again.

    Nothing here changes or removes an entry, except `discard`, which is asked to.
    """

    def is_there(self) -> bool:
        """Return whether there is an audit log, as it is since the last of our own migrations."""
        return self.is_complete_for(MigrationEvent)

    def is_kept(self) -> bool:
        """Return whether there is an audit log to write into: nobody switched us off or keeps us out."""
        is_allowed = router.allow_migrate_model(self.connection.alias, MigrationEvent)
        return conf.in_force() and bool(is_allowed) and self.is_there()

    # Writing ----------------------------------------------------------------

    def note(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries, within the transaction of the caller if there is one."""
        rows = list(entries)
        for start in range(0, len(rows), _ROWS):
            batch = rows[start : start + _ROWS]
            places = f"({', '.join(['%s'] * len(_FIELDS))})"
            self._insert(
                [places] * len(batch), [value for entry in batch for value in self._parameters(entry)]
            )

    def note_newest(self, entry: AuditEntry) -> None:
        """Append an entry about the newest record of its migration."""
        self.note([replace(entry, record_id=newest_record_id(self.connection, entry.key))])

    def _insert(self, rows: list[str], values: list[Any]) -> None:
        # In plain SQL: with each record there is one, and to put it together would take longer than to run it.
        with self.connection.cursor() as cursor:
            cursor.execute(f"{self._into} VALUES {', '.join(rows)}", values)

    @cached_property
    def _into(self) -> str:
        quote = self.connection.ops.quote_name
        columns = ", ".join(quote(field.column) for field in _FIELDS)
        return f"INSERT INTO {quote(MigrationEvent._meta.db_table)} ({columns})"

    def try_to_note(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries about what went wrong; that they cannot be written is no second error."""
        # The first error is the one to hear of, whatever the second is.
        with suppress(Exception):
            if self.is_kept():
                with transaction.atomic(using=self.connection.alias):
                    self.note(entries)

    def _parameters(self, entry: AuditEntry) -> list[Any]:
        columns = {
            **vars(entry),
            "app_label": entry.key[0],
            "migration_name": entry.key[1],
            "at": now(),
            "detail": self._fitting(entry.detail, _DETAIL),
        }
        columns["signature"] = "" if entry.event in _NEVER_SIGNED else self.sign_fact(*_signed(columns))
        return [
            self._around[field.name]
            if field.name in self._around
            else self._value(field, columns[field.name])
            for field in _FIELDS
        ]

    def _value(self, field: Any, value: Any) -> Any:
        if not isinstance(value, str) or not isinstance(field, (CharField, TextField)):
            return field.get_db_prep_save(value, self.connection)
        if isinstance(field, NameField):
            return field.get_db_prep_save(value[: field.max_length], self.connection)
        # Django's fields for texts would return it as it is, and take their time.
        return self._fitting(value, field)

    @cached_property
    def _around(self) -> dict[str, Any]:
        """The values that are the same in all entries of a run."""
        # Imported by the first entry, not by every process in which we are installed.
        from ..git.environment import current_environment

        columns = {**vars(current_environment()), "alias": self.connection.alias}
        return {
            field.name: self._value(field, columns[field.name]) for field in _FIELDS if field.name in columns
        }

    def _fitting(self, value: str, field: Any) -> str:
        """Return a text that its column takes: what it cannot hold is spelled out, what is too long is cut."""
        text = value.replace("\0", r"\x00")[: field.max_length or _LONGEST]
        if not text.isascii() and not self.backend.keeps(text, MigrationEvent._meta.db_table, field.column):
            text = text.encode("ascii", "backslashreplace").decode("ascii")
        return text[: field.max_length or _LONGEST]

    # Reading ----------------------------------------------------------------

    def of(self, key: Key) -> list[MigrationEvent]:
        """
        Return what happened to a migration, the oldest first.

        The parts of a step are left out where it is over: then the step itself stands there.
        """
        rows = self._rows(MigrationEvent).filter(app_label=key[0], migration_name=key[1])
        # A collation may take another name for the same.
        events = [
            event
            for event in self._events(rows.order_by("id"))
            if (event.app_label, event.migration_name) == key
        ]
        over = {event.record_id for event in events if event.event in _ENDS}
        return [event for event in events if event.event != Event.PARTIAL or event.record_id not in over]

    def _events(self, rows: Any) -> list[MigrationEvent]:
        """Return entries as they can be shown: a column that cannot be read is empty."""
        columns = [field.attname for field in MigrationEvent._meta.concrete_fields]
        return [
            MigrationEvent(**{name: row[name] for name in columns})
            for row in self._values(rows, *columns, longest=MEBIBYTE)
        ]

    def verifies(self, event: MigrationEvent) -> bool:
        """Say whether an entry was written by us, about this database; then it may decide something."""
        return self.verifies_columns(vars(event))

    def verifies_columns(self, columns: Mapping[str, Any]) -> bool:
        """Say it of an entry of which what is `AUDITED` was read."""
        return self.verifies_fact(str(columns["signature"]), *_signed(columns))

    def unsigned(self) -> int:
        """Return how many entries would decide something, and were not written by us about this database."""
        rows = self._rows(MigrationEvent).exclude(event__in=_NEVER_SIGNED)
        return sum(not self.verifies_columns(row) for row in self._values(rows, *AUDITED))

    def parts(self, key: Key, *, record_id: int | None, digest: str) -> list[str]:
        """Return what is noted of a step that was undone in part, the oldest first, if it was signed."""
        rows = self._rows(MigrationEvent).filter(app_label=key[0], migration_name=key[1])
        rows = rows.filter(event=Event.PARTIAL, record_id=record_id, digest=digest)
        found = self._values(rows.order_by("id"), *AUDITED)
        return [row["detail"] for row in found if self.verifies_columns(row)]

    def last_applied(self, keys: Collection[Key]) -> dict[Key, list[LastApplied]]:
        """
        Return what is known of the texts of these that were applied last, and not unapplied since.

        What nobody has signed makes no signed entry unsaid: if they disagree, both are there.
        """
        last: dict[Key, LastApplied] = {}
        last_signed: dict[Key, LastApplied] = {}
        for row in self._of_applied_texts(keys):
            key = (row["app_label"], row["migration_name"])
            for found in (last, last_signed) if self.verifies_columns(row) else (last,):
                if row["event"] in _ENDS or not row["digest"]:
                    # Another one may have been applied since, of which nothing is known.
                    found.pop(key, None)
                elif key in keys:
                    found[key] = LastApplied(row["digest"], row["record_id"], row.get("at"))
        return {
            key: list(dict.fromkeys(found[key] for found in (last, last_signed) if key in found))
            for key in {*last, *last_signed}
        }

    def _of_applied_texts(self, keys: Collection[Key]) -> Iterator[dict[str, Any]]:
        for batch in in_batches(sorted({name for _, name in keys}), 500):
            rows = self._rows(MigrationEvent).filter(migration_name__in=batch, event__in=(*_TELLING, *_ENDS))
            rows = rows.order_by("id")
            yield from self._values(rows, *AUDITED, "at")

    def keys(self, app_label: str) -> set[Key]:
        """Return the migrations of an app to which something happened."""
        rows = self._rows(MigrationEvent).filter(app_label=app_label)
        return {(app_label, row["migration_name"]) for row in self._values(rows.distinct(), "migration_name")}

    def newest(self, event: Event) -> MigrationEvent | None:
        """Return the last entry of a kind."""
        found = self._events(self._rows(MigrationEvent).filter(event=event).order_by("-id")[:1])
        return found[0] if found else None


# With these the record is gone, and the step is over.
_ENDS = (Event.UNAPPLIED, Event.ROLLED_BACK, Event.MARKED_UNAPPLIED, Event.PRUNED)

# These tell which text is the applied version from then on.
_TELLING = (
    *(Event.APPLIED, Event.MARKED_APPLIED, Event.BACKFILLED),
    *(Event.ACCEPTED, Event.SIGNED, Event.RENAMED),
)

_FIELDS = [field for field in MigrationEvent._meta.concrete_fields if not field.primary_key]

# So many values as SQLite once took for one statement, and as long as an error needs to be.
_ROWS = 999 // len(_FIELDS)
_LONGEST = 4000

# What an entry says that decides anything.
_SIGNED = ("event", "app_label", "migration_name", "record_id", "digest", "serial", "source", "detail")
# That, and the signature of it.
AUDITED = (*_SIGNED, "signature")
_DETAIL: Any = MigrationEvent._meta.get_field("detail")

# What decides nothing, and is written where a run may not change anything else.
_NEVER_SIGNED = (Event.BEGAN, Event.FAILED, Event.REFUSED)


def _signed(columns: Mapping[str, Any]) -> list[Any]:
    """Return what a signature covers, as it will be read: a name is cut where it is too long."""
    return ["audit log", *(_as_read(name, columns[name]) for name in _SIGNED)]


def _as_read(name: str, value: Any) -> Any:
    field: Any = MigrationEvent._meta.get_field(name)
    return str(value)[: field.max_length] if isinstance(value, str) else value
