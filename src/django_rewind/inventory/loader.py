"""Django's loader, with what records and store say of the files that it has imported."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import Error
from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.loader import MigrationLoader

from .. import conf
from ..storage.records import check_records, named, record_ids, with_ids_as_noted
from ..storage.tables import all_of_ours
from ..utils.types import NO_CHANGES, Applied, Key
from .squashes import in_order_of_originals, originals_of, to_the_end

if TYPE_CHECKING:
    # Few processes ask for it.
    from .snapshot import ImportedFile, Snapshot


class InventoryLoader(MigrationLoader):
    """
    Know what disk, records and store say of each migration, and execute nothing that is stored.

    Its graph is Django's.
    """

    # What is planned for the records, and taken for done: so a run is looked at before it begins.
    foreseen = NO_CHANGES

    @property
    def applied_migrations(self) -> Any:
        return self._applied_migrations

    @applied_migrations.setter
    def applied_migrations(self, records: Any) -> None:
        # Django's loader sets it when it builds the graph.
        records = named(records) if records else records
        self._applied_migrations = self.foreseen.made_to(records) if records and self.foreseen else records

    def build_graph(self) -> None:
        try:
            super().build_graph()
        except (Error, OverflowError, TypeError, ValueError, AttributeError) as error:
            if self.connection is not None:
                check_records(self.connection, error)
            raise

    @property
    def files(self) -> Mapping[Key, Migration]:
        return self.disk_migrations or {}

    @property
    def originals(self) -> dict[Key, set[Key]]:
        """What each squashed migration replaces in the end, as long as Django knows it as one."""
        return to_the_end(originals_of(self.replacements))

    @property
    def store_is_ready(self) -> bool:
        """
        Whether django-rewind's tables are there. It costs no query where all of its migrations are recorded.

        A record that is gone proves nothing: who has deleted it would have what is missing skipped.
        """
        return self.has_all_of_ours or self._tables_are_there

    @property
    def has_all_of_ours(self) -> bool:
        """Whether all of django-rewind's own migrations are recorded."""
        return all_of_ours(self.files, self.applied_migrations or ())

    @cached_property
    def _tables_are_there(self) -> bool:
        from ..storage.store import Store

        return self.connection is not None and Store(self.connection).is_usable

    @cached_property
    def snapshot(self) -> Snapshot:
        """What disk, records and store say now; the store is asked for it, once."""
        from ..storage.facts import MissingBeforeInstall
        from ..storage.store import Store

        from_store: dict[str, Any] = {}
        applied = self.bound_ids()
        if self.store_is_ready:
            store = Store(self.connection)
            stored = from_store["stored"] = store.rows()
            if any(key not in self.files for key in self.applied_migrations):
                missing = MissingBeforeInstall(self.connection, store.identity)
                before = from_store["missing_before_install"] = missing.records()
                applied = with_ids_as_noted(self.connection, applied, before.items())
            bound = ((key, row.record_id) for key, row in stored.items())
            applied = with_ids_as_noted(self.connection, applied, bound)
        return self._snapshot(applied, **from_store)

    @cached_property
    def described(self) -> dict[Key, ImportedFile]:
        from .snapshot import ImportedFile

        return {key: ImportedFile(migration) for key, migration in self.files.items()}

    def snapshot_without_store(self) -> Snapshot:
        """Return what disk and records say, which costs no query."""
        return self._snapshot_without_store

    @cached_property
    def _snapshot_without_store(self) -> Snapshot:
        return self._snapshot(self.ids_of_records())

    def _snapshot(self, applied: Applied, **from_store: Any) -> Snapshot:
        from .snapshot import Snapshot, disabled_apps, tables_in_use

        records: dict[Key, Any] = dict(self.applied_migrations)
        return Snapshot(
            files=self.described,
            applied=applied,
            applied_at={
                # A squashed migration that counts as applied may have no record.
                key: record.applied
                for key, record in records.items()
                if not isinstance(record, Migration)
            },
            squashes=[
                key for key in self.replacements if key in self.graph.nodes and key in self.applied_migrations
            ],
            installed_apps=frozenset(config.label for config in apps.get_app_configs()),
            disabled_apps=disabled_apps({app_label for app_label, _ in applied}),
            excluded_apps=frozenset(conf.excluded_apps()),
            tables_in_use=tables_in_use(),
            renamed_from=self.foreseen.renamed,
            redone=self.foreseen.redone,
            **from_store,
        )

    def bound_ids(self) -> Applied:
        """
        Return the id of the record of each applied migration itself.

        Django drops those of squashed migrations that count as applied, so they are asked for; one without a
        record has the id that stands for its order.
        """
        ids = self.ids_of_records()
        applied: dict[Key, Any] = dict(self.applied_migrations)
        without_id = [key for key, of in applied.items() if isinstance(of, Migration)]
        if without_id and self.connection is not None:
            records = record_ids(self.connection)
            ids.update({key: records[key] for key in without_id if key in records})
        return ids

    def ids_of_records(self) -> Applied:
        """Return the ids as they are known already; a squashed migration has the highest of what it replaced."""
        # Records of the recorder, and squashed migrations that count as applied.
        applied: dict[Key, Any] = dict(self.applied_migrations)
        ids = {key: record.pk for key, record in applied.items() if not isinstance(record, Migration)}
        return in_order_of_originals(ids, {key: of for key, of in self.originals.items() if key in applied})


def loader_of(connection: Any) -> InventoryLoader:
    """Return what can be known of a database: disk, records and store, and the graph if there is one."""
    loader = InventoryLoader(connection, load=False)
    try:
        loader.build_graph()
    except NodeNotFoundError:
        # A file depends on one that is gone: there is no graph, but the rest can be read.
        pass
    return loader
