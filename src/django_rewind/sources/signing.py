"""
Sign what is stored, and tell a foreign signature from a forged one.

Whoever can write to the table could otherwise have code executed by the next
`migrate`. A signature covers everything that decides what a stored migration
does: where it belongs, its metadata and its text.
"""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare, salted_hmac

from .. import conf

_SALT = "django_rewind.signing"
_SALT_OF_PROOFS = _SALT + ".proof"


class Verdict(Enum):
    """What can be said of a signature, in the words of an error message."""

    VERIFIED = "verified"
    UNSIGNED = "its stored source is not signed"
    UNKNOWN_KEY = "its stored source was signed with another key"
    SIGNATURE_MISMATCH = "its stored source was changed after it was signed"
    REPLAYED_REVISION = "its stored source is an older one, put back in the place of a newer"
    NO_KEY = "its stored source cannot be verified without a key"


# The same, where the stored source is what is spoken of.
IN_SHORT = {
    Verdict.VERIFIED: "verified",
    Verdict.UNSIGNED: "not signed",
    Verdict.UNKNOWN_KEY: "signed with another key",
    Verdict.SIGNATURE_MISMATCH: "changed after it was signed",
    Verdict.REPLAYED_REVISION: "older than what was stored last",
    Verdict.NO_KEY: "there is no key to verify it",
}


def digest(text: str) -> str:
    """Return the SHA-256 of a text as hexadecimal digits."""
    return digest_of(text.encode("utf-8", "surrogatepass"))


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of bytes as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def problem_with_keys() -> str:
    """Return what has to be done before anything can be signed or verified; nothing is the rule."""
    try:
        conf.signing_keys()
    except ImproperlyConfigured as error:
        return str(error)
    return ""


def sign(payload: Any) -> tuple[str, str]:
    """
    Return the signature of a payload and the fingerprint of the key.

    Args:
        payload: anything that `json` can write; the same at verification.

    Raises:
        ImproperlyConfigured: there is no key.
    """
    key = conf.signing_keys()[0]
    return _signature(payload, key), _fingerprint(key)


def verify(payload: Any, signature: str, fingerprint: str) -> Verdict:
    """
    Compare a payload with the signature that was stored beside it.

    The fingerprint only chooses the wording: a row that none of our keys
    verifies is refused, whatever fingerprint it claims.
    """
    if not signature:
        return Verdict.UNSIGNED
    if problem_with_keys():
        return Verdict.NO_KEY
    keys = conf.signing_keys()
    if any(constant_time_compare(_signature(payload, key), signature) for key in keys):
        return Verdict.VERIFIED
    if fingerprint in {_fingerprint(key) for key in keys}:
        return Verdict.SIGNATURE_MISMATCH
    return Verdict.UNKNOWN_KEY


def prove(payload: Any, fingerprint: str) -> str:
    """
    Return what ties a signed row to its record.

    Args:
        fingerprint: of the key that signed the row: the two are known, or foreign, together.

    Raises:
        ImproperlyConfigured: there is no key.
    """
    keys = conf.signing_keys()
    key = next((one for one in keys if _fingerprint(one) == fingerprint), keys[0])
    return _signature(payload, key, _SALT_OF_PROOFS)


def proves(payload: Any, proof: str) -> bool:
    """Say whether one of our keys has made this proof."""
    if not proof or problem_with_keys():
        return False
    made = (_signature(payload, key, _SALT_OF_PROOFS) for key in conf.signing_keys())
    return any(constant_time_compare(one, proof) for one in made)


def fingerprint_of_first_key() -> str:
    """
    Return the fingerprint of the key that signs.

    Raises:
        ImproperlyConfigured: there is no key.
    """
    return _fingerprint(conf.signing_keys()[0])


def _signature(payload: Any, key: str, salt: str = _SALT) -> str:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return salted_hmac(salt, text, secret=key, algorithm="sha256").hexdigest()


@lru_cache(maxsize=16)
def _fingerprint(key: str) -> str:
    # Asked for with every row that is signed, proven or verified.
    name = salted_hmac(_SALT + ".fingerprint", "", secret=key, algorithm="sha256")
    return name.hexdigest()[:16]
