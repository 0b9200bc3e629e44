"""Data files of a package that is no folder: in an archive, or wherever else its loader keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def files_of(spec: ModuleSpec) -> dict[str, Any]:
    """
    Return what a package holds, by the path below it; each has `read_bytes`.

    An OSError says that its loader does not tell.
    """
    # As `importlib.resources` takes it: the package itself need not be imported.
    package = ModuleType(spec.name)
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations or ())
    try:
        top = resources.files(package)
        return dict(_below(top)) if top.is_dir() else _as_listed(spec)
    except OSError:
        raise
    except Exception as error:
        raise _not_listed(spec) from error


def content_of(spec: ModuleSpec, path: str) -> bytes:
    """Return a file that its loader may know by its path, where it does not list it."""
    get_data = getattr(spec.loader, "get_data", None)
    if get_data is None:
        raise _not_listed(spec)
    try:
        return bytes(get_data(path))
    except Exception as error:
        raise OSError(f"its loader has no {path}") from error


def _below(folder: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield f"{prefix}{entry.name}", entry


def _as_listed(spec: ModuleSpec) -> dict[str, Any]:
    """Return what a reader lists that knows no folders."""
    reader: Any = spec.loader.get_resource_reader(spec.name)  # type: ignore[union-attr]
    return {name: _Listed(reader, name) for name in reader.contents() if reader.is_resource(name)}


class _Listed:
    def __init__(self, reader: Any, name: str) -> None:
        self._reader = reader
        self._name = name

    def read_bytes(self) -> bytes:
        with self._reader.open_resource(self._name) as file:
            return bytes(file.read())


def _not_listed(spec: ModuleSpec) -> OSError:
    return OSError(f"the loader of {spec.name}, {type(spec.loader).__name__}, does not list its files")
