"""What the scripts need to be run by a bare Python: a virtual environment of their own. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 9)

#: Variables that would point Python or git somewhere else than where the scripts work.
MISLEADING = ("DJANGO_SETTINGS_MODULE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")


def clean_environ(**more: str) -> dict[str, str]:
    """Return the environment without what an active project or a git hook has put there."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in MISLEADING and not name.startswith("GIT_")
    }
    return {**kept, **more}


def make_environment(folder: Path) -> Path:
    """Make a virtual environment in *folder*, or take the one that is there, and return its Python."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("This needs Python 3.9 or later.")
    python = _python_of(folder)
    if not _runs_what_we_run(python):
        _create(folder)
    # An older pip knows no dependency groups.
    pip(python, "install", "--upgrade", "pip>=25.1")
    return python


def pip(python: Path, *args: str, must: bool = True) -> bool:
    """Run pip from the root of the checkout; one that *must* succeed ends the script, others fail in silence."""
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *args]
    done = subprocess.run(command, cwd=ROOT, env=clean_environ(), capture_output=not must, check=False)
    if must and done.returncode:
        sys.exit(f"pip {' '.join(args)} failed.")
    return done.returncode == 0


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _runs_what_we_run(python: Path) -> bool:
    if not python.exists():
        return False
    program = f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    done = subprocess.run([str(python), "-c", program], capture_output=True, check=False)
    return done.returncode == 0


def _create(folder: Path) -> None:
    command = [sys.executable, "-m", "venv", "--clear", str(folder)]
    if subprocess.run(command, env=clean_environ(), check=False).returncode:
        sys.exit("Python could not make a virtual environment; on Debian, `apt-get install python3-venv`.")
