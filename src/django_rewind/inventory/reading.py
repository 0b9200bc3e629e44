"""
The files of migrations, found and compared without importing any of them.

A web process has not imported the migrations of its project, and has no reason to:
the names are those of the files in a folder, and a file is read where its text is
wanted, once as long as it stays as it is.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from ..sources.bundle.modules import Modules, SourceUnavailable
from ..sources.compare import same_text
from ..sources.description import Metadata
from ..sources.signing import digest
from ..sources.static import parse
from ..sources.stored import StoredSummary
from ..storage.facts import Verification
from ..storage.store import Store
from ..utils.types import Key
from .snapshot import Comparison

# When a file was changed last, and its size: as long as they stay, so does its digest.
_Stamp = tuple[int, int]

# Of files that this process has read: the digest of the text, empty where there was none.
_read: dict[str, tuple[_Stamp, str]] = {}

# Of two digests, whether the texts are the same program.
_same: dict[tuple[str, str], bool] = {}

# Of a digest, what the text says of itself; None where it says nothing. Of texts that are as stored it is stored.
_said: dict[str, Metadata | None] = {}

# So many are more than a project has; somebody else's files must not fill the memory.
_MANY = 100_000


def forget() -> None:
    """Forget what this process has read of files."""
    for known in (_read, _same, _said):
        known.clear()


class ReadFiles:
    """The files of migrations of all installed apps, as they are now; made for one request."""

    def __init__(self) -> None:
        self.modules = Modules()
        self.installed = frozenset(config.label for config in apps.get_app_configs())
        self._folders: dict[str, str] = {}
        self._stamps: dict[Key, _Stamp | None] = {}
        self.keys = {(label, name) for label in sorted(self.installed) for name in self._names(label)}
        # How many files were read for this request.
        self.reads = 0

    def _names(self, app_label: str) -> list[str]:
        """Return the names that Django would load, as `load_disk()` finds them."""
        package = MigrationLoader.migrations_module(app_label)[0]
        folder = self.modules.folder(package) if package else None
        if folder is None or self.modules.is_namespace_package(package or ""):
            return []
        self._folders[app_label] = str(folder)
        found = pkgutil.iter_modules([str(folder)])
        return [one.name for one in found if not one.ispkg and one.name[0] not in "_~"]

    def text(self, key: Key) -> str | None:
        """Return the text of a file; None where there is nothing but bytecode, or nothing to be read."""
        package = MigrationLoader.migrations_module(key[0])[0]
        if key not in self.keys or package is None:
            return None
        self.reads += 1
        try:
            return self.modules.text(f"{package}.{key[1]}")
        except SourceUnavailable:
            return None

    def said(self, key: Key) -> Metadata | None:
        """Return what a file says of itself, as far as it was read and is not as stored."""
        return _said.get(self.digest(key) or "")

    def read(self, wanted: Iterable[Key], stored: Mapping[Key, StoredSummary]) -> None:
        """Read what files say of themselves, but for those that are as stored."""
        for key in wanted:
            found, as_stored = self.digest(key), stored[key].digest if key in stored else ""
            if found is None or (found != as_stored and found not in _said):
                self._read_anew(key, as_stored)

    # Comparing --------------------------------------------------------------

    def comparison(self, stored: StoredSummary, verified: Verification | None) -> Comparison | None:
        """
        Return what came of comparing a file with what is stored; None where nobody has done that yet.

        What is bundled with it was not read, and is taken to be as it was when it was verified last.
        """
        is_as_stored = self.is_as_stored(stored)
        if self.digest(stored.key) == "":
            return Comparison(None)
        if is_as_stored is None:
            return None
        if not is_as_stored:
            return Comparison(True, self.digest(stored.key) or "")
        is_noted = verified is not None and verified.signature == stored.signature and not verified.problem
        noted = verified.file_digest if verified is not None and is_noted else ""
        return Comparison(bool(noted), noted)

    def is_as_stored(self, stored: StoredSummary) -> bool | None:
        """Say whether a file is the program that is stored; None where nobody has compared them yet."""
        found = self.digest(stored.key)
        if found is None or found == stored.digest:
            return None if found is None else True
        return _same.get((found, stored.digest))

    def digest(self, key: Key) -> str | None:
        """
        Return the digest of a file as it was read last, empty where there was no text.

        None where it was never read, or has changed since.
        """
        seen = _read.get(self._path(key))
        return seen[1] if seen is not None and seen[0] == self._stamp(key) else None

    def compare(self, wanted: Iterable[StoredSummary], store: Store) -> None:
        """Compare files with what is stored, those that were not compared as they are now."""
        if max(len(_read), len(_same), len(_said)) > _MANY:
            forget()
        others = [one for one in wanted if self.is_as_stored(one) is None]
        texts = {one.key: self._read_anew(one.key, one.digest) for one in others}
        edited = [one for one in others if self.is_as_stored(one) is None]
        self._tell_programs(edited, texts, store.texts(one.key for one in edited) if edited else {})

    def _read_anew(self, key: Key, as_stored: str) -> str:
        # Looked at before it is read: what is written in between is read again.
        stamp = self._stamp(key)
        text = self.text(key)
        found = "" if text is None else digest(text)
        if stamp is not None:
            _read[self._path(key)] = (stamp, found)
        if text is not None and found != as_stored and found not in _said:
            _said[found] = _metadata_in(text)
        return text or ""

    def _tell_programs(
        self, edited: Iterable[StoredSummary], texts: Mapping[Key, str], as_stored: Mapping[Key, str]
    ) -> None:
        for one in edited:
            found = self.digest(one.key)
            if found is not None:
                stored = as_stored.get(one.key, "")
                # The digest may be one that somebody wrote beside another text.
                _same[found, one.digest] = digest(stored) == one.digest and same_text(stored, texts[one.key])

    def _path(self, key: Key) -> str:
        # No Path: there may be many thousands, each asked for more than once.
        return os.path.join(self._folders.get(key[0], ""), f"{key[1]}.py")  # noqa: PTH118

    def _stamp(self, key: Key) -> _Stamp | None:
        if key not in self._stamps:
            try:
                found = os.stat(self._path(key))  # noqa: PTH116
                self._stamps[key] = (found.st_mtime_ns, found.st_size)
            except (OSError, ValueError):
                self._stamps[key] = None
        return self._stamps[key]


class Comparisons(Mapping[Key, Comparison]):
    """What came of comparing files with what is stored, of those that were read by now."""

    def __init__(
        self,
        files: ReadFiles,
        stored: Mapping[Key, StoredSummary],
        verifications: Mapping[Key, Verification],
    ) -> None:
        self.files = files
        self.stored = stored
        self.verifications = verifications

    def __getitem__(self, key: Key) -> Comparison:
        comparison = None
        if key in self.files.keys and key in self.stored:
            comparison = self.files.comparison(self.stored[key], self.verifications.get(key))
        if comparison is None:
            raise KeyError(key)
        return comparison

    def __iter__(self) -> Iterator[Key]:
        return (key for key in self.stored if self.get(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _metadata_in(text: str) -> Metadata | None:
    try:
        return parse(text)
    except ValueError:
        return None
