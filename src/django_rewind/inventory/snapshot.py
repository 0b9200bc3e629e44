"""
What disk, records and store say of one another, read once.

Only `django_migrations` says what is applied; the store says what is known about it. A `Snapshot` is made of
descriptions, never of migrations: it executes nothing, and touches no database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.apps import apps
from django.conf import settings
from django.db.migrations import Migration

from ..exceptions import NotRecoverable
from ..schema.effects import effects_of
from ..schema.graph import along_graph
from ..schema.lineage import Place, lasting
from ..sources.description import describe
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration, why_unusable
from ..storage.records import is_bound
from ..utils.types import Applied, Effect, Key, label
from .recreated import Recreated
from .squashes import Squashes, originals_of, stored_originals, through_pruned

if TYPE_CHECKING:
    from ..storage.facts import Verification


class FileStatus(Enum):
    """What the checkout says of a migration, in the words that are printed."""

    ON_DISK = "on disk"
    # Bound to its record, and nobody has compared its file with what is stored.
    NOT_COMPARED = "not compared yet"
    # Its file, or what is bundled with it, is another program than what was applied; as far as is known.
    MODIFIED = "modified"
    MODIFIED_OPERATIONS = "modified: operations"
    UNREADABLE = "unreadable"
    MISSING = "missing"
    # A model of this checkout lives in a table that it made: not part of a bare rewind.
    TABLE_IN_USE = "missing (table in use)"
    MISSING_BEFORE_INSTALL = "missing before install"
    SQUASHED = "squashed"
    RECREATED = "recreated"
    STALE_APP = "stale app"
    DISABLED = "disabled"
    # Not applied either.
    NO_FILE = "no file"

    @property
    def slug(self) -> str:
        """The word for JSON and addresses."""
        return self.name.lower()

    @property
    def short(self) -> str:
        """The word for a column of a table."""
        return _SHORT.get(self, self.value)


_SHORT = {
    FileStatus.TABLE_IN_USE: "missing (in use)",
    FileStatus.MISSING_BEFORE_INSTALL: "missing at install",
}

# Why it is not part of a rewind, in words that fit in parentheses.
WHY_SKIPPED = {
    FileStatus.MISSING_BEFORE_INSTALL: "it had no file already when django-rewind was installed",
    FileStatus.TABLE_IN_USE: "an installed model uses its table; name a target to undo it",
    FileStatus.DISABLED: "migrations of its app are disabled in MIGRATION_MODULES",
    FileStatus.MISSING: "it was not asked for",
    FileStatus.SQUASHED: "a squashed migration stands for it",
    FileStatus.STALE_APP: "its app is not installed; if it was removed from this project, see --include-stale-apps",
    FileStatus.RECREATED: "a migration on disk has taken over what it made, or what it stands on",
}

# What hangs on disk, records and store alone.
_COMPUTED = (
    *("absent", "followers", "history", "ids", "in_order", "recorded_ids"),
    *("recreated", "squashed_by", "without_file"),
)

_ROLLED_BACK = (FileStatus.MISSING, FileStatus.STALE_APP)

_NOT_OF_HERE = (
    Verdict.SIGNATURE_MISMATCH,
    Verdict.REPLAYED_REVISION,
    Verdict.ANOTHER_DATABASE,
    Verdict.NO_IDENTITY,
    Verdict.UNREADABLE,
)


class Comparison(NamedTuple):
    """What came of comparing a file with what is stored of it."""

    # Whether it, or what is bundled with it, is another program; None where its text cannot be read.
    is_modified: bool | None
    # A digest of a modified file and of what it needs, as they are now.
    fingerprint: str = ""


class File(Protocol):
    """What the file of a migration says of itself; `Metadata` is one that was read, and not imported."""

    @property
    def dependencies(self) -> Sequence[Key]: ...
    @property
    def run_before(self) -> Sequence[Key]: ...
    @property
    def replaces(self) -> Sequence[Key]: ...
    @property
    def effects(self) -> list[Effect]: ...

    def comparable(self) -> Any:
        """Return what it does, in a form that can be compared."""


class ImportedFile:
    """What a migration that Django has imported says of itself; what it does is described when somebody asks."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self.dependencies: Sequence[Key] = _keys(migration.dependencies)
        self.run_before: Sequence[Key] = _keys(migration.run_before)
        self.replaces: Sequence[Key] = _keys(migration.replaces or ())

    @cached_property
    def effects(self) -> list[Effect]:
        return effects_of(self._migration)

    def comparable(self) -> Any:
        return describe(self._migration).comparable()


