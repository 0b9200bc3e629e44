"""Repositories that somebody else has written: their configuration, commits, trees and references."""

from __future__ import annotations

import subprocess

import pytest

from django_rewind.git import repository as repository_module
from django_rewind.git.repository import GitUnavailable, Repository, Version, WorkTree
from tests.support.workdir import WorkDir

pytestmark = pytest.mark.deep

A = {"a.py": "a = 1\n"}


def versions(work: WorkDir, *paths: str, start: str = "") -> list[Version]:
    found = Repository.around(work.path)
    return found.versions([f":(literal){path}" for path in paths or ["a.py"]], start)


def made(work: WorkDir, kind: str, content: str | bytes) -> str:
    """Write an object as it stands, whatever git would say of it."""
    done = subprocess.run(
        ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"],
        cwd=work.path,
        input=content.encode() if isinstance(content, str) else content,
        check=True,
        capture_output=True,
    )
    return done.stdout.decode().strip()


def commit_of(work: WorkDir, committer: str, author: str = "Mallory <m@example.com> 1600000000 +0000") -> str:
    """Make a commit of what is staged, by hand, as a branch `evil`."""
    tree = work.git("write-tree")
    text = f"tree {tree}\nparent {work.head}\nauthor {author}\ncommitter {committer}\n\nWork\n"
    commit = made(work, "commit", text)
    (work.path / ".git" / "refs" / "heads" / "evil").write_text(f"{commit}\n")
    return commit


# Programs that a repository has git run


def everything(work: WorkDir) -> None:
    """Ask all that git is ever asked."""
    found = Repository.around(work.path)
    head = found.commit_of("HEAD")
    blobs = [version.blob for version in found.versions(["*.py"], head)]
    found.sizes(blobs)
    found.read(blobs)
    found.files(head)
    found.references_to(head)
    tree = WorkTree.at(work.path)
    assert tree is not None
    assert tree.hooks
    assert not tree.is_busy
    assert tree.changes("HEAD~1", "HEAD") == {"a.py": "A", "a.bin": "A", ".gitattributes": "A"}


def test_no_program_that_the_repository_names_is_run(work, tmp_path):
    """Whatever its configuration and its attributes say."""
    seen = tmp_path / "seen"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> {seen}\n')
    program.chmod(0o755)
    work.commit(**A, **{"a.bin": "x\n", ".gitattributes": "* diff=evil filter=evil\n"})
    # With something that could be a signature.
    head = work.git("cat-file", "commit", "HEAD")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = made(work, "commit", head.replace("\n\n", f"\n{signature}\n\n", 1) + "\n")
    work.git("reset", "--quiet", "--soft", signed)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "core.gitProxy",
        "core.askPass",
        "core.alternateRefsCommand",
        "credential.helper",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.process",
        "filter.evil.smudge",
        "filter.evil.clean",
        "gpg.program",
        "gpg.ssh.program",
        "pager.log",
        "uploadpack.packObjectsHook",
    ):
        work.git("config", name, str(program))
    work.git("config", "log.showSignature", "true")
    work.git("config", "diff.evil.cachetextconv", "true")
    everything(work)
    assert not seen.exists(), seen.read_text()


@pytest.mark.parametrize("variable", ["GIT_NO_LAZY_FETCH", "GIT_ALLOW_PROTOCOL"])
def test_nothing_is_fetched(work, tmp_path, monkeypatch, variable):
    """A partial clone names from where, and by which program; versions of git differ in what keeps them from it."""
    whole = repository_module._environment
    # With one of the two defences alone.
    lacking = {"GIT_NO_LAZY_FETCH": "0", "GIT_ALLOW_PROTOCOL": "file"}
    monkeypatch.setattr(
        repository_module, "_environment", lambda kept: {**whole(kept), variable: lacking[variable]}
    )
    work.commit(**A)
    work.git("config", "uploadpack.allowFilter", "true")
    place = tmp_path / "clone"
    work.git("clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{work.path}", str(place))
    clone = WorkDir(place, start=False)
    here = clone.git("hash-object", "-w", str(clone.write("b.py", "b = 1\n")))
    seen = tmp_path / "seen"
    clone.git("config", "remote.origin.uploadpack", f"touch '{seen}'; git-upload-pack")
    found = Repository.around(place)
    (version,) = found.versions([":(literal)a.py"])
    assert found.sizes([version.blob, here]) == {here: 6}
    assert found.read([version.blob, here]) == {here: b"b = 1\n"}
    assert found.read([version.blob]) == {}
    assert not seen.exists()


