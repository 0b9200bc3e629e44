"""What a text imports, and what of that it uses: found without executing it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from ...utils.syntax import FUNCTIONS, children, dotted, dotted_names, function_node

# Calls that import what a literal names, and whether that ends in an attribute.
_BY_NAME = {"import_module": False, "__import__": False, "import_string": True}

# After one of these under a condition, nobody knows whether the rest is reached.
_WAYS_OUT = (ast.Break, ast.Continue, ast.Raise, ast.Return)

# Who catches one of these expects an import to fail.
_IMPORT_ERRORS = {"BaseException", "Exception", "ImportError", "ModuleNotFoundError"}

#: Stands in `Reference.path` for everything that a module holds.
EVERYTHING = "*"


@dataclass(frozen=True)
class Reference:
    """Something of another module that a text uses: ``shop.models`` and ``("Product", "upload")``."""

    module: str
    # Empty where the module only has to be there.
    path: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path[0] if self.path else ""


def references(tree: ast.AST, package: str, is_module: Callable[[str], bool]) -> set[Reference]:
    """Return what a text refers to in other modules, inside functions too."""
    imports = _Imports(package, is_module)
    imports.look_at(tree)
    found = set(imports.found)
    for name, *attributes in dotted_names(tree):
        for stands_for in imports.bindings.get(name, ()):
            found.update(imports.resolve([*stands_for.split("."), *attributes], is_use=True))
    return found


class _Imports:
    """The import statements of a text, and the calls that do the same."""

    def __init__(self, package: str, is_module: Callable[[str], bool]) -> None:
        self.package = package
        self.is_module = is_module
        self.found: list[Reference] = []
        # A local name, and the dotted names that it may stand for.
        self.bindings: dict[str, set[str]] = {}

    def look_at(self, tree: ast.AST) -> None:
        # No recursion: a text may be nested deeper than Python likes to call.
        calls: list[ast.Call] = []
        todo = [tree]
        while todo:
            node = todo.pop()
            if isinstance(node, ast.If) and dotted(node.test)[-1:] == ["TYPE_CHECKING"]:
                todo.extend(node.orelse)
                continue
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
            elif isinstance(node, ast.Call):
                calls.append(node)
            todo += children(node)
        for call in calls:
            self._call(call)

    def _bind(self, name: str, stands_for: str) -> None:
        self.bindings.setdefault(name, set()).add(stands_for)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.append(Reference(alias.name))
            root = alias.name.partition(".")[0]
            self._bind(alias.asname or root, alias.name if alias.asname else root)

    def _import_from(self, node: ast.ImportFrom) -> None:
        source = _absolute(node.module or "", node.level, self.package)
        for alias in node.names if source else ():
            if alias.name == "*":
                self.found.append(Reference(source, (EVERYTHING,)))
                continue
            full = f"{source}.{alias.name}"
            if self.is_module(full):
                # Unless the package gives the name another meaning.
                self.found.append(Reference(source, (alias.name,)))
            self.found += self.resolve(full.split("."))
            self._bind(alias.asname or alias.name, full)

    def _call(self, node: ast.Call) -> None:
        function = dotted(node.func)[-1:]
        # Perhaps imported under another name.
        names = (full.rpartition(".")[2] for name in function for full in self.bindings.get(name, [name]))
        ends_in_attribute = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
        if ends_in_attribute is None:
            return
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name, package = (
            _literal([*node.args, *[None] * 2][place] or given.get(keyword))
            for place, keyword in enumerate(("name", "package"))
        )
        level = len(name) - len(name.lstrip("."))
        full = _absolute(name[level:], level, package or self.package)
        if full and ends_in_attribute:
            self.found += self.resolve(full.split("."))
        elif full:
            self.found.append(Reference(full, (EVERYTHING,)))

    def resolve(self, parts: list[str], *, is_use: bool = False) -> Iterator[Reference]:
        """Divide a dotted name into the deepest module in it and the rest."""
        for end in range(len(parts), 1, -1):
            name = ".".join(parts[:end])
            if self.is_module(name):
                # Used as a whole, nobody knows what for.
                rest = tuple(parts[end:]) or ((EVERYTHING,) if is_use else ())
                yield Reference(name, rest)
                return
        if len(parts) > 1:
            # The root, or a module that cannot be found: the import will say so.
            yield Reference(parts[0], tuple(parts[1:]))
        elif is_use:
            yield Reference(parts[0], (EVERYTHING,))


def _absolute(name: str, level: int, package: str) -> str:
    if not level:
        return name
    parts = package.split(".")
    if level > len(parts):
        return ""
    return ".".join(filter(None, [*parts[: len(parts) - level + 1], name]))


def gives_meaning(tree: ast.Module, name: str) -> bool:
    """Say whether a package binds a name to something that is perhaps not its module of that name."""
    return any(name in _names_given_by(node) for node in ast.walk(tree))


def _names_given_by(node: ast.AST) -> set[str]:
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    # `from . import tones` is the module itself.
    if isinstance(node, ast.ImportFrom) and (node.module, node.level) != (None, 1):
        return {alias.asname or alias.name for alias in node.names}
    return set()


def _literal(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def what_will_run(function: FunctionType) -> list[ast.AST]:
    """
    Return the parts of a function that are reached whenever it is called.

    Not what stands under a condition or after a way out, nor what is expected to
    fail with an ImportError. Loops count as having something to do.
    """
    node = function_node(function)
    return list(_certain(node.body)) if node is not None else []


def _certain(block: list[ast.stmt]) -> Iterator[ast.AST]:
    for statement in block:
        yield from _certain_within(statement)
        if any(isinstance(node, _WAYS_OUT) for node in _walk_own(statement)):
            return


def _certain_within(statement: Any) -> Iterator[ast.AST]:
    for header in ("test", "iter", "subject"):
        if hasattr(statement, header):
            yield getattr(statement, header)
    if hasattr(statement, "handlers"):
        if not any(
            handler.type is None or _names_import_errors(handler.type) for handler in statement.handlers
        ):
            yield from _certain([*statement.body, *statement.orelse])
        yield from _certain(statement.finalbody)
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        yield from statement.items
        if not any(map(_names_import_errors, statement.items)):
            yield from _certain(statement.body)
    elif isinstance(statement, ast.If) or hasattr(statement, "cases"):
        return
    elif hasattr(statement, "body"):
        yield from _certain(statement.body)
    elif not hasattr(statement, "test"):
        yield statement


def _walk_own(statement: ast.AST) -> Iterator[ast.AST]:
    todo = [statement]
    while todo:
        node = todo.pop()
        if not isinstance(node, (*FUNCTIONS, ast.Lambda)):
            yield node
            todo.extend(ast.iter_child_nodes(node))


def imported_by(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield _absolute(node.module or "", node.level, package)


def _names_import_errors(node: ast.AST) -> bool:
    return any(name[-1] in _IMPORT_ERRORS for name in dotted_names(node))
