"""
What the text of a migration spells out, without executing it.

What Django writes into a migration is calls of its own classes with literals. Those
are made here: classes that `django.db.migrations` and `django.db.models` offer, and
nothing else, get called. Whatever the text defines, imports or computes is replaced by
a stub where a description can do without it; else nobody knows what the operation does.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from inspect import signature
from types import ModuleType
from typing import Any

from django.conf import settings
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.constraints import BaseConstraint
from django.db.models.expressions import Combinable

from ..schema.effects import effects_in, is_name_of_model
from ..utils.syntax import FUNCTIONS, LONGEST_TO_COMPARE, dotted, imported_names
from .description import OPAQUE, Metadata, describe_operation, keys_of

_OFFERED = {"django.db.migrations": migrations, "django.db.models": models}

# What Django writes calls of; to make one does nothing else.
_MADE = (Operation, models.Field, models.Index, BaseConstraint, Combinable, models.Q)

# What places a migration in the graph, as attributes of its class.
_ATTRIBUTES = {"dependencies", "run_before", "replaces", "initial", "atomic"}

_OMITTED = object()


class UnknownOperation(Operation):
    """An operation that is not Django's, or that the text does not spell out."""

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> str:
        return f"Operation {self.name}"


class _NotSpelledOut(Exception):
    """What this stands for is not known before the text is executed."""


class NotLiteral(ValueError):
    """What places a migration in the graph is not known before its text is executed."""


def parse(text: str, *, longest: int = LONGEST_TO_COMPARE) -> Metadata:
    """
    Read the metadata out of a text without executing it.

    For rows of version 0.1.0, which hold nothing but the text, and for what is found
    in Git, which nobody has agreed to execute. What it does is described as far as
    the text spells it out. A ValueError says why there is nothing to be read.
    """
    if len(text) > longest:
        raise ValueError(f"its {len(text):,} characters are more than is read without executing it")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be parsed ({error})") from error
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    if not classes:
        raise ValueError("it has no class Migration")
    body = classes[-1]
    operations = None if _is_changed_afterwards(tree, classes) else operations_of(tree, body)
    reader = _Reader(tree)
    try:
        values = {
            name: reader.attribute(name, value) for name, value in _assignments(body) if name in _ATTRIBUTES
        }
        return Metadata(
            dependencies=keys_of(values.get("dependencies", [])),
            run_before=keys_of(values.get("run_before", [])),
            replaces=keys_of(values.get("replaces", [])),
            initial=values.get("initial"),
            atomic=bool(values.get("atomic", True)),
            operations=[describe_operation(operation) for operation in operations or ()],
            effects=OPAQUE if operations is None else effects_in(operations),
        )
    except (AttributeError, IndexError, TypeError) as error:
        raise NotLiteral(f"its attributes are no literals ({error})") from error


def described_anew(text: str, claimed: Metadata) -> Metadata:
    """
    Return the description of a text that somebody else has stored, for a person to vouch for.

    It is read out of the text, whatever the row says. What no text can tell stays as it is claimed, to be
    shown in full: what goes with it, and what the operations came to. So does its place in the graph where
    the text computes that; nobody knows then what the operations do.

    Raises:
        ValueError: the text cannot be that of a migration.
    """
    try:
        read = parse(text, longest=sys.maxsize)
    except NotLiteral:
        read = replace(claimed, operations=[], effects=OPAQUE, django="", python="")
    kept = ("bundle", "commit", "committed", "evaluated", "auto_field")
    return replace(read, **{name: getattr(claimed, name) for name in kept})


def _is_changed_afterwards(tree: ast.Module, classes: list[ast.ClassDef]) -> bool:
    """Say whether a module names its class of a migration once it is made, or has several."""
    others = (node for node in tree.body if node not in classes)
    names = (node.id for statement in others for node in ast.walk(statement) if isinstance(node, ast.Name))
    return len(classes) > 1 or bool(classes[0].decorator_list) or "Migration" in names


