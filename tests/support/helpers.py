"""A throw-away Django project in a real git work tree, with real databases, for the end-to-end stories."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import django_rewind
from tests.settings import base
from tests.support.databases import Database, make_database
from tests.support.zygote import zygote

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""

AUDIT_LOG = "django_migrations_code_ledger"

MIGRATION = """\
from django.conf import settings
from django.db import migrations, models
{header}

class Migration(migrations.Migration):
{attributes}
    operations = [
{operations}
    ]
"""


@dataclass(frozen=True)
class Result:
    """What a finished process left behind."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def __str__(self) -> str:
        return f"$ {' '.join(self.args)}\n{self.output}\n[exit {self.returncode}]"


class Started:
    """A process that is under way; what it says goes to files, so that it can be read meanwhile."""

    def __init__(self, args: tuple[str, ...], command: list[str], folder: Path, **options: object) -> None:
        self.args = args
        self._paths = [folder / f"{uuid.uuid4().hex}.{name}" for name in ("stdout", "stderr")]
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            options.update(stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            forks = zygote() if command[0] == sys.executable else None
            self._process = (
                forks.start(command[1:], **options) if forks else subprocess.Popen(command, **options)
            )
        self.pid = self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def so_far(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self._paths)

    def result(self, timeout: float) -> Result:
        """Wait for its end; one that does not come in time is killed, and shown."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        out, err = (path.read_text(errors="replace") for path in self._paths)
        return Result(self.args, self._process.returncode, out, err)


class Project:
    """A project whose files live in git and whose databases are read by their drivers, never by what we print."""

    # Where django_rewind is, if not this one is to be used.
    package: Path | None = None
    # Whether commands may be forked from a process that has imported Django, where that is asked for.
    forks = True

    def __init__(self, path: Path, active: Mapping[str, object] | None = None) -> None:
        self.path = path
        # The interpreter, and with it the Django, that runs the commands.
        self.python = sys.executable
        # What is in DATABASES, where it is not the kind that this run is about.
        self.active = active
        self.databases: dict[str, Database] = {}
        self.settings: dict[str, object] = {
            "SECRET_KEY": "a key of the story",
            "DEBUG": True,
            "USE_TZ": True,
            "INSTALLED_APPS": ["django_rewind"],
            "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        }
        self.write("manage.py", MANAGE)
        self.write(".gitignore", "settings.py\npackages\n*.sqlite3*\n")
        self.add_database("default")
        self._start_git()

    @classmethod
    def copy_of(cls, template: Project, path: Path) -> Project:
        """Copy a project with its databases, which is faster than to migrate it."""
        project = cls.__new__(cls)
        shutil.copytree(template.path, path, dirs_exist_ok=True)
        project.path, project.python = path, template.python
        project.package, project.active, project.forks = template.package, template.active, template.forks
        project.settings, project.databases = {**template.settings}, {}
        for alias, database in template.databases.items():
            project.add_database(alias, database)
        return project

    def close(self) -> None:
        for database in self.databases.values():
            database.drop()

    # Settings, which stay out of git

    def configure(self, **settings: object) -> None:
        """Change settings; a value is written as its repr, text in `raw` as it is."""
        self.settings.update(settings)
        raw = self.settings.get("raw", "")
        values = [f"{name} = {value!r}" for name, value in self.settings.items() if name != "raw"]
        self.write("settings.py", "\n".join(values) + f"\n{dedent(str(raw))}\n")

    def install(self, *labels: str) -> None:
        self.configure(INSTALLED_APPS=[*labels])

    @property
    def installed(self) -> list[str]:
        return list(self.settings["INSTALLED_APPS"])

    def serve_admin(self) -> None:
        """Have the admin at /admin/, with all that it needs."""
        self.write(
            "urls.py",
            "from django.contrib import admin\nfrom django.urls import path\nurlpatterns = [path('admin/', admin.site.urls)]\n",
        )
        names = ("contenttypes", "auth", "sessions", "messages", "admin")
        self.install(*(f"django.contrib.{name}" for name in names), *self.installed)
        self.configure(
            ROOT_URLCONF="urls",
            ALLOWED_HOSTS=["*"],
            STATIC_URL=base.STATIC_URL,
            PASSWORD_HASHERS=base.PASSWORD_HASHERS,
            MIDDLEWARE=base.MIDDLEWARE,
            TEMPLATES=base.TEMPLATES,
        )

    def add_database(self, alias: str, template: Database | None = None) -> None:
        self.databases[alias] = make_database(self.path / f"{alias}.sqlite3", template, self.active)
        self.configure(DATABASES={alias: database.settings for alias, database in self.databases.items()})

    # Files

    def write(self, name: str, text: str, encoding: str = "utf-8") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dedent(text).encode(encoding))
        return path

    def delete(self, name: str) -> None:
        path = self.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def read(self, name: str) -> str:
        path = self.path / name
        return path.read_text() if path.exists() else ""

    def app(self, label: str, models: str = "") -> None:
        """Write an app and list it last in `INSTALLED_APPS`."""
        self.write(f"{label}/__init__.py", "")
        self.write(f"{label}/migrations/__init__.py", "")
        self.models(label, models)
        if label not in self.installed:
            self.install(*self.installed, label)

    def models(self, label: str, text: str) -> None:
        self.write(f"{label}/models.py", "from django.db import models\n\n" + dedent(text))

    def migration(
        self,
        label: str,
        *operations: str,
        after: str | list[str] = (),
        header: str = "",
        package: str = "",
        **attributes: object,
    ) -> Path:
        """Write the migration `app.name`; `after` names what it depends on, with the app where it is another one."""
        app, name = label.split(".")
        lines = [f"dependencies = {_keys(app, after)!r}"]
        for key in ("replaces", "run_before"):
            if key in attributes:
                attributes[key] = _keys(app, attributes[key])
        lines += [f"{key} = {value!r}" for key, value in attributes.items()]
        text = MIGRATION.format(
            header=f"\n{dedent(header)}" if header else "",
            attributes="\n".join(f"    {line}" for line in lines),
            operations="\n".join(f"        {operation}," for operation in operations),
        )
        return self.write(f"{package or app + '/migrations'}/{name}.py", text)

    # Git

    def _start_git(self) -> None:
        self.git("init", "--quiet", "--template=")
        self.git("symbolic-ref", "HEAD", "refs/heads/main")
        self.git("config", "user.name", "Story")
        self.git("config", "user.email", "story@example.com")
        self.git("config", "commit.gpgsign", "false")
        self.git("config", "core.autocrlf", "false")

    def git(self, *args: str) -> str:
        command = ("git", *args)
        return subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str = "Work") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def branch(self, name: str) -> None:
        self.git("checkout", "--quiet", "-b", name)

    def switch(self, name: str) -> None:
        self.git("checkout", "--quiet", name)

    @contextmanager
    def on_branch(self, name: str) -> Iterator[None]:
        """Commit, work on a branch, made from here if it is new, commit there and come back."""
        self.commit()
        here = self.git("symbolic-ref", "--short", "HEAD").strip()
        known = self.git("branch", "--list", name).strip()
        self.switch(name) if known else self.branch(name)
        yield
        self.commit(f"Work on {name}")
        self.switch(here)

    # Processes

    def attempt(self, *args: str, answer: str | None = None) -> Result:
        """Run manage.py and take what comes; with `answer`, somebody sits at a terminal and types it."""
        command = [self.python, "manage.py", *args]
        if answer is None:
            return self._run(command, args, stdin=subprocess.DEVNULL)
        master, slave = pty.openpty()
        try:
            os.write(master, f"{answer}\n".encode())
            return self._run(command, args, stdin=slave)
        finally:
            os.close(slave)
            os.close(master)

    def start(self, *args: str) -> Started:
        """Start manage.py, and do not wait for its end."""
        command = [self.python, "manage.py", *args]
        return Started(args, command, self.path / ".git", cwd=str(self.path), env=self._environment())

    def manage(self, *args: str, answer: str | None = None) -> Result:
        """Run manage.py, which succeeds."""
        result = self.attempt(*args, answer=answer)
        assert result.returncode == 0, str(result)
        assert "Traceback" not in result.output, str(result)
        return result

    def refused(self, *args: str, naming: str | tuple[str, ...] = (), answer: str | None = None) -> Result:
        """Run manage.py, which says by name what stands in the way and changes nothing at all."""
        before = self.snapshot()
        result = self.attempt(*args, answer=answer)
        assert result.returncode != 0, str(result)
        assert "Traceback" not in result.output, str(result)
        for name in [naming] if isinstance(naming, str) else naming:
            assert name in result.stderr, f"{name} is not named:\n{result}"
        assert self.snapshot() == before, str(result)
        return result

    def run(self, code: str) -> Result:
        """Run Python code in the project, with Django set up."""
        start = (
            "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\nimport django\ndjango.setup()\n"
        )
        return self._run([self.python, "-c", start + dedent(code)], ("-c",), stdin=subprocess.DEVNULL)

    def call(self, *command: str) -> Result:
        """Run another program, in a process of its own, and take what comes."""
        return self._in_a_process([*command], command, stdin=subprocess.DEVNULL)

    def _run(self, command: list[str], args: tuple[str, ...], stdin: int) -> Result:
        if self.forks and self.python == sys.executable and (parent := zygote()):
            done = parent.run(command[1:], cwd=str(self.path), env=self._environment(), stdin=stdin)
            return Result(args, done.returncode, done.stdout, done.stderr)
        return self._in_a_process(command, args, stdin)

    def _in_a_process(self, command: list[str], args: tuple[str, ...], stdin: int) -> Result:
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self._environment(),
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(args, done.returncode, done.stdout, done.stderr)

    def _environment(self) -> dict[str, str]:
        # Two edits within one second would meet the bytecode of the first.
        return {
            **os.environ,
            "PYTHONPATH": f"{self.path}{os.pathsep}{self._package().parent}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "300",
        }

    def _package(self) -> Path:
        """Return where django_rewind is, for another interpreter without what is installed beside it."""
        package = self.package or Path(django_rewind.__file__).parent
        if self.python == sys.executable:
            return package
        copy = self.path / "packages" / "django_rewind"
        if not copy.exists():
            shutil.copytree(package, copy)
        return copy

    # What the databases say

    def db(self, alias: str = "default") -> Database:
        return self.databases[alias]

    def schema(self, alias: str = "default") -> dict[str, object]:
        return self.db(alias).schema()

    def columns(self, table: str, alias: str = "default") -> set[str]:
        return self.db(alias).columns(table)

    def tables(self, alias: str = "default") -> set[str]:
        return self.db(alias).tables()

    def rows(self, sql: str, *params: object, alias: str = "default") -> list[tuple[object, ...]]:
        return self.db(alias).execute(sql, *params)

    def execute(self, sql: str, *params: object, alias: str = "default") -> None:
        self.db(alias).execute(sql, *params)

    def applied(self, app: str, alias: str = "default") -> list[str]:
        """Return the names recorded for the app, in the order in which they were recorded."""
        sql = "SELECT name FROM django_migrations WHERE app = %s ORDER BY id"
        return [name for (name,) in self.rows(sql, app, alias=alias)]

    def stored(self, alias: str = "default") -> dict[str, str]:
        """Return the stored text by `app.name`."""
        sql = "SELECT app_label, migration_name, source_code FROM django_migrations_code"
        return {f"{app}.{name}": text for app, name, text in self.rows(sql, alias=alias)}

    def snapshot(self) -> dict[str, object]:
        """
        Return everything that all databases hold, to see that nothing changed.

        But for what the audit log says of refusals, and of failures where everything was taken
        back: that is what they may leave behind.
        """
        found = {}
        for alias, database in self.databases.items():
            with database.connected():
                audit_log = {AUDIT_LOG: "event NOT IN ('refused', 'failed')"}
                found[alias] = (database.schema(), database.contents(only=audit_log))
        return found

    def audit_log(self, *keys: str, alias: str = "default") -> list[tuple[object, ...]]:
        """Return what happened to the migration `app.name`, in order, as (event, its source); not in part."""
        sql = f"SELECT app_label, migration_name, event, source FROM {AUDIT_LOG} WHERE event <> 'partial' ORDER BY id"
        rows = self.rows(sql, alias=alias)
        return [(event, source) for app, name, event, source in rows if f"{app}.{name}" in keys]


def _keys(app: str, names: object) -> list[tuple[str, str]]:
    names = [names] if isinstance(names, str) else names
    return [tuple(name.split(".")) if "." in name else (app, name) for name in names]


# Operations, as the text of a migration


def create(model: str, **fields: str) -> str:
    own = "".join(f", ({name!r}, models.{field})" for name, field in fields.items())
    key = "models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')"
    return f"migrations.CreateModel({model!r}, [('id', {key}){own}])"


def drop(model: str) -> str:
    return f"migrations.DeleteModel({model!r})"


def rename_model(old: str, new: str) -> str:
    return f"migrations.RenameModel({old!r}, {new!r})"


def add(model: str, name: str, field: str) -> str:
    return f"migrations.AddField({model!r}, {name!r}, models.{field})"


def alter(model: str, name: str, field: str) -> str:
    return f"migrations.AlterField({model!r}, {name!r}, models.{field})"


def remove(model: str, name: str) -> str:
    return f"migrations.RemoveField({model!r}, {name!r})"


def rename_field(model: str, old: str, new: str) -> str:
    return f"migrations.RenameField({model!r}, {old!r}, {new!r})"


def python(forward: str = "migrations.RunPython.noop", backward: str = "None") -> str:
    return f"migrations.RunPython({forward}, {backward})"


def apart(*, database: str = "", state: str = "") -> str:
    return f"migrations.SeparateDatabaseAndState([{database}], [{state}])"
