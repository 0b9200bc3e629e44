"""What the programs that try random input have in common: how many, for how long, and from which seed on."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator


def parser(description: str | None, rows: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all of them take, with what they count."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--minutes", type=float, default=1)
    found.add_argument("--rows", type=int, default=0, help=f"This many {rows}, however long it takes.")
    found.add_argument("--seed", type=int, default=random.randrange(10**6) * 10**6)
    return found


def seeds(options: argparse.Namespace) -> Iterator[int]:
    ends = time.monotonic() + 60 * options.minutes
    number = 0
    while number < options.rows if options.rows else time.monotonic() < ends:
        yield options.seed + number
        number += 1
