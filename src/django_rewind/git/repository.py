"""
What git knows of the files of a work tree: which contents they have had, and when.

Git is asked, never told: nothing here writes to a repository. It is asked in the
work tree that holds a folder, whatever the environment says of another one (a hook
of git runs with `GIT_DIR` set).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

# A walk through a long history takes seconds; what takes longer than this hangs.
_TIMEOUT = 300

# What would lead git to another repository, or have it read paths in another way.
_NOT_FOR_US = re.compile(
    r"GIT_(DIR|WORK_TREE|IMPLICIT_WORK_TREE|INDEX_FILE|COMMON_DIR|PREFIX|NAMESPACE|SHALLOW_FILE"
    r"|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|(GLOB|NOGLOB|LITERAL|ICASE)_PATHSPECS|TRACE.*)"
)

_LOG = [
    # Whatever somebody has configured for reading.
    *("-c", "log.diffMerges=separate", "log", "--no-renames", "--no-color", "--no-show-signature"),
    # Everything that git can reach: branches, remotes, tags, stashes, and what was
    # thrown away and is still in a reflog; side branches that came to nothing too.
    *("--all", "--reflog", "--full-history"),
    # From the newest, and whatever the dates say, no commit before those after it.
    "--date-order",
    # The content of each changed file, in a merge as seen from each parent.
    *("-m", "--root", "--raw", "--no-abbrev", "-z", "--format=%H %ct", "--stdin"),
]
_COMMIT = re.compile(r"([0-9a-f]{40,64}) (\d+)")

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

    def versions(self, pathspecs: Iterable[str]) -> list[Version]:
        """Return every content that files have had, in one walk through the history."""
        wanted = ["--", *pathspecs]
        if len(wanted) == 1:
            return []
        return list(_versions(self._ask(*_LOG, lines=wanted)))

    def files(self, commit: str) -> dict[str, str]:
        """Return the files of a commit: path and blob."""
        out = os.fsdecode(self._ask("ls-tree", "-r", "-z", "--full-tree", commit))
        entries = (entry.split("\t", 1) for entry in out.split("\0") if entry)
        # "<mode> <type> <object>"; what is no blob is a submodule.
        return {path: what.split()[2] for what, path in entries if what.split()[1] == "blob"}

    def read(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of blobs; one that is not here is not among them."""
        wanted = sorted(set(blobs))
        if not wanted:
            return {}
        return dict(_contents(self._ask("cat-file", "--batch", lines=wanted)))

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

    def deleted(self, old: str, new: str) -> list[str]:
        """Return the Python files that are in one commit and not in another."""
        listing = _ask(
            self.top, "diff", "--name-only", "-z", "--no-renames", "--diff-filter=D", old, new, "--", "*.py"
        )
        return [path for path in (listing or "").split("\0") if path]


def _ask(folder: Path, *args: str) -> str | None:
    """Return what git answers in the environment that it has given to its hook."""
    try:
        return os.fsdecode(_git(folder, *args, environment=os.environ)).rstrip("\n")
    except GitUnavailable:
        return None


def _git(
    folder: Path, *args: str, lines: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> bytes:
    """Run git in a folder, without a shell, and return what it writes."""
    program = shutil.which("git")
    if program is None:
        raise GitUnavailable("there is no git program here")
    command = [program, "-c", "core.fsmonitor=false", *args]
    given = b"".join(os.fsencode(line) + b"\n" for line in lines)
    try:
        done = subprocess.run(  # noqa: S603 (a list of our own making; revisions and paths go to stdin)
            command,
            cwd=folder,
            env=environment or _environment(),
            input=given,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GitUnavailable(f"git did not answer within {_TIMEOUT} seconds") from None
    except OSError as error:
        raise GitUnavailable(f"git cannot be run ({error})") from None
    if done.returncode:
        said = [line for line in os.fsdecode(done.stderr).splitlines() if line.strip()]
        fatal = [line for line in said if line.startswith("fatal:")]
        raise GitUnavailable("git says: " + (fatal or said or [f"exit status {done.returncode}"])[0])
    return done.stdout


def _environment() -> dict[str, str]:
    ours = {
        # Messages are recognised in English.
        "LC_ALL": "C",
        "LANGUAGE": "C",
        # It reads, and leaves the index to whoever is working.
        "GIT_OPTIONAL_LOCKS": "0",
        # In a partial clone git may have to fetch; nobody is there to type a password.
        "GIT_TERMINAL_PROMPT": "0",
    }
    others = {name: value for name, value in os.environ.items() if not _NOT_FOR_US.fullmatch(name)}
    return {**others, **ours}


def _versions(out: bytes) -> Iterator[Version]:
    """Read what ``git log --raw -z`` writes."""
    tokens = iter(os.fsdecode(out).split("\0"))
    commit, timestamp = "", 0
    for token in tokens:
        token = token.lstrip("\n")
        if token.startswith(":"):
            # ":<mode> <mode> <blob> <blob> <status>", and then the path.
            mode, blob = token.split()[1], token.split()[3]
            path = next(tokens)
            # Neither deleted nor a link nor a submodule.
            if mode in ("100644", "100755"):
                yield Version(path, blob, commit, timestamp)
        elif found := _COMMIT.fullmatch(token):
            commit, timestamp = found[1], int(found[2])


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
