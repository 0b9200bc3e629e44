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

from ...utils.syntax import FUNCTIONS, dotted, dotted_names, parse_text
from .imports import EVERYTHING

#: Names, from the module's own inwards: ``("Product", "upload_path")``.
Path = tuple[str, ...]

_STAR = "*"
_BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BASE_OF_MODELS = re.compile(r"(Model|^Abstract(Base)?User)$")


def models_by_name(text: str, known: Collection[str] = ()) -> set[str]:
    """
    Guess from the names of their bases which classes of a text are models.

    Some names are known to be models, here or where they are imported from.
    """
    # Other packages have a BaseModel too.
    tree = parse_text(text) if known or "django" in text else None
    models: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef):
            bases = {dotted(base)[-1] for base in node.bases if dotted(base)}
            if {node.name, *bases} & {*known, *models} or any(map(_BASE_OF_MODELS.search, bases)):
                models.add(node.name)
    return models


class Excerpts:
    """The statements of a module, and which of them are needed for what is wanted of it."""

    def __init__(self, text: str, is_model: Callable[[str], bool]) -> None:
        tree = parse_text(text)
        if tree is None:
            raise ValueError("it cannot be parsed")
        self.body = tree.body
        self.is_model = is_model
        self.lines = _LINE.findall(text)
        self.bound = [_names_bound_by(statement) for statement in self.body]
        imported = set().union(*map(_names_imported_by, self.body))
        # What is done to something imported is done to the project, and was done by it.
        changed = [_names_changed_by(statement) - imported for statement in self.body]
        self.given = [bound | also for bound, also in zip(self.bound, changed)]
        self.needed: set[ast.stmt] = set()
        self._bound_in: dict[ast.ClassDef, list[set[str]]] = {}

    def of(self, wanted: Iterable[Path]) -> str:
        """
        Take out of a text what these paths need, or, for ``("*",)``, everything but the models.

        What is returned can be executed without registering a model. A ValueError says that
        a part of it cannot be written anew.
        """
        self.needed = set()
        try:
            todo = [path for path in wanted if path]
            seen: set[Path] = set()
            while todo:
                path = todo.pop()
                if path not in seen:
                    seen.add(path)
                    todo += self._needs_of(path)
            if self.needed:
                # They decide what all the others mean.
                self.needed.update(
                    statement
                    for statement in self.body
                    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
                )
            return "".join(self._source(statement) for statement in self.body if statement in self.needed)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    def _needs_of(self, path: Path) -> list[Path]:
        """Mark the statements that bind or change a name, and return what these need in turn."""
        name = path[0]
        if name == EVERYTHING:
            self.needed.update(statement for statement, names in zip(self.body, self.bound) if _STAR in names)
            return [(bound,) for names in self.bound for bound in names if not self.is_model(bound)]
        needs: list[Path] = []
        for statement in self._giving(name):
            if self.is_model(name):
                if isinstance(statement, ast.ClassDef):
                    needs += self._needs_of_model(statement, path[1:])
            elif statement not in self.needed:
                self.needed.add(statement)
                needs += _uses(self._without_models(statement))
        return needs

    def _giving(self, name: str) -> list[ast.stmt]:
        giving = [statement for statement, names in zip(self.body, self.given) if name in names]
        if giving or hasattr(builtins, name):
            return giving
        return [
            statement for statement, names in zip(self.body, self.bound) if names & {_STAR, "__getattr__"}
        ]

    def _needs_of_model(self, model: ast.ClassDef, path: Path) -> list[Path]:
        """Mark what hangs on a model's name; without it, the model is skipped."""
        if model not in self._bound_in:
            self._bound_in[model] = [_names_bound_by(item) for item in model.body]
        bound = zip(model.body, self._bound_in[model])
        items = [item for item, names in bound if path and path[0] in names]
        needs = [(base.name, *path) for base in self._own_bases(model)] if path and not items else []
        if needs:
            self.needed.add(model)
        for item in items:
            if _stands_by_itself(item) and item not in self.needed:
                self.needed |= {model, item}
                used = _uses(item)
                # Names of the class itself can be used in its body.
                needs += used + [(model.name, *name) for name in used]
        return needs

    def _own_bases(self, model: ast.ClassDef) -> list[ast.ClassDef]:
        """Return the bases of a model that this text defines, as far as it may take anything from them."""
        names = [dotted(base) for base in model.bases]
        classes = [statement for statement in self.body if isinstance(statement, ast.ClassDef)]
        return [base for name in names for base in classes if [base.name] == name]

    def _without_models(self, statement: ast.stmt) -> ast.stmt:
        """Return a block without the model classes in it; most statements as they are."""
        if not isinstance(statement, _BLOCKS):
            return statement
        classes = {node.name for node in ast.walk(statement) if isinstance(node, ast.ClassDef)}
        models = {name for name in classes if self.is_model(name)}
        if not models:
            return statement
        copy = ast.parse(ast.unparse(statement)).body[0]
        reduced: ast.stmt = _WithoutClasses(models).visit(copy)
        return reduced

    # Source -----------------------------------------------------------------

    def _source(self, statement: ast.stmt) -> str:
        if isinstance(statement, ast.ClassDef) and self.is_model(statement.name):
            bases = ", ".join(base.name for base in self._own_bases(statement) if base in self.needed)
            items = [self._as_written(item, "    ") for item in statement.body if item in self.needed]
            return f"class {statement.name}({bases}):\n{''.join(items) or '    pass'}\n"
        reduced = self._without_models(statement)
        return self._as_written(statement, "") if reduced is statement else ast.unparse(reduced) + "\n"

    def _as_written(self, statement: ast.stmt, indent: str) -> str:
        """
        Return a statement with the comments in it, and without others in the same line.

        The indent is for a line that has none of its own: ``class Product(Model): SIZE = 1``.
        """
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        lines = self.lines[first - 1 : statement.end_lineno]
        own_indent = re.match(r"\s*", lines[0])
        # The places in a tree count bytes.
        lines[-1] = lines[-1].encode()[: statement.end_col_offset].decode()
        if not decorators:
            lines[0] = lines[0].encode()[statement.col_offset :].decode()
            lines.insert(0, (own_indent.group() if own_indent else "") or indent)
        return "".join(lines) + "\n"


