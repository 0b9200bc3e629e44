"""
What git knows of the files of a work tree: which contents they have had, and when.

Git is asked, never told: nothing here writes to a repository. It is asked in the
work tree that holds a folder, whatever the environment says of another one (a hook
of git runs with `GIT_DIR` set).

What is in a repository was written by others, its configuration perhaps as well. So git is asked to run
no other program, to fetch nothing, and to show each commit as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

# A walk through a long history takes seconds; what takes longer than this hangs.
_TIMEOUT = 300

# More than git says of any project. A tree that holds itself many times over has no end.
_LONGEST_ANSWER = 256 * 1024 * 1024

# The variables of git that say how to find a repository at all, and not which one.
_KEPT = re.compile(r"GIT_(CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH|CONFIG_.+|TEST_.+)")
# Those that git gives to its hook.
_OF_A_HOOK = re.compile(
    r"GIT_(DIR|WORK_TREE|IMPLICIT_WORK_TREE|INDEX_FILE|COMMON_DIR|PREFIX|OBJECT_DIRECTORY"
    r"|ALTERNATE_OBJECT_DIRECTORIES|QUARANTINE_PATH)"
)

_OPTIONS = [
    "--no-pager",
    # Another commit or text in the place of the one that is named.
    "--no-replace-objects",
    # Programs that a repository can be configured to have git run.
    *("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "protocol.allow=never"),
]

_LOG = [
    # Whatever somebody has configured for reading.
    *("-c", "log.diffMerges=separate", "log", "--no-renames", "--no-color", "--no-show-signature"),
    *("--no-ext-diff", "--no-textconv", "--encoding=UTF-8"),
    # Side branches that came to nothing too.
    "--full-history",
    # From the newest, and whatever the dates say, no commit before those after it.
    "--date-order",
    # The content of each changed file, in a merge as seen from each parent.
    *("-m", "--root", "--raw", "--no-abbrev", "-z", "--format=%H %ct %an <%ae>", "--stdin"),
]
# Everything that git can reach: branches, remotes, tags, stashes, and what was thrown away and is still in
# a reflog.
_EVERYTHING = ["--all", "--reflog"]
_OBJECT = re.compile(r"[0-9a-f]{40,64}")
# The date may be missing, or none: the author has written all of it.
_COMMIT = re.compile(r"([0-9a-f]{40,64}) (-?\d*) (.*)", re.DOTALL)
# What datetime can hold.
_LAST_SECOND = 253_402_300_799

# What git leaves in its folder while it goes through commits one by one.
_UNDER_WAY = (
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "BISECT_LOG",
    "CHERRY_PICK_HEAD",
    "MERGE_HEAD",
    "REVERT_HEAD",
)

# The modes of files; those of links and submodules are others.
_FILES = ("100644", "100755")

# In bytes, what is read of what git says of a failure.
_LONGEST_ERROR = 16 * 1024

_UNSAFE = (
    "git does not read the repository that holds {folder}, because somebody else owns it "
    "('git config --global --add safe.directory …' allows it)"
)
_REASONS = {
    "not a git repository": "no git repository holds {folder}",
    "must be run in a work tree": "{folder} lies in a git repository without a work tree",
    # Since 2.35.3, and in the versions before that one.
    "dubious ownership": _UNSAFE,
    "unsafe repository": _UNSAFE,
}


class GitUnavailable(Exception):
    """
    Git has no answer: no git, no repository, no work tree, or none that may be read.

    The message says which, in one line.
    """


@dataclass(frozen=True)
class Version:
    """A file in a commit that gave it another content."""

    # From the top of the work tree, with slashes.
    path: str
    blob: str
    commit: str
    # When that was, in seconds since 1970: of the commit, not of its author, whose date
    # stays when a commit is amended or rebased.
    timestamp: int
    author: str = ""
    # Whether it is in the history of the commit that is checked out, or of the one that was named.
    is_reachable: bool = False

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp, timezone.utc)


@dataclass(frozen=True)
class Repository:
    """
    A git work tree and all of the history that git can reach from it.

    Where git fails, or takes too long, GitUnavailable is raised.
    """

    top: Path
    # Cloned with --depth: commits that were there are not here.
    is_shallow: bool

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Return the work tree that holds a folder, which may have gone."""
        folder = folder.resolve()
        present = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        try:
            out = _git(present, "rev-parse", "--show-toplevel", "--is-shallow-repository")
        except GitUnavailable as error:
            known = (text.format(folder=folder) for said, text in _REASONS.items() if said in str(error))
            raise GitUnavailable(next(known, str(error))) from None
        top, _, is_shallow = os.fsdecode(out).rstrip("\n").rpartition("\n")
        return cls(Path(top).resolve(), is_shallow == "true")

    def path_of(self, path: Path) -> str:
        """Return a path in the work tree as git names it."""
        # Not what the path itself may link to.
        name = (path.parent.resolve() / path.name).relative_to(self.top).as_posix()
        return "" if name == "." else name

    def commit_of(self, revision: str = "HEAD") -> str:
        """Return the commit that a revision names; nothing where it names none."""
        # Git itself gives no branch or tag such a name.
        if revision.startswith("-") or "\0" in revision:
            return ""
        named = self._object(revision)
        # What is asked of a name may be read as a part of it.
        return self._object(f"{named}^{{commit}}") if named else ""

    def _object(self, name: str) -> str:
        try:
            found = self._ask("rev-parse", "--verify", "--quiet", name).decode("ascii", "replace").strip()
        except GitUnavailable:
            return ""
        # "^HEAD" is a name, too: of all that is not in its history.
        return found if _OBJECT.fullmatch(found) else ""

    def versions(self, pathspecs: Iterable[str], start: str = "") -> list[Version]:
        """
        Return every content that files have had, in two walks through the history.

        Args:
            start: the commit whose history comes first; what only others have counts as not reachable.
        """
        # One that git would read as two is none that a file of a migration can have.
        wanted = ["--", *(spec for spec in pathspecs if not set(spec) & set("\n\0"))]
        if len(wanted) == 1:
            return []
        first = self._ask(*_LOG, lines=[start, *wanted]) if start else b""
        others = self._ask(*_LOG, *_EVERYTHING, lines=[*([f"^{start}"] if start else []), *wanted])
        return [*_versions(first, is_reachable=True), *_versions(others)]

    def references_to(self, commit: str) -> list[str]:
        """Return the branches, tags and stashes whose history has a commit, as git writes them in full."""
        out = self._ask("for-each-ref", "--format=%(refname)", f"--contains={commit}")
        return out.decode("utf-8", "replace").splitlines()

    def files(self, commit: str) -> dict[str, str]:
        """Return the files of a commit: path and blob."""
        out = os.fsdecode(self._ask("ls-tree", "-r", "-z", "--full-tree", commit))
        entries = (entry.split("\t", 1) for entry in out.split("\0") if entry)
        # "<mode> <type> <object>"; a link or a submodule is no file.
        return {path: what.split()[2] for what, path in entries if what.split()[0] in _FILES}

    def sizes(self, blobs: Iterable[str]) -> dict[str, int]:
        """Return the sizes of blobs in bytes; one that is not here is not among them."""
        lines = self._batch("--batch-check", blobs).decode("ascii").splitlines()
        found = (line.split() for line in lines)
        return {words[0]: int(words[2]) for words in found if words[1:2] == ["blob"]}

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of blobs, whatever their sizes; one that is not here is not among them."""
        return dict(_contents(self._batch("--batch", blobs)))

    def _batch(self, option: str, blobs: Iterable[str]) -> bytes:
        wanted = sorted(set(blobs))
        try:
            return self._ask("cat-file", option, lines=wanted) if wanted else b""
        except GitUnavailable as error:
            if not re.search("could not fetch|not allowed", str(error)):
                raise
        # A partial clone, where the first that is not here is the end.
        options = ("--objects", "--no-walk", "--missing=allow-any", "--ignore-missing", "--stdin")
        here = self._ask("rev-list", *options, lines=wanted).decode("ascii", "replace").split()
        return self._ask("cat-file", option, lines=[blob for blob in wanted if blob in here])

    def _ask(self, *args: str, lines: Iterable[str] = ()) -> bytes:
        return _git(self.top, *args, lines=lines)


@dataclass(frozen=True)
class WorkTree:
    """
    A work tree of git as its hook sees it: there may be several of one repository.

    Whatever git cannot say counts as nothing: no checkout fails for it.
    """

    top: Path
    # Of this work tree, and of the repository.
    git_dir: Path
    common_dir: Path

    @classmethod
    def at(cls, folder: Path) -> WorkTree | None:
        """Return the one that a folder lies in; None without git, too."""
        answer = _ask(folder, "rev-parse", "--show-toplevel", "--git-dir", "--git-common-dir")
        lines = (answer or "").split("\n")
        if len(lines) != 3:
            return None
        top, git_dir, common_dir = (folder.joinpath(line) for line in lines)
        return cls(top, git_dir.resolve(), common_dir.resolve())

    @property
    def hooks(self) -> Path:
        """The folder of the hooks; `core.hooksPath` may be relative to the top."""
        answer = _ask(self.top, "rev-parse", "--git-path", "hooks")
        return self.top / (answer or self.common_dir / "hooks")

    @property
    def is_busy(self) -> bool:
        """Whether git is in the middle of something that checks out on its way."""
        if any((self.git_dir / name).exists() for name in _UNDER_WAY):
            return True
        # `rebase --apply` and `pull --rebase` start before they leave a trace.
        reason = _ask(self.top, "log", "-1", "-g", "--format=%gs", "HEAD")
        return re.match(r"rebase|pull|am\b", reason or "") is not None

    def changes(self, old: str, new: str) -> dict[str, str] | None:
        """Return the paths in which two commits differ, each with git's letter for how; None if it is not known."""
        # Not `git diff`, which heeds what somebody has configured for reading.
        options = ("-r", "-z", "--name-status", "--no-renames", "--no-ext-diff", "--no-textconv")
        listing = _ask(self.top, "diff-tree", *options, old, new)
        if listing is None:
            return None
        words = iter(listing.split("\0"))
        return {path: letter for letter, path in zip(words, words) if path}


