"""Two texts side by side, as rows to be shown; what is the same in both is left out but for its borders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from django.utils.translation import gettext_lazy as _

from .highlight import highlighted, lines_of

__all__ = ["Row", "Side", "TooLong", "rows_of"]

# How many lines that are the same are shown around those that are not.
_AROUND = 3

# In lines: comparing takes a time that grows with their square.
_LONGEST = 4_000


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
        return {"removed": "-", "added": "+", "changed": "~"}.get(self.kind, "")

    @property
    def word(self) -> Any:
        words = {"removed": _("removed"), "added": _("added"), "changed": _("changed")}
        return words.get(self.kind, "")


def rows_of(before: str, after: str) -> list[Row]:
    """
    Return the rows of two texts; none where they are the same.

    Raises:
        TooLong: there are too many lines.
    """
    left, right = lines_of(before), lines_of(after)
    if max(len(left), len(right)) > _LONGEST:
        raise TooLong
    if left == right:
        return []
    sides = _sides(before), _sides(after)
    return [
        row
        for kind, a1, a2, b1, b2 in SequenceMatcher(None, left, right).get_opcodes()
        for row in _rows(kind, sides[0][a1:a2], sides[1][b1:b2], is_first=a1 == 0, is_last=a2 == len(left))
    ]


def _sides(text: str) -> list[Side]:
    return [Side(number, html) for number, html in enumerate(highlighted(text), start=1)]


def _rows(kind: str, left: list[Side], right: list[Side], *, is_first: bool, is_last: bool) -> Iterator[Row]:
    if kind == "equal":
        yield from _shortened([Row("same", *pair) for pair in zip(left, right)], is_first, is_last)
        return
    for before, after in zip_longest(left, right):
        yield Row("added" if before is None else "removed" if after is None else "changed", before, after)


def _shortened(rows: list[Row], is_first: bool, is_last: bool) -> list[Row]:
    """Leave out what is far from any difference."""
    head = 0 if is_first else _AROUND
    tail = 0 if is_last else _AROUND
    left_out = len(rows) - head - tail
    if left_out <= 1:
        return rows
    return [*rows[:head], Row("left-out", left_out=left_out), *rows[len(rows) - tail :]]
