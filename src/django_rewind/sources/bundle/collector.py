"""
Find what goes with a migration beside its own text, without importing anything.

That is modules of the project, which it imports directly or through others, and
data files that lie beside it. Of a module that defines models it is an excerpt.
Python, Django and what else is installed is not bundled; the versions are
written down, so that an error can name them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from operator import attrgetter
from pathlib import Path

from django.db.models.base import ModelBase

from ... import conf
from ...utils.syntax import parse_text
from ..signing import digest_of
from . import excerpt
from .imports import Reference, gives_meaning, references
from .manifest import EMPTY_BUNDLE, Bundle, BundleMember
from .modules import Modules, Owner, SourceUnavailable, installed_version, is_data, is_within, root_of

# The statements that import, when they stand in a line of their own.
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\S+)[ \t]+import\b|import[ \t]+([^#\n]+))", re.MULTILINE)

# What a text is formatted with: "%s.sql", "{}.sql".
_PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[ds]|\{[^{}]*\}")

# How much of an installed package, in characters, can still be helpers of a migration.
_HELPERS = 64 * 1024

# Without one of these no text reads what lies beside it.
_BESIDE = re.compile(r"__file__|__path__|\bget_data\b|\bresources\b")


@dataclass(frozen=True)
class Collected:
    """The bundle of a migration with the contents that have to be stored, by digest."""

    bundle: Bundle = EMPTY_BUNDLE
    contents: dict[str, bytes] = field(default_factory=dict)
    # What was left out and nobody asked for that.
    missed: dict[str, str] = field(default_factory=dict)


class Collector:
    """
    Collect the bundles of migrations.

    Made for one run or one reconciliation: a module is read and parsed once, for
    however many migrations use it.
    """

    def __init__(self, modules: Modules | None = None) -> None:
        self.modules = modules or Modules()
        self._references: dict[tuple[str, str, frozenset[str]], list[Reference]] = {}
        # By module, and by what counts as a model in it.
        self._excerpts: dict[tuple[str, frozenset[str]], excerpt.Excerpts] = {}
        self._models: dict[str, set[str]] = {}
        self._meanings: dict[tuple[str, str], bool] = {}
        self._files: dict[Path, list[Path]] = {}

    def collect(self, module: str, text: str) -> Collected:
        """Return the bundle of the migration that this text of a module holds."""
        roots = _imported_roots(text)
        if roots is not None and not any(self.is_own(root, module) for root in roots):
            # So with most migrations: they import Django and nothing else.
            return Collected(Bundle(packages=self.packages(roots)))
        return _Collection(self, module, text).collected()

    def is_own(self, name: str, migration: str) -> bool:
        """
        Say whether a module is of the project, or of the same package as the migration.

        An installed app may bring helpers that nothing but its migrations uses.
        """
        owner = self.modules.owner(name)
        if owner is Owner.INSTALLED:
            root = root_of(name)
            return root == root_of(migration) and root not in ("django", "django_rewind")
        return owner is Owner.PROJECT

    def packages(self, roots: Iterable[str]) -> dict[str, str]:
        """Return the name and version of what brings these, Django and Python apart."""
        versions = {
            root: installed_version(root)
            for root in sorted(roots)
            if root != "django" and self.modules.owner(root) is Owner.INSTALLED
        }
        return {root: version for root, version in versions.items() if version}

    def references(
        self, name: str, text: str, *, is_package: bool, stored: Iterable[str] = ()
    ) -> list[Reference]:
        """Return what the text of a module refers to, in modules that are here or stored."""
        others = frozenset(stored)
        known = (name, text, others)
        if known not in self._references:
            tree = parse_text(text)
            package = name if is_package else name.rpartition(".")[0]
            referred = (
                references(tree, package, lambda module: module in others or self.modules.exists(module))
                if tree
                else set()
            )
            self._references[known] = sorted(referred, key=attrgetter("module", "path"))
        return self._references[known]

    def gives_meaning(self, name: str, *, package: str) -> bool:
        """Say whether a package gives a name another meaning than that of a module in it."""
        known = (package, name)
        if known not in self._meanings:
            try:
                tree = parse_text(self.modules.text(package))
                self._meanings[known] = tree is None or gives_meaning(tree, name)
            except SourceUnavailable:
                self._meanings[known] = True
        return self._meanings[known]

    def excerpt(self, name: str, paths: Iterable[excerpt.Path], models: Iterable[str] = ()) -> str:
        """Return what these paths take out of a module as it is now; some names are known to be models."""
        known = (name, frozenset(models) | self.models_in(name))
        try:
            if known not in self._excerpts:
                text = self.modules.text(name)
                self._excerpts[known] = excerpt.Excerpts(text, known[1].__contains__)
            return self._excerpts[known].of(paths)
        except ValueError as error:
            raise SourceUnavailable(f"of the module {name} nothing can be taken: {error}") from None

    def models_in(self, name: str) -> set[str]:
        if name not in self._models:
            self._models[name] = self._find_models(name)
        return self._models[name]

    def _find_models(self, name: str) -> set[str]:
        loaded = sys.modules.get(name)
        values = list(vars(loaded).items()) if loaded is not None else []
        # Under whatever name.
        live = {known for known, value in values if isinstance(value, ModelBase) and value.__module__ == name}
        if loaded is not None and self.modules.are_live:
            return live
        try:
            text = self.modules.text(name)
        except SourceUnavailable:
            return set()
        # Should modules import each other in a circle.
        self._models[name] = live
        # The models of the project that it imports: it may derive from them.
        imported = {
            reference.name
            for reference in self.references(name, text, is_package=self.modules.is_package(name))
            if reference.module != name
            and self.modules.owner(reference.module) is Owner.PROJECT
            and reference.name in self.models_in(reference.module)
        }
        return excerpt.models_by_name(text, live | imported)

    def files_below(self, folder: Path) -> list[Path]:
        if folder not in self._files:
            self._files[folder] = self.modules.files_below(folder)
        return self._files[folder]


class _Collection:
    """What goes with one migration: its imports, followed as far as they are the project's."""

    def __init__(self, collector: Collector, module: str, text: str) -> None:
        self.collector = collector
        self.modules = collector.modules
        self.module = module
        self.package = module.rpartition(".")[0]
        self.text = text
        self.texts: dict[str, str] = {}
        self.paths: dict[str, set[excerpt.Path]] = {}
        self.files: dict[str, bytes] = {}
        self.roots: set[str] = set()
        self.left_out: dict[str, str] = {}
        self.missed: dict[str, str] = {}
        self.room = conf.size_limit()
        self.excluded = conf.excluded_modules()
        self.todo: list[Reference] = []
        # The modules of which more is taken than there was.
        self.grown: dict[str, None] = {}
        # What the migration refers to, and what lies beside it.
        self.near: set[str] = set()
        self.is_beyond_helpers = False

    def collected(self) -> Collected:
        self._refer(self.module, self.text)
        while self.todo:
            # The nearest first: they are what the room is for.
            references, self.todo = self.todo, []
            for reference in references:
                self._follow(reference)
            for name in self.grown:
                self._take_excerpt(name)
            self.grown.clear()
        if self.is_beyond_helpers:
            for name in self.texts.keys() - self.near:
                self.room += _size(self.texts.pop(name))
        self._take_files()
        texts = {name: text.encode("utf-8", "surrogatepass") for name, text in self.texts.items()}
        members = [self._member(name, content) for name, content in texts.items()]
        members += [
            BundleMember("file", name, digest_of(content), len(content))
            for name, content in self.files.items()
        ]
        bundle = Bundle(members, self.collector.packages(self.roots), self.left_out)
        contents = [*texts.values(), *self.files.values()]
        return Collected(bundle, {digest_of(content): content for content in contents}, self.missed)

    def _member(self, name: str, content: bytes) -> BundleMember:
        paths = self.paths.get(name, set())
        words = {*re.findall(r"\w+", self.texts[name]), *(path[0] for path in paths if path)}
        return BundleMember(
            kind="models" if name in self.paths else "module",
            name=name,
            digest=digest_of(content),
            size=len(content),
            is_package=self.modules.is_package(name),
            paths=sorted(list(path) for path in paths if path),
            models=sorted(words & self.collector.models_in(name)) if name in self.paths else [],
        )

    # Modules ----------------------------------------------------------------

    def _refer(self, name: str, text: str) -> None:
        is_package = name != self.module and self.modules.is_package(name)
        references = self.collector.references(name, text, is_package=is_package)
        if is_within(name, self.package):
            self.near.update(reference.module for reference in references)
        self.todo += references

    def _follow(self, reference: Reference) -> None:
        name = reference.module
        if name == self.module or name in self.left_out:
            return
        self.roots.add(root_of(name))
        if not self.collector.is_own(name, self.module) or (self.is_beyond_helpers and name not in self.near):
            return
        is_module = reference.name and self.modules.exists(f"{name}.{reference.name}")
        if is_module and not self.collector.gives_meaning(reference.name, package=name):
            # What is asked of the package is a module in it, which is another reference.
            return
        if any(is_within(name, excluded) for excluded in self.excluded):
            self.left_out[name] = "DJANGO_REWIND_EXCLUDE_MODULES names it"
        elif self.modules.exists(name):
            self._take(name, reference.path[:2])

    def _take(self, name: str, path: excerpt.Path) -> None:
        if self.collector.models_in(name):
            if path not in self.paths.setdefault(name, set()):
                self.paths[name].add(path)
                self.grown[name] = None
        elif name not in self.texts:
            try:
                self._keep(name, self.modules.text(name))
            except SourceUnavailable as error:
                self._leave_out(name, str(error))

    def _take_excerpt(self, name: str) -> None:
        try:
            self._keep(name, self.collector.excerpt(name, self.paths[name]))
        except SourceUnavailable as error:
            self._leave_out(name, str(error))

    def _keep(self, name: str, text: str) -> None:
        """Bundle a text, in the place of a smaller excerpt, if there is room for it."""
        self.room += _size(self.texts.pop(name, ""))
        if not self._has_room(name, _size(text)):
            return
        self.texts[name] = text
        self._refer(name, text)
        # An installed package is there as long as its app is. What has to be stored is
        # what only its migrations use, and what one version has and another has not.
        if self.modules.owner(self.module) is Owner.INSTALLED and not self.is_beyond_helpers:
            far = sum(len(text) for name, text in self.texts.items() if name not in self.near)
            self.is_beyond_helpers = far > _HELPERS

    def _has_room(self, name: str, size: int) -> bool:
        if size > self.room:
            self._leave_out(name, f"its {size} bytes are more than DJANGO_REWIND_SIZE_LIMIT leaves room for")
            return False
        self.room -= size
        return True

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out[name] = reason
        if self.modules.owner(self.module) is Owner.PROJECT:
            self.missed[name] = reason

    # Files ------------------------------------------------------------------

    def _take_files(self) -> None:
        folder = self.modules.folder(self.package)
        if folder is None:
            return
        for path in self._files_read_in(folder):
            name = path.relative_to(folder).as_posix()
            try:
                if name not in self.files and self._has_room(name, self.modules.size(path)):
                    self.files[name] = self.modules.content(path)
            except OSError as error:
                self._leave_out(name, f"it cannot be read ({error})")

    def _files_read_in(self, folder: Path) -> Iterator[Path]:
        texts = {self.module: self.text, **self.texts}
        for name, text in texts.items():
            if reads_beside(name, text, self.package):
                place = folder.joinpath(*name[len(self.package) + 1 :].split(".")[:-1])
                stem = name.rpartition(".")[2]
                try:
                    yield from _named_in(text, stem, place, self.collector.files_below(place))
                except OSError as error:
                    yield from self._files_known_by_name(text, place, error)

    def _files_known_by_name(self, text: str, place: Path, error: OSError) -> Iterator[Path]:
        """Yield the files whose names stand in a text, of a package that does not list any."""
        tree = parse_text(text)
        is_any_known = False
        for path in {place.joinpath(name) for name in _texts_in(tree) if "*" not in name} if tree else ():
            with suppress(OSError, ValueError):
                if is_data(path) and place in path.parents and self.modules.size(path):
                    is_any_known = True
                    yield path
        if not is_any_known:
            self._leave_out(f"{self.package} (data files)", str(error))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def reads_beside(name: str, text: str, package: str) -> bool:
    """Say whether a module of a migrations package perhaps reads files there."""
    return name.startswith(f"{package}.") and _BESIDE.search(text) is not None