def _ask(folder: Path, *args: str) -> str | None:
    """Return what git answers in the environment that it has given to its hook."""
    try:
        return os.fsdecode(_git(folder, *args, kept=_OF_A_HOOK)).rstrip("\n")
    except GitUnavailable:
        return None


def _git(folder: Path, *args: str, lines: Iterable[str] = (), kept: re.Pattern[str] | None = None) -> bytes:
    """
    Run git in a folder, without a shell, and return what it writes.

    Args:
        lines: what it reads. Revisions and paths that others have named go there.
        kept: the variables of git that lead it to a repository.
    """
    program = shutil.which("git")
    if program is None:
        raise GitUnavailable("there is no git program here")
    given = b"".join(os.fsencode(line) + b"\n" for line in lines)
    status, out, errors = _answer([program, *_OPTIONS, *args], folder, _environment(kept), given)
    if status:
        said = [line for line in os.fsdecode(errors).splitlines() if line.strip()]
        fatal = [line for line in said if line.startswith("fatal:")]
        raise GitUnavailable("git says: " + (fatal or said or [f"exit status {status}"])[0])
    return out


def _answer(
    command: list[str], folder: Path, environment: Mapping[str, str], given: bytes
) -> tuple[int, bytes, bytes]:
    """Return the exit status of a program and what it writes, which is bounded, as its time is."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
        asked.write(given)
        asked.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 (a list of our own making)
                command, cwd=folder, env=environment, stdin=asked, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as error:
            raise GitUnavailable(f"git cannot be run ({error})") from None
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            process.kill()

        timer = threading.Timer(_TIMEOUT, stop)
        timer.start()
        try:
            assert process.stdout is not None
            out = process.stdout.read(_LONGEST_ANSWER + 1)
            is_too_long = len(out) > _LONGEST_ANSWER
            if is_too_long:
                process.kill()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
            process.communicate()
        errors.seek(0)
        said = errors.read(_LONGEST_ERROR)
    if is_too_long:
        raise GitUnavailable(f"git says more than {_LONGEST_ANSWER:,} bytes, and was stopped")
    if stopped.is_set():
        raise GitUnavailable(f"git did not answer within {_TIMEOUT} seconds")
    return status, out, said


def _environment(kept: re.Pattern[str] | None) -> dict[str, str]:
    ours = {
        # Messages are recognised in English.
        "LC_ALL": "C",
        "LANGUAGE": "C",
        # It reads, and leaves the index to whoever is working.
        "GIT_OPTIONAL_LOCKS": "0",
        # In a partial clone it would fetch what is not here, from a place and by a program that the repository
        # names. The second is for versions that do not know the first.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_TERMINAL_PROMPT": "0",
        # The parents of a commit are those that it names itself.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
    }
    others = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or _KEPT.fullmatch(name) or (kept and kept.fullmatch(name))
    }
    return {**others, **ours}


def _versions(out: bytes, *, is_reachable: bool = False) -> Iterator[Version]:
    """Read what ``git log --raw -z`` writes."""
    tokens = iter(os.fsdecode(out).split("\0"))
    commit, timestamp, author = "", 0, ""
    for token in tokens:
        token = token.lstrip("\n")
        if token.startswith(":"):
            # ":<mode> <mode> <blob> <blob> <status>", and then the path.
            mode, blob = token.split()[1], token.split()[3]
            path = next(tokens)
            # Neither deleted nor a link nor a submodule.
            if mode in _FILES:
                yield Version(path, blob, commit, timestamp, author, is_reachable)
        elif found := _COMMIT.fullmatch(token):
            commit, author = found[1], found[3]
            # What has no date that can be read is as old as can be.
            timestamp = min(max(int(found[2] or 0), 0), _LAST_SECOND)


def _contents(out: bytes) -> Iterator[tuple[str, bytes]]:
    """Read what ``git cat-file --batch`` writes."""
    start = 0
    while start < len(out):
        end = out.index(b"\n", start)
        blob, kind, *size = out[start:end].decode("ascii").split()
        start = end + 1
        if kind != "missing":
            end = start + int(size[0])
            yield blob, out[start:end]
            start = end + 1
