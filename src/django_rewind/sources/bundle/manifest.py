"""What goes with a migration beside its own text, as data that is signed with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class BundleMember:
    """One module, excerpt or file that goes with a migration."""

    # "module", "models" (an excerpt) or "file".
    kind: str
    # Dotted, or a path below the migrations package, with slashes.
    name: str
    # Of the content, which the store holds once.
    digest: str
    # In bytes.
    size: int
    is_package: bool = False
    # For an excerpt: what was taken, and the model classes that it mentions.
    paths: list[list[str]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bundle:
    """What goes with a migration, what was installed, and what had to be left out."""

    members: list[BundleMember] = field(default_factory=list)
    # Top-level module -> name and version of what brought it.
    packages: dict[str, str] = field(default_factory=dict)
    # Module or file -> why it is not bundled.
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def modules(self) -> list[BundleMember]:
        return [member for member in self.members if member.kind != "file"]

    @property
    def files(self) -> list[BundleMember]:
        return [member for member in self.members if member.kind == "file"]

    @property
    def size(self) -> int:
        return sum(member.size for member in self.members)

    def as_data(self) -> dict[str, Any]:
        """Return what can be written as JSON, without what is empty."""
        data = {
            "carried": [asdict(member) for member in self.members],
            "packages": self.packages,
            "left_out": self.left_out,
        }
        return {name: value for name, value in data.items() if value}

    @classmethod
    def from_data(cls, data: Any) -> Bundle:
        """Return what `as_data()` made; raise TypeError or ValueError for anything else."""
        if not isinstance(data, dict):
            raise TypeError("needs are not what they should be")
        members = [BundleMember(**member) for member in data.get("carried", [])]
        bundle = cls(members, data.get("packages", {}), data.get("left_out", {}))
        if not (all(map(_is_valid, members)) and _holds_texts(bundle.packages, bundle.left_out)):
            raise ValueError("needs are not what they should be")
        return bundle


EMPTY_BUNDLE = Bundle()


def _is_valid(member: Any) -> bool:
    return (
        member.kind in ("module", "models", "file")
        and _are_texts([member.name, member.digest, *member.models])
        and (member.kind != "file" or _stays_below(member.name))
        and isinstance(member.size, int)
        and isinstance(member.is_package, bool)
        and isinstance(member.paths, list)
        and all(isinstance(path, list) and path and _are_texts(path) for path in member.paths)
    )


def _are_texts(values: Any) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, str) for value in values)


def _stays_below(name: str) -> bool:
    """Say whether a file would be written below the folder that is made for it."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def _holds_texts(*values: Any) -> bool:
    return all(isinstance(value, dict) and _are_texts(value.values()) for value in values)
