"""Which database it is: what is signed for one is worth nothing in another."""

from __future__ import annotations

from dataclasses import dataclass

from .. import conf
from . import signing
from .signing import Verdict

_PROBLEMS = {
    Verdict.UNSIGNED: "is not signed",
    Verdict.UNKNOWN_KEY: "was signed with another key",
    Verdict.SIGNATURE_MISMATCH: "was changed after it was signed",
    Verdict.NO_KEY: "cannot be verified without a key",
}


@dataclass(frozen=True)
class Identity:
    """The identity of one database, as far as it is known."""

    # Random, and empty where it is not known.
    value: str = ""
    # Why it is not known: what follows "the identity of the database".
    problem: str = ""

    @classmethod
    def judged(cls, value: str, signature: str, fingerprint: str) -> Identity:
        """Return what a stored identity is worth."""
        verdict = signing.verify_identity(value, signature, fingerprint)
        is_taken_as_it_is = verdict in signing.SIGNABLE and not conf.requires_signatures()
        if value and (verdict is Verdict.VERIFIED or is_taken_as_it_is):
            return cls(value)
        return cls(problem=_PROBLEMS.get(verdict, "is empty"))


ABSENT = Identity(problem="is not there")
UNREADABLE = Identity(problem="cannot be read")
