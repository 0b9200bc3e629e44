"""What has to go, and in which order. Pure: a graph and keys go in, keys come out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from django.db.migrations import Migration
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.migration import SwappableTuple

from ..utils.types import Applied, Key

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


def inverted(edges: Edges) -> dict[Key, list[Key]]:
    """Return the same edges in the other direction."""
    found: dict[Key, list[Key]] = {}
    for key, others in edges.items():
        for other in others:
            found.setdefault(other, []).append(key)
    return found


def target_below(key: Key, parents: Iterable[Key]) -> str:
    """Return the target to name to have a migration unapplied, too."""
    return max((name for app_label, name in parents if app_label == key[0]), default="zero")


def apps_by_setting(migration: Migration) -> set[str]:
    """Return the apps that a migration depends on because a setting names them, as AUTH_USER_MODEL does."""
    return {one[0] for one in migration.dependencies if isinstance(one, SwappableTuple)}


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

    The ids of `django_migrations` are that order. It need not be topological: faked and
    squashed migrations are recorded whenever that happens to be done. A key without an id
    counts as the newest.
    """
    wanted = set(keys)
    newest = max(applied.values(), default=0) + 1
    sorter = TopologicalSorter({key: wanted.intersection(parents.get(key, ())) for key in wanted})
    with suppress(CycleError):
        # What is part of a circle has no place in an order, and is left out.
        sorter.prepare()
    ready: list[tuple[int, Key]] = []
    order = []
    while sorter.is_active():
        for key in sorter.get_ready():
            heapq.heappush(ready, (applied.get(key, newest), key))
        _, key = heapq.heappop(ready)
        order.append(key)
        sorter.done(key)
    return order


def along_graph(ids: Applied, parents: Edges) -> Applied:
    """
    Return ids of `django_migrations` in the order of application, dealt out anew where they contradict the graph.

    Nobody signs them, and records are also made by hand: what depends on something came after it.
    """
    order = in_applied_order(ids, parents, ids)
    # What is part of a circle, and what stands on that.
    order += sorted(ids.keys() - set(order), key=ids.__getitem__)
    return dict(zip(order, sorted(ids.values())))
