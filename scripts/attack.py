"""
Be somebody who may write to the database and has no key, and see that every promise holds.

    python scripts/attack.py --minutes 5
    DJANGO_SETTINGS_MODULE=tests.settings.postgresql python scripts/attack.py --minutes 5

It makes a project with something of everything. Each trial changes values in django-rewind's tables and in
`django_migrations`, in a copy of the databases and a process of its own, and runs what people run. Wrong is
what is executed and was not signed for this database and place, what is dropped or skipped and not said, a traceback, and a
`migrate` that is blocked where Django alone goes on. What is wrong is counted, and printed with the seed that
brings it back and the smallest change that does it: `--seed 1234 --rows 1`.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from _seeds import parser, seeds

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

#: Of the processor, and by the clock of a machine that has other things to do.
SECONDS = 30
LONGEST = 600.0
OWN = "django_rewind"
TOO_LONG = (-signal.SIGXCPU, -signal.SIGKILL)


class Alone:
    """
    Django without django-rewind, in a process that was forked before either was set up.

    Or with an app that has the same migrations, and does nothing.
    """

    def __init__(self, *, has_app: bool) -> None:
        self._has_app = has_app
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        if not os.fork():
            os.close(self._orders)
            os.close(self._answers)
            self._serve(os.fdopen(orders, "r"), answers)
            os._exit(0)
        os.close(orders)
        os.close(answers)

    def migrate(self, databases: dict[str, dict[str, Any]], more: bool) -> str:
        """Return the name of the error with which `migrate` ends, or nothing."""
        os.write(self._orders, json.dumps([databases, more]).encode() + b"\n")
        said = b""
        while not said.endswith(b"\n"):
            said += os.read(self._answers, 65536)
        return said.decode().strip()

    def _serve(self, orders: Any, answers: int) -> None:
        from django.conf import settings

        if self._has_app:
            settings.DJANGO_REWIND_ENABLED = False
        else:
            settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != OWN]
        import django

        django.setup()
        for order in orders:
            databases, more = json.loads(order)
            child = os.fork()
            if not child:
                os.write(answers, f"{_migrate(databases, more)}\n".encode())
                os._exit(0)
            os.waitpid(child, 0)


def _migrate(databases: dict[str, dict[str, Any]], more: bool) -> str:
    from io import StringIO

    from django.core.management import call_command

    _connect(databases)
    if more:
        _add_more()
    try:
        call_command("migrate", interactive=False, stdout=StringIO(), stderr=StringIO())
    except BaseException as error:  # noqa: BLE001 (its name is what is asked for)
        return type(error).__name__
    return ""


def _connect(databases: dict[str, dict[str, Any]]) -> None:
    from django.db import connections

    for alias, values in databases.items():
        connections.databases[alias].update(values)
        connections[alias].settings_dict.update(values)


def _add_more() -> None:
    import_module("shop.migrations").__path__.append(str(Path(os.environ["REWIND_WORLD"]) / "more"))


class Campaign:
    """The side that starts a process for each trial, and counts."""

    def __init__(self, path: Path, *, shrinks: bool = True) -> None:
        os.environ["REWIND_WORLD"] = str(path)
        os.chdir(path)
        self.alone = {has_app: Alone(has_app=has_app) for has_app in (False, True)}
        import django

        django.setup()
        self.mutations: Any = import_module("tests.support.mutations")
        from django.conf import settings

        self.shrinks = shrinks
        self.kind = import_module("tests.support.databases").KINDS[
            settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
        ]
        self.configured = {alias: dict(values) for alias, values in settings.DATABASES.items()}
        self.templates = {alias: self.kind(values) for alias, values in self.configured.items()}
        self.moments = pickle.loads((path / "moments").read_bytes())
        self.known = self.mutations.known_texts(self.moments, path)
        self.folder = Path(tempfile.mkdtemp(dir=path))
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, int] = {}
        self.client = self._client()
        self._warm_up()

    def _client(self) -> Any:
        from django.contrib.auth import get_user_model
        from django.db import connections
        from django.test import Client

        # Where it was made before, it is there.
        user = get_user_model().objects.filter(username="somebody").first()
        user = user or get_user_model().objects.create_superuser("somebody", password="x")
        client = Client()
        client.force_login(user)
        connections.close_all()
        return client

    def _warm_up(self) -> None:
        """Import what all trials need."""
        from django.core.management import get_commands, load_command_class
        from django.db import connections
        from django.db.migrations.loader import MigrationLoader

        for name in (
            "migrate",
            "rewind",
            "show_stored_migrations",
            "verify_migrations",
            "restore_migrations",
        ):
            load_command_class(get_commands()[name], name)
        MigrationLoader(None)
        self.client.get("/admin/django_rewind/migrationcode/")
        import_module("django_rewind.engine.planner")
        connections.close_all()

    def try_seed(self, seed: int, *, say: bool = False) -> None:
        plot = self.mutations.plot(seed, self.moments)
        wrong, taken, said = self.attempt(plot)
        self.counts["trials"] += 1
        self.counts["mutations"] += taken
        if say:
            print(plot, said, *wrong, sep="\n")
        for problem in wrong:
            name = self.mutations.signature(problem)
            self.counts[f"WRONG {name}"] += 1
            if name in self.examples:
                continue
            self.examples[name] = seed
            print(f"WRONG (seed {seed}): {problem}", flush=True)
            if self.shrinks:
                plot = self.mutations.smaller(plot, self._fails_as(name))
                said = self.attempt(plot)[2]
                print(
                    "\n".join(f"    {line[:400]}" for line in f"{plot}\n{said[-1500:]}".splitlines()),
                    flush=True,
                )

    def _fails_as(self, name: str) -> Callable[[Any], bool]:
        return lambda plot: any(self.mutations.signature(one) == name for one in self.attempt(plot)[0])

    def attempt(self, plot: Any) -> tuple[list[str], int, str]:
        """Run a plot in a process of its own, and return what is wrong, what was changed, and what was said."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        databases = self._copies("trial", self.templates)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            try:
                self._child(plot, databases, writer)
            finally:
                os._exit(1)
        os.close(writer)
        try:
            return self._wait(child, reader)
        finally:
            self._drop(databases)

    def _copies(self, name: str, templates: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for alias, template in templates.items():
            place = (
                str(self.folder / f"{name}-{alias}")
                if self.kind.vendor == "sqlite"
                else f"attack_{name}_{alias}_{os.getpid()}"
            )
            database = self.kind({**self.configured[alias], "NAME": place})
            if self.kind.vendor != "sqlite":
                self._drop({alias: database})
            database.copy(template)
            found[alias] = database
        return found

    def _drop(self, databases: dict[str, Any]) -> None:
        for database in databases.values():
            getattr(database, "drop_now", database.drop)()

    def _child(self, plot: Any, databases: dict[str, Any], writer: int) -> None:
        os.chdir(self.folder)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        _connect({alias: {"NAME": database.settings["NAME"]} for alias, database in databases.items()})
        if plot.rebuilds:
            _add_more()
        alone = partial(self._alone, plot, databases)
        trial = self.mutations.Trial(plot, databases, self.client, alone, self.known)
        wrong = trial.run()
        said = "\n".join(trial.said)
        with os.fdopen(writer, "wb") as stream:
            stream.write(json.dumps([wrong, trial.taken, said]).encode("utf-8", "surrogatepass"))
        os._exit(0)

    def _alone(self, plot: Any, databases: dict[str, Any], has_app: bool) -> str:
        """Have Django alone migrate a copy."""
        import_module("django.db").connections.close_all()
        copies = self._copies("alone", databases)
        try:
            names = {alias: {"NAME": database.settings["NAME"]} for alias, database in copies.items()}
            return self.alone[has_app].migrate(names, plot.rebuilds)
        finally:
            self._drop(copies)

    def _wait(self, child: int, reader: int) -> tuple[list[str], int, str]:
        chunks = []
        ends = time.monotonic() + LONGEST
        with os.fdopen(reader, "rb", 0) as stream:
            while select.select([stream], [], [], max(0.0, ends - time.monotonic()))[0]:
                if not (chunk := stream.read(65536)):
                    break
                chunks.append(chunk)
            else:
                os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            return ["takes too long" if status in TOO_LONG else f"the process ended with {status}"], 0, ""
        wrong, taken, said = json.loads(b"".join(chunks).decode("utf-8", "surrogatepass"))
        return wrong, taken, said

    def report(self) -> bool:
        wrong = {name: count for name, count in self.counts.items() if name.startswith("WRONG")}
        print(
            f"{self.counts['mutations']} mutations in {self.counts['trials']} trials on {self.kind.vendor}."
        )
        for name, count in sorted(wrong.items(), key=lambda item: -item[1]):
            print(f"{count:6} {name} (seed {self.examples[name[6:]]})")
        print("Nothing is wrong." if not wrong else f"{len(wrong)} things are wrong.")
        return not wrong


def main() -> int:
    options_of = parser(__doc__, "trials")
    options_of.add_argument(
        "--world", help="Where the project is, or is made and left; else it is thrown away."
    )
    options_of.add_argument("--no-shrink", action="store_true", help="Do not look for smaller ones.")
    options_of.add_argument("--in-world", action="store_true", help="Run within the project.")
    options = options_of.parse_args()
    if options.in_world:
        campaign = Campaign(Path(options.world), shrinks=not options.no_shrink)
        began = time.monotonic()
        for seed in seeds(options):
            campaign.try_seed(seed, say=options.rows == 1)
        print(f"{campaign.counts['mutations'] / (time.monotonic() - began):.0f} mutations a second.")
        return 0 if campaign.report() else 1
    if options.world:
        return start(Path(options.world))
    with tempfile.TemporaryDirectory() as folder:
        return start(Path(folder))


def start(path: Path) -> int:
    """Make the project where there is none, and start again with its settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings.sqlite")
    os.environ.setdefault("REWIND_FORK", "1")
    project = None
    if not (path / "moments").exists():
        path.mkdir(parents=True, exist_ok=True)
        project = import_module("tests.support.mutations").make_world(path)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(path), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    arguments = [one for one in sys.argv[1:] if not one.startswith("--world")]
    command = [sys.executable, __file__, *arguments, "--in-world", f"--world={path}"]
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        if project:
            project.close()


if __name__ == "__main__":
    sys.exit(main())
