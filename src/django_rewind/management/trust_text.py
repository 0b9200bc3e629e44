"""
What is about to be trusted, in the words that are shown before somebody is asked.

A hostile text must not be able to hide itself: what steers a terminal is shown as it
would be written in Python.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator

from django.template.defaultfilters import filesizeformat
from django.utils.translation import override

from django_rewind.actions.trust import Doubt
from django_rewind.inventory.files import text_on_disk
from django_rewind.models import Origin
from django_rewind.sources.bundle.changes import BundleChanges
from django_rewind.sources.bundle.collector import Collector
from django_rewind.sources.bundle.manifest import BundleMember
from django_rewind.sources.signing import Verdict
from django_rewind.utils.types import label, names_of

__all__ = ["lines_of_doubt", "plainly"]

# Controls, invisible and overriding characters, surrogates, private and unassigned
# ones, and what ends a line or paragraph beside the line feed.
_NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def plainly(line: str) -> str:
    """
    Return a line with everything escaped that a terminal would obey or hide.

    Stricter than `printable`: somebody is about to trust what can be seen.
    """
    return "".join(
        one.encode("unicode_escape").decode()
        if one != "\t" and unicodedata.category(one) in _NOT_SHOWN
        else one
        for one in line
    )


def lines_of_doubt(doubt: Doubt) -> Iterator[str]:
    """Yield the lines that show a stored migration which somebody is asked to trust."""
    for line in _lines(doubt):
        yield plainly(line)


def _lines(doubt: Doubt) -> Iterator[str]:
    row = doubt.row
    yield f"{label(doubt.key)}:"
    if row.strict_verdict is Verdict.UNSIGNED:
        yield "  It is not signed."
    else:
        yield f"  It was signed with a key that is not known here, with the fingerprint {row.key_fingerprint}."
    when = f", stored {row.stored_at:%Y-%m-%d %H:%M}" if row.stored_at else ""
    yield f"  It says of itself: {_provenance(row.origin)}{when}."
    yield f"  {_record(doubt)}"
    yield from (f"  {line}" for line in _place(doubt))
    yield from _compared("Its text", doubt.text, text_on_disk(doubt.key))
    for one in row.metadata.bundle.members:
        yield from _carried(doubt, one)


def _provenance(value: str) -> str:
    # As the rest of it, in one language.
    with override(None):
        return str(Origin(value).label) if value in Origin.values else value


def _record(doubt: Doubt) -> str:
    named, here = doubt.row.record_id, doubt.status.record_id
    if doubt.record_id is not None:
        return f"It names the record {named}, which is applied here: it will count as what ran."
    there = "no record" if named is None else f"the record {named}"
    applied = f"here it is recorded as {here}" if here is not None else "here it is not applied"
    return f"It names {there}, and {applied}: it will stay unproven."


def _place(doubt: Doubt) -> Iterator[str]:
    """Yield what the metadata say, which is trusted with the text."""
    metadata = doubt.row.metadata
    yield f"Module: {doubt.row.module}"
    yield f"Depends on: {names_of(metadata.dependencies) or 'nothing'}"
    if metadata.run_before:
        yield f"Comes before: {names_of(metadata.run_before)}"
    if metadata.replaces:
        yield f"Replaces: {names_of(metadata.replaces)}"
    if not metadata.atomic:
        yield "Not atomic"
    for one in metadata.operations:
        yield f"Operation: {one['text']}"


def _carried(doubt: Doubt, one: BundleMember) -> Iterator[str]:
    content = doubt.contents[one.digest]
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        size = filesizeformat(len(content)).replace("\xa0", " ")
        yield f"  It carries along {one.name}: {size} that are no text, with the SHA-256 {one.digest}."
        return
    yield from _compared(f"It carries along {one.name}, which", text, _here(doubt, one))


def _here(doubt: Doubt, one: BundleMember) -> str | None:
    """Return what is here of something that is carried along."""
    collector = Collector()
    if one.kind != "file":
        return BundleChanges(collector, lambda digests: doubt.contents).text_here(one)
    folder = collector.modules.folder(doubt.row.module.rpartition(".")[0])
    try:
        return folder.joinpath(one.name).read_bytes().decode() if folder else None
    except (OSError, UnicodeDecodeError):
        return None


def _compared(what: str, stored: str, here: str | None) -> Iterator[str]:
    """Yield that it is the same as the file, or the difference, or all of it."""
    if here == stored:
        yield f"  {what} is the same as the file."
        return
    if here is None:
        yield f"  {what} has no file here to be compared with, reads:"
        yield from (f"    | {line}" for line in stored.split("\n"))
        return
    yield f"  {what} is not the same as the file (+ is in the file alone, - in what is stored):"
    # By line feeds alone: other ends of lines are part of what is shown.
    different = difflib.unified_diff(stored.split("\n"), here.split("\n"), lineterm="", n=3)
    yield from (f"    | {line}" for line in list(different)[2:])
