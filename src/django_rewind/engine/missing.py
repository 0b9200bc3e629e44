"""What `migrate` says at its end of applied migrations without a file."""

from __future__ import annotations

from collections.abc import Mapping

from ..inventory.snapshot import FileStatus
from ..utils.types import Key, some_names_of
from .loader import RewindLoader


def missing_in_words(loader: RewindLoader, changes: Mapping[Key, bool]) -> str:
    """
    Return which applied migrations have no file, and the command that helps; nothing where there is none.

    Args:
        changes: what the run has recorded (True) or unrecorded (False).
    """
    missing = [key for key in loader.snapshot.of(FileStatus.MISSING) if changes.get(key) is not False]
    if not missing:
        return ""
    pairs = loader.renamed
    renamed = [key for key in missing if key in pairs and pairs[key] not in changes]
    is_one = len(missing) == 1
    them = "it" if is_one else "them"
    if any(key in loader.unusable for key in missing):
        what_helps = (
            f"'manage.py verify_migrations' says why {'it' if is_one else 'they'} cannot be rolled back."
        )
    elif renamed:
        what_helps = (
            f"'manage.py rewind --adopt --migrate' gives {some_names_of(renamed)} the name of its file."
        )
    else:
        what_helps = f"'manage.py rewind' rolls {them} back."
    have = "migration has" if is_one else "migrations have"
    return f"{len(missing)} applied {have} no file here: {some_names_of(missing)}. {what_helps}"
