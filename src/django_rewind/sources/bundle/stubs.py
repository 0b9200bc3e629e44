"""What stands for models, managers and functions that stored code asks for by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import module_from_spec, resolve_name, spec_from_file_location
from types import ModuleType
from typing import Any, Protocol
from weakref import WeakValueDictionary

from django.db.migrations.operations.base import Operation

from ...schema.effects import flatten
from ...utils.compat import class_of_manager
from .modules import root_of


class ModelStub:
    """
    In the place of a model class: what was taken of the old one, else the present one.

    An old model is never made again. A function for `upload_to` that was defined in
    its body, or an enumeration, is still found under the name of the model.
    """

    def __init__(self, name: str, taken: type | None, model: Any) -> None:
        self._name = name
        self._holders = [holder for holder in (taken, model) if holder is not None]
        self._model = model

    def __repr__(self) -> str:
        return f"<{self._name}, as it was>"

    def __getattr__(self, attribute: str) -> Any:
        for holder in self._holders:
            if hasattr(holder, attribute):
                return getattr(holder, attribute)
        raise AttributeError(f"the model {self._name} is not in this checkout, and has no '{attribute}'")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._need()(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._need())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._need())

    def __mro_entries__(self, bases: Any) -> tuple[Any, ...]:
        # What derives from the stub derives from the model.
        return (self._need(),)

    def _need(self) -> Any:
        if self._model is None:
            raise LookupError(f"the model {self._name} is not in this checkout")
        return self._model


# Managers --------------------------------------------------------------------

# Classes of stored modules that Django wants to import by a path, while they live.
_by_path: WeakValueDictionary[str, type] = WeakValueDictionary()


def __getattr__(name: str) -> type:
    """Serve a class of a stored module under the path that `make_managers_importable` made for it."""
    try:
        return _by_path[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def make_managers_importable(operations: Iterable[Operation]) -> None:
    """
    Have Django find the managers in operations that were loaded from the store.

    `ModelState.construct_managers()` (django/db/migrations/state.py) imports the
    class of each manager by its path whenever it renders a model, and would find
    the one of this checkout, or none.
    """
    for operation in flatten(operations, database=False):
        for _, manager in getattr(operation, "managers", None) or ():
            cls, arguments = class_of_manager(manager)
            if getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls:
                name = f"{cls.__name__}_{id(cls):x}"
                _by_path[name] = cls
                manager.deconstruct = _Deconstruct(arguments, f"{__name__}.{name}")


class _Deconstruct:
    """What `manager.deconstruct()` returns, with a path that leads to the stored class."""

    def __init__(self, arguments: tuple[Any, ...] | None, path: str) -> None:
        self._parts = (True, None, path, None, None) if arguments is None else (False, path, None, *arguments)

    def __call__(self) -> tuple[Any, ...]:
        return self._parts


# Functions that import by name, or that read what lies beside a module --------


class ImportScope(Protocol):
    """What the importer lets one stored module import."""

    roots: set[str]
    # Where the files of stored modules are.
    paths: Any

    def import_(self, name: str) -> Any: ...

    def module(self, name: str) -> ModuleType: ...

    def stub_of(self, module: ModuleType) -> ModuleType: ...


def has_stubs(module: ModuleType) -> bool:
    """Say whether stored code gets other functions of a module, or of one below it."""
    return any(name.startswith(f"{module.__name__}.") for name in _STUBS)


class ModuleStub(ModuleType):
    """A module of which stored code gets some other functions, or of modules below it."""

    def __init__(self, real: ModuleType, scope: ImportScope) -> None:
        super().__init__(real.__name__)
        self.__path__ = getattr(real, "__path__", [])
        vars(self).update(_real=real, _scope=scope)

    def __getattr__(self, name: str) -> Any:
        value = getattr(vars(self)["_real"], name)
        scope: ImportScope = vars(self)["_scope"]
        if isinstance(value, ModuleType):
            return scope.stub_of(value)
        stub = _STUBS.get(f"{self.__name__}.{name}")
        return partial(stub, scope, value) if stub else value


def _import_module(
    scope: ImportScope, real: Callable[..., Any], name: str, package: str | None = None
) -> ModuleType:
    absolute = resolve_name(name, package or "")
    if root_of(absolute) in scope.roots:
        return scope.module(absolute)
    scope.import_(absolute)
    return scope.stub_of(sys.modules[absolute])


def _import_string(scope: ImportScope, real: Callable[..., Any], dotted_path: str) -> Any:
    module_path, _, attribute = dotted_path.rpartition(".")
    try:
        return getattr(_import_module(scope, real, module_path), attribute)
    except (AttributeError, ValueError) as error:
        raise ImportError(f"{dotted_path} cannot be imported ({error})") from error


def _get_data(scope: ImportScope, real: Callable[..., Any], package: str, resource: str) -> bytes | None:
    is_own = scope.paths.is_own(package)
    data: bytes | None = (
        scope.paths.folder(package).joinpath(resource).read_bytes() if is_own else real(package, resource)
    )
    return data


def _of_package(scope: ImportScope, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    kwargs = {name: _anchor(scope, value) for name, value in kwargs.items()}
    return real(*(_anchor(scope, value) for value in args[:1]), *args[1:], **kwargs)


def _anchor(scope: ImportScope, package: Any) -> Any:
    name = getattr(package, "__name__", package)
    if not isinstance(name, str) or not scope.paths.is_own(name):
        return package
    spec = spec_from_file_location(name, scope.paths.of(name, is_package=True))
    return module_from_spec(spec) if spec is not None else package


_RESOURCES = [
    "contents",
    "files",
    "is_resource",
    "open_binary",
    "open_text",
    "path",
    "read_binary",
    "read_text",
]

# By the full name of what each stands for.
_STUBS: dict[str, Callable[..., Any]] = {
    "importlib.import_module": _import_module,
    "django.utils.module_loading.import_string": _import_string,
    "pkgutil.get_data": _get_data,
    **{f"importlib.resources.{name}": _of_package for name in _RESOURCES},
}
