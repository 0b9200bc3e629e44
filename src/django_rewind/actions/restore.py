"""
Write stored sources back to files.

Everything is looked at before anything is written: what does not verify, what would
overwrite something else and what would lead out of its folder keeps the whole set
from being written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError

from ..exceptions import UNCHANGED, NotInitialized, NotRestorable
from ..inventory.loader import loader_of
from ..inventory.snapshot import FileStatus
from ..models import Event
from ..sources import signing
from ..sources.bundle.changes import BundleChanges, ContentDamaged, text_of
from ..sources.bundle.collector import Collector
from ..sources.bundle.manifest import BundleMember
from ..sources.bundle.modules import SourceUnavailable, decode, encode
from ..sources.signing import Verdict
from ..sources.stored import StoredMigration, why_unusable
from ..storage.audit_log import AuditEntry, AuditLog
from ..storage.store import Store
from ..utils.files import is_special, read_file, write_all
from ..utils.matching import matching, the_one
from ..utils.types import Key, label
from .places import InFolder, InProject, LeftOut, NoPlace, Place

_OVERWRITE = "Use --force to overwrite it, or write to a folder with --output."
_OTHER_KEY = (
    "Add the key that signed it to DJANGO_REWIND_SIGNING_KEYS, or look at it and agree: "
    "'manage.py verify_migrations --sign'."
)


class Action(Enum):
    """What becomes of a file."""

    CREATE = "create"
    OVERWRITE = "overwrite"
    # It is there already.
    LEAVE = "leave"


@dataclass(frozen=True)
class File:
    """A file as it has to be, and what has to be done for that."""

    key: Key
    # "migration", "package" (an empty file that makes its folder one), or what a
    # migration carries along: "module", "models" (an excerpt), "file".
    kind: str
    place: Place
    content: bytes = field(repr=False)
    # Of what Python reads.
    text: str | None = field(default=None, repr=False)
    action: Action = Action.CREATE

    @property
    def path(self) -> Path:
        return self.place.path

    @property
    def is_there(self) -> bool:
        """Whether the file holds this already, whatever encoding it is written in."""
        if read_file(self.path) == self.content:
            return True
        try:
            return self.text is not None and decode(str(self.path)) == self.text
        except SourceUnavailable:
            return False


@dataclass(frozen=True)
class Restoration:
    """What would be written for some migrations, and what keeps it from being written."""

    files: list[File]
    refused: list[tuple[Key, str]]
    next_steps: list[str]
    notes: list[str]

    def check(self) -> None:
        if self.refused:
            raise NotRestorable(self.refused, self.next_steps)


class Restore:
    """
    Choose migrations of one database, look what would become of them, and write them.

    They are written below a folder, or else into the packages of this checkout.
    """

    def __init__(self, connection: Any, folder: Path | None = None, *, force: bool = False) -> None:
        self.store = Store(connection)
        self.folder = folder
        self.force = force
        self.snapshot = loader_of(connection).snapshot
        if not self.snapshot.stored:
            raise NotInitialized(connection.alias)
        stale = [FileStatus.STALE_APP] if folder else []
        self.missing = self.snapshot.of(FileStatus.MISSING, FileStatus.TABLE_IN_USE, *stale)
        #: What is applied and has no place in this checkout: its app is not installed.
        self.skipped = [] if folder else self.snapshot.of(FileStatus.STALE_APP)

    def wanted(self, app_label: str | None = None, name: str | None = None) -> list[Key]:
        """Return the missing migrations, or the one with this name or prefix."""
        if app_label is None:
            return self.missing
        if app_label not in {config.label for config in apps.get_app_configs()}:
            if not any(key[0] == app_label for key in (*self.snapshot.stored, *self.snapshot.applied)):
                raise CommandError(
                    f"No installed app with label '{app_label}', and none of its migrations is stored."
                )
            if self.folder is None:
                raise CommandError(
                    f"The app '{app_label}' is not installed: name a folder to write to with --output."
                )
        if name is None:
            return [key for key in self.missing if key[0] == app_label]
        known = {*self.snapshot.stored, *self.snapshot.without_file}
        missing = set(self.missing)
        # The missing ones first: they are what people look for.
        among = missing if matching(missing, app_label, name) and (app_label, name) not in known else known
        nothing = f"No migration of the app '{app_label}' that matches '{name}' is stored."
        return [the_one(among, app_label, name, otherwise=nothing)]

    def look(self, keys: Iterable[Key]) -> Restoration:
        """Return what would be written for these migrations. It writes nothing."""
        keys = list(keys)
        stored = [self.snapshot.stored[key] for key in keys if self._reason_against(key) is None]
        contents = self.store.contents(
            member.digest for row in stored for member in row.metadata.bundle.members
        )
        look = _Look(self, self.store.texts(keys), contents)
        for key in keys:
            look.at(key)
        return look.restoration()

    def write(self, found: Restoration) -> None:
        """Write what is not there yet, all of it or nothing, and have the audit log say so."""
        found.check()
        files = [file for file in found.files if file.action is not Action.LEAVE]
        try:
            write_all({file.path: file.content for file in files})
        except OSError as error:
            raise CommandError(f"The files cannot be written: {error}.\n{UNCHANGED}") from error
        restored = [
            AuditEntry(
                Event.RESTORED, file.key, digest=signing.digest(file.text or ""), detail=shown(file.path)
            )
            for file in files
            if file.kind == "migration"
        ]
        if restored:
            AuditLog(self.store.connection).try_to_note(restored)

    def usable(self, key: Key) -> StoredMigration:
        reason = self._reason_against(key)
        if reason is not None:
            raise reason
        return self.snapshot.stored[key]

    def _reason_against(self, key: Key) -> NoPlace | None:
        stored = self.snapshot.stored.get(key)
        if stored is not None and stored.verdict is Verdict.UNKNOWN_KEY:
            return NoPlace(stored.verdict.value, _OTHER_KEY)
        if key in self.snapshot.applied or stored is None:
            error = self.snapshot.reason_against(key)
        else:
            error = why_unusable(stored)
        return None if error is None else NoPlace(error.reason.rstrip("."))


class _Look:
    """What becomes of the files of some migrations, one migration after the other."""

    def __init__(self, restore: Restore, texts: Mapping[Key, str], contents: Mapping[str, bytes]) -> None:
        self.restore = restore
        self.texts = texts
        self.changes = BundleChanges(Collector(), lambda digests: contents)
        self.places = InFolder(restore.folder) if restore.folder else InProject()
        self.seen: set[Key] = set()
        self.files: dict[Path, File] = {}
        self.refused: list[tuple[Key, str]] = []
        self.next_steps: list[str] = []
        self.notes: list[str] = []

    def at(self, key: Key) -> None:
        """Add the files of a migration, or what keeps them from being written."""
        self.seen.add(key)
        with self._refusing(key):
            stored = self.restore.usable(key)
            for file in [*self._source(stored), *self._bundled(stored)]:
                self._add(file)

    def restoration(self) -> Restoration:
        files = []
        for file in self.files.values():
            with self._refusing(file.key):
                files.append(replace(file, action=self._action(file)))
        if {key for key, _ in self.refused} not in (set(), self.seen):
            self.next_steps.append("The other migrations can be restored by their names.")
        return Restoration(files, self.refused, self.next_steps, self.notes)

    @contextmanager
    def _refusing(self, key: Key) -> Iterator[None]:
        try:
            yield
        except NoPlace as error:
            self.refused.append((key, f"{error}."))
            self.next_steps += filter(None, [error.next_step])
        except OSError as error:
            self.refused.append((key, f"{error}."))

    def _source(self, stored: StoredMigration) -> Iterator[File]:
        text = self.texts.get(stored.key)
        if text is None:
            raise NoPlace("its stored source has gone from the database")
        if signing.digest(text) != stored.digest:
            raise NoPlace(Verdict.SIGNATURE_MISMATCH.value)
        place, *packages = self.places.migration(stored)
        yield _of_text(stored.key, "migration", place, text)
        for package in packages:
            yield _of_text(stored.key, "package", package, "")

    def _bundled(self, stored: StoredMigration) -> Iterator[File]:
        try:
            contents = self.changes.read(stored.metadata.bundle.members)
        except ContentDamaged as error:
            raise NoPlace(str(error)) from None
        for member in stored.metadata.bundle.members:
            with self._noting(member):
                yield self._file_of(stored, member, contents[member.name])

    @contextmanager
    def _noting(self, member: BundleMember) -> Iterator[None]:
        try:
            yield
        except LeftOut as reason:
            self.notes.append(f"{member.name} is not written: {reason}.")

    def _file_of(self, stored: StoredMigration, member: BundleMember, content: bytes) -> File:
        if member.kind == "file":
            return File(stored.key, member.kind, self.places.data(stored, member), content)
        if member.kind not in ("module", "models"):
            raise NoPlace(f"it carries along {member.name}, which is a {member.kind!r}")
        find = self.places.module if member.kind == "module" else self.places.excerpt
        try:
            text = text_of(member.name, content)
        except ContentDamaged as error:
            raise NoPlace(str(error)) from None
        return _of_text(stored.key, member.kind, find(stored, member), text)

    def _add(self, file: File) -> None:
        """
        Add a file, which others may bring as well.

        Of several versions it is the last one, in the order in which the migrations
        were applied: so it was in the checkout that they come from.
        """
        other = self.files.get(file.path)
        if other is None:
            self.files[file.path] = file
        elif "package" in (file.kind, other.kind):
            self.files[file.path] = other if file.kind == "package" else file
        elif other.content != file.content:
            kept, left = (other, file) if other.kind == "migration" else (file, other)
            self.files[file.path] = kept
            self.notes.append(
                f"{shown(file.path)} is that of {label(kept.key)}; {label(left.key)} ran with another."
            )

    def _action(self, file: File) -> Action:
        path = file.path
        if not path.is_file():
            if path.is_symlink():
                raise NoPlace(f"{shown(path)} is a symbolic link to nothing")
            if is_special(path):
                raise NoPlace(f"{shown(path)} is there and is not a file")
            is_package = file.kind == "module" and path.name == "__init__.py"
            if is_package and not file.content and path.parent.is_dir():
                # It had an empty file or none, and its folder is here.
                return Action.LEAVE
            file.place.check()
            return Action.CREATE
        if file.is_there:
            return Action.LEAVE
        if path.is_symlink():
            raise NoPlace(f"{shown(path)} differs and is a symbolic link")
        if not self.restore.force:
            raise NoPlace(f"{shown(path)} is there and differs", _OVERWRITE)
        file.place.check()
        return Action.OVERWRITE


def _of_text(key: Key, kind: str, place: Place, text: str) -> File:
    try:
        return File(key, kind, place, encode(text), text)
    except ValueError as error:
        raise NoPlace(f"the text of {shown(place.path)} cannot be written: {error}") from None


def shown(path: Path) -> str:
    """Return a path as people who stand in the current folder would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
