"""
What disk, record and store say of one another.

Only `django_migrations` says what is applied; the store says what we know about
it. For every migration that is applied and has no file, `History` says what that
means. It is pure: it is given what was read, and touches no database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from django.apps import apps
from django.db.migrations import Migration

from .. import conf
from ..exceptions import NotRecoverable
from ..schema.effects import Loss, Names, effects_of, lasting, outline
from ..schema.graph import closure
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration, why_unusable
from ..utils.types import Applied, Effect, Key, label

__all__ = [
    "DIFFERS",
    "EDITED",
    "NO_FILE",
    "ON_DISK",
    "WHY_LEFT_ALONE",
    "History",
    "Standing",
    "tables_in_use",
]


class Standing(Enum):
    """What it means that an applied migration has no file, in the words that we print."""

    MISSING = "missing"
    # Missing, but a table that it made is in use: not part of a bare rewind.
    IN_USE = "missing, its table is in use"
    REPLACED = "replaced"
    SUPERSEDED = "superseded"
    BASELINE = "baseline"
    REMOVED_APP = "app removed"
    LEFT_ALONE = "migrations disabled"


# What the checkout says of the others, in the words that we print.
ON_DISK = "on disk"
EDITED = "edited"
DIFFERS = "differs"
NO_FILE = "no file"

# Why it is not part of a rewind, in words that fit in parentheses.
WHY_LEFT_ALONE = {
    Standing.BASELINE: "it had no file already when django-rewind was installed",
    Standing.IN_USE: "an installed model uses its table; name a target to undo it",
    Standing.LEFT_ALONE: "migrations of its app are disabled in MIGRATION_MODULES",
    Standing.MISSING: "it was not asked for",
    Standing.REPLACED: "a squashed migration stands for it",
    Standing.REMOVED_APP: "its app is not installed; see --include-stale-apps",
    Standing.SUPERSEDED: "a migration on disk has taken over what it made, or what it stands on",
}

_UNDOABLE = (Standing.MISSING, Standing.REMOVED_APP)


@dataclass(frozen=True)
class History:
    """
    The applied migrations without a file, and what each of them is.

    A squashed migration that Django keeps in its graph and counts as applied is
    given in `replacing`, as it is on disk.
    """

    disk: Mapping[Key, Migration]
    applied: Applied
    stored: Mapping[Key, StoredMigration]
    baseline: Applied = field(default_factory=dict)
    replacing: Iterable[Key] = ()
    installed: frozenset[str] = frozenset()
    # Apps whose entry in MIGRATION_MODULES is None.
    left_alone: frozenset[str] = frozenset()
    # The tables of the installed models, and those between them.
    tables_in_use: frozenset[str] = frozenset()

    @cached_property
    def without_file(self) -> list[Key]:
        """Applied and not on disk, in the order in which they were applied."""
        return [key for key in self._in_order if key not in self.disk]

    @cached_property
    def ids(self) -> Applied:
        """
        The ids of what is applied, which are its order.

        A squashed migration has the highest id of those that it replaced, also when
        its file does not say so any more: it did their work when they did it.
        """
        squashes: dict[Key, list[Key]] = {
            key: [one for one in replaces if one in self.applied]
            for key, replaces in {
                **self._stored_squashes,
                **{key: [(one[0], one[1]) for one in self.disk[key].replaces] for key in self.replacing},
            }.items()
        }

        return {key: self._highest(key, squashes) for key in self.applied}

    def _highest(self, key: Key, squashes: Mapping[Key, list[Key]]) -> int:
        """Return the highest id of what a squashed migration replaced in the end, or its own."""
        if not squashes.get(key):
            return self.applied[key]
        # Squashed migrations may have been squashed again; what is made up, by themselves.
        originals = [one for one in closure([key], squashes) if not squashes.get(one)]
        return max(map(self.applied.__getitem__, originals or [key]))

    @cached_property
    def _in_order(self) -> list[Key]:
        return sorted(self.applied, key=self.ids.__getitem__)

    @property
    def may_lack_something(self) -> bool:
        """Whether anything could be missing; cheap, and asked before the store is."""
        return any(self._standing(key) in _UNDOABLE for key in self.without_file)

    @cached_property
    def standing(self) -> dict[Key, Standing]:
        """What each migration without a file is."""
        found = {key: self._standing(key) for key in self.without_file}
        if not any(self._could_be_undone(key, standing) for key, standing in found.items()):
            return found
        for key in self._spread(self.superseded_by, found):
            found[key] = Standing.SUPERSEDED
        for key in self._in_use(found):
            found[key] = Standing.IN_USE
        return found

    def standing_at_first_sight(self, key: Key) -> Standing:
        """Return what a migration without a file is, as long as nobody looks at what the others do."""
        return self._standing(key)

    def _standing(self, key: Key) -> Standing:
        if key[0] in self.left_alone:
            return Standing.LEFT_ALONE
        if key in self._replaced or self._follows_its_originals(key):
            return Standing.REPLACED
        if self.baseline.get(key) == self.applied[key]:
            return Standing.BASELINE
        if key[0] not in self.installed:
            return Standing.REMOVED_APP
        return Standing.MISSING

    def _could_be_undone(self, key: Key, standing: Standing) -> bool:
        """Say whether something could be undone: of the baseline, what was found later."""
        return standing in _UNDOABLE or (standing is Standing.BASELINE and key in self.stored)

    def of(self, *standings: Standing) -> list[Key]:
        """Return the keys with one of these standings, in applied order."""
        return [key for key in self.without_file if self.standing[key] in standings]

    def reason_against(self, key: Key) -> NotRecoverable | None:
        """Return why a migration without a file cannot be recovered, or None."""
        stored = self.stored.get(key)
        if stored is None:
            if key[0] in conf.excluded_apps():
                return NotRecoverable(key, "its source was not stored: DJANGO_REWIND_EXCLUDE names its app.")
            return NotRecoverable(
                key,
                "its source is not stored in this database.",
                _file_or_git(key),
            )
        if stored.verdict in (Verdict.SIGNATURE_MISMATCH, Verdict.REPLAYED_REVISION):
            return why_unusable(stored)
        if stored.record_id is None:
            return NotRecoverable(
                key,
                "its stored source is not proven to be what ran: the run that stored it "
                "failed, or it was loaded from elsewhere.",
                _file_or_git(key),
            )
        if stored.record_id != self.applied[key]:
            return NotRecoverable(
                key,
                "it was applied again by a process without django-rewind, and the stored "
                "source is from an earlier time.",
                _file_or_git(key),
            )
        return why_unusable(stored)

    # Replaced ---------------------------------------------------------------

    @cached_property
    def _replaced(self) -> set[Key]:
        """
        Every migration that a squashed one stands for, on disk or stored.

        People delete `replaces` from a squashed migration after a while; what was
        stored when it was recorded still has it.
        """
        replaced: set[Key] = set()
        for key in self.replacing:
            replaced.update(self.disk[key].replaces or ())
        for key, replaces in self._stored_squashes.items():
            if not self._follows_its_originals(key):
                replaced.update(replaces)
        return replaced

    @cached_property
    def _stored_squashes(self) -> dict[Key, list[Key]]:
        return {
            key: stored.metadata.replaces
            for key, stored in self.stored.items()
            # Looked for in the text first: most rows need not be parsed.
            if key in self.applied
            and '"replaces": []' not in stored.metadata_text
            and why_unusable(stored) is None
        }

    def _follows_its_originals(self, key: Key) -> bool:
        """
        Say whether a squashed migration is back to its originals on disk.

        Some of them are enough: on a checkout from before it, what came after those is undone one by one.
        """
        replaces = self._stored_squashes.get(key, [])
        return key not in self.disk and any(one in self.disk for one in replaces)

    @cached_property
    def _substitutes(self) -> dict[Key, set[Key]]:
        """For a replaced migration, what is in its place."""
        found: dict[Key, set[Key]] = {}
        for key in self.replacing:
            for app_label, name in self.disk[key].replaces:
                found.setdefault((app_label, name), set()).add(key)
        for key, replaces in self._stored_squashes.items():
            if self._follows_its_originals(key):
                found.setdefault(key, set()).update(replaces)
            else:
                for one in replaces:
                    found.setdefault(one, set()).add(key)
        return found

    def in_place_of(self, key: Key) -> set[Key]:
        """Return what stands for a migration, which may have been replaced more than once."""
        return closure([key], self._substitutes)

    def settled(self, keys: Iterable[Key]) -> set[Key]:
        """Return what stands for migrations in the end: of those that were replaced, what did."""
        standing = (substitute for key in keys for substitute in self.in_place_of(key))
        return {key for key in standing if not self._substitutes.get(key)}

    @cached_property
    def companions(self) -> dict[Key, set[Key]]:
        """
        For a migration: the records that go when it is unapplied.

        Those that it superseded, those that it replaced, though its file may not say
        so any more, and the squashed migration whose originals are on disk again.
        """
        found: dict[Key, set[Key]] = {}
        for key, replaces in self._stored_squashes.items():
            if self._follows_its_originals(key):
                for original in replaces:
                    found.setdefault(original, set()).add(key)
            else:
                gone = {one for one in replaces if one in self.applied and one not in self.disk}
                found.setdefault(key, set()).update(gone)
        for key, standing in self.standing.items():
            if standing is Standing.SUPERSEDED:
                found.setdefault(self._superseder(key), set()).add(key)
        return found

    def left_behind(self, undone: Collection[Key]) -> Iterator[tuple[Key, Key, Loss]]:
        """
        Yield what no record would stand for any more, with who made it and the step that its record goes with.

        What a file has superseded goes when the file is undone, but for what it made beside that.
        """
        superseded = set(self.of(Standing.SUPERSEDED))
        going = [
            (step, key) for step in undone for key in sorted(self.companions.get(step, set()) & superseded)
        ]
        if not going:
            return
        of_files, maker = self._made_on_disk(without=set())
        names = Names()
        for key in self._in_order:
            names.follow(key[0], self.effects(key))
        beside = names.needed() - of_files
        for step, key in going:
            for table, column in self._losses[key]:
                # A table takes its columns along.
                if (table, column) in beside and maker.get((table, None)) not in undone:
                    yield step, key, (table, column)

    # Superseded -------------------------------------------------------------

    @cached_property
    def superseded_by(self) -> dict[Key, Key]:
        """
        Missing migrations whose undoing would take what a file's migration made.

        People remake 0001 and leave the old rows behind.
        """
        found = {}
        for key, lost in self._losses.items():
            losses = [loss for loss in lost if loss not in self._made_anew.get(key, ())]
            taken = next((loss for loss in losses if loss in self._needed), None)
            if taken is None:
                continue
            needed, maker = self._made_on_disk(without=self._descendants(key))
            taken = next((loss for loss in losses if loss in needed), None)
            if taken is not None:
                found[key] = maker.get(taken) or next(iter(maker.values()))
        return found

    def _superseder(self, key: Key) -> Key:
        direct = self.superseded_by.get(key)
        if direct:
            return direct
        group = closure([key], self._ties(self.without_file))
        return next(self.superseded_by[one] for one in sorted(group) if one in self.superseded_by)

    def _spread(self, start: Iterable[Key], among: Mapping[Key, Standing]) -> set[Key]:
        """What hangs together with a superseded migration is as old as that."""
        missing = [key for key, standing in among.items() if self._could_be_undone(key, standing)]
        wanted = [key for key in start if key in missing]
        return closure(wanted, self._ties(missing))

    def _ties(self, keys: Iterable[Key]) -> dict[Key, set[Key]]:
        """Return dependencies in both directions among the keys, within their apps."""
        ties: dict[Key, set[Key]] = {}
        wanted = set(keys)
        for key in wanted:
            for parent in self._dependencies(key):
                if parent in wanted and parent[0] == key[0]:
                    ties.setdefault(key, set()).add(parent)
                    ties.setdefault(parent, set()).add(key)
        return ties

    def _in_use(self, found: Mapping[Key, Standing]) -> set[Key]:
        """Missing migrations without which an installed model has no table."""
        missing = [key for key, standing in found.items() if standing in _UNDOABLE]
        keepers = [
            key
            for key in missing
            if any(
                loss[1] is None and loss[0] in self.tables_in_use and loss not in self._made_anew.get(key, ())
                for loss in self._losses.get(key, ())
            )
        ]
        parents = {
            key: [parent for parent in self._dependencies(key) if parent in missing] for key in missing
        }
        return closure(keepers, parents)

    @cached_property
    def _losses(self) -> dict[Key, list[Loss]]:
        """What would disappear if a migration without a file were undone."""
        names = Names()
        found = {}
        for key in self._in_order:
            effects = self.effects(key)
            if key not in self.disk:
                found[key] = names.losses(key[0], effects)
            names.follow(key[0], effects)
        return found

    @cached_property
    def _made_anew(self) -> dict[Key, set[Loss]]:
        """
        What a migration without a file made in the place of what a file had made.

        It, or another one, has removed or renamed that before: undoing brings that
        back, and so takes nothing that the file needs.
        """
        names = Names()
        of_files: set[Loss] = set()
        taken: set[Loss] = set()
        found: dict[Key, set[Loss]] = {}
        for key in self._in_order:
            ran = self._outline_of_what_ran(key)
            for effect in self.effects(key):
                gone, made = names.step(key[0], effect)
                if key not in self.disk:
                    taken |= gone & of_files
                    found.setdefault(key, set()).update(made & taken)
                elif ran is None or outline(effect) in ran:
                    of_files |= made
                if key in self.disk:
                    # From here on it is the file's.
                    taken -= made
                    for anew in found.values():
                        anew -= made
                of_files -= gone
        return found

    def _outline_of_what_ran(self, key: Key) -> set[tuple[object, ...]] | None:
        """Return what is known to have run of a file that may have been remade since, or None."""
        stored = self.stored.get(key)
        if stored is None or stored.record_id != self.applied[key] or why_unusable(stored) is not None:
            return None
        if not stored.metadata.is_described:
            return None
        return {outline(effect) for effect in stored.metadata.effects}

    @cached_property
    def _needed(self) -> set[Loss]:
        return self._made_on_disk(without=set())[0]

    def _made_on_disk(self, without: set[Key]) -> tuple[set[Loss], dict[Loss, Key]]:
        """Return the tables and columns of what is applied from disk, and who made each."""
        names = Names()
        maker: dict[Loss, Key] = {}
        for key in self._in_order:
            if key in self.disk and key not in without:
                names.follow(key[0], self.effects(key))
                for made in names.needed_by(key[0], self.effects(key)):
                    maker.setdefault(made, key)
        return names.needed(), maker

    def effects(self, key: Key) -> list[Effect]:
        """Return what a migration does: from its file, else from what was stored."""
        if key in self.disk:
            return effects_of(self.disk[key])
        stored = self.stored.get(key)
        if stored is None or why_unusable(stored) is not None:
            return []
        return stored.metadata.effects

    def lasting_effects(self, keys: Iterable[Key]) -> dict[Key, list[Effect]]:
        """Return what is left by now of what these applied migrations did."""
        left = lasting((key, self.effects(key)) for key in self._in_order)
        return {key: left[key] for key in keys}

    def _dependencies(self, key: Key) -> list[Key]:
        """Return what a migration depends on, and what stands for that where it was replaced."""
        found: set[Key] = set()
        for app_label, name in self._written_dependencies(key):
            if name not in ("__first__", "__latest__"):
                found |= self.in_place_of((app_label, name))
            elif app_label != key[0]:
                found.update(self._first(app_label) if name == "__first__" else self._latest(key, app_label))
        return sorted(found - {key})

    def _first(self, app_label: str) -> list[Key]:
        """Return what `__first__` means for an app: where its applied migrations begin."""
        members = self._applied_members(app_label)
        return [key for key in members if not self._within_app(key) & set(members)][:1]

    def _latest(self, key: Key, app_label: str) -> list[Key]:
        """Return what `__latest__` meant for an app when a migration of another was applied."""
        bound = self.ids.get(key)
        members = [one for one in self._applied_members(app_label) if bound is None or self.ids[one] < bound]
        inner = set().union(*(self._within_app(one) for one in members))
        return [one for one in members if one not in inner][-1:]

    def _applied_members(self, app_label: str) -> list[Key]:
        """Return the applied migrations of an app in order, those that were replaced left out."""
        return [
            key
            for key in self._in_order
            if key[0] == app_label and key not in self._replaced and not self._follows_its_originals(key)
        ]

    def _within_app(self, key: Key) -> set[Key]:
        """Return what a migration depends on in its own app."""
        named = (one for one in self._written_dependencies(key) if one[0] == key[0])
        return {substitute for one in named for substitute in self.in_place_of(one)} - {key}

    def _written_dependencies(self, key: Key) -> list[Key]:
        if key in self.disk:
            return [(app_label, name) for app_label, name in self.disk[key].dependencies]
        stored = self.stored.get(key)
        if stored is None or why_unusable(stored) is not None:
            return []
        return stored.metadata.dependencies

    def _descendants(self, key: Key) -> set[Key]:
        return closure([key], self._children) - {key}

    @cached_property
    def _children(self) -> dict[Key, list[Key]]:
        children: dict[Key, list[Key]] = {}
        for key in {*self.disk, *self.without_file}:
            for parent in self._dependencies(key):
                children.setdefault(parent, []).append(key)
        return children

    def dependents_in_removed_apps(self, undone: Iterable[Key]) -> list[tuple[Key, Key]]:
        """Return (dependent, undone) for migrations of apps that are not installed."""
        wanted = set(undone)
        return [
            (key, parent)
            for key in self.of(Standing.REMOVED_APP)
            for parent in self._dependencies(key)
            if parent in wanted and key not in wanted
        ]


def tables_in_use() -> frozenset[str]:
    """Return the tables of the installed models, and those between many-to-many models."""
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))


def _file_or_git(key: Key) -> str:
    return (
        f"Bring back the file of {label(key)} and try again, or look for it in git: "
        f"'manage.py backfill_migration_code {key[0]} --from-git'."
    )
