"""
The code that manage.py begins with: itself, the settings, and the modules that these import.

It is found in the texts, and nothing of it is executed: a checkout may just have changed it. The apps are not
among it. They are imported after that, as by every other command.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


class Startup:
    """
    What of this code a checkout has changed.

    Args:
        top: of the work tree.
        roots: the folders from which modules are imported. Those outside of the work tree count for nothing.
        changed: the paths in which the two commits differ, from the top.
    """

    def __init__(self, top: Path, roots: Iterable[Path], changed: Iterable[str]) -> None:
        self._top = top.resolve()
        paths = (self._inside(root) for root in roots)
        self._roots = list(dict.fromkeys(path for path in paths if path is not None))
        # Some file systems do not tell the case of letters apart.
        self._changed = {path.casefold(): path for path in changed}

    def first_change(self, manage: Path, modules: Iterable[str]) -> str:
        """
        Return the first path that was changed, or nothing.

        Args:
            modules: the names that the settings may have; manage.py names others.
        """
        path = self._inside(manage)
        if path is not None and (found := self._changed_file(path)):
            return found
        tree = _parsed(manage)
        waiting = [*modules, *_imported(tree, ""), *_named(tree)]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            above = name.rpartition(".")[0]
            waiting += [above] if above else []
            for root in self._roots:
                base = "/".join(filter(None, [root, *name.split(".")]))
                if found := self._changed_module(base):
                    return found
                waiting += self._imported_by(name, self._top / base)
        return ""

    def _inside(self, path: Path) -> str | None:
        """Return a path from the top, without following it itself; None where it lies elsewhere."""
        place = path.parent.resolve() / path.name
        if place != self._top and self._top not in place.parents:
            return None
        relative = place.relative_to(self._top).as_posix()
        return "" if relative == "." else relative

    def _changed_file(self, path: str) -> str:
        """Return what was changed of a file: itself, what it links to, or a folder that is none any more."""
        real = (self._top / path).resolve()
        paths = {path, real.relative_to(self._top).as_posix()} if self._top in real.parents else {path}
        for one in paths:
            parts = one.casefold().split("/")
            for end in range(len(parts), 0, -1):
                found = self._changed.get("/".join(parts[:end]))
                if found is not None:
                    return found
        return ""

    def _changed_module(self, base: str) -> str:
        """Return what was changed of a module or package, whatever of its forms that is: text, bytecode, library."""
        folder, _, stem = base.casefold().rpartition("/")
        inside = f"{folder}/" if folder else ""
        forms = [f"{inside}{stem}.", f"{inside}__pycache__/{stem}."]
        forms += [f"{inside}{stem}/__init__.", f"{inside}{stem}/__pycache__/__init__."]
        for path, shown in self._changed.items():
            if any(path.startswith(form) and "/" not in path[len(form) :] for form in forms):
                return shown
        places = [
            base,
            *(path for path in (f"{base}.py", f"{base}/__init__.py") if (self._top / path).is_symlink()),
        ]
        return next(filter(None, map(self._changed_file, places)), "")

    def _imported_by(self, name: str, base: Path) -> Iterator[str]:
        for file, package in (
            (base.with_name(f"{base.name}.py"), name.rpartition(".")[0]),
            (base / "__init__.py", name),
        ):
            if file.is_file():
                yield from _imported(_parsed(file), package)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        # What cannot be read is not executed either.
        return ast.Module([], [])


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names of all that a text imports; some of them may be no modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package and node.level else []
            parts = parts[: len(parts) - node.level + 1]
            module = ".".join([*parts, *([node.module] if node.module else [])])
            if module:
                yield module
            yield from (".".join(filter(None, [module, alias.name])) for alias in node.names)


def _named(tree: ast.Module) -> Iterator[str]:
    """Yield the texts in manage.py that could name a module: among them are the settings."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and all(part.isidentifier() for part in value.split(".")):
            yield value
