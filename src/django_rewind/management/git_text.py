"""What Git has of a migration, in the words that are shown before it is stored."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from django_rewind.actions.backfill import Backfilled
from django_rewind.git.repository import Version
from django_rewind.management.trust import no_text, plainly, text_in
from django_rewind.sources.git_history import FoundSource
from django_rewind.utils.printable import in_local_time, in_short
from django_rewind.utils.types import label, some_of

# What references are called, by how git writes them in full.
_KINDS = {
    "refs/heads/": "branch ",
    "refs/remotes/": "remote branch ",
    "refs/tags/": "tag ",
    "refs/stash": "a stash",
}

# In characters: an author may be called anything.
_LONGEST_AUTHOR = 80


def commit_in_words(version: Version, references: Sequence[str]) -> str:
    """Return which commit it is, of when and by whom, and where it is."""
    when = f"{in_local_time(version.when):%Y-%m-%d %H:%M}"
    author = in_short(plainly(version.author), _LONGEST_AUTHOR)
    where = some_of([_named(name) for name in references], 3) or "in no branch, tag or stash"
    return f"commit {version.commit[:10]} of {when} by {author} ({where})"


def _named(reference: str) -> str:
    for start, kind in _KINDS.items():
        if reference.startswith(start):
            return kind + plainly(reference[len(start) :])
    return plainly(reference)


def lines_of_others(found: FoundSource) -> Iterator[str]:
    """Yield the other contents of the same file, and how each differs from the one that is taken."""
    for other in found.others:
        where = "" if other.version.is_reachable else ", not in the history of what is checked out or named"
        yield f"  Another version is in {commit_in_words(other.version, other.references)}{where}:"
        different = difflib.unified_diff(found.text.split("\n"), other.text.split("\n"), lineterm="", n=2)
        yield from (f"    | {plainly(line)}" for line in list(different)[2:])
    more = found.contents - 1 - len(found.others)
    if more > 0:
        yield f"  {more} more {'is' if more == 1 else 'are'} not shown."


def lines_of_unreachable(source: Backfilled) -> Iterator[str]:
    """Yield all that a person agrees to who has it stored: the commit, the text and what is bundled with it."""
    found = source.found
    assert found is not None
    yield f"{plainly(label(source.key))} was found in a commit that is not in the history of what is checked out or named:"
    yield f"  {commit_in_words(found.version, found.references)}"
    yield f"  File: {plainly(found.version.path)}"
    yield "  Its text reads:"
    yield from _shown(found.text.split("\n"))
    metadata = source.entry.metadata
    for member in metadata.bundle.members:
        content = source.entry.contents[member.digest]
        name, text = plainly(member.name), text_in(content)
        if text is None:
            yield f"  It is bundled with {name}: {no_text(member, content)}."
        else:
            yield f"  It is bundled with {name}, which reads:"
            yield from _shown(text.split("\n"))
    yield from lines_of_others(found)


def _shown(lines: Iterable[str]) -> Iterator[str]:
    return (f"    | {plainly(line)}" for line in lines)
