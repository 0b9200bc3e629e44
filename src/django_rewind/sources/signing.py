"""
Sign what is stored, and tell a signature of an unknown key from a mismatch.

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
_SALT_OF_BINDINGS = _SALT + ".proof"
_SALT_OF_IDENTITIES = _SALT + ".identity"
_SALT_OF_FACTS = _SALT + ".fact"


class Verdict(Enum):
    """What can be said of a signature, in the words of an error message."""

    VERIFIED = "verified"
    UNSIGNED = "its stored source is not signed"
    UNKNOWN_KEY = "its stored source was signed with another key"
    SIGNATURE_MISMATCH = "its stored source was changed after it was signed"
    REPLAYED_REVISION = "its stored source is an older one, put back in the place of a newer"
    ANOTHER_DATABASE = "its stored source was signed for another database"
    NO_IDENTITY = "its stored source was signed for one database, and it is not known whether this is the one"
    UNREADABLE = "its stored source cannot be read: a column holds something else than it is for"
    NO_KEY = "its stored source cannot be verified without a key"


# Of these nobody knows who has signed them for this database. A person can look, and sign them.
SIGNABLE = (Verdict.UNSIGNED, Verdict.UNKNOWN_KEY, Verdict.ANOTHER_DATABASE, Verdict.NO_IDENTITY)

# The verdicts, where the stored source is what is spoken of.
IN_SHORT = {
    Verdict.VERIFIED: "verified",
    Verdict.UNSIGNED: "not signed",
    Verdict.UNKNOWN_KEY: "signed with another key",
    Verdict.SIGNATURE_MISMATCH: "changed after it was signed",
    Verdict.REPLAYED_REVISION: "older than what was stored last",
    Verdict.ANOTHER_DATABASE: "signed for another database",
    Verdict.NO_IDENTITY: "this database has no identity",
    Verdict.UNREADABLE: "unreadable",
    Verdict.NO_KEY: "there is no key to verify it",
}


def digest(text: str) -> str:
    return digest_of(text.encode("utf-8", "surrogatepass"))


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def problem_with_keys() -> str:
    """Return what has to be done before anything can be signed or verified; nothing is the rule."""
    try:
        conf.signing_keys()
    except ImproperlyConfigured as error:
        return str(error)
    return ""


def sign(payload: Any) -> tuple[str, str]:
    """Return the signature of what `json` can write, and the fingerprint of the key."""
    return _sign(payload, _SALT)


def _sign(payload: Any, salt: str) -> tuple[str, str]:
    key = conf.signing_keys()[0]
    return _signature(payload, key, salt), _fingerprint(key)


def verify(
    payload: Any,
    signature: str,
    fingerprint: str,
    bound: tuple[Any, str] | None = None,
    *,
    salt: str = _SALT,
) -> Verdict:
    """
    Compare a payload, and what is bound to its signature, with what was stored beside them.

    The fingerprint only chooses the wording: a row that none of our keys
    verifies is refused, whatever fingerprint it claims.
    """
    if not signature:
        return Verdict.UNSIGNED
    keys = _keys()
    if not keys:
        return Verdict.NO_KEY
    if _is_of_a_key(keys, payload, signature, salt):
        is_bound = bound is None or _is_of_a_key(keys, *bound, _SALT_OF_BINDINGS)
        return Verdict.VERIFIED if is_bound else Verdict.SIGNATURE_MISMATCH
    if fingerprint in map(_fingerprint, keys):
        return Verdict.SIGNATURE_MISMATCH
    return Verdict.UNKNOWN_KEY


def sign_binding(payload: Any, fingerprint: str) -> str:
    """Return what binds a row to its record, by the key that signed the row where we have that."""
    keys = conf.signing_keys()
    key = next((key for key in keys if _fingerprint(key) == fingerprint), keys[0])
    return _signature(payload, key, _SALT_OF_BINDINGS)


def verifies_binding(payload: Any, binding: str) -> bool:
    """Say whether one of our keys has made this binding."""
    return _is_of_a_key(_keys(), payload, binding, _SALT_OF_BINDINGS)


def sign_identity(identity: str) -> tuple[str, str]:
    """Return the signature of the identity of a database, and the fingerprint of the key."""
    return _sign([identity], _SALT_OF_IDENTITIES)


def verify_identity(identity: str, signature: str, fingerprint: str) -> Verdict:
    """Say who has signed the identity of a database."""
    return verify([identity], signature, fingerprint, salt=_SALT_OF_IDENTITIES)


def sign_fact(payload: Any) -> str:
    """Return the signature of something that was seen, done or decided in a database."""
    return _sign(payload, _SALT_OF_FACTS)[0]


def verifies_fact(payload: Any, signature: str) -> bool:
    """Say whether one of our keys has signed it; where signatures are not required, nobody asks."""
    if not conf.requires_signatures():
        return True
    return bool(signature) and _is_of_a_key(_keys(), payload, signature, _SALT_OF_FACTS)


def fingerprints() -> set[str]:
    """Return the fingerprints of our keys. Whoever claims one need not have the key."""
    return set(map(_fingerprint, _keys()))


def _keys() -> list[str]:
    try:
        return conf.signing_keys()
    except ImproperlyConfigured:
        return []


def _is_of_a_key(keys: list[str], payload: Any, signature: str, salt: str) -> bool:
    signatures = (_signature(payload, key, salt) for key in keys)
    return any(constant_time_compare(ours, signature) for ours in signatures)


def _signature(payload: Any, key: str, salt: str = _SALT) -> str:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    return salted_hmac(salt, text, secret=key, algorithm="sha256").hexdigest()


@lru_cache(maxsize=16)
def _fingerprint(key: str) -> str:
    # Asked for with every row that is signed, bound or verified.
    name = salted_hmac(_SALT + ".fingerprint", "", secret=key, algorithm="sha256")
    return name.hexdigest()[:16]
