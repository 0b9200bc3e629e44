"""
Roll back real projects without their files, and compare what is left with what Django does with them.

    python scripts/corpus.py path/to/corpus
    python scripts/corpus.py path/to/corpus --project wagtail --engine sqlite

The corpus is a folder of its own, no part of this repository: `install.sh` makes an environment of each project,
`db.sh` starts the servers, and `corpus.py` hides the files above a target, has the subject roll back, and
compares schema and records. This builds our wheel from the checkout, hands it over as the subject, and
says for each project and database what came of it. Its servers need the root of a Debian.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _environment import ROOT, clean_environ, make_environment, pip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--project", action="append", help="all by default")
    parser.add_argument("--engine", action="append", help="sqlite, postgresql or mysql; all by default")
    options = parser.parse_args()
    corpus = Corpus(options.corpus.resolve())
    legs = [
        (project, engine)
        for project, engines in corpus.engines().items()
        for engine in engines
        if project in (options.project or [project]) and engine in (options.engine or [engine])
    ]
    with tempfile.TemporaryDirectory(prefix="rewind_corpus_") as folder:
        subject = install_subject(Path(folder))
        corpus.prepare({project for project, _ in legs}, servers={engine for _, engine in legs} != {"sqlite"})
        failed = [leg for leg in legs if not corpus.passes(*leg, subject)]
    print(f"== {len(legs) - len(failed)} of {len(legs)} pass", *(f"not {' on '.join(leg)}" for leg in failed))
    return 1 if failed else 0


def install_subject(folder: Path) -> Path:
    """Build the wheel of this checkout and install it, alone, below *folder*."""
    python = make_environment(ROOT / ".venv-test")
    pip(python, "install", "uv")
    subject = folder / "subject"
    pip(python, "install", "--no-deps", "--target", str(subject), ".")
    return subject


class Corpus:
    """A folder with projects, and with the scripts that run them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def engines(self) -> dict[str, list[str]]:
        """Return by project on which databases it is to be tried."""
        found = sorted(self.path.glob("projects/*/project.json"))
        if not found:
            sys.exit(f"{self.path} holds no projects.")
        return {file.parent.name: json.loads(file.read_text())["engines"] for file in found}

    def prepare(self, projects: set[str], *, servers: bool) -> None:
        self._run("bash", "install.sh", *sorted(projects))
        if servers:
            self._run("bash", "db.sh", "start")

    def passes(self, project: str, engine: str, subject: Path) -> bool:
        """Run all cases of a project on a database, with the migrations and their helpers hidden."""
        print(f"== {project} on {engine}", flush=True)
        began = time.monotonic()
        what = ("subject", "--project", project, "--engine", engine)
        whom = ("--label", "rewind", "--subject-path", str(subject))
        code = self._run(sys.executable, "corpus.py", *what, *whom, "--variant", "both", "--fresh")
        print(f"== {project} on {engine}: exit status {code}, {time.monotonic() - began:.0f} s", flush=True)
        return code == 0

    def _run(self, *command: str) -> int:
        environ = clean_environ(CORPUS_HOME=os.environ.get("CORPUS_HOME", str(ROOT / ".cache" / "corpus")))
        # With the uv that is installed there.
        environ["PATH"] = os.pathsep.join([str(ROOT / ".venv-test" / "bin"), environ["PATH"]])
        return subprocess.run(command, cwd=self.path, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
