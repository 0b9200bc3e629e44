"""How a stored migration stands to its file, each state as a word and a sign that needs no colour."""

from __future__ import annotations

from typing import Any

from django.db.models import TextChoices
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_rewind.inventory import snapshot
from django_rewind.inventory.snapshot import FileStatus
from django_rewind.sources.signing import IN_SHORT, Verdict

__all__ = ["OF_STANDING", "SETTLED", "FileState", "Knowledge", "as_html", "sign_of"]


def _words(standing: FileStatus) -> Any:
    return _(standing.value)


def _of_signature(verdict: Verdict) -> Any:
    return _(IN_SHORT[verdict])


class FileState(TextChoices):
    """What the checkout says of a stored migration, in the words of the commands."""

    ON_DISK = "on-disk", _(snapshot.ON_DISK)
    EDITED = "edited", _(snapshot.EDITED)
    DIFFERS = "differs", _(snapshot.DIFFERS)
    UNREADABLE = "unreadable", _("unreadable")
    MISSING = "missing", _words(FileStatus.MISSING)
    IN_USE = "in-use", _words(FileStatus.TABLE_IN_USE)
    REPLACED = "replaced", _words(FileStatus.SQUASHED)
    SUPERSEDED = "superseded", _words(FileStatus.RECREATED)
    BASELINE = "baseline", _words(FileStatus.MISSING_BEFORE_INSTALL)
    REMOVED_APP = "app-removed", _words(FileStatus.STALE_APP)
    DISABLED = "disabled", _words(FileStatus.DISABLED)
    NO_FILE = "no-file", _(snapshot.NO_FILE)


class Knowledge(TextChoices):
    """What a signature is worth, in the words of the commands."""

    VERIFIED = "verified", _of_signature(Verdict.VERIFIED)
    UNSIGNED = "unsigned", _of_signature(Verdict.UNSIGNED)
    UNKNOWN_KEY = "foreign", _of_signature(Verdict.UNKNOWN_KEY)
    SIGNATURE_MISMATCH = "tampered", _of_signature(Verdict.SIGNATURE_MISMATCH)
    REPLAYED_REVISION = "replayed", _of_signature(Verdict.REPLAYED_REVISION)
    NO_KEY = "no_key", _of_signature(Verdict.NO_KEY)


OF_STANDING = {
    FileStatus.MISSING: FileState.MISSING,
    FileStatus.TABLE_IN_USE: FileState.IN_USE,
    FileStatus.SQUASHED: FileState.REPLACED,
    FileStatus.RECREATED: FileState.SUPERSEDED,
    FileStatus.MISSING_BEFORE_INSTALL: FileState.BASELINE,
    FileStatus.STALE_APP: FileState.REMOVED_APP,
    FileStatus.DISABLED: FileState.DISABLED,
}

# What nobody has to do anything about.
SETTLED = (
    FileState.ON_DISK,
    FileState.REPLACED,
    FileState.SUPERSEDED,
    FileState.DISABLED,
    FileState.NO_FILE,
)

_SIGNS = {
    "on-disk": "✓",
    "edited": "≈",
    "differs": "≠",
    "unreadable": "?",
    "missing": "✗",
    "in-use": "⊞",
    "replaced": "⊂",
    "superseded": "⊃",
    "baseline": "◇",
    "app-removed": "⊘",
    "disabled": "‖",
    "no-file": "∅",
    "applied": "●",
    "unapplied": "○",
    **{value: "✓" if value == "verified" else "!" for value in Knowledge.values},
}


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
