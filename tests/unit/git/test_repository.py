"""What git knows of the files of a work tree."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from django_rewind.git import repository
from django_rewind.git.repository import GitUnavailable, Repository, Version
from tests.support.workdir import WorkDir

pytestmark = pytest.mark.deep

A = {"a.py": "a = 1\n"}


def versions(work: WorkDir, *paths: str) -> list[Version]:
    return Repository.around(work.path).versions(f":(literal){path}" for path in paths or ["a.py"])


def contents(work: WorkDir, *paths: str) -> list[bytes]:
    """Return the contents that files have had, the newest first."""
    found = versions(work, *paths)
    read = Repository.around(work.path).read(one.blob for one in found)
    return [read[one.blob] for one in found]


# Where things are found


def test_every_content_with_its_commit_and_date(work):
    """The newest first."""
    first = work.commit(**A)
    second = work.commit(**{"a.py": "a = 2\n"})
    found = versions(work)
    assert [(one.path, one.commit, one.timestamp) for one in found] == [
        ("a.py", second, work.at),
        ("a.py", first, work.at - 60),
    ]
    assert contents(work) == [b"a = 2\n", b"a = 1\n"]
    assert found[1].when.timestamp() == work.at - 60


def test_deleted_branch(work):
    """What no branch holds is in the reflog of HEAD."""
    work.branch("feature")
    commit = work.commit(**A)
    work.switch("main")
    work.git("branch", "-D", "feature")
    assert [one.commit for one in versions(work)] == [commit]


def test_amended_commit(work):
    """Both are found, each with the time at which it was committed, not written."""
    work.commit(**A)
    work.write("a.py", "a = 2\n")
    work.commit("--amend", "--date", "2001-01-01T00:00:00Z")
    assert contents(work) == [b"a = 2\n", b"a = 1\n"]
    assert [one.timestamp for one in versions(work)] == [work.at, work.at - 60]


def test_branch_that_came_to_nothing(work):
    """A file that was added and removed again on the way is found behind the merge."""
    work.branch("feature")
    commit = work.commit(**A)
    (work.path / "a.py").unlink()
    work.commit()
    work.switch("main")
    work.commit(**{"b.py": ""})
    work.git("merge", "--quiet", "--no-ff", "--message", "Merge", "feature")
    assert [one.commit for one in versions(work)] == [commit]


def test_content_that_a_merge_made(work):
    """It is in neither parent."""
    work.commit(**A)
    work.branch("feature")
    work.commit(**{"a.py": "a = 2\n"})
    work.switch("main")
    work.commit(**{"a.py": "a = 3\n"})
    with pytest.raises(subprocess.CalledProcessError):
        work.git("merge", "--quiet", "feature")
    merge = work.commit(**{"a.py": "a = 23\n"})
    assert contents(work)[0] == b"a = 23\n"
    assert {one.commit for one in versions(work)} >= {merge}
    assert set(contents(work)) == {b"a = 1\n", b"a = 2\n", b"a = 3\n", b"a = 23\n"}


@pytest.mark.parametrize("options", [(), ("--include-untracked",)])
def test_stashes(work, options):
    """An older one is found too, with what was staged and what was not tracked."""
    for number in (1, 2):
        work.write("a.py", f"a = {number}\n")
        if not options:
            work.git("add", "a.py")
        work.git("stash", "push", "--quiet", *options)
    assert set(contents(work)) == {b"a = 1\n", b"a = 2\n"}


def test_change_of_a_tracked_file_in_a_stash(work):
    """It is in the merge alone that git makes of it."""
    work.commit(**A)
    work.write("a.py", "a = 2\n")
    work.git("stash", "push", "--quiet")
    assert set(contents(work)) == {b"a = 1\n", b"a = 2\n"}


def test_tag_on_a_detached_head(work):
    """A tag keeps what no branch does."""
    work.git("checkout", "--quiet", "--detach")
    work.commit(**A)
    work.git("tag", "--annotate", "v1", "--message", "One")
    work.switch("main")
    shutil.rmtree(work.path / ".git" / "logs")
    assert contents(work) == [b"a = 1\n"]


def test_remote_branch(work, tmp_path):
    """What was fetched is there without being checked out."""
    work.branch("feature")
    work.commit(**A)
    work.switch("main")
    work.git("clone", "--quiet", str(work.path), str(tmp_path / "clone"))
    assert contents(WorkDir(tmp_path / "clone", start=False)) == [b"a = 1\n"]


def test_packed(work):
    """Objects, refs and reflogs may be packed and pruned as `git gc` likes."""
    work.branch("feature")
    work.commit(**A)
    work.switch("main")
    work.git("branch", "-D", "feature")
    work.git(
        "-c",
        "gc.reflogExpire=never",
        "-c",
        "gc.reflogExpireUnreachable=never",
        "gc",
        "--quiet",
        "--prune=now",
    )
    assert not list(work.path.glob(".git/objects/??"))
    assert contents(work) == [b"a = 1\n"]


def test_what_a_reflog_names_may_have_been_pruned(work):
    """What is left is found."""
    work.branch("feature")
    lost = work.commit(**A)
    work.switch("main")
    work.git("branch", "-D", "feature")
    work.commit(**{"a.py": "a = 2\n"})
    (work.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    assert contents(work) == [b"a = 2\n"]


def test_shallow_clone(work, tmp_path):
    """It says that it is one; the commit at which it was cut counts as one that made all."""
    work.commit(**A)
    work.commit(**{"a.py": "a = 2\n"})
    work.git("clone", "--quiet", "--depth", "1", f"file://{work.path}", str(tmp_path / "cut"))
    assert not Repository.around(work.path).is_shallow
    cut = WorkDir(tmp_path / "cut", start=False)
    assert Repository.around(cut.path).is_shallow
    assert contents(cut) == [b"a = 2\n"]


def test_linked_worktree(work, tmp_path):
    """It has the history of all of them, and what its own HEAD has been at."""
    work.branch("feature")
    work.commit(**A)
    work.switch("main")
    work.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    linked = WorkDir(tmp_path / "linked", start=False)
    linked.at = work.at
    linked.commit(**{"a.py": "a = 2\n"})
    linked.git("checkout", "--quiet", "--detach", "main")
    assert Repository.around(linked.path).top == linked.path.resolve()
    assert contents(linked) == [b"a = 2\n", b"a = 1\n"]
    assert contents(work) == [b"a = 2\n", b"a = 1\n"]


def test_submodule(work, tmp_path):
    """A folder in a submodule belongs to that, and its files are not in the tree around it."""
    inner = WorkDir(tmp_path / "inner")
    inner.commit(**A)
    work.git("submodule", "--quiet", "add", str(inner.path), "inner")
    work.commit()
    repository = Repository.around(work.path / "inner")
    assert repository.top == (work.path / "inner").resolve()
    assert [one.path for one in repository.versions([":(literal)a.py"])] == ["a.py"]
    assert set(Repository.around(work.path).files("HEAD")) == {"README", ".gitmodules"}


# Names and contents


@pytest.mark.parametrize(
    "name", ["shop/a b.py", "läden/größe 漢.py", "we[i]rd*?.py", "-dash.py", ":(top)x.py"]
)
def test_names(work, name):
    """Whatever they are made of; a pattern is none."""
    work.commit(**{name: "a = 1\n", "weird.py": "b = 1\n"})
    (found,) = versions(work, name)
    assert found.path == name
    assert name in Repository.around(work.path).files(found.commit)


def test_work_tree_with_spaces_and_letters(tmp_path):
    """Its top may be called anything."""
    work = WorkDir(tmp_path / "mein Läden 漢")
    work.commit(**A)
    repository = Repository.around(work.path)
    assert repository.top == work.path.resolve()
    assert contents(work) == [b"a = 1\n"]


@pytest.mark.parametrize(
    "content", [b"", b"a\r\nb\r\n", "größe".encode("latin-1"), b"\0\n\n", b"no end of line"]
)
def test_contents_are_bytes(work, content):
    """As they were committed, and many at once."""
    work.commit(**{"a.py": content, "b.py": b"b\n"})
    assert sorted(contents(work, "a.py", "b.py")) == sorted([content, b"b\n"])


def test_content_that_is_not_here(work):
    """A blob of a partial clone, say, is not among those that are read."""
    work.commit(**A)
    repository = Repository.around(work.path)
    (found,) = versions(work)
    assert repository.read(["0" * 40, found.blob]) == {found.blob: b"a = 1\n"}
    assert repository.read([]) == {}


def test_links_are_no_files(work):
    """What a symbolic link points to is not its content."""
    (work.path / "a.py").symlink_to("README")
    work.commit()
    assert versions(work) == []


def test_patterns(work):
    """A file is found wherever it was."""
    work.commit(**{"a.py": "1", "b/a.py": "2", "b/c/a.py": "3", "b/aa.py": "4"})
    found = Repository.around(work.path).versions([":(glob)**/a.py"])
    assert {one.path for one in found} == {"a.py", "b/a.py", "b/c/a.py"}
    assert {one.folder for one in found} == {"", "b", "b/c"}


def test_nothing_is_asked_for(work):
    """Without a path it would be everything."""
    work.commit(**A)
    assert Repository.around(work.path).versions([]) == []


def test_many_paths(work):
    """More than a command line holds."""
    work.commit(**A)
    assert len(versions(work, *(f"{'long' * 40}/{number}.py" for number in range(20_000)), "a.py")) == 1


def test_folder_that_has_gone(work):
    """Git knows no empty folders; the work tree around it is asked."""
    repository = Repository.around(work.path / "shop" / "migrations")
    assert repository.path_of(work.path / "shop" / "migrations" / "a.py") == "shop/migrations/a.py"
    assert repository.path_of(work.path) == ""


def test_folder_behind_a_link(work, tmp_path):
    """It is where it really lies."""
    (tmp_path / "link").symlink_to(work.path)
    assert Repository.around(tmp_path / "link").path_of(tmp_path / "link" / "a.py") == "a.py"


# What somebody has set up


def test_settings_for_reading_do_not_matter(work):
    """Colours, renames, signatures and relative paths are for people."""
    for name, value in {
        "color.ui": "always",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.noprefix": "true",
        "log.showSignature": "true",
        "log.diffMerges": "off",
        "log.decorate": "full",
        "log.follow": "true",
        "core.quotePath": "true",
    }.items():
        work.git("config", name, value)
    work.commit(**{"b/a.py": "a = 1\n"})
    work.git("mv", "b/a.py", "a.py")
    work.commit()
    assert [one.path for one in versions(work, "a.py", "b/a.py")] == ["a.py", "b/a.py"]


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"]
)
def test_environment_of_another_repository(work, tmp_path, monkeypatch, name):
    """A hook of git runs with these; the folder decides."""
    work.commit(**A)
    other = WorkDir(tmp_path / "other")
    monkeypatch.setenv(name, str(other.path / ".git"))
    assert len(Repository.around(work.path).versions([":(literal)a.py"])) == 1


@pytest.mark.parametrize("name", ["GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_TRACE"])
def test_environment_that_changes_what_git_reads_or_says(work, monkeypatch, name):
    """It is asked as if nobody had set that."""
    work.commit(**A)
    monkeypatch.setenv(name, "1")
    assert len(versions(work)) == 1


# No answer


def refusal(folder: Path) -> str:
    with pytest.raises(GitUnavailable) as caught:
        Repository.around(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_git_program(work, monkeypatch, tmp_path):
    """It is said in one line."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(work.path) == "there is no git program here"


