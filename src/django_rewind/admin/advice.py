"""What a state means, in words, and which commands help, ready to be copied."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils.translation import gettext as _

from django_rewind.inventory.snapshot import FileStatus
from django_rewind.sources.signing import SIGNABLE, Verdict
from django_rewind.utils.advice import on_database
from django_rewind.utils.printable import printable_name

from .changelist import Known
from .states import SETTLED, Knowledge

_NEVER_USED = (Verdict.SIGNATURE_MISMATCH, Verdict.REPLAYED_REVISION, Verdict.UNREADABLE)


@dataclass(frozen=True)
class Command:
    """A command, and what it is good for."""

    what_for: str
    line: str


@dataclass(frozen=True)
class Advice:
    """What is to be said of a migration, sentence by sentence, and what can be done."""

    sentences: list[str]
    commands: list[Command]
    # Whether somebody has to look.
    is_urgent: bool


def advice(known: Known, alias: str) -> Advice:
    """Return what is to be said of a stored migration in a database."""
    commands = [*_to_trust(known), *_to_act(known)]
    if any(part.startswith("-") for part in known.key):
        # To be copied: a name that somebody made up must not be an option.
        commands = []
    has_problem = known.verified is not None and bool(known.verified.problem) and known.is_applied
    is_sound = known.stored.strict_verdict is Verdict.VERIFIED
    return Advice(
        sentences=[*_on_file(known), *_on_signature(known), *_on_verification(known, alias)],
        commands=[Command(what_for, _line(words, alias)) for what_for, *words in commands],
        is_urgent=known.file_status not in SETTLED or not is_sound or has_problem,
    )


def _on_file(known: Known) -> Iterator[str]:
    if known.file_status is FileStatus.ON_DISK and known.is_applied:
        yield _("It is applied, and its file does what is stored.")
    elif known.file_status is FileStatus.ON_DISK:
        yield _("It is not applied; its file is on disk.")
    else:
        yield _meaning(known.file_status)
        if known.file_status is FileStatus.MISSING and known.stored.verdict is Verdict.VERIFIED:
            yield _("It can be undone with what is stored.")


def _meaning(status: FileStatus) -> str:
    return {
        FileStatus.MODIFIED: _(
            "It is applied, and its file, or what the file needs, was edited since. "
            "Whether it would do something else has not been found out."
        ),
        FileStatus.MODIFIED_OPERATIONS: _(
            "It is applied, and its file would do something else than what ran. What ran is what would be undone."
        ),
        FileStatus.UNREADABLE: _("It is applied, and its file cannot be read as text."),
        FileStatus.MISSING: _("It is applied, and there is no file of it in this checkout."),
        FileStatus.TABLE_IN_USE: _(
            "It is applied, and there is no file of it in this checkout. An installed model uses its table, "
            "so that it is undone only where a target is named."
        ),
        FileStatus.SQUASHED: _("A squashed migration stands for it. There is nothing to do."),
        FileStatus.RECREATED: _(
            "It is applied, and a migration on disk has taken over what it made. "
            "It is never undone by itself. There is nothing to do."
        ),
        FileStatus.MISSING_BEFORE_INSTALL: _(
            "It is applied, and had no file already when django-rewind was installed."
        ),
        FileStatus.STALE_APP: _("It is applied, and its app is not installed any more."),
        FileStatus.DISABLED: _(
            "It is applied, and the migrations of its app are disabled in MIGRATION_MODULES."
        ),
        FileStatus.NO_FILE: _("It is not applied, and there is no file of it in this checkout."),
    }[status]


def _on_signature(known: Known) -> Iterator[str]:
    verdict = known.stored.strict_verdict
    if verdict is not Verdict.VERIFIED:
        yield _("Its signature says: %(verdict)s.") % {"verdict": Knowledge[verdict.name].label}
    if verdict in _NEVER_USED:
        yield _("It is never used like that.")


def _on_verification(known: Known, alias: str) -> Iterator[str]:
    verified = known.verified
    if verified is None:
        yield _("Whether it can be recovered has not been verified as it is now.")
    elif verified.problem:
        problem = {"problem": verified.problem}
        yield _("When it was verified last it could not be recovered: %(problem)s") % problem
        if verified.next_step:
            yield on_database(verified.next_step, alias)
    else:
        yield _("When it was verified last it could be recovered.")


def _to_trust(known: Known) -> Iterator[tuple[str, ...]]:
    """Yield what can be done about a signature, each with the words of the command."""
    verdict = known.stored.strict_verdict
    if verdict in SIGNABLE:
        yield _("Look at it and sign it"), "verify_migrations", "--sign", *known.key
    elif verdict in _NEVER_USED:
        yield _("Replace it by its file"), "backfill_migration_code", known.key[0]
        yield _("Look for it in git"), "backfill_migration_code", known.key[0], "--from-git"


def _to_act(known: Known) -> Iterator[tuple[str, ...]]:
    status, app_label = known.file_status, known.key[0]
    if status is FileStatus.MISSING:
        yield _("See what undoing would do"), "rewind", "--plan"
        yield _("Undo what has no file"), "rewind"
    if status in (
        FileStatus.MISSING,
        FileStatus.TABLE_IN_USE,
        FileStatus.MISSING_BEFORE_INSTALL,
        FileStatus.NO_FILE,
    ):
        yield _("Write its file again"), "restore_migrations", *known.key
    if status is FileStatus.STALE_APP:
        yield _("See what undoing would do"), "rewind", "--plan", "--include-stale-apps"
    if status in (FileStatus.MODIFIED, FileStatus.MODIFIED_OPERATIONS):
        yield _("See what its file would do otherwise"), "verify_migrations", app_label, "--diff"
        yield _("Undo what ran and apply the file"), "rewind", "--redo", *known.key
        yield _("Accept the file in the place of what ran"), "verify_migrations", "--accept", *known.key
    elif known.verified is None and known.is_applied:
        yield _("Verify it"), "verify_migrations", app_label
    if status is FileStatus.ON_DISK and not known.is_applied:
        yield _("Apply it"), "migrate", *known.key


def _line(words: list[Any], alias: str) -> str:
    database = [] if alias == DEFAULT_DB_ALIAS else ["--database", alias]
    return shlex.join(["python", "manage.py", *(printable_name(word) for word in [*words, *database])])
