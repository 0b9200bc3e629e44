"""
The commit that a work tree has checked out, read from its files.

It is noted with every run, and starting git would take longer than many a migration.
`git.py` asks git itself, where the history is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..utils.files import read_file

# SHA-1 or SHA-256.
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCHES = "refs/heads/"
# What stands for the branch where the files say nothing of it.
_IN_A_TABLE = _BRANCHES + ".invalid"
# As often as git follows symbolic references.
_SYMBOLIC = 5


@dataclass(frozen=True)
class Head:
    """What is checked out. Without a branch the head is detached; without a commit there is none yet."""

    commit: str = ""
    branch: str = ""


def head_of(folders: Iterable[Path]) -> Head | None:
    """
    Return what is checked out around the first of these folders that lies in a work tree.

    None where there is no work tree, or none that can be read.
    """
    return next(filter(None, map(_head_around, folders)), None)


def _head_around(folder: Path) -> Head | None:
    try:
        git_folder = _git_folder(folder)
        return _read(git_folder) if git_folder is not None else None
    except (OSError, ValueError):
        return None


def _git_folder(folder: Path) -> Path | None:
    for parent in (folder, *folder.parents):
        entry = parent / ".git"
        if entry.is_dir():
            return entry
        if entry.is_file():
            # A linked work tree or a submodule: gitrepository-layout(5).
            word, _, path = _text(entry).partition(":")
            return parent / path.strip() if word == "gitdir" else None
    return None


def _read(git_folder: Path) -> Head | None:
    word, _, name = _text(git_folder / "HEAD").partition(" ")
    if word != "ref:":
        return Head(commit=word) if _COMMIT.fullmatch(word) else None
    if name == _IN_A_TABLE:
        # The reftable format: only git can read where its branches are.
        return None
    branch = name.removeprefix(_BRANCHES)
    return Head(commit=_commit(git_folder, name), branch=branch)


def _commit(git_folder: Path, name: str) -> str:
    # Linked work trees share a folder.
    pointer = git_folder / "commondir"
    common = git_folder / _text(pointer) if pointer.is_file() else git_folder
    packed = common / "packed-refs"
    for _ in range(_SYMBOLIC):
        files = (file for file in (git_folder / name, common / name) if file.is_file())
        reference = next(map(_text, files), "")
        if not reference and packed.is_file():
            lines = (line.partition(" ") for line in _text(packed).splitlines())
            reference = next((commit for commit, _, other in lines if other == name), "")
        word, _, other = reference.partition(" ")
        if word != "ref:":
            return reference if _COMMIT.fullmatch(reference) else ""
        name = other
    return ""


def _text(file: Path) -> str:
    # Names of branches may be any bytes. Above the project, anybody may have put anything there.
    return read_file(file).decode("utf-8", "surrogateescape").strip()
