"""Files that are written whole, and all of them or none."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path


def write_all(contents: Mapping[Path, bytes], *, executable: bool = False) -> None:
    """
    Write files, and the folders that they need; leave everything as it was if one fails.

    Each is written beside its place and renamed into it, so that nobody ever reads
    half of one. A file that is replaced keeps its mode; a new one can be executed on demand.
    """
    with ExitStack() as undo:
        ready = {path: _written_beside(path, data, executable, undo) for path, data in contents.items()}
        for path, temporary in ready.items():
            _put_in_place(path, temporary, undo)
        undo.pop_all()


def _written_beside(path: Path, data: bytes, executable: bool, undo: ExitStack) -> Path:
    for folder in reversed([parent for parent in path.parents if not parent.exists()]):
        folder.mkdir()
        undo.callback(folder.rmdir)
    # No suffix that anything would import, and short: the name of the file may be long.
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    undo.callback(temporary.unlink, missing_ok=True)
    # Not tempfile, whose files nobody else may read: the umask decides.
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if executable else 0o666)
    with os.fdopen(number, "wb") as file:
        file.write(data)
    if path.exists():
        shutil.copymode(path, temporary)
    return temporary


def _put_in_place(path: Path, temporary: Path, undo: ExitStack) -> None:
    before = path.read_bytes() if path.exists() else None
    temporary.replace(path)
    if before is None:
        undo.callback(path.unlink, missing_ok=True)
    else:
        undo.callback(path.write_bytes, before)
