"""Runs of a project's commands, each in a process of its own, and what they take."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "CLOCKS",
    "Side",
    "Usage",
    "difference",
    "execute",
    "in_turn",
    "median",
    "ratio",
    "table",
    "versions",
]

#: Runs commands of Django in turn, as `manage.py` does.
COMMANDS = """
import json, sys
from django.core.management import execute_from_command_line
for command in json.loads(sys.argv[1]):
    execute_from_command_line(["manage.py", *command])
"""


@dataclass(frozen=True)
class Side:
    """One of those that are compared: what is installed beside the apps of the project."""

    name: str
    apps: tuple[str, ...] = ("django_rewind",)
    is_enabled: bool = True
    # What is imported before all that the interpreter would find.
    path: Path | None = None

    def environment(self, database: Mapping[str, object]) -> dict[str, str]:
        path = [str(self.path)] if self.path else []
        # Without bytecode every process would be measured as the first after an installation.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            "DJANGO_SETTINGS_MODULE": "settings",
            # The scripts themselves, and what whoever started them can import.
            "PYTHONPATH": os.pathsep.join([*path, *filter(None, sys.path)]),
            "BENCHMARK_DATABASE": json.dumps(database),
            "BENCHMARK_APPS": " ".join(self.apps),
            "BENCHMARK_ENABLED": str(int(self.is_enabled)),
        }


@dataclass(frozen=True)
class Usage:
    """What a process took, from its start to its end."""

    # Seconds on the clock on the wall, and of the processor.
    wall: float
    cpu: float
    # The most memory that it held, in bytes.
    peak: float
    output: str = ""


def execute(
    side: Side,
    folder: Path,
    database: Mapping[str, object],
    *commands: Sequence[str],
    code: str = COMMANDS,
    may_fail: bool = False,
) -> Usage:
    """
    Run commands of a project in one new process.

    Args:
        code: is run instead, with the commands as its argument.
        may_fail: whether an exit status other than 0 is an answer as well.
    """
    line = [sys.executable, "-c", code, json.dumps(commands)]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(line, cwd=folder, env=side.environment(database), stdout=output)
        # Of this process alone, and with what the interpreter takes to begin and to end.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    if process.returncode and not may_fail:
        raise SystemExit(f"{side.name}: {commands} has failed:\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit, said)


def in_turn(
    runs: int, sides: Mapping[str, Callable[[], Usage]], say: Callable[[str], None]
) -> dict[str, list[Usage]]:
    """
    Run the sides in turn, so that what else the machine does falls on all of them.

    The first round compiles the bytecode, and does not count.
    """
    found: dict[str, list[Usage]] = {name: [] for name in sides}
    for number in range(runs + 1):
        for name, run in sides.items():
            say(f"run {number} of {runs}, {name}")
            found[name].append(run())
    return {name: usages[1:] for name, usages in found.items()}


#: What is measured, with the attribute of `Usage`, its unit, and what that is divided by.
CLOCKS = (
    ("processor time", "cpu", "s", 1.0),
    ("time on the wall", "wall", "s", 1.0),
    ("peak of memory", "peak", "MB", 1e6),
)


def median(usages: Iterable[Usage], of: str) -> float:
    return statistics.median(_values(usages, of))


def ratio(ours: Iterable[Usage], theirs: Iterable[Usage], of: str) -> float:
    """Return the median of the ratios of neighbours: what the machine does changes more slowly than they do."""
    return statistics.median(one / other for one, other in zip(_values(ours, of), _values(theirs, of)))


def difference(ours: Iterable[Usage], theirs: Iterable[Usage], of: str) -> float:
    """Return the median of the differences of neighbours."""
    return statistics.median(one - other for one, other in zip(_values(ours, of), _values(theirs, of)))


def _values(usages: Iterable[Usage], of: str) -> list[float]:
    return [float(getattr(one, of)) for one in usages]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def versions() -> str:
    import sqlite3

    import django

    return (
        f"Django {django.get_version()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
