"""What is known of this process, and what cannot be known."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import django
import pytest

from django_rewind.git.environment import current_environment
from tests.support.workdir import WorkDir

SHOW = """
import os, sys
from django.conf import settings
settings.configure(**{settings})
from django_rewind.git.environment import current_environment
import pwd, getpass, encodings.idna
{before}
found = current_environment()
print(repr((found.os_user, found.commit, found.branch)))
"""


def elsewhere(folder: Path, before: str = "", **settings: object) -> tuple[str, str, str]:
    """Return user, commit and branch as another process sees them, from a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environment.pop(name, None)
    code = SHOW.format(settings=settings, before=before)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout)


def test_this_process():
    """Versions, machine and process."""
    found = current_environment()
    assert (found.django, found.python) == (django.get_version(), platform.python_version())
    assert (found.host, found.pid) == (socket.gethostname(), os.getpid())


def test_the_commit_of_now(tmp_path, monkeypatch):
    """Not that of when this was imported."""
    work = WorkDir(tmp_path)
    monkeypatch.chdir(tmp_path)
    first = work.commit()
    assert current_environment().commit == first
    second = work.commit()
    assert (current_environment().commit, current_environment().branch) == (second, "main")


def test_base_dir(tmp_path):
    """It stands in where the working directory is in no work tree."""
    work = WorkDir(tmp_path / "project")
    work.commit()
    (tmp_path / "outside").mkdir()
    for base in (work.path, str(work.path)):
        assert elsewhere(tmp_path / "outside", BASE_DIR=str(base))[1:] == (work.head, "main")


@pytest.mark.parametrize("base", [None, "", 7, "\0", "nowhere"])
def test_a_base_dir_of_no_use(tmp_path, base):
    """It is the project's to mean something else by it."""
    assert elsewhere(tmp_path, BASE_DIR=base)[1:] == ("", "")


def test_a_working_directory_that_is_gone(tmp_path):
    """As when another deployment has replaced it."""
    folder = tmp_path / "gone"
    folder.mkdir()
    found = elsewhere(folder, before=f"os.rmdir({str(folder)!r})", BASE_DIR=None)
    assert found[1:] == ("", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_user_without_a_name(tmp_path):
    """As in many a container: the number stands for it."""
    assert elsewhere(tmp_path, before="os.setuid(54321)")[0] == "54321"


def test_the_name_in_the_environment(tmp_path):
    """It comes before that of the user id, as everywhere in Python."""
    assert elsewhere(tmp_path, before="os.environ['LOGNAME'] = 'anna'")[0] == "anna"
