"""All that is known of one stored migration, for its page. Nothing stored is executed for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_rewind.inventory.files import Files
from django_rewind.inventory.snapshot import Comparison, FileStatus
from django_rewind.inventory.status import file_status
from django_rewind.models import Event, MigrationCode, MigrationEvent
from django_rewind.sources.bundle.manifest import BundleMember
from django_rewind.sources.description import Metadata
from django_rewind.sources.stored import EarlierRevision
from django_rewind.storage.audit_log import AuditLog
from django_rewind.storage.tables import LONGEST
from django_rewind.utils.printable import printable, printable_name
from django_rewind.utils.syntax import LONGEST_TO_COMPARE
from django_rewind.utils.types import Key, label

from .advice import Advice, advice
from .changelist import Known, known_of
from .databases import address_of
from .diff import Row, TooLong, rows_of
from .formats import applied_as_html, moment, origin, signature
from .highlight import highlighted
from .states import status_as_html
from .survey import Survey

# What of the contents that go with a migration is shown on its page, in bytes.
_LONGEST_CONTENT = 200_000

STORED = "stored"
FILE = "file"


@dataclass(frozen=True)
class Linked:
    """Another migration, with its page if it is stored."""

    name: str
    address: str = ""
    state: SafeString | str = ""


@dataclass(frozen=True)
class Content:
    """What goes with a migration, and its lines where it is a text."""

    member: BundleMember
    name: str
    lines: list[SafeString]


@dataclass(frozen=True)
class Moment:
    """An audit log entry, in words."""

    at: str
    what: str
    who: str
    circumstances: str
    detail: str


@dataclass(frozen=True)
class Text:
    """A text that can be compared with others: the one of now, of the file, or an earlier one."""

    value: str
    word: str
    is_before: bool = False
    is_after: bool = False


@dataclass(frozen=True)
class SideBySide:
    """Two texts side by side; `problem` says why they are not."""

    before: str
    after: str
    rows: list[Row]
    problem: str = ""


class Detail:
    """One stored migration; which of its texts to compare and what part of a long one to show, as the address says."""

    def __init__(
        self,
        row: MigrationCode,
        survey: Survey,
        wanted: tuple[str, str],
        admin_name: str,
        part: str = "",
    ) -> None:
        self.row = row
        self._wanted_part = part
        self.survey = survey
        self.wanted = wanted
        self.admin_name = admin_name
        self.key: Key = (row.app_label, row.migration_name)
        self.alias: str = survey.connection.alias
        survey.compare([self.key])
        if self.key not in survey.disk.keys:
            survey.read([self.key[0]])

    @cached_property
    def known(self) -> Known:
        """What is known of it, with what it needs, which the list does not look at."""
        known, survey = known_of(self.row, self.survey), self.survey
        if self.key in survey.disk.keys and survey.snapshot.bound(self.key) is not None:
            files, is_same = Files(survey.store), survey.disk.is_as_stored(survey.stored[self.key])
            # What is as it is stored need not be read for what is bundled with it.
            if is_same and not files.changes.is_bundle_modified(known.stored):
                comparison = Comparison(False)
            else:
                comparison = files.comparison(known.stored, self.file_text, self.text)
            snapshot = replace(survey.snapshot, comparisons={self.key: comparison})
            status, verified = file_status(snapshot, self.key), snapshot.verification(self.key)
            known = replace(known, file_status=status, verified=verified)
        # The list does not read texts either; of another one than was verified nothing is known.
        stored, verified = known.stored.with_text(self.text), known.verified
        if stored.has_other_text and verified is not None and not verified.problem:
            verified = None
        return replace(known, stored=stored, verified=verified)

    @property
    def state(self) -> SafeString:
        return status_as_html(self.known.file_status)

    @property
    def is_applied(self) -> SafeString:
        return applied_as_html(self.known.is_applied)

    @cached_property
    def advice(self) -> Advice:
        return advice(self.known, self.alias)

    # Facts ------------------------------------------------------------------

    @property
    def facts(self) -> list[tuple[str, Any]]:
        stored = self.known.stored
        record = self.survey.records.get(self.key)
        verified = self.known.verified
        return [
            (_("database"), self.alias),
            (_("module"), printable_name(stored.module)),
            (_("applied"), moment(record.applied) if record else "-"),
            (_("record"), str(record.pk) if record else "-"),
            (_("bound to the record"), str(stored.record_id or "-")),
            (_("stored at"), moment(stored.stored_at)),
            (_("origin"), origin(stored.origin)),
            (_("signature"), signature(stored.strict_verdict)),
            (_("key fingerprint"), printable_name(stored.key_fingerprint) or "-"),
            (_("serial number"), str(stored.serial)),
            (_("digest"), printable_name(stored.digest)),
            (_("verified last"), moment(verified.verified_at) if verified else "-"),
            *((name, printable_name(value)) for name, value in self._versions if value),
        ]

    @property
    def _versions(self) -> list[tuple[str, str]]:
        metadata = self.metadata
        if metadata is None:
            return []
        return [("Django", metadata.django), ("Python", metadata.python), (_("commit"), metadata.commit)]

    @cached_property
    def metadata(self) -> Metadata | None:
        """What stands beside the text, whoever has written it; None where that cannot be read."""
        try:
            return self.known.stored.claimed_metadata
        except ValueError:
            return None

    # Texts ------------------------------------------------------------------

    @cached_property
    def text(self) -> str:
        return self.survey.store.texts([self.key]).get(self.key, "")

    @cached_property
    def file_text(self) -> str | None:
        return self.survey.disk.text(self.key)

    @cached_property
    def source(self) -> list[SafeString]:
        """The lines of the source, or of the part of it that is shown."""
        begin, end = self._parts[self.part - 1]
        return highlighted(self.text[begin:end])

    @cached_property
    def _parts(self) -> list[tuple[int, int]]:
        return list(parts_of(self.text))

    @property
    def part(self) -> int:
        """Which part of a long source is shown, from 1 on."""
        wanted = self._wanted_part
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else 1
        return min(max(number, 1), len(self._parts))

    @property
    def parts(self) -> list[int]:
        """The numbers of the parts; none where there is only one."""
        return list(range(1, len(self._parts) + 1)) if len(self._parts) > 1 else []

    @property
    def lines_before(self) -> int:
        return self.text.count("\n", 0, self._parts[self.part - 1][0])

    @property
    def is_too_long(self) -> bool:
        """Whether the source is so long that it is not read."""
        return not self.text and (self.row.octets or 0) > LONGEST  # type: ignore[attr-defined]

    @cached_property
    def earlier(self) -> list[EarlierRevision]:
        return [
            revision for revision in self.survey.store.earlier(self.key[0]) if revision.stored.key == self.key
        ]

    @cached_property
    def _choices(self) -> dict[str, str]:
        """The texts that there are, by what stands for them in an address."""
        choices = {str(revision.pk): _replaced(revision) for revision in self.earlier}
        choices[STORED] = _("stored now")
        if self.key in self.survey.disk.keys:
            choices[FILE] = _("the file")
        return choices

    @cached_property
    def _compared(self) -> tuple[str, str] | None:
        before, after = self.wanted
        if before in self._choices and after in self._choices:
            return before, after
        is_other = self.known.file_status in (FileStatus.MODIFIED, FileStatus.MODIFIED_OPERATIONS)
        return (STORED, FILE) if is_other and FILE in self._choices else None

    @property
    def texts(self) -> list[Text]:
        """The texts to choose from; none where there is only one."""
        before, after = self._compared or (next(iter(self._choices)), [*self._choices][-1])
        texts = [Text(value, word, value == before, value == after) for value, word in self._choices.items()]
        return texts if len(texts) > 1 else []

    @cached_property
    def comparison(self) -> SideBySide | None:
        if self._compared is None:
            return None
        before, after = self._compared
        words = self._choices[before], self._choices[after]
        try:
            return SideBySide(*words, rows_of(self._text_of(before), self._text_of(after)))
        except TooLong:
            return SideBySide(*words, [], _("They are too long to be compared here."))

    def _text_of(self, choice: str) -> str:
        if choice == STORED:
            return self.text
        return (self.file_text or "") if choice == FILE else self.survey.store.earlier_text(int(choice))

    @property
    def graph(self) -> str:
        return f"{self._address('app', self.key[0])}#m{self.row.pk}"

    def _address(self, page: str, *args: Any) -> str:
        return address_of(page, *args, alias=self.alias, admin_name=self.admin_name)

    # Relations --------------------------------------------------------------

    @property
    def dependencies(self) -> list[Linked]:
        return self._linked(self.metadata.dependencies if self.metadata else [])

    @property
    def replaces(self) -> list[Linked]:
        return self._linked(self.metadata.replaces if self.metadata else [])

    @property
    def dependents(self) -> list[Linked]:
        mentioning = self.survey.store.mentioning(self.key[1])
        return self._linked(sorted(key for key, stored in mentioning.items() if self.key in _parents(stored)))

    def _linked(self, keys: Iterable[Key]) -> list[Linked]:
        keys = list(keys)
        self.survey.compare(keys)
        return [self._link(key) for key in keys]

    def _link(self, key: Key) -> Linked:
        stored = self.survey.stored.get(key)
        if stored is None:
            return Linked(label(key))
        status = self.survey.file_status(key)
        word = "" if status is FileStatus.NOT_COMPARED else status_as_html(status)
        return Linked(label(key), self._address("change", stored.pk), word)

    # What goes with it ------------------------------------------------------

    @cached_property
    def contents(self) -> list[Content]:
        bundle = self.metadata.bundle if self.metadata else None
        members = bundle.members if bundle else []
        shown = [member.digest for member in members if member.size <= _LONGEST_CONTENT]
        contents = self.survey.store.contents(shown, longest=_LONGEST_CONTENT) if shown else {}
        return [
            Content(member, printable_name(member.name), _content(contents.get(member.digest)))
            for member in members
        ]

    @property
    def left_out(self) -> list[tuple[str, str]]:
        left_out = self.metadata.bundle.left_out if self.metadata else {}
        return [(printable_name(name), printable(why)) for name, why in left_out.items()]

    @property
    def timeline(self) -> list[Moment]:
        return [_moment(event) for event in AuditLog(self.survey.connection).of(self.key)]


def parts_of(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the parts of a text begin and end, of which each fits on a page: at the end of a line, if it can."""
    begin = 0
    while begin < len(text) or begin == 0:
        end = begin + LONGEST_TO_COMPARE
        if end < len(text):
            end = text.rfind("\n", begin, end) + 1 or end
        yield begin, end
        begin = end


