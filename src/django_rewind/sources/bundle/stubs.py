"""What stands in the place of classes that stored code refers to by name."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from django.db.migrations.operations.base import Operation
from django.db.models.manager import BaseManager

from ...schema.effects import flatten


class ModelStub:
    """
    In the place of a model class: what was taken of the old one, else the present one.

    An old model is never made again. A function for `upload_to` that was defined in
    its body, or an enumeration, is still found under the name of the model.
    """

    def __init__(self, name: str, taken: type | None, model: Any) -> None:
        self._name = name
        self._holders = [one for one in (taken, model) if one is not None]
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
        """Serve as a base: what derives from it derives from the model."""
        return (self._need(),)

    def _need(self) -> Any:
        if self._model is None:
            raise LookupError(f"the model {self._name} is not in this checkout")
        return self._model


# Classes of stored modules that Django wants to import by a path, while they live.
_by_path: WeakValueDictionary[str, type] = WeakValueDictionary()


def __getattr__(name: str) -> type:
    """Serve a class of a stored module under the path that `_path_of` made for it."""
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
            cls = manager._queryset_class if _is_from_queryset(manager) else type(manager)
            if not _is_found_by_path(cls):
                manager.deconstruct = _Deconstruct(manager, _path_of(cls))


class _Deconstruct:
    """What `manager.deconstruct()` returns, with a path that leads to the stored class."""

    def __init__(self, manager: Any, path: str) -> None:
        if _is_from_queryset(manager):
            self._parts: tuple[Any, ...] = (True, None, path, None, None)
        else:
            args, kwargs = manager._constructor_args
            self._parts = (False, path, None, args, kwargs)

    def __call__(self) -> tuple[Any, ...]:
        return self._parts


def _is_from_queryset(manager: BaseManager[Any]) -> bool:
    return bool(getattr(manager, "_built_with_asmanager", False))


def _is_found_by_path(cls: type) -> bool:
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls


def _path_of(cls: type) -> str:
    name = f"{cls.__name__}_{id(cls):x}"
    _by_path[name] = cls
    return f"{__name__}.{name}"
