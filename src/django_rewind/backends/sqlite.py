"""SQLite: a file, or memory that no other process sees."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from django.db.models import Field

from ..exceptions import LockUnavailable
from ..utils.printable import printable_name
from .base import Backend
from .locks import DatabaseLock, process_in_words

if sys.platform == "win32":
    import msvcrt

    # Far behind the text, which others must be able to read.
    _FAR = 1 << 30

    def _lock_file(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            raise BlockingIOError from None
else:
    import fcntl

    def _lock_file(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class SQLite(Backend):
    rebuilds_tables = True
    constraints_are_indexes = False
    editor_checks_constraints = True

    def lock(self) -> FileLock | None:
        name = os.fspath(self.connection.settings_dict["NAME"])
        if self.connection.is_in_memory_db() or "vfs=memdb" in name:
            return None
        with self.connection.cursor() as cursor:
            # SQLite knows what URIs and paths stand for.
            cursor.execute("PRAGMA database_list")
            path = next((row[2] for row in cursor.fetchall() if row[1] == "main"), "")
        return FileLock(self.connection, os.path.realpath(path)) if path else None

    def exists(self) -> bool:
        name = os.fspath(self.connection.settings_dict["NAME"])
        is_file = not (self.connection.is_in_memory_db() or name.startswith("file:"))
        return not is_file or os.path.exists(name)  # noqa: PTH110 (may be relative)

    def columns_with_data(self, table: str) -> set[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(f"PRAGMA table_xinfo({self.connection.ops.quote_name(table)})")
            # The last tells of those that are computed.
            return {row[1] for row in cursor.fetchall() if row[-1] == 0}

    def against_type(self, field: Field[Any, Any], there: Field[Any, Any]) -> str:
        # A column takes whatever it is given.
        return ""

    @contextmanager
    def lenient_decoding(self) -> Iterator[None]:
        raw = self.connection.connection
        before, raw.text_factory = raw.text_factory, _decode
        try:
            yield
        finally:
            raw.text_factory = before


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


# Another file in its place is not opened: no link is followed, and no FIFO waits for a reader.
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

# In bytes, of what stands in the file of a lock: the process, its host and the time.
_LONGEST = 4096
_WRITTEN = re.compile(rb"(\d{1,20}( \S{1,1024}( [0-9T:.+-]{1,40}\n?)?)?)?")


def _is_of_a_lock(content: bytes) -> bool:
    """Return whether a lock can have written this, if only in part: the disk may have been full."""
    return len(content) < _LONGEST and _WRITTEN.fullmatch(content) is not None


class FileLock(DatabaseLock):
    """
    A lock of the operating system on a file beside the database.

    The file stays: if it were deleted, one who has opened it and one who makes it
    anew would both have a lock. Most processes take none, and import nothing that reads files.
    """

    def __init__(self, connection: Any, path: str) -> None:
        super().__init__(connection)
        self.path = self.name = f"{path}.rewind-lock"
        self._descriptor: int | None = None

    def take(self) -> bool:
        from ..utils.files import NotAFile

        try:
            self._descriptor = os.open(self.path, _OPEN, 0o666)
            if not self._is_ours():
                raise self._not_ours()
            _lock_file(self._descriptor)
        except BlockingIOError:
            self._close()
            return False
        except OSError as error:
            self._close()
            if isinstance(error, NotAFile) or os.path.islink(self.path):  # noqa: PTH114 (a text)
                raise self._not_ours() from error
            raise LockUnavailable(
                self.connection.alias,
                f"the file '{printable_name(self.path)}' cannot be locked ({error.strerror or error}).",
                "See to it that this file and its folder can be written.",
            ) from error
        except LockUnavailable:
            self._close()
            raise
        if not self.is_held():
            # Somebody has deleted it while we opened it.
            self._close()
            return False
        host = printable_name(socket.gethostname()).replace(" ", "_")
        self._write(f"{os.getpid()} {host} {datetime.now(timezone.utc).isoformat()}\n")
        return True

    def _is_ours(self) -> bool:
        """Say whether what was opened is a file, and holds nothing but what a lock of ours does."""
        from ..utils.files import read_open

        return self._descriptor is not None and _is_of_a_lock(read_open(self._descriptor, _LONGEST))

    def _not_ours(self) -> LockUnavailable:
        return LockUnavailable(
            self.connection.alias,
            f"'{printable_name(self.path)}' is not a file that django-rewind has made.",
            "Look at what it is. Then delete it, or move it elsewhere.",
        )

    def is_held(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except OSError:
            return False

    def release(self) -> None:
        if self._descriptor is not None:
            self._write("")
            self._close()

    def _write(self, text: str) -> None:
        descriptor = self._descriptor or 0
        # A full disk keeps nobody from locking.
        with suppress(OSError):
            # What has another name may be somebody else's file: it is locked, and left as it is.
            if os.fstat(descriptor).st_nlink == 1:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, text.encode())

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self, last_to_begin: Callable[[str], str]) -> str:
        from ..utils.files import read_file

        words = read_file(self.path, _LONGEST).decode("utf-8", "replace").split()
        if len(words) != 3:  # The process, its host and the time.
            return ""
        return process_in_words(words[0], words[1], datetime.fromisoformat(words[2]))
