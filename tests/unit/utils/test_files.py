"""Files are read if they are files, and written all or none."""

from __future__ import annotations

import os

import pytest

from django_rewind.utils.files import NotAFile, is_special, read_file, write_all


def test_only_a_file_is_read(tmp_path):
    """Nobody waits for a pipe, and no device is read without end."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.mkfifo(tmp_path / "pipe")

    assert read_file(path) == b"content"
    assert read_file(path, 4) == b"cont"
    for other in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match=r"regular file|directory"):
            read_file(other)
    with pytest.raises(NotAFile):
        read_file(tmp_path / "pipe")
    assert is_special(tmp_path / "pipe")
    assert is_special("/dev/zero")
    assert not is_special(tmp_path)
    assert not is_special(path)
    assert not is_special(tmp_path / "nothing")


def test_two_names_of_one_file(tmp_path):
    """Where two names are one file, as where upper and lower case are the same, nothing is written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")

    with pytest.raises(FileExistsError):
        write_all({tmp_path / "folder" / "a.py": b"one", tmp_path / "link" / "a.py": b"two"})

    assert list((tmp_path / "folder").iterdir()) == []
