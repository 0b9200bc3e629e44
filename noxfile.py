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
    ("3.12", "6.0"),
    ("3.13", "6.1"),
]
OLDEST, MIDDLE, LAST_BUT_ONE, NEWEST = PAIRS[0], PAIRS[4], PAIRS[-2], PAIRS[-1]

MATRIX = [(*pair, "sqlite") for pair in PAIRS] + [
    (*pair, database) for pair in (OLDEST, MIDDLE, NEWEST) for database in ("postgresql", "mysql")
]

#: The Python on which all packages run that are tested beside us, with Django 5.2; and Django 4.2 as well as 6.1.
BESIDE = "3.12"

#: What says whether a page can be used by everybody; another version may find other things.
AXE = "axe-core@4.14.1"

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
    session.run("hatchling", "build", "--target", "wheel", "--directory", str(folder))


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


def _selection(django: str, database: str) -> list[str]:
    """Return which tests: `pyproject.toml` says what the markers mean."""
    if database != "sqlite":
        return ["-m", "not deep and not once"]
    return ["-m", "not alone" if django == NEWEST[1] else "not deep"]


def tests(session: nox.Session, django: str, database: str) -> None:
    """
    Run the tests against the wheel, with warnings as errors, and measure what they cover.

    Measuring takes more than half as long again: REWIND_COVERAGE=0 does without. What is
    about plans, commands, git and files more than about Django runs on the newest pair,
    with Python's development mode; scripts/test.py runs it on each database.
    What is the same on every database runs on SQLite alone.
    """
    in_depth = (django, database) == (NEWEST[1], "sqlite")
    drivers = ["mysql"] if database == "mysql" else []
    _install(session, "test", _django_group(django), *drivers)
    measured = os.environ.get("REWIND_COVERAGE") != "0"
    session.run(
        *(("coverage", "run") if measured else ("python",)),
        *("-m", "pytest"),
        *_selection(django, database),
        *(session.posargs or ["-n", "2"]),
        env={
            "COVERAGE_FILE": str(ROOT / ".coverage"),
            "DJANGO_SETTINGS_MODULE": f"tests.settings.{database}",
            # Not `-X dev`: so it reaches pytest's workers and the manage.py of the stories too.
            "PYTHONDEVMODE": "1" if (django, database) == (LAST_BUT_ONE[1], "sqlite") else None,
            # One Django imported for all processes of the stories, in depth but for those that say otherwise.
            "REWIND_FORK": "1" if in_depth else "all",
        },
    )


for _python, _django, _database in MATRIX:
    nox.session(
        name=f"tests-{_python}-django{_django}-{_database}",
        python=_python,
        requires=WHEEL,
        tags=["tests", _database, f"django{_django}"],
    )(_with(tests, django=_django, database=_database))


@nox.session(python=BESIDE, requires=WHEEL, tags=["beside"])
def beside(session: nox.Session) -> None:
    """Run the stories about the packages that extend `migrate`, with the real ones, mostly on PostgreSQL."""
    _install(session, "beside")
    session.run(
        *("python", "-m", "pytest", "tests/beside"),
        *(session.posargs or ["-n", "2"]),
        env={"DJANGO_SETTINGS_MODULE": "tests.settings.postgresql", "REWIND_FORK": "1"},
    )


def across(session: nox.Session, django: str) -> None:
    """Run the stories about a database that the newest Django and an older one share."""
    folder = Path(session.create_tmp()).resolve() / "older"
    session.run("python", "-m", "venv", "--clear", str(folder))
    older = str(folder / "bin" / "python")
    its_django, *_ = nox.project.dependency_groups(PYPROJECT, _django_group(django))
    session.run(older, "-m", "pip", "install", "--quiet", its_django, external=True)
    _install(session, "test", _django_group(NEWEST[1]))
    session.run(
        *("python", "-m", "pytest", "tests/across"),
        *session.posargs,
        env={"REWIND_OTHER_PYTHON": older, "REWIND_FORK": "1"},
    )


for _django in ("4.2", "5.2"):
    nox.session(
        name=f"across-{NEWEST[1]}-{_django}",
        python=BESIDE,
        requires=WHEEL,
        tags=["across"],
    )(_with(across, django=_django))


def django_suite(session: nox.Session, django: str) -> None:
    """Run Django's own tests of migrations with us installed, and say what fails that passes without."""
    _install(session, _django_group(django))
    session.install("pip")  # it fetches Django's tests
    session.run("python", "scripts/django_suite.py", *session.posargs)


for _python, _django in PAIRS:
    nox.session(
        name=f"django_suite-{_python}-django{_django}",
        python=_python,
        requires=WHEEL,
        # The others are run before a release, and for a new Django.
        tags=["django_suites", *(["django_suite"] if (_python, _django) in (OLDEST, NEWEST) else [])],
    )(_with(django_suite, django=_django))


@nox.session(python=NEWEST[0], tags=["browser"], requires=WHEEL)
def browser(session: nox.Session) -> None:
    """Look at the pages of the admin in Chromium, which has to be installed, and with axe-core from npm."""
    _install(session, "browser", _django_group(NEWEST[1]))
    folder = session.cache_dir / "axe"
    session.run("npm", "install", "--silent", "--no-save", "--prefix", str(folder), AXE, external=True)
    session.run(
        *("python", "-m", "pytest", "tests/browser"),
        *session.posargs,
        env={"REWIND_AXE": str(folder / "node_modules" / "axe-core" / "axe.min.js")},
    )


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


@nox.session(python=NEWEST[0], tags=["check"])
def docs(session: nox.Session) -> None:
    """Build the documentation as a site into docs/_build/html, with warnings as errors."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "docs"))
    folders = ("docs", "docs/_build/html")
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", *folders, *session.posargs)


@nox.session(python=NEWEST[0])
def coverage(session: nox.Session) -> None:
    """Combine what the sessions of the tests have measured so far, and report it."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "test"))
    session.run("coverage", "combine")
    session.run("coverage", "report", *session.posargs)
