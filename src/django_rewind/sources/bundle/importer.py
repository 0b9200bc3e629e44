"""
Stored modules, which stored code can import and nobody else can.

A stored migration runs with an `__import__` of its own. It stands in the
`__builtins__` of the module, and so serves its functions too, whenever they are
called. What the migration carries along and what is missing or different in this
checkout is executed from the store; everything else is imported as ever. Nothing
stands in `sys.modules` for longer than it takes to execute it, `sys.path` and the
registry of apps are left alone, and the running project never meets what is here.
"""

from __future__ import annotations

import builtins
import importlib
import linecache
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ...schema.graph import closure
from ...utils.syntax import dotted_names
from ..signing import digest
from .changes import BundleChanges, Contents, StoredModule
from .collector import Collector
from .imports import imported_by, what_will_run
from .manifest import Bundle
from .modules import Modules, root_of
from .stubs import ModelStub
from .substitutes import Instead, has_others


class StoredImporter:
    """
    What has been executed from the store for one executor.

    Args:
        collector: reads this checkout; by default one for each run.

    A module is executed once for each content that it and its own imports have: two
    migrations that ran with the same custom field get the same class, and two that
    ran with different versions of it each get theirs.
    """

    def __init__(self, collector: Collector | None = None) -> None:
        self.executed: dict[tuple[Any, ...], ModuleType] = {}
        # Modules under way, with what stood in sys.modules in their place.
        self._shown: dict[str, ModuleType | None] = {}
        self._folders: list[Path] = []
        # Under which the texts are found by tracebacks.
        self._filenames: set[str] = set()
        # sys.path as it was before the first text was executed.
        self._path: list[str] | None = None
        # What it has read of this checkout; made anew after `close()` unless it was given.
        self._given = self._collector = collector
        # For an executor that is forgotten, and for the end of the process.
        weakref.finalize(self, _remove, self._folders)

    def execute(self, name: str, text: str, bundle: Bundle, contents: Contents) -> ModuleType:
        """
        Execute the verified text of a migration as the module that it was.

        Args:
            name: of the module, dotted.
            needs: what the migration carries along.
            contents: reads that from the store.

        Raises:
            ContentDamaged: something that it carries is gone or was changed.
            Exception: whatever the text raises.
        """
        self._collector = self._collector or Collector()
        changes = BundleChanges(self._collector, contents)
        package = name.rpartition(".")[0]
        outdated = changes.modules(bundle, package)
        folder = None
        if changes.files(bundle, package):
            # With its own text, for those that read themselves.
            own = {f"{name.rpartition('.')[2]}.py": text.encode("utf-8", "surrogatepass")}
            folder = self._folder({**changes.read(bundle.files), **own}, package)
        self._path = self._path or list(sys.path)
        places = _Places(self._collector.modules, package, folder)
        return self.run(ModuleType(name), text, Surroundings(self, outdated, places))

    def close(self) -> None:
        """Forget what was executed, remove the folders with data files, and leave the path as it was."""
        self.executed.clear()
        self._collector = self._given
        if self._path is not None:
            sys.path[:], self._path = self._path, None
        _remove(self._folders)

    def forget_texts(self) -> None:
        """Let go of the texts that tracebacks would show: nobody will look at these."""
        for filename in self._filenames:
            linecache.cache.pop(filename, None)
        self._filenames.clear()

    def _folder(self, files: Mapping[str, bytes], package: str) -> Path:
        """
        Write data files where `__file__` will lead, and return the folder of the package.

        What else lies beside them in this checkout is there too.
        """
        top = Path(tempfile.mkdtemp(prefix="django_rewind_"))
        self._folders.append(top)
        folder = top.joinpath(*package.split("."))
        folder.mkdir(parents=True)
        for name, content in files.items():
            path = folder.joinpath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        root = root_of(package)
        here = self._collector.modules.folder(root) if self._collector else None
        if here is not None:
            _link(top / root, here)
        return folder

    def run(
        self, module: ModuleType, text: str, surroundings: Surroundings, *, is_package: bool = False
    ) -> ModuleType:
        """Execute a text in a module that sees nothing but its surroundings."""
        name = module.__name__
        # With the digest: another database may hold another text under this name.
        filename = f"<stored {name} {digest(text)[:8]}>"
        # Without a modification time it stays until the process ends: tracebacks,
        # debuggers and inspect.getsource() find the text there.
        self._filenames.add(filename)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        module.__package__ = name if is_package else name.rpartition(".")[0]
        module.__spec__ = ModuleSpec(name, loader=None, origin=filename, is_package=is_package)
        place = surroundings.places.of(name, is_package=is_package)
        module.__file__ = str(place)
        if is_package:
            module.__path__ = [str(place.parent)]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": surroundings.import_}
        code = compile(text, filename, "exec", dont_inherit=True)
        with self._showing(module):
            exec(code, vars(module))  # noqa: S102 (verified by the caller)
            # It may have put something else there in its own place.
            return sys.modules.get(name, module)

    @contextmanager
    def _showing(self, module: ModuleType) -> Iterator[None]:
        """
        Keep a module in `sys.modules` while it is executed, and not a moment longer.

        A dataclass looks its own module up there.
        """
        name = module.__name__
        self._shown[name] = sys.modules.get(name)
        sys.modules[name] = module
        try:
            yield
        finally:
            _put_back(name, self._shown.pop(name))

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Have the running project import what it imports without meeting what is shown."""
        shown = {name: sys.modules.get(name) for name in self._shown}
        for name, before in self._shown.items():
            _put_back(name, before)
        try:
            yield
        finally:
            for name, module in shown.items():
                self._shown[name] = sys.modules.get(name)
                _put_back(name, module)


def _link(folder: Path, here: Path) -> None:
    """Add links to what a folder here holds and the other does not."""
    for path in here.iterdir():
        there = folder / path.name
        if not there.exists():
            # Where links are not allowed, nothing but what is stored is found.
            with suppress(OSError):
                there.symlink_to(path, target_is_directory=path.is_dir())
        elif there.is_dir() and path.is_dir():
            _link(there, path)


def _put_back(name: str, module: ModuleType | None) -> None:
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def _remove(folders: list[Path]) -> None:
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)


class _Places:
    """Where the files of stored modules lay, or, with data files beside them, lie now."""

    def __init__(self, modules: Modules, package: str, with_files: Path | None) -> None:
        self.exists = modules.exists
        self._folder_here = modules.folder
        self._package = package
        self._with_files = with_files

    @property
    def has_files(self) -> bool:
        return self._with_files is not None

    def is_own(self, name: str) -> bool:
        """Say whether a module or package lies where the data files of one migration do."""
        return self._with_files is not None and f"{name}.".startswith(f"{self._package}.")

    def of(self, name: str, *, is_package: bool = False) -> Path:
        """Return the path of a module; of one whose folder is gone, as if that were not."""
        parent, _, last = name.rpartition(".")
        return self.folder(name) / "__init__.py" if is_package else self.folder(parent) / f"{last}.py"

    def folder(self, package: str) -> Path:
        """Return the path of a package."""
        if self._with_files is not None and self.is_own(package):
            return self._with_files.joinpath(*package.split(".")[len(self._package.split(".")) :])
        parent, _, last = package.rpartition(".")
        here = self._folder_here(package)
        return here or (self.folder(parent) / last if package else Path.cwd())


class Surroundings:
    """
    What one stored module can import: some modules from the store, the rest as it is.

    A package that is here and has modules in the store is seen through a view, on
    which those take the place of what is here.
    """

    def __init__(
        self, importer: StoredImporter, outdated: Mapping[str, StoredModule], places: _Places
    ) -> None:
        self.importer = importer
        self.outdated = outdated
        self.places = places
        self._above = {above for name in outdated for above in _packages_above(name)}
        self.roots = {root_of(name) for name in outdated}
        self._views: dict[str, _View] = {}

    def knows(self, name: str) -> bool:
        """Say whether a module is stored, or has stored modules below it."""
        return name in self.outdated or name in self._above

    # Importing --------------------------------------------------------------

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> Any:
        """Do what the built-in `__import__` does, in these surroundings."""
        package = str((globals or {}).get("__package__") or "")
        absolute = resolve_name("." * level + name, package) if level else name
        if root_of(absolute) not in self.roots:
            with self.importer.hidden(), _naming(absolute):
                found = builtins.__import__(absolute, globals, locals, fromlist, 0)
            return found if "*" in (fromlist or ()) else self.instead_of(found)
        module = self.module(absolute)
        for one in fromlist or ():
            self._import_submodule(module, absolute, one)
        return module if fromlist else self.module(root_of(absolute))

    def can_import(self, name: str) -> bool:
        """Say whether a module is stored or here; nothing is executed for that."""
        return self.knows(name) or self.places.exists(name)

    def module(self, name: str) -> ModuleType:
        """Return a module as it is seen from here, with the packages above it as Python has them."""
        parent, _, last = name.rpartition(".")
        above = self.module(parent) if self.knows(parent) else None
        found = self._seen(name)
        if above is not None and not isinstance(above, _View):
            vars(above).setdefault(last, found)
        return found

    def _seen(self, name: str) -> ModuleType:
        if name not in self._above:
            return self.beneath(name)
        if name not in self._views:
            self._views[name] = _View(name, self)
        if name in self.outdated:
            # What stands in it comes before the modules below it.
            self.beneath(name)
        return self._views[name]

    def beneath(self, name: str) -> ModuleType:
        """Return a module itself: the stored one, or else what is here."""
        if name in self.outdated:
            return self._execute(name)
        with self.importer.hidden(), _naming(name):
            return importlib.import_module(name)

    def _import_submodule(self, module: ModuleType, name: str, attribute: str) -> None:
        full = f"{name}.{attribute}"
        if attribute == "*" or hasattr(module, attribute):
            return
        try:
            self.module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise

    def instead_of(self, module: ModuleType) -> ModuleType:
        """Have what imports by name, or reads what lies beside a module, do so in these surroundings."""
        if has_others(module) and (self.outdated or self.places.has_files):
            return Instead(module, self)
        return module

    # Executing --------------------------------------------------------------

    def _execute(self, name: str) -> ModuleType:
        """Execute a stored module, unless that has been done for the same contents."""
        imports = {one: outdated.imports for one, outdated in self.outdated.items()}
        reach = closure([name], imports)
        own = self.places if any(map(self.places.is_own, reach)) else None
        identity = (name, own, *sorted((one, self.outdated[one].member.digest) for one in reach))
        executed = self.importer.executed
        if identity not in executed:
            executed[identity] = ModuleType(name)
            try:
                executed[identity] = self._fill(executed[identity], reach)
            except BaseException:
                del executed[identity]
                raise
        return executed[identity]

    def _fill(self, module: ModuleType, reach: set[str]) -> ModuleType:
        outdated = self.outdated[module.__name__]
        others = {one: found for one, found in self.outdated.items() if one in reach}
        surroundings = Surroundings(self.importer, others, self.places)
        names = _Names(module, outdated) if outdated.member.kind == "models" else None
        if names is not None:
            names.lend_models()
        is_package = outdated.member.is_package
        found = self.importer.run(module, outdated.text, surroundings, is_package=is_package)
        if names is not None:
            names.put_stand_ins()
        return found


@contextmanager
def _naming(wanted: str) -> Iterator[None]:
    """Have an error name the module that was wanted, and not the package above that is gone."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and f"{wanted}.".startswith(f"{error.name}."):
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted) from None
        raise


