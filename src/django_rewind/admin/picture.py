"""The migrations of an app as a graph, and all apps as an overview, to be drawn as SVG by the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_rewind.schema.graph import in_applied_order
from django_rewind.sources.description import Metadata, parse
from django_rewind.sources.stored import StoredMigration
from django_rewind.utils.printable import in_short, printable_name
from django_rewind.utils.types import Key, label

from .addresses import address_of, app_address
from .lanes import Edge, Lanes, lanes_of
from .states import FileState, sign_of
from .survey import Survey

__all__ = ["AppPicture", "Overview"]

# In units of the picture, which are pixels.
_ROW = 32
_LANE = 26
_LETTER = 8.2
_LONGEST_LABEL = 80
_WIDTH_OF_BAR = 480


@dataclass(frozen=True)
class Node:
    """A migration in the picture."""

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


class AppPicture:
    """
    The graph of one app in one database.

    What is stored says of itself what it depends on; a file that is not stored is
    parsed for it, and not executed.
    """

    def __init__(self, survey: Survey, app_label: str, admin_name: str) -> None:
        self.survey = survey
        self.app_label = app_label
        self.admin_name = admin_name
        self.alias: str = survey.connection.alias
        self.keys = [key for key in survey.keys if key[0] == app_label]
        survey.compare(self.keys)
        survey.read([app_label])

    @property
    def title(self) -> str:
        return printable_name(self.app_label)

    @cached_property
    def _metadata(self) -> dict[Key, Metadata]:
        """What is known of each; those of which nothing can be read are left out."""
        stored = self.survey.store.of_apps([self.app_label]) if self.survey.has_store else {}
        found = {key: self._of(key, stored.get(key)) for key in self.keys}
        return {key: metadata for key, metadata in found.items() if metadata is not None}

    def _of(self, key: Key, stored: StoredMigration | None) -> Metadata | None:
        try:
            if stored is None or self._is_another_file(key):
                return parse(self.survey.disk.text(key) or "")
            return stored.metadata
        except ValueError:
            return None

    def _is_another_file(self, key: Key) -> bool:
        """Say whether the file is what will be applied, and is not what is stored."""
        return key in self.survey.disk.keys and not self.survey.is_applied(key)

    @cached_property
    def _parents(self) -> dict[Key, list[Key]]:
        return {key: [*metadata.dependencies, *metadata.replaces] for key, metadata in self._metadata.items()}

    @cached_property
    def _lanes(self) -> Lanes:
        ids = {key: record.pk for key, record in self.survey.records.items() if key[0] == self.app_label}
        order = in_applied_order(self.keys, self._parents, ids)
        # What is part of a circle has no place in an order; it is shown all the same.
        left = [key for key in self.keys if key not in set(order)]
        return lanes_of([*order, *left], self._parents)

    # What is drawn ----------------------------------------------------------

    @cached_property
    def nodes(self) -> list[Node]:
        return [self._node(key) for key in self._lanes.rows]

    def _node(self, key: Key) -> Node:
        state = self.survey.state(key) or FileState.ON_DISK
        is_applied = self.survey.is_applied(key)
        shape = ("applied" if is_applied else "unapplied") if state is FileState.ON_DISK else state.value
        words = ", ".join(self._words(key, state, is_applied))
        parents = self._parents.get(key, [])
        stored = self.survey.stored.get(key)
        return Node(
            name=in_short(printable_name(key[1]), _LONGEST_LABEL),
            title=f"{label(key)}: {words}",
            words=words,
            sign=sign_of(shape),
            state=shape,
            is_applied=is_applied,
            address=address_of(stored.pk, self.alias, self.admin_name) if stored else "",
            pk=stored.pk if stored else None,
            x=self._x(self._lanes.of[key]),
            y=self._y(key),
            depends_on=[printable_name(one[1]) for one in parents if one[0] == key[0]],
            elsewhere=[label(one) for one in parents if one[0] != key[0]],
        )

    def _words(self, key: Key, state: FileState, is_applied: bool) -> Iterator[str]:
        yield _("applied") if is_applied else _("not applied")
        if state is not FileState.ON_DISK:
            yield str(state.label)
        if key not in self.survey.stored:
            yield _("not stored")
        metadata = self._metadata.get(key)
        if metadata is not None and metadata.replaces:
            count = len(metadata.replaces)
            yield ngettext("squashes %(count)d", "squashes %(count)d", count) % {"count": count}

    @cached_property
    def lines(self) -> list[str]:
        """The lines between the nodes, as SVG has paths."""
        return [self._path(edge) for edge in self._lanes.edges]

    def _path(self, edge: Edge) -> str:
        x1, y1 = self._x(self._lanes.of[edge.parent]), self._y(edge.parent)
        x2, y2 = self._x(self._lanes.of[edge.child]), self._y(edge.child)
        x = self._x(edge.lane)
        if y2 - y1 <= _ROW:
            return f"M{x1} {y1}{_bend(x1, y1, x2, y2)}"
        return f"M{x1} {y1}{_bend(x1, y1, x, y1 + _ROW)}L{x} {y2 - _ROW}{_bend(x, y2 - _ROW, x2, y2)}"

    @staticmethod
    def _x(lane: int) -> int:
        return _LANE // 2 + 6 + lane * _LANE

    def _y(self, key: Key) -> int:
        return _ROW // 2 + self._lanes.rows[key] * _ROW

    @cached_property
    def text_x(self) -> int:
        return self._x(self._lanes.width) + 4

    @cached_property
    def width(self) -> int:
        longest = max((len(node.name) + len(node.words) + 3 for node in self.nodes), default=0)
        return int(self.text_x + longest * _LETTER + 16)

    @cached_property
    def height(self) -> int:
        return max(1, len(self.nodes)) * _ROW

    @property
    def description(self) -> str:
        """The picture in a sentence, for those who do not see it."""
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
        return ", ".join(f"{one.number} {one.word}" for one in self.segments)


class Overview:
    """All apps of a database, each with the states of its migrations; no file is read for it."""

    def __init__(self, survey: Survey, admin_name: str) -> None:
        self.survey = survey
        self.admin_name = admin_name
        self.alias: str = survey.connection.alias

    @property
    def title(self) -> str:
        return _("Migrations of all apps")

    @cached_property
    def bars(self) -> list[Bar]:
        counts: dict[str, Counter[str]] = {}
        for key in self.survey.keys:
            counts.setdefault(key[0], Counter())[self._state(key)] += 1
        most = max((sum(one.values()) for one in counts.values()), default=1)
        return [self._bar(row, app, counts[app], most) for row, app in enumerate(sorted(counts))]

    def _state(self, key: Key) -> str:
        state = self.survey.state(key) or FileState.ON_DISK
        if state is FileState.ON_DISK:
            return "applied" if self.survey.is_applied(key) else "unapplied"
        return str(state.value)

    def _bar(self, row: int, app_label: str, counts: Counter[str], most: int) -> Bar:
        segments: list[Segment] = []
        x = 0.0
        for state in sorted(counts, key=_ORDER.index):
            width = round(counts[state] / most * _WIDTH_OF_BAR, 2)
            segments.append(Segment(state, _word(state), sign_of(state), counts[state], x, width))
            x += width
        page = app_address(app_label, self.alias, self.admin_name)
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


_ORDER = [
    "applied",
    *(one for one in FileState.values if one not in ("on-disk", "no-file")),
    "unapplied",
    "no-file",
]


def _word(state: str) -> str:
    if state in ("applied", "unapplied"):
        return _("applied") if state == "applied" else _("not applied")
    return str(FileState(state).label)
