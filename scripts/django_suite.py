"""
Run Django's own tests of migrations with django_rewind installed, and say what fails that passes without.

Four runs of the tests that belong to the Django of this environment:

untouched  as Django ships them;
plain      with the app among those that are always installed;
control    with an app that does nothing, also forced into `available_apps` and overridden INSTALLED_APPS,
           which most of these tests use to switch off what they do not know;
forced     with our app forced in the same way.

Nothing may go wrong in `plain` that does not in `untouched`, nor in `forced` what does not in `control`.
Run it by `nox --tags django_suite`, or in any environment with the wheel, Django and pip.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
CACHE = SCRIPTS.parent / ".cache" / "django_suite"

LABELS = ["migrations", "migrate_signals", "migration_test_data_persistence", "schema"]
CONTROL = "django_rewind_control"

#: What Django's own `test_sqlite` says, for a server that is found as the tests find it.
POSTGRESQL = """
import os

DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": f"django_suite_{alias}",
        "HOST": os.environ.get("REWIND_PG_HOST", "127.0.0.1"),
        "PORT": os.environ.get("REWIND_PG_PORT", "5432"),
        "USER": os.environ.get("REWIND_PG_USER", "postgres"),
        "PASSWORD": os.environ.get("REWIND_PG_PASSWORD", ""),
    }
    for alias in ("default", "other")
}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""

#: The list in Django's runtests.py, after which the probe is let in.
ALWAYS_INSTALLED = re.compile(r"^ALWAYS_INSTALLED_APPS = \[$.*?^\]$", re.MULTILINE | re.DOTALL)
PROBE = "\n\nimport rewind_probe\n\nrewind_probe.install(ALWAYS_INSTALLED_APPS)\n"


@dataclass
class Run:
    """One run of the tests: with which app, whether it is forced, and how each test ended."""

    name: str
    app: str
    forced: bool = False
    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            # A test whose subtests fail fails, whatever is said of it afterwards.
            if self.outcomes.get(event["test"]) != "failed":
                self.outcomes[event["test"]] = event["outcome"]
                self.texts[event["test"]] = event["text"]

    def finished(self) -> bool:
        return self.outcomes.pop("", None) == "finished" and bool(self.outcomes)

    def summary(self) -> str:
        counts = Counter(self.outcomes.values())
        parts = [f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")]
        return f"{self.name + ':':11}{', '.join(parts)}"


def worse(run: Run, reference: Run) -> list[str]:
    """Return what went well in *reference* and does not in *run*, and what fails in *run* alone."""
    passing = {test for test, outcome in reference.outcomes.items() if outcome == "passed"}
    lost = {test for test in passing if run.outcomes.get(test) != "passed"}
    failing = {test for test, outcome in run.outcomes.items() if outcome == "failed"}
    return sorted(lost | {test for test in failing if reference.outcomes.get(test) != "failed"})


def fetch(django: str) -> Path:
    """Return Django's source distribution, from the cache or from where pip finds it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    pattern = f"[Dd]jango-{django}.tar.gz"
    if not list(CACHE.glob(pattern)):
        # Not `:all:`, which would compile what pip needs to look at the archive as well.
        options = ["--quiet", "--no-deps", "--no-binary", "Django", "--dest", str(CACHE)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, f"Django=={django}"], check=True)
    return next(CACHE.glob(pattern))


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack *archive*, let the probe into its `runtests.py`, and return the folder of the tests."""
    with tarfile.open(archive) as tar:
        # Not in the first releases of all the Pythons that we run on.
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **safely)  # type: ignore[arg-type]
    (root,) = folder.iterdir()
    script = root / "tests" / "runtests.py"
    text = script.read_text(encoding="utf-8")
    patched, count = ALWAYS_INSTALLED.subn(lambda found: found[0] + PROBE, text)
    if count != 1:
        sys.exit(f"{script} has changed: the probe finds no place in it.")
    script.write_text(patched, encoding="utf-8")
    (script.parent / "test_postgresql.py").write_text(POSTGRESQL, encoding="utf-8")
    return script.parent


def execute(run: Run, tests: Path, labels: list[str], database: str) -> None:
    """Run the tests, and fill *run* with what became of them."""
    began = time.monotonic()
    outcomes = tests.parent / f"{run.name}.jsonl"
    environ = {
        **os.environ,
        "PYTHONPATH": str(SCRIPTS / "suite"),
        "REWIND_SUITE_APP": run.app,
        "REWIND_SUITE_FORCED": str(int(run.forced)),
        "REWIND_SUITE_OUTCOMES": str(outcomes),
    }
    command = [
        sys.executable,
        "runtests.py",
        f"--settings=test_{database}",
        "--parallel=1",
        "--noinput",
        *labels,
    ]
    with (CACHE / f"{run.name}.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            command,
            cwd=tests,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if outcomes.exists():
        run.read(outcomes)
    if not run.finished():
        sys.exit(
            f"The {run.name} run did not get to its end ({done.returncode}):\n{Path(log.name).read_text()}"
        )
    print(f"{run.summary()} ({time.monotonic() - began:.0f} s)", flush=True)


def report(run: Run, reference: Run) -> int:
    """Print what went wrong in *run* alone, and return how much that is."""
    tests = worse(run, reference)
    for test in tests:
        outcome = run.outcomes.get(test, "missing")
        print(f"\n{test}: {outcome} in the {run.name} run, not in the {reference.name} run")
        print(run.texts.get(test, ""))
    return len(tests)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("labels", nargs="*", default=LABELS, help="which of Django's tests (%(default)s)")
    parser.add_argument("--subject", default="django_rewind", help="the app to judge (%(default)s)")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options = parser.parse_args()
    untouched, plain = Run("untouched", ""), Run("plain", options.subject)
    control, forced = Run("control", CONTROL, forced=True), Run("forced", options.subject, forced=True)

    django = version("Django")
    print(f"Django {django} on {options.database}, its tests {' '.join(options.labels)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tests = unpack(fetch(django), Path(folder))
        for run in (untouched, plain, control, forced):
            execute(run, tests, options.labels, options.database)
    count = report(plain, untouched) + report(forced, control)
    print(f"{count} tests go wrong because of {options.subject}.")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