def _packages_above(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


class _View(ModuleType):
    """A package as stored code sees it: with its own modules, and else as it is."""

    def __init__(self, name: str, surroundings: Surroundings) -> None:
        super().__init__(name)
        self.__package__ = name
        self.__path__: list[str] = []
        self._surroundings = surroundings

    def __getattr__(self, attribute: str) -> Any:
        surroundings = self._surroundings
        full = f"{self.__name__}.{attribute}"
        if surroundings.knows(full) and not self._has_been_given(attribute):
            return surroundings.module(full)
        try:
            beneath = surroundings.beneath(self.__name__)
        except ModuleNotFoundError as error:
            if error.name != self.__name__:
                raise
            # The package is gone; what was needed of it is stored.
            raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}") from None
        if attribute == "__all__" and not hasattr(beneath, "__all__"):
            # What a star stands for: Python would look into the view itself.
            return [name for name in vars(beneath) if not name.startswith("_")]
        return getattr(beneath, attribute)

    def _has_been_given(self, attribute: str) -> bool:
        """Say whether the stored package has made something else of the name of a module."""
        surroundings, name = self._surroundings, self.__name__
        return name in surroundings.outdated and attribute in vars(surroundings.beneath(name))


class _Names:
    """
    The names of models in an excerpt, which holds none.

    In the place of each stands the model of this checkout, and what was taken of the
    old class hangs on it as it did.
    """

    def __init__(self, module: ModuleType, outdated: StoredModule) -> None:
        self.namespace = vars(module)
        self.here = sys.modules.get(module.__name__)
        self.names = outdated.member.models
        self.label = module.__name__

    def lend_models(self) -> None:
        """Give the names a meaning before the text is executed."""
        self.namespace["__getattr__"] = self._look_up
        for name in self.names:
            self.namespace[name] = self._stand_in(name)

    def put_stand_ins(self) -> None:
        """Join what the text has defined under these names with the models."""
        for name in self.names:
            taken = self.namespace[name]
            if isinstance(taken, type) and taken is not getattr(self.here, name, None):
                self.namespace[name] = self._stand_in(name, taken)

    def _stand_in(self, name: str, taken: type | None = None) -> Any:
        model = getattr(self.here, name, None)
        if taken is None and model is not None:
            return model
        return ModelStub(f"{self.label}.{name}", taken, model)

    def _look_up(self, name: str) -> Any:
        """Serve as the `__getattr__` of the module: what was not taken is as it is here."""
        return getattr(self.here, name) if self.here is not None else _no_attribute(self.label, name)


def _no_attribute(module: str, name: str) -> Any:
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def imports_that_fail(function: Any) -> Iterator[tuple[str, str]]:
    """
    Yield (module, importing module) for imports within a stored function that would fail.

    Functions of stored modules that it calls by name are looked at too. An import
    that perhaps is never reached, or that the code itself expects to fail, does not
    count.
    """
    todo, seen = [function], set()
    while todo:
        one = todo.pop()
        surroundings = _surroundings_of(one)
        if surroundings is None or one in seen:
            continue
        seen.add(one)
        importer = one.__globals__["__name__"]
        nodes = what_will_run(one)
        for name in imported_by(nodes, one.__globals__["__package__"]):
            if not surroundings.can_import(name):
                yield name, importer
        todo += [one.__globals__.get(names[0]) for node in nodes for names in dotted_names(node)]


def _surroundings_of(function: Any) -> Surroundings | None:
    """Return what a stored function was defined in, or None for everything else."""
    if not isinstance(function, FunctionType):
        return None
    ways = function.__globals__.get("__builtins__")
    import_ = ways.get("__import__") if isinstance(ways, dict) else None
    owner = getattr(import_, "__self__", None)
    return owner if isinstance(owner, Surroundings) else None
