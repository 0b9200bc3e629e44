"""
What the operations of a migration came to when it was stored, where its text does not spell them out.

A text may compute them: from a setting, the environment, the apps that are installed.
Executed where these are different, it makes other operations than those that were applied. So
what they were is written down the way Django writes migrations, and can be executed in their place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import migrations
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.writer import OperationWriter
from django.utils.module_loading import import_string

from ..schema.effects import effects_of, models_without_key
from ..schema.operations import in_words
from ..utils.printable import in_short
from ..utils.secrets import HIDDEN, without_secrets
from ..utils.syntax import FUNCTIONS, LONGEST_TO_COMPARE, dotted, parse_text
from ..utils.types import Effect
from .signing import digest

if TYPE_CHECKING:
    from .description import Metadata

# Before the words of an operation that cannot be written as code.
_ONLY_IN_WORDS = "# "
_BY_DIGEST = "# SHA-256 "

# The module of the migration itself, whose name need not be one that can be imported.
_ITSELF = "_migration_"

# In characters: of longer ones, as of SQL that is read from a file, only a digest is kept.
_LONGEST = 16 * 1024

# In characters: of an operation in an error.
_LONGEST_SHOWN = 200


def as_code(migration: Migration, module: str) -> list[str]:
    """
    Return the operations of a migration as code, each with its imports before it.

    Args:
        module: the name of the module that the migration is defined in.
    """
    return [_written(operation, module) for operation in migration.operations]


def _written(operation: Operation, module: str) -> str:
    try:
        call, imports = OperationWriter(operation, indentation=0).serialize()
        lines = sorted(line for line in imports if line != f"import {module}")
        code = "\n".join([*lines, call.replace(f"{module}.", f"{_ITSELF}.").rstrip().rstrip(",")])
        ast.parse(code)
    except Exception:  # noqa: BLE001 (closures, and what other packages have in their operations)
        return _ONLY_IN_WORDS + in_words(operation)
    code = without_secrets(code)
    return code if len(code) <= _LONGEST else f"{_BY_DIGEST}{digest(code)}: {in_words(operation)}"


def operations_of(codes: list[str], migration: Migration, module: ModuleType) -> list[Any] | None:
    """
    Return the operations that were written down, made with the functions of the stored module.

    What is only there in words is taken from the migration as it is here, where that can be
    the same only: functions that nothing was given beside their arguments.

    Returns:
        None where not all of them can be made.

    Raises:
        Exception: whatever executing them raises.
    """
    here = [(operation, _written(operation, module.__name__)) for operation in migration.operations]
    rest = [(operation, code) for operation, code in here if code.startswith(_ONLY_IN_WORDS)]
    words = [code for code in codes if code.startswith(_ONLY_IN_WORDS)]
    if any(HIDDEN in code for code in codes) or words != [code for _, code in rest]:
        return None
    if not all(code.startswith(_BY_DIGEST) or _is_alone(operation) for operation, code in rest):
        return None
    left = iter([operation for operation, _ in rest])
    return [next(left) if code.startswith(_ONLY_IN_WORDS) else _made(code, module) for code in codes]


def _is_alone(operation: Any) -> bool:
    """Say whether the text of its functions is all that decides what an operation does."""
    functions = [getattr(operation, name, None) for name in ("code", "reverse_code")]
    return callable(functions[0]) and all(
        function is None
        or (isinstance(function, FunctionType) and not (function.__closure__ or function.__defaults__))
        for function in functions
    )


def _made(code: str, module: ModuleType) -> Any:
    tree = ast.parse(code)
    *imports, last = tree.body
    assert isinstance(last, ast.Expr)
    namespace = {"__builtins__": vars(module)["__builtins__"], "migrations": migrations, _ITSELF: module}
    filename = f"<evaluated {module.__name__}>"
    exec(compile(ast.Module(imports, []), filename, "exec"), namespace)  # noqa: S102 (signed)
    return eval(compile(ast.Expression(last.value), filename, "eval"), namespace)  # noqa: S307 (signed)


def changed_since(metadata: Metadata, migration: Migration, module: str) -> str:
    """Say what of a migration is not what was written down of it; nothing where all is the same."""
    if metadata.evaluated is None:
        then, now = _outline(metadata.effects), _outline(effects_of(migration))
    else:
        then, now = metadata.evaluated, as_code(migration, module)
        if len(then) == len(now):
            # What cannot be written here, for its class is stored and not here, is the same in words.
            words = [_ONLY_IN_WORDS + operation["text"] for operation in metadata.operations]
            now = [before if after == known else after for before, after, known in zip(then, now, words)]
    return "" if then == now else _difference(then, now)


def has_other_effects(metadata: Metadata, migration: Migration) -> bool:
    """Say whether a migration does something else to models and fields, however that is written."""
    return _outline(metadata.effects) != _outline(effects_of(migration))


def is_evaluated_otherwise(metadata: Metadata, migration: Migration, module: str) -> bool:
    """Say whether a file of which the text is the same comes to something else than it did."""
    is_other_key = bool(metadata.auto_field) and metadata.auto_field != settings.DEFAULT_AUTO_FIELD
    return is_other_key or (
        metadata.evaluated is not None and bool(changed_since(metadata, migration, module))
    )


def give_keys(operations: Iterable[Operation], auto_field: str) -> None:
    """Give models the key that the setting DEFAULT_AUTO_FIELD gave them, where it gives another now."""
    if auto_field in ("", settings.DEFAULT_AUTO_FIELD):
        return
    for operation in models_without_key(operations):
        key = import_string(auto_field)(
            auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
        )
        operation.fields.insert(0, ("id", key))


# Later versions may say more of the others.
_COMPARED = {
    *("create_model", "delete_model", "rename_model", "alter_table"),
    *("add_field", "alter_field", "remove_field", "rename_field"),
}


def _outline(effects: list[Effect]) -> list[str]:
    """Return what is known of every stored migration, whatever version has stored it."""
    return [_in_words(effect) for effect in effects if effect["effect"] in _COMPARED]


def _in_words(effect: Effect) -> str:
    words = [effect["effect"].replace("_", " "), ".".join(filter(None, map(effect.get, ("model", "field"))))]
    words += [f"{name} {effect[name]}" for name in ("to", "table") if effect.get(name)]
    if effect.get("fields"):
        words.append(f"with {', '.join(sorted(effect['fields']))}")
    if effect["database"] != effect["state"]:
        words.append(f"in the {'database' if effect['database'] else 'state'} alone")
    return " ".join(words)


def _difference(then: list[str], now: list[str]) -> str:
    """Return the first operation that is not what it was, in words."""
    for before, after in zip(then, now):
        if before != after:
            return f"it was {_in_one_line(before)}, and is {_in_one_line(after)} here"
    if len(then) > len(now):
        return f"it had {_in_one_line(then[len(now)])}, which it has not here"
    return f"it has {_in_one_line(now[len(then)])} here, which it had not"


def _in_one_line(code: str) -> str:
    """Return an operation without its imports, as one reads it."""
    lines = [line.strip() for line in code.splitlines() if not line.startswith(("import ", "from "))]
    call = " ".join(lines)
    call = call.removeprefix(_ONLY_IN_WORDS)
    return f"'{in_short(call.replace('( ', '(').replace(', )', ')'), _LONGEST_SHOWN)}'"


# Whether a text spells them out -----------------------------------------------


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
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    root = alias.name.partition(".")[0]
                    self.meanings[alias.asname or root] = alias.name if alias.asname else root
            elif isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    self.meanings[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
            elif isinstance(statement, (ast.ClassDef, *FUNCTIONS)):
                self.meanings[statement.name] = _ITSELF
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
        return name.startswith(_CONSTANT) or name == _ITSELF or (takes_name and name != "")

    def _makes(self, node: ast.Call) -> bool:
        """Say whether a call makes something of a class, with literals."""
        name = self._meaning(node.func)
        makes = name.rpartition(".")[2][:1].isupper() or name in _MAKE_DATES
        if not makes and not (name == _ITSELF and dotted(node.func)[-1][:1].isupper()):
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
        return ".".join([meaning, *rest]) if meaning not in ("", _ITSELF) else meaning
