"""What has lost its record while what it did stayed in the database, as after a `migrate --prune` by others."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from ..backends import backend_for
from ..models import Event
from ..schema.graph import along_graph, closure, in_applied_order
from ..schema.lineage import Names, Place, made_by
from ..sources.stored import why_unusable
from ..storage.audit_log import AuditLog
from ..utils.types import Effect, Key
from .snapshot import Snapshot

# The effects that leave a table or a column behind.
_MAKES = ("add_field", "alter_order", "create_model")


class Unrecorded:
    """
    The stored migrations of one database that have neither a record nor a file, and what is left of them.

    After a rollback nothing is left. One with a file is simply not applied, unless an applied squashed
    migration stands for it that has no file here.
    """

    def __init__(self, snapshot: Snapshot, connection: Any) -> None:
        self.snapshot = snapshot
        self.connection = connection
        # Originals without a record, each with the squashed migration because of which it is applied.
        self.originals = snapshot.squashed_by.without_record(snapshot.applied)
        # Those that had a record once.
        self.records = {
            key: row.record_id
            for key, row in snapshot.stored.items()
            if row.record_id
            and not (key in snapshot.applied or key[0] in snapshot.disabled_apps)
            and (
                key in self.originals or not (key in snapshot.files or snapshot.squashed_by.is_squashed(key))
            )
            and why_unusable(row) is None
        }

    def find(self) -> frozenset[Key]:
        """Return those that left something behind, and were not marked as unapplied on purpose."""
        audit_log = AuditLog(self.connection)
        others = self.records.keys() - self.originals.keys()
        events = {key: audit_log.of(key) for key in self.left(others)}
        return frozenset(
            key
            for key, told in events.items()
            if not (told and told[-1].event == Event.MARKED_UNAPPLIED and audit_log.verifies(told[-1]))
        ).union(self.pruned_originals())

    def pruned_originals(self) -> dict[Key, Key]:
        """Return the originals without a record, each with its squashed migration, where nothing has undone one."""
        found: dict[Key, Key] = {}
        for squash in sorted({*self.originals.values()}):
            originals = self._members(squash)
            if all(self._is_there(key) for key in originals):
                found.update(dict.fromkeys(originals, squash))
        return found

    def _members(self, squash: Key) -> list[Key]:
        """Return the originals of a squashed migration that have no record, in the order in which they come."""
        members = {key for key, by in self.originals.items() if by == squash}
        return in_applied_order(members, {key: self.snapshot.dependencies(key) for key in members}, {})

    def _is_there(self, original: Key) -> bool:
        backend = backend_for(self.connection)
        return all(backend.has(*place) for place in self._made(original))

    def _made(self, original: Key) -> set[Place]:
        """Return what is left by now of what an original made, as if it had been applied and not the squashed one."""
        squash = self.originals[original]
        history: dict[Key, list[Effect]] = {}
        for key in self.snapshot.in_order:
            members = self._members(squash) if key == squash else [key]
            history.update((member, self.snapshot.effects(member)) for member in members)
        return {place for _, place in made_by([original], history)}

    def left(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of which a table or a column is still there that nothing applied has made."""
        backend = backend_for(self.connection)
        return {key for key in keys if any(backend.has(*place) for place in self.places(key))}

    def places(self, key: Key) -> set[Place]:
        """Return what a migration made, on top of what is applied, but for what that has made as well."""
        if not any(effect["effect"] in _MAKES for effect in self.snapshot.effects(key)):
            return set()
        parents = self.with_parents(key) & self.records.keys()
        ids = {**self.snapshot.ids, **{one: self.records[one] for one in parents}}
        in_order = along_graph(ids, {one: self.snapshot.dependencies(one) for one in parents})
        history = {one: self.snapshot.effects(one) for one in in_order}
        made = {place for _, place in made_by([key], history)}
        return {place for place in made if place not in self._of_applied and not self._is_in_use(key, place)}

    def with_parents(self, key: Key) -> set[Key]:
        """Return one of them, and those of them that it depends on; the originals of a squash go together."""
        known = self.records.keys() | self.originals.keys()
        ties = {one: self.snapshot.dependencies(one) for one in known}
        for original, squash in self.originals.items():
            ties[original] = [*ties[original], *self._members(squash)]
        return closure([key], ties) & known

    @cached_property
    def _of_applied(self) -> set[Place]:
        names = Names()
        for key, effects in self.snapshot.history.items():
            names.follow(key[0], effects)
        return names.needed()

    def _is_in_use(self, key: Key, place: Place) -> bool:
        """Say of a table whether it belongs to an app that has no migrations here, where Django makes it without."""
        has_files = any(app_label == key[0] for app_label, _ in self.snapshot.files)
        return not has_files and place[0] in self.snapshot.tables_in_use
