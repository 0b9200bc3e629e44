"""What goes with a migration beside its own text, as data that is signed with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["NOTHING", "Carried", "Needs"]


@dataclass(frozen=True)
class Carried:
    """One module, excerpt or file that goes with a migration."""

    # "module", "models" (an excerpt) or "file".
    kind: str
    # Dotted, or a path below the migrations package, with slashes.
    name: str
    # Of what is stored; the store holds each content once.
    digest: str
    # In bytes.
    size: int
    is_package: bool = False
    # For an excerpt: what was taken, and the model classes that it mentions.
    paths: list[list[str]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Needs:
    """What goes with a migration, what was installed, and what had to be left out."""

    carried: list[Carried] = field(default_factory=list)
    # Top-level module -> name and version of what brought it.
    packages: dict[str, str] = field(default_factory=dict)
    # Module or file -> why it is not carried along.
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def modules(self) -> list[Carried]:
        return [one for one in self.carried if one.kind != "file"]

    @property
    def files(self) -> list[Carried]:
        return [one for one in self.carried if one.kind == "file"]

    @property
    def size(self) -> int:
        """In bytes, of all that is carried."""
        return sum(one.size for one in self.carried)

    def as_data(self) -> dict[str, Any]:
        """Return what can be written as JSON; nothing where nothing is needed."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_data(cls, data: Any) -> Needs:
        """
        Return what `as_data()` made.

        Raises:
            TypeError, ValueError: when the data does not have that form.
        """
        if not isinstance(data, dict):
            raise TypeError("needs are not what they should be")
        carried = [Carried(**one) for one in data.get("carried", [])]
        needs = cls(carried, data.get("packages", {}), data.get("left_out", {}))
        if not (all(map(_is_valid, carried)) and _holds_texts(needs.packages, needs.left_out)):
            raise ValueError("needs are not what they should be")
        return needs


NOTHING = Needs()


def _is_valid(carried: Any) -> bool:
    return (
        carried.kind in ("module", "models", "file")
        and _are_texts([carried.name, carried.digest, *carried.models])
        and (carried.kind != "file" or _stays_below(carried.name))
        and isinstance(carried.size, int)
        and isinstance(carried.is_package, bool)
        and isinstance(carried.paths, list)
        and all(isinstance(path, list) and path and _are_texts(path) for path in carried.paths)
    )


def _are_texts(values: Any) -> bool:
    return isinstance(values, Iterable) and all(isinstance(value, str) for value in values)


def _stays_below(name: str) -> bool:
    """Say whether a file would be written where it belongs: below the folder that is made for it."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def _holds_texts(*values: Any) -> bool:
    return all(isinstance(value, dict) and _are_texts(value.values()) for value in values)
