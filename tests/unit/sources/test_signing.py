"""Signatures: who signed, and whether anything was changed since."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_rewind import conf
from django_rewind.sources import signing
from django_rewind.sources.signing import Verdict

PAYLOAD = ["1", "shop", "0001_initial", "text"]


@pytest.fixture
def signed() -> tuple[str, str]:
    """A signature and its fingerprint, made with the key `old`."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        return signing.sign(PAYLOAD)


def test_what_was_signed_verifies():
    """Signing and verifying with the same settings agree."""
    assert signing.verify(PAYLOAD, *signing.sign(PAYLOAD)) is Verdict.VERIFIED


def test_without_a_signature_it_is_unsigned():
    """An empty signature is no forged one."""
    assert signing.verify(PAYLOAD, "", "") is Verdict.UNSIGNED


def test_an_empty_signature_stays_unsigned_whatever_fingerprint_it_claims():
    """A fingerprint alone is worth nothing."""
    _, fingerprint = signing.sign(PAYLOAD)
    assert signing.verify(PAYLOAD, "", fingerprint) is Verdict.UNSIGNED


@pytest.mark.parametrize("position", range(len(PAYLOAD)))
def test_every_part_is_covered(position):
    """A change to any part of the payload is a mismatch."""
    signature, fingerprint = signing.sign(PAYLOAD)
    changed = [*PAYLOAD]
    changed[position] += "x"
    assert signing.verify(changed, signature, fingerprint) is Verdict.SIGNATURE_MISMATCH


def test_parts_cannot_be_shifted_into_each_other():
    """Two payloads that read the same when they are joined have different signatures."""
    signature, fingerprint = signing.sign(["shop", "0001"])
    assert signing.verify(["shop0", "001"], signature, fingerprint) is Verdict.SIGNATURE_MISMATCH


def test_a_key_that_is_not_ours_is_foreign(signed):
    """Signed elsewhere is told from changed."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"]):
        assert signing.verify(PAYLOAD, *signed) is Verdict.UNKNOWN_KEY


def test_a_key_that_was_rotated_still_verifies(signed):
    """Every key of the list verifies, and the first one signs."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new", "old"]):
        assert signing.verify(PAYLOAD, *signed) is Verdict.VERIFIED
        signature, fingerprint = signing.sign(PAYLOAD)
    assert (signature, fingerprint) != signed
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"]):
        assert signing.verify(PAYLOAD, signature, fingerprint) is Verdict.VERIFIED


def test_tampering_under_a_rotated_key_is_tampering(signed):
    """The fingerprint of an old key that we still have says that it was changed."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new", "old"]):
        assert signing.verify([*PAYLOAD, "more"], *signed) is Verdict.SIGNATURE_MISMATCH


@override_settings(DJANGO_REWIND_SIGNING_KEYS=None, SECRET_KEY="old")
def test_the_secret_key_signs_by_default(signed):
    """Without a list of our own it is `SECRET_KEY`."""
    assert signing.sign(PAYLOAD) == signed


@override_settings(DJANGO_REWIND_SIGNING_KEYS=None, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "old"])
def test_the_fallbacks_of_the_secret_key_verify(signed):
    """A rotated `SECRET_KEY` needs nothing but Django's own setting."""
    assert conf.signing_keys() == ["new", "older", "old"]
    assert signing.verify(PAYLOAD, *signed) is Verdict.VERIFIED


@override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"], SECRET_KEY="old", SECRET_KEY_FALLBACKS=["old"])
def test_with_keys_of_our_own_the_secret_key_does_not_count(signed):
    """The list replaces `SECRET_KEY` and its fallbacks."""
    assert signing.verify(PAYLOAD, *signed) is Verdict.UNKNOWN_KEY


