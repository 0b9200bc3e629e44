"""Where the source of a module lies, and whose it is, without importing it."""

from __future__ import annotations

import io
import re
import sys
import sysconfig
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.files import is_special, read_file
from .archives import content_of, files_of

if TYPE_CHECKING:
    from importlib.metadata import Distribution

# Never bundled, wherever they lie: what runs stored code brings them.
_ALWAYS_INSTALLED = {"django", "django_rewind"}


class SourceUnavailable(Exception):
    """There is no text to store: the message says why."""


class Owner(Enum):
    """Whom a module belongs to."""

    PROJECT = "project"
    INSTALLED = "installed"
    PYTHON = "python"


class Modules:
    """
    The modules that can be imported here and now, read and not imported.

    What has been found out about a module is kept as long as this object, which is
    made for one piece of work: files change.
    """

    # Whether a module in `sys.modules` is the one that is meant by its name.
    are_live = True

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}
        self._texts: dict[str, str | SourceUnavailable] = {}
        self._owners: dict[str, Owner] = {}
        # By the places of packages: what finds them, and what those hold that are no folders.
        self._packages: dict[Path, ModuleSpec] = {}
        self._resources: dict[Path, dict[Path, Any]] = {}

    def find(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = self._find(name)
        return self._specs[name]

    def _find(self, name: str) -> ModuleSpec | None:
        loaded = sys.modules.get(name)
        spec = getattr(loaded, "__spec__", None)
        if spec is not None or loaded is not None:
            return spec
        parent, dot, last = name.rpartition(".")
        if not last:
            return None
        path = None
        if dot:
            # Not importlib.util.find_spec(): it imports the parents.
            above = self.find(parent) if parent else None
            if above is None or above.submodule_search_locations is None:
                return None
            path = list(above.submodule_search_locations)
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            try:
                spec = find_spec(name, path, None) if find_spec else None
            except KeyError:
                # A folder without `__init__.py`: importlib wants its parent to be imported.
                folders = (Path(place, last) for place in path or ())
                spec = namespace_spec(name, [str(folder) for folder in folders if folder.is_dir()])
            if spec is not None:
                return spec
        return None

    def exists(self, name: str) -> bool:
        """Say whether a module could be imported, as far as its file goes."""
        return self.find(name) is not None

    def is_package(self, name: str) -> bool:
        spec = self.find(name)
        return spec is not None and spec.submodule_search_locations is not None

    def is_namespace_package(self, name: str) -> bool:
        """Say whether a package has no file of its own; one that is uninstalled may leave that behind."""
        spec = self.find(name)
        return spec is not None and not spec.has_location and spec.submodule_search_locations is not None

    def folder(self, name: str) -> Path | None:
        spec = self.find(name)
        places = list(spec.submodule_search_locations or ()) if spec is not None else []
        if spec is None or not places:
            return None
        self._packages[Path(places[0])] = spec
        return Path(places[0])

    def files_below(self, folder: Path) -> list[Path]:
        """
        Return the files below a folder of a package that are no Python, in order.

        Raises:
            OSError: it is no folder, and the loader of the package does not tell.
        """
        package = None if folder.is_dir() else self._package_around(folder)
        files = folder.rglob("*") if package is None else self._archived(package)
        return sorted(
            path
            for path in files
            if is_data(path) and folder in path.parents and (package is not None or path.is_file())
        )

    def size(self, path: Path) -> int:
        return path.stat().st_size if path.is_file() else len(self.content(path))

    def content(self, path: Path) -> bytes:
        package = None if path.is_file() else self._package_around(path)
        if package is None:
            return read_file(path)
        with suppress(OSError):
            if path in self._archived(package):
                content: bytes = self._archived(package)[path].read_bytes()
                return content
        return content_of(self._packages[package], str(path))

    def _package_around(self, path: Path) -> Path | None:
        """Return the place of the package, of those that were asked for, in which a path lies."""
        place = next((place for place in (path, *path.parents) if place in self._packages), None)
        return None if place is None or place.is_dir() else place

    def _archived(self, package: Path) -> Mapping[Path, Any]:
        if package not in self._resources:
            files = files_of(self._packages[package])
            self._resources[package] = {package.joinpath(name): file for name, file in files.items()}
        return self._resources[package]

    def text(self, name: str) -> str:
        """Return the text of a module, decoded, with line ends as they were, or raise SourceUnavailable."""
        if name not in self._texts:
            try:
                self._texts[name] = self._read(name)
            except SourceUnavailable as error:
                self._texts[name] = error
        text = self._texts[name]
        if isinstance(text, SourceUnavailable):
            raise text
        return text

    def _read(self, name: str) -> str:
        spec = self.find(name)
        if spec is None:
            raise SourceUnavailable(f"there is no module {name}")
        if self.is_namespace_package(name):
            return ""
        if not spec.origin or not spec.origin.endswith(".py"):
            raise SourceUnavailable(f"the module {name} has no source file, only {spec.origin}")
        return decode(spec.origin, spec.loader)

    def owner(self, name: str) -> Owner:
        """Say whom a module belongs to; one that cannot be found is the project's."""
        if root_of(name) in _ALWAYS_INSTALLED:
            return Owner.INSTALLED
        # The root, or below namespace packages the first that has a file of its own.
        parts = name.split(".")
        above = (".".join(parts[:end]) for end in range(1, len(parts)))
        top = next((package for package in above if not self.is_namespace_package(package)), name)
        if top not in self._owners:
            self._owners[top] = self._owner(top)
        return self._owners[top]

    def _owner(self, name: str) -> Owner:
        spec = self.find(name)
        if spec is None:
            return Owner.PROJECT
        places = places_of(spec)
        # Without a place it is compiled into the interpreter.
        return _owner_of(name, places[0]) if places else Owner.PYTHON


def namespace_spec(name: str, places: list[str]) -> ModuleSpec:
    spec = ModuleSpec(name, loader=None, is_package=True)
    spec.submodule_search_locations = places
    return spec


def places_of(spec: ModuleSpec) -> list[str]:
    """Return the file of a module, if it has one, and the folders of a package."""
    places = [spec.origin] if spec.has_location and spec.origin else []
    return places + list(spec.submodule_search_locations or ())


def is_data(path: Path) -> bool:
    """Say whether a file is neither Python nor made by it."""
    return path.suffix not in (".py", ".pyc") and path.parent.name != "__pycache__"


def is_within(name: str, package: str) -> bool:
    """Say whether a dotted name is that of a package or of something in it."""
    return f"{name}.".startswith(f"{package}.")


def root_of(name: str) -> str:
    return name.partition(".")[0]


def decode(path: str, loader: Any = None) -> str:
    """
    Read a source file as Python would, and keep its line ends.

    `get_source()` of a module loader would normalise those; the encoding is found
    as Python finds it (PEP 263).
    """
    get_data = getattr(loader, "get_data", None)
    try:
        # A loader that knows archives (zipimport) reads what a path cannot.
        data = get_data(path) if get_data and not is_special(path) else read_file(path)
    except OSError as error:
        raise SourceUnavailable(f"the file {path} cannot be read ({error})") from error
    return decode_content(data, path)


def decode_content(data: bytes, path: str) -> str:
    """Return the text that Python would find in a source file, and keep its line ends."""
    try:
        return _decoded(data)
    except (LookupError, SyntaxError, UnicodeDecodeError) as error:
        raise SourceUnavailable(f"the file {path} cannot be read ({error})") from error


def encode(text: str) -> bytes:
    """
    Return what a source file has to hold for Python to read this text from it.

    A ValueError says that there is no such file: the encoding that the text names in its
    first lines (PEP 263) is not known, or does not have all it holds.
    """
    try:
        data = text.encode(_encoding_of(text.encode("utf-8", "surrogatepass")))
        is_read_back = _decoded(data) == text
    except (LookupError, SyntaxError, UnicodeError) as error:
        raise ValueError(f"it cannot be encoded as it says ({error})") from error
    if not is_read_back:
        raise ValueError("it cannot be encoded as it says (Python would read another text)")
    return data


def _decoded(data: bytes) -> str:
    return data.decode(_encoding_of(data))


def _encoding_of(data: bytes) -> str:
    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def is_site_packages(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(path.parts))


@cache
def _owner_of(name: str, place: str) -> Owner:
    path = Path(place)
    if is_site_packages(path):
        return Owner.INSTALLED
    if any(path.is_relative_to(folder) for folder in _folders_of_python()):
        return Owner.PYTHON
    # `pip install --target` leaves a record of each distribution beside it.
    module = path.parent if path.name == "__init__.py" else path
    records = module.parents[name.count(".")].glob("*.dist-info/RECORD")
    brings = _in_record(name)
    texts = map(_text_of, records)
    return Owner.INSTALLED if any(map(brings.search, texts)) else Owner.PROJECT


def _text_of(record: Path) -> str:
    with suppress(OSError):
        return read_file(record).decode("utf-8", "replace")
    return ""


def _in_record(name: str) -> re.Pattern[str]:
    return re.compile(rf"^{re.escape(name.replace('.', '/'))}(/|\.py,)", re.MULTILINE)


@cache
def _folders_of_python() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return (Path(paths["stdlib"]), Path(paths["platstdlib"]))


@cache
def installed_version(root: str) -> str:
    """Return what was installed with a top-level module, as ``name version``, or nothing."""
    # Only where something is imported that was installed: it takes a while to import.
    from importlib import metadata

    try:
        # For an empty name some Pythons return any distribution.
        return _name_and_version(metadata.distribution(root)) if root else ""
    except (metadata.PackageNotFoundError, ValueError):
        # Many are called otherwise than the module that they bring.
        brings = _in_record(root)
        bringing = (
            distribution
            for distribution in metadata.distributions()
            if brings.search(distribution.read_text("RECORD") or "")
        )
        return next(map(_name_and_version, bringing), "")


def _name_and_version(distribution: Distribution) -> str:
    return f"{distribution.metadata['Name']} {distribution.version}"
