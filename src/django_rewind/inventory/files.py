"""Which files are not what was stored any more, as far as texts can tell."""

from __future__ import annotations

from collections.abc import Iterable

from ..sources.bundle.changes import BundleChanges
from ..sources.bundle.collector import Collector
from ..sources.bundle.modules import SourceUnavailable
from ..sources.description import module_of, read_text
from ..sources.signing import digest
from ..sources.stored import StoredMigration
from ..storage.store import Store
from ..utils.types import Key


class Edits:
    """
    Compare files with what is stored of them, and of what goes with them.

    Nothing is executed. Whether an edited file would do something else can only be
    found out by loading what is stored.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.changes = BundleChanges(Collector(), store.contents)

    def among(self, stored: Iterable[StoredMigration]) -> list[Key]:
        """Return the keys of those whose file, or what it needs, was edited, in their order."""
        on_disk = {row: text for row in stored if (text := text_on_disk(row.key)) is not None}
        changed = {row.key for row, text in on_disk.items() if digest(text) != row.digest}
        as_stored = self.store.texts(changed) if changed else {}
        return [
            row.key
            for row, text in on_disk.items()
            if self.changes.is_modified(row, text, as_stored.get(row.key, ""))
        ]

    def fingerprint(self, stored: StoredMigration, text: str | None = None) -> str:
        """
        Return a digest of a file and of what it needs, as they are now.

        Args:
            text: of the file; without it, of the module that was imported from it.
        """
        try:
            names = [one.name for one in stored.metadata.bundle.modules]
        except ValueError:
            names = []
        here = text_on_disk(stored.key) if text is None else text
        texts = [here or "", *map(self._text_of_module, names)]
        return digest("\0".join(texts))

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