@pytest.mark.parametrize(
    "name", ["GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_REPLACE_REF_BASE"]
)
def test_variables_of_others(work, monkeypatch, name):
    """Git gets those that say where it is, and no others."""
    monkeypatch.setenv(name, "/evil")
    for kept in (None, repository_module._OF_A_HOOK):
        assert name not in repository_module._environment(kept)


# What is shown is what is there


def test_a_text_in_the_place_of_another(work):
    """`refs/replace` has git show another object under the same name."""
    commit = work.commit(**A)
    (version,) = versions(work)
    work.git("replace", version.blob, made(work, "blob", "evil = 1\n"))
    work.git("replace", work.head, work.git("rev-parse", "HEAD~1"))
    found = Repository.around(work.path)
    assert found.read([version.blob]) == {version.blob: b"a = 1\n"}
    assert "a.py" in found.files(commit)
    assert [one.commit for one in versions(work)] == [commit]


def test_parents_that_are_none(work):
    """`info/grafts` gives a commit parents that it does not have: it would count as reachable."""
    work.branch("evil")
    evil = work.commit(**A)
    work.switch("main")
    head = work.commit(README="More.\n")
    grafts = work.path / ".git" / "info" / "grafts"
    grafts.parent.mkdir(exist_ok=True)
    grafts.write_text(f"{head} {evil}\n")
    assert [one.is_reachable for one in versions(work, start=head)] == [False]
    assert Repository.around(work.path).references_to(evil) == ["refs/heads/evil"]


@pytest.mark.parametrize(
    "committer",
    [
        "Mallory <m@example.com>",
        "Mallory <m@example.com> never",
        "Mallory <m@example.com> -5 +0000",
        "Mallory <m@example.com> 99999999999999999999999 +0000",
        "Mallory <m@example.com> 9999999999999 +0000",
        "<> 1600000000 +9999",
        "",
    ],
)
def test_dates_that_are_none(work, committer):
    """A commit is never taken for the one before it, and its date can be shown."""
    work.write("a.py", "evil = 1\n")
    work.git("add", "a.py")
    evil = commit_of(work, committer)
    work.git("rm", "--quiet", "--force", "a.py")
    work.commit(**{"b.py": ""})
    (version,) = versions(work)
    assert version.commit == evil
    assert version.when.year >= 1970


def test_authors(work):
    """Their names are theirs, and no part of anything else."""
    work.write("a.py", "evil = 1\n")
    work.git("add", "a.py")
    evil = commit_of(work, "x <y> 1600000000 +0000", f":100644 {'0' * 40} \x1b[2J ü <m@x> 1 +0000")
    (version,) = versions(work)
    assert version.commit == evil
    assert version.author == f":100644 {'0' * 40} \x1b[2J ü <m@x>"


def test_links_in_a_tree(work):
    """They are no files with the name of something as their content."""
    (work.path / "a.py").symlink_to("/etc/passwd")
    work.commit()
    assert "a.py" not in Repository.around(work.path).files("HEAD")


def test_names_in_a_tree_that_lead_out_of_it(work):
    """They are names, and nothing outside is read by them."""
    blob = made(work, "blob", "evil = 1\n")
    inner = made(work, "tree", b"100644 passwd\0" + bytes.fromhex(blob))
    tree = made(work, "tree", b"40000 ..\0" + bytes.fromhex(inner))
    text = f"tree {tree}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nWork\n"
    found = Repository.around(work.path)
    assert found.files(made(work, "commit", text)) == {"../passwd": blob}