def operations_of(tree: ast.Module, migration: ast.ClassDef) -> list[Operation] | None:
    """Return the operations of a migration, or None where statements put the list together."""
    lists = [value for name, value in _assignments(migration) if name == "operations"]
    if not lists:
        return []
    (value, *others) = lists
    if others or not isinstance(value, (ast.List, ast.Tuple)):
        return None
    if any(isinstance(element, ast.Starred) for element in value.elts):
        return None
    return _Reader(tree).operations(value)


def _assignments(migration: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the attributes of a migration, without a value where statements put it together."""
    for statement in migration.body:
        value: ast.expr | None = None
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign):
            targets, value = [statement.target] if statement.value else [], statement.value
        elif isinstance(statement, ast.AugAssign):
            targets = [statement.target]
        elif isinstance(statement, FUNCTIONS):
            continue
        else:
            # Perhaps deeper down, by a method of the list, or by chance.
            names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            targets = [node for node in names if node.id == "operations"]
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, value


class _Reader:
    """What the names in a text stand for, as far as Django offers it."""

    def __init__(self, tree: ast.Module) -> None:
        self.imported: dict[str, str] = {}
        self.docstrings: dict[str, str] = {}
        for statement in tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.imported.update(imported_names(statement))
            elif isinstance(statement, FUNCTIONS):
                self.docstrings[statement.name] = ast.get_docstring(statement, clean=False) or ""

    def attribute(self, name: str, node: ast.expr | None) -> Any:
        """Return one of the attributes that place a migration in the graph."""
        try:
            if node is not None:
                return self.value(node)
        except (_NotSpelledOut, RecursionError):
            pass
        raise NotLiteral(f"its '{name}' are computed, and it is not executed to find them out")

    # Operations -------------------------------------------------------------

    def operations(self, node: ast.expr) -> list[Operation]:
        elements = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
        return [self.operation(element) for element in elements]

    def operation(self, node: ast.expr) -> Operation:
        try:
            operation = self._operation(node)
        except Exception:  # noqa: BLE001 (Django's classes check what they are given, each in its way)
            operation = None
        name = (dotted(node.func) if isinstance(node, ast.Call) else dotted(node))[-1:]
        return operation or UnknownOperation(name[0] if name else "that is computed")

    def _operation(self, node: ast.expr) -> Operation | None:
        kind = self._class(node, Operation)
        if kind is None or not isinstance(node, ast.Call):
            return None
        keywords = {keyword.arg or "": keyword.value for keyword in node.keywords}
        arguments = signature(kind.__init__).bind(None, *node.args, **keywords).arguments
        operation: Operation = kind(
            **{
                name: _ARGUMENTS.get(name, _Reader.value)(self, argument)
                for name, argument in arguments.items()
                if name not in ("self", "managers")
            }
        )
        # Whether it can be described depends on what it was given.
        operation.describe()
        effects_in([operation])
        return operation

    def _code(self, node: ast.expr) -> Any:
        """Read an argument of RunPython: a function, which nobody calls here."""
        try:
            return self.value(node)
        except _NotSpelledOut:

            def function(*args: Any) -> None:
                raise NotImplementedError("This only stands for a function in a description.")

            function.__doc__ = self.docstrings.get(".".join(dotted(node)), "")
            return function

    def _sql(self, node: ast.expr) -> Any:
        try:
            return self.value(node)
        except _NotSpelledOut:
            return ast.unparse(node)

    # Values -----------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        """Return what an expression stands for, or raise `_NotSpelledOut`."""
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            values = [self.value(element) for element in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        if isinstance(node, ast.Dict):
            return self._dict(node)
        if isinstance(node, ast.Call):
            if dotted(node.func)[-1:] == ["swappable_dependency"]:
                # The one call that Django itself writes into `dependencies`.
                setting = dotted(node.args[0])[1:][-1:]
                model = _setting(setting[0]) if setting else self.value(node.args[0])
                return (str(model).split(".")[0], "__first__")
            kind = self._class(node, _MADE)
            if kind is None or issubclass(kind, models.Field):
                return self._field(node, kind)
            keywords = {keyword.arg: self.value(keyword.value) for keyword in node.keywords if keyword.arg}
            return kind(*map(self.value, node.args), **keywords)
        if isinstance(node, (ast.Attribute, ast.Name)):
            return self._named(node)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise _NotSpelledOut from None

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        """Read the options of a model: those that are not known do not matter here."""
        options = {}
        for key, value in zip(node.keys, node.values):
            if key is None:
                raise _NotSpelledOut
            try:
                options[self.value(key)] = self.value(value)
            except _NotSpelledOut:
                pass
        return options

    def _field(self, node: ast.Call, kind: type | None) -> Any:
        """Make a field; of one that is not Django's, one that looks like it to the database."""
        read = ((keyword.arg or "", self._of_field(keyword)) for keyword in node.keywords)
        keywords = {name: value for name, value in read if value is not _OMITTED}
        arguments = [self.value(argument) for argument in node.args]
        if kind is not None:
            return kind(*arguments, **keywords)
        name = (dotted(node.func) or [""])[-1]
        if arguments or not name[:1].isupper():
            raise _NotSpelledOut
        column, table = keywords.get("db_column"), keywords.get("db_table")
        if "to" not in keywords:
            return models.Field(db_column=column)
        if "Many" in name and "ForeignKey" not in name:
            return models.ManyToManyField(keywords["to"], through=keywords.get("through"), db_table=table)
        return models.ForeignKey(keywords["to"], models.DO_NOTHING, db_column=column)

    def _of_field(self, keyword: ast.keyword) -> Any:
        """Return what a field was given; only some of it matters to the database."""
        try:
            return self.value(keyword.value)
        except _NotSpelledOut:
            if keyword.arg in ("to", "through", "db_column", "db_table"):
                raise
            return models.DO_NOTHING if keyword.arg == "on_delete" else _OMITTED

    def _named(self, node: ast.expr) -> Any:
        first, *rest = dotted(node) or [""]
        parts = [*self.imported.get(first, first).split("."), *rest]
        if parts[:-1] == ["django", "conf", "settings"] and parts[-1].isupper():
            return _setting(parts[-1])
        for module, offered in _OFFERED.items():
            depth = module.count(".") + 1
            if ".".join(parts[:depth]) == module and len(parts) > depth:
                return _offered(offered, parts[depth:])
        raise _NotSpelledOut

    def _class(self, node: ast.expr, base: Any) -> Any:
        if isinstance(node, ast.Call):
            try:
                kind = self._named(node.func)
            except _NotSpelledOut:
                return None
            if isinstance(kind, type) and issubclass(kind, base):
                return kind
        return None


# What stands in arguments of operations that are no plain values.
_ARGUMENTS: dict[str, Callable[[_Reader, ast.expr], Any]] = {
    "code": _Reader._code,
    "reverse_code": _Reader._code,
    "sql": _Reader._sql,
    "reverse_sql": _Reader._sql,
    "database_operations": _Reader.operations,
    "state_operations": _Reader.operations,
}


def _setting(name: str) -> str:
    value = getattr(settings, name, None)
    if not is_name_of_model(value):
        # What is described is stored and shown: a secret must not get there.
        raise _NotSpelledOut
    return str(value)


def _offered(module: Any, parts: list[str]) -> Any:
    # "fields.CharField", "deletion.CASCADE", "RunSQL.noop": down through modules and classes.
    value = module
    for part in parts:
        if part.startswith("_") or not isinstance(value, (ModuleType, type)):
            raise _NotSpelledOut
        value = vars(value).get(part)
    value = getattr(value, "__func__", value)
    home = getattr(value, "__module__", None) or getattr(value, "__name__", "")
    if not isinstance(value, str) and not str(home).startswith("django.db."):
        raise _NotSpelledOut
    return value
