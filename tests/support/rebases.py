"""
Deploy what a branch has become to a database that the branch is applied to, and compare with Django.

The oracle is Django alone: a new database that is migrated with the files that are deployed, and the old files
unapplied before the new ones are applied.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.db.utils import ConnectionHandler

from tests.support.databases import Database, make_database
from tests.support.helpers import MANAGE, Project, Result
from tests.support.histories import History, Step, makes_sense, models_of, state_of

#: What the documentation recommends for a staging database that branches share.
STAGING = ("rewind", "--adopt", "--redo-modified", "--migrate", "--noinput", "--allow-data-loss")

RIGHT, REFUSED = "right", "rightly refused"
#: Django itself cannot migrate with these files: nothing to learn.
INVALID = "invalid"

FILL = """
import datetime
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader

def value(field, number, first):
    if isinstance(field, models.ForeignKey):
        found = list(field.remote_field.model.objects.order_by("pk").values_list("pk", flat=True)[:9])
        return found[number % len(found)] if found else None
    if isinstance(field, models.IntegerField):
        return first + number
    if isinstance(field, (models.CharField, models.TextField)):
        return f"v{first + number}"
    if isinstance(field, models.BooleanField):
        return bool(number % 2)
    return datetime.date(2020, 1, 1 + number)

def fill(first, nodes=None):
    loader = MigrationLoader(connection)
    nodes = nodes or [key for key in loader.graph.leaf_nodes() if key[0] in APPS]
    for model in loader.project_state(nodes).apps.get_models():
        for number in range(2):
            values = {
                field.name: value(field, number, first) for field in model._meta.concrete_fields if not field.auto_created
            }
            try:
                with transaction.atomic():
                    row = model.objects.create(**values)
                    for field in model._meta.many_to_many:
                        getattr(row, field.name).set(field.remote_field.model.objects.all()[:1])
            except Exception:
                pass
"""

PREPARE = """
from django.core.management import call_command
for app, name in {base!r}:
    call_command("migrate", app, name, verbosity=0)
if {rows!r}:
    fill(10_000, {base!r})
call_command("migrate", verbosity=0)
if {rows!r}:
    fill(20_000)
"""

BACK = """
from django.core.management import call_command
for app, name in {base!r}:
    call_command("migrate", app, name, verbosity=0)
