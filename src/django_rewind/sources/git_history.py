"""
Find the source of a migration in the history of a Git work tree.

And read its bundle at the commit in which it was found. Nothing that is found
is executed: the history holds branches that nobody has reviewed.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import TypeVar

from .. import conf
from ..git.repository import GitUnavailable, Repository, Version
from ..utils.syntax import LONGEST_TO_COMPARE, parse_text
from ..utils.types import Key
from .bundle.collector import Collector
from .bundle.modules import (
    Modules,
    SourceUnavailable,
    decode_content,
    is_data,
    is_site_packages,
    namespace_spec,
    places_of,
)
from .description import Metadata
from .static import parse

# What is known of a blob.
_Known = TypeVar("_Known")

_LFS = b"version https://git-lfs.github.com/spec/"

# In bytes, what is held of the texts that were found: a branch may have any number of them.
_ROOM = 64 * 1024 * 1024

# How many other contents of a file are shown beside the one that is taken.
_OTHERS = 3


@dataclass(frozen=True)
class WantedSource:
    """An applied migration whose source is looked for."""

    key: Key
    # When it was applied, in seconds since 1970.
    applied: float
    # Where its file would lie now, and under which name Django would import it;
    # nothing where its app is not installed.
    file: Path | None = None
    module: str = ""


@dataclass(frozen=True)
class Candidate:
    """Another content of the same file, of which nobody knows whether it is the one that was applied."""

    version: Version
    text: str
    # The branches, tags and stashes whose history has it, as git writes them in full.
    references: Sequence[str]


@dataclass(frozen=True)
class FoundSource:
    """The source of a migration, and where in the history it was found."""

    wanted: WantedSource
    text: str
    metadata: Metadata
    module: str
    version: Version
    # How many contents this file has had; one of them was applied.
    contents: int
    collector: Collector
    references: Sequence[str] = ()
    # The first few of the other contents.
    others: Sequence[Candidate] = ()


class GitHistory:
    """
    What one work tree's history says of the migrations that are wanted from it.

    A file is looked for where it would lie now; if it has never been there, wherever
    a file of its name was, as long as that was the same app: its folder may have
    been renamed since. Folders in which migrations lie now are taken by these.

    What is in the history of the commit that is checked out comes first, whatever the dates of others say:
    an author chooses the date of a commit, and a branch need not have been looked at by anybody.

    Args:
        revision: the one whose history comes first instead.
    """

    def __init__(self, repository: Repository, taken: Iterable[Path] = (), revision: str = "") -> None:
        self.repository = repository
        self._revision = revision
        self._room = _ROOM
        self._taken = {folder.resolve() for folder in taken}
        self._today = Modules()
        self._contents: dict[str, bytes] = {}
        self._collectors: dict[tuple[str, str], Collector] = {}
        self._versions: dict[Key, list[Version]] = {}

    def look_for(self, wanted: list[WantedSource]) -> None:
        """
        Read every version of the files that are wanted, for `find()`.

        Where there is no such revision, that is a LookupError.
        """
        start = self.repository.commit_of(self._revision or "HEAD")
        if self._revision and not start:
            raise LookupError(f"no commit in {self.repository.top} is called '{self._revision}'")
        paths = {source.key: self._path_of(source) for source in wanted}
        by_path: dict[str, list[Version]] = {}
        literally = (f":(literal){path}" for path in paths.values() if path)
        for version in self.repository.versions(literally, start):
            by_path.setdefault(version.path, []).append(version)
        versions = {key: by_path.get(path, []) for key, path in paths.items()}
        names = {
            f"{key[1]}.py"
            for key, own in versions.items()
            if _can_be_a_name(key[1]) and not any(version.is_reachable for version in own)
        }
        elsewhere = [
            version for version in self.repository.versions(_anywhere(names), start) if version.name in names
        ]
        self._read(elsewhere)
        for source in wanted:
            own = versions[source.key]
            if not any(version.is_reachable for version in own):
                found = [version for version in elsewhere if self._may_be(source, version)]
                # A file that lay elsewhere is taken where none lay here, or where it alone can be trusted.
                versions[source.key] = own + [one for one in found if one.is_reachable or not own]
        self._versions = versions
        self._read(version for own in versions.values() for version in own)

    def _path_of(self, wanted: WantedSource) -> str:
        """Return where its file would lie in this work tree; nothing where no file can have its name."""
        if wanted.file is None or not _can_be_a_name(wanted.key[1]):
            return ""
        return self.repository.path_of(wanted.file)

    def _may_be(self, wanted: WantedSource, version: Version) -> bool:
        """Say whether a file that lay elsewhere was of the app that is looked for."""
        app_label, name = wanted.key
        folder = self.repository.top / version.folder
        if version.name != f"{name}.py" or folder in self._taken:
            return False
        if wanted.file is not None and any(folder.glob("*.py")):
            # It still is somebody's, so it was not renamed.
            return False
        try:
            metadata = parse(self._text(version))
            parents = (*metadata.dependencies, *metadata.replaces)
        except (SourceUnavailable, ValueError):
            parents = ()
        is_own = any(parent[0] == app_label for parent in parents)
        return is_own or version.folder.split("/")[-2:-1] == [app_label]

    def _read(self, versions: Iterable[Version]) -> None:
        """Read what can be a migration, of what is in the history that comes first at first."""
        ordered = sorted(versions, key=lambda version: not version.is_reachable)
        blobs = dict.fromkeys(version.blob for version in ordered if version.blob not in self._contents)
        sizes = self.repository.sizes(blobs)
        wanted = []
        for blob in blobs:
            size = sizes.get(blob)
            if size is not None and size <= min(LONGEST_TO_COMPARE, self._room):
                self._room -= size
                wanted.append(blob)
        self._contents.update(self.repository.read(wanted))

    def _text(self, version: Version) -> str:
        content = self._contents.get(version.blob)
        if content is not None:
            return decode_content(content, version.path)
        size = self.repository.sizes([version.blob]).get(version.blob)
        if size is None:
            raise SourceUnavailable(
                f"this clone does not hold the content of {version.path}; "
                f"'git show {version.commit[:10]}:{version.path}' fetches it"
            )
        raise SourceUnavailable(f"{version.path} has {size:,} bytes, which is more than is read")

    # Choosing ---------------------------------------------------------------

    def find(self, wanted: WantedSource) -> FoundSource:
        """Return the version that was applied, as far as dates tell, or a LookupError that says why not."""
        versions = self._versions[wanted.key]
        if not versions:
            where = self._path_of(wanted) or f"{wanted.key[1]}.py"
            cut = ""
            if self.repository.is_shallow:
                cut = "; its history is cut, 'git fetch --unshallow' brings the rest"
            raise LookupError(f"no commit in {self.repository.top} has its file {where}{cut}")
        ordered = _in_order(versions, wanted.applied)
        # The first that Django could have applied: work in progress is committed too, the
        # marks of a merge conflict included.
        version = next((version for version in ordered if self._is_migration(version)), ordered[0])
        try:
            text = self._text(version)
            metadata = parse(text)
        except (SourceUnavailable, ValueError) as error:
            raise LookupError(
                f"as it is in commit {version.commit[:10]} it cannot be used: {error}"
            ) from None
        module, root = self._place(wanted, version)
        contents = len({version.blob for version in versions})
        return FoundSource(
            wanted,
            text,
            metadata,
            module,
            version,
            contents,
            self._collector(version.commit, root),
            self.repository.references_to(version.commit),
            list(islice(self._others(ordered, version), _OTHERS)),
        )

    def _others(self, versions: list[Version], taken: Version) -> Iterator[Candidate]:
        """Yield the other contents, each once, the likeliest first."""
        seen = {taken.blob}
        for version in versions:
            if version.blob in seen:
                continue
            seen.add(version.blob)
            with suppress(SourceUnavailable):
                yield Candidate(version, self._text(version), self.repository.references_to(version.commit))

    def _is_migration(self, version: Version) -> bool:
        try:
            tree = parse_text(self._text(version))
        except SourceUnavailable:
            return False
        return tree is not None and any(
            isinstance(node, ast.ClassDef) and node.name == "Migration" for node in tree.body
        )

    # Commits ----------------------------------------------------------------

    def _place(self, wanted: WantedSource, version: Version) -> tuple[str, str]:
        """Return the name of the module that a version was, and the folder that its name starts from."""
        folder = version.folder.split("/")
        if version.path == self._path_of(wanted):
            package = wanted.module.split(".")[:-1]
            if folder[-len(package) :] == package:
                return wanted.module, "/".join(folder[: -len(package)])
            return wanted.module, ""
        # Elsewhere: as far up as there are packages, and at least the app's.
        files = self.repository.files(version.commit)
        start = max(len(folder) - 2, 0)
        while start and f"{'/'.join(folder[:start])}/__init__.py" in files:
            start -= 1
        return ".".join([*folder[start:], wanted.key[1]]), "/".join(folder[:start])

    def _collector(self, commit: str, root: str) -> Collector:
        if (commit, root) not in self._collectors:
            roots = list(dict.fromkeys([root, *self._roots_today]))
            modules = ModulesAtCommit(self.repository, commit, roots, self._today)
            self._collectors[commit, root] = Collector(modules)
        return self._collectors[commit, root]

    @cached_property
    def _roots_today(self) -> list[str]:
        """The folders of this work tree from which modules are imported now."""
        top = self.repository.top
        places = [Path(entry or ".").resolve() for entry in sys.path]
        return [
            self.repository.path_of(place)
            for place in places
            if (place == top or top in place.parents) and not is_site_packages(place)
        ]


def _in_order(versions: list[Version], applied: float) -> list[Version]:
    """
    Return the last version before the migration was applied, those before it, and then
    those after it, the earliest first; all of them first for what is reachable, and then for the rest.

    Git lists what it walks from the newest; within a second that order stays.
    """
    reachable = [version for version in versions if version.is_reachable]
    others = [version for version in versions if not version.is_reachable]
    return _by_time(reachable, applied) + _by_time(others, applied)


def _by_time(versions: list[Version], applied: float) -> list[Version]:
    before = [version for version in versions if version.timestamp <= applied]
    after = [version for version in reversed(versions) if version.timestamp > applied]
    return sorted(before, key=lambda version: -version.timestamp) + sorted(
        after, key=lambda version: version.timestamp
    )


def _can_be_a_name(name: str) -> bool:
    """Say whether a file can be called so: records may hold anything."""
    return not set(name) & {os.sep, *"/\0\n\r"}


# As makemigrations names them.
_NUMBERED = re.compile(r"\d{4}_.*", re.DOTALL)


def _anywhere(names: set[str]) -> list[str]:
    """
    Return what has Git find files of these names in any folder, and perhaps some others.

    Git compares every path of every commit with every pattern: one for many names is
    many times faster.
    """
    numbered = {name for name in names if _NUMBERED.fullmatch(name)}
    several = ["*/[0-9][0-9][0-9][0-9]_*.py"] if len(numbered) > 2 else []
    rest = names - numbered if several else names
    # A file may be called what looks like a pattern.
    return several + ["*/" + re.sub(r"([*?\[\\])", r"\\\1", name) for name in sorted(rest)]


class ModulesAtCommit(Modules):
    """
    The modules and files of a work tree as they were at one commit.

    Modules are imported from some root folders, named from the top of the work tree.
    What is installed, and what lies outside of the work tree, is as it is today.
    """

    are_live = False

    def __init__(self, repository: Repository, commit: str, roots: list[str], today: Modules) -> None:
        super().__init__()
        self.repository = repository
        self.commit = commit
        self._roots = roots
        self._today = today
        self._contents: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}

    @cached_property
    def _files(self) -> Mapping[str, str]:
        return self.repository.files(self.commit)

    @cached_property
    def _folders(self) -> set[str]:
        return {folder.as_posix() for path in self._files for folder in Path(path).parents}

    # Modules ----------------------------------------------------------------

    def _find(self, name: str) -> ModuleSpec | None:
        parent = name.rpartition(".")[0]
        if not parent:
            spec = self._find_in(self._roots, name) or self._find_outside(name)
            # Installed packages come before folders without a file of their own.
            paths = [_joined(root, name) for root in self._roots]
            return spec or self._namespace(name, [path for path in paths if path in self._folders])
        above = self.find(parent)
        places = above.submodule_search_locations if above is not None else None
        if places is None:
            return None
        inside = [path for path in map(self._path_of, places) if path is not None]
        return self._find_in(inside, name) if inside else self._find_outside(name)

    def _find_in(self, folders: Iterable[str], name: str) -> ModuleSpec | None:
        top = self.repository.top
        for folder in folders:
            path = _joined(folder, name.rpartition(".")[2])
            if f"{path}/__init__.py" in self._files:
                places = [str(top / path)]
                file = top / path / "__init__.py"
                return spec_from_file_location(name, file, submodule_search_locations=places)
            if f"{path}.py" in self._files:
                return spec_from_file_location(name, top / f"{path}.py")
            if "." in name and path in self._folders:
                return self._namespace(name, [path])
        return None

    def _namespace(self, name: str, paths: list[str]) -> ModuleSpec | None:
        return namespace_spec(name, [str(self.repository.top / path) for path in paths]) if paths else None

    def _find_outside(self, name: str) -> ModuleSpec | None:
        spec = self._today.find(name)
        places = places_of(spec) if spec is not None else []
        return None if places and self._path_of(Path(places[0]).resolve()) is not None else spec

    def _path_of(self, place: str | Path) -> str | None:
        """Return the path of a place in the work tree; what is installed there is none of it."""
        path = Path(place)
        if self.repository.top not in path.parents or is_site_packages(path):
            return None
        return path.relative_to(self.repository.top).as_posix()

    def _read(self, name: str) -> str:
        spec = self.find(name)
        path = self._path_of(spec.origin) if spec is not None and spec.has_location and spec.origin else None
        if path is None:
            return super()._read(name)
        try:
            return decode_content(self._content(path), path)
        except OSError as error:
            raise SourceUnavailable(str(error)) from None

    # Files ------------------------------------------------------------------

    def files_below(self, folder: Path) -> list[Path]:
        path = self._path_of(folder)
        if path is None:
            return super().files_below(folder)
        below = (self.repository.top / name for name in self._files if name.startswith(f"{path}/"))
        return sorted(filter(is_data, below))

    def size(self, path: Path) -> int:
        name = self._path_of(path)
        return super().size(path) if name is None else self._size(name)

    def content(self, path: Path) -> bytes:
        name = self._path_of(path)
        content = super().content(path) if name is None else self._content(name)
        if content.startswith(_LFS):
            raise OSError("git holds no more than a pointer to it, the rest is in Git LFS")
        return content

    def _content(self, path: str) -> bytes:
        blob = self._blob(path)
        if blob not in self._contents:
            size, limit = self._size(path), conf.size_limit()
            if size > limit:
                raise OSError(f"its {size:,} bytes are more than DJANGO_REWIND_SIZE_LIMIT allows")
        return _known(self._contents, blob, self.repository.read)

    def _blob(self, path: str) -> str:
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(f"the commit has no file {path}") from None

    def _size(self, path: str) -> int:
        return _known(self._sizes, self._blob(path), self.repository.sizes)


def _known(known: dict[str, _Known], blob: str, ask: Callable[[list[str]], Mapping[str, _Known]]) -> _Known:
    """Return what is known of a blob; git is asked, and it is kept, where nothing is."""
    if blob not in known:
        try:
            known.update(ask([blob]))
        except GitUnavailable as error:
            raise OSError(str(error)) from None
    if blob not in known:
        raise OSError("this clone does not hold its content")
    return known[blob]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
