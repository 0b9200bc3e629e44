"""
The operations of a stored migration as they were applied, whatever its text comes to here.

What was written down of them is compared with what the text comes to, and made again in its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from django.conf import settings
from django.db import migrations
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.utils.module_loading import import_string

from ..schema.effects import effects_of, models_without_key
from ..utils.printable import in_short
from ..utils.secrets import HIDDEN
from ..utils.types import Effect
from .description import Metadata
from .evaluated import BY_DIGEST, ITSELF, ONLY_IN_WORDS, as_code, written

# In characters: of an operation in an error.
_LONGEST_SHOWN = 200


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
    here = [(operation, written(operation, module.__name__)) for operation in migration.operations]
    rest = [(operation, code) for operation, code in here if code.startswith(ONLY_IN_WORDS)]
    words = [code for code in codes if code.startswith(ONLY_IN_WORDS)]
    if any(HIDDEN in code for code in codes) or words != [code for _, code in rest]:
        return None
    if not all(code.startswith(BY_DIGEST) or _is_alone(operation) for operation, code in rest):
        return None
    left = iter([operation for operation, _ in rest])
    return [next(left) if code.startswith(ONLY_IN_WORDS) else _made(code, module) for code in codes]


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
    namespace = {"__builtins__": vars(module)["__builtins__"], "migrations": migrations, ITSELF: module}
    filename = f"<evaluated {module.__name__}>"
    exec(compile(ast.Module(imports, []), filename, "exec"), namespace)  # noqa: S102 (signed)
    return eval(compile(ast.Expression(last.value), filename, "eval"), namespace)  # noqa: S307 (signed)


def changed_since(metadata: Metadata, migration: Migration, module: str) -> str:
    """Say what of a migration is not what was written down of it; nothing where all is the same."""
    if not metadata.was_imported and metadata.evaluated is None:
        return _is_not_as_read(metadata, migration)
    if metadata.evaluated is None:
        then, now = _outline(metadata.effects), _outline(effects_of(migration))
    else:
        then, now = metadata.evaluated, as_code(migration, module)
        if len(then) == len(now):
            # What cannot be written here, for its class is stored and not here, is the same in words.
            words = [ONLY_IN_WORDS + operation["text"] for operation in metadata.operations]
            now = [before if after == known else after for before, after, known in zip(then, now, words)]
    return "" if then == now else _difference(then, now)


def _is_not_as_read(metadata: Metadata, migration: Migration) -> str:
    """Say what of a migration is not what its text says by itself, as far as that says it."""
    then, now = (_outline(effects, tables=False) for effects in (metadata.effects, effects_of(migration)))
    if any(effect["effect"] == "opaque" for effect in metadata.effects):
        # Others may stand between those that are known.
        left = iter(now)
        lacking = next((one for one in then if one not in left), None)
        return f"it has not {_in_one_line(lacking)}" if lacking else ""
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


def _outline(effects: list[Effect], *, tables: bool = True) -> list[str]:
    """Return what is known of every stored migration, whatever version has stored it."""
    return [_in_words(effect, tables=tables) for effect in effects if effect["effect"] in _COMPARED]


def _in_words(effect: Effect, *, tables: bool) -> str:
    words = [effect["effect"].replace("_", " "), ".".join(filter(None, map(effect.get, ("model", "field"))))]
    told = ("to", "table") if tables else ("to",)
    words += [f"{name} {effect[name]}" for name in told if effect.get(name)]
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
    call = call.removeprefix(ONLY_IN_WORDS)
    return f"'{in_short(call.replace('( ', '(').replace(', )', ')'), _LONGEST_SHOWN)}'"
