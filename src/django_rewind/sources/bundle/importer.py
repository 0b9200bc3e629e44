"""
Stored modules, which stored code can import and nobody else can.

A stored migration runs with an `__import__` of its own. It stands in the
`__builtins__` of the module, and so serves its functions too, whenever they are
called. What is bundled with the migration and is missing or different in this
checkout is executed from the store; everything else is imported as ever. Nothing
stands in `sys.modules` for longer than it takes to execute it, `sys.path` and the
registry of apps are untouched, and the running project never meets what is here.
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
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ...schema.graph import closure
from ...utils.syntax import dotted_names
from ..consent import Consent
from ..signing import digest
from .changes import BundleChanges, Contents, StoredModule
from .collector import Collector
from .imports import imported_by, what_will_run
from .manifest import Bundle
from .modules import Modules, is_within, root_of
from .stubs import ModelStub, ModuleStub, has_stubs


class StoredImporter:
    """
    What has been executed from the store for one executor.

    A module is executed once for each content that it and its own imports have: two
    migrations that ran with the same custom field get the same class, and two that
    ran with different versions of it each get theirs.
    """

    def __init__(self, collector: Collector | None = None, consent: Consent | None = None) -> None:
        # Without one, nothing that was found in Git is executed.
        self.consent = consent or Consent()
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

        Raises:
            ContentDamaged: something in the bundle is gone or was changed.
            Exception: whatever the text raises.
        """
        self._collector = self._collector or Collector()
        changes = BundleChanges(self._collector, contents)
        package = name.rpartition(".")[0]
        stored = changes.modules(bundle, package)
        folder = None
        if changes.files(bundle, package):
            # With its own text, for those that read themselves.
            own = {f"{name.rpartition('.')[2]}.py": text.encode("utf-8", "surrogatepass")}
            folder = self._folder({**changes.read(bundle.files), **own}, package)
        self._path = self._path or list(sys.path)
        paths = _Paths(self._collector.modules, package, folder)
        return self.run(ModuleType(name), text, ImportScope(self, stored, paths))

    def close(self) -> None:
        """Forget what was executed, remove the folders with data files, and restore the path."""
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
        if self._collector:
            self._add_what_is_here(self._collector.modules, top, package)
        return folder

    def _add_what_is_here(self, modules: Modules, top: Path, package: str) -> None:
        root = modules.folder(root_of(package))
        if root is not None and root.is_dir():
            _link(top / root_of(package), root)
            return
        here = modules.folder(package)
        if here is None:
            return
        for path in modules.files_below(here):
            there = top.joinpath(*package.split("."), path.relative_to(here))
            if not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(modules.content(path))

    def run(
        self, module: ModuleType, text: str, scope: ImportScope, *, is_package: bool = False
    ) -> ModuleType:
        """Execute a text in a module that imports what its scope has."""
        name = module.__name__
        # With the digest: another database may hold another text under this name.
        filename = f"<stored {name} {digest(text)[:8]}>"
        # Without a modification time it stays until the process ends: tracebacks,
        # debuggers and inspect.getsource() find the text there.
        self._filenames.add(filename)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        module.__package__ = name if is_package else name.rpartition(".")[0]
        path = scope.paths.of(name, is_package=is_package)
        module.__file__ = str(path)
        loader = _loader_of_files(name, path)
        module.__loader__ = loader
        module.__spec__ = ModuleSpec(name, loader, origin=filename, is_package=is_package)
        if is_package:
            module.__path__ = [str(path.parent)]
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": scope.import_}
        code = compile(text, filename, "exec", dont_inherit=True)
        # In sys.modules while it is executed, and not a moment longer: a dataclass looks its
        # own module up there.
        self._shown[name] = sys.modules.get(name)
        sys.modules[name] = module
        try:
            exec(code, vars(module))  # noqa: S102 (verified by the caller)
            # It may have put something else there in its own place.
            return sys.modules.get(name, module)
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


def _loader_of_files(name: str, path: Path) -> Any:
    """Return what reads the files that lie beside a module: its text is loaded already."""
    package = sys.modules.get(name.rpartition(".")[0])
    archive = getattr(package, "__loader__", None)
    return SourceFileLoader(name, str(path)) if path.parent.is_dir() or archive is None else archive


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


