"""Which missing migrations made what a file, or an installed model, has by now: from what each migration does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from ..schema.effects import outline
from ..schema.graph import closure, in_applied_order, inverted
from ..schema.lineage import Names, Place, made_by
from ..sources.stored import StoredMigration, why_unusable
from ..utils.types import Effect, Key
from .squashes import originals_of, standing_together


class Applied(Protocol):
    """What is asked of a `Snapshot`, which asks this module in its turn."""

    @property
    def files(self) -> Mapping[Key, Any]: ...
    @property
    def absent(self) -> list[Key]: ...
    @property
    def history(self) -> dict[Key, list[Effect]]: ...
    @property
    def redone(self) -> Collection[Key]: ...
    @property
    def tables_in_use(self) -> frozenset[str]: ...
    def bound(self, key: Key) -> StoredMigration | None: ...

    def dependencies(self, key: Key) -> list[Key]: ...


class Recreated:
    """What the applied migrations of a database have made, one after the other, and whose it is."""

    def __init__(self, snapshot: Applied) -> None:
        self.snapshot = snapshot
        # What would disappear if a migration without a file were rolled back, under its name of now.
        self._losses: dict[Key, list[Place]] = {}
        for key, place in made_by(snapshot.absent, snapshot.history):
            self._losses.setdefault(key, []).append(place)
        names, of_files = Names(), Names()
        for key, effects in snapshot.history.items():
            if key in snapshot.files:
                _follow_file(of_files, key[0], effects)
            names.follow(key[0], effects)
        # The tables and columns of all that is applied, and of what has a file.
        self._all, self._needed = names.needed(), of_files.needed()

    @cached_property
    def by(self) -> dict[Key, Key]:
        """
        Missing migrations that would take away what a file has made when they are rolled back, with that file's.

        People remake 0001 and leave the old records behind.
        """
        recreated = {}
        for key, lost in self._losses.items():
            losses = [loss for loss in lost if loss in self._needed]
            losses = [loss for loss in losses if loss not in self._made_anew]
            if losses:
                needed, maker = self._made_by_files(without=self._descendants(key))
                taken = next((loss for loss in losses if loss in needed), None)
                if taken is not None:
                    recreated[key] = maker.get(taken) or next(iter(maker.values()))
        return recreated

    def maker(self, key: Key) -> Key:
        """Return the migration on disk because of which one is recreated, perhaps by what hangs together with it."""
        group = [key] if key in self.by else sorted(closure([key], self._ties(self.snapshot.absent)))
        return next(self.by[member] for member in group if member in self.by)

    def among(self, missing: Collection[Key]) -> set[Key]:
        """
        Return the missing migrations that are recreated: what hangs together with one is as old as that.

        What was built on top of one, and has a table or a column of its own, is not; nor is what stands on that.
        """
        found = self.by.keys() & missing
        together = closure(found, self._ties(missing))
        on_top = (closure(found, self._children) & together) - found
        of_its_own = closure(filter(self._has_something_of_its_own, on_top), self._children)
        return (together - of_its_own) | found

    def _has_something_of_its_own(self, key: Key) -> bool:
        return any(loss not in self._needed or loss in self._made_anew for loss in self._losses.get(key, ()))

    def _ties(self, keys: Iterable[Key]) -> dict[Key, set[Key]]:
        """Return dependencies in both directions among the keys, within their apps."""
        ties: dict[Key, set[Key]] = {}
        wanted = set(keys)
        for key in wanted:
            for parent in self.snapshot.dependencies(key):
                if parent in wanted and parent[0] == key[0]:
                    ties.setdefault(key, set()).add(parent)
                    ties.setdefault(parent, set()).add(key)
        return ties

    def with_table_in_use(self, missing: Collection[Key]) -> set[Key]:
        """Return the missing migrations without which an installed model has no table."""
        in_use = self.snapshot.tables_in_use - self._to_be_made
        keepers = [
            key
            for key in missing
            if any(
                column is None and table in in_use and (table, column) not in self._made_anew
                for table, column in self._losses.get(key, ())
            )
        ]
        parents = {
            key: [parent for parent in self.snapshot.dependencies(key) if parent in missing]
            for key in missing
        }
        return closure(keepers, parents)

    @cached_property
    def _to_be_made(self) -> set[str]:
        """The tables that files still have to make, so that no installed model uses them yet."""
        names = Names()
        for key, effects in self.snapshot.history.items():
            if key in self.snapshot.files:
                names.follow(key[0], effects)
        to_be_made: set[Place] = set()
        for key in self._not_applied():
            for effect in self.snapshot.files[key].effects:
                _, made = names.step(key[0], effect)
                # Told to the state alone, a table is there already.
                to_be_made |= made if effect["database"] else set()
        return {table for table, column in to_be_made if column is None}

    def _not_applied(self) -> list[Key]:
        """Return the files that nothing applied stands for, or that are going to be redone, parents first."""
        files = self.snapshot.files
        waiting = files.keys() - standing_together({*self.snapshot.history}, originals_of(files))
        waiting |= {*self.snapshot.redone}
        return in_applied_order(waiting, {key: files[key].dependencies for key in waiting}, {})

    def left_behind(
        self, rolled_back: Collection[Key], followers: Mapping[Key, Collection[Key]]
    ) -> Iterator[tuple[Key, Key, Place]]:
        """
        Yield what no record would stand for any more: the step, the recreated one that goes with it, and the loss.

        What was recreated goes when the file is rolled back, but for what it made beside that.

        Args:
            followers: the recreated ones whose records go with each migration.
        """
        going = [(step, key) for step in rolled_back for key in sorted(followers.get(step, ()))]
        if not going:
            return
        _, maker = self._made_by_files(without=set())
        for step, key in going:
            for table, column in self._losses.get(key, ()):
                # A table takes its columns along.
                if (table, column) in self._all - self._needed and maker.get(
                    (table, None)
                ) not in rolled_back:
                    yield step, key, (table, column)

    @cached_property
    def _made_anew(self) -> set[Place]:
        """
        What migrations without a file have put in the place of what a file had made.

        They have removed or renamed that before: rolling them back brings that back, and so takes
        nothing that the file needs. What has the name by now may be a column that an earlier one
        of them made under another.
        """
        names = Names()
        of_files: set[Place] = set()
        taken: set[Place] = set()
        made_anew: set[Place] = set()
        files = self.snapshot.files
        for key, effects in self.snapshot.history.items():
            applied = self._outline_of_applied_version(key)
            for effect in effects:
                gone, made = names.step(key[0], effect)
                if key not in files:
                    taken |= gone & of_files
                    made_anew |= made & taken
                elif applied is None or outline(effect) in applied:
                    of_files |= made
                if key in files:
                    # From here on it is the file's.
                    taken -= made
                    made_anew -= made
                of_files -= gone
        return made_anew

    def _outline_of_applied_version(self, key: Key) -> set[tuple[object, ...]] | None:
        """Return what is known to have been applied of a file that may have been remade since, or None."""
        stored = self.snapshot.bound(key)
        if stored is None or why_unusable(stored) is not None or not stored.metadata.is_described:
            return None
        return {outline(effect) for effect in stored.metadata.effects}

    def _made_by_files(self, without: set[Key]) -> tuple[set[Place], dict[Place, Key]]:
        """Return the tables and columns of files that are applied, and who made each."""
        names = Names()
        maker: dict[Place, Key] = {}
        for key, effects in self.snapshot.history.items():
            if key in self.snapshot.files and key not in without:
                _follow_file(names, key[0], effects)
                for made in names.needed_by(key[0], effects):
                    maker.setdefault(made, key)
        return names.needed(), maker

    def _descendants(self, key: Key) -> set[Key]:
        return closure([key], self._children) - {key}

    @cached_property
    def _children(self) -> dict[Key, list[Key]]:
        known = {*self.snapshot.files, *self.snapshot.absent}
        return inverted({key: self.snapshot.dependencies(key) for key in known})


def _follow_file(names: Names, app_label: str, effects: Iterable[Effect]) -> None:
    """Take over what a file does to tables and columns of files; a field that none has made is not theirs."""
    for effect in effects:
        is_change = effect["effect"] in ("alter_field", "rename_field")
        model = (app_label, effect.get("model", ""))
        if is_change and model in names.tables and effect["field"] not in names.columns.get(model, {}):
            continue
        names.follow(app_label, [effect])
