"""
Loaded by the copy of Django's `runtests.py` that `django_suite.py` runs.

Adds an app to those that are always installed, forces it, if that is asked for, into what the tests switch
on for themselves, and writes down the outcome of each test. What to do stands in the environment.
"""

from __future__ import annotations

import functools
import json
import os
import unittest
from pathlib import Path
from typing import Any, Callable

from django.apps.registry import Apps

APP = "REWIND_SUITE_APP"
FORCED = "REWIND_SUITE_FORCED"
OUTCOMES = "REWIND_SUITE_OUTCOMES"

#: What unittest tells its result, what we call it, and where the result then keeps the traceback.
EVENTS = [
    ("addSuccess", "passed", None),
    ("addExpectedFailure", "passed", None),
    ("addSkip", "skipped", None),
    ("addFailure", "failed", "failures"),
    ("addError", "failed", "errors"),
    ("addUnexpectedSuccess", "failed", None),
    ("printErrors", "finished", None),  # not stopTestRun, which is called after a crash too
]


def install(always_installed: list[str]) -> None:
    """Do what the environment asks for; *always_installed* is the list in `runtests.py`."""
    app = os.environ.get(APP, "")
    if app:
        always_installed.append(app)
    if app and os.environ.get(FORCED) == "1":
        force(app)
    record(Path(os.environ[OUTCOMES]))


def force(app: str) -> None:
    """Keep *app* installed whatever a test makes of `available_apps` and INSTALLED_APPS."""
    for name in ("set_available_apps", "set_installed_apps"):
        setattr(Apps, name, _with_app(getattr(Apps, name), app))


def _with_app(method: Callable[..., None], app: str) -> Callable[..., None]:
    @functools.wraps(method)
    def wrapper(self: Apps, names: list[str]) -> None:
        known = any(name == app or name.startswith(f"{app}.") for name in names)
        method(self, names if known else [*names, app])

    return wrapper


def record(path: Path) -> None:
    """Append a line of JSON to *path* for each event, in the process that collects the results."""
    for name, outcome, where in EVENTS:
        method = getattr(unittest.TextTestResult, name)
        setattr(unittest.TextTestResult, name, _recording(method, outcome, where, path))
    method = unittest.TextTestResult.addSubTest
    unittest.TextTestResult.addSubTest = _recording_subtests(method, path)  # type: ignore[method-assign]


def _recording(
    method: Callable[..., None], outcome: str, where: str | None, path: Path
) -> Callable[..., None]:
    @functools.wraps(method)
    def wrapper(self: unittest.TextTestResult, *args: Any) -> None:
        method(self, *args)
        text = getattr(self, where)[-1][1] if where else ""
        _append(path, args[0].id() if args else "", outcome, text)

    return wrapper


def _recording_subtests(method: Callable[..., None], path: Path) -> Callable[..., None]:
    @functools.wraps(method)
    def wrapper(self: unittest.TextTestResult, test: Any, subtest: Any, error: Any) -> None:
        method(self, test, subtest, error)
        if error is not None:
            _append(path, test.id(), "failed", str(error[1]))

    return wrapper


def _append(path: Path, test: str, outcome: str, text: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"test": test, "outcome": outcome, "text": text}) + "\n")
