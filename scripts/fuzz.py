"""
Put bad input into our own tables, and see that every command takes it.

    python scripts/fuzz.py --minutes 5
    DJANGO_SETTINGS_MODULE=tests.settings.postgresql python scripts/fuzz.py --minutes 5

It makes a project with migrations whose files are gone, alters a stored row of it, half the time
signed with the key, and runs the commands on a copy of the database, each row in a process of its own with limits.
Wrong is what is no error by name, what takes too long or too much, what was executed and must not be, what sends
control characters to a terminal, and what harms other migrations. What is wrong is counted, and printed
with the seed that brings it back: `--seed 1234 --rows 1`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from _seeds import parser, seeds

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

# The tests are not typed; the path comes first.
hostile = import_module("tests.support.hostile")

SECONDS = 5.0
MEGABYTES = 300
CODE = "django_migrations_code"
TARGETS = [("shop", "0002_price"), ("crib", "0001_initial")]
NEIGHBOUR = ("depot", "0002_shelf")


# The project ---------------------------------------------------------------------


def make_project(path: Path) -> Any:
    """Return a project in which migrations are missing, edited, and carry modules and files."""
    helpers = import_module("tests.support.helpers")
    add, create, python = helpers.add, helpers.create, helpers.python
    project = helpers.Project(path)
    for app, model in (("shop", "Product"), ("depot", "Room"), ("crib", "Child")):
        project.app(app, f"class {model}(models.Model):\n    name = models.CharField(max_length=50)\n")
    project.write("crib/helpers.py", "def forward(apps, editor):\n    pass\n")
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    project.migration("depot.0001_initial", create("Room", name="CharField(max_length=50)"))
    project.migration(
        "crib.0001_initial",
        create("Child", name="CharField(max_length=50)"),
        python("helpers.forward", "helpers.forward"),
        header="from crib import helpers",
    )
    with project.on_branch("feature"):
        price = add("product", "price", "IntegerField(default=7)")
        project.migration("shop.0002_price", price, after="0001_initial")
        project.migration(
            "depot.0002_shelf", add("room", "shelf", "IntegerField(default=7)"), after="0001_initial"
        )
        project.manage("migrate")
    project.write("crib/helpers.py", "def forward(apps, editor):\n    print()\n")
    return project


# Rows ----------------------------------------------------------------------------


class Rows:
    """Makes bad rows out of good ones, the same ones for the same seed."""

    def __init__(self, good: dict[tuple[str, str], dict[str, Any]]) -> None:
        self.good = good
        self.texts = list(hostile.TEXTS.values())
        self.gigantic = list(hostile.GIGANTIC.values())
        self.metadata = {
            key: list(hostile.variants(row["metadata"]).values())
            for key, row in good.items()
            if key in TARGETS
        }

    def one(self, seed: int) -> tuple[dict[str, Any], tuple[str, str], bool]:
        """Return a bad row, which row it replaces, and whether it is to be signed."""
        self.random = random.Random(seed)
        key = self.random.choice(TARGETS)
        row = dict(self.good[key])
        for change in self.random.choices(
            [self._text, self._metadata, self._name, self._column, self._module], [6, 6, 2, 2, 1], k=1
        ) * self.random.choice([1, 1, 1, 2]):
            change(key, row)
        return row, key, self.random.random() < 0.6

    def _text(self, key: tuple[str, str], row: dict[str, Any]) -> None:
        kind = self.random.random()
        if kind < 0.01:
            row["source_code"] = self.random.choice(self.gigantic)()
        elif kind < 0.3:
            row["source_code"] = self.random.choice(self.texts)
        elif kind < 0.6:
            row["source_code"] = self._grammar()
        else:
            row["source_code"] = self._spliced(row["source_code"])

    def _metadata(self, key: tuple[str, str], row: dict[str, Any]) -> None:
        kind = self.random.random()
        if kind < 0.4:
            row["metadata"] = self.random.choice(self.metadata[key])
        elif kind < 0.8:
            data = json.loads(row["metadata"])
            for _ in range(self.random.randint(1, 3)):
                data = self._altered(data)
            row["metadata"] = json.dumps(data)
        else:
            row["metadata"] = self._spliced(row["metadata"])

    def _name(self, key: tuple[str, str], row: dict[str, Any]) -> None:
        if row["app_label"] == "crib":
            # Its file is on disk: Django would apply that.
            return
        row["migration_name"] = self.random.choice(hostile.NAMES)
        if self.random.random() < 0.3:
            row["app_label"] = self.random.choice(hostile.NAMES)

    def _module(self, key: tuple[str, str], row: dict[str, Any]) -> None:
        row["module"] = self.random.choice([*hostile.PATHS, *hostile.NAMES])[:255]

    def _column(self, key: tuple[str, str], row: dict[str, Any]) -> None:
        column = self.random.choice(
            [name for name in row if name not in ("id", "app_label", "migration_name")]
        )
        row[column] = self.random.choice(
            [value for value in hostile.VALUES if value is None or isinstance(value, (int, float, str, bool))]
            + [
                b"\xff\xfe\x00",
                b"",
                "infinity",
                "0000-00-00 00:00:00",
                "9999-12-31 23:59:59.999999",
                "x" * 64,
            ]
        )

    def _spliced(self, text: str) -> str:
        """Return a text with some of it flipped, cut out, doubled or put elsewhere."""
        data = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(self.random.randint(1, 6)):
            place = self.random.randrange(len(data) + 1)
            end = min(len(data), place + self.random.randint(1, 40))
            kind = self.random.randrange(5)
            if kind == 0 and place < len(data):
                data[place] ^= 1 << self.random.randrange(8)
            elif kind == 1:
                del data[place:end]
            elif kind == 2:
                data[place:place] = data[place:end] * self.random.choice([1, 2, 100])
            elif kind == 3:
                data[place:place] = bytes(self.random.choices(range(256), k=4))
            else:
                data[place:end] = self.random.choice(TOKENS).encode()
        return data.decode("utf-8", self.random.choice(["replace", "surrogateescape", "ignore"]))

    def _grammar(self) -> str:
        """Return a migration with operations that are put together at random."""
        listed = ", ".join(self._operation(3) for _ in range(self.random.randint(0, 4)))
        attribute = self.random.choice(
            [
                "",
                "",
                f"dependencies = {self._value(3)}",
                f"atomic = {self._value(2)}",
                f"replaces = {self._value(3)}",
            ]
        )
        return str(hostile.migration(listed, attribute=attribute, head="from django.conf import settings\n"))

    def _operation(self, depth: int) -> str:
        name = self.random.choice(OPERATIONS)
        arguments = [self._value(depth) for _ in range(self.random.randint(0, 3))]
        arguments += [
            f"{self.random.choice(WORDS)}={self._value(depth)}" for _ in range(self.random.randint(0, 2))
        ]
        return f"migrations.{name}({', '.join(arguments)})"

    def _value(self, depth: int) -> str:
        kind = self.random.random()
        if depth and kind < 0.2:
            return f"[{', '.join(self._value(depth - 1) for _ in range(self.random.randint(0, 3)))}]"
        if depth and kind < 0.3:
            return f"({self._value(depth - 1)}, {self._value(depth - 1)})"
        if depth and kind < 0.35:
            return f"{{{self._value(depth - 1)}: {self._value(depth - 1)}}}"
        if depth and kind < 0.5:
            return (
                f"models.{self.random.choice(FIELDS)}({self.random.choice(WORDS)}={self._value(depth - 1)})"
            )
        if depth and kind < 0.55:
            return self._operation(depth - 1)
        if kind < 0.6:
            return str(self.random.choice(list(hostile.EXPRESSIONS.values())))
        if kind < 0.7:
            return repr(self.random.choice(hostile.NAMES))
        return self.random.choice(
            ["'product'", "'Product'", "'price'", "'shop.Product'", "1", "None", "True", "x"]
        )

    def _altered(self, data: Any) -> Any:
        """Return JSON with one value somewhere in it replaced, removed or doubled."""
        if isinstance(data, dict) and data and self.random.random() < 0.9:
            name = self.random.choice(list(data))
            kind = self.random.random()
            if kind < 0.1:
                return {other: value for other, value in data.items() if other != name}
            if kind < 0.15:
                return {**data, self.random.choice(hostile.NAMES): data[name]}
            return {**data, name: self._altered(data[name])}
        if isinstance(data, list) and data and self.random.random() < 0.8:
            place = self.random.randrange(len(data))
            kind = self.random.random()
            if kind < 0.2:
                return data[:place] + data[place + 1 :]
            if kind < 0.3:
                return data + [data[place]] * self.random.choice([1, 1000])
            return [self._altered(one) if n == place else one for n, one in enumerate(data)]
        return self.random.choice([*hostile.VALUES, *([one] for one in hostile.EFFECTS)])


TOKENS = ["(", ")", "[", "'", '"""', "\n", "\\", "class ", "Migration", "operations", "migrations.", "models.", "#", "\0",
          "\x1b[31m", "lambda: ", "*", "**", "9" * 20, "import os\n", "{", "}", ":", ",", "null", "NaN", "1e999", "[[]]"]  # fmt: skip
