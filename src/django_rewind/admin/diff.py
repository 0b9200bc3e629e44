"""Two texts side by side, as rows to be shown; what is the same in both is left out but for its borders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_rewind.utils.syntax import LONGEST_TO_COMPARE

from .highlight import highlighted, lines_of

# How many lines that are the same are shown around those that are not.
_AROUND = 3

# In lines: comparing takes a time that grows with their square.
_LONGEST = 4_000

_SIGNS = {"removed": "-", "added": "+", "changed": "~"}
_WORDS = {"removed": _("removed"), "added": _("added"), "changed": _("changed")}


class TooLong(Exception):
    """Two texts are too long to be compared while somebody waits."""


@dataclass(frozen=True)
class Side:
    """A line in one of the two texts."""

    number: int
    html: str


@dataclass(frozen=True)
class Row:
    """A line of each, or of one of them; without either, so many that are the same in both."""

    kind: str
    left: Side | None = None
    right: Side | None = None
    left_out: int = 0

    @property
    def sign(self) -> str:
        return _SIGNS.get(self.kind, "")

    @property
    def word(self) -> Any:
        return _WORDS.get(self.kind, "")


def rows_of(before: str, after: str) -> list[Row]:
    """Return the rows of two texts; none where they are the same."""
    left, right = lines_of(before), lines_of(after)
    if max(len(left), len(right)) > _LONGEST or max(len(before), len(after)) > LONGEST_TO_COMPARE:
        raise TooLong
    return list(_rows(left, right, _sides(before), _sides(after))) if left != right else []


def _sides(text: str) -> list[Side]:
    return [Side(number, html) for number, html in enumerate(highlighted(text), start=1)]


def _rows(left: list[str], right: list[str], before: list[Side], after: list[Side]) -> Iterator[Row]:
    for kind, a1, a2, b1, b2 in SequenceMatcher(None, left, right).get_opcodes():
        if kind == "equal":
            rows = [Row("same", *pair) for pair in zip(before[a1:a2], after[b1:b2])]
            head = 0 if a1 == 0 else _AROUND
            tail = len(rows) - (0 if a2 == len(left) else _AROUND)
            if tail - head > 1:
                rows[head:tail] = [Row("left-out", left_out=tail - head)]
            yield from rows
            continue
        for old, new in zip_longest(before[a1:a2], after[b1:b2]):
            yield Row("added" if old is None else "removed" if new is None else "changed", old, new)