# Names


@pytest.mark.parametrize("name", ["-", "--output=seen", "-n1", "--all", "HEAD\0x"])
def test_a_revision_that_looks_like_an_option(work, name):
    """It is no revision."""
    assert Repository.around(work.path).commit_of(name) == ""
    assert not (work.path / "seen").exists()


@pytest.mark.parametrize(
    "name", ["nowhere", "HEAD:README", "HEAD..HEAD", "^HEAD", "a\nb", "", "--", "HEAD HEAD"]
)
def test_what_is_no_commit(work, name):
    """Nor is what names a file, several of them, or none."""
    assert Repository.around(work.path).commit_of(name) == ""


@pytest.mark.parametrize("name", ["HEAD", "main", "v1", "HEAD~0", "@", "odd/ü", "@{0}", ":/Work"])
def test_what_is_one(work, name):
    """All that git reads as one."""
    work.git("tag", "--annotate", "v1", "--message", "One")
    work.git("branch", "odd/ü")
    assert Repository.around(work.path).commit_of(name) == work.head


def test_a_path_in_two_lines(work):
    """Git would read it as two, the second of which is everything."""
    work.commit(**A, **{"b.py": ""})
    assert versions(work, "x\n*", "a.py\n") == []
    assert [one.path for one in versions(work, "x\n*", "a.py")] == ["a.py"]


# In the history of what is checked out, and elsewhere


def test_reachable(work, tmp_path):
    """Each version is told once, and which commit it counts from can be chosen."""
    work.commit(**A)
    work.branch("feature")
    work.commit(**{"a.py": "a = 2\n"})
    work.switch("main")
    found = [(one.is_reachable, work.git("show", one.blob)) for one in versions(work, start=work.head)]
    assert found == [(True, "a = 1"), (False, "a = 2")]
    feature = work.git("rev-parse", "feature")
    assert [one.is_reachable for one in versions(work, start=feature)] == [True, True]
    assert [one.is_reachable for one in versions(work)] == [False, False]


def test_references(work):
    """Branches, remotes, tags and stashes; none of what is in a reflog alone."""
    work.branch("feature")
    commit = work.commit(**A)
    work.git("tag", "v1")
    work.git("update-ref", "refs/remotes/origin/far", commit)
    found = Repository.around(work.path)
    assert found.references_to(commit) == ["refs/heads/feature", "refs/remotes/origin/far", "refs/tags/v1"]
    work.write("a.py", "a = 2\n")
    work.git("stash", "--quiet")
    assert found.references_to(work.git("rev-parse", "stash")) == ["refs/stash"]
    work.switch("main")
    for name in ("refs/heads/feature", "refs/remotes/origin/far", "refs/tags/v1", "refs/stash"):
        work.git("update-ref", "-d", name)
    assert found.references_to(commit) == []
    assert [one.commit for one in versions(work)][-1:] == [commit]


# Without end


def bomb(work: WorkDir) -> str:
    """Make a commit whose tree holds ten of the same, ten of which are in each of these, and so on."""
    found = made(work, "blob", "evil = 1\n")
    kind = "100644"
    for _ in range(9):
        entries = b"".join(f"{kind} {number}.py\0".encode() + bytes.fromhex(found) for number in range(10))
        found, kind = made(work, "tree", entries), "40000"
    return made(work, "commit", f"tree {found}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nWork\n")


def test_trees_without_end(work, monkeypatch):
    """What git says is cut off before it fills the memory."""
    monkeypatch.setattr(repository_module, "_LONGEST_ANSWER", 1_000_000)
    with pytest.raises(GitUnavailable, match="more than 1,000,000 bytes"):
        Repository.around(work.path).files(bomb(work))
