"""
Missing migrations that are on disk under another name, as after a rebase.

Undoing the one and applying the other would throw the data of its columns away.
They are recognised by their texts: the same program but for what places it in the
graph.
"""

from __future__ import annotations

import ast
from functools import cached_property

from ..schema.graph import closure, parents_in
from ..sources.compare import dump
from ..sources.signing import Verdict
from ..storage.store import Store
from ..utils.syntax import LONGEST_TO_COMPARE, parse_text
from ..utils.types import Key
from .files import Edits, text_on_disk
from .loader import RewindLoader
from .snapshot import FileStatus

__all__ = ["Adoptions"]

# Attributes of a migration that a new number or another parent changes.
_PLACE = {"dependencies", "initial", "replaces", "run_before"}


class Adoptions:
    """
    The missing migrations of a database and the files that do the same.

    Args:
        loader: knows what is applied, what is missing, and what the files depend on.
    """

    def __init__(self, loader: RewindLoader) -> None:
        self.loader = loader
        self.snapshot = loader.snapshot
        self.store = Store(loader.connection)
        self.edits = Edits(self.store)
        self.applied = set(loader.applied_migrations)

    @cached_property
    def pairs(self) -> dict[Key, Key]:
        """The files to adopt, by the missing migrations that they stand for."""
        missing = [
            key
            for key in self.snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
            if key in self.snapshot.stored and self.snapshot.stored[key].verdict is Verdict.VERIFIED
        ]
        apps = {app_label for app_label, _ in missing}
        free = [key for key in self.snapshot.files if key[0] in apps and key not in self.applied]
        if not missing or not free:
            return {}
        return self._pairs(missing, sorted(free))

    def _pairs(self, missing: list[Key], free: list[Key]) -> dict[Key, Key]:
        """Pair what does the same, in the order in which it was applied and is numbered."""
        programs = {key: program(text_on_disk(key) or "") for key in free}
        texts = self.store.texts(missing)
        pairs: dict[Key, Key] = {}
        for key in missing:
            wanted = program(texts.get(key, ""))
            alike = (
                other
                for other in free
                if other[0] == key[0] and programs[other] == wanted and other not in pairs.values()
            )
            found = next(alike, None) if wanted else None
            if found is not None and not self.edits.changes.is_bundle_modified(self.snapshot.stored[key]):
                pairs[key] = found
        return pairs

    def waiting(self) -> dict[Key, list[Key]]:
        """
        Return the files that cannot be adopted yet, with what they depend on and is not applied.

        Recorded as applied before its dependency, a migration is an inconsistent
        history to Django.
        """
        waiting: dict[Key, list[Key]] = {}
        while True:
            ready = {*self.applied, *self.pairs.values()} - waiting.keys()
            for key in self.pairs.values():
                lacking = [parent for parent in self._parents(key) if parent not in ready]
                if lacking and key not in waiting:
                    waiting[key] = lacking
                    break
            else:
                return waiting

    def wanted_first(self) -> Key | None:
        """Return a file that has to be applied before something can be adopted, if one can be."""
        parents = parents_in(self.loader.graph)
        renamed = set(self.pairs.values())
        for wanted in self.waiting().values():
            for key in wanted:
                if key not in renamed and not closure([key], parents) & (renamed - self.applied):
                    return key
        return None

    def _parents(self, key: Key) -> list[Key]:
        node = self.loader.graph.node_map.get(key)
        return [parent.key for parent in node.parents] if node else []


def program(text: str) -> str | None:
    """
    Return what a text does in a form that can be compared, without its place in the graph.

    None where it does nothing, as one that only merges: all of those are the same.
    """
    tree = parse_text(text) if len(text) <= LONGEST_TO_COMPARE else None
    if tree is None:
        return None
    works = False
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "Migration":
            works = any(_assigns(one, {"operations"}) and not _is_empty(one) for one in node.body)
            node.body = [one for one in node.body if not _assigns(one, _PLACE)]
    try:
        return dump(tree) if works else None
    except (RecursionError, ValueError):
        # Too deep, or with a number that is too long to be written down.
        return None


def _assigns(statement: ast.stmt, names: set[str]) -> bool:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    else:
        return False
    return any(isinstance(target, ast.Name) and target.id in names for target in targets)


def _is_empty(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(value, ast.List) and not value.elts
