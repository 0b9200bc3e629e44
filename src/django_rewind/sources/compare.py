"""
Whether stored source and file would do the same.

Comments, layout and the names of migrations do not count. What cannot be decided
differs: then it is the stored source, which ran, that is reversed.
"""

from __future__ import annotations

import ast
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from django.db.migrations import Migration

from ..utils.syntax import FUNCTIONS, LONGEST_TO_COMPARE, function_node

# Attributes of a class that say nothing of what it does.
_OF_NO_ACCOUNT = {"__dict__", "__doc__", "__firstlineno__", "__static_attributes__", "__weakref__"}


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
        return _tree(stored) == _tree(on_disk)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _tree(text: str) -> str:
    return dump(ast.parse(text))


def dump(tree: ast.AST) -> str:
    """Return a tree as a text to compare, without docstrings; the tree is changed."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)):
            node.body = [one for one in node.body if not _is_docstring(one)]
    return ast.dump(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


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
    A walk over two values side by side.

    Pairs under way count as the same: functions may refer to each other.
    """

    def __init__(self) -> None:
        self.under_way: set[tuple[int, int]] = set()

    def same(self, a: Any, b: Any) -> bool:
        if a is b:
            return True
        pair = (id(a), id(b))
        if pair in self.under_way:
            return True
        self.under_way.add(pair)
        try:
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
        if isinstance(a, ModuleType):
            # What is done with it as a whole, nobody knows.
            return False
        if isinstance(a, (classmethod, property, staticmethod)) or hasattr(a, "deconstruct"):
            return self.same(_parts(a), _parts(b))
        return self._equal(a, b)

    def _same_function(self, a: FunctionType, b: FunctionType) -> bool:
        """Compare what is executed and everything that is carried along."""
        if not _same_body(a, b):
            return False
        names = _names(a.__code__)
        if names != _names(b.__code__):
            return False
        carried: list[tuple[Any, Any]] = [
            (a.__defaults__, b.__defaults__),
            (a.__kwdefaults__, b.__kwdefaults__),
            (_closure(a), _closure(b)),
        ]
        carried += [(a.__globals__.get(name), b.__globals__.get(name)) for name in names]
        return all(self._same_in_use(one, other, names) for one, other in carried)

    def _same_in_use(self, a: Any, b: Any, names: set[str]) -> bool:
        """Compare two values; of two modules, what goes by one of these names."""
        if a is b or not (isinstance(a, ModuleType) and isinstance(b, ModuleType)):
            return self.same(a, b)
        pair = (id(a), id(b))
        if pair in self.under_way:
            return True
        self.under_way.add(pair)
        try:
            return a.__name__ == b.__name__ and all(
                self._same_in_use(getattr(a, name, None), getattr(b, name, None), names) for name in names
            )
        finally:
            self.under_way.discard(pair)

    def _same_class(self, a: type, b: type) -> bool:
        """Compare two classes of the same name, which the two texts have defined."""
        if (a.__module__, a.__qualname__) != (b.__module__, b.__qualname__) or hasattr(a, "_meta"):
            return False
        held = [
            {name: value for name, value in vars(one).items() if name not in _OF_NO_ACCOUNT} for one in (a, b)
        ]
        return self.same(a.__bases__, b.__bases__) and self.same(*held)

    @staticmethod
    def _equal(a: Any, b: Any) -> bool:
        try:
            return bool(a == b)
        except Exception:  # noqa: BLE001 (whatever a stored value's __eq__ raises)
            return False


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
    """Return the tree of a function without its name and docstrings, if it has one."""
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
        a.co_code == b.co_code
        and a.co_names == b.co_names
        and a.co_varnames == b.co_varnames
        and a.co_freevars == b.co_freevars
        and a.co_argcount == b.co_argcount
        and a.co_kwonlyargcount == b.co_kwonlyargcount
        and a.co_flags == b.co_flags
        and _same_constants(a, b)
    )


def _same_constants(a: CodeType, b: CodeType) -> bool:
    if len(a.co_consts) != len(b.co_consts):
        return False
    for one, other in zip(a.co_consts, b.co_consts):
        if isinstance(one, CodeType) and isinstance(other, CodeType):
            if not _same_code(one, other):
                return False
        # 1, 1.0 and True are equal, and not the same.
        elif type(one) is not type(other) or repr(one) != repr(other):
            return False
    return True


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
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names
