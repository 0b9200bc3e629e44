"""SECURITY.md says nothing that no test holds."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def section(heading: str) -> str:
    """Return what stands below a heading."""
    _, *pieces = re.split(r"^## (.*)$", TEXT, flags=re.MULTILINE)
    return dict(zip(pieces[::2], pieces[1::2]))[heading]


def cells() -> list[tuple[str, str, str]]:
    """Return who it is about, the heading of the column, and what the cell says."""
    lines = [line for line in section("Who can do what").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads, _, *rest = rows
    return [(row[0], head, cell) for row in rest for head, cell in zip(heads[1:], row[1:])]


def points(heading: str) -> list[str]:
    return re.findall(r"^- (.*(?:\n  .*)*)", section(heading), flags=re.MULTILINE)


@cache
def functions_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file, name", sorted(set(NAMED.findall(TEXT))))
def test_every_named_test_is_there(file, name):
    """In the one file that the path ends with."""
    (path,) = (ROOT / "tests").glob(f"**/{file}")
    assert name in functions_in(path)


@pytest.mark.parametrize("who, column, cell", cells())
def test_every_cell_names_its_test(who, column, cell):
    """Each sentence of it: they end with what holds them."""
    for sentence in re.split(r"(?<=[.]) (?=[A-Z])", cell):
        assert NAMED.search(sentence), (who, column, sentence)


@pytest.mark.parametrize("point", points("How it is defended"))
def test_every_defence_names_its_test(point):
    """One at least; who changes what is said finds what to run."""
    assert NAMED.search(point)


def test_there_is_something_to_hold():
    """What is looked for above is found."""
    assert len(cells()) >= 14
    assert len(points("How it is defended")) >= 8
