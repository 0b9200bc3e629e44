"""What a migration carries along that is missing or different in this checkout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...schema.graph import closure
from ..compare import same_text
from ..signing import digest, digest_of
from .collector import Collector, reads_beside
from .imports import EVERYTHING
from .manifest import Carried, Needs
from .modules import Owner, SourceUnavailable

__all__ = ["ContentDamaged", "Contents", "Drift", "Outdated", "text_of"]

# Takes digests, and returns what is stored under them.
Contents = Callable[[Iterable[str]], Mapping[str, bytes]]


class ContentDamaged(Exception):
    """What a migration carries along is not what was signed: the message says what."""


@dataclass(frozen=True)
class Outdated:
    """A module that has to come from the store, and those like it that it imports."""

    carried: Carried
    text: str
    imports: frozenset[str]


class Drift:
    """
    Compare what is stored with what is here.

    Args:
        collector: reads what is here, each module once.
        contents: reads what is stored; asked only for what is not the same to the
            letter.
    """

    def __init__(self, collector: Collector, contents: Contents) -> None:
        self.collector = collector
        self.contents = contents

    def has_changed(self, needs: Needs, package: str) -> bool:
        """
        Say whether anything that goes with a migration is not here as it was.

        Raises:
            ContentDamaged: what is stored is needed, and gone or changed.
        """
        return bool(self.files(needs, package) or self.modules(needs, package))

    def files(self, needs: Needs, package: str) -> list[Carried]:
        """Return the data files of a migrations package that are missing or different."""
        folder = self.collector.modules.folder(package)
        if folder is None:
            return needs.files
        return [one for one in needs.files if not _holds(folder.joinpath(one.name), one.digest)]

    def modules(self, needs: Needs, package: str) -> dict[str, Outdated]:
        """
        Return the modules that cannot be used as they are here, by name.

        One that is the same as ever is among them when it imports one that is not,
        or reads a data file of the migrations package where one is not: it would
        meet the wrong one.

        Raises:
            ContentDamaged: what is stored is needed, and gone or changed.
        """
        carried = [one for one in needs.modules if not self._is_installed(one)]
        here = {one.name: self.text_here(one) for one in carried}
        changed = [
            one for one in carried if digest(here[one.name] or "") != one.digest or here[one.name] is None
        ]
        stored = self._stored_texts(changed)
        gone = [one.name for one in changed if not _is_same(stored[one.name], here[one.name])]
        if self.files(needs, package):
            gone += [name for name, text in here.items() if text and reads_beside(name, text, package)]
        if not gone:
            return {}
        texts = {**{name: text or "" for name, text in here.items()}, **stored}
        imports = {one.name: self._imports(one, texts) for one in carried}
        found = closure(gone, _turned_round(imports))
        return {
            one.name: Outdated(one, texts[one.name], frozenset(imports[one.name] & found))
            for one in carried
            if one.name in found
        }

    def read(self, carried: Iterable[Carried]) -> dict[str, bytes]:
        """
        Return what is stored of these, by name.

        Raises:
            ContentDamaged: it has gone, or it was changed.
        """
        carried = list(carried)
        contents = self.contents([one.digest for one in carried]) if carried else {}
        for one in carried:
            if one.digest not in contents:
                raise ContentDamaged(f"{one.name}, which it carries along, has gone from the database")
            if digest_of(contents[one.digest]) != one.digest:
                raise ContentDamaged(f"{one.name}, which it carries along, was changed after it was signed")
        return {one.name: contents[one.digest] for one in carried}

    def _stored_texts(self, carried: list[Carried]) -> dict[str, str]:
        return {name: text_of(name, content) for name, content in self.read(carried).items()}

    def _is_installed(self, one: Carried) -> bool:
        """What is installed is used as it is installed; it is only carried for when it goes."""
        modules = self.collector.modules
        if not modules.exists(one.name) or modules.owner(one.name) is not Owner.INSTALLED:
            return False
        return not (one.size and modules.is_mere_folder(one.name))

    def text_here(self, carried: Carried) -> str | None:
        """Return what is here of a module, or None where it cannot be used."""
        try:
            if carried.kind == "module":
                return self.collector.modules.text(carried.name)
            paths = [tuple(path) for path in carried.paths]
            if _has_names(carried.name, paths):
                return self.collector.excerpt(carried.name, paths, carried.models)
        except SourceUnavailable:
            pass
        return None

    def _imports(self, carried: Carried, texts: Mapping[str, str]) -> set[str]:
        found = self.collector.references(
            carried.name, texts[carried.name], is_package=carried.is_package, stored=texts
        )
        return {reference.module for reference in found if reference.module in texts}


def text_of(name: str, content: bytes) -> str:
    """
    Return the text that a stored module holds.

    Raises:
        ContentDamaged: it holds something else.
    """
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise ContentDamaged(f"{name}, which it carries along, is no text") from None


def _has_names(module: str, paths: Iterable[tuple[str, ...]]) -> bool:
    """
    Say whether a module with models has been imported and has these names.

    It is not imported for the purpose: it would register its models, or refuse to
    where its app is not installed.
    """
    live = sys.modules.get(module)
    return live is not None and all(hasattr(live, path[0]) for path in paths if path[0] != EVERYTHING)


def _is_same(stored: str, here: str | None) -> bool:
    return here is not None and same_text(stored, here)


def _holds(path: Path, wanted: str) -> bool:
    try:
        return digest_of(path.read_bytes()) == wanted
    except OSError:
        return False


def _turned_round(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    importers: dict[str, set[str]] = {}
    for name, imported in imports.items():
        for other in imported:
            importers.setdefault(other, set()).add(name)
    return importers
