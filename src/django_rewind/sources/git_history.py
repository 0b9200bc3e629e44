"""
Find the source of a migration in the history of a git work tree.

And read, at the commit in which it was found, what it needs. Nothing that is found
is executed: the history holds branches that nobody has reviewed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

from ..git.repository import GitUnavailable, Repository, Version
from ..utils.syntax import parse_text
from ..utils.types import Key
from .bundle.collector import Collector
from .bundle.modules import Modules, SourceUnavailable, decode_content, is_data
from .description import Metadata, parse

_LFS = b"version https://git-lfs.github.com/spec/"


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
class FoundSource:
    """The source of a migration, and where in the past it was found."""

    wanted: WantedSource
    text: str
    metadata: Metadata
    module: str
    version: Version
    # How many contents this file has had; one of them was applied.
    contents: int
    collector: Collector


class GitHistory:
    """
    What one work tree's history says of the migrations that are wanted from it.

    A file is looked for where it would lie now; if it has never been there, wherever
    a file of its name was, as long as that was the same app: its folder may have
    been renamed since.

    Args:
        taken: the folders in which migrations lie now.
    """

    def __init__(self, repository: Repository, taken: Iterable[Path] = ()) -> None:
        self.repository = repository
        self._taken = {folder.resolve() for folder in taken}
        self._today = Modules()
        self._contents: dict[str, bytes] = {}
        self._commits: dict[tuple[str, str], Collector] = {}
        self._versions: dict[Key, list[Version]] = {}

    def look_for(self, wanted: list[WantedSource]) -> None:
        """
        Read every version of the files that are wanted, for `find()`.

        That takes two walks through the history at most.

        Raises:
            GitUnavailable: git failed, or took too long.
        """
        self._versions = self._versions_of(wanted)
        self._read(one.blob for versions in self._versions.values() for one in versions)

    # Versions ---------------------------------------------------------------

    def _versions_of(self, wanted: list[WantedSource]) -> dict[Key, list[Version]]:
        paths = {one.key: self.repository.path_of(one.file) for one in wanted if one.file}
        here = _by_path(self.repository.versions(f":(literal){path}" for path in paths.values()))
        found = {one.key: here.get(paths.get(one.key, ""), []) for one in wanted}
        names = {f"{key[1]}.py" for key, versions in found.items() if not versions}
        elsewhere = [one for one in self.repository.versions(_anywhere(names)) if one.name in names]
        self._read(one.blob for one in elsewhere)
        for one in wanted:
            if not found[one.key]:
                found[one.key] = [other for other in elsewhere if self._may_be(one, other)]
        return found

    def _may_be(self, wanted: WantedSource, version: Version) -> bool:
        """Say whether a file that lay elsewhere was of the app that is looked for."""
        app_label, name = wanted.key
        folder = self.repository.top / version.folder
        if version.name != f"{name}.py" or folder in self._taken:
            return False
        if wanted.file is not None and any(folder.glob("*.py")):
            # It still is somebody's, so it was not renamed.
            return False
        own = self._own_dependencies(version, app_label)
        return own or version.folder.split("/")[-2:-1] == [app_label]

    def _own_dependencies(self, version: Version, app_label: str) -> bool:
        try:
            metadata = parse(self._text(version))
        except (SourceUnavailable, ValueError):
            return False
        return any(parent[0] == app_label for parent in (*metadata.dependencies, *metadata.replaces))

    def _read(self, blobs: Iterable[str]) -> None:
        self._contents.update(self.repository.read(set(blobs) - set(self._contents)))

    def _text(self, version: Version) -> str:
        content = self._contents.get(version.blob)
        if content is None:
            raise SourceUnavailable(f"this clone does not hold the content of {version.path}")
        return decode_content(content, version.path)

    # Choosing ---------------------------------------------------------------

    def find(self, wanted: WantedSource) -> FoundSource:
        """
        Return the version that was applied, as far as dates tell.

        Raises:
            LookupError: there is none; the message says why.
            GitUnavailable: git failed, or took too long.
        """
        versions = self._versions[wanted.key]
        if not versions:
            raise LookupError(self._why_not_found(wanted))
        version = self._chosen(_in_order(versions, wanted.applied))
        try:
            text = self._text(version)
            metadata = parse(text)
        except (SourceUnavailable, ValueError) as error:
            raise LookupError(
                f"as it is in commit {version.commit[:10]} it cannot be used: {error}"
            ) from None
        module, root = self._place(wanted, version)
        contents = len({one.blob for one in versions})
        collector = self._collector(version.commit, root)
        return FoundSource(wanted, text, metadata, module, version, contents, collector)

    def _chosen(self, versions: list[Version]) -> Version:
        """
        Return the first that Django could have applied, or the first.

        Work in progress is committed too, the marks of a merge conflict included.
        """
        return next((one for one in versions if self._is_migration(one)), versions[0])

    def _is_migration(self, version: Version) -> bool:
        try:
            tree = parse_text(self._text(version))
        except SourceUnavailable:
            return False
        return tree is not None and any(
            isinstance(node, ast.ClassDef) and node.name == "Migration" for node in tree.body
        )

    def _why_not_found(self, wanted: WantedSource) -> str:
        name = f"{wanted.key[1]}.py"
        where = self.repository.path_of(wanted.file) if wanted.file else name
        cut = ""
        if self.repository.is_shallow:
            cut = "; its history is cut, 'git fetch --unshallow' brings the rest"
        return f"no commit in {self.repository.top} has its file {where}{cut}"

    # Commits ----------------------------------------------------------------

    def _place(self, wanted: WantedSource, version: Version) -> tuple[str, str]:
        """Return the name of the module that a version was, and the folder that its name starts from."""
        folder = version.folder.split("/")
        if wanted.file is not None and version.path == self.repository.path_of(wanted.file):
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
        if (commit, root) not in self._commits:
            roots = dict.fromkeys([root, *self._roots_today])
            self._commits[commit, root] = Collector(
                ModulesAtCommit(self.repository, commit, [*roots], self._today)
            )
        return self._commits[commit, root]

    @cached_property
    def _roots_today(self) -> list[str]:
        """The folders of this work tree from which modules are imported now."""
        found = []
        for entry in sys.path:
            place = Path(entry or ".").resolve()
            is_inside = place == self.repository.top or self.repository.top in place.parents
            if is_inside and not {"site-packages", "dist-packages"} & set(place.parts):
                found.append(self.repository.path_of(place))
        return found


def _by_path(versions: Iterable[Version]) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for version in versions:
        found.setdefault(version.path, []).append(version)
    return found


def _in_order(versions: list[Version], applied: float) -> list[Version]:
    """
    Return the last version before the migration was applied, those before it, and then
    those after it, the earliest first.

    Git lists what it walks from the newest; within a second that order stays.
    """
    before = [one for one in versions if one.timestamp <= applied]
    after = [one for one in reversed(versions) if one.timestamp > applied]
    return sorted(before, key=lambda one: -one.timestamp) + sorted(after, key=lambda one: one.timestamp)


# As makemigrations names them.
_NUMBERED = re.compile(r"\d{4}_.*", re.DOTALL)


def _anywhere(names: set[str]) -> list[str]:
    """
    Return what has git find files of these names in any folder, and perhaps some others.

    Git compares every path of every commit with every pattern: one for many names is
    many times faster.
    """
    numbered = {name for name in names if _NUMBERED.fullmatch(name)}
    several = ["*/[0-9][0-9][0-9][0-9]_*.py"] if len(numbered) > 2 else []
    rest = names - numbered if several else names
    return several + [f"*/{_escaped(name)}" for name in sorted(rest)]


def _escaped(name: str) -> str:
    """Return what matches this name alone: a file may be called what looks like a pattern."""
    return re.sub(r"([*?\[\\])", r"\\\1", name)


class ModulesAtCommit(Modules):
    """
    The modules and files of a work tree as they were at one commit.

    What is installed, and what lies outside of the work tree, is as it is now.

    Args:
        roots: the folders from which modules are imported, from the top of the work tree.
        today: reads what is here now.
    """

    are_live = False

    def __init__(self, repository: Repository, commit: str, roots: list[str], today: Modules) -> None:
        super().__init__()
        self.repository = repository
        self.commit = commit
        self._roots = roots
        self._today = today
        self._contents: dict[str, bytes] = {}

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
            return self._found_in(self._roots, name) or self._outside(name) or self._namespace(name)
        above = self.find(parent)
        places = above.submodule_search_locations if above is not None else None
        if places is None:
            return None
        inside = [one for one in map(self._path_of, places) if one is not None]
        return self._found_in(inside, name) if inside else self._outside(name)

    def _found_in(self, places: Iterable[str], name: str) -> ModuleSpec | None:
        for place in places:
            path = "/".join(filter(None, [place, name.rpartition(".")[2]]))
            if f"{path}/__init__.py" in self._files:
                return self._spec(name, f"{path}/__init__.py", path)
            if f"{path}.py" in self._files:
                return self._spec(name, f"{path}.py")
            if "." in name and path in self._folders:
                return self._namespace(name, [path])
        return None

    def _namespace(self, name: str, places: Iterable[str] = ()) -> ModuleSpec | None:
        """Return the spec of a folder without a file of its own; installed packages go first."""
        found = [*places] or [
            path
            for path in ("/".join(filter(None, [root, name])) for root in self._roots)
            if path in self._folders
        ]
        if not found:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(self.repository.top / path) for path in found]
        return spec

    def _spec(self, name: str, path: str, folder: str | None = None) -> ModuleSpec | None:
        top = self.repository.top
        places = [str(top / folder)] if folder is not None else None
        return spec_from_file_location(name, top / path, submodule_search_locations=places)

    def _outside(self, name: str) -> ModuleSpec | None:
        """Return a module that does not come from this work tree's history."""
        spec = self._today.find(name)
        if spec is None:
            return None
        places = [spec.origin] if spec.has_location and spec.origin else []
        places += spec.submodule_search_locations or []
        is_ours = places and self._path_of(str(Path(places[0]).resolve())) is not None
        return None if is_ours else spec

    def _path_of(self, place: str) -> str | None:
        """Return the path of a place in the work tree; what is installed there is none of it."""
        path = Path(place)
        if self.repository.top not in path.parents or {"site-packages", "dist-packages"} & set(path.parts):
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
        path = self._path_of(str(folder))
        if path is None:
            return super().files_below(folder)
        found = (self.repository.top / one for one in self._files if one.startswith(f"{path}/"))
        return sorted(one for one in found if is_data(one))

    def size(self, path: Path) -> int:
        return len(self.content(path))

    def content(self, path: Path) -> bytes:
        name = self._path_of(str(path))
        content = super().content(path) if name is None else self._content(name)
        if content.startswith(_LFS):
            raise OSError("git holds no more than a pointer to it, the rest is in Git LFS")
        return content

    def _content(self, path: str) -> bytes:
        blob = self._files[path]
        if blob not in self._contents:
            try:
                self._contents.update(self.repository.read([blob]))
            except GitUnavailable as error:
                raise OSError(str(error)) from None
        if blob not in self._contents:
            raise OSError("this clone does not hold its content")
        return self._contents[blob]
