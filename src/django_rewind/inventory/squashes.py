"""Which migrations stand for which others: everything that is read out of `replaces`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..schema.graph import closure
from ..utils.types import Applied, Key

if TYPE_CHECKING:
    from ..sources.stored import StoredMigration

# A squashed migration -> what it replaces.
Replaces = Mapping[Key, Collection[Key]]


class Squashes:
    """
    The squashed migrations of one database.

    Args:
        by_file: those that Django keeps in its graph and counts as applied, as their files say it.
        by_store: applied ones as they were stored. People delete `replaces` from a file after a while.
        files: every migration that has a file.
        renamed: the new names of migrations, by those that others know them by.
    """

    def __init__(
        self,
        by_file: Replaces,
        by_store: Replaces,
        files: Collection[Key],
        renamed: Mapping[Key, Key] = {},
    ) -> None:
        self.by_file = by_file
        self.by_store = by_store
        self.files = files
        self.renamed = renamed

    def follows_originals(self, key: Key) -> bool:
        """
        Say whether a squashed migration is back to its originals on disk.

        Some of them are enough: on a checkout from before it, what came after those is rolled back one by one.
        """
        if key in self.files:
            return False
        # Squashed migrations may have been squashed again.
        return not closure(self.by_store.get(key, ()), self.by_store).isdisjoint(self.files)

    @cached_property
    def squashed(self) -> set[Key]:
        """Every migration that a squashed one stands for."""
        standing = (replaces for key, replaces in self.by_store.items() if not self.follows_originals(key))
        return set().union(*self.by_file.values(), *standing)

    def without_record(self, applied: Collection[Key]) -> dict[Key, Key]:
        """
        Return the originals that have no record, each with the squashed migration because of which it is applied.

        Somebody has pruned their records, and this is a checkout from before that.
        """
        return {
            original: key
            for key, replaces in self.by_store.items()
            if self.follows_originals(key)
            for original in closure(replaces, self.by_store)
            if original not in applied
        }

    def is_squashed(self, key: Key) -> bool:
        """Say whether another migration stands for this one, be it a squash or the originals of one."""
        return key in self.squashed or self.follows_originals(key)

    @cached_property
    def _substitutes(self) -> dict[Key, set[Key]]:
        substitutes: dict[Key, set[Key]] = {old: {new} for old, new in self.renamed.items()}
        for key, replaces in (*self.by_file.items(), *self.by_store.items()):
            if self.follows_originals(key):
                substitutes.setdefault(key, set()).update(replaces)
            else:
                for original in replaces:
                    substitutes.setdefault(original, set()).add(key)
        return substitutes

    def in_place_of(self, key: Key) -> set[Key]:
        """Return what stands for a migration, which may have been replaced more than once, and itself."""
        return closure([key], self._substitutes)

    def settled(self, keys: Iterable[Key]) -> set[Key]:
        """Return what stands for migrations in the end: of those that were replaced, what did."""
        standing = (substitute for key in keys for substitute in self.in_place_of(key))
        return {key for key in standing if not self._substitutes.get(key)}

    def followers(self, applied: Collection[Key]) -> dict[Key, set[Key]]:
        """
        Return, for a migration, the records of others that go when it is unapplied.

        Those that it replaced, though its file may not say so any more, and the squashed migration whose
        originals are on disk again.
        """
        nearest: dict[Key, set[Key]] = {}
        for key, replaces in self.by_store.items():
            if self.follows_originals(key):
                for original in replaces:
                    nearest.setdefault(original, set()).add(key)
            else:
                nearest.setdefault(key, set()).update(replaces)
        followers = {key: closure(others, nearest) - {key} for key, others in nearest.items()}
        return {
            key: {other for other in others if other in applied and other not in self.files}
            for key, others in followers.items()
        }

    def order(self, applied: Applied) -> Applied:
        """Return the ids of what is applied as its order, also of what squashed others under another name."""
        return in_order_of_originals(applied, {**self.by_store, **self.by_file})


def originals_of(migrations: Mapping[Key, Any]) -> dict[Key, list[Key]]:
    """Return what each squashed migration replaces, of migrations or of descriptions of them."""
    return {
        key: [(original[0], original[1]) for original in migration.replaces]
        for key, migration in migrations.items()
        if migration.replaces
    }


def to_the_end(squashes: Replaces) -> dict[Key, set[Key]]:
    """Return what each squashed migration replaces, and what squashed ones among that replace in their turn."""
    return {key: closure(replaces, squashes) for key, replaces in squashes.items()}


def stored_originals(
    stored: Mapping[Key, StoredMigration], is_usable: Callable[[StoredMigration], bool]
) -> dict[Key, list[Key]]:
    """Return what each stored squashed migration replaces that is of use."""
    originals = {}
    for key, row in stored.items():
        # Looked for in the text first: most rows need not be parsed.
        if '"replaces": []' not in row.metadata_text and is_usable(row):
            with suppress(ValueError):
                originals[key] = row.metadata.replaces
    return originals


def through_pruned(squashes: Replaces, applied: Collection[Key]) -> dict[Key, Collection[Key]]:
    """Return what applied squashed migrations replace, and what those among that replaced that have no record."""
    pruned = {key: replaces for key, replaces in squashes.items() if key not in applied}
    return {key: sorted(closure(squashes[key], pruned)) for key in squashes if key in applied}


def standing_together(applied: set[Key], *squashes: Replaces) -> set[Key]:
    """Return what is applied, what it stands for, and what stands for something applied."""
    originals: dict[Key, list[Key]] = {}
    for replaces in squashes:
        for key, replaced in replaces.items():
            originals.setdefault(key, []).extend(replaced)
    standing_for = {key for key, replaced in originals.items() if not applied.isdisjoint(replaced)}
    return closure({*applied, *standing_for}, originals)


def in_order_of_originals(applied: Applied, squashes: Replaces) -> Applied:
    """
    Return the ids of what is applied, where a squashed migration has the highest of those that it replaced.

    It did their work when they did it.
    """
    known = {
        key: [one for one in replaces if one in applied or one in squashes]
        for key, replaces in squashes.items()
    }

    def highest(key: Key) -> int:
        # Squashed migrations may have been squashed again; what is made up, by themselves.
        originals = [one for one in closure([key], known) if not known.get(one)]
        return max((applied.get(one, 0) for one in originals), default=applied.get(key, 0))

    return {**applied, **{key: highest(key) for key in squashes}}
