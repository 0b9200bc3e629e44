"""
Rebase random feature branches, deploy them to a database that they are applied to, and compare with Django.

    python scripts/histories.py --rows 100
    DJANGO_SETTINGS_MODULE=tests.settings.postgresql python scripts/histories.py --minutes 5

Each history is a project of up to three apps, a branch that is applied to a database with rows, and what became
of the branch in a rebase: renumbered, edited, dropped, in another order, on top of what main has got meanwhile.
What is deployed runs the command for a staging database that branches share. Right is what a new database
looks like that Django alone migrates with these files, or a refusal where Django cannot do it either, after
the old files were unapplied. What is wrong is printed with the seed that brings it back and with a smaller
history that ends in the same way: `--seed 1234 --rows 1`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from _seeds import parser, seeds

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

#: By what is tried; "back" deploys what the branch was made from.
STAGING = ("rewind", "--adopt", "--redo-modified", "--migrate", "--noinput", "--allow-data-loss")
COMMANDS = {
    "staging": STAGING,
    "no-redo": tuple(word for word in STAGING if word != "--redo-modified"),
    "migrate": ("migrate", "--noinput"),
    "back": STAGING,
}


class Campaign:
    """Tries histories, and counts."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.histories: Any = import_module("tests.support.histories")
        self.rebases: Any = import_module("tests.support.rebases")
        self.folder, self.options = folder, options
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[int]] = {}

    def attempt(self, history: Any) -> Any:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            trial = self.rebases.Trial(history, folder)
        except Exception as error:  # noqa: BLE001 (what was made smaller need not make sense)
            return self.rebases.Outcome("invalid", type(error).__name__)
        try:
            return trial.outcome(COMMANDS[self.options.command])
        finally:
            trial.close()

    def try_seed(self, seed: int) -> None:
        history = self.histories.Maker(seed).history()
        if self.options.command == "back":
            history = replace(history, rebased=history.base)
        outcome = self.attempt(history)
        self.counts[outcome.kind] += 1
        if self.options.rows == 1:
            print(f"{history.text()}\n{outcome.kind}: {outcome.detail}\n{outcome.said}")
        if outcome.is_right or outcome.kind == "invalid":
            return
        seeds = self.examples.setdefault(outcome.signature, [])
        seeds.append(seed)
        print(f"WRONG (seed {seed}): {outcome.kind}: {outcome.detail}", flush=True)
        if self.options.minimise and (len(seeds) == 1 or self.options.rows == 1):
            history, outcome = self.rebases.minimised(
                history, outcome, self.attempt, self.histories.smaller, self.options.minimise
            )
            text = f"{history.text()}\n\n{outcome.said}"
            print("\n".join(f"    {line}" for line in text.splitlines()), flush=True)

    def report(self) -> bool:
        tried = sum(self.counts.values()) - self.counts["invalid"]
        wrong = sum(count for kind, count in self.counts.items() if kind not in GOOD)
        print(f"{tried} histories; {self.counts['invalid']} more made no sense to Django.")
        for kind, count in self.counts.most_common():
            if kind != "invalid":
                print(f"{count:6} {kind}")
        for signature, found in sorted(self.examples.items(), key=lambda item: -len(item[1])):
            print(f"{len(found):6} {signature} (seeds {', '.join(map(str, found[:8]))})")
        print(f"{100 * (tried - wrong) / max(tried, 1):.1f} % are right.")
        return not wrong


GOOD = ("right", "rightly refused", "invalid")


def main() -> int:
    options_of = parser(__doc__, "histories")
    options_of.add_argument("--seeds", help="These ones, with commas between.")
    options_of.add_argument("--command", choices=COMMANDS, default="staging")
    options_of.add_argument("--minimise", type=int, default=0, metavar="TRIES", help="Look for smaller ones.")
    options = options_of.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings.sqlite")
    os.environ.setdefault("REWIND_FORK", "1")
    from django.conf import settings

    # The states that histories are made with need no apps.
    settings.INSTALLED_APPS = []
    import django

    django.setup()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), options)
        for seed in map(int, options.seeds.split(",")) if options.seeds else seeds(options):
            campaign.try_seed(seed)
        return 0 if campaign.report() else 1


if __name__ == "__main__":
    sys.exit(main())
