"""The migrations of an app as a graph, and all apps as an overview, drawn as SVG by the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_rewind.inventory.snapshot import FileStatus
from django_rewind.schema.graph import in_applied_order
from django_rewind.sources.description import Metadata
from django_rewind.sources.static import parse
from django_rewind.sources.stored import why_unusable
from django_rewind.utils.printable import in_short, printable_name
from django_rewind.utils.types import Key, label

from .databases import address_of
from .layout import Edge, Layout, layout_of
from .states import sign_of, word_of
from .survey import Survey

# In units of the graph, which are pixels.
_ROW = 32
_COLUMN = 26
_LETTER = 8.2
_LONGEST_LABEL = 80
_WIDTH_OF_BAR = 480

# What says no more than whether it is applied.
_PLAIN = (FileStatus.ON_DISK, FileStatus.NOT_COMPARED)

_ORDER = [
    "applied",
    *(status.slug for status in FileStatus if status not in (*_PLAIN, FileStatus.NO_FILE)),
    "unapplied",
    "no_file",
]


def _shown_state(survey: Survey, key: Key) -> str:
    """Return what a migration is drawn as: its file status, or whether it is applied where that says no more."""
    status = survey.file_status(key)
    if status in _PLAIN:
        return "applied" if survey.is_applied(key) else "unapplied"
    return status.slug


def _word(state: str) -> str:
    if state in ("applied", "unapplied"):
        return _("applied") if state == "applied" else _("not applied")
    return str(word_of(FileStatus[state.upper()]))


@dataclass(frozen=True)
class Node:
    """A migration in the graph."""

    name: str
    title: str
    words: str
    sign: str
    state: str
    is_applied: bool
    address: str
    # What its page is known by, and it here.
    pk: int | None
    x: int
    y: int
    # What it depends on of the same app and of others, in words.
    depends_on: list[str]
    elsewhere: list[str]


class AppGraph:
    """
    The graph of one app in one database.

    What is stored says of itself what it depends on; a file that is not stored is
    parsed for it, and not executed.
    """

    def __init__(self, survey: Survey, app_label: str, admin_name: str) -> None:
        self.survey = survey
        self.app_label = app_label
        self.admin_name = admin_name
        self.keys = [key for key in survey.keys if key[0] == app_label]
        self.title = printable_name(app_label)
        survey.compare(self.keys)
        survey.read([app_label])

    @cached_property
    def _metadata(self) -> dict[Key, Metadata]:
        """What is known of each; those of which nothing can be read are left out."""
        survey = self.survey
        stored = survey.store.of_apps([self.app_label]) if survey.has_store else {}
        metadata = {}
        for key in self.keys:
            row = stored.get(key)
            # A file that is not applied yet is what will be, whatever is stored.
            is_file = key in survey.disk.keys and not survey.is_applied(key)
            is_stored = row is not None and why_unusable(row) is None and not is_file
            with suppress(ValueError):
                metadata[key] = row.metadata if row and is_stored else parse(survey.disk.text(key) or "")
        return metadata

    @cached_property
    def _parents(self) -> dict[Key, list[Key]]:
        return {key: [*metadata.dependencies, *metadata.replaces] for key, metadata in self._metadata.items()}

    @cached_property
    def _layout(self) -> Layout:
        ids = {key: record.pk for key, record in self.survey.records.items() if key[0] == self.app_label}
        order = in_applied_order(self.keys, self._parents, ids)
        # What is part of a circle has no place in an order; it is shown all the same.
        rest = [key for key in self.keys if key not in set(order)]
        return layout_of([*order, *rest], self._parents)

    # What is drawn ----------------------------------------------------------

    @cached_property
    def nodes(self) -> list[Node]:
        return [self._node(key) for key in self._layout.rows]

    def _node(self, key: Key) -> Node:
        state = _shown_state(self.survey, key)
        words = ", ".join(self._words(key, state))
        parents = self._parents.get(key, [])
        stored = self.survey.stored.get(key)
        x, y = self._point(key)
        return Node(
            name=in_short(printable_name(key[1]), _LONGEST_LABEL),
            title=f"{label(key)}: {words}",
            words=words,
            sign=sign_of(state),
            state=state,
            is_applied=self.survey.is_applied(key),
            address=self._address(stored.pk) if stored else "",
            pk=stored.pk if stored else None,
            x=x,
            y=y,
            depends_on=[printable_name(parent[1]) for parent in parents if parent[0] == key[0]],
            elsewhere=[label(parent) for parent in parents if parent[0] != key[0]],
        )

    def _address(self, pk: int) -> str:
        alias = self.survey.connection.alias
        return address_of("change", pk, alias=alias, admin_name=self.admin_name)

    def _words(self, key: Key, state: str) -> Iterator[str]:
        yield _("applied") if self.survey.is_applied(key) else _("not applied")
        if state not in ("applied", "unapplied"):
            yield _word(state)
        if key not in self.survey.stored:
            yield _("not stored")
        metadata = self._metadata.get(key)
        if metadata is not None and metadata.replaces:
            count = len(metadata.replaces)
            yield ngettext("squashes %(count)d", "squashes %(count)d", count) % {"count": count}

    @cached_property
    def lines(self) -> list[str]:
        """The lines between the nodes, as SVG has paths."""
        return [self._path(edge) for edge in self._layout.edges]

    def _path(self, edge: Edge) -> str:
        (x1, y1), (x2, y2) = self._point(edge.parent), self._point(edge.child)
        x = self._x(edge.column)
        if y2 - y1 <= _ROW:
            return f"M{x1} {y1}{_bend(x1, y1, x2, y2)}"
        return f"M{x1} {y1}{_bend(x1, y1, x, y1 + _ROW)}L{x} {y2 - _ROW}{_bend(x, y2 - _ROW, x2, y2)}"

    def _point(self, key: Key) -> tuple[int, int]:
        return self._x(self._layout.columns[key]), _ROW // 2 + self._layout.rows[key] * _ROW

    @staticmethod
    def _x(column: int) -> int:
        return _COLUMN // 2 + 6 + column * _COLUMN

    @cached_property
    def text_x(self) -> int:
        return self._x(self._layout.width) + 4

    @cached_property
    def width(self) -> int:
        longest = max((len(node.name) + len(node.words) + 3 for node in self.nodes), default=0)
        return int(self.text_x + longest * _LETTER + 16)

    @cached_property
    def height(self) -> int:
        return max(1, len(self.nodes)) * _ROW

    @property
    def description(self) -> str:
        """The graph in a sentence, for those who do not see it."""
        words = Counter(node.words for node in self.nodes)
        return "; ".join(f"{number} {word}" for word, number in words.most_common())


def _bend(x1: int, y1: int, x2: int, y2: int) -> str:
    if x1 == x2:
        return f"L{x2} {y2}"
    middle = (y1 + y2) // 2
    return f"C{x1} {middle} {x2} {middle} {x2} {y2}"


# All apps


@dataclass(frozen=True)
class Segment:
    """A part of the bar of an app: so many of its migrations are in a state."""

    state: str
    word: str
    sign: str
    number: int
    x: float
    width: float


@dataclass(frozen=True)
class Bar:
    """An app in the overview."""

    name: str
    address: str
    number: int
    segments: list[Segment]
    y: int

    @property
    def words(self) -> str:
        return ", ".join(f"{segment.number} {segment.word}" for segment in self.segments)


class Overview:
    """All apps of a database, each with the states of its migrations; no file is read for it."""

    def __init__(self, survey: Survey, admin_name: str) -> None:
        self.survey = survey
        self.admin_name = admin_name
        self.title = _("Migrations of all apps")

    @cached_property
    def bars(self) -> list[Bar]:
        counts: dict[str, Counter[str]] = {}
        for key in self.survey.keys:
            counts.setdefault(key[0], Counter())[_shown_state(self.survey, key)] += 1
        most = max((sum(count.values()) for count in counts.values()), default=1)
        return [self._bar(row, app, counts[app], most) for row, app in enumerate(sorted(counts))]

    def _bar(self, row: int, app_label: str, counts: Counter[str], most: int) -> Bar:
        segments: list[Segment] = []
        x = 0.0
        for state in sorted(counts, key=_ORDER.index):
            width = round(counts[state] / most * _WIDTH_OF_BAR, 2)
            segments.append(Segment(state, _word(state), sign_of(state), counts[state], x, width))
            x += width
        alias = self.survey.connection.alias
        page = address_of("app", app_label, alias=alias, admin_name=self.admin_name)
        return Bar(printable_name(app_label), page, sum(counts.values()), segments, row * _ROW)

    @cached_property
    def text_width(self) -> int:
        longest = max((len(bar.name) for bar in self.bars), default=0)
        return int(min(longest, 40) * _LETTER + 24)

    @cached_property
    def width(self) -> int:
        return self.text_width + _WIDTH_OF_BAR + 60

    @cached_property
    def height(self) -> int:
        return max(1, len(self.bars)) * _ROW

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        there = {segment.state for bar in self.bars for segment in bar.segments}
        return [(state, sign_of(state), _word(state)) for state in _ORDER if state in there]
