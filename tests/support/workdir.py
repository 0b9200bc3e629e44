"""A throw-away git work tree, in which every commit has a time of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class WorkDir:
    """Commits are a minute apart: `at` is the time of the last one."""

    START = 1_600_000_000

    def __init__(self, path: Path, *, start: bool = True) -> None:
        self.path = path
        self.at = self.START
        path.mkdir(parents=True, exist_ok=True)
        if start:
            self.git("init", "--quiet", "--template=")
            self.git("symbolic-ref", "HEAD", "refs/heads/main")
            self.settle()

    def settle(self) -> WorkDir:
        """Have git ask nothing of the machine that it is on."""
        for name, value in {
            "user.name": "Test",
            "user.email": "test@example.com",
            "commit.gpgsign": "false",
            "core.autocrlf": "false",
            "protocol.file.allow": "always",
        }.items():
            self.git("config", name, value)
        return self

    def git(self, *args: str) -> str:
        when = f"{self.at} +0000"
        environment = {**os.environ, "GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when}
        command = ["git", "-c", "protocol.file.allow=always", *args]
        done = subprocess.run(command, cwd=self.path, env=environment, check=True, capture_output=True)
        return os.fsdecode(done.stdout).strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self, *args: str, **files: str | bytes) -> str:
        """Write the files, commit everything, and return the hash."""
        for name, content in files.items():
            self.write(name, content)
        self.at += 60
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "Work", *args)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        self.git("checkout", "--quiet", "-b", name)

    def switch(self, name: str) -> None:
        self.git("checkout", "--quiet", name)