def _parents(stored: Any) -> list[Key]:
    try:
        return list(stored.metadata.dependencies)
    except ValueError:
        return []


def _replaced(revision: EarlierRevision) -> str:
    digest = printable_name(revision.stored.digest)[:12]
    values = {"digest": digest, "moment": moment(revision.replaced_at)}
    return _("%(digest)s, replaced %(moment)s") % values


def _content(content: bytes | None) -> list[SafeString]:
    if content is None or len(content) > _LONGEST_CONTENT:
        return []
    try:
        return highlighted(content.decode())
    except UnicodeDecodeError:
        return []


def _moment(event: MigrationEvent) -> Moment:
    words = {str(value): str(word) for value, word in Event.choices}
    what = [words.get(event.event, printable_name(event.event))]
    if event.source == "stored":
        what.append(_("from stored code"))
    if isinstance(event.seconds, float):
        what.append(_("in %(seconds).3f s") % {"seconds": event.seconds})
    git = " ".join(filter(None, [event.branch, event.commit[:10]]))
    text = _("text %(digest)s") % {"digest": event.digest[:12]} if event.digest else ""
    versions = f"Django {event.django}, Python {event.python}"
    return Moment(
        at=moment(event.at),
        what=", ".join(what),
        who=printable_name("@".join(filter(None, [event.os_user, event.host]))),
        circumstances=printable_name("; ".join(filter(None, [git, versions, text]))),
        detail=printable(event.detail),
    )
