"""
From a migration to its text and to what is written down beside it.

Text, not objects: contenttypes adds operations to planned migrations in memory,
so what is stored is the file as written.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from ..schema.effects import are_effects, effects_of, is_reversible, models_without_key
from ..schema.operations import in_words
from ..utils.printable import why
from ..utils.secrets import without_secrets
from ..utils.types import Effect, Key
from .bundle.manifest import EMPTY_BUNDLE, Bundle
from .bundle.modules import SourceUnavailable, decode
from .evaluated import as_code, is_spelled_out

# Django truncates what an operation does to 40 characters; more need not be kept.
_ACTION_LENGTH = 60


# The effects of what nobody can look into.
OPAQUE: list[Effect] = [{"effect": "opaque", "database": True, "state": True}]


@dataclass(frozen=True)
class Metadata:
    """
    What the graph and a plan need to know of a stored migration.

    It is stored as data, so that neither has to execute anything.
    """

    dependencies: list[Key]
    run_before: list[Key]
    replaces: list[Key]
    initial: bool | None
    atomic: bool
    # [{"text", "reversible", "actions"?}, …]: what `migrate --plan` prints.
    operations: list[dict[str, Any]]
    effects: list[Effect]
    bundle: Bundle = EMPTY_BUNDLE
    # Versions at the time, for messages.
    django: str = ""
    python: str = ""
    # Of a text that was found in git: the commit, and when that was.
    commit: str = ""
    committed: str = ""
    # Whether a person was shown all of that text, with its bundle, and agreed to it.
    agreed: bool = False
    # What the operations came to, as code, where the text does not spell them out.
    evaluated: list[str] | None = None
    # The DEFAULT_AUTO_FIELD of that time, where a model was made without a key.
    auto_field: str = ""

    def as_text(self) -> str:
        data = {**vars(self), "needs": self.bundle.as_data()}
        del data["bundle"]
        if not self.commit:
            # As earlier versions wrote it, and can read it.
            del data["commit"], data["committed"]
        if not self.agreed:
            del data["agreed"]
        if self.evaluated is None:
            del data["evaluated"]
        if not self.auto_field:
            del data["auto_field"]
        return json.dumps(data, sort_keys=True)

    def with_other_names(self, moved: Mapping[Key, Key]) -> Metadata:
        """Return the same with other names for what it depends on and is to come before."""
        return replace(
            self,
            dependencies=[moved.get(key, key) for key in self.dependencies],
            run_before=[moved.get(key, key) for key in self.run_before],
        )

    def as_applied(self, applied: Metadata) -> Metadata:
        """Return the same with what was noted of the operations when the migration was applied."""
        return replace(self, **{name: getattr(applied, name) for name in _OF_OPERATIONS})

    @property
    def is_described(self) -> bool:
        """Whether it is known what the migration does: it was looked at, or its text spells it out."""
        return self.was_imported or self.effects != OPAQUE

    @property
    def was_imported(self) -> bool:
        """Whether the migration itself was there to be described, and not its text alone."""
        return bool(self.django)

    @property
    def is_of_this_django(self) -> bool:
        """Whether it was described under the series of Django that is running, as far as that is known."""
        return _series(self.django) in ("", _series(django.get_version()))

    def comparable(self) -> Any:
        """Return what it does, in a form that can be compared."""
        return json.loads(json.dumps([self.operations, self.effects, self.atomic]))

    @classmethod
    def from_text(cls, text: str) -> Metadata:
        """Return what `as_text()` wrote; raise ValueError for anything else."""
        try:
            if len(text) > _LONGEST_METADATA:
                raise ValueError(f"{len(text):,} characters are more than metadata have")
            data: Any = json.loads(text, parse_int=_number, parse_constant=_number)
            for name in ("dependencies", "run_before", "replaces"):
                data[name] = _pairs(data[name])
            bundle = data.pop("needs", {})
            data["bundle"] = EMPTY_BUNDLE if bundle == {} else Bundle.from_data(bundle)
            metadata = cls(**data)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"metadata cannot be read ({why(error)})") from error
        for name, is_valid in _VALID.items():
            if not is_valid(data.get(name)):
                raise ValueError(f"metadata cannot be read ({name} is not what it should be)")
        return metadata


# What hangs on where a migration was executed, and is not told by its text alone.
_OF_OPERATIONS = ("operations", "effects", "evaluated", "auto_field", "django", "python")


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


# In characters. What is longer than the metadata of any migration would take memory without end.
_LONGEST_METADATA = 4 * 1024 * 1024

# Numbers are sizes: Python 3.9 takes minutes to read one of a million digits.
_LONGEST_NUMBER = 19


def _number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return int(digits)


def _pairs(value: Any) -> list[Key]:
    is_list = isinstance(value, list) and all(isinstance(pair, list) for pair in value)
    if not (is_list and all(isinstance(part, str) for pair in value for part in pair)):
        raise ValueError("what it depends on is no list of pairs")
    return [(app_label, name) for app_label, name in value]


def _is_operation(text: Any = None, reversible: Any = None, actions: Any = (), **others: Any) -> bool:
    are_two = isinstance(actions, (list, tuple)) and len(actions) in (0, 2)
    are_texts = are_two and all(action is None or isinstance(action, str) for action in actions)
    return isinstance(text, str) and isinstance(reversible, bool) and are_texts and not others


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


# The attributes that JSON could hold in another form.
_VALID: dict[str, Callable[[Any], bool]] = {
    "initial": lambda value: value is None or isinstance(value, bool),
    "atomic": lambda value: isinstance(value, bool),
    "operations": lambda value: (
        isinstance(value, list)
        and all(isinstance(operation, dict) and _is_operation(**operation) for operation in value)
    ),
    "effects": are_effects,
    "django": _is_text,
    "python": _is_text,
    "evaluated": lambda value: (
        value is None or (isinstance(value, list) and all(isinstance(code, str) for code in value))
    ),
    "auto_field": _is_text,
    "commit": _is_text,
    "committed": _is_text,
    "agreed": lambda value: value is None or isinstance(value, bool),
}


def module_of(key: Key) -> str:
    """
    Return the dotted name of the module that Django loads a migration from.

    Not `type(migration).__module__`: a migration module may import the class.
    """
    package, _ = MigrationLoader.migrations_module(key[0])
    return f"{package}.{key[1]}"


def has_file(key: Key) -> bool:
    """Say whether this checkout has a file of a migration; it is not imported."""
    try:
        return find_spec(module_of(key)) is not None
    except (ImportError, LookupError, AttributeError, ValueError):
        # Its app, or the package of its migrations, is not here.
        return False


def read_text(module_name: str) -> str:
    """Return the text of an imported module, decoded, with line ends as they were."""
    module = sys.modules.get(module_name)
    if module is None:
        raise SourceUnavailable(f"the module {module_name} has not been imported")
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py"):
        raise SourceUnavailable(f"the module {module_name} has no source file, only {path}")
    return decode(path, module.__loader__)


def as_written(migration: Migration) -> Migration:
    """Return a migration without the operations that others have added to it in memory."""
    return type(migration)(migration.name, migration.app_label)


def describe(
    migration: Migration, bundle: Bundle = EMPTY_BUNDLE, source: tuple[str, str] = ("", "")
) -> Metadata:
    """
    Return what a migration says of itself.

    Args:
        source: the name of its module and the text of that, where the description is to be stored.
    """
    fresh = as_written(migration)
    module, text = source
    return Metadata(
        dependencies=keys_of(fresh.dependencies),
        run_before=keys_of(fresh.run_before),
        replaces=keys_of(fresh.replaces),
        initial=None if fresh.initial is None else bool(fresh.initial),
        atomic=bool(fresh.atomic),
        operations=[describe_operation(operation) for operation in fresh.operations],
        effects=effects_of(fresh),
        bundle=bundle,
        django=django.get_version(),
        python=platform.python_version(),
        evaluated=as_code(fresh, module) if text and not is_spelled_out(text) else None,
        auto_field=settings.DEFAULT_AUTO_FIELD if any(models_without_key(fresh.operations)) else "",
    )


def keys_of(pairs: Any) -> list[Key]:
    return [(str(app_label), str(name)) for app_label, name in pairs]


def describe_operation(operation: Any) -> dict[str, Any]:
    described = {"text": in_words(operation), "reversible": is_reversible(operation)}
    try:
        # The two kinds of action that describe_operation() of `migrate` knows.
        if hasattr(operation, "code"):
            described["actions"] = (_docstring(operation.code), _docstring(operation.reverse_code))
        elif hasattr(operation, "sql"):
            described["actions"] = (_sql(operation.sql), _sql(operation.reverse_sql))
    except Exception:  # noqa: BLE001, S110 (Django asks for these when it shows a plan, not when it runs one)
        pass
    return described


def _docstring(code: Any) -> str | None:
    return (code.__doc__ or "")[:_ACTION_LENGTH] if code else None


def _sql(statements: Any) -> str | None:
    return None if statements is None else without_secrets(str(statements))[:_ACTION_LENGTH]
