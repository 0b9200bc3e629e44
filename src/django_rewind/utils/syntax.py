"""Texts of Python as trees, which are read and never executed."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import cache
from types import FunctionType
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

#: In characters: a tree takes up to five hundred times the memory of its text, and what is only
#: shown or compared must not take that without end.
LONGEST_TO_COMPARE = 256 * 1024


def parse_text(text: str) -> ast.Module | None:
    """Return the tree of a text, or None where there is none in this Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def function_node(function: FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the tree of a function, if it has one: several lambdas may stand in one line."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    tree = parse_text("".join(linecache.getlines(code.co_filename, function.__globals__)))
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, FUNCTIONS) and code.co_firstlineno in _first_lines(node):
            return node
    return None


def _first_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[int]:
    """Python counts a decorated function from its first decorator."""
    return [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]


def imported_names(statement: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Return the full names that an import gives to the names of a module."""
    if isinstance(statement, ast.ImportFrom):
        return {alias.asname or alias.name: f"{statement.module}.{alias.name}" for alias in statement.names}
    roots = ((alias, alias.name.partition(".")[0]) for alias in statement.names)
    return {alias.asname or root: alias.name if alias.asname else root for alias, root in roots}


def dotted(node: ast.AST) -> list[str]:
    """Return the parts of ``a.b.c``, or nothing where it is something else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return []
    return [node.id, *reversed(parts)]


def dotted_names(node: ast.AST) -> Iterator[list[str]]:
    """Yield every name that is used, each with the attributes that are asked of it."""
    todo = [node]
    while todo:
        node = todo.pop()
        chain = dotted(node) if isinstance(node, (ast.Attribute, ast.Name)) else []
        if chain:
            yield chain
        else:
            todo += children(node)


def children(node: ast.AST) -> list[ast.AST]:
    """
    Return the nodes that stand directly in one, but for those that neither import nor name anything.

    Texts are walked over whenever they are stored, and `ast.iter_child_nodes` spends most of that
    on contexts, operators and what is no node.
    """
    found: list[ast.AST] = []
    kind: Any = type(node)
    for name in _fields_with_nodes(kind):
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


@cache
def _fields_with_nodes(kind: Any) -> tuple[str, ...]:
    """Return the attributes of a kind of node in which there may be others that are looked for."""
    return () if kind is ast.Constant else tuple(name for name in kind._fields if name not in _WITHOUT)


# Contexts, operators, names and numbers; and what an import statement is asked for itself.
_WITHOUT = {
    *("arg", "asname", "attr", "ctx", "id", "kind", "level", "module", "names", "op", "ops", "type_comment")
}