def _uses(statement: ast.stmt) -> list[Path]:
    return [tuple(chain[:2]) for chain in dotted_names(statement)]


def _names_bound_by(statement: ast.stmt) -> set[str]:
    names = _names_imported_by(statement)
    for node in _run_by(statement):
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _names_imported_by(statement: ast.stmt) -> set[str]:
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in _run_by(statement)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }


def _names_changed_by(statement: ast.stmt) -> set[str]:
    """Return the names whose meaning is changed: ``CHOICES.append(…)``, ``CHOICES["new"] = …``."""
    names: set[str] = set()
    for node in _run_by(statement):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names.update(dotted(node.value.func)[:-1][:1])
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            innermost: ast.expr = node
            while isinstance(innermost, (ast.Attribute, ast.Subscript)):
                innermost = innermost.value
            names.update(dotted(innermost)[:1])
    return names


def _run_by(statement: ast.stmt) -> Iterator[ast.AST]:
    """Walk over what is executed with a statement: not into functions and classes."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            todo.extend(ast.iter_child_nodes(node))


def _stands_by_itself(item: ast.stmt) -> bool:
    """Say whether something in a model's body means the same outside of a model."""
    if isinstance(item, ast.ClassDef):
        return item.name != "Meta"
    if isinstance(item, FUNCTIONS):
        return True
    values = (node.value for node in ast.walk(item) if isinstance(node, (ast.Assign, ast.AnnAssign)))
    # A call makes a field or a manager, which belongs to a model.
    return not any(
        isinstance(value, ast.Call) and not hasattr(builtins, ".".join(dotted(value.func)))
        for value in values
    )


class _WithoutClasses(ast.NodeTransformer):
    """Put a `pass` in the place of some classes."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return ast.Pass() if node.name in self.names else node
