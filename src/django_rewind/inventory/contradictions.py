"""
Files that contradict what is known to have been applied: a person is asked before they count.

The audit log knows the digest of each text that was applied. What has no signature is
known by its text alone. Neither is trusted: they can have a person asked, and nothing else.
What nobody has signed cannot unsay what is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..exceptions import NotRecoverable
from ..sources.bundle.changes import BundleChanges
from ..sources.bundle.collector import Collector
from ..sources.compare import same_text
from ..sources.signing import Verdict, digest
from ..storage.audit_log import AuditLog, LastApplied
from ..storage.records import time_of
from ..storage.store import Store
from ..utils.printable import printable_name
from ..utils.types import APP_LABEL, Applied, Key, label
from .files import text_on_disk
from .snapshot import Snapshot

_OTHER_TEXT = "its file is not what was applied, as the audit log knows, and what was applied is not stored."
_OTHER_BUNDLE = "a module or a data file that goes with its file is not what was applied."
_UNSIGNED = "its stored source is not signed, and its file is another program."


@dataclass(frozen=True)
class Contradiction:
    """A file that is another one than what is known to have been applied."""

    key: Key
    reason: str
    # Whether its record is of a later time: a process without django-rewind seems to have applied it again.
    is_of_before: bool = False

    @property
    def next_step(self) -> str:
        name = " ".join(map(printable_name, self.key))
        look = (
            f"'manage.py verify_migrations --sign {name}' shows what is stored. " if self._is_unsigned else ""
        )
        return (
            f"{look}If the file is what has to be reversed, run 'manage.py verify_migrations --accept {name}'. "
            "If not, bring back the file that was applied."
        )

    @property
    def _is_unsigned(self) -> bool:
        return self.reason == _UNSIGNED

    @property
    def error(self) -> NotRecoverable:
        """What a rollback by this file is refused with."""
        return NotRecoverable(self.key, self.reason, self.next_step)

    @property
    def warning(self) -> str:
        if self.is_of_before:
            return (
                f"{label(self.key)} has been applied again since django-rewind has noted what was applied, and its "
                "file is another one than then. The file counts as what was applied."
            )
        return f"{label(self.key)} is not stored from its file: {self.reason} {self.next_step}"


def contradicted_in(connection: Any, snapshot: Snapshot, keys: Iterable[Key]) -> dict[Key, Contradiction]:
    """Return which of these have a file that must not count as what was applied, and no applied version."""
    files = {
        key: text
        for key in keys
        if key in snapshot.files
        and key in snapshot.applied
        and key[0] not in snapshot.excluded_apps
        and not _has_applied_version(snapshot, key)
        and (text := text_on_disk(key)) is not None
    }
    found = contradictions(connection, files, snapshot.applied)
    return {key: contradiction for key, contradiction in found.items() if not contradiction.is_of_before}


def _has_applied_version(snapshot: Snapshot, key: Key) -> bool:
    stored = snapshot.bound(key)
    return stored is not None and stored.verdict is Verdict.VERIFIED


def contradictions(connection: Any, files: Mapping[Key, str], applied: Applied) -> dict[Key, Contradiction]:
    """
    Return which of these files are known to be other ones than what was applied.

    Args:
        files: the texts of the files of migrations that have no verified applied version.
        applied: the ids of their records, 0 for those of this very run.
    """
    # What django-rewind's own migrations say is its own matter, and changes with its versions.
    files = {key: text for key, text in files.items() if key[0] != APP_LABEL}
    if not files:
        return {}
    store = Store(connection)
    audit_log = AuditLog(connection, store.identity)
    unsigned = store.unsigned_texts(files)
    found = {
        key: Contradiction(key, _UNSIGNED)
        for key, text in unsigned.items()
        if not same_text(text, files[key])
    }
    noted = audit_log.last_applied(files) if audit_log.is_there() else {}
    others = {
        key: [last for last in told if last.digest != digest(files[key])] for key, told in noted.items()
    }
    texts = store.texts(key for key, told in others.items() if told)
    for key, told in others.items():
        is_same = same_text(texts.get(key, ""), files[key])
        different = [last for last in told if not (is_same and digest(texts[key]) == last.digest)]
        if different:
            is_of_before = all(_is_of_before(connection, last, applied.get(key)) for last in different)
            found[key] = Contradiction(key, _OTHER_TEXT, is_of_before)
    return {**_with_another_bundle(store, noted, applied), **found}


def _with_another_bundle(
    store: Store, noted: Mapping[Key, list[LastApplied]], applied: Applied
) -> dict[Key, Contradiction]:
    """Return those whose files are what was applied, as far as is known, and what goes with them is not."""
    if not noted:
        return {}
    changes = BundleChanges(Collector(), store.contents)
    found = {}
    for key, row in store.of_apps(app_label for app_label, _ in noted).items():
        told = [last for last in noted.get(key, ()) if last.digest == row.digest]
        # Of a row that does not verify, nothing is known to go with its file.
        if told and changes.is_bundle_modified(row):
            is_of_before = all(_is_of_before(store.connection, last, applied.get(key)) for last in told)
            found[key] = Contradiction(key, _OTHER_BUNDLE, is_of_before)
    return found


def _is_of_before(connection: Any, last: LastApplied, record_id: int | None) -> bool:
    """Say whether the record seems to have been made after what was noted, by somebody else."""
    if not record_id or record_id == last.record_id:
        return False
    applied_at = time_of(connection, record_id)
    try:
        return applied_at is not None and last.at is not None and applied_at > last.at
    except TypeError:
        # One of them has no time zone, or is no time at all.
        return False
