"""The arrows between our modules point in one direction: down the table in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_rewind

PACKAGE = Path(django_rewind.__file__).parent
TABLE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = sorted(PACKAGE.rglob("*.py"))


def rows() -> list[list[str]]:
    """Return the names in each row of the table, from the top."""
    found = re.findall(r"^\| (`.*?`) \| ", TABLE, flags=re.MULTILINE)
    return [re.findall(r"`(\w+)(?:\.py|/)`", row) for row in found]


HEIGHT = {name: -number for number, row in enumerate(rows()) for name in row}


def place_of(path: Path) -> str:
    """Return the module or the package that stands in the table for a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_by(path: Path) -> Iterator[str]:
    """Yield what of ours a module imports, also within functions, but not for its types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    here = ("django_rewind", *path.relative_to(PACKAGE).parts[:-1])
    for_types = {id(node) for test in ast.walk(tree) if _is_for_types(test) for node in ast.walk(test)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            base = here[: len(here) - node.level + 1] if node.level else ()
            names = [*base, *filter(None, (node.module or "").split("."))]
            if names[:1] == ["django_rewind"]:
                yield from [names[1]] if names[1:] else [alias.name for alias in node.names]


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_every_module_has_its_place():
    """Once, and nothing else has one."""
    places = {place_of(path) for path in MODULES} - {"__init__", "migrations"}
    listed = [name for row in rows() for name in row]
    assert sorted(listed) == sorted(places)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if place_of(path) not in ("__init__", "migrations")],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_imports_point_down(path):
    """A module imports what stands in a row below its own."""
    here = place_of(path)
    upwards = [name for name in imported_by(path) if name != here and HEIGHT[name] >= HEIGHT[here]]
    assert upwards == []