class _Paths:
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
        return self._with_files is not None and is_within(name, self._package)

    def of(self, name: str, *, is_package: bool = False) -> Path:
        """Return the path of a module; of one whose folder is gone, as if that were not."""
        parent, _, last = name.rpartition(".")
        return self.folder(name) / "__init__.py" if is_package else self.folder(parent) / f"{last}.py"

    def folder(self, package: str) -> Path:
        if self._with_files is not None and self.is_own(package):
            return self._with_files.joinpath(*package.split(".")[len(self._package.split(".")) :])
        parent, _, last = package.rpartition(".")
        here = self._folder_here(package)
        return here or (self.folder(parent) / last if package else Path.cwd())


class ImportScope:
    """
    What one stored module can import: some modules from the store, the rest as it is.

    A package that is here and has modules in the store is seen through a view, on
    which those take the place of what is here.
    """

    def __init__(self, importer: StoredImporter, stored: Mapping[str, StoredModule], paths: _Paths) -> None:
        self.importer = importer
        self.stored = stored
        self.paths = paths
        self._above = {
            name[:end] for name in stored for end, character in enumerate(name) if character == "."
        }
        self.roots = {root_of(name) for name in stored}
        self._views: dict[str, _PackageView] = {}

    def knows(self, name: str) -> bool:
        """Say whether a module is stored, or has stored modules below it."""
        return name in self.stored or name in self._above

    # Importing --------------------------------------------------------------

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> Any:
        """Do what the built-in `__import__` does, in this scope."""
        package = str((globals or {}).get("__package__") or "")
        absolute = resolve_name("." * level + name, package) if level else name
        if root_of(absolute) not in self.roots:
            with self.importer.hidden(), _naming(absolute):
                module = builtins.__import__(absolute, globals, locals, fromlist, 0)
            return module if "*" in (fromlist or ()) else self.stub_of(module)
        module = self.module(absolute)
        for attribute in fromlist or ():
            full = f"{absolute}.{attribute}"
            if attribute == "*" or hasattr(module, attribute):
                continue
            try:
                self.module(full)
            except ModuleNotFoundError as error:
                if error.name != full:
                    raise
        return module if fromlist else self.module(root_of(absolute))

    def can_import(self, name: str) -> bool:
        """Say whether a module is stored or here; nothing is executed for that."""
        return self.knows(name) or self.paths.exists(name)

    def module(self, name: str) -> ModuleType:
        """Return a module as it is seen from here, with the packages above it as Python has them."""
        parent, _, last = name.rpartition(".")
        above = self.module(parent) if self.knows(parent) else None
        module = self._seen(name)
        if above is not None and not isinstance(above, _PackageView):
            vars(above).setdefault(last, module)
        return module

    def _seen(self, name: str) -> ModuleType:
        if name not in self._above:
            return self.beneath(name)
        if name not in self._views:
            self._views[name] = _PackageView(name, self)
        if name in self.stored:
            # What stands in it comes before the modules below it.
            self.beneath(name)
        return self._views[name]

    def beneath(self, name: str) -> ModuleType:
        """Return a module itself: the stored one, or else what is here."""
        if name in self.stored:
            return self._execute(name)
        with self.importer.hidden(), _naming(name):
            return importlib.import_module(name)

    def stub_of(self, module: ModuleType) -> ModuleType:
        """Have what imports by name, or reads what lies beside a module, do so in this scope."""
        if has_stubs(module) and (self.stored or self.paths.has_files):
            return ModuleStub(module, self)
        return module

    # Executing --------------------------------------------------------------

    def _execute(self, name: str) -> ModuleType:
        """Execute a stored module, unless that has been done for the same contents."""
        reach = closure([name], {other: module.imports for other, module in self.stored.items()})
        own = self.paths if any(map(self.paths.is_own, reach)) else None
        digests = sorted((other, self.stored[other].member.digest) for other in reach)
        identity = (name, own, *digests)
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
        stored = self.stored[module.__name__]
        others = {name: other for name, other in self.stored.items() if name in reach}
        scope = ImportScope(self.importer, others, self.paths)
        names = _ModelNames(module, stored.member.models) if stored.member.kind == "models" else None
        if names is not None:
            names.lend_models()
        filled = self.importer.run(module, stored.text, scope, is_package=stored.member.is_package)
        if names is not None:
            names.put_stubs()
        return filled


