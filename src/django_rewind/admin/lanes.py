"""
Where the migrations of an app stand in a picture: time from top to bottom, branches side by side.

Pure: keys and what they depend on go in, rows and lanes come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django_rewind.utils.types import Key

__all__ = ["Edge", "Lanes", "lanes_of"]


@dataclass(frozen=True)
class Edge:
    """From what a migration depends on to the migration, and the lane in which the line goes down."""

    parent: Key
    child: Key
    lane: int


@dataclass(frozen=True)
class Lanes:
    """The row and the lane of each migration, from the top and from the left, and the lines between them."""

    rows: Mapping[Key, int]
    of: Mapping[Key, int]
    edges: list[Edge]
    width: int


def lanes_of(order: Iterable[Key], parents: Mapping[Key, Iterable[Key]]) -> Lanes:
    """
    Put each migration below the first of its parents, or beside what stands there already.

    No line goes through a migration, and none through another line but where it turns.

    Args:
        order: from top to bottom, parents first.
        parents: of each; those that are not above it do not count.
    """
    rows = {key: number for number, key in enumerate(order)}
    above = {
        key: [one for one in dict.fromkeys(parents.get(key, ())) if rows.get(one, number) < number]
        for key, number in rows.items()
    }
    return _Drawing(rows, above).lanes()


class _Drawing:
    """The lanes as they are taken and left from top to bottom."""

    def __init__(self, rows: Mapping[Key, int], parents: Mapping[Key, list[Key]]) -> None:
        self.rows = rows
        self.parents = parents
        self.children: dict[Key, list[Key]] = {key: [] for key in rows}
        for key in rows:
            for parent in parents[key]:
                self.children[parent].append(key)
        self.is_taken: list[bool] = []
        self.of: dict[Key, int] = {}
        self.edges: dict[tuple[Key, Key], int] = {}

    def lanes(self) -> Lanes:
        for key in self.rows:
            self._arrive(key)
            self._leave(key)
        edges = [Edge(parent, child, lane) for (parent, child), lane in self.edges.items()]
        return Lanes(self.rows, self.of, edges, max(1, len(self.is_taken)))

    def _arrive(self, key: Key) -> None:
        """Put a migration where the line from its first parent ends; the other lines end here too."""
        coming = [self.edges[parent, key] for parent in self.parents[key]]
        self.of[key] = coming[0] if coming else self._free_lane()
        for lane in coming[1:]:
            self.is_taken[lane] = False

    def _leave(self, key: Key) -> None:
        """Take a lane for each line that goes on from here; one of them is the lane that it stands in."""
        own = self.of[key]
        is_left = True
        # Whose first parent it is goes straight down.
        for child in sorted(self.children[key], key=lambda child: self.parents[child][0] != key):
            self.edges[key, child] = own if is_left else self._free_lane()
            is_left = False
        self.is_taken[own] = not is_left

    def _free_lane(self) -> int:
        if False not in self.is_taken:
            self.is_taken.append(False)
        lane = self.is_taken.index(False)
        self.is_taken[lane] = True
        return lane
