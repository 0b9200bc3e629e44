"""
Measure what django-rewind costs: `migrate` from nothing, `migrate` with nothing to do, `check`, and going back.

The project is made for the purpose. The sides run in turn, each in a process of its own on a database of its
own. It needs Django and django-rewind, for PostgreSQL psycopg, and a system that tells what a process took
(Linux, macOS). The published version that is compared with is installed by pip into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from databases import KINDS, Databases
from process import CLOCKS, Side, Usage, difference, execute, in_turn, median, ratio, table, versions
from project import MixedProject

QUIETLY = ("--verbosity", "0")
PUBLISHED = "0.1.0"

ALONE = Side("Django alone", apps=())
#: Switched off, it brings its models and migrations like any app, and nothing else.
CONTROL = Side("switched off", is_enabled=False)
OURS = Side("django-rewind")


class Bench:
    """One project, the same with its files deleted, and a migrated database for each side."""

    def __init__(self, folder: Path, size: int, databases: Databases) -> None:
        self.databases = databases
        self.project = MixedProject(folder / "project", size)
        self.deleted = MixedProject(folder / "deleted", size)
        self.project.write()
        self.deleted.write()
        self.deleted.delete_all_but_the_first()
        self._migrated: set[str] = set()

    def migrate(self, side: Side) -> Usage:
        """Migrate an empty database."""
        database = self.databases.make(f"from_nothing_{_slug(side)}")
        return execute(side, self.project.folder, database, ("migrate", *QUIETLY))

    def nothing(self, side: Side) -> Usage:
        """Migrate where there is nothing to do."""
        return execute(side, self.project.folder, self._settings(side), ("migrate", *QUIETLY))

    def check(self, side: Side) -> Usage:
        return execute(side, self.project.folder, self._settings(side), ("check",))

    def back(self, side: Side, *, deleted: bool) -> Usage:
        """Go back to the first migration of each app, with the other files there or deleted."""
        project = self.deleted if deleted else self.project
        database = self.databases.make(f"back_{_slug(side)}_{deleted}", template=self._template(side))
        steps = [("migrate", app, names[0], *QUIETLY) for app, names in project.names.items()]
        usage = execute(side, project.folder, database, *steps)
        self._expect_all_undone(side, database)
        return usage

    def _expect_all_undone(self, side: Side, database: dict[str, object]) -> None:
        left = execute(side, self.project.folder, database, ("showmigrations", *self.project.apps)).output
        if left.count("[X]") != len(self.project.apps):
            raise SystemExit(f"{side.name} has not undone everything:\n{left}")

    def _settings(self, side: Side) -> dict[str, object]:
        return self.databases.settings(self._template(side))

    def _template(self, side: Side) -> str:
        name = f"migrated_{_slug(side)}"
        if name not in self._migrated:
            database = self.databases.make(name)
            execute(side, self.project.folder, database, ("migrate", *QUIETLY))
            self._migrated.add(name)
        return name

    def stored(self) -> dict[str, int]:
        """Return the rows and bytes in our tables on SQLite, and how much larger they make the database."""
        path = str(self._settings(OURS)["NAME"])
        other = str(self._settings(ALONE)["NAME"])
        code = "SELECT count(*), sum(length(source_code)), sum(length(metadata)) FROM django_migrations_code"
        contents = "SELECT count(*), sum(length(content)) FROM django_migrations_code_content"
        connection = sqlite3.connect(path)
        rows, texts, metadata = connection.execute(code).fetchone()
        carried, carried_bytes = connection.execute(contents).fetchone()
        connection.close()
        return {
            "migrations": rows,
            "bytes of text": texts,
            "bytes of metadata": metadata,
            "contents that they carry": carried,
            "bytes of those": carried_bytes,
            "bytes that the database is larger": Path(path).stat().st_size - Path(other).stat().st_size,
        }


def _slug(side: Side) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in side.name.lower())


Work = Callable[[], Usage]


def contests(bench: Bench, published: Side) -> dict[str, dict[str, Work]]:
    """Return what is measured; of each the last is ours."""
    sides = (ALONE, CONTROL, published, OURS)
    files_there = partial(bench.back, deleted=False)
    return {
        "migrate": {side.name: partial(bench.migrate, side) for side in sides},
        "nothing": {side.name: partial(bench.nothing, side) for side in sides},
        "check": {side.name: partial(bench.check, side) for side in sides},
        # The published version cannot undo what has no file.
        "back": {
            f"{ALONE.name}, files there": partial(files_there, ALONE),
            f"{CONTROL.name}, files there": partial(files_there, CONTROL),
            f"{OURS.name}, files there": partial(files_there, OURS),
            f"{OURS.name}, files deleted": partial(bench.back, OURS, deleted=True),
        },
    }


TITLES = {
    "migrate": "`migrate` from nothing",
    "nothing": "`migrate` with nothing to do",
    "check": "`check`",
    "back": "Back to the first migration of each app",
}


def report(name: str, found: dict[str, list[Usage]]) -> str:
    """Return what each side took, and by how much the last one differs from each other."""
    *others, ours = found
    rows = []
    for clock, of, unit, divisor in CLOCKS:
        medians = [f"{median(usages, of) / divisor:.3f} {unit}" for usages in found.values()]
        rows.append([clock, *medians])
        ratios = [f"{ratio(found[ours], found[other], of):.3f}" for other in others]
        rows.append([f"{ours} / this", *ratios, ""])
        differences = [
            f"{difference(found[ours], found[other], of) / divisor * 1000:+.1f} m{unit}" for other in others
        ]
        rows.append([f"{ours} - this", *differences, ""])
    return f"{TITLES[name]}\n\n{table(['', *found], rows).replace(' mMB', ' kB')}\n"


@contextmanager
def published_side() -> Iterator[Side]:
    """Have the published version where it is imported first."""
    with tempfile.TemporaryDirectory(prefix="rewind_published_") as folder:
        wanted = f"django-rewind=={PUBLISHED}"
        # Its limit on Django is lower than ours.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wanted]
        subprocess.run(pip, check=True)
        yield Side(f"version {PUBLISHED}", path=Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[[], *TITLES], help="all without one")
    parser.add_argument("--migrations", type=int, default=500, help="how many the project has")
    parser.add_argument("--runs", type=int, default=7, help="how often each side runs")
    parser.add_argument("--database", choices=sorted(KINDS), default="sqlite")
    parser.add_argument("--json", type=Path, help="write the single runs there")
    options = parser.parse_args()
    # Who ends it leaves no databases on a server either.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="rewind_benchmark_") as folder, published_side() as published:
        databases = KINDS[options.database](Path(folder))
        try:
            measure(options, Bench(Path(folder), options.migrations, databases), published)
        finally:
            databases.drop_all()


def measure(options: argparse.Namespace, bench: Bench, published: Side) -> None:
    print(f"{versions()}; {options.database}, {options.migrations} migrations, {options.runs} runs\n")
    singly = {}
    for name, contest in contests(bench, published).items():
        if options.what and name not in options.what:
            continue
        found = in_turn(options.runs, contest, say=partial(_say, name))
        singly[name] = {side: [asdict(usage) for usage in usages] for side, usages in found.items()}
        print(report(name, found), flush=True)
    if options.database == "sqlite":
        print(table(["stored", ""], [[name, f"{value:,}"] for name, value in bench.stored().items()]))
    if options.json:
        options.json.write_text(json.dumps(singly, indent=1), encoding="utf-8")


def _say(name: str, line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {line}\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
