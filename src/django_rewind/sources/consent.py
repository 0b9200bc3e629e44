"""Whose word it takes to execute what was found in Git: whoever can write to a branch has written it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..exceptions import NotRecoverable
from ..schema.graph import target_below
from ..utils.types import Key
from .stored import StoredMigration


@dataclass
class Consent:
    """
    What may be executed in one run although it was found in Git.

    What was captured from a file, or filled in from one, needs no consent.
    """

    # Those to which a person has agreed in this run, by an answer or an option.
    keys: set[Key] = field(default_factory=set)
    # Whether it is enough that a person was shown all of it and agreed, when it was stored or signed.
    # So it is where a target is named; a bare `rewind` executes none of it.
    counts_agreed: bool = False

    def covers(self, stored: StoredMigration) -> bool:
        """Say whether a stored migration, whose signature verifies, may be executed."""
        metadata = stored.metadata
        return not metadata.commit or stored.key in self.keys or (self.counts_agreed and metadata.agreed)

    def why_not(self, stored: StoredMigration) -> NotRecoverable | None:
        """Return the error for what may not be executed, and None for the rest."""
        if self.covers(stored):
            return None
        app_label, name = stored.key
        target = target_below(stored.key, stored.metadata.dependencies)
        named = f"Run 'manage.py rewind {app_label} {target}'"
        if stored.metadata.agreed:
            reason = "its source was found in Git, and is executed only where a target is named."
            return NotRecoverable(stored.key, reason, f"{named}.")
        return NotRecoverable(
            stored.key,
            "its source was found in Git, and nobody has agreed to execute it.",
            f"{named}, which shows all of it and asks, or look at it and agree: "
            f"'manage.py verify_migrations --sign {app_label} {name}'.",
        )
