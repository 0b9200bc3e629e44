"""Files: read if they are files, written whole, and all of them or none."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path


class NotAFile(OSError):
    """Something is there, and is a folder, a FIFO, a socket or a device."""


def read_file(path: str | os.PathLike[str], longest: int | None = None) -> bytes:
    """
    Return what a file holds, up to a number of bytes. Raise OSError if it is anything but a file.

    A FIFO would keep whoever reads it waiting, and some devices never end.
    """
    descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
    try:
        return read_open(descriptor, longest)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, longest: int | None = None) -> bytes:
    """Return what an open file holds from its beginning. Raise OSError if it is anything but a file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NotAFile(errno.EINVAL, "It is not a regular file")
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return file.read(-1 if longest is None else longest)


def is_special(path: str | os.PathLike[str]) -> bool:
    """Return whether something is there that is neither a file nor a folder."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (may be a text)
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


# To open a FIFO waits for whoever writes into it; a terminal is not made this process's own.
_AT_ONCE = sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))


def write_all(contents: Mapping[Path, bytes], *, executable: bool = False) -> None:
    """
    Write files, and the folders that they need; leave everything as it was if one fails.

    Each is written beside its place and renamed into it, so that nobody ever reads
    half of one. A file that is replaced keeps its mode; a new one can be executed on demand.
    """
    with ExitStack() as undo:
        new = [path for path in contents if not os.path.lexists(path)]
        ready = {path: _written_beside(path, data, executable, undo) for path, data in contents.items()}
        for path, temporary in ready.items():
            if path in new and os.path.lexists(path):
                # Upper and lower case may be the same here, or somebody has been quicker.
                raise FileExistsError(errno.EEXIST, "Another file has come in its place", str(path))
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
