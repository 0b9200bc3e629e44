"""How Sphinx builds the documentation; `nox --session docs` does it, and takes warnings for errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import tomllib

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
release = version = PROJECT["version"]
author = copyright = "the django-rewind contributors"

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True

# GitHub makes the same anchors, so that a link to a section leads there in both.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"django-rewind {release}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sphinx = False

#: Files of the root that are pages of the site. In the sources links lead to the files, as GitHub has it.
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}


def lead_to_pages(text: str) -> str:
    """Have links to files that are pages here lead to the pages."""
    names = "|".join(map(re.escape, PAGES))
    text = re.sub(rf"\]\((?:\.\./)*({names})(#[\w-]+)?\)", lambda m: f"]({PAGES[m[1]]}{m[2] or ''})", text)
    return re.sub(r"\]\((?:\.\./)*docs/", "](", text)


def setup(app: Sphinx) -> None:
    """Change what is read, of pages and of what they include."""

    def change(content: list[str]) -> None:
        content[:] = [lead_to_pages(content[0])]

    app.connect("source-read", lambda app, name, content: change(content))
    app.connect("include-read", lambda app, path, name, content: change(content))
