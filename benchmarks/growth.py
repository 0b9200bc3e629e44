"""
Measure how `show_stored_migrations` and `verify_migrations` grow with what is stored.

The projects are made for the purpose: apps with twenty migrations each, all of them stored; in one app of ten the
last file is deleted and the one before it edited. Each command runs in a process of its own, in turn with Django's
`showmigrations`, which reads the same files. It needs Django and django-rewind, and Linux or macOS.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from databases import SQLite
from process import Side, Usage, execute, in_turn, median, table, versions
from project import LargeProject

EACH = 20
OURS = Side("django-rewind")
#: Of Django first: what the others take beside it is ours.
COMMANDS = ("showmigrations", "show_stored_migrations", "verify_migrations")
STORE = (
    "from project import record_and_store; import django; django.setup(); record_and_store('django_rewind')"
)


def grown(folder: Path, size: int, runs: int) -> dict[str, list[Usage]]:
    """Return what each command took with so many migrations stored."""
    databases = SQLite(folder)
    project = LargeProject(folder / "project", max(size // EACH, 1), EACH)
    project.write()
    database = databases.make("large")
    execute(OURS, project.folder, database, code=STORE)
    project.spoil()

    def run(command: str) -> Usage:
        # Edited files are what `verify_migrations` exits with 1 for.
        return execute(OURS, project.folder, database, (command,), may_fail=command == "verify_migrations")

    return in_turn(runs, {name: partial(run, name) for name in COMMANDS}, say=lambda line: None)


def report(found: dict[int, dict[str, list[Usage]]]) -> str:
    rows = []
    for size, usages in found.items():
        for name in COMMANDS:
            cpu, peak = median(usages[name], "cpu"), median(usages[name], "peak") / 1e6
            more_cpu = cpu - median(usages[COMMANDS[0]], "cpu")
            more_peak = peak - median(usages[COMMANDS[0]], "peak") / 1e6
            cells = [f"{cpu:.2f}", f"{more_cpu / size * 1000:.2f}", f"{peak:.0f}", f"{more_peak:.0f}"]
            rows.append([f"{size:,}", f"`{name}`", *cells])
    head = [
        "stored",
        "command",
        "seconds of processor time",
        "ms for each, beside Django's",
        "MB",
        "MB beside Django's",
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument(
        "sizes", nargs="*", type=int, default=[1_000, 3_000, 10_000], help="how many are stored"
    )
    parser.add_argument("--runs", type=int, default=3, help="how often each command runs")
    options = parser.parse_args()
    print(f"{versions()}; {options.runs} runs\n")
    found = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="rewind_benchmark_") as folder:
            found[size] = grown(Path(folder), size, options.runs)
    print(report(found))


if __name__ == "__main__":
    main()
