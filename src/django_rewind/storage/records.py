"""The records of Django's own table, `django_migrations`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import Error
from django.db.migrations.recorder import MigrationRecorder

from ..utils.types import APP_LABEL, Applied, Key
from .tables import UNREADABLE, Tables, Unreadable, in_batches


def records(connection: Any) -> dict[Key, Any]:
    """
    Return the record of each applied migration, as Django's recorder does.

    A value that Django cannot read harms its own record: that comes without its time, and one
    without a name is the record of no migration.
    """
    recorder = MigrationRecorder(connection)
    if not recorder.has_table():
        return {}
    rows = _Records(connection).rows(recorder.migration_qs.order_by("pk"))
    # Of two with the same name, Django has the last one as well.
    made = (recorder.Migration(**{name: row[name] for name in _COLUMNS}) for row in rows)
    return {(record.app, record.name): record for record in made}


def named(recorded: Mapping[Any, Any]) -> dict[Key, Any]:
    """
    Return what a recorder has found without the records whose app or name is no text.

    They are of no migration. Django passes over them, and nobody could put them in order.
    """
    return {key: of for key, of in recorded.items() if all(isinstance(part, str) for part in key)}


def check_records(connection: Any, error: Exception) -> None:
    """Raise `Unreadable` where an error is Django's, which stumbles over one of its own records."""
    recorder = MigrationRecorder(connection)
    try:
        recorder.applied_migrations()
    except type(error) as again:
        try:
            # It reads no value: where it fails as well, the database is down, or none.
            recorder.migration_qs.count()
        except Error:
            return
        raise Unreadable(recorder.Migration._meta.db_table, again) from error


class _Records(Tables):
    def rows(self, query: Any) -> list[dict[str, Any]]:
        return [row for row in self._values(query, *_COLUMNS) if not {"app", "name"} & {*row[UNREADABLE]}]


_COLUMNS = ("id", "app", "name", "applied")


def record_ids(connection: Any) -> Applied:
    """Return the id of the record of each applied migration."""
    return {key: record.pk for key, record in records(connection).items()}


def newest_record(connection: Any) -> str:
    """
    Return the SQL for the id of the newest record of a migration: its two parameters are the key.

    With each step one is asked for, and to put a query together takes Django longer than to run it.
    It is for a record that was made just now: no other that a collation takes for it is newer.
    """
    return f"(SELECT MAX(id) {_matching(connection)})"


def newest_record_id(connection: Any, key: Key) -> int | None:
    return max(ids_of(connection, key), default=None)


def ids_of(connection: Any, key: Key) -> list[int]:
    """Return the ids of the records of a migration, and of no other that the database takes for it."""
    return [pk for pk, *name in matching_records(connection, key) if tuple(name) == key]


def matching_records(connection: Any, key: Key) -> list[tuple[int, str, str]]:
    """
    Return id, app and name of each record that the database takes for one of a migration.

    To a collation, upper and lower case, accents or blanks at the end may be the same.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, app, name {_matching(connection)}", key)
        return list(cursor.fetchall())


def _matching(connection: Any) -> str:
    records = connection.ops.quote_name(MigrationRecorder.Migration._meta.db_table)
    return f"FROM {records} WHERE app = %s AND name = %s"


def is_bound(bound_to: int | None, record_id: int) -> bool:
    """
    Return whether what is stored is the applied version of a record, by the id that it names.

    A run that failed has left it behind otherwise, or another record has taken the place of the one
    that it was bound to. Without an id the record is of this very run.
    """
    return bound_to is not None and (not record_id or bound_to == record_id)


def with_ids_as_noted(connection: Any, applied: Applied, noted: Iterable[tuple[Key, int | None]]) -> Applied:
    """
    Return the ids of what is applied, each as it was noted if that is a record of it, too.

    A record may stand twice: then `applied` has one of them, and another may have been noted.
    There is no query unless they differ.
    """
    others = {
        record_id: key for key, record_id in noted if record_id and applied.get(key, record_id) != record_id
    }
    found: Applied = {}
    rows, recorded = _Records(connection), MigrationRecorder.Migration.objects.using(connection.alias)
    for batch in in_batches(list(others), 500):
        for row in rows.rows(recorded.filter(pk__in=batch)):
            if others[row["id"]] == (row["app"], row["name"]):
                found[others[row["id"]]] = row["id"]
    return {**applied, **found}


def time_of(connection: Any, record_id: int) -> datetime | None:
    """Return when a record says that its migration was applied; None where it is gone or says nothing."""
    records = MigrationRecorder.Migration.objects.using(connection.alias).filter(pk=record_id)
    moment = next(iter(records.values_list("applied", flat=True)), None)
    return moment if isinstance(moment, datetime) else None


def rename_records(connection: Any, record_id: int, old: Key, new: Key) -> bool:
    """Give the records of a migration another name in its app; return whether the one that was read is there."""
    ids = ids_of(connection, old)
    records = MigrationRecorder.Migration.objects.using(connection.alias).filter(pk__in=ids)
    return bool(record_id in ids and records.update(name=new[1]))


def record_again(connection: Any, key: Key, record_id: int | None) -> int:
    """Record a migration under the id that it had, or a new one where that is taken; return which it is."""
    records = MigrationRecorder.Migration.objects.using(connection.alias)
    free = {} if record_id is None or records.filter(pk=record_id).exists() else {"pk": record_id}
    made: int = records.create(app=key[0], name=key[1], **free).pk
    return made


def hold_own_records(connection: Any) -> None:
    """Have other processes that do the same wait until this transaction is over."""
    records = MigrationRecorder.Migration.objects.using(connection.alias)
    own = records.filter(app=APP_LABEL).order_by("pk")
    if connection.features.has_select_for_update:
        list(own.select_for_update()[:1])
    else:
        # Writing what is there already makes it the only writer.
        own.update(app=APP_LABEL)
