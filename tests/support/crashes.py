"""
Kill the processes of a story at exactly the moment that is asked for.

The settings of the project count what its connections do: every statement before it is executed, and
every commit before and after it. At the number that stands in a file the process kills itself with
SIGKILL, which nothing in it can catch or clean up after.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.helpers import Project, Result

#: With this set to 1 every moment is tried; otherwise a dozen that are spread over the run.
EVERY = "REWIND_EVERY_CRASH"

COUNTING = """
import atexit
import os
import signal
from pathlib import Path

from django.db.backends.signals import connection_created


class Countdown:
    def __init__(self, folder):
        self.passed = 0
        self.last = int((folder / "kill_at").read_text())
        atexit.register(lambda: (folder / "moments").write_text(str(self.passed)))

    def moment(self):
        self.passed += 1
        if self.passed == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, execute, sql, params, many, context):
        self.moment()
        return execute(sql, params, many, context)

    def watch(self, connection, **kwargs):
        if self.statement in connection.execute_wrappers:
            return
        connection.execute_wrappers.append(self.statement)
        commit = connection._commit

        def counted():
            self.moment()
            commit()
            self.moment()

        connection._commit = counted


folder = Path(__file__).parent
if (folder / "kill_at").exists():
    countdown = Countdown(folder)
    connection_created.connect(countdown.watch, weak=False)
"""


@dataclass(frozen=True)
class Crash:
    """A project whose process was killed at the given moment."""

    moment: int
    project: Project
    result: Result

    def __str__(self) -> str:
        return f"killed at moment {self.moment}\n{self.result}"


def moments(template: Project, path: Path, *command: str) -> list[int]:
    """Return the moments of a command at which to kill it, by running it to its end once."""
    project = Project.copy_of(template, path)
    try:
        _arm(project, 0)
        project.manage(*command)
        total = int(project.read("moments"))
    finally:
        project.close()
    step = 1 if os.environ.get(EVERY) == "1" else max(1, total // 12)
    at = list(range(1, total + 1, step))
    # `pytest -rP` shows it.
    sys.stdout.write(f"{' '.join(command)}: killed at {len(at)} of {total} moments\n")
    return at


def crashes(template: Project, path: Path, at: list[int], *command: str) -> Iterator[Crash]:
    """Kill the command once at each of these moments, each time in a project of its own."""
    for moment in at:
        project = Project.copy_of(template, path / str(moment))
        try:
            _arm(project, moment)
            result = project.attempt(*command)
            assert result.returncode == -9, f"not killed at moment {moment}: {result}"
            project.delete("kill_at")
            yield Crash(moment, project, result)
        finally:
            project.close()


def _arm(project: Project, moment: int) -> None:
    project.configure(raw=COUNTING)
    project.write("kill_at", str(moment))
