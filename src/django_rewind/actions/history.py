"""Tell what the audit log says of one migration, and which revisions of its source are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import override

from ..exceptions import NotInitialized
from ..inventory.loader import loader_of
from ..models import Event, MigrationEvent, Origin
from ..sources.stored import EarlierRevision, StoredMigration
from ..storage.audit_log import AuditLog
from ..storage.store import Store
from ..utils.matching import the_one
from ..utils.printable import with_zone
from ..utils.types import Key

# Of an entry, what the report says elsewhere.
_NOT_REPORTED = {"id", "app_label", "migration_name", "alias"}


@dataclass(frozen=True)
class Timeline:
    """The life of a migration in one database."""

    key: Key
    events: list[MigrationEvent]
    # With the time at which each was replaced, the oldest first; the current one has none.
    revisions: list[tuple[StoredMigration, datetime | None]]

    def lines(self) -> Iterator[str]:
        for event in self.events:
            yield _headline(event)
            git = " ".join(filter(None, [event.branch, event.commit[:10]]))
            versions = f"Django {event.django}, Python {event.python}"
            source = f"source {event.digest[:12]}" if event.digest else ""
            yield f"    {'; '.join(filter(None, [git, versions, source]))}"
            yield from (f"    {line}" for line in event.detail.splitlines())
        if self.revisions:
            yield "Revisions:"
        for stored, replaced_at in self.revisions:
            until = f"replaced {_when(replaced_at)}" if replaced_at else "current"
            how = _untranslated(Origin, stored.origin)
            yield f"  {stored.digest[:12]}  stored {_when(stored.stored_at)}, {how}, {until}"

    def as_data(self) -> dict[str, Any]:
        columns = [field.attname for field in MigrationEvent._meta.concrete_fields]
        return {
            "app": self.key[0],
            "name": self.key[1],
            "events": [
                {name: getattr(event, name) for name in columns if name not in _NOT_REPORTED}
                for event in self.events
            ],
            "revisions": [
                {
                    "digest": stored.digest,
                    "origin": stored.origin,
                    "record_id": stored.record_id,
                    "signature": stored.verdict.name.lower(),
                    "stored_at": stored.stored_at,
                    "replaced_at": replaced_at,
                }
                for stored, replaced_at in self.revisions
            ],
        }


def timelines(connections: Iterable[Any], app_label: str, prefix: str) -> dict[str, Timeline]:
    """Return the life of one migration in each database that knows of it, by alias."""
    asked = list(connections)
    # The table of version 0.1.0 has the same name, and less in it.
    ready = [
        connection
        for connection in asked
        if loader_of(connection).store_is_ready and AuditLog(connection).is_there()
    ]
    if not ready:
        raise NotInitialized(asked[0].alias)
    known = {connection: _known(connection, app_label) for connection in ready}
    key = the_one(
        {key for keys, _ in known.values() for key in keys},
        app_label,
        prefix,
        otherwise=f"Nothing is known to have happened to a migration '{prefix}' of an app '{app_label}'.",
    )
    return {
        connection.alias: _timeline(connection, key, earlier)
        for connection, (keys, earlier) in known.items()
        if key in keys
    }


def _known(connection: Any, app_label: str) -> tuple[set[Key], list[EarlierRevision]]:
    store = Store(connection)
    earlier = store.earlier(app_label)
    stored = {key for key in store.known() if key[0] == app_label}
    return stored | AuditLog(connection).keys(app_label) | {
        revision.stored.key for revision in earlier
    }, earlier


def _timeline(connection: Any, key: Key, earlier: list[EarlierRevision]) -> Timeline:
    current = Store(connection).rows().get(key)
    revisions = [
        (revision.stored, revision.replaced_at) for revision in earlier if revision.stored.key == key
    ]
    return Timeline(
        key, AuditLog(connection).of(key), revisions + ([(current, None)] if current is not None else [])
    )


def _headline(event: MigrationEvent) -> str:
    what = _untranslated(Event, event.event)
    if event.source == "stored":
        what += ", from stored code"
    if isinstance(event.seconds, float):
        what += f", in {event.seconds:.3f} s"
    who = "@".join(filter(None, [event.os_user, event.host]))
    return f"  {_when(event.at)}  {what}" + (f", by {who}" if who else "")


def _untranslated(choices: Any, value: str) -> str:
    """Return what a value means in the one language of the commands; an unknown one as it is."""
    with override(None):
        return str(dict(choices.choices).get(value, value))


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else with_zone(moment)