"""

#: Rows that were there before the feature hold such values.
MARK = re.compile(r"v?100\d\d")


@dataclass(frozen=True)
class Outcome:
    kind: str
    detail: str = ""
    said: str = ""

    @property
    def is_right(self) -> bool:
        return self.kind in (RIGHT, REFUSED)

    @property
    def signature(self) -> str:
        """What tells this one from others, in a line."""
        text = re.sub(r"'[^']*'|\b\w+\.\d{4}_\w+|\d+", "_", self.detail)
        return f"{self.kind}: {text}" if text else self.kind


class Checkout:
    """The files of one commit, and the commands that run in it."""

    def __init__(self, folder: Path, history: History, steps: tuple[Step, ...]) -> None:
        self.folder = folder
        self.history = history
        state = state_of(steps)
        self._write("manage.py", MANAGE.replace('"settings"', 'os.environ["SETTINGS"]'))
        for app in history.apps:
            self._write(f"{app}/__init__.py", "")
            self._write(f"{app}/migrations/__init__.py", "")
            self._write(f"{app}/models.py", models_of(state, app))
        for step in steps:
            app, name = step.key
            self._write(f"{app}/migrations/{name}.py", step.text())

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def use(self, database: Database) -> None:
        for name, ours in (("settings", ["django_rewind"]), ("plain", [])):
            lines = {
                "SECRET_KEY": "a key of the story",
                "USE_TZ": True,
                "INSTALLED_APPS": [*ours, *self.history.apps],
                "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
                "DATABASES": {"default": database.settings},
            }
            self._write(f"{name}.py", "".join(f"{key} = {value!r}\n" for key, value in lines.items()))

    def run(self, *args: str, plain: bool = False) -> Result:
        return self._python(["manage.py", *args], plain=plain)

    def program(self, text: str, *, plain: bool = False) -> Result:
        start = "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = os.environ['SETTINGS']\n"
        start += f"import django\ndjango.setup()\nAPPS = {self.history.apps!r}\n"
        return self._python(["-c", start + text], plain=plain)

    def _python(self, args: list[str], *, plain: bool) -> Result:
        runner = _Runner(self.folder, "plain" if plain else "settings")
        return runner._run([runner.python, *args], tuple(args), stdin=subprocess.DEVNULL)


class _Runner(Project):
    """What a project needs to run a command, without the rest of one."""

    def __init__(self, path: Path, settings: str) -> None:
        self.path, self._settings = path, settings

    @property
    def python(self) -> str:
        import sys

        return sys.executable

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "SETTINGS": self._settings}


@dataclass(frozen=True)
class Picture:
    """What a database holds, but for what django-rewind keeps of its own."""

    schema: dict[str, object]
    records: frozenset[tuple[str, str]]
    rows: dict[str, list[dict[str, object]]]

    def marked(self) -> set[tuple[str, object, str, object]]:
        """Return the values of rows that were there before the feature."""
        return {
            (table, row["id"], column, value)
            for table, rows in self.rows.items()
            for row in rows
            for column, value in row.items()
            if "id" in row and MARK.fullmatch(str(value))
        }


def picture(database: Database) -> Picture:
    connection = ConnectionHandler({"default": {**database.settings}})["default"]
    try:
        with database.connected(), connection.cursor() as cursor:
            tables = sorted(name for name in database.tables() if not name.startswith("django_"))
            records = (
                database.execute("SELECT app, name FROM django_migrations")
                if "django_migrations" in database.tables()
                else []
            )
            columns = [
                (
                    table,
                    name,
                    kind,
                    null,
                    "" if default is None or "nextval" in str(default) else str(default),
                )
                for table, name, kind, null, default in database.execute(database.columns_sql)
                if table in tables
            ]
            schema: dict[str, object] = {"tables": tables, "columns": sorted(columns)}
            schema["constraints"] = sorted(
                (table, _described(name, one))
                for table in tables
                for name, one in connection.introspection.get_constraints(cursor, table).items()
            )
            rows = {}
            for table in tables:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                names = [column[0] for column in cursor.description]
                rows[table] = sorted((dict(zip(names, row)) for row in cursor.fetchall()), key=repr)
    finally:
        connection.close()
    kept = frozenset((app, name) for app, name in records if app != "django_rewind")
    return Picture(schema, kept, rows)


def _described(name: str, constraint: dict[str, object]) -> str:
    """Return what a constraint does, with its name where that was given and not made up."""
    kept = {
        key: value
        for key, value in constraint.items()
        if key in ("columns", "primary_key", "unique", "foreign_key", "check", "index", "type")
    }
    if constraint.get("primary_key"):
        kept["index"] = kept["unique"] = True
    return repr((name if re.match(r"(ix|uq)_", name) else "", sorted(kept.items())))


def difference(first: Picture, second: Picture) -> str:
    """Return what one has and the other has not, as text; nothing if there is none."""
    lines = []
    for key, value in first.schema.items():
        ours, theirs = list(map(str, value)), list(map(str, second.schema[key]))
        lines += [f"+ {key} {one}" for one in ours if ours.count(one) > theirs.count(one)]
        lines += [f"- {key} {one}" for one in theirs if theirs.count(one) > ours.count(one)]
    lines += [f"+ record {'.'.join(key)}" for key in sorted(first.records - second.records)]
    lines += [f"- record {'.'.join(key)}" for key in sorted(second.records - first.records)]
    return "\n".join(dict.fromkeys(lines))


def _short(result: Result) -> str:
    """Return what a command has said, with the end of its traceback alone."""
    begins, _, traceback = str(result).partition("Traceback (most recent call last):")
    return "\n".join([begins, "   ...", *traceback.splitlines()[-8:]])


class Trial:
    """One history, in a folder of its own."""

    def __init__(self, history: History, folder: Path) -> None:
        self.history, self.folder = history, folder
        self.old = Checkout(folder / "old", history, history.old)
        self.new = Checkout(folder / "new", history, history.rebased)
        self.databases: list[Database] = []
        replaced = {key for step in history.base for key in step.replaces}
        inner = {key for step in history.base for key in step.after}
        leaves = {step.key for step in history.base} - inner - replaced
        leaves |= {
            [step.key for step in history.base if step.app == app][-1]
            for app in history.apps
            if any(step.app == app for step in history.base)
        }
        with_base = {app for app, _ in leaves}
        self.base = sorted(leaves)
        self.start = [*self.base, *((app, "zero") for app in history.apps if app not in with_base)]

    def close(self) -> None:
        for database in self.databases:
            database.drop_now() if hasattr(database, "drop_now") else database.drop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def outcome(self, command: tuple[str, ...] = STAGING) -> Outcome:
        """
        Run the command, and say what came of it.

        One that rolls nothing back, as `migrate`, may refuse and may leave something: the one for
        a staging database is to finish what is left.
        """
        for steps in (self.history.old, self.history.rebased):
            if not makes_sense(steps):
                return Outcome(INVALID, "a name that is given twice")
        oracle = self._oracle()
        if oracle is None:
            return Outcome(INVALID, "the new files")
        database = self._prepared()
        if database is None:
            if self._prepared(plain=True):
                return Outcome("not applied at all", self.prepare_said.splitlines()[-3], self.prepare_said)
            return Outcome(INVALID, "the old files")
        self.oracle, self.finish = oracle, command if command[0] == "rewind" else STAGING
        before = picture(database)
        self.new.use(database)
        result = self.new.run(*command)
        if command != self.finish and not result.returncode:
            before = picture(database)
            result = self.new.run(*self.finish)
        after = picture(database)
        if "Traceback" in result.output and self._is_as_with_django_alone(command, result):
            return Outcome(REFUSED, "by Django", _short(result))
        if "Traceback" in result.output:
            return Outcome("traceback", result.stderr.strip().splitlines()[-1], _short(result))
        if result.returncode:
            return self._refused(database, result, before, after, may_refuse=command != STAGING)
        return self._went_through(result, after)

    # What Django does

    def _oracle(self) -> Picture | None:
        database = self._database()
        self.new.use(database)
        result = self.new.run("migrate", "--verbosity", "0", plain=True)
        return None if result.returncode else picture(database)

    def _reference(self) -> Picture | None:
        """Return what becomes of the database if somebody unapplies the old files by themselves first."""
        database = self._prepared()
        assert database is not None
        self.old.use(database)
        back = self.old.program(BACK.format(base=self.start), plain=True)
        if back.returncode:
            self.reference_said = str(back)
            return None
        self.new.use(database)
        result = self.new.run("migrate", "--verbosity", "0", plain=True)
        self.reference_said = str(result)
        return None if result.returncode else picture(database)

    def _is_as_with_django_alone(self, command: tuple[str, ...], result: Result) -> bool:
        """Say whether every file is there, as it was applied, and Django alone fails in the same way."""
        if command[0] != "migrate" or not set(self.history.old) <= set(self.history.rebased):
            return False
        database = self._prepared(plain=True)
        assert database is not None
        self.new.use(database)
        alone = self.new.run(*command, plain=True)
        return alone.stderr.strip().splitlines()[-1:] == result.stderr.strip().splitlines()[-1:]

    def _prepared(self, *, plain: bool = False) -> Database | None:
        """Return a database with the base, rows, the feature, and rows again."""
        database = self._database()
        self.old.use(database)
        text = FILL + PREPARE.format(base=self.base, rows=self.history.has_rows)
        result = self.old.program(text, plain=plain)
        if result.returncode:
            self.prepare_said = str(result)
            return None
        return database

    def _database(self) -> Database:
        database = make_database(self.folder / f"{len(self.databases)}.sqlite3")
        self.databases.append(database)
        return database

    # What it means

    def _went_through(self, result: Result, after: Picture) -> Outcome:
        wrong = difference(after, self.oracle)
        reference = self._reference() if wrong or self.history.has_rows else None
        if wrong and (reference is None or difference(after, reference)):
            if reference is not None:
                wrong += f"\nand Django's own way differs from the new database:\n{difference(reference, self.oracle)}"
            kind = "wrong schema" if "+ record" not in wrong and "- record" not in wrong else "wrong records"
            edited = "a file was edited in place" if "modified since it was applied" in result.output else ""
            return Outcome(kind, edited, f"{wrong}\n{result}")
        lost = reference.marked() - after.marked() if reference else set()
        if lost:
            return Outcome("lost rows", "", f"{sorted(lost, key=repr)}\n{result}")
        return Outcome(RIGHT, said=str(result))

    def _refused(
        self, database: Database, result: Result, before: Picture, after: Picture, *, may_refuse: bool
    ) -> Outcome:
        said = result.stderr.strip()
        detail = said.splitlines()[0] if said else "nothing is said"
        reference = self._reference()
        changed = difference(after, before)
        if changed:
            if reference is None and not result.stderr.startswith("CommandError"):
                return Outcome(REFUSED, detail, str(result))
            return Outcome(
                "half-done", detail, f"{changed}\n{result}\n{'' if reference else self.reference_said}"
            )
        way_out = self._advice(database, result)
        if reference is not None and not may_refuse:
            leads_out = way_out.endswith("leads out")
            kind = "wrong refusal, with advice that leads out" if leads_out else "wrong refusal"
            return Outcome(kind, detail, str(result) + way_out)
        if "circle" in way_out:
            return Outcome("circle", detail, str(result) + way_out)
        return Outcome(REFUSED, detail, str(result))

    def _advice(self, database: Database, result: Result) -> str:
        """Follow what an error advises, at most four times; return how that went."""
        story, tried = [], set()
        self.new.use(database)
        for _ in range(4):
            commands = re.findall(r"'manage\.py ([^']+)'", result.stderr)
            command = next((one for one in commands if one not in tried), None)
            if command is None:
                named = "circle" if commands else "no command is named"
                return "\n".join(["", *story, named])
            tried.add(command)
            words = command.split()
            if words[0] == "rewind" and not {"--plan", "--check"} & {*words}:
                words += [
                    word
                    for word in ("--noinput", "--allow-data-loss")
                    if word not in words and not ("--fake" in words and word == "--allow-data-loss")
                ]
            story.append(str(self.new.run(*words)))
            result = self.new.run(*self.finish)
            story.append(str(result))
            if not result.returncode:
                wrong = difference(picture(database), self.oracle)
                return "\n".join(
                    ["", *story, f"circle: a wrong end\n{wrong}" if wrong else "the advice leads out"]
                )
        return "\n".join(["", *story, "circle"])


def minimised(
    history: History,
    outcome: Outcome,
    attempt: Callable[[History], Outcome],
    candidates: Callable,
    tries: int = 200,
) -> tuple[History, Outcome]:
    """Return the smallest history that was found with the same outcome."""
    improved = True
    while improved and tries > 0:
        improved = False
        for candidate in candidates(history):
            tries -= 1
            if tries <= 0:
                break
            if candidate == history:
                continue
            found = attempt(candidate)
            if found.signature == outcome.signature:
                history, outcome, improved = candidate, found, True
                break
    return history, outcome
