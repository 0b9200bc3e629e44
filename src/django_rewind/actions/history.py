"""What happened to one migration, and the texts that were stored for it: what the ledger tells people."""

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
from ..utils.printable import in_local_time
from ..utils.types import Key

__all__ = ["Timeline", "timelines"]


@dataclass(frozen=True)
class Timeline:
    """The life of a migration in one database."""

    key: Key
    events: list[MigrationEvent]
    # What is stored now, and what was stored before, the oldest first.
    stored: StoredMigration | None
    earlier: list[EarlierRevision]

    def lines(self) -> Iterator[str]:
        """Return it as text to read."""
        for event in self.events:
            yield _headline(event)
            yield from (f"    {line}" for line in _rest(event))
        texts = [*self._texts()]
        if texts:
            yield "Texts:"
            yield from texts

    def _texts(self) -> Iterator[str]:
        for one in self.earlier:
            yield f"{_of_text(one.stored)}, replaced {_when(one.replaced_at)}"
        if self.stored is not None:
            yield f"{_of_text(self.stored)}, the one of now"

    def as_data(self) -> dict[str, Any]:
        """Return it for scripts."""
        texts = [_text_as_data(one.stored, one.replaced_at) for one in self.earlier]
        if self.stored is not None:
            texts.append(_text_as_data(self.stored, None))
        return {
            "app": self.key[0],
            "name": self.key[1],
            "events": [_event_as_data(event) for event in self.events],
            "texts": texts,
        }


def timelines(connections: Iterable[Any], app_label: str, prefix: str) -> dict[str, Timeline]:
    """
    Return the life of one migration in each database that knows of it, by alias.

    Args:
        prefix: its name, or how it begins.

    Raises:
        CommandError: none of them knows of it, or of several with this prefix; or none has our tables.
    """
    sources = [(connection, *_known(connection, app_label)) for connection in _ready(connections)]
    key = the_one(
        {key for _, known, _ in sources for key in known},
        app_label,
        prefix,
        otherwise=f"Nothing is known to have happened to a migration '{prefix}' of an app '{app_label}'.",
    )
    return {
        connection.alias: _timeline(connection, key, earlier)
        for connection, known, earlier in sources
        if key in known
    }


def _ready(connections: Iterable[Any]) -> list[Any]:
    """Return those with our tables: version 0.1.0 has one of that name, and less in it."""
    asked = list(connections)
    ready = [connection for connection in asked if loader_of(connection).store_is_ready]
    if not ready:
        raise NotInitialized(asked[0].alias)
    return ready


def _known(connection: Any, app_label: str) -> tuple[set[Key], list[EarlierRevision]]:
    store = Store(connection)
    earlier = store.earlier(app_label)
    stored = {key for key in store.known() if key[0] == app_label}
    return {*stored, *AuditLog(connection).keys(app_label), *(one.stored.key for one in earlier)}, earlier


def _timeline(connection: Any, key: Key, earlier: list[EarlierRevision]) -> Timeline:
    return Timeline(
        key=key,
        events=AuditLog(connection).of(key),
        stored=Store(connection).rows().get(key),
        earlier=[one for one in earlier if one.stored.key == key],
    )


def _headline(event: MigrationEvent) -> str:
    words = _untranslated(Event)
    what = words.get(event.event, event.event)
    if event.source == "stored":
        what += ", from stored code"
    if isinstance(event.seconds, float):
        what += f", in {event.seconds:.3f} s"
    who = "@".join(filter(None, [event.os_user, event.host]))
    return f"  {_when(event.at)}  {what}" + (f", by {who}" if who else "")


def _rest(event: MigrationEvent) -> Iterator[str]:
    git = " ".join(filter(None, [event.branch, event.commit[:10]]))
    versions = f"Django {event.django}, Python {event.python}"
    yield "; ".join(filter(None, [git, versions, f"text {event.digest[:12]}" if event.digest else ""]))
    yield from event.detail.splitlines()


def _of_text(stored: StoredMigration) -> str:
    words = _untranslated(Origin)
    how = words.get(stored.provenance, stored.provenance)
    return f"  {stored.digest[:12]}  stored {_when(stored.stored_at)}, {how}"


def _untranslated(choices: Any) -> dict[str, str]:
    """Return what values mean as the commands say it, whose texts are in one language."""
    with override(None):
        return {str(value): str(word) for value, word in choices.choices}


def _when(moment: datetime | None) -> str:
    if moment is None:
        return "-"
    return f"{in_local_time(moment):%Y-%m-%d %H:%M:%S}"


def _event_as_data(event: MigrationEvent) -> dict[str, Any]:
    columns = [field.attname for field in event._meta.concrete_fields]
    left_out = {"id", "app_label", "migration_name", "alias"}
    return {
        name: value.isoformat() if isinstance(value := getattr(event, name), datetime) else value
        for name in columns
        if name not in left_out
    }


def _text_as_data(stored: StoredMigration, replaced_at: datetime | None) -> dict[str, Any]:
    return {
        "digest": stored.digest,
        "provenance": stored.provenance,
        "record_id": stored.record_id,
        "signature": stored.verdict.name.lower(),
        "stored_at": stored.stored_at.isoformat() if stored.stored_at else None,
        "replaced_at": replaced_at.isoformat() if replaced_at else None,
    }
