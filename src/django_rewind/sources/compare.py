"""
Whether stored source and file would do the same.

Comments, layout and the names of migrations do not count. What cannot be decided
differs: then it is the applied version that is unapplied.
"""

from __future__ import annotations

import ast
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from django.db.migrations import Migration

from ..utils.syntax import FUNCTIONS, LONGEST_TO_COMPARE, function_node

# Attributes of a class that say nothing of what it does.
_OF_NO_ACCOUNT = {"__dict__", "__doc__", "__firstlineno__", "__static_attributes__", "__weakref__"}

# Attributes of code that decide what it does, beside its constants.
_OF_CODE = [
    "co_code",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_argcount",
    "co_kwonlyargcount",
    "co_flags",
]


def same_text(stored: str, on_disk: str) -> bool:
    """
    Say whether two texts are the same program.

    Both are parsed now: a dump of a tree is another one in another Python.
    """
    if stored == on_disk:
        return True
    if max(len(stored), len(on_disk)) > LONGEST_TO_COMPARE:
        # A run loads both, and compares what they do.
        return False
    try:
        return dump(ast.parse(stored)) == dump(ast.parse(on_disk))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def dump(tree: ast.AST) -> str:
    """Return a tree as a text to compare, without docstrings; the tree is changed."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return ast.dump(tree)


def _is_docstring(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def same_operations(stored: Migration, on_disk: Migration) -> bool:
    """Say whether two loaded migrations would do the same to database and state."""
    if stored.atomic != on_disk.atomic:
        return False
    try:
        return _Comparison().same(list(stored.operations), list(on_disk.operations))
    except (RecursionError, ValueError):
        # Too deep, or with a number that is too long to be written down.
        return False


class _Comparison:
    """
    A walk over two values at once.

    Pairs under way count as the same: functions may refer to each other.
    """

    def __init__(self) -> None:
        self.under_way: set[tuple[int, int]] = set()

    def same(self, a: Any, b: Any, names: set[str] | None = None) -> bool:
        """Compare two values; of two modules, what goes by one of these names."""
        pair = (id(a), id(b))
        if a is b or pair in self.under_way:
            return True
        self.under_way.add(pair)
        try:
            if isinstance(a, ModuleType) and isinstance(b, ModuleType):
                # What is done with a module as a whole, nobody knows.
                return names is not None and self._same_module(a, b, names)
            return self._same(a, b)
        finally:
            self.under_way.discard(pair)

    def _same(self, a: Any, b: Any) -> bool:
        if isinstance(a, FunctionType) and isinstance(b, FunctionType):
            return self._same_function(a, b)
        if isinstance(a, MethodType) and isinstance(b, MethodType):
            return self.same(a.__func__, b.__func__) and self.same(a.__self__, b.__self__)
        if isinstance(a, type) and isinstance(b, type):
            return self._same_class(a, b)
        if type(a) is not type(b) and not self.same(type(a), type(b)):
            return False
        if isinstance(a, (list, tuple)):
            return len(a) == len(b) and all(map(self.same, a, b))
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(self.same(a[key], b[key]) for key in a)
        if isinstance(a, (classmethod, property, staticmethod)) or hasattr(a, "deconstruct"):
            return self.same(_parts(a), _parts(b))
        try:
            return bool(a == b)
        except Exception:  # noqa: BLE001 (whatever a stored value's __eq__ raises)
            return False

    def _same_module(self, a: ModuleType, b: ModuleType, names: set[str]) -> bool:
        return a.__name__ == b.__name__ and all(
            self.same(getattr(a, name, None), getattr(b, name, None), names) for name in names
        )

    def _same_function(self, a: FunctionType, b: FunctionType) -> bool:
        names = _names(a.__code__)
        if not _same_body(a, b) or names != _names(b.__code__):
            return False
        pairs: list[tuple[Any, Any]] = [
            (a.__defaults__, b.__defaults__),
            (a.__kwdefaults__, b.__kwdefaults__),
            (_closure(a), _closure(b)),
            *((a.__globals__.get(name), b.__globals__.get(name)) for name in names),
        ]
        return all(self.same(*pair, names) for pair in pairs)

    def _same_class(self, a: type, b: type) -> bool:
        """Compare two classes of the same name, which the two texts have defined."""
        if (a.__module__, a.__qualname__) != (b.__module__, b.__qualname__) or hasattr(a, "_meta"):
            return False
        held = [
            {name: value for name, value in vars(cls).items() if name not in _OF_NO_ACCOUNT} for cls in (a, b)
        ]
        return self.same(a.__bases__, b.__bases__) and self.same(held[0], held[1])


def _parts(value: Any) -> list[Any]:
    """Return what a value is made of: a descriptor of functions, the rest as Django says."""
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    if isinstance(value, (classmethod, staticmethod)):
        return [value.__func__]
    # A field is (name, path, args, kwargs), an operation (name, args, kwargs).
    return list(value.deconstruct())


def _same_body(a: FunctionType, b: FunctionType) -> bool:
    trees = (_tree_of(a), _tree_of(b))
    if None not in trees:
        return trees[0] == trees[1]
    return _same_code(a.__code__, b.__code__)


def _tree_of(function: FunctionType) -> str | None:
    node = function_node(function)
    if node is None:
        return None
    node.name = ""
    try:
        return dump(node)
    except (RecursionError, ValueError):
        return None


def _same_code(a: CodeType, b: CodeType) -> bool:
    return (
        all(getattr(a, name) == getattr(b, name) for name in _OF_CODE)
        and len(a.co_consts) == len(b.co_consts)
        and all(map(_same_constant, a.co_consts, b.co_consts))
    )


def _same_constant(a: Any, b: Any) -> bool:
    if isinstance(a, CodeType) and isinstance(b, CodeType):
        return _same_code(a, b)
    # 1, 1.0 and True are equal, and not the same.
    return type(a) is type(b) and repr(a) == repr(b)


def _closure(function: FunctionType) -> list[Any]:
    return [_contents(cell) for cell in function.__closure__ or ()]


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # Never filled: equal to nothing, so that it differs.
        return object()


def _names(code: CodeType) -> set[str]:
    """Return the global names that a function and those inside it may look up."""
    return set(code.co_names).union(
        *(_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    )
