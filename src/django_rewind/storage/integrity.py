"""What is stored and never to be used, because it is not what was signed. Nothing is executed to find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..sources import signing
from ..sources.bundle.changes import ContentDamaged, intact
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration
from ..utils.types import Key
from .store import Store

# Of what somebody else may have signed, people can look at it and agree.
_NOT_AS_SIGNED = (
    Verdict.SIGNATURE_MISMATCH,
    Verdict.REPLAYED_REVISION,
    Verdict.UNREADABLE,
    Verdict.UNSIGNED,
    Verdict.ANOTHER_DATABASE,
)


def not_as_signed(connection: Any, rows: Mapping[Key, StoredMigration]) -> dict[Key, str]:
    """Return what was changed of these, rows, texts or bundles, each with the reason; nothing without a key."""
    if not rows or signing.problem_with_keys():
        return {}
    store = Store(connection)
    texts = store.texts(rows)
    contents = store.contents(digest for row in rows.values() for digest in _bundled(row))
    reasons = {
        key: row.verdict.value
        if row.verdict in _NOT_AS_SIGNED
        else why_not_as_signed(row, texts.get(key), contents)
        for key, row in rows.items()
    }
    return {key: reason for key, reason in sorted(reasons.items()) if reason}


def why_not_as_signed(row: StoredMigration, text: str | None, contents: Mapping[str, bytes]) -> str:
    """Return what contradicts the digests in a row, given its stored text and contents; nothing is the rule."""
    if text is None or signing.digest(text) != row.digest:
        return Verdict.SIGNATURE_MISMATCH.value
    try:
        intact(row.claimed_metadata.bundle.members, contents)
    except ContentDamaged as damage:
        return str(damage)
    except ValueError as error:
        return f"its {error}"
    return ""


def _bundled(row: StoredMigration) -> list[str]:
    try:
        return [member.digest for member in row.claimed_metadata.bundle.members]
    except ValueError:
        return []
