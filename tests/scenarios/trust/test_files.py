"""What lies beside a project and above it: links, pipes and names that somebody else has put there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from django.db import connection

from tests.support import hostile
from tests.support.helpers import Project, add

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes"),
]
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite is locked by a file")

PRICE = add("product", "price", "IntegerField(default=7)")


@pytest.fixture
def left(shop: Project) -> Project:
    """A shop on main, with a migration of feature applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    return shop


@pytest.fixture
def lock(left: Project) -> Path:
    """Where the lock of the database lies; it is not there."""
    path = left.path / "default.sqlite3.rewind-lock"
    path.unlink(missing_ok=True)
    return path


# The lock of SQLite


@on_sqlite
@pytest.mark.parametrize("content", ["somebody's own\n", ""])
def test_lock_that_is_a_link(left, lock, tmp_path, content):
    """No link is followed: what it leads to is neither locked nor emptied, and the error says what to do."""
    target = tmp_path / "target"
    target.write_text(content)
    lock.symlink_to(target)

    result = left.refused("rewind", "--noinput", naming=(lock.name, "Then delete it"))

    assert "Traceback" not in result.output
    assert target.read_text() == content
    assert "price" in left.columns("shop_product")
    lock.unlink()
    left.manage("rewind", "--noinput")
    assert "price" not in left.columns("shop_product")


@on_sqlite
def test_lock_that_is_a_link_to_nothing(left, lock, tmp_path):
    """Nothing is made at the other end of a link."""
    lock.symlink_to(tmp_path / "made")

    left.refused("rewind", "--noinput", naming=lock.name)

    assert not (tmp_path / "made").exists()


@on_sqlite
@pytest.mark.parametrize(
    "text", ["SECRET=1\n", "4711\nSECRET=1\n", "4711 web-1 2026-03-02T10:15:00+00:00\nmore\n"]
)
def test_lock_that_is_somebody_elses_file(left, lock, text):
    """A file that no lock has written is not emptied, also by another of its names."""
    lock.write_text(text)
    left.refused("rewind", "--noinput", naming=lock.name)
    assert lock.read_text() == text

    other = lock.with_name("other.env")
    lock.rename(other)
    os.link(other, lock)
    left.refused("rewind", "--noinput", naming=lock.name)
    assert other.read_text() == text


@on_sqlite
def test_lock_with_another_name(left, lock):
    """A backup may have given it one: it is locked, and nothing is written into it."""
    other = lock.with_name("empty")
    other.touch()
    os.link(other, lock)

    left.manage("rewind", "--noinput")

    assert other.read_bytes() == b""
    assert "price" not in left.columns("shop_product")


@on_sqlite
def test_lock_that_is_a_pipe(left, lock):
    """Nobody waits for somebody who writes into it."""
    os.mkfifo(lock)

    left.refused("rewind", "--noinput", naming=lock.name)


@on_sqlite
def test_lock_that_was_cut_short(left, lock):
    """What a full disk has left of the text of a lock is no reason to refuse anything."""
    for text in ("47", "4711 web", "4711 web-1 2026-03"):
        lock.write_text(text)
        left.manage("rewind", "shop", "0002", "--noinput")


@on_sqlite
def test_holder_with_control_characters(left, lock):
    """Who has the lock is told without what a terminal would obey."""
    import fcntl

    lock.write_bytes("4711 \x1b[31mweb\x07\u202e 2026-03-02T10:15:00+00:00\n".encode())
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = left.refused("rewind", "--noinput", "--lock-timeout", "0", naming=("4711", r"\x1b[31mweb"))

    assert not re.search(hostile.CONTROL, result.output)


def test_how_long_it_waits(left, lock):
    """As long as the setting says, with who has the lock and how to go on; `migrate` that takes turns as well."""
    left.configure(DJANGO_REWIND_LOCK_TIMEOUT=0.2, DJANGO_REWIND_LOCK_MIGRATE=True)
    left.migration(
        "shop.0002_stock", add("product", "stock", "IntegerField(default=1)"), after="0001_initial"
    )
    holder = left.start(
        "shell",
        "-c",
        "import time\n"
        "from django.db import connection\n"
        "from django_rewind.engine.lock import Lock\n"
        "with Lock(connection, print):\n"
        "    open('inside', 'w').close()\n"
        "    while not __import__('os').path.exists('done'):\n"
        "        time.sleep(0.02)\n",
    )
    while not (left.path / "inside").exists():
        assert not holder.has_ended, str(holder.result(1))

    for command in (("rewind", "--noinput"), ("migrate", "shop", "0002_stock")):
        result = left.refused(*command, naming=("after 0.2 seconds", "DJANGO_REWIND_LOCK_TIMEOUT"))
        assert "is still running" in result.stderr
        assert "No migration has been applied or undone." in result.stderr
    (left.path / "done").touch()

    assert holder.result(30).returncode == 0
    left.manage("rewind", "--noinput")
    assert "price" not in left.columns("shop_product")


# Pipes and devices


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "commondir", "refs/heads/main", ""])
def test_git_folder_above_the_project(left, name, kind):
    """A folder that anybody may write to lies above many a project: nothing there keeps a run waiting."""
    git = left.path / ".git"
    git.rename(left.path / "moved")
    if name:
        git.mkdir()
        (git / "HEAD").write_text("ref: refs/heads/main\n")
    path = git / name if name else git
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    left.manage("rewind", "--noinput")

    assert "price" not in left.columns("shop_product")


def test_pipe_in_the_place_of_a_file(left):
    """What a migration could carry along is a file; nobody waits for anything else, and it is not replaced."""
    os.mkfifo(left.path / "shop" / "migrations" / "data.sql")
    pipe = left.path / "restored" / "shop" / "migrations" / "0002_price.py"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)

    result = left.attempt("restore_migrations", "--output", "restored", "--force")

    assert result.returncode == 1, str(result)
    assert "0002_price.py is there and is not a file" in result.output
    assert pipe.is_fifo()


# Links in the place of packages


@pytest.mark.parametrize("linked", ["shop/migrations", "shop"])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_linked_package(left, tmp_path, linked, force):
    """A link in the place of a package may lead anywhere: nothing is written there, unless to a folder by name."""
    elsewhere = tmp_path / "elsewhere"
    package = left.path / linked
    package.rename(elsewhere)
    package.symlink_to(elsewhere)

    result = left.attempt("restore_migrations", *force)

    assert result.returncode == 1, str(result)
    assert "is a symbolic link" in result.output
    assert "--output" in result.output
    assert not list(elsewhere.rglob("0002_price.py"))
    left.manage("restore_migrations", "--output", "restored")
    assert (left.path / "restored/shop/migrations/0002_price.py").is_file()