def test_no_repository(tmp_path, monkeypatch):
    """Nor one further up."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert refusal(tmp_path) == f"no git repository holds {tmp_path.resolve()}"


def test_no_commit_yet(tmp_path):
    """There is nothing to find, and that is no failure."""
    work = WorkDir(tmp_path)
    assert versions(work) == []


def test_bare_repository(tmp_path):
    """It has no work tree."""
    work = WorkDir(tmp_path / "work")
    work.git("clone", "--quiet", "--bare", str(work.path), str(tmp_path / "bare"))
    assert "lies in a git repository without a work tree" in refusal(tmp_path / "bare")
    assert "lies in a git repository without a work tree" in refusal(work.path / ".git")


def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the place of git."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_repository_of_somebody_else(work, monkeypatch):
    """What could be done about it is said."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    said = refusal(work.path)
    assert "somebody else owns it" in said
    assert "safe.directory" in said


def test_git_that_hangs(tmp_path, monkeypatch):
    """It is not waited for for ever."""
    fake_git(tmp_path, monkeypatch, "exec sleep 30")
    monkeypatch.setattr(repository, "_TIMEOUT", 0.1)
    assert refusal(tmp_path) == "git did not answer within 0.1 seconds"


@pytest.mark.parametrize(
    "script, said",
    [
        ("echo noise >&2; echo 'fatal: {odd}' >&2; exit 128", "git says: fatal: {odd}"),
        ("echo 'error: odd' >&2; exit 1", "git says: error: odd"),
        ("exit 3", "git says: exit status 3"),
    ],
)
def test_git_that_fails(tmp_path, monkeypatch, script, said):
    """Its own words are passed on, in one line."""
    fake_git(tmp_path, monkeypatch, script)
    assert refusal(tmp_path) == said


def test_git_that_cannot_be_run(tmp_path, monkeypatch):
    """It is no program after all."""
    fake_git(tmp_path, monkeypatch, "")
    (tmp_path / "bin" / "git").write_bytes(b"\0not a program")
    assert refusal(tmp_path).startswith("git cannot be run (")


def test_damaged_repository(work):
    """What git says of it is passed on."""
    work.commit(**A)
    repository = Repository.around(work.path)
    with pytest.raises(GitUnavailable, match="git says: fatal"):
        repository.files("0" * 40)


def test_nothing_is_written(work):
    """Neither to the work tree nor to the repository."""
    work.commit(**A)
    before = {path: path.stat().st_mtime_ns for path in work.path.rglob("*")}
    contents(work)
    Repository.around(work.path).files("HEAD")
    assert {path: path.stat().st_mtime_ns for path in work.path.rglob("*")} == before
