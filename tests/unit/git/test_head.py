"""What is checked out, read from the files of git without git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from django_rewind.git.head import Head, head_of
from tests.support.workdir import WorkDir


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    """A work tree with one commit on the branch main."""
    work = WorkDir(tmp_path / "work")
    work.commit(**{"manage.py": "# here"})
    return work


def test_a_branch(work):
    """From its top, and from any folder below."""
    assert head_of([work.path]) == Head(commit=work.head, branch="main")
    below = work.path / "shop" / "migrations"
    below.mkdir(parents=True)
    assert head_of([below]) == Head(commit=work.head, branch="main")


def test_the_first_folder_in_a_work_tree(work, tmp_path):
    """Others are passed over."""
    outside = tmp_path / "outside"
    outside.mkdir()
    assert head_of([outside, work.path]) == Head(commit=work.head, branch="main")


@pytest.mark.parametrize("name", ["feature/price/of-it", "größe", "a.b@c"])
def test_names_of_branches(work, name):
    """With slashes, and of any alphabet."""
    work.git("checkout", "--quiet", "-b", name)
    work.commit()
    assert head_of([work.path]) == Head(commit=work.head, branch=name)


def test_a_detached_head(work):
    """A commit and no branch, as in most deployments."""
    work.git("checkout", "--quiet", "--detach")
    assert head_of([work.path]) == Head(commit=work.head)


def test_no_commit_yet(tmp_path):
    """A branch and no commit."""
    assert head_of([WorkDir(tmp_path).path]) == Head(branch="main")


def test_packed_refs(work):
    """As `git gc` and `git clone` leave them, also beside tags that were peeled."""
    work.git("tag", "-a", "-m", "One", "one")
    work.git("branch", "main2")
    work.git("pack-refs", "--all")
    assert not (work.path / ".git" / "refs" / "heads" / "main").exists()
    assert head_of([work.path]) == Head(commit=work.head, branch="main")


def test_a_loose_ref_wins_over_a_packed_one(work):
    """It is the newer one."""
    work.git("pack-refs", "--all")
    work.commit()
    assert head_of([work.path]) == Head(commit=work.head, branch="main")


def test_a_linked_work_tree(work, tmp_path):
    """It has a head of its own; its branches are packed or not."""
    linked = tmp_path / "linked"
    work.git("worktree", "add", "--quiet", "-b", "feature/linked", str(linked))
    there = WorkDir(linked, start=False)
    there.commit(**{"more.py": "1"})
    assert there.head != work.head
    assert head_of([linked]) == Head(commit=there.head, branch="feature/linked")
    work.git("pack-refs", "--all")
    assert head_of([linked]) == Head(commit=there.head, branch="feature/linked")


def test_a_submodule(work, tmp_path):
    """Its own commit, not that of what it is in."""
    module = WorkDir(tmp_path / "module")
    module.commit(**{"a.py": "1"})
    work.git("submodule", "--quiet", "add", str(module.path), "module")
    work.commit()
    inside = WorkDir(work.path / "module", start=False)
    inside.git("checkout", "--quiet", "-b", "inner")
    assert module.head != work.head
    assert head_of([inside.path]) == Head(commit=module.head, branch="inner")


def test_a_moved_git_folder(tmp_path):
    """`git init --separate-git-dir` leaves a file that says where it is."""
    tree = tmp_path / "tree"
    subprocess.run(
        ["git", "init", "--quiet", "--template=", f"--separate-git-dir={tmp_path / 'apart'}", str(tree)],
        check=True,
    )
    work = WorkDir(tree, start=False).settle()
    work.git("symbolic-ref", "HEAD", "refs/heads/main")
    work.commit()
    assert head_of([tree]) == Head(commit=work.head, branch="main")


def test_a_symbolic_branch(work):
    """A branch that is another name for one."""
    work.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    work.git("symbolic-ref", "HEAD", "refs/heads/alias")
    assert head_of([work.path]) == Head(commit=work.head, branch="alias")


def test_symbolic_branches_in_a_circle(work):
    """There is no commit then, and no end of it is waited for."""
    for one, other in (("a", "b"), ("b", "a"), ("main", "a")):
        (work.path / ".git" / "refs" / "heads" / one).write_text(f"ref: refs/heads/{other}\n")
    assert head_of([work.path]) == Head(branch="main")


def test_sha256(tmp_path):
    """Commits are longer there."""
    command = ["git", "init", "--quiet", "--template=", "--object-format=sha256", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this git knows only SHA-1")
    work = WorkDir(tmp_path, start=False).settle()
    work.git("symbolic-ref", "HEAD", "refs/heads/main")
    work.commit()
    assert len(work.head) == 64
    assert head_of([tmp_path]) == Head(commit=work.head, branch="main")


def test_reftable(tmp_path):
    """Only git can read it: nothing is said rather than something wrong."""
    command = ["git", "init", "--quiet", "--template=", "--ref-format=reftable", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        # What such a git leaves for others to see: gitrepository-layout(5), reftable.
        WorkDir(tmp_path).commit()
        (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")
        (tmp_path / ".git" / "reftable").mkdir()
    else:
        WorkDir(tmp_path, start=False).settle().commit()
    assert head_of([tmp_path]) is None


def test_no_work_tree(tmp_path):
    """As in most containers."""
    assert head_of([tmp_path, tmp_path / "gone"]) is None
    assert head_of([]) is None


@pytest.mark.parametrize(
    "head", ["", "garbage", "ref:", "ref: ", "\0\xff", "ref: refs/heads/main", "0123", "x" * 40]
)
def test_garbage(tmp_path, head):
    """A folder that looks like git's."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head.encode("latin-1"))
    found = head_of([tmp_path])
    assert found is None or found.commit == ""


@pytest.mark.parametrize("text", ["", "garbage", "gitdir:", "gitdir: nowhere", "gitdir: \0"])
def test_garbage_in_a_file(tmp_path, text):
    """A file that looks like that of a linked work tree."""
    (tmp_path / ".git").write_text(text)
    assert head_of([tmp_path]) is None


def test_a_branch_in_another_encoding(work):
    """Git takes any bytes."""
    (work.path / ".git" / "refs" / "heads" / "x").write_text(work.head)
    try:
        os.rename(  # noqa: PTH104 (bytes)
            os.fsencode(work.path / ".git/refs/heads/x"),
            os.fsencode(work.path / ".git/refs/heads") + b"/gr\xf6\xdfe",
        )
    except OSError:
        pytest.skip("this file system takes no such name")
    (work.path / ".git" / "HEAD").write_bytes(b"ref: refs/heads/gr\xf6\xdfe\n")
    assert head_of([work.path]) == Head(commit=work.head, branch="gr\udcf6\udcdfe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable(work):
    """It is as if there was none."""
    (work.path / ".git" / "HEAD").chmod(0)
    assert head_of([work.path]) is None


def test_a_head_that_is_no_file(work):
    """What cannot be read as one is not followed."""
    (work.path / ".git" / "HEAD").unlink()
    (work.path / ".git" / "HEAD").mkdir()
    assert head_of([work.path]) is None
