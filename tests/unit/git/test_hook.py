"""The hook as a file, and what git finds when it calls it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from django_rewind.git import hook as hook_module
from django_rewind.git.hook import BEGIN, END, Choices, Hook, HookError, State, is_passed_over
from django_rewind.git.repository import WorkTree

pytestmark = pytest.mark.deep

CHOICES = Choices(manage="manage.py")
NOTHING = "0" * 40


@pytest.fixture
def tree(tmp_path: Path) -> WorkTree:
    """An empty repository, without a folder for hooks."""
    git(tmp_path, "init", "--quiet", "--template=")
    (tmp_path / "manage.py").touch()
    found = WorkTree.at(tmp_path)
    assert found is not None
    return found


@pytest.fixture
def hook(tree: WorkTree) -> Hook:
    return Hook(tree)


def git(folder: Path, *args: str) -> None:
    identity = ["-c", "user.name=Story", "-c", "user.email=story@example.com"]
    subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True)


def write(hook: Hook, text: str, mode: int = 0o755) -> None:
    hook.path.parent.mkdir(exist_ok=True)
    hook.path.write_text(text)
    hook.path.chmod(mode)


# The work tree


def test_no_work_tree(tmp_path, monkeypatch):
    """Without a repository, or without git, there is none."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert WorkTree.at(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert WorkTree.at(tmp_path) is not None
    monkeypatch.setenv("PATH", "")
    assert WorkTree.at(tmp_path) is None


def test_hooks_folder_from_below(tree):
    """`core.hooksPath` is relative to the top, wherever the command is run."""
    (tree.top / "deep").mkdir()
    git(tree.top, "config", "core.hooksPath", ".githooks")
    found = WorkTree.at(tree.top / "deep")
    assert found == tree
    assert found.hooks == tree.top / ".githooks"


@pytest.mark.parametrize("trace", ["rebase-merge", "rebase-apply", "sequencer", "BISECT_LOG", "REVERT_HEAD"])
def test_what_git_leaves_while_it_is_busy(tree, trace):
    """In the folder of this work tree."""
    assert not tree.is_busy
    (tree.git_dir / trace).touch()
    assert tree.is_busy


def test_changed_files(tree):
    """Between two commits; moved ones are gone from where they were."""
    for name in ("a.py", "ü b.py", "c.txt"):
        (tree.top / name).write_text(name)
    git(tree.top, "add", "--all")
    git(tree.top, "commit", "--quiet", "--message", "one")
    git(tree.top, "rm", "--quiet", "a.py", "c.txt")
    git(tree.top, "mv", "ü b.py", "d.py")
    git(tree.top, "commit", "--quiet", "--message", "two")
    assert tree.changes("HEAD~1", "HEAD") == {"a.py": "D", "c.txt": "D", "d.py": "A", "ü b.py": "D"}
    assert tree.changes("HEAD", "HEAD~1") == {"a.py": "A", "c.txt": "A", "d.py": "D", "ü b.py": "A"}
    assert tree.changes(NOTHING, "HEAD") is None


# Its text


@pytest.mark.parametrize(
    "choices",
    [
        CHOICES,
        Choices(manage='it\'s "here"/ü $HOME/manage.py', database="o'ther", settings="a.b", timeout=3),
        Choices(manage="new\nline.py", auto=True, allow_data_loss=True, settings="/`id`/\\x\udcff"),
    ],
)
def test_choices_are_read_as_they_were_written(hook, choices):
    """Whatever quotes and letters they hold; the same text is the same hook."""
    python = "/a 'b'/\"ü\"/python"
    hook.install(choices, python)
    found = hook.status()
    assert found.choices == choices
    assert not hook.install(choices, python)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"manage": "m", "other": 1}'])
def test_choices_that_cannot_be_read(text):
    """Are an error of one kind."""
    with pytest.raises(ValueError, match=r"Expecting|argument"):
        Choices.from_text(text)


def test_whole_life(hook):
    """Installed, the same, another, and gone, with the folder that was made for it."""
    assert hook.status().state is State.NONE
    assert hook.install(CHOICES)
    assert hook.path.stat().st_mode & 0o100
    assert hook.status().state is State.INSTALLED
    assert not hook.install(CHOICES)
    assert hook.install(Choices(manage="manage.py", timeout=5))
    assert hook.path.read_text().count(BEGIN) == 1
    assert hook.uninstall()
    assert hook.status().state is State.NONE
    assert not hook.uninstall()