OPERATIONS = ["CreateModel", "AddField", "AlterField", "RemoveField", "RenameField", "RenameModel", "DeleteModel",
              "AlterModelTable", "AlterModelOptions", "AddIndex", "RunSQL", "RunPython", "SeparateDatabaseAndState",
              "AlterUniqueTogether", "AddConstraint", "Nothing"]  # fmt: skip
FIELDS = ["CharField", "IntegerField", "ForeignKey", "ManyToManyField", "DecimalField", "Index", "UniqueConstraint", "Q",
          "F", "Value", "JSONField", "FileField", "Nothing", "Model", "functions.Now"]  # fmt: skip
WORDS = ["name", "model_name", "field", "fields", "options", "bases", "default", "to", "through", "db_column", "db_table",
         "max_length", "sql", "reverse_sql", "code", "reverse_code", "database_operations", "state_operations", "null"]  # fmt: skip


# One row, in a process of its own ---------------------------------------------------


SHOWING = [
    ("show_stored_migrations",),
    ("show_stored_migrations", "--format", "json"),
    ("migrate", "--plan"),
    ("migrate", "shop", "0001", "--plan"),
    ("rewind", "--plan"),
    ("rewind", "--plan", "--format", "json"),
    ("rewind", "shop", "0001", "--plan"),
    ("check", "--database", "default"),
    ("restore_migrations", "--dry-run"),
    ("backfill_migration_code", "--dry-run"),
    ("backfill_migration_code", "--from-git", "--dry-run"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Trial:
    """What the commands make of one bad row."""

    def __init__(self, row: dict[str, Any], key: tuple[str, str], *, signed: bool, folder: Path) -> None:
        self.row, self.key, self.signed, self.folder = row, key, signed, folder
        self.wrong: list[str] = []
        # Takes the name of each command before it begins.
        self.says: Any = None
        self.executed: list[str] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith("<stored "):
            self.executed.append(arguments[0].co_filename)

    def run(self) -> list[str]:
        """Run every command, and return what is wrong."""
        app, name = str(self.row["app_label"]), str(self.row["migration_name"])
        for command in (*SHOWING, ("show_stored_migrations", "--source", app, name)):
            self._shows(*command)
        for command in (
            ("migrate",),
            ("verify_migrations", "--diff"),
            ("verify_migrations", "--format", "json"),
            ("show_stored_migrations",),
            ("restore_migrations", "--output", str(self.folder / "out" / "here")),
        ):
            self._try(*command)
        self._check_files()
        self._check_neighbour()
        self._try("migrate", "shop", "0001", "--noinput")
        self._try("rewind", "--noinput")
        self._try("migrate", "--noinput")
        if not self.signed and any(not self._is_of_neighbour(one) for one in self.executed):
            self.wrong.append(f"executed without a signature: {self.executed}")
        return self.wrong

    def _is_of_neighbour(self, filename: str) -> bool:
        """Say whether what was executed is a good row, or what goes with one."""
        own = {f"{self.key[0]}.migrations.{self.key[1]}", f"{self.key[0]}.helpers", self.row["module"]}
        return filename.split(" ")[1] not in own

    def _shows(self, *command: str) -> None:
        self.executed.clear()
        self._try(*command)
        if self.executed:
            self.wrong.append(f"{' '.join(command)} has executed {self.executed}")

    def _try(self, *command: str) -> bool:
        from django.core.management import CommandError, call_command

        self.says(command)
        out, err = Terminal(), Terminal()
        began = time.monotonic()
        said = ""
        try:
            call_command(*command, stdout=out, stderr=err, no_color=True)
            went_well = True
        except (CommandError, SystemExit) as error:
            said, went_well = str(error), False
        except BaseException as error:  # noqa: BLE001 (that is what is looked for)
            went_well = False
            self.wrong.append(f"{command[0]}: {_signature(error)}")
        took = time.monotonic() - began
        if took > SECONDS:
            self.wrong.append(f"{command[0]} takes too long")
        text = re.sub(r"\r(Verifying \d+ of \d+)", r"\1", out.getvalue() + err.getvalue() + said)
        found = re.search(hostile.CONTROL, text)
        if found:
            where = text[max(0, found.start() - 40) : found.end() + 10]
            self.wrong.append(f"{command[0]} prints a control character\n      {where!r}")
        return went_well

    def _check_files(self) -> None:
        for path in self.folder.rglob("*"):
            if "escaped" in path.name and (self.folder / "out" / "here") not in path.parents:
                self.wrong.append(f"{path} was written")
        if Path("/tmp/escaped.py").exists() or Path("/tmp/escaped").exists():
            self.wrong.append("/tmp/escaped was written")

    def _check_neighbour(self) -> None:
        """Another migration that is missing is undone as ever."""
        from django.db import connection

        went_well = self._try("rewind", "depot", "0001", "--noinput")
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, "depot_room")
        if not self.signed and (not went_well or "shelf" in {column.name for column in columns}):
            self.wrong.append("the neighbour is not undone")


def _signature(error: BaseException) -> str:
    """Return where an error comes from, in as few words as tell it from others."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "django_rewind" in one.filename]
    where = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames[-2:]]
    detail = re.sub(r"\s+", " ", str(error))[:100] if not isinstance(error, RecursionError) else ""
    return f"{type(error).__name__} in {' < '.join(reversed(where)) or 'Django'}: {detail}"


# All rows --------------------------------------------------------------------------


class Campaign:
    """The side that makes rows, starts a process for each, and counts."""

    def __init__(self, project: Path) -> None:
        os.chdir(project)
        import django

        django.setup()
        from django.conf import settings

        kinds = import_module("tests.support.databases").KINDS
        configured = settings.DATABASES["default"]
        self.kind = kinds[configured["ENGINE"].rpartition(".")[2]]
        self.configured = configured
        self.template = self.kind({**configured})
        self.folder = project / "trials"
        self.rows = Rows(self._good())
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, int] = {}

    def _good(self) -> dict[tuple[str, str], dict[str, Any]]:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {CODE}")
            names = [column[0] for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        connection.close()
        return {(row["app_label"], row["migration_name"]): row for row in rows}

    def try_row(self, seed: int, *, say: bool = False) -> None:
        row, key, signed = self.rows.one(seed)
        if signed:
            sign(row)
        # What was altered need not be what a signature covers.
        signed = verifies(row)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        database = self._copy()
        try:
            if not self._put(database, row, key):
                self.counts["not taken by the database"] += 1
                return
            wrong = self._in_process(database, row, key, signed=signed)
        finally:
            database.drop()
        self.counts["signed" if signed else "unsigned"] += 1
        if say:
            print({name: str(value)[:300] for name, value in row.items()}, wrong)
        for one in dict.fromkeys(wrong):
            first = one.partition("\n")[0]
            name = re.sub(r"\d+ MB|: .*[0-9'\"].*$", "", first)
            if name not in self.examples:
                self.examples[name] = seed
                print(f"WRONG (seed {seed}, {'signed' if signed else 'unsigned'}): {one}", flush=True)
            self.counts[f"WRONG {name}"] += 1

    def _copy(self) -> Any:
        from django.db import connection

        connection.close()
        name = str(self.folder / "db.sqlite3") if self.kind.vendor == "sqlite" else f"fuzz_{os.getpid()}"
        database = self.kind({**self.configured, "NAME": name})
        if self.kind.vendor != "sqlite":
            database.drop()
        database.copy(self.template)
        return database

    def _put(self, database: Any, row: dict[str, Any], key: tuple[str, str]) -> bool:
        """Write a row past everything of ours; what the database refuses needs no test."""
        values = {name: value for name, value in row.items() if name != "id"}
        columns = ", ".join(f"{name} = %s" for name in values)
        try:
            database.execute(
                f"UPDATE {CODE} SET {columns} WHERE app_label = %s AND migration_name = %s",
                *values.values(),
                *key,
            )
            database.execute(
                "UPDATE django_migrations SET app = %s, name = %s WHERE app = %s AND name = %s",
                *(row["app_label"], row["migration_name"]),
                *key,
            )
        except Exception:  # noqa: BLE001 (each driver refuses in its way)
            return False
        return True

    def _in_process(
        self, database: Any, row: dict[str, Any], key: tuple[str, str], *, signed: bool
    ) -> list[str]:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            try:
                self._child(database, writer, Trial(row, key, signed=signed, folder=self.folder))
            finally:
                os._exit(1)
        os.close(writer)
        return self._wait(child, reader, signed=signed)

    def _child(self, database: Any, writer: int, trial: Trial) -> None:
        from django.db import connections

        sys.stdout = sys.stderr = io.StringIO()
        connections.databases["default"]["NAME"] = database.settings["NAME"]
        connections["default"].settings_dict["NAME"] = database.settings["NAME"]
        resource.setrlimit(resource.RLIMIT_AS, (4 * 1024**3, 4 * 1024**3))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        trial.says = lambda command: os.write(writer, f"{' '.join(command)}\n".encode())
        before = _resident()
        wrong = trial.run()
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        if more > MEGABYTES and not trial.signed:
            wrong.append(f"takes too much memory: {more} MB")
        os.write(writer, json.dumps(wrong).encode())
        os._exit(0)

    def _wait(self, child: int, reader: int, *, signed: bool) -> list[str]:
        chunks = []
        ends = time.monotonic() + 60
        with os.fdopen(reader, "rb", 0) as stream:
            while select.select([stream], [], [], max(0.0, ends - time.monotonic()))[0]:
                chunk = stream.read(65536)
                if not chunk:
                    break
                chunks.append(chunk)
            else:
                os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        *said, last = b"".join(chunks).decode("utf-8", "replace").rstrip("\n").split("\n")
        if not status:
            return list(json.loads(last))
        if signed and len(said) > len(SHOWING):
            # It is executed then, and takes as long as whoever wrote it wants.
            self.counts["ended in signed code"] += 1
            return []
        return [f"the process ended with {status} in {last}"]

    def report(self) -> bool:
        total = self.counts["signed"] + self.counts["unsigned"]
        wrong = {name: count for name, count in self.counts.items() if name.startswith("WRONG")}
        print(
            f"{total} rows on {self.kind.vendor}: {self.counts['signed']} signed, {self.counts['unsigned']} not."
        )
        print(f"{self.counts['not taken by the database']} more were not taken by the database.")
        print(f"{self.counts['ended in signed code']} ended in signed code that took its time.")
        for name, count in sorted(wrong.items(), key=lambda item: -item[1]):
            print(f"{count:6} {name} (seed {self.examples[name[6:]]})")
        print("Nothing is wrong." if not wrong else f"{len(wrong)} things are wrong.")
        return not wrong


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def sign(row: dict[str, Any]) -> None:
    """Sign a row with the key of the project, as git could have had it signed."""
    from django_rewind.sources import signing
    from django_rewind.sources.stored import binding_of, payload

    if isinstance(row["source_code"], str):
        row["digest"] = sha256(row["source_code"].encode("utf-8", "surrogatepass")).hexdigest()
    signed = [
        row[name] for name in ("app_label", "migration_name", "module", "metadata", "provenance", "digest")
    ]
    if isinstance(row["serial"], int) and all(isinstance(value, str) for value in signed):
        row["signature"], row["key_fingerprint"] = signing.sign(
            payload(
                row["signed_for"],
                (row["app_label"], row["migration_name"]),
                module=row["module"],
                metadata=row["metadata"],
                source_digest=row["digest"],
                origin=row["provenance"],
                serial=row["serial"],
            )
        )
        key = (row["app_label"], row["migration_name"])
        if isinstance(row["record_id"], int):
            row["proof"] = binding_of(
                row["signed_for"], key, row["signature"], row["key_fingerprint"], row["record_id"]
            )


def verifies(row: dict[str, Any]) -> bool:
    from django.db import connection

    from django_rewind.sources import signing
    from django_rewind.storage.store import Store

    is_as_signed = isinstance(row["source_code"], str) and signing.digest(row["source_code"]) == row["digest"]
    return is_as_signed and Store(connection)._stored(row).verdict is signing.Verdict.VERIFIED


def main() -> int:
    options_of = parser(__doc__, "rows")
    options_of.add_argument("--project", help=argparse.SUPPRESS)
    options = options_of.parse_args()
    if options.project:
        campaign = Campaign(Path(options.project))
        for seed in seeds(options):
            campaign.try_row(seed, say=options.rows == 1)
        return 0 if campaign.report() else 1
    return start(options)


def start(options: argparse.Namespace) -> int:
    """Make the project, and start again with its settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings.sqlite")
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        try:
            environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}
            environment["PYTHONPATH"] = os.pathsep.join(
                [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
            )
            command = [sys.executable, __file__, "--project", folder, "--seed", str(options.seed)]
            command += ["--minutes", str(options.minutes), "--rows", str(options.rows)]
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            project.close()


if __name__ == "__main__":
    sys.exit(main())
