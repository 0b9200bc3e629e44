"""
Where stored text would lie as a file: in the packages of this checkout, or below a folder.

Names come from the database. They are signed, and still none of them may lead to
another place than it says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from django.apps import apps
from django.db.migrations.loader import MigrationLoader

from ..sources.bundle.imports import EVERYTHING
from ..sources.bundle.manifest import BundleMember
from ..sources.bundle.modules import Modules, Owner, root_of
from ..sources.stored import StoredMigration
from ..utils.types import label

_ELSEWHERE = "Name a folder to write to with --output."

# In bytes: what the usual file systems take for one name.
_LONGEST = 255


class NoPlace(Exception):
    """Something cannot be written: the message says why, `next_step` what helps."""

    def __init__(self, reason: str, next_step: str = "") -> None:
        self.next_step = next_step
        super().__init__(reason)


class LeftOut(Exception):
    """Something has no place here and needs none: the message says why."""


@dataclass(frozen=True)
class Place:
    """A file below a folder that somebody has named, or that is a package of this checkout."""

    base: Path
    parts: tuple[str, ...] = ()
    # How many folders, from `base` upwards, are packages.
    packages: int = 0

    def below(self, *parts: str) -> Place:
        return replace(self, parts=(*self.parts, *parts))

    @cached_property
    def path(self) -> Path:
        return self.base.joinpath(*self.parts)

    def check(self) -> None:
        """Refuse a file that would be written elsewhere, or not be found here by Python."""
        folder = next(parent for parent in self.path.parents if os.path.lexists(parent))
        if not folder.is_dir():
            raise NoPlace(f"{folder} is not a folder")
        if self.base.exists() and self.base.resolve() not in (folder.resolve(), *folder.resolve().parents):
            raise NoPlace(f"{folder} leads out of {self.base}")
        linked = next(filter(Path.is_symlink, [self.base, *self.base.parents][: self.packages]), None)
        if linked is not None:
            # What it leads to may be of another project, or of nobody who knows of this one.
            raise NoPlace(f"{linked} is a symbolic link", _ELSEWHERE)
        if self.path.is_dir():
            raise NoPlace(f"{self.path} is a folder")
        if any(len(os.fsencode(part)) > _LONGEST for part in self.parts):
            raise NoPlace(f"the name {self.path.name[:20]}... is too long for a file")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise NoPlace(f"{folder} cannot be written to")
        # Python imports the package where there is a module of the same name beside it.
        path, is_package = self.path, self.path.name == "__init__.py"
        other = path.parent.with_suffix(".py") if is_package else path.with_suffix("") / "__init__.py"
        if path.suffix == ".py" and other.exists():
            raise NoPlace(f"{other} is there, and {path} would be the same module")


class InFolder:
    """
    Below a folder, as it lies below the folder of a project.

    Excerpts bear the name of their migration: each takes something else out of the
    same module, and none of them is that module.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def migration(self, stored: StoredMigration) -> list[Place]:
        return [self._place(*_package_of(stored), _file_of_migration(stored))]

    def module(self, stored: StoredMigration, member: BundleMember) -> Place:
        return self._place(*_file_of(member))

    def excerpt(self, stored: StoredMigration, member: BundleMember) -> Place:
        *folders, file = _file_of(member)
        name = _checked(stored.key[0]) + "." + _checked(stored.key[1])
        return self._place(*folders, f"{file[: -len('.py')]}.excerpt-for-{name}.py")

    def data(self, stored: StoredMigration, member: BundleMember) -> Place:
        return self._place(*_package_of(stored), *_parts_of_path(member.name))

    def _place(self, *parts: str) -> Place:
        return Place(self.folder, parts)


class InProject:
    """
    In the packages of this checkout, wherever Python imports them from.

    Nothing is written to what is installed, and no excerpt over a module with models.
    """

    def __init__(self, modules: Modules | None = None) -> None:
        self.modules = modules or Modules()

    def migration(self, stored: StoredMigration) -> list[Place]:
        """Return the places of the source; for all but the first, an empty file does."""
        folder = self._migrations(stored.key[0])
        places = [folder.below(_file_of_migration(stored))]
        package = folder.below("__init__.py")
        # git leaves no empty folder behind, and Django passes over one that is no package.
        if not (package.path.exists() or package.path.with_suffix(".pyc").exists()):
            places.append(package)
        return places

    def module(self, stored: StoredMigration, member: BundleMember) -> Place:
        *folders, file = _file_of(member)
        if self.modules.owner(member.name) is not Owner.PROJECT:
            raise LeftOut(f"the package {root_of(member.name)} is installed here")
        return self._package(folders, stored.key[0]).below(file)

    def excerpt(self, stored: StoredMigration, member: BundleMember) -> Place:
        """Leave it out: what was taken from models has to be in the models that are here, and nothing is imported."""
        lacking = sorted({path[0] for path in member.paths if path and path[0] != EVERYTHING})
        live = sys.modules.get(member.name)
        if live is not None:
            lacking = [name for name in lacking if not hasattr(live, name)]
        elif self.modules.exists(member.name):
            lacking = []
        if lacking:
            raise NoPlace(
                f"it imports {', '.join(lacking)} from {member.name}, which lacks that in this checkout",
                _ELSEWHERE,
            )
        raise LeftOut(f"what {label(stored.key)} takes from it is written to a folder only, see --output")

    def data(self, stored: StoredMigration, member: BundleMember) -> Place:
        return self._migrations(stored.key[0]).below(*_parts_of_path(member.name))

    def _migrations(self, app_label: str) -> Place:
        if app_label not in {config.label for config in apps.get_app_configs()}:
            raise NoPlace(f"the app '{app_label}' is not installed", _ELSEWHERE)
        package, _ = MigrationLoader.migrations_module(app_label)
        if package is None:
            raise NoPlace(f"MIGRATION_MODULES disables the migrations of '{app_label}'", _ELSEWHERE)
        if self.modules.owner(package) is not Owner.PROJECT:
            raise NoPlace(f"the package {root_of(package)} is installed, and not the project's", _ELSEWHERE)
        return self._package(package.split("."), app_label)

    def _package(self, parts: list[str], app_label: str) -> Place:
        """Return the folder of a package: that of the innermost one that is here, and what comes below it."""
        for length in range(len(parts), 0, -1):
            folder = self.modules.folder(".".join(parts[:length]))
            if folder is not None:
                return Place(folder, tuple(parts[length:]), length)
        config = apps.get_app_config(app_label)
        return Place(Path(config.path).parents[config.name.count(".")], tuple(parts))


def _package_of(stored: StoredMigration) -> list[str]:
    return [_checked(part) for part in stored.module.split(".")[:-1]]


def _file_of_migration(stored: StoredMigration) -> str:
    name = _checked(stored.key[1])
    if name[0] in "_~":
        raise NoPlace(f"Django loads no migration whose name begins with '{name[0]}'")
    return f"{name}.py"


def _file_of(member: BundleMember) -> list[str]:
    parts = [_checked(part) for part in member.name.split(".")]
    return [*parts, "__init__.py"] if member.is_package else [*parts[:-1], f"{parts[-1]}.py"]


def _checked(name: str) -> str:
    """Return the name of a module, or of a migration as Django loads it, which leads nowhere else."""
    if not name or not name.isprintable() or set(name) & set("./\\"):
        raise NoPlace(f"{name!r} is not the name of a module")
    return name


def _parts_of_path(path: str) -> Iterable[str]:
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise NoPlace(f"{path!r} is not a path below the migrations")
    return parts
