"""The documentation names everything that a user can name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from django_rewind import signals

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "django_rewind"


def documentation() -> str:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def found_in_the_source(pattern: str) -> list[str]:
    texts = (path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    return sorted({match for text in texts for match in re.findall(pattern, text)})


def commands() -> list[str]:
    folder = PACKAGE / "management" / "commands"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def options() -> list[str]:
    return found_in_the_source(r'add_argument\(\s*"(--[a-z-]+)"')


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name):
    """Under its name."""
    assert name in documentation()


@pytest.mark.parametrize("name", options())
def test_every_option_is_documented(name):
    """As it is typed."""
    assert name in documentation()


@pytest.mark.parametrize("name", signals.__all__)
def test_every_signal_is_documented(name):
    """Under its name."""
    assert name in documentation()


@pytest.mark.parametrize("name", found_in_the_source(r"\bDJANGO_REWIND_[A-Z_]+\b"))
def test_every_setting_is_documented(name):
    """Under its name."""
    assert name in documentation()


@pytest.mark.parametrize("name", found_in_the_source(r"\bdjango_rewind\.[EWI]\d{3}\b"))
def test_every_check_is_documented(name):
    """Under its id."""
    assert name in documentation()


def test_there_is_something_to_document():
    """The patterns above find what they are meant to find."""
    assert {"rewind", "show_stored_migrations"} <= set(commands())
    assert "--database" in options()
    assert "django_rewind.W001" in found_in_the_source(r"\bdjango_rewind\.[EWI]\d{3}\b")
