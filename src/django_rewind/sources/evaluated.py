"""
What the operations of a migration came to when it was stored, where its text does not spell them out.

A text may compute them: from a setting, the environment, the apps that are installed.
Executed where these are different, it makes other operations than those that were applied. So
what they were is written down the way Django writes migrations. Nothing is executed here.
"""

from __future__ import annotations

import ast
import re

from django.apps import apps
from django.conf import settings
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.writer import OperationWriter

from ..schema.operations import in_words
from ..utils.secrets import without_secrets
from ..utils.syntax import FUNCTIONS, LONGEST_TO_COMPARE, dotted, imported_names, parse_text
from .signing import digest

# Before the words of an operation that cannot be written as code.
ONLY_IN_WORDS = "# "
BY_DIGEST = "# SHA-256 "

# The module of the migration itself, whose name need not be one that can be imported.
ITSELF = "_migration_"

# In characters: of longer ones, as of SQL that is read from a file, only a digest is kept.
_LONGEST = 16 * 1024


def as_code(migration: Migration, module: str) -> list[str]:
    """
    Return the operations of a migration as code, each with its imports before it.

    Args:
        module: the name of the module that the migration is defined in.
    """
    return [written(operation, module) for operation in migration.operations]


def written(operation: Operation, module: str) -> str:
    """Return an operation as code, or in words after a sign where it cannot be written so."""
    try:
        call, imports = OperationWriter(operation, indentation=0).serialize()
        lines = sorted(line for line in imports if line != f"import {module}")
        code = "\n".join([*lines, call.replace(f"{module}.", f"{ITSELF}.").rstrip().rstrip(",")])
        code = _SETTING.sub(_without_default, code)
        ast.parse(code)
    except Exception:  # noqa: BLE001 (closures, and what other packages have in their operations)
        return ONLY_IN_WORDS + in_words(operation)
    code = without_secrets(code)
    return code if len(code) <= _LONGEST else f"{BY_DIGEST}{digest(code)}: {in_words(operation)}"


# What Django writes for a model that can be swapped.
_SETTING = re.compile(r"\bsettings\.([A-Z][A-Z0-9_]*)\b")


def _without_default(match: re.Match[str]) -> str:
    """Return the model itself where an installed app lets it be swapped and no setting does so."""
    name = match[1]
    if not hasattr(settings, name):
        for model in apps.get_models(include_swapped=True):
            if model._meta.swappable == name:
                return repr(model._meta.label_lower)
    return match[0]


def is_spelled_out(text: str) -> bool:
    """
    Say whether a text gives all operations as calls with literals, as Django writes them.

    Nothing that is here, and was not there, has them come to something else.
    """
    if len(text) > LONGEST_TO_COMPARE:
        # Only models and fields are compared.
        return True
    tree = parse_text(text)
    if tree is None or not all(map(_is_harmless, tree.body)):
        return False
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    if len(classes) != 1:
        return False
    (migration,) = classes
    is_plain = [dotted(base)[-1:] for base in migration.bases] == [["Migration"]]
    if migration.decorator_list or migration.keywords or not is_plain:
        return False
    names = _Names(tree)
    return all(names.spell_out(statement) for statement in migration.body)


# Statements of a module that change nothing of a class by themselves.
_HARMLESS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef, *FUNCTIONS)


def _is_harmless(statement: ast.stmt) -> bool:
    return isinstance(statement, _HARMLESS) or _is_docstring(statement)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


# The attributes of a migration of which the text has to give the value.
_THAT_COUNT = ("operations", "atomic")

# Arguments that take a function, a class or a list by its name.
_TAKE_NAMES = frozenset(
    [
        "bases",
        "choices",
        "code",
        "decoder",
        "default",
        "encoder",
        "managers",
        "on_delete",
        "reverse_code",
        "storage",
        "upload_to",
        "validators",
    ]
)

# Names of Django's that stand for the same anywhere. The setting is written as a setting.
_CONSTANT = ("django.db.migrations.", "django.db.models.", "django.conf.settings.AUTH_USER_MODEL")

_MAKE_DATES = {f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta")}


class _Names:
    """What the names of a module stand for: what it imports and what it defines, and nothing assigned."""

    def __init__(self, tree: ast.Module) -> None:
        self.meanings: dict[str, str] = {}
        assigned: set[str] = set()
        for statement in tree.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.meanings.update(imported_names(statement))
            elif isinstance(statement, (ast.ClassDef, *FUNCTIONS)):
                self.meanings[statement.name] = ITSELF
            else:
                assigned |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        for name in assigned:
            self.meanings.pop(name, None)

    def spell_out(self, statement: ast.stmt) -> bool:
        """Say whether a statement in the class of a migration leaves nothing of it to be computed."""
        if isinstance(statement, FUNCTIONS):
            return not statement.name.startswith("__")
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            return _is_docstring(statement)
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if len(names) < len(targets):
            return False
        return names.isdisjoint(_THAT_COUNT) or (
            statement.value is not None and self.is_literal(statement.value)
        )

    def is_literal(self, node: ast.expr, *, takes_name: bool = False) -> bool:
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return all(self.is_literal(element, takes_name=takes_name) for element in node.elts)
        if isinstance(node, ast.Dict):
            return all(key is not None and self.is_literal(key) for key in node.keys) and all(
                map(self.is_literal, node.values)
            )
        if isinstance(node, ast.UnaryOp):
            return self.is_literal(node.operand)
        if isinstance(node, ast.BinOp):
            return self.is_literal(node.left) and self.is_literal(node.right)
        if isinstance(node, ast.Call):
            return self._makes(node)
        name = self._meaning(node)
        return name.startswith(_CONSTANT) or name == ITSELF or (takes_name and name != "")

    def _makes(self, node: ast.Call) -> bool:
        """Say whether a call makes something of a class, with literals."""
        name = self._meaning(node.func)
        makes = name.rpartition(".")[2][:1].isupper() or name in _MAKE_DATES
        if not makes and not (name == ITSELF and dotted(node.func)[-1][:1].isupper()):
            return False
        keywords_are = (
            keyword.arg is not None and self.is_literal(keyword.value, takes_name=keyword.arg in _TAKE_NAMES)
            for keyword in node.keywords
        )
        # The functions of RunPython are its first arguments.
        takes_names = name.endswith(".RunPython")
        return all(self.is_literal(value, takes_name=takes_names) for value in node.args) and all(
            keywords_are
        )

    def _meaning(self, node: ast.expr) -> str:
        """Return the full name that a dotted name stands for; nothing for what is no such."""
        first, *rest = dotted(node) or [""]
        meaning = self.meanings.get(first, "")
        return ".".join([meaning, *rest]) if meaning not in ("", ITSELF) else meaning
