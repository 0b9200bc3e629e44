"""
Set everything up and run the tests, with nothing but Python and git to begin with.

What is tested is the wheel that is built from this checkout, with the newest Django for this Python: on
SQLite, and, as far as it is not the same on every database, on PostgreSQL and MariaDB where they can be
reached. With REWIND_REQUIRE_DATABASES=1 it is a failure when one cannot. Arguments are passed on to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _environment import ROOT, clean_environ, make_environment, pip

HEADERS = "on Debian, `apt-get install gcc libmariadb-dev pkg-config python3-dev`"


def main(args: list[str]) -> int:
    print("== Setting up .venv-test", flush=True)
    python = make_environment(ROOT / ".venv-test")
    install(python)
    outcomes = {database: run(python, database, args) for database in ("sqlite", "postgresql")}
    if install_mysql(python):
        outcomes["mysql"] = run(python, "mysql", args)
    else:
        print(f"== mysql: skipped, mysqlclient cannot be built here; {HEADERS}")
    print("==", ", ".join(f"{database}: {said(code)}" for database, code in outcomes.items()))
    return max(outcomes.values())


def install(python: Path) -> None:
    pip(python, "install", "--group", "test", "--group", "django")
    with tempfile.TemporaryDirectory() as folder:
        pip(python, "wheel", "--no-deps", "--wheel-dir", folder, ".")
        (wheel,) = Path(folder).glob("*.whl")
        # Its version says nothing about what is in it.
        pip(python, "install", "--force-reinstall", "--no-deps", str(wheel))


def install_mysql(python: Path) -> bool:
    required = os.environ.get("REWIND_REQUIRE_DATABASES") == "1"
    return pip(python, "install", "--group", "mysql", must=required)


def run(python: Path, database: str, args: list[str]) -> int:
    print(f"== Testing on {database}", flush=True)
    environ = clean_environ(DJANGO_SETTINGS_MODULE=f"tests.settings.{database}")
    # Most processes of the stories are forked from one that has imported Django, in half the time.
    environ.setdefault("REWIND_FORK", "1" if database == "sqlite" else "all")
    selection = [] if database == "sqlite" else ["-m", "not once"]
    command = [str(python), "-m", "pytest", "-n", "2", *selection, *args]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


def said(code: int) -> str:
    return f"exit status {code}" if code else "fine"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
