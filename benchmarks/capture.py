"""
Measure what capture costs: a full `migrate` on SQLite with and without django-rewind.

The project is made for the purpose. Of its migrations a third import nothing but Django, a third import helper
modules and custom fields, and a third import `models.py` for callables; some read a file that lies beside
them. The sides run in turn, each in a process of its own on a database of its own, so that what else the
machine does falls on all of them. It needs Django and django-rewind, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

APPS = ("shop", "stock", "staff")

SETTINGS = """
import os

SECRET_KEY = "a key of the benchmark"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCHMARK_DATABASE"]}}
INSTALLED_APPS = [*os.environ["BENCHMARK_APPS"].split(), "shop", "stock", "staff"]
DJANGO_REWIND_ENABLED = os.environ["BENCHMARK_ENABLED"] == "1"
# That it is switched off, where it is.
SILENCED_SYSTEM_CHECKS = ["django_rewind.W002"]
"""

# Runs the command and reports what only the process itself knows.
RUN = """
import json, sys, time
started = time.perf_counter()
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "migrate", "--verbosity", "0"])
print(json.dumps({"wall": time.perf_counter() - started, "cpu": time.process_time()}))
"""

MIGRATION = """
from django.db import migrations, models
{header}

class Migration(migrations.Migration):
    dependencies = {dependencies!r}
    operations = [
{operations}
    ]
