"""What of a bundle is missing or different in this checkout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...schema.graph import closure
from ..compare import same_text
from ..signing import Verdict, digest, digest_of
from .collector import Collector, reads_beside
from .imports import EVERYTHING
from .manifest import Bundle, BundleMember
from .modules import Owner, SourceUnavailable

if TYPE_CHECKING:
    from ..stored import StoredMigration

# Takes digests, and returns what is stored under them.
Contents = Callable[[Iterable[str]], Mapping[str, bytes]]


class ContentDamaged(Exception):
    """What is bundled with a migration is not what was signed: the message says what."""


@dataclass(frozen=True)
class StoredModule:
    """A module that has to come from the store, and those like it that it imports."""

    member: BundleMember
    text: str
    imports: frozenset[str]


class BundleChanges:
    """
    Compare what is stored with what is here.

    The collector reads what is here, each module once. What is stored is read only
    where it is not the same to the letter, and a ContentDamaged raised where that is
    gone or changed.
    """

    def __init__(self, collector: Collector, contents: Contents) -> None:
        self.collector = collector
        self.contents = contents

    def is_modified(self, stored: StoredMigration, here: str, stored_text: str) -> bool:
        """Say whether a file, or what goes with it, is another program than what was applied."""
        # What somebody has put in the place of the text says nothing.
        is_same = stored.is_its_text(here) or (
            stored.is_its_text(stored_text) and same_text(stored_text, here)
        )
        return not is_same or self.is_bundle_modified(stored)

    def is_bundle_modified(self, stored: StoredMigration) -> bool:
        """
        Say whether what goes with a file has changed; nobody knows where what is stored is damaged.

        Of a row that does not verify, nothing is known to go with its file.
        """
        if stored.verdict is not Verdict.VERIFIED:
            return False
        try:
            return self.has_changed(stored.metadata.bundle, stored.module.rpartition(".")[0])
        except (ContentDamaged, ValueError):
            return True

    def has_changed(self, bundle: Bundle, package: str) -> bool:
        return bool(self.files(bundle, package) or self.modules(bundle, package))

    def files(self, bundle: Bundle, package: str) -> list[BundleMember]:
        """Return the data files of a migrations package that are missing or different."""
        files = bundle.files if bundle.members else []
        folder = self.collector.modules.folder(package) if files else None
        if folder is None:
            return files
        return [member for member in files if not self._holds(folder.joinpath(member.name), member.digest)]

    def _holds(self, path: Path, wanted: str) -> bool:
        try:
            return digest_of(self.collector.modules.content(path)) == wanted
        except OSError:
            return False

    def modules(self, bundle: Bundle, package: str) -> dict[str, StoredModule]:
        """
        Return the modules that cannot be used as they are here, by name.

        One that is the same as ever is among them when it imports one that is not,
        or reads a data file of the migrations package where one is not: it would
        meet the wrong one.
        """
        if not bundle.members:
            return {}
        members = [member for member in bundle.modules if not self._is_installed(member)]
        here = {member.name: self.text_here(member) for member in members}
        stored: dict[str, str] = {}
        differing = [member for member in members if _digest(here[member.name]) != member.digest]
        for name, content in self.read(differing).items():
            stored[name] = text_of(name, content)
        changed = [name for name, text in stored.items() if not _is_same(text, here[name])]
        if self.files(bundle, package):
            changed += [name for name, text in here.items() if text and reads_beside(name, text, package)]
        if not changed:
            return {}
        texts = {**{name: text or "" for name, text in here.items()}, **stored}
        imports = {member.name: self._imports(member, texts) for member in members}
        importers: dict[str, set[str]] = {}
        for name, imported in imports.items():
            for other in imported:
                importers.setdefault(other, set()).add(name)
        reached = closure(changed, importers)
        return {
            member.name: StoredModule(member, texts[member.name], frozenset(imports[member.name] & reached))
            for member in members
            if member.name in reached
        }

    def read(self, members: Iterable[BundleMember]) -> dict[str, bytes]:
        """Return what is stored of these, by name."""
        members = list(members)
        return intact(members, self.contents([member.digest for member in members]) if members else {})

    def _is_installed(self, member: BundleMember) -> bool:
        """What is installed is used as it is installed; it is only bundled for when it goes."""
        modules = self.collector.modules
        if not modules.exists(member.name) or modules.owner(member.name) is not Owner.INSTALLED:
            return False
        return not (member.size and modules.is_namespace_package(member.name))

    def text_here(self, member: BundleMember) -> str | None:
        """Return what is here of a module, or None where it cannot be used."""
        try:
            if member.kind == "module":
                return self.collector.modules.text(member.name)
            # Not imported for the purpose: it would register its models, or refuse to
            # where its app is not installed.
            live = sys.modules.get(member.name)
            names = [path[0] for path in member.paths if path[0] != EVERYTHING]
            if live is not None and all(hasattr(live, name) for name in names):
                return self.collector.excerpt(member.name, map(tuple, member.paths), member.models)
        except SourceUnavailable:
            pass
        return None

    def _imports(self, member: BundleMember, texts: Mapping[str, str]) -> set[str]:
        references = self.collector.references(
            member.name, texts[member.name], is_package=member.is_package, stored=texts
        )
        return {reference.module for reference in references if reference.module in texts}


def intact(members: Iterable[BundleMember], contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return by name what is stored of these, if it is what was signed."""
    stored = {}
    for member in members:
        content = stored[member.name] = contents.get(member.digest, b"")
        if member.digest not in contents:
            raise ContentDamaged(f"{member.name}, which it carries along, has gone from the database")
        if digest_of(content) != member.digest:
            raise ContentDamaged(f"{member.name}, which it carries along, was changed after it was signed")
    return stored


def text_of(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise ContentDamaged(f"{name}, which it carries along, is no text") from None


def _digest(text: str | None) -> str | None:
    return None if text is None else digest(text)


def _is_same(stored: str, here: str | None) -> bool:
    return here is not None and same_text(stored, here)
