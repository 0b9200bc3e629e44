"""What is stored and never to be used, because it is not what was signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..sources import signing
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration
from ..utils.types import Key
from .store import Store

__all__ = ["Damage", "why_not_as_signed"]

# What somebody else may have signed is no damage: people can look at it and agree.
_DAMAGED = (Verdict.SIGNATURE_MISMATCH, Verdict.REPLAYED_REVISION, Verdict.UNSIGNED)


class Damage:
    """
    Find what was changed in one database: rows, texts, and what they carry along.

    Nothing is executed; every text is read and compared with its digest.
    """

    def __init__(self, connection: Any) -> None:
        self.store = Store(connection)

    def among(self, rows: Mapping[Key, StoredMigration]) -> dict[Key, str]:
        """Return what is damaged of these, each with the reason; without a key nothing is known."""
        if not rows or signing.problem_with_keys():
            return {}
        texts = self.store.texts(rows)
        contents = self.store.contents(one for row in rows.values() for one in _carried(row))
        reasons = {
            key: row.verdict.value
            if row.verdict in _DAMAGED
            else why_not_as_signed(row, texts.get(key), contents)
            for key, row in rows.items()
        }
        return {key: reason for key, reason in sorted(reasons.items()) if reason}


def why_not_as_signed(row: StoredMigration, text: str | None, contents: Mapping[str, bytes]) -> str:
    """
    Return what contradicts the digests that stand in a row; nothing is the rule.

    Args:
        text: what is stored of it.
        contents: what is stored of what it carries along, by digest.
    """
    if text is None or signing.digest(text) != row.digest:
        return Verdict.SIGNATURE_MISMATCH.value
    try:
        members = row.metadata.bundle.members
    except ValueError as error:
        return f"its {error}"
    for one in members:
        if one.digest not in contents:
            return f"{one.name}, which it carries along, has gone from the database"
        if signing.digest_of(contents[one.digest]) != one.digest:
            return f"{one.name}, which it carries along, was changed after it was signed"
    return ""


def _carried(row: StoredMigration) -> list[str]:
    try:
        return [one.digest for one in row.metadata.bundle.members]
    except ValueError:
        return []
