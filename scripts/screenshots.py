"""
Take pictures of the pages of the admin in a real browser, and have them checked.

The project that they show, and the browser that looks at it, are those of `tests/browser`.

    python -m pip install playwright
    python scripts/screenshots.py --chromium /usr/bin/chromium
    python scripts/screenshots.py --axe node_modules/axe-core/axe.min.js --output /tmp/shots --all

No browser is downloaded. Whatever the tests call a fault is printed, and fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = {"list-light-wide", "detail-light-wide", "detail-dark-wide", "graph-light-wide"}
WIDTHS = {"wide": 1440, "narrow": 420}

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.chromium import Browser


def shoot(browser: Browser, options: argparse.Namespace) -> Iterator[str]:
    """Take the pictures and yield what is wrong."""
    for scheme in ("light", "dark"):
        for size, width in WIDTHS.items():
            with browser.page(width=width, scheme=scheme, language=options.language) as page:
                for name in browser.served.pages:
                    title = f"{name}-{scheme}-{size}"
                    shown = page.open(name)
                    if options.all or title in DOCUMENTED:
                        shown.screenshot(path=str(options.output / f"{title}.png"), full_page=True)
                    yield from (f"{title}: {one}" for one in page.faults())
                    page.problems.clear()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--chromium", type=Path, default=Path("/usr/bin/chromium"), help="The browser to use."
    )
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core, to have the pages checked.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--language", default="en-US", help="The language that the browser asks for.")
    parser.add_argument(
        "--all", action="store_true", help="Keep all pictures, not only those in the documentation."
    )
    options = parser.parse_args()
    # What is looked at is this checkout, also in an environment that has another one.
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    from tests.browser.chromium import Browser
    from tests.browser.project import served

    options.output.mkdir(parents=True, exist_ok=True)
    axe = options.axe.read_text(encoding="utf-8") if options.axe else ""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as project,
        Browser.launch(options.chromium, project, axe) as browser,
    ):
        problems = list(shoot(browser, options))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