@contextmanager
def _naming(wanted: str) -> Iterator[None]:
    """Have an error name the module that was wanted, and not the package above that is gone."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and is_within(wanted, error.name):
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted) from None
        raise


class _PackageView(ModuleType):
    """A package as stored code sees it: with its own modules, and else as it is."""

    def __init__(self, name: str, scope: ImportScope) -> None:
        super().__init__(name)
        self.__package__ = name
        self.__path__: list[str] = []
        self._scope = scope

    def __getattr__(self, attribute: str) -> Any:
        scope, name = self._scope, self.__name__
        # The stored package may have made something else of the name of a module.
        is_stored = scope.knows(f"{name}.{attribute}")
        if is_stored and not (name in scope.stored and attribute in vars(scope.beneath(name))):
            return scope.module(f"{name}.{attribute}")
        try:
            beneath = scope.beneath(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            # The package is gone; what was used of it is stored.
            raise _no_attribute(name, attribute) from None
        if attribute == "__all__" and not hasattr(beneath, "__all__"):
            # What a star stands for: Python would look into the view itself.
            return [bound for bound in vars(beneath) if not bound.startswith("_")]
        return getattr(beneath, attribute)


class _ModelNames:
    """
    The names of models in an excerpt, which holds none.

    In the place of each stands the model of this checkout, and what was taken of the
    old class hangs on it as it did.
    """

    def __init__(self, module: ModuleType, names: list[str]) -> None:
        self.namespace = vars(module)
        self.here = sys.modules.get(module.__name__)
        self.names = names
        self.label = module.__name__

    def lend_models(self) -> None:
        """Give the names a meaning before the text is executed."""
        # What was not taken is as it is here.
        self.namespace["__getattr__"] = self._look_up
        for name in self.names:
            model = getattr(self.here, name, None)
            self.namespace[name] = self._stub(name, None) if model is None else model

    def put_stubs(self) -> None:
        """Join what the text has defined under these names with the models."""
        for name in self.names:
            taken = self.namespace[name]
            if isinstance(taken, type) and taken is not getattr(self.here, name, None):
                self.namespace[name] = self._stub(name, taken)

    def _stub(self, name: str, taken: type | None) -> ModelStub:
        return ModelStub(f"{self.label}.{name}", taken, getattr(self.here, name, None))

    def _look_up(self, name: str) -> Any:
        if self.here is None:
            raise _no_attribute(self.label, name)
        return getattr(self.here, name)


def _no_attribute(module: str, name: str) -> AttributeError:
    return AttributeError(f"module {module!r} has no attribute {name!r}")


def imports_that_fail(function: Any) -> Iterator[tuple[str, str]]:
    """
    Yield (module, importing module) for imports within a stored function that would fail.

    Functions of stored modules that it calls by name are looked at too. An import
    that perhaps is never reached, or that the code itself expects to fail, does not
    count.
    """
    todo, seen = [function], set()
    while todo:
        called = todo.pop()
        scope = _scope_of(called)
        if scope is None or called in seen:
            continue
        seen.add(called)
        namespace = called.__globals__
        nodes = what_will_run(called)
        for name in imported_by(nodes, namespace["__package__"]):
            if not scope.can_import(name):
                yield name, namespace["__name__"]
        todo += [namespace.get(names[0]) for node in nodes for names in dotted_names(node)]


def _scope_of(function: Any) -> ImportScope | None:
    if not isinstance(function, FunctionType):
        return None
    available = function.__globals__.get("__builtins__")
    import_ = available.get("__import__") if isinstance(available, dict) else None
    owner = getattr(import_, "__self__", None)
    return owner if isinstance(owner, ImportScope) else None