def _imported_roots(text: str) -> set[str] | None:
    """
    Return the top-level names that a text imports, or None where it has to be parsed.

    Most migrations import nothing but Django, which a pattern finds out in a
    fraction of the time.
    """
    statements = _IMPORT.findall(text)
    if _BESIDE.search(text) or len(re.findall("import", text)) != len(statements):
        return None
    names = [name.strip() for source, several in statements for name in (source or several).split(",")]
    if any(name.startswith(".") or name.endswith(("(", "\\")) for name in names):
        return None
    return {root_of(name.split()[0]) for name in names if name}


def _named_in(text: str, stem: str, folder: Path, files: list[Path]) -> list[Path]:
    """
    Return the files of a folder that a text may mean.

    By name, by pattern or by a suffix to the name of the module; else those of a
    folder that it names; and all of them where nothing tells.
    """
    tree = parse_text(text)
    texts = list(_texts_in(tree)) if tree else []
    names = {text.rpartition("/")[2] for text in texts} | {stem + text for text in texts}
    patterns = [name for name in names if "*" in name]
    named = [
        path
        for path in files
        if path.name in names or any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
    places = {part for text in texts for part in text.split("/") if part}
    folders = {path.parent for path in named}
    of_places = [
        path
        for path in files
        if places & set(path.relative_to(folder).parts[:-1]) and path.parent not in folders
    ]
    return named + of_places or files


def _texts_in(tree: ast.AST) -> Iterator[str]:
    """Yield the texts in a tree, with a `*` for what is put into them when it runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
            pattern = _PLACEHOLDER.sub("*", node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (str(value.value) if isinstance(value, ast.Constant) else "*" for value in node.values)
            pattern = "".join(parts)
        else:
            continue
        # Not what matches everything: any text may have been put together so.
        if pattern.rpartition("/")[2].strip("*"):
            yield pattern
