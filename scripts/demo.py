"""
Play the main job of django-rewind, with nothing but Python and git to begin with.

Makes a throw-away project with two branches, migrates on one, switches to the other, and takes the schema
back with the help of nothing but the database. Every command is really run; the schema is read from SQLite.
"""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from _environment import ROOT, clean_environ, make_environment, pip

FILES = {
    ".gitignore": "__pycache__/\ndb.sqlite3\n",
    "manage.py": """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
""",
    "settings.py": """\
SECRET_KEY = "only-for-the-demo"
INSTALLED_APPS = ["django_rewind", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
""",
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
}

ORDER = """\
from django.db import models


class Order(models.Model):
    customer = models.CharField(max_length=100)
"""
PRICE = """\
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
"""
REFUND = """

class Refund(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    amount = models.DecimalField(max_digits=8, decimal_places=2)
"""


class Demo:
    """A project in a git work tree, and the terminal that someone works on it with."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.folder = folder
        self.environ = clean_environ(GIT_PAGER="cat")  # nobody is asked to press a key
        self.python = python

    def play(self) -> bool:
        """Tell the story, and say whether the schema came back."""
        self.begin()
        before = self.schema()
        self.work_on_feature()
        self.show_schema("The schema that feature has left in db.sqlite3:")
        self.switch_to_main()
        self.show_schema("The schema now:")
        return self.schema() == before

    def begin(self) -> None:
        """Make a project whose main branch has shop.0001 and is migrated."""
        for name, text in FILES.items():
            self.write(name, text)
        self.write("shop/models.py", ORDER)
        self.quietly("git", "init", "--quiet", "--template=")
        self.quietly("git", "symbolic-ref", "HEAD", "refs/heads/main")
        for name, value in self.git_settings().items():
            self.quietly("git", "config", name, value)
        self.quietly("python", "manage.py", "makemigrations", "shop")
        self.commit("Orders")
        self.say("On main, whose app shop has one migration:")
        self.run("git", "log", "--oneline", "--decorate")
        self.run("python", "manage.py", "migrate")

    def work_on_feature(self) -> None:
        """Add shop.0002 and shop.0003 on a branch, and migrate there."""
        self.say("A branch adds a column and a table:")
        self.run("git", "checkout", "-b", "feature")
        self.write("shop/models.py", ORDER + PRICE)
        self.run("python", "manage.py", "makemigrations", "shop", "--name", "order_price")
        self.write("shop/models.py", ORDER + PRICE + REFUND)
        self.run("python", "manage.py", "makemigrations", "shop", "--name", "refund")
        self.commit("Prices and refunds")
        self.run("python", "manage.py", "migrate")

    def switch_to_main(self) -> None:
        """Go back to main in git, and then in the database."""
        self.say("Back on main the files of 0002 and 0003 are gone, and what they did is not:")
        self.run("git", "checkout", "main")
        self.run("git", "ls-files", "shop/migrations")
        self.run("python", "manage.py", "showmigrations", "shop")
        self.say("The database still knows how to undo them:")
        self.run("python", "manage.py", "migrate", "shop", "0001")
        self.run("python", "manage.py", "showmigrations", "shop")

    @staticmethod
    def git_settings() -> dict[str, str]:
        """Whatever is set for the person who runs this, the project has what it needs by itself."""
        return {
            "commit.gpgsign": "false",
            "core.autocrlf": "false",
            "core.hooksPath": "no-hooks",
            "user.email": "demo@example.com",
            "user.name": "Demo",
        }

    def commit(self, message: str) -> None:
        self.quietly("git", "add", "--all")
        self.quietly("git", "commit", "--quiet", "--message", message)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def schema(self) -> dict[str, list[str]]:
        """Return the columns of each table of the shop, as SQLite has them."""
        find = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'shop%' ORDER BY name"
        with closing(sqlite3.connect(str(self.folder / "db.sqlite3"))) as connection:
            tables = [name for (name,) in connection.execute(find)]
            return {
                table: [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
                for table in tables
            }

    def show_schema(self, title: str) -> None:
        self.say(title)
        for table, columns in self.schema().items():
            print(f"    {table}: {', '.join(columns)}")

    @staticmethod
    def say(text: str) -> None:
        print(f"\n# {text}")

    def run(self, *command: str) -> None:
        """Run a command as someone would who sits at a terminal."""
        print(f"$ {shlex.join(command)}", flush=True)
        self._run(command)

    def quietly(self, *command: str) -> None:
        self._run(command, stdout=subprocess.DEVNULL)

    def _run(self, command: tuple[str, ...], stdout: int | None = None) -> None:
        program = str(self.python) if command[0] == "python" else command[0]
        done = subprocess.run(
            [program, *command[1:]],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            # What git says of branches belongs between the lines of the others, also in a pipe.
            stderr=subprocess.STDOUT if stdout is None else None,
            check=False,
        )
        if done.returncode:
            sys.exit(f"`{shlex.join(command)}` ended with exit status {done.returncode}, in {self.folder}")


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="django-rewind-demo-"))
    print(f"Setting up in {home} ...", flush=True)
    python = make_environment(home / "venv")
    pip(python, "install", str(ROOT))
    folder = home / "project"
    folder.mkdir()
    came_back = Demo(folder, python).play()
    print()
    print("The schema is that of 0001 again." if came_back else "The schema is NOT that of 0001.")
    print(f"The project lies in {folder}, and its Python is {python}.")
    return 0 if came_back else 1


if __name__ == "__main__":
    sys.exit(main())
