"""
The wider matrix: each session says in its name what it runs on, and `nox --list` lists them.

What is tested is the wheel. With REWIND_WHEEL set to one it is not built anew, so that several runs of nox
share it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import nox

ROOT = Path(__file__).parent.resolve()
PYPROJECT = nox.project.load_toml("pyproject.toml")

#: Python and Django: each Python with what it is likely to be used with, each Django at least once.
PAIRS = [
    ("3.9", "3.2"),
    ("3.9", "4.2"),
    ("3.10", "5.0"),
    ("3.10", "5.1"),
    ("3.11", "5.2"),
    ("3.12", "5.2"),
    ("3.12", "6.0"),
    ("3.13", "6.1"),
]
OLDEST, MIDDLE, NEWEST = PAIRS[0], PAIRS[4], PAIRS[-1]

MATRIX = [(*pair, "sqlite") for pair in PAIRS] + [
    (*pair, database) for pair in (OLDEST, MIDDLE, NEWEST) for database in ("postgresql", "mysql")
]

#: What sessions that test the wheel wait for.
WHEEL = [] if "REWIND_WHEEL" in os.environ else ["build"]

nox.needs_version = ">=2026.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = "CI" in os.environ
nox.options.tags = ["check", "sqlite"]


def _reach_pyenv() -> None:
    """Make the shims of pyenv, where it is in use, answer for every version that it has."""
    if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:
        current = _words_of("pyenv", "version-name")
        others = _words_of("pyenv", "versions", "--bare", "--skip-aliases")
        os.environ["PYENV_VERSION"] = ":".join(dict.fromkeys(current + others))


def _words_of(*command: str) -> list[str]:
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    return completed.stdout.replace(":", " ").split()


_reach_pyenv()
# The stories start hundreds of processes, each of which would compile Django anew.
os.environ["UV_COMPILE_BYTECODE"] = "1"


@nox.session(python=NEWEST[0])
def build(session: nox.Session) -> None:
    """Build the wheel, once for all the sessions that test it."""
    session.install(*PYPROJECT["build-system"]["requires"])
    folder = session.cache_dir / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    program = "import sys, uv_build; uv_build.build_wheel(sys.argv[1])"
    session.run("python", "-c", program, str(folder))


def _install(session: nox.Session, *groups: str) -> None:
    """Install *groups*, and then our wheel anew: its version says nothing about what is in it."""
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))
    built = (session.cache_dir / "dist").glob("*.whl")
    wheel = os.environ.get("REWIND_WHEEL") or str(next(built))
    session.install("--force-reinstall", "--no-deps", wheel)


def _django_group(django: str) -> str:
    return f"django{django.replace('.', '')}"


def _with(function: Callable[..., None], **known: str) -> Callable[..., None]:
    """Make a session of *function*, with its docstring, that runs on what is *known*."""
    return functools.update_wrapper(functools.partial(function, **known), function)


def tests(session: nox.Session, django: str, database: str) -> None:
    """
    Run the tests against the wheel, with warnings as errors, and measure what they cover.

    Measuring takes more than half as long again: REWIND_COVERAGE=0 does without. What is
    about git and files, more than about Django, runs at the two ends of the matrix on SQLite;
    scripts/test.py runs it on each database.
    """
    at_an_end = database == "sqlite" and django in (OLDEST[1], NEWEST[1])
    drivers = ["mysql"] if database == "mysql" else []
    _install(session, "test", _django_group(django), *drivers)
    measured = os.environ.get("REWIND_COVERAGE") != "0"
    session.run(
        *(("coverage", "run") if measured else ("python",)),
        *("-m", "pytest"),
        *([] if at_an_end else ["-m", "not git"]),
        *(session.posargs or ["-n", "2"]),
        env={
            "COVERAGE_FILE": str(ROOT / ".coverage"),
            "DJANGO_SETTINGS_MODULE": f"tests.settings.{database}",
            # Not `-X dev`: so it reaches pytest's workers and the manage.py of the stories too.
            "PYTHONDEVMODE": "1",
            # One Django imported for all processes of the stories; scripts/test.py does without.
            "REWIND_FORK": "1",
        },
    )


for _python, _django, _database in MATRIX:
    nox.session(
        name=f"tests-{_python}-django{_django}-{_database}",
        python=_python,
        requires=WHEEL,
        tags=["tests", _database, f"django{_django}"],
    )(_with(tests, django=_django, database=_database))


def django_suite(session: nox.Session, django: str) -> None:
    """Run Django's own tests of migrations with us installed, and say what fails that passes without."""
    _install(session, _django_group(django))
    session.install("pip")  # it fetches Django's tests
    session.run("python", "scripts/django_suite.py", *session.posargs)


for _python, _django in (OLDEST, NEWEST):
    nox.session(
        name=f"django_suite-{_python}-django{_django}",
        python=_python,
        requires=WHEEL,
        tags=["django_suite"],
    )(_with(django_suite, django=_django))


@nox.session(python=NEWEST[0], tags=["check"])
def lint(session: nox.Session) -> None:
    """Check style and layout."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(python=NEWEST[0], tags=["check"], requires=WHEEL)
def types(session: nox.Session) -> None:
    """Check types, on the newest Python and Django."""
    _install(session, "typing", _django_group(NEWEST[1]))
    session.run("mypy", *session.posargs)


@nox.session(python=NEWEST[0])
def coverage(session: nox.Session) -> None:
    """Combine what the sessions of the tests have measured so far, and report it."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("coverage", "combine")
    session.run("coverage", "report", *session.posargs)
