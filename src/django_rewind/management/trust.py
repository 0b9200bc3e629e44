"""
Show what no key of ours has signed, and ask whether it can be trusted.

A hostile text must not be able to hide itself: what steers a terminal is shown as it
would be written in Python.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.template.defaultfilters import filesizeformat
from django.utils.translation import override

from django_rewind.actions.trust import Doubt, Trust
from django_rewind.exceptions import UNCHANGED, NotRecoverable, PromptCancelled
from django_rewind.inventory.files import text_on_disk
from django_rewind.management.asking import agrees
from django_rewind.management.rewind_options import only_shows
from django_rewind.models import Origin
from django_rewind.sources.bundle.changes import BundleChanges
from django_rewind.sources.bundle.collector import Collector
from django_rewind.sources.bundle.manifest import BundleMember
from django_rewind.sources.description import OPAQUE, Metadata
from django_rewind.sources.signing import Verdict
from django_rewind.sources.stored import StoredMigration
from django_rewind.utils.files import read_file
from django_rewind.utils.printable import with_zone
from django_rewind.utils.types import Key, label, names_of

# Controls, invisible and overriding characters, surrogates, private and unassigned
# ones, and what ends a line or paragraph beside the line feed.
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


_WHAT_IS_KNOWN = {
    Verdict.UNSIGNED: "It is not signed.",
    Verdict.UNKNOWN_KEY: (
        "It was signed with a key that is not known here, with the fingerprint {row.key_fingerprint}."
    ),
    Verdict.ANOTHER_DATABASE: (
        "It was signed with a key that is known here, but for another database, with the identity {row.signed_for}."
    ),
    Verdict.NO_IDENTITY: (
        "It was signed with a key that is known here, for the database with the identity {row.signed_for}. "
        "Whether this is that database is not known."
    ),
}


def sign(command: Any, trust: Trust) -> None:
    """
    Show what none of our keys has signed, and sign what a person agrees to.

    What verifies with an older key of the list is signed with the first without a
    question: nothing new is trusted.
    """
    askable = [doubt for doubt in trust.doubts if not doubt.reason]
    agreed = [doubt for doubt in askable if _agrees(command, doubt)]
    renewed = trust.of_older_keys
    has_signed = _sign(command, trust, agreed, renewed)
    if not trust.doubts and not has_signed:
        command.stdout.write("There is nothing to sign: all of it is signed with the first key.")
    lines = [
        f"{_name(doubt)} is never signed: {plainly(doubt.reason.rstrip('.'))}.\n{plainly(doubt.way_out)}"
        for doubt in trust.doubts
        if doubt.reason
    ]
    declined = [doubt.key for doubt in askable if doubt not in agreed]
    if declined:
        lines.append(f"Not signed: {plainly(names_of(declined))}.")
    if lines:
        raise CommandError("\n".join([*lines, *([] if has_signed else [UNCHANGED])]))


def asking_for_trust(handle: Callable[..., None]) -> Callable[..., None]:
    """
    Have a command ask, on a development machine, where it is refused for want of trust.

    It begins again after a yes: nothing has been changed when it is refused.
    """

    @wraps(handle)
    def handle_and_ask(command: Any, *args: Any, **options: Any) -> None:
        try:
            return handle(command, *args, **options)
        except NotRecoverable as error:
            is_quiet = options["sql"] or options["format"] == "json" or only_shows(options)
            may_ask = settings.DEBUG and options["interactive"] and not is_quiet
            if not (may_ask and _is_trusted_now(command, error, options["database"])):
                raise
        return handle_and_ask(command, *args, **options)

    return handle_and_ask


def _is_trusted_now(command: Any, error: NotRecoverable, alias: str) -> bool:
    trust = Trust(connections[alias], error.key[0])
    doubts = [
        doubt for doubt in trust.doubts if doubt.key == error.key and not doubt.reason and not doubt.is_of_git
    ]
    try:
        agreed = [doubt for doubt in doubts if _agrees(command, doubt)]
    except PromptCancelled:
        raise
    except CommandError:
        # Nobody can answer: the refusal says what can be done.
        return False
    if agreed:
        _sign(command, trust, agreed)
    return bool(agreed)


def _sign(command: Any, trust: Trust, agreed: list[Doubt], renewed: Collection[StoredMigration] = ()) -> bool:
    """Sign it, say so, and return whether anything was signed."""
    of_the_database = trust.sign(agreed, renewed)
    for doubt in agreed:
        command.stdout.write(f"{_name(doubt)} is signed.")
    for row in renewed:
        command.stdout.write(f"{plainly(label(row.key))} is signed with the first key.")
    if of_the_database:
        command.stdout.write("What is noted of the database itself is signed with the first key.")
    return bool(agreed or renewed or of_the_database)


def confirm_execution(command: Any, connection: Any, keys: Collection[Key]) -> None:
    """
    Show what was found in Git, and go on only after a yes to each.

    Raises:
        CommandError: a no, or nobody can answer.
    """
    trusts = [Trust(connection, app_label) for app_label in sorted({app_label for app_label, _ in keys})]
    for doubt in (doubt for trust in trusts for doubt in trust.doubts):
        if doubt.key in keys and not doubt.reason and not _agrees(command, doubt, "Execute it?"):
            raise PromptCancelled


def _agrees(command: Any, doubt: Doubt, question: str = "Sign it?") -> bool:
    for line in _lines(doubt):
        command.stdout.write(plainly(line))
    command.stdout.flush()
    return agrees(
        question,
        f"There is nobody to ask whether {_name(doubt)} can be trusted: run it at a terminal.",
    )


def _name(doubt: Doubt) -> str:
    return plainly(label(doubt.key))


def plainly(line: str) -> str:
    """Return a line with everything escaped that a terminal would obey or hide: stricter than `printable`."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character != "\t" and unicodedata.category(character) in _NOT_SHOWN
        else character
        for character in line
    )