"""

FIELDS = '''
"""Fields of our own, with what they are checked with."""

from django.db import models

from shop.checks import is_code


class CodeField(models.CharField):
    """A code that is checked."""

    default_validators = [is_code]

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_length", 20)
        super().__init__(*args, **kwargs)
'''

CHECKS = '''
"""What codes have to look like."""

from django.core.exceptions import ValidationError


def is_code(value):
    if not value.isalnum():
        raise ValidationError("%(value)s is no code", params={"value": value})
'''

HELPERS = '''
"""What migrations do to rows."""

from shop.checks import is_code


def tidy(apps, schema_editor, model):
    for row in apps.get_model(model).objects.all():
        is_code(row.name)
        row.save()


def leave(apps, schema_editor):
    pass
'''

ITEM = '''
class Item{number}(models.Model):
    """One of many, as long as models are."""

    class Status(models.TextChoices):
        NEW = "new"
        SENT = "sent"

    name = models.CharField(max_length=20, default=name_of_{number})
    file = models.CharField(max_length=200, default=place_of_{number})
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.NEW)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return f"{{self.name}} ({{self.status}})"

    def is_sent(self):
        return self.status == self.Status.SENT


def name_of_{number}():
    return PREFIX + "{number}"


def place_of_{number}():
    return f"{{PREFIX}}/{number}/{{date.today():%Y}}"
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--migrations", type=int, default=300, help="how many the project has")
    parser.add_argument("--runs", type=int, default=7, help="how often each side runs")
    parser.add_argument("--json", action="store_true", help="print the single runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rewind_benchmark_") as folder:
        project = Project(Path(folder), options.migrations)
        project.write()
        # The bytecode of the project is compiled by runs that do not count.
        for side in SIDES:
            project.migrate(side)
        runs = [{side: project.migrate(side) for side in SIDES} for _ in range(options.runs)]
        stored = project.stored()
    if options.json:
        print(json.dumps({"runs": runs, "stored": stored}, indent=1))
    report(runs, stored, options.migrations)


#: Switched off, it brings its models and migrations like any app, and nothing else.
SIDES = {
    "without": {},
    "off": {"BENCHMARK_APPS": "django_rewind", "BENCHMARK_ENABLED": "0"},
    "with": {"BENCHMARK_APPS": "django_rewind"},
}


class Project:
    """A project with some hundred migrations in three apps."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    # Writing ----------------------------------------------------------------

    def write(self) -> None:
        self._file("settings.py", SETTINGS)
        for app in APPS:
            self._file(f"{app}/__init__.py", "")
            self._file(f"{app}/migrations/__init__.py", "")
            self._file(f"{app}/models.py", "".join(_models(self.size // 10)))
        self._file("shop/fields.py", FIELDS)
        self._file("shop/checks.py", CHECKS)
        for number in range(self.size // 10):
            self._file(f"shop/helpers{number}.py", HELPERS + f"\n\nNUMBER = {number}\n")
        last: dict[str, str] = {}
        for number in range(self.size):
            self._write_migration(APPS[number // 3 % len(APPS)], number, last)

    def _write_migration(self, app: str, number: int, last: dict[str, str]) -> None:
        kind = (self._plain, self._with_helpers, self._with_models)[number % 3]
        name = f"{number:04}_{kind.__name__.strip('_')}"
        header, operations = kind(app, number)
        if number % 10 == 0:
            self._file(f"{app}/migrations/{name}.sql", f"SELECT {number} -- read by {name}\n")
            header += "from pathlib import Path\nSQL = Path(__file__).with_suffix('.sql').read_text()\n"
            operations.append("migrations.RunSQL(SQL, migrations.RunSQL.noop)")
        lines = indent(",\n".join(operations) + ",", " " * 8)
        dependencies = [(app, last[app])] if app in last else []
        text = MIGRATION.format(header=header, dependencies=dependencies, operations=lines)
        self._file(f"{app}/migrations/{name}.py", text)
        last[app] = name

    def _plain(self, app: str, number: int) -> tuple[str, list[str]]:
        fields = "('id', models.AutoField(primary_key=True)), ('name', models.CharField(max_length=20))"
        return "", [
            f"migrations.CreateModel('Thing{number}', [{fields}])",
            f"migrations.AddField('thing{number}', 'price', models.IntegerField(default=0))",
        ]

    def _with_helpers(self, app: str, number: int) -> tuple[str, list[str]]:
        helpers = f"shop.helpers{number // 3 % (self.size // 10)}"
        header = f"""
            import shop.fields
            from {helpers} import leave, tidy

            def forwards(apps, schema_editor):
                tidy(apps, schema_editor, "{app}.Thing{number - 1}")
        """
        return dedent(header), [
            f"migrations.AddField('thing{number - 1}', 'code', shop.fields.CodeField(null=True))",
            "migrations.RunPython(forwards, leave)",
        ]

    def _with_models(self, app: str, number: int) -> tuple[str, list[str]]:
        item = number // 3 % (self.size // 10)
        field = f"models.CharField(max_length=200, null=True, default={app}.models.place_of_{item})"
        return f"import {app}.models\n", [
            f"migrations.AddField('thing{number - 2}', 'place', {field})",
        ]

    def _file(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")

    # Running ----------------------------------------------------------------

    def migrate(self, side: str) -> dict[str, float]:
        """Migrate an empty database and return the seconds that this took."""
        database = self.folder / f"{side}.sqlite3"
        database.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "BENCHMARK_DATABASE": str(database),
            "BENCHMARK_APPS": "",
            "BENCHMARK_ENABLED": "1",
            **SIDES[side],
        }
        command = [sys.executable, "-c", RUN]
        done = subprocess.run(command, cwd=self.folder, env=environment, check=True, stdout=subprocess.PIPE)
        seconds: dict[str, float] = json.loads(done.stdout)
        return seconds

    def stored(self) -> dict[str, int]:
        """Return the rows and bytes in our tables, and the bytes of the databases."""
        sizes = {side: (self.folder / f"{side}.sqlite3").stat().st_size for side in SIDES}
        database = sqlite3.connect(self.folder / "with.sqlite3")
        code = "SELECT count(*), sum(length(source_code)), sum(length(metadata)) FROM django_migrations_code"
        contents = "SELECT count(*), sum(length(content)) FROM django_migrations_code_content"
        with database:
            rows, texts, metadata = database.execute(code).fetchone()
            carried, carried_bytes = database.execute(contents).fetchone()
        database.close()
        return {
            "migrations": rows,
            "bytes of text": texts,
            "bytes of metadata": metadata,
            "contents that they carry": carried,
            "bytes of those": carried_bytes,
            "bytes that the database is larger": sizes["with"] - sizes["without"],
        }


def _models(number: int) -> Iterator[str]:
    yield 'from datetime import date\n\nfrom django.db import models\n\nPREFIX = "item"\n'
    for one in range(number):
        # What a default names stands above it.
        model, *functions = ITEM.format(number=one).split("\n\n\n")
        yield "\n\n" + "\n\n\n".join([*functions, model.strip()]).strip() + "\n"


def report(runs: list[dict[str, dict[str, float]]], stored: dict[str, int], size: int) -> None:
    import django

    print(
        f"Django {django.get_version()}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}; {size} migrations, {len(runs)} runs on each side\n"
    )
    print("| `migrate` from nothing, median | without | switched off | with | with / without | with / off |")
    print("|---|---|---|---|---|---|")
    for clock, name in (("wall", "seconds"), ("cpu", "seconds of processor time")):
        medians = [statistics.median(run[side][clock] for run in runs) for side in SIDES]
        # Of neighbours: what the machine does meanwhile changes more slowly than they do.
        ratios = [
            statistics.median(run["with"][clock] / run[side][clock] for run in runs)
            for side in ("without", "off")
        ]
        cells = [f"{median:.2f}" for median in medians] + [f"{ratio:.3f}" for ratio in ratios]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| stored | |\n|---|---|")
    for name, value in stored.items():
        print(f"| {name} | {value:,} |")


if __name__ == "__main__":
    main()
