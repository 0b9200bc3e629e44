"""How a stored migration stands to its file, each state as a word and a sign that needs no colour."""

from __future__ import annotations

from typing import Any

from django.db.models import TextChoices
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_rewind.inventory.snapshot import FileStatus
from django_rewind.sources.signing import IN_SHORT, Verdict


def _of_signature(verdict: Verdict) -> Any:
    return _(IN_SHORT[verdict])


class Knowledge(TextChoices):
    """What a signature is worth, in the words of the commands."""

    VERIFIED = "verified", _of_signature(Verdict.VERIFIED)
    UNSIGNED = "unsigned", _of_signature(Verdict.UNSIGNED)
    UNKNOWN_KEY = "unknown_key", _of_signature(Verdict.UNKNOWN_KEY)
    SIGNATURE_MISMATCH = "signature_mismatch", _of_signature(Verdict.SIGNATURE_MISMATCH)
    REPLAYED_REVISION = "replayed_revision", _of_signature(Verdict.REPLAYED_REVISION)
    ANOTHER_DATABASE = "another_database", _of_signature(Verdict.ANOTHER_DATABASE)
    NO_IDENTITY = "no_identity", _of_signature(Verdict.NO_IDENTITY)
    # A file can be unreadable, too.
    UNREADABLE = "row_unreadable", _of_signature(Verdict.UNREADABLE)
    NO_KEY = "no_key", _of_signature(Verdict.NO_KEY)


# What nobody has to do anything about.
SETTLED = (
    FileStatus.ON_DISK,
    FileStatus.SQUASHED,
    FileStatus.RECREATED,
    FileStatus.DISABLED,
    FileStatus.NO_FILE,
)

_SIGNS = {
    "on_disk": "✓",
    "not_compared": "?",
    "modified": "≈",
    "modified_operations": "≠",
    "unreadable": "?",
    "missing": "✗",
    "table_in_use": "⊞",
    "missing_before_install": "◇",
    "squashed": "⊂",
    "recreated": "⊃",
    "stale_app": "⊘",
    "disabled": "‖",
    "no_file": "∅",
    "applied": "●",
    "unapplied": "○",
    **{value: "✓" if value == "verified" else "!" for value in Knowledge.values},
}


def status_as_html(status: FileStatus) -> SafeString:
    return as_html(status.slug, word_of(status))


def word_of(status: FileStatus) -> Any:
    """Return the word for what the checkout says of a migration, translated when it is shown."""
    return _(status.value)


def sign_of(state: str) -> str:
    """Return the sign of a state, which can be told from the others without colour."""
    return _SIGNS[str(state)]


def as_html(state: str, word: object) -> SafeString:
    """Return a state as its sign, which is not read aloud, and its word."""
    return format_html(
        '<span class="rewind-state rewind-is-{}"><span class="rewind-sign" aria-hidden="true">{}</span> {}</span>',
        state,
        sign_of(state),
        word,
    )
