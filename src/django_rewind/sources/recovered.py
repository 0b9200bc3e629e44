"""From stored source back to a migration. Nothing is compiled that is not verified."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import find_spec
from traceback import walk_tb
from types import ModuleType
from typing import Any

import django
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from ..exceptions import NotRecoverable
from ..schema.effects import operations_in
from ..utils.printable import printable, why
from ..utils.types import Key, label
from . import signing
from .as_applied import changed_since, give_keys, has_other_effects, operations_of
from .bundle.changes import ContentDamaged
from .bundle.importer import StoredImporter, imports_that_fail
from .bundle.modules import installed_version, is_within, root_of
from .bundle.stubs import make_managers_importable
from .missing_apps import app_to_install, how_to_install, setting_to_set
from .signing import Verdict
from .stored import SourceReader, StoredMigration, how_to_edit, how_to_replace, why_unusable

# What decides where a migration stands in the graph.
_PLACE = ("dependencies", "run_before", "replaces", "initial")

# The plan of a migration of which version 0.1.0 stored the text and nothing else.
_NOT_DESCRIBED: dict[str, Any] = {"text": "what it did (known once it is loaded)", "reversible": True}


class StoredOperation(Operation):
    """
    An operation in the words that were written down when it was stored.

    It is replaced by the real one when the run needs that, so that a plan can be
    shown without executing stored code.
    """

    def __init__(self, text: str, reversible: bool, actions: list[Any] | None = None) -> None:
        self.text = printable(text)
        setattr(self, "reversible", reversible)  # noqa: B010 (a class attribute to Django)
        if actions is not None:
            # What describe_operation() of `migrate` looks at; None is irreversible.
            self.sql, self.reverse_sql = (action and printable(action) for action in actions)

    def describe(self) -> str:
        return self.text

    def state_forwards(self, app_label: str, state: Any) -> None:
        raise NotImplementedError(f"'{self.text}' is a description and cannot be run.")

    def database_forwards(self, app_label: str, *args: Any) -> None:
        self.state_forwards(app_label, None)

    def database_backwards(self, app_label: str, *args: Any) -> None:
        self.state_forwards(app_label, None)


class RecoveredMigration(Migration):
    """
    A migration rebuilt from its stored source, a node like any other.

    Its place in the graph comes from the stored metadata. Its operations are
    descriptions until `load()` executes the stored text; whatever needs the real
    ones (`mutate_state`, `apply`, `unapply`) loads by itself.
    """

    def __init__(self, stored: StoredMigration, reader: SourceReader, importer: StoredImporter) -> None:
        self.stored = stored
        self._reader = reader
        self._importer = importer
        self._loaded: Migration | None = None
        self._replaces_file = False
        # Whether executing it gives something else here, so that what was written down is used.
        self.is_as_evaluated = False
        # The stored text, where it was read together with others.
        self.text: str | None = None
        # In a fake run, when it does not load: it only has to be marked as unapplied.
        self.is_inert = False
        metadata = stored.metadata
        app_label, name = stored.key
        super().__init__(name, app_label)
        operations = metadata.operations if metadata.is_described else [_NOT_DESCRIBED]
        self._take(operations=[StoredOperation(**described) for described in operations])
        self._take(**{name: getattr(metadata, name) for name in _PLACE}, atomic=metadata.atomic)

    def take_place_of(self, other: Migration) -> None:
        """Stand in the graph where the migration of a modified file stands."""
        self._replaces_file = True
        self._take(**{name: getattr(other, name) for name in _PLACE})

    @property
    def stands_elsewhere(self) -> bool:
        """Whether its file depends on what it did not depend on when it was applied."""
        return self._replaces_file and not {*self.dependencies} <= {*self.stored.metadata.dependencies}

    def replace_dependencies(self, parents: Iterable[Key]) -> None:
        self._take(dependencies=list(parents))

    def limit_run_before(self, known: set[Key]) -> None:
        self._take(run_before=[key for key in self.run_before if key in known])

    def _take(self, **attributes: Any) -> None:
        # Class attributes to Django, which shadows them in each instance as well.
        for name, value in attributes.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)

    def __str__(self) -> str:
        # Before it is loaded nobody knows whether the file would do the same; if so, it is used.
        is_open = self._replaces_file and not self.is_loaded
        return f"{label(self.key)} ({'edited since it was applied' if is_open else 'from stored code'})"

    def __getattr__(self, name: str) -> Any:
        """Answer, once it is loaded, for what other packages have their migrations say of themselves."""
        loaded = self.__dict__.get("_loaded")
        if loaded is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(loaded, name)

    @property
    def key(self) -> Key:
        return (self.app_label, self.name)

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    @property
    def loaded(self) -> Migration:
        self.load()
        assert self._loaded is not None
        return self._loaded

    def load(self) -> None:
        """Verify the stored text, execute it, and take its operations, or raise NotRecoverable."""
        if self._loaded is None:
            text, self.text = self.text, None
            self._loaded = self._execute(self._verified(text))
            make_managers_importable(self._loaded.operations)
            # The same list: receivers of pre_migrate add operations to it.
            setattr(self, "operations", self._loaded.operations)  # noqa: B010

    def _verified(self, text: str | None) -> str:
        stored = self.stored
        unusable = why_unusable(stored) or self._importer.consent.why_not(stored)
        if unusable is not None:
            raise unusable
        text = self._reader.texts([stored.key]).get(stored.key) if text is None else text
        if text is None:
            raise NotRecoverable(stored.key, "its stored source has gone from the database.")
        if signing.digest(text) != stored.digest:
            reason = f"{Verdict.SIGNATURE_MISMATCH.value}."
            raise NotRecoverable(stored.key, reason, how_to_replace(stored.key))
        if not all(map(_can_be_a_file, stored.module.split("."))):
            raise NotRecoverable(stored.key, "the module that it says it was cannot be one.")
        return text

    def _execute(self, text: str) -> Migration:
        stored = self.stored
        try:
            module = self._importer.execute(
                stored.module, text, stored.metadata.bundle, self._reader.contents
            )
            made: Any = module.Migration(self.name, self.app_label)
            is_one = isinstance(made, Migration) and _are_operations(made.operations)
        except ContentDamaged as damage:
            raise NotRecoverable(stored.key, f"{damage}.", how_to_replace(stored.key)) from None
        except ImportError as error:
            raise _lacks_something(stored, error, _importing_module(stored, error)) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever stored code raises, SystemExit among it.
            raise _does_not_load(stored, error) from error
        if not is_one:
            raise NotRecoverable(stored.key, "its stored source has no class Migration of Django's.")
        migration: Migration = made
        return self._as_applied(migration, module)

    def _as_applied(self, migration: Migration, module: ModuleType) -> Migration:
        """Return what was executed with the operations that were applied, or raise NotRecoverable."""
        stored = self.stored
        metadata = stored.metadata
        change = changed_since(metadata, migration, stored.module)
        if change:
            # Another Django writes operations in other ways, and need not know all that this one has written.
            is_other = metadata.is_of_this_django or has_other_effects(metadata, migration)
            try:
                codes = metadata.evaluated
                operations = None if codes is None else operations_of(codes, migration, module)
            except Exception as error:
                if is_other:
                    raise _does_not_load(stored, error) from error
                operations = None
            if operations is not None:
                setattr(migration, "operations", operations)  # noqa: B010 (a class attribute to Django)
                self.is_as_evaluated = True
            elif is_other:
                what = "what was applied" if metadata.was_imported else "its text says"
                raise NotRecoverable(
                    stored.key,
                    f"executed here it is something else than {what}: {change}.",
                    "Have the settings, the environment and the installed apps and packages that it is computed "
                    f"from as they were, and try again. {self.how_to_edit}",
                )
        setattr(migration, "atomic", metadata.atomic)  # noqa: B010
        give_keys(migration.operations, metadata.auto_field)
        return migration

    def check_functions(self) -> None:
        """Raise NotRecoverable where a function imports, on the way back, what is neither stored nor here."""
        for operation in operations_in(self.loaded, database=True):
            function = getattr(operation, "reverse_code", None)
            for wanted, importing in imports_that_fail(function):
                error = ImportError(f"No module named {wanted!r}", name=wanted)
                raise _lacks_something(self.stored, error, importing)

    @property
    def how_to_edit(self) -> str:
        """The way out where its code does not do what it has to."""
        return how_to_edit(self.key, self.dependencies, has_file=self._replaces_file)

    def unload(self) -> None:
        """Drop what was executed: the folder of its data files is about to go."""
        self._loaded = None

    def can_be_loaded(self) -> bool:
        try:
            self.load()
        except NotRecoverable:
            return False
        return True

    def mutate_state(self, project_state: Any, preserve: bool = True) -> Any:
        state = project_state.clone() if preserve else project_state
        if not self.is_inert:
            state = self.loaded.mutate_state(state, preserve=False)
            # An app without migrations here has the models of its migrations, not those of now.
            state.real_apps = type(state.real_apps)(one for one in state.real_apps if one != self.app_label)
        return state

    def apply(self, project_state: Any, schema_editor: Any, collect_sql: bool = False) -> Any:
        return self.loaded.apply(project_state, schema_editor, collect_sql)

    def unapply(self, project_state: Any, schema_editor: Any, collect_sql: bool = False) -> Any:
        return self.loaded.unapply(project_state, schema_editor, collect_sql)


def source_of(migration: Migration) -> str:
    """Return where the code of a migration comes from: ``"stored"`` or ``"file"``."""
    return "stored" if isinstance(migration, RecoveredMigration) else "file"


def modules_imported(migration: Migration) -> set[str]:
    """Return the modules that a migration is known to import."""
    if isinstance(migration, RecoveredMigration):
        return _imported_by(migration.stored)
    module = sys.modules.get(type(migration).__module__)
    values = [] if module is None else list(vars(module).values())
    owners = (getattr(value, "__module__", None) or getattr(value, "__name__", None) for value in values)
    return {owner for owner in owners if isinstance(owner, str)}


def _imported_by(stored: StoredMigration) -> set[str]:
    bundle = stored.metadata.bundle
    return {*bundle.packages, *(member.name for member in bundle.modules)}


def _are_operations(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(hasattr(item, "state_forwards") for item in value)


def _can_be_a_file(part: str) -> bool:
    return bool(part) and part.isprintable() and not set(part) & set("/\\")


def _does_not_load(stored: StoredMigration, error: BaseException) -> NotRecoverable:
    then = stored.metadata.django
    app = app_to_install(error, _imported_by(stored))
    if app:
        reason = f"its stored source does not load ({why(error)})."
        step = how_to_install(app)
    elif (name := setting_to_set(error)) != "":
        reason = f"its stored source does not load ({why(error)})."
        step = f"Set {name} in the settings as it was when {label(stored.key)} was applied, and try again."
    elif stored.metadata.is_of_this_django:
        reason = f"its stored source does not load ({why(error)})."
        step = f"Make importable what {label(stored.key)} needs, or bring back its file."
    else:
        reason = (
            f"its stored source does not load under Django {django.get_version()} ({why(error)}). "
            f"It was stored under Django {then}."
        )
        step = f"Undo it where Django {then} runs, or bring back a file of it that loads here."
    return NotRecoverable(stored.key, reason, step)


def _lacks_something(stored: StoredMigration, error: ImportError, importing: str) -> NotRecoverable:
    bundle = stored.metadata.bundle
    wanted = error.name or ""
    who = "its stored source" if importing == stored.module else f"its module {importing}"
    reason = f"{who} cannot import what it needs ({why(error).partition(': ')[2]})"
    step = f"Make {wanted or 'it'} importable, or bring back the file of {label(stored.key)}."
    root = root_of(wanted)
    if root and root != root_of(stored.module) and find_spec(root) is None:
        step = f"Install the package that brings '{root}', or make it importable, and try again."
    version = bundle.packages.get(root)
    left_out = next((name for name in sorted(bundle.left_out) if wanted and is_within(name, wanted)), None)
    if left_out is not None:
        reason += f"; {left_out} was not stored with it: {bundle.left_out[left_out]}"
        step = f"Bring back {left_out} and try again."
    elif version is not None:
        now = installed_version(root)
        reason += f"; {version} was installed when it was stored, and {now or 'it is not'} now"
        step = f"Install {version.replace(' ', '==')} and try again."
    return NotRecoverable(stored.key, f"{reason}.", step)


def _importing_module(stored: StoredMigration, error: ImportError) -> str:
    """Return the stored module whose import has failed: the innermost in the traceback."""
    names = {stored.module, *(member.name for member in stored.metadata.bundle.modules)}
    frames = (str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__))
    return [stored.module, *(name for name in frames if name in names)][-1]
