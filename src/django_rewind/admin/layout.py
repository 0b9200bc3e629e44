"""
Where the migrations of an app stand in a graph: time from top to bottom, branches side by side.

Pure: keys and what they depend on go in, rows and columns come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django_rewind.utils.types import Key


@dataclass(frozen=True)
class Edge:
    """From what a migration depends on to the migration, and the column in which the line goes down."""

    parent: Key
    child: Key
    column: int


@dataclass(frozen=True)
class Layout:
    """The row and the column of each migration, from the top and from the left, and the lines between them."""

    rows: Mapping[Key, int]
    columns: Mapping[Key, int]
    edges: list[Edge]
    width: int


def layout_of(order: Iterable[Key], parents: Mapping[Key, Iterable[Key]]) -> Layout:
    """
    Put each migration below the first of its parents, or beside what stands there already.

    The order is from top to bottom, parents first; those that are not above a migration do
    not count. No line goes through a migration, and none through another line but where it turns.
    """
    rows = {key: number for number, key in enumerate(order)}
    above = {
        key: [parent for parent in dict.fromkeys(parents.get(key, ())) if rows.get(parent, number) < number]
        for key, number in rows.items()
    }
    children: dict[Key, list[Key]] = {key: [] for key in rows}
    for key in rows:
        for parent in above[key]:
            children[parent].append(key)
    is_taken: list[bool] = []
    columns: dict[Key, int] = {}
    lines: dict[tuple[Key, Key], int] = {}

    def free_column() -> int:
        if False not in is_taken:
            is_taken.append(False)
        column = is_taken.index(False)
        is_taken[column] = True
        return column

    for key in rows:
        # A migration stands where the line from its first parent ends; the other lines end here too.
        coming = [lines[parent, key] for parent in above[key]]
        own = columns[key] = coming[0] if coming else free_column()
        for column in coming[1:]:
            is_taken[column] = False
        # One of the lines that go on from here keeps the column: to a child whose first parent this is.
        leaving = sorted(children[key], key=lambda child: above[child][0] != key)
        for child in leaving:
            lines[key, child] = own if child == leaving[0] else free_column()
        is_taken[own] = bool(leaving)
    edges = [Edge(parent, child, column) for (parent, child), column in lines.items()]
    return Layout(rows, columns, edges, max(1, len(is_taken)))
