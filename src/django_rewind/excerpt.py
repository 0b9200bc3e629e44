"""
What migrations use of a module that defines models, without the models.

An old `models.py` must never be executed again: it would register its models a
second time. What migrations refer to in it are functions, constants, managers,
fields and plain classes. Those are taken out of the text, with whatever of the
same text they need; of a model class no more than what hangs on its name, such as
a function for `upload_to` or an enumeration.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from .imports import EVERYTHING, dotted, dotted_names, parse_text

__all__ = ["Path", "excerpt", "models_by_name"]

#: Names, from the module's own inwards: ``("Product", "upload_path")``.
Path = tuple[str, ...]

_STAR = "*"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def excerpt(text: str, wanted: Iterable[Path], is_model: Callable[[str], bool]) -> str:
    """
    Take out of a text what the wanted names need.

    Args:
        wanted: paths, or ``("*",)`` for everything but the models.
        is_model: says whether a class of this text is a model.

    Returns:
        a text that can be executed without registering a model.

    Raises:
        ValueError: the text cannot be parsed.
    """
    tree = parse_text(text)
    if tree is None:
        raise ValueError("it cannot be parsed")
    return _Excerpt(text, tree, is_model).of(wanted)


def models_by_name(text: str) -> set[str]:
    """Guess from the names of their bases which classes of a text are models."""
    tree = parse_text(text)
    found: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef):
            bases = {dotted(base)[-1:][0] for base in node.bases if dotted(base)}
            if bases & found or any(re.search(r"(Model|^Abstract(Base)?User)$", base) for base in bases):
                found.add(node.name)
    return found


class _Excerpt:
    """The statements of a module, and which of them are needed."""

    def __init__(self, text: str, tree: ast.Module, is_model: Callable[[str], bool]) -> None:
        self.body = tree.body
        self.is_model = is_model
        self.lines = _LINE.findall(text)
        self.bound = [_names_bound_by(statement) for statement in self.body]
        self.needed: set[ast.stmt] = set()

    def of(self, wanted: Iterable[Path]) -> str:
        todo = [path for path in wanted if path]
        seen: set[Path] = set()
        while todo:
            path = todo.pop()
            if path not in seen:
                seen.add(path)
                todo += self._what_is_needed_for(path)
        if self.needed:
            # It decides what all the others mean.
            self.needed.update(filter(_is_future, self.body))
        return "".join(self._source(statement) for statement in self.body if statement in self.needed)

    def _what_is_needed_for(self, path: Path) -> list[Path]:
        """Mark the statements that bind a name, and return what these need in turn."""
        if path[0] == EVERYTHING:
            return [(name,) for names in self.bound for name in names if not self.is_model(name)]
        binding = [one for one, names in zip(self.body, self.bound) if path[0] in names]
        if not binding and not hasattr(builtins, path[0]):
            binding = [one for one, names in zip(self.body, self.bound) if _STAR in names]
        found: list[Path] = []
        for statement in binding:
            if isinstance(statement, ast.ClassDef) and self.is_model(statement.name):
                found += self._of_model(statement, path[1:])
            elif statement not in self.needed:
                self.needed.add(statement)
                found += _uses(self._without_models(statement))
        return found

    def _of_model(self, model: ast.ClassDef, path: Path) -> list[Path]:
        """Mark what hangs on a model's name; without it, the model is left alone."""
        items = [one for one in model.body if path and path[0] in _names_bound_by(one)]
        found: list[Path] = []
        for item in items:
            if _stands_by_itself(item) and item not in self.needed:
                self.needed |= {model, item}
                used = list(_uses(item))
                # Names of the class itself can be used in its body.
                found += used + [(model.name, *one) for one in used]
        return found

    def _without_models(self, statement: ast.stmt) -> ast.stmt:
        """Return a block without the model classes in it; most statements as they are."""
        if not isinstance(statement, _BLOCKS):
            return statement
        inside = [one for one in ast.walk(statement) if isinstance(one, ast.ClassDef)]
        models = [one for one in inside if self.is_model(one.name)]
        return _WithoutClasses(models).visit(_copy(statement)) if models else statement

    # Source -----------------------------------------------------------------

    def _source(self, statement: ast.stmt) -> str:
        if isinstance(statement, ast.ClassDef) and self.is_model(statement.name):
            items = (self._lines_of(item) for item in statement.body if item in self.needed)
            return f"class {statement.name}:\n{''.join(items)}\n"
        reduced = self._without_models(statement)
        if reduced is not statement:
            return ast.unparse(reduced) + "\n"
        return self._lines_of(statement)

    def _lines_of(self, statement: ast.stmt) -> str:
        """Return the statement as it was written, comments within it included."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(one.lineno for one in decorators)])
        last = statement.end_lineno or first
        lines = self.lines[first - 1 : last]
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += "\n"
        if ";" in lines[0] or ";" in lines[-1]:
            # Perhaps another statement in the same line.
            indent = re.match(r"\s*", lines[0])
            prefix = indent.group() if indent else ""
            return "".join(f"{prefix}{line}\n" for line in ast.unparse(statement).splitlines())
        return "".join(lines)


def _uses(statement: ast.stmt) -> list[Path]:
    return [tuple(chain[:2]) for chain in dotted_names(statement)]


def _names_bound_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement gives a meaning to, or changes the meaning of."""
    if isinstance(statement, (ast.ClassDef, *_FUNCTIONS)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Expr):
        # CHOICES.append(…)
        call = dotted(statement.value.func) if isinstance(statement.value, ast.Call) else []
        return set(call[:1]) if len(call) > 1 else set()
    return set(_bound_within(statement))


def _bound_within(statement: ast.stmt) -> Iterator[str]:
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.ClassDef, *_FUNCTIONS, ast.Import, ast.ImportFrom)):
            yield from _names_bound_by(node)
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            # CHOICES["new"] = …
            yield from dotted(_innermost(node))[:1]
        todo.extend(ast.iter_child_nodes(node))


def _innermost(node: ast.expr) -> ast.expr:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node


def _stands_by_itself(item: ast.stmt) -> bool:
    """Say whether something in a model's body means the same outside of a model."""
    if isinstance(item, ast.ClassDef):
        return item.name != "Meta"
    if isinstance(item, _FUNCTIONS):
        return True
    value = item.value if isinstance(item, (ast.Assign, ast.AnnAssign)) else None
    # A call makes a field or a manager, which belongs to a model.
    return value is not None and not any(isinstance(node, ast.Call) for node in ast.walk(value))


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _copy(statement: ast.stmt) -> ast.stmt:
    return ast.parse(ast.unparse(statement)).body[0]


class _WithoutClasses(ast.NodeTransformer):
    """Put a `pass` in the place of some classes."""

    def __init__(self, classes: Collection[ast.ClassDef]) -> None:
        self.names = {one.name for one in classes}

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return ast.Pass() if node.name in self.names else node