def _lines(doubt: Doubt) -> Iterator[str]:
    """Yield the lines that show a stored migration which a person is asked to trust."""
    row, metadata = doubt.row, doubt.metadata
    assert metadata is not None
    yield f"{label(doubt.key)}:"
    yield from _lines_of_signature(doubt)
    when = f", stored {with_zone(row.stored_at)}" if row.stored_at else ""
    # As the rest of it, in one language.
    with override(None):
        origin = str(dict(Origin.choices).get(row.origin, row.origin))
    yield f"  It says of itself: {origin}{when}."
    if doubt.record_id is not None:
        yield f"  It names the record {row.record_id}, which is applied here: it will count as what ran."
    else:
        there = "no record" if row.record_id is None else f"the record {row.record_id}"
        here = doubt.status.record_id
        applied = f"here it is recorded as {here}" if here is not None else "here it is not applied"
        yield f"  It names {there}, and {applied}: it will stay unproven."
    # What is signed beside the text.
    yield f"  Module: {row.module}"
    yield from _described(metadata)
    yield from _compared("Its text", doubt.text, text_on_disk(doubt.key))
    for member in metadata.bundle.members:
        content = doubt.contents[member.digest]
        text = text_in(content)
        if text is None:
            yield f"  It carries along {member.name}: {no_text(member, content)}."
        else:
            # An excerpt is of these classes; in the place of models it has stand-ins.
            parts = [".".join(path) for path in member.paths] + member.models
            of = f" ({', '.join(parts)})" if parts else ""
            yield from _compared(f"It carries along {member.name}{of}, which", text, _here(doubt, member))


def text_in(content: bytes) -> str | None:
    """Return what a bundled content reads, if it is a text that can be shown."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def no_text(member: BundleMember, content: bytes) -> str:
    """Return what is shown in the place of a content that is no text."""
    size = filesizeformat(len(content)).replace("\xa0", " ")
    return f"{size} that are no text, with the SHA-256 {member.digest}"


def _described(metadata: Metadata) -> Iterator[str]:
    """Yield the description that is signed with a text."""
    yield f"  Depends on: {names_of(metadata.dependencies) or 'nothing'}"
    if metadata.run_before:
        yield f"  Comes before: {names_of(metadata.run_before)}"
    if metadata.replaces:
        yield f"  Replaces: {names_of(metadata.replaces)}"
    if metadata.initial is not None:
        yield f"  Initial: {metadata.initial}"
    if not metadata.atomic:
        yield "  Not atomic"
    if metadata.effects == OPAQUE:
        yield "  Its text computes its operations: what they are is known once it is executed."
    for operation in metadata.operations:
        yield f"  Operation: {operation['text']}"
    yield from _as_claimed(metadata)


def _as_claimed(metadata: Metadata) -> Iterator[str]:
    """Yield what no text can tell, and what is executed or used as the row says it."""
    if metadata.evaluated is not None:
        yield "  Where its operations come to something else here, it is this code that is executed:"
        yield from (f"    | {line}" for code in metadata.evaluated for line in code.split("\n"))
    if metadata.auto_field:
        yield f"  Its models get keys of {metadata.auto_field}"
    for root, version in metadata.bundle.packages.items():
        yield f"  Installed when it was stored: {root} ({version})"
    for name, why in metadata.bundle.left_out.items():
        yield f"  Not stored with it: {name} ({why})"


def _here(doubt: Doubt, member: BundleMember) -> str | None:
    """Return what this checkout has of a member of the bundle."""
    collector = Collector()
    if member.kind != "file":
        return BundleChanges(collector, lambda digests: doubt.contents).text_here(member)
    folder = collector.modules.folder(doubt.row.module.rpartition(".")[0])
    try:
        return read_file(folder.joinpath(member.name)).decode() if folder else None
    except (OSError, UnicodeDecodeError):
        return None


def _lines_of_signature(doubt: Doubt) -> Iterator[str]:
    """Yield whose word there is for it."""
    row, metadata = doubt.row, doubt.metadata
    if metadata and metadata.commit:
        yield f"  It was found in Git, in commit {metadata.commit} of {metadata.committed}."
    if doubt.is_of_git:
        yield "  Nobody has agreed to execute it."
    else:
        yield f"  {_WHAT_IS_KNOWN[row.strict_verdict].format(row=row)}"


def _compared(what: str, stored: str, here: str | None) -> Iterator[str]:
    """Yield that it is the same as the file, or the difference, or all of it."""
    if here == stored:
        yield f"  {what} is the same as the file."
    elif here is None:
        yield f"  {what} has no file here to be compared with, reads:"
        yield from (f"    | {line}" for line in stored.split("\n"))
    else:
        yield f"  {what} is not the same as the file (+ is in the file alone, - in what is stored):"
        # By line feeds alone: other ends of lines are part of what is shown.
        different = difflib.unified_diff(stored.split("\n"), here.split("\n"), lineterm="", n=3)
        yield from (f"    | {line}" for line in list(different)[2:])
