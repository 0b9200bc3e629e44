"""Functions that import by name, or that read what lies beside a module, as stored code has them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, resolve_name, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .modules import root_of

if TYPE_CHECKING:
    from .importer import Surroundings


def has_others(module: ModuleType) -> bool:
    """Say whether functions of a module, or of one below it, are others to stored code."""
    return any(name.startswith(f"{module.__name__}.") for name in _INSTEAD)


class Instead(ModuleType):
    """A module of which some functions are others, or those of modules below it."""

    def __init__(self, real: ModuleType, surroundings: Surroundings) -> None:
        super().__init__(real.__name__)
        self.__path__ = getattr(real, "__path__", [])
        vars(self).update(_real=real, _surroundings=surroundings)

    def __getattr__(self, name: str) -> Any:
        found = getattr(vars(self)["_real"], name)
        surroundings: Surroundings = vars(self)["_surroundings"]
        if isinstance(found, ModuleType):
            return surroundings.instead_of(found)
        other = _INSTEAD.get(f"{self.__name__}.{name}")
        return partial(other, surroundings, found) if other else found


def _import_module(
    surroundings: Surroundings, real: Callable[..., Any], name: str, package: str | None = None
) -> ModuleType:
    """Do what `importlib.import_module` does, in these surroundings."""
    absolute = resolve_name(name, package or "")
    if root_of(absolute) in surroundings.roots:
        return surroundings.module(absolute)
    surroundings.import_(absolute)
    return surroundings.instead_of(sys.modules[absolute])


def _import_string(surroundings: Surroundings, real: Callable[..., Any], dotted_path: str) -> Any:
    """Do what `django.utils.module_loading.import_string` does, in these surroundings."""
    module_path, _, attribute = dotted_path.rpartition(".")
    try:
        return getattr(_import_module(surroundings, real, module_path), attribute)
    except (AttributeError, ValueError) as error:
        raise ImportError(f"{dotted_path} cannot be imported ({error})") from error


def _get_data(
    surroundings: Surroundings, real: Callable[..., Any], package: str, resource: str
) -> bytes | None:
    """Do what `pkgutil.get_data` does, with the stored files of the migration."""
    if surroundings.places.is_own(package):
        return surroundings.places.folder(package).joinpath(resource).read_bytes()
    found: bytes | None = real(package, resource)
    return found


def _of_package(surroundings: Surroundings, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do what a function of `importlib.resources` does, with the stored files of the migration."""
    kwargs = {name: _anchor(surroundings, value) for name, value in kwargs.items()}
    return real(*(_anchor(surroundings, one) for one in args[:1]), *args[1:], **kwargs)


def _anchor(surroundings: Surroundings, package: Any) -> Any:
    """Return a package that lies where the stored files do, or the one that was given."""
    name = getattr(package, "__name__", package)
    if not isinstance(name, str) or not surroundings.places.is_own(name):
        return package
    spec = spec_from_file_location(name, surroundings.places.of(name, is_package=True))
    return module_from_spec(spec) if spec is not None else package


# By the full name of each.
_INSTEAD: dict[str, Callable[..., Any]] = {
    "importlib.import_module": _import_module,
    "django.utils.module_loading.import_string": _import_string,
    "pkgutil.get_data": _get_data,
    **dict.fromkeys(
        (
            f"importlib.resources.{name}"
            for name in (
                "contents",
                "files",
                "is_resource",
                "open_binary",
                "open_text",
                "path",
                "read_binary",
                "read_text",
            )
        ),
        _of_package,
    ),
}
