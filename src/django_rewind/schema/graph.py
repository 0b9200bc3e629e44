"""What has to go, and in which order. Pure: a graph and keys go in, keys come out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import TypeVar

from django.db.migrations.graph import MigrationGraph

from ..utils.types import Applied, Key

__all__ = ["children_in", "closure", "in_applied_order", "parents_in"]

# key -> the keys next to it in one direction of the graph.
Edges = Mapping[Key, Iterable[Key]]

# The keys of migrations, or the names of modules.
Node = TypeVar("Node")


def parents_in(graph: MigrationGraph) -> dict[Key, list[Key]]:
    """Return what each node of a graph depends on."""
    return {key: [parent.key for parent in node.parents] for key, node in graph.node_map.items()}


def children_in(graph: MigrationGraph) -> dict[Key, list[Key]]:
    """Return what depends on each node of a graph."""
    return {key: [child.key for child in node.children] for key, node in graph.node_map.items()}


def closure(start: Iterable[Node], edges: Mapping[Node, Iterable[Node]]) -> set[Node]:
    """Return the nodes and everything that can be reached from them."""
    found: set[Node] = set()
    todo = list(start)
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo.extend(edges.get(node, ()))
    return found


def in_applied_order(keys: Iterable[Key], parents: Edges, applied: Applied) -> list[Key]:
    """
    Sort keys by the order in which they were applied, parents always first.

    The ids of `django_migrations` are that order. It need not be topological:
    faked and squashed migrations are recorded whenever that happens to be done.

    Args:
        keys: what is to be sorted.
        parents: the graph; edges that lead out of `keys` do not count.
        applied: the id of each key; without one a key counts as the newest.
    """
    wanted = set(keys)
    newest = max(applied.values(), default=0) + 1
    waiting = {key: {p for p in parents.get(key, ()) if p in wanted} for key in wanted}
    children: dict[Key, list[Key]] = {}
    for key, before in waiting.items():
        for parent in before:
            children.setdefault(parent, []).append(key)
    ready = [(applied.get(key, newest), key) for key, before in waiting.items() if not before]
    heapq.heapify(ready)
    order = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(key)
        for child in children.get(key, ()):
            waiting[child].discard(key)
            if not waiting[child]:
                heapq.heappush(ready, (applied.get(child, newest), child))
    return order
