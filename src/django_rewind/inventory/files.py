"""Which files are not what was stored any more, as far as texts can tell. Nothing is executed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ..sources.bundle.changes import BundleChanges
from ..sources.bundle.collector import Collector
from ..sources.bundle.modules import SourceUnavailable
from ..sources.description import module_of, read_text
from ..sources.signing import digest
from ..sources.stored import StoredMigration
from ..storage.store import Store
from ..utils.types import Key
from .snapshot import Comparison


class Files:
    """Compare files with what is stored of them, and of what goes with them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def changes(self) -> BundleChanges:
        return BundleChanges(Collector(), self.store.contents)

    def compare(self, stored: Iterable[StoredMigration]) -> dict[Key, Comparison]:
        """Compare the files of these, in their order; what is stored is read where a text is not the same."""
        here = {row: text_on_disk(row.key) for row in stored}
        changed = {row.key for row, text in here.items() if text is not None and digest(text) != row.digest}
        texts = self.store.texts(changed) if changed else {}
        return {row.key: self.comparison(row, text, texts.get(row.key, "")) for row, text in here.items()}

    def comparison(self, stored: StoredMigration, here: str | None, stored_text: str) -> Comparison:
        """Compare the text of a file, None where there is none, with what is stored."""
        if here is None:
            return Comparison(None)
        if not self.changes.is_modified(stored, here, stored_text):
            return Comparison(False)
        return Comparison(True, self.fingerprint(stored, here))

    def fingerprint(self, stored: StoredMigration, here: str) -> str:
        """Return a digest of a file and of what it needs, as they are now."""
        try:
            names = [member.name for member in stored.metadata.bundle.modules]
        except ValueError:
            names = []
        return digest("\0".join([here, *map(self._text_of_module, names)]))

    def _text_of_module(self, name: str) -> str:
        try:
            return self.changes.collector.modules.text(name)
        except SourceUnavailable:
            return ""


def digest_on_disk(key: Key) -> str:
    """Return the digest of the text of a migration's file; nothing where there is no text."""
    text = text_on_disk(key)
    return "" if text is None else digest(text)


def text_on_disk(key: Key) -> str | None:
    """Return the text of a migration's file; None where there is nothing but bytecode, or nothing."""
    try:
        return read_text(module_of(key))
    except (LookupError, SourceUnavailable):
        return None
