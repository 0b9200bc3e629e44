"""What goes with a migration beside its own text, as data that is signed with it."""

from __future__ import annotations

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
        carried = [Carried(**one) for one in data.get("carried", [])]
        if not all(isinstance(text, str) for one in carried for text in (one.kind, one.name, one.digest)):
            raise ValueError("needs are not what they should be")
        return cls(carried, dict(data.get("packages", {})), dict(data.get("left_out", {})))


NOTHING = Needs()
