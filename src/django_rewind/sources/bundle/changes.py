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
from .manifest import Bundle, BundleMember
from .modules import Owner, SourceUnavailable

# Takes digests, and returns what is stored under them.
Contents = Callable[[Iterable[str]], Mapping[str, bytes]]


class ContentDamaged(Exception):
    """What a migration carries along is not what was signed: the message says what."""


@dataclass(frozen=True)
class StoredModule:
    """A module that has to come from the store, and those like it that it imports."""

    member: BundleMember
    text: str
    imports: frozenset[str]


class BundleChanges:
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

    def has_changed(self, bundle: Bundle, package: str) -> bool:
        """
        Say whether anything that goes with a migration is not here as it was.

        Raises:
            ContentDamaged: what is stored is needed, and gone or changed.
        """
        return bool(self.files(bundle, package) or self.modules(bundle, package))

    def files(self, bundle: Bundle, package: str) -> list[BundleMember]:
        """Return the data files of a migrations package that are missing or different."""
        folder = self.collector.modules.folder(package)
        if folder is None:
            return bundle.files
        return [one for one in bundle.files if not _holds(folder.joinpath(one.name), one.digest)]

    def modules(self, bundle: Bundle, package: str) -> dict[str, StoredModule]:
        """
        Return the modules that cannot be used as they are here, by name.

        One that is the same as ever is among them when it imports one that is not,
        or reads a data file of the migrations package where one is not: it would
        meet the wrong one.

        Raises:
            ContentDamaged: what is stored is needed, and gone or changed.
        """
        members = [one for one in bundle.modules if not self._is_installed(one)]
        here = {one.name: self.text_here(one) for one in members}
        changed = [
            one for one in members if digest(here[one.name] or "") != one.digest or here[one.name] is None
        ]
        stored = self._stored_texts(changed)
        gone = [one.name for one in changed if not _is_same(stored[one.name], here[one.name])]
        if self.files(bundle, package):
            gone += [name for name, text in here.items() if text and reads_beside(name, text, package)]
        if not gone:
            return {}
        texts = {**{name: text or "" for name, text in here.items()}, **stored}
        imports = {one.name: self._imports(one, texts) for one in members}
        found = closure(gone, _turned_round(imports))
        return {
            one.name: StoredModule(one, texts[one.name], frozenset(imports[one.name] & found))
            for one in members
            if one.name in found
        }

    def read(self, members: Iterable[BundleMember]) -> dict[str, bytes]:
        """
        Return what is stored of these, by name.

        Raises:
            ContentDamaged: it has gone, or it was changed.
        """
        members = list(members)
        contents = self.contents([one.digest for one in members]) if members else {}
        for one in members:
            if one.digest not in contents:
                raise ContentDamaged(f"{one.name}, which it carries along, has gone from the database")
            if digest_of(contents[one.digest]) != one.digest:
                raise ContentDamaged(f"{one.name}, which it carries along, was changed after it was signed")
        return {one.name: contents[one.digest] for one in members}

    def _stored_texts(self, members: list[BundleMember]) -> dict[str, str]:
        return {name: text_of(name, content) for name, content in self.read(members).items()}

    def _is_installed(self, one: BundleMember) -> bool:
        """What is installed is used as it is installed; it is only carried for when it goes."""
        modules = self.collector.modules
        if not modules.exists(one.name) or modules.owner(one.name) is not Owner.INSTALLED:
            return False
        return not (one.size and modules.is_namespace_package(one.name))

    def text_here(self, member: BundleMember) -> str | None:
        """Return what is here of a module, or None where it cannot be used."""
        try:
            if member.kind == "module":
                return self.collector.modules.text(member.name)
            paths = [tuple(path) for path in member.paths]
            if _has_names(member.name, paths):
                return self.collector.excerpt(member.name, paths, member.models)
        except SourceUnavailable:
            pass
        return None

    def _imports(self, member: BundleMember, texts: Mapping[str, str]) -> set[str]:
        found = self.collector.references(
            member.name, texts[member.name], is_package=member.is_package, stored=texts
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
