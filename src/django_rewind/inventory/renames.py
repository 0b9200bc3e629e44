"""
Missing migrations that are on disk under another name, as after a rebase.

Rolling back the one and applying the other would throw the data of its columns away. They are recognised by
their texts: the same program but for what places it in the graph.
"""

from __future__ import annotations

import ast

from ..sources.compare import dump
from ..sources.signing import Verdict
from ..utils.syntax import LONGEST_TO_COMPARE, parse_text
from ..utils.types import Key
from .files import Files, text_on_disk
from .snapshot import FileStatus, Snapshot

# Attributes of a migration that a new number or another parent changes.
_PLACE = {"dependencies", "initial", "replaces", "run_before"}


def renames(snapshot: Snapshot, files: Files) -> dict[Key, Key]:
    """
    Return the files that do the same as missing migrations, by those: in the order of application, and of numbers.

    Args:
        files: compares with what is stored, and reads it.
    """
    stored = snapshot.stored
    missing = [
        key
        for key in snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE)
        if key in stored and stored[key].verdict is Verdict.VERIFIED
    ]
    apps = {app_label for app_label, _ in missing}
    free = sorted(key for key in snapshot.files if key[0] in apps and key not in snapshot.applied)
    if not missing or not free:
        return {}
    programs = {key: program(text_on_disk(key) or "") for key in free}
    texts = files.store.texts(missing)
    pairs: dict[Key, Key] = {}
    for key in missing:
        text = texts.get(key, "")
        wanted = program(text) if stored[key].is_its_text(text) else None
        alike = [
            file
            for file in free
            if file[0] == key[0] and programs[file] == wanted and file not in pairs.values()
        ]
        if wanted and alike and not files.changes.is_bundle_modified(stored[key]):
            pairs[key] = alike[0]
    return pairs


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