def _keys(keys: Iterable[Any]) -> list[Key]:
    return [(key[0], key[1]) for key in keys]


@dataclass(frozen=True)
class Snapshot:
    """All that is known of the migrations of one database, as of one moment."""

    files: Mapping[Key, File]
    # The id of the record of each, and the time in it.
    applied: Applied
    applied_at: Mapping[Key, datetime] = field(default_factory=dict)
    stored: Mapping[Key, StoredMigration] = field(default_factory=dict)
    # Those that may stand for others, where `stored` has no more than summaries.
    stored_squashes: Mapping[Key, StoredMigration] | None = None
    # The records that had no file already when django-rewind was installed, and what somebody has acknowledged.
    missing_before_install: Applied = field(default_factory=dict)
    acknowledged: Collection[Key] = ()
    verifications: Mapping[Key, Verification] = field(default_factory=dict)
    # Of files that were compared with what is stored.
    comparisons: Mapping[Key, Comparison] = field(default_factory=dict)
    # The files that are known to be other ones than what was applied, which is not stored; each with the error.
    contradicted: Mapping[Key, NotRecoverable] = field(default_factory=dict)
    # The files that do the same as missing migrations, by those.
    renamed: Mapping[Key, Key] = field(default_factory=dict)
    # The names that applied migrations are going to have, by those that others know them by.
    renamed_from: Mapping[Key, Key] = field(default_factory=dict)
    # What is stored, has neither record nor file, and has left something in the database.
    unrecorded: frozenset[Key] = frozenset()
    # Modified ones whose files do not count, for it is what was applied that is going to be unapplied.
    redone: Collection[Key] = ()
    # The squashed migrations that Django keeps in its graph and counts as applied.
    squashes: Iterable[Key] = ()
    installed_apps: frozenset[str] = frozenset()
    # Apps whose entry in MIGRATION_MODULES is None.
    disabled_apps: frozenset[str] = frozenset()
    # Apps whose migrations are not stored.
    excluded_apps: frozenset[str] = frozenset()
    # The tables of the installed models, and those between them.
    tables_in_use: frozenset[str] = frozenset()

    def with_more(self, **values: Any) -> Snapshot:
        """Return the same with what takes more reading; what was computed of the rest stays."""
        more = replace(self, **values)
        vars(more).update({name: vars(self)[name] for name in _COMPUTED if name in vars(self)})
        return more

    # Records ----------------------------------------------------------------

    @cached_property
    def ids(self) -> Applied:
        """The order in which everything was applied, as ids: those of the records, as far as the graph allows."""
        # What is squashed stands where it was applied, not behind what stands for it.
        in_graph = (key for key in self.applied if not self.squashed_by.is_squashed(key))
        return along_graph(self.recorded_ids, {key: self.dependencies(key) for key in in_graph})

    @cached_property
    def recorded_ids(self) -> Applied:
        """
        The order in which everything was applied, as the records alone tell it.

        A squashed migration has the highest id of what it replaced. A record that has a lower one than it had
        when its source was bound to it was given that since.
        """
        bound = {
            key: stored.record_id
            for key, stored in self.stored.items()
            if stored.record_id and stored.record_id > self.applied.get(key, stored.record_id)
        }
        signed = {key: bound[key] for key in bound if why_unusable(self.stored[key]) is None}
        return self.squashed_by.order({**self.applied, **signed})

    @property
    def earliest_ids(self) -> Applied:
        """
        The same, each no higher than what it is signed for.

        Nobody makes something else older than a migration by giving its record a higher id.
        """
        return {
            key: min(record_id, stored.record_id)
            if (stored := self.stored.get(key)) and stored.record_id and why_unusable(stored) is None
            else record_id
            for key, record_id in self.recorded_ids.items()
        }

    @cached_property
    def in_order(self) -> list[Key]:
        """What is applied, in the order in which it was applied."""
        return [key for key in self.ids if key in self.applied]

    @cached_property
    def squashed_by(self) -> Squashes:
        rows = self.stored if self.stored_squashes is None else self.stored_squashes
        by_store = through_pruned(stored_originals(rows, lambda row: why_unusable(row) is None), self.applied)
        by_file = originals_of({key: self.files[key] for key in self.squashes})
        return Squashes(by_file, by_store, self.files, self.renamed_from)

    def bound(self, key: Key) -> StoredMigration | None:
        """Return what is stored of a migration if it is bound to its record: then it is the applied version."""
        stored, record_id = self.stored.get(key), self.applied.get(key)
        return stored if stored and record_id and is_bound(stored.record_id, record_id) else None

    def verification(self, key: Key) -> Verification | None:
        """Return the last verification of a migration, if it was of what is stored and of the file as they are."""
        verified, stored = self.verifications.get(key), self.stored.get(key)
        if verified is None or stored is None or verified.signature != stored.signature:
            return None
        comparison = self.comparisons.get(key)
        return verified if verified.file_digest == (comparison.fingerprint if comparison else "") else None

    # File status ------------------------------------------------------------

    @cached_property
    def absent(self) -> list[Key]:
        """What is applied and has no file, in applied order."""
        return [key for key in self.in_order if key not in self.files]

    @property
    def may_lack_something(self) -> bool:
        """Whether anything could be missing; cheap, and asked before the store is."""
        return any(self.at_first_sight(key) in _ROLLED_BACK for key in self.absent)

    @cached_property
    def without_file(self) -> dict[Key, FileStatus]:
        """The applied migrations without a file, in applied order, and what each of them is."""
        statuses = {key: self.at_first_sight(key) for key in self.absent}
        # Of what was missing before install, what was found later could be rolled back as well.
        possible = [
            key
            for key, status in statuses.items()
            if status in _ROLLED_BACK or (status is FileStatus.MISSING_BEFORE_INSTALL and key in self.stored)
        ]
        if possible:
            statuses.update(dict.fromkeys(self.recreated.among(possible), FileStatus.RECREATED))
            left = [key for key in possible if statuses[key] in _ROLLED_BACK]
            statuses.update(dict.fromkeys(self.recreated.with_table_in_use(left), FileStatus.TABLE_IN_USE))
        return statuses

    def at_first_sight(self, key: Key) -> FileStatus:
        """Return what a migration without a file is, as long as nobody looks at what the others do."""
        if key[0] in self.disabled_apps:
            return FileStatus.DISABLED
        if self.squashed_by.is_squashed(key):
            return FileStatus.SQUASHED
        if self.missing_before_install.get(key) == self.applied[key]:
            return FileStatus.MISSING_BEFORE_INSTALL
        return FileStatus.MISSING if key[0] in self.installed_apps else FileStatus.STALE_APP

    @cached_property
    def recreated(self) -> Recreated:
        return Recreated(self)

    def of(self, *statuses: FileStatus) -> list[Key]:
        """Return the applied migrations without a file that have one of these statuses, in applied order."""
        return [key for key, status in self.without_file.items() if status in statuses]

    def reason_against(self, key: Key) -> NotRecoverable | None:
        """Return why an applied migration could not be recovered, or None."""
        if key in self.contradicted:
            return self.contradicted[key]
        stored = self.stored.get(key)
        if stored is None:
            if key[0] in self.excluded_apps:
                return NotRecoverable(key, "its source was not stored: DJANGO_REWIND_EXCLUDE names its app.")
            return NotRecoverable(key, "its source is not stored in this database.", _file_or_git(key))
        if (
            # Then what the row says of its record is worth nothing either.
            stored.verdict in _NOT_OF_HERE or self.bound(key) is not None
        ):
            return why_unusable(stored)
        if stored.record_id is None:
            reason = (
                "its stored source is not proven to be what ran: the run that stored it failed, "
                "or it was loaded from elsewhere."
            )
        else:
            reason = (
                "it was applied again by a process without django-rewind, and the stored source is "
                "from an earlier time."
            )
        return NotRecoverable(key, reason, _file_or_git(key))

    # What goes with what ----------------------------------------------------

    @cached_property
    def followers(self) -> dict[Key, set[Key]]:
        """For a migration, the records of others that go when it is unapplied: squashed and recreated ones."""
        followers = {key: set(others) for key, others in self.squashed_by.followers(self.applied).items()}
        for key in self.of(FileStatus.RECREATED):
            followers.setdefault(self.recreated.maker(key), set()).add(key)
        return followers

    def left_behind(self, rolled_back: Collection[Key]) -> Iterator[tuple[Key, Key, Place]]:
        """Yield what no record would stand for any more: the step, whose record goes with it, and the loss."""
        recreated = set(self.of(FileStatus.RECREATED))
        followers = {step: self.followers.get(step, set()) & recreated for step in rolled_back}
        return self.recreated.left_behind(rolled_back, followers)

    def effects(self, key: Key) -> list[Effect]:
        """Return what a migration does: from its file, else from what was stored."""
        description = self._description(key)
        return description.effects if description else []

    def _description(self, key: Key) -> File | None:
        applied = self.bound(key) if key in self.redone else None
        if applied is not None and why_unusable(applied) is None and applied.metadata.is_described:
            # Its place among what was applied is not that of the file either.
            return applied.metadata
        if key in self.files:
            return self.files[key]
        stored = self.stored.get(key)
        return None if stored is None or why_unusable(stored) is not None else stored.metadata

    def lasting_effects(self, keys: Iterable[Key]) -> dict[Key, list[Effect]]:
        """Return what is left by now of what these applied migrations did."""
        left = lasting(self.history.items())
        return {key: left[key] for key in keys}

    @cached_property
    def history(self) -> dict[Key, list[Effect]]:
        """What was applied, in the order in which it was, with what each migration does."""
        return {key: self.effects(key) for key in self.in_order}

    def dependents_in_stale_apps(self, rolled_back: Iterable[Key]) -> list[tuple[Key, Key]]:
        """Return (dependent, rolled back) for migrations of apps that are not installed."""
        wanted = set(rolled_back)
        return [
            (key, parent)
            for key in self.of(FileStatus.STALE_APP)
            for parent in self.dependencies(key)
            if parent in wanted and key not in wanted
        ]

    # Dependencies -----------------------------------------------------------

    def dependencies(self, key: Key) -> list[Key]:
        """Return what a migration depends on, and what stands for that where it was squashed."""
        written = self._written_dependencies(key)
        return sorted({parent for one in written for parent in self.meant_by(one, key)} - {key})

    def meant_by(self, written: Key, key: Key) -> Iterable[Key]:
        """Return what a dependency of a migration means here, as it is written."""
        app_label, name = written
        if name not in ("__first__", "__latest__"):
            return self.squashed_by.in_place_of(written)
        if app_label == key[0]:
            return []
        return self._first(app_label) if name == "__first__" else self._latest(key, app_label)

    def _first(self, app_label: str) -> list[Key]:
        """Return what `__first__` means for an app: where its applied migrations begin."""
        members = self._members(app_label)
        return [key for key in members if not self._within_app(key) & set(members)][:1]

    def _latest(self, key: Key, app_label: str) -> list[Key]:
        """Return what `__latest__` meant for an app when a migration of another was applied."""
        ids = self.recorded_ids
        bound = ids.get(key)
        members = [one for one in self._members(app_label) if bound is None or ids[one] < bound]
        inner = set().union(*(self._within_app(one) for one in members))
        return [one for one in members if one not in inner][-1:]

    def _members(self, app_label: str) -> list[Key]:
        """Return the applied migrations of an app as they were recorded, those that were squashed left out."""
        is_squashed, ids = self.squashed_by.is_squashed, self.recorded_ids
        members = (key for key in self.applied if key[0] == app_label and not is_squashed(key))
        return sorted(members, key=ids.__getitem__)

    def _within_app(self, key: Key) -> set[Key]:
        """Return what a migration depends on in its own app."""
        named = (one for one in self._written_dependencies(key) if one[0] == key[0])
        return {substitute for one in named for substitute in self.squashed_by.in_place_of(one)} - {key}

    def _written_dependencies(self, key: Key) -> Iterable[Key]:
        description = self._description(key)
        return description.dependencies if description else []


def tables_in_use() -> frozenset[str]:
    """Return the tables of the installed models, and those between many-to-many models."""
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))


def _file_or_git(key: Key) -> str:
    return (
        f"Bring back the file of {label(key)} and try again, or look for it in git: "
        f"'manage.py backfill_migration_code {key[0]} --from-git'."
    )


def disabled_apps(app_labels: Iterable[str]) -> frozenset[str]:
    """Return those whose entry in MIGRATION_MODULES is None."""
    modules = settings.MIGRATION_MODULES
    # Looked up one by one: test runners put objects there that only answer.
    return frozenset(label for label in {*app_labels} if label in modules and modules[label] is None)