@pytest.mark.parametrize(
    "first, is_shell",
    [
        ("#!/bin/sh", True),
        ("#!/bin/sh -eu", True),
        ("#! /usr/bin/env bash", True),
        ("#!/usr/bin/env -S bash -e", True),
        ("#!/usr/bin/env LANG=C zsh", True),
        ("#!/opt/homebrew/bin/dash", True),
        ("#!/usr/bin/env python3", False),
        ("#!/usr/bin/perl", False),
        ("#!/usr/bin/fish", False),
        ("#!", False),
        ("#!/usr/bin/env", False),
        ("echo", False),
        ("\x7fELF", False),
        ("", False),
    ],
)
def test_shell_scripts(hook, first, is_shell):
    """Ours goes after the first line of those, and into no other."""
    write(hook, f"{first}\nexit 0\n")
    if is_shell:
        assert hook.install(CHOICES)
        assert hook.path.read_text().startswith(f"{first}\n{BEGIN}\n")
        assert hook.path.read_text().endswith(f"{END}\nexit 0\n")
        assert hook.status().state is State.INSTALLED
        assert hook.uninstall()
    else:
        assert hook.status().state is State.FOREIGN
        with pytest.raises(HookError, match=r"not a shell script[^$]*\"\$@\""):
            hook.install(CHOICES)
        assert not hook.uninstall()
    assert hook.path.read_text() == f"{first}\nexit 0\n"


def test_without_a_newline_at_the_end(hook):
    """Ours still begins in a line of its own."""
    write(hook, "#!/bin/sh")
    hook.install(CHOICES)
    assert hook.path.read_text().startswith(f"#!/bin/sh\n{BEGIN}\n")
    assert hook.status().state is State.INSTALLED


def test_outdated(hook):
    """By another version, or because something that it needs has gone."""
    hook.install(CHOICES)
    text = hook.path.read_text()
    for changed in (
        text.replace("-B", "-I"),
        text.replace('{"manage"', '{"managed"'),
        text.replace("-c", "-d"),
    ):
        write(hook, changed)
        assert hook.status().state is State.OUTDATED
        assert "Another version" in hook.status().remark
        assert hook.install(CHOICES)
        assert hook.path.read_text() == text
    hook.install(CHOICES, "/gone/python")
    assert "/gone/python has gone" in hook.status().remark
    hook.install(Choices(manage="gone.py"))
    assert "gone.py has gone" in hook.status().remark
    hook.install(CHOICES)
    hook.path.chmod(0o644)
    assert "not executable" in hook.status().remark
    with pytest.raises(HookError, match="not executable"):
        hook.install(CHOICES)


def test_of_another_repository(hook, tmp_path):
    """It is left to that one, as long as there is one."""
    other = tmp_path / "other"
    other.mkdir()
    write(hook, hook_module._block("/bin/python", Choices(manage="manage.py", repository=str(other))))
    assert hook.status().state is State.FOREIGN
    assert str(other) in hook.status().remark
    for attempt in (hook.uninstall, lambda: hook.install(CHOICES)):
        with pytest.raises(HookError, match="uninstall it there first"):
            attempt()
    other.rmdir()
    assert hook.status().state is State.OUTDATED
    assert hook.uninstall()


def test_an_end_that_is_gone(hook):
    """Nobody knows what is ours then, and nothing is touched."""
    hook.install(CHOICES)
    text = hook.path.read_text().replace(END, "")
    write(hook, text)
    for attempt in (hook.status, hook.uninstall, lambda: hook.install(CHOICES)):
        with pytest.raises(HookError, match="by hand"):
            attempt()
    assert hook.path.read_text() == text


def test_no_folder_for_hooks(tree):
    """Some switch hooks off by a path that is no folder."""
    git(tree.top, "config", "core.hooksPath", "/dev/null")
    with pytest.raises(HookError, match="cannot be"):
        Hook(tree).install(CHOICES)


# When git calls


@pytest.mark.parametrize(
    "old, new, flag, is_passed",
    [
        ("1" * 40, "2" * 40, "1", False),
        ("1" * 40, "2" * 40, "0", True),
        ("1" * 40, "1" * 40, "1", True),
        (NOTHING, "2" * 40, "1", True),
        ("0" * 64, "2" * 64, "1", True),
        ("1" * 64, "2" * 64, "1", False),
    ],
)
def test_passed_over(old, new, flag, is_passed):
    """Files only, no other commit, a clone or a new work tree, with either kind of hash."""
    assert is_passed_over(old, new, flag) is is_passed


@pytest.mark.parametrize(
    "argv", [[], ["-c"], ["-c", "nonsense", "1", "2", "1"], ["-c", "{}", "1", "2", "1", "more"]]
)
def test_no_call_fails(argv):
    """Whatever it is called with."""
    hook_module.main(argv)
    assert hook_module.current_call() is None