@pytest.mark.parametrize(
    "keys", ["a long secret", b"bytes", {"a": "b"}, ["", "old"], [], (), "", [""], [" "], 0]
)
def test_what_is_no_list_of_keys_signs_nothing(signed, keys):
    """A string would have signed with its first letter, an empty list with SECRET_KEY."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=keys):
        assert "DJANGO_REWIND_SIGNING_KEYS" in signing.problem_with_keys()
        with pytest.raises(ImproperlyConfigured, match="DJANGO_REWIND_SIGNING_KEYS"):
            signing.sign(PAYLOAD)
        assert signing.verify(PAYLOAD, *signed) is Verdict.NO_KEY


@override_settings(DJANGO_REWIND_SIGNING_KEYS=None, SECRET_KEY="")
def test_without_any_key_nothing_is_verified(signed):
    """Django has no `SECRET_KEY` as long as nobody asks for it."""
    assert "SECRET_KEY" in signing.problem_with_keys()
    assert signing.verify(PAYLOAD, *signed) is Verdict.NO_KEY


def test_the_fingerprint_only_chooses_the_wording(signed):
    """With a false fingerprint a good signature verifies, and a bad one does not."""
    signature, fingerprint = signed
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        assert signing.verify(PAYLOAD, signature, "0" * 16) is Verdict.VERIFIED
        assert signing.verify(PAYLOAD, "0" * 64, fingerprint) is Verdict.SIGNATURE_MISMATCH
        assert signing.verify(PAYLOAD, "0" * 64, "0" * 16) is Verdict.UNKNOWN_KEY


@pytest.mark.parametrize("signature", ["ü" * 64, "0", "0" * 10_000, "\x00"])
def test_what_is_no_signature_is_refused_like_a_false_one(signature):
    """Whatever somebody wrote there, the answer is a verdict."""
    assert signing.verify(PAYLOAD, signature, "") is Verdict.UNKNOWN_KEY


def test_neither_key_nor_its_plain_hash_is_in_the_fingerprint(signed):
    """A fingerprint tells keys apart and fits into its column."""
    _, fingerprint = signed
    assert len(fingerprint) == 16
    assert not signing.digest("old").startswith(fingerprint)


def test_the_digest_is_that_of_the_utf_8_bytes():
    """Anybody can check it with another tool."""
    assert signing.digest("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"


def test_a_lone_surrogate_has_a_digest():
    """A text that UTF-8 cannot encode is no reason to fail."""
    assert len(signing.digest("\ud800")) == 64


def test_line_ends_count_in_the_digest():
    """Texts that differ in their line ends are two texts."""
    assert signing.digest("a\n") != signing.digest("a\r\n")


# Proofs


def test_a_proof_is_made_with_the_key_that_signed(signed):
    """So that both are known, or foreign, together."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new", "old"]):
        binding = signing.sign_binding(PAYLOAD, signed[1])
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        assert signing.verifies_binding(PAYLOAD, binding)
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"]):
        assert not signing.verifies_binding(PAYLOAD, binding)


def test_a_proof_of_a_key_that_is_gone_is_made_with_the_first():
    """There is no other."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new", "old"]):
        binding = signing.sign_binding(PAYLOAD, "0" * 16)
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["new"]):
        assert signing.verifies_binding(PAYLOAD, binding)


def test_a_signature_is_no_proof(signed):
    """The two cannot stand for one another."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["old"]):
        assert not signing.verifies_binding(PAYLOAD, signed[0])
        assert (
            signing.verify(PAYLOAD, signing.sign_binding(PAYLOAD, signed[1]), signed[1])
            is Verdict.SIGNATURE_MISMATCH
        )


@pytest.mark.parametrize("binding", ["", "\u00fc" * 64, "0", "\x00"])
def test_what_is_no_binding_binds_nothing(binding):
    """Whatever somebody wrote there."""
    assert not signing.verifies_binding(PAYLOAD, binding)


@override_settings(DJANGO_REWIND_SIGNING_KEYS=None, SECRET_KEY="")
def test_without_any_key_nothing_is_proven():
    """Nor is it a crash."""
    assert not signing.verifies_binding(PAYLOAD, "0" * 64)
