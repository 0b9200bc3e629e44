"""What a rewind would do, as data: to be shown before anybody agrees to it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand

from ..inventory.snapshot import WHY_SKIPPED, FileStatus
from ..sources.description import in_words, is_reversible
from ..sources.recovered import source_of
from ..utils.types import Key, Plan, key_of, label
from .losses import Lost, effects_of_step

__all__ = ["Outline", "Step", "left_alone", "steps_of"]

EDITED = "its file was edited after it ran"


@dataclass(frozen=True)
class Step:
    """One migration that would be undone."""

    key: Key
    source: str
    # What its operations do, in the words of `migrate --plan`, and whether they cannot be undone.
    operations: list[tuple[str, bool]]
    reversible: bool
    # Whether it holds something of which nobody can tell what it does to data.
    is_opaque: bool
    losses: list[Lost]

    @property
    def words(self) -> list[str]:
        return [text for text, _ in self.operations]

    def as_data(self) -> dict[str, Any]:
        app_label, name = self.key
        return {
            "app": app_label,
            "name": name,
            "source": self.source,
            "operations": self.words,
            "reversible": self.reversible,
            "losses": [lost.as_data() for lost in self.losses],
        }


@dataclass(frozen=True)
class Outline:
    """A rewind as it would be: what it undoes, what it applies, and what it leaves alone."""

    steps: list[Step]
    # With the reason for each.
    left_alone: list[tuple[Key, str]]
    edited: list[Key]
    # Only records would go.
    fake: bool = False
    # What would be applied afterwards, and what cannot be, for want of a file.
    applies: Iterable[Key] = ()
    stays_undone: Iterable[Key] = ()

    @property
    def losses(self) -> list[Lost]:
        return [lost for step in self.steps for lost in step.losses]

    def __bool__(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.steps or self.applies)

    def as_data(self) -> dict[str, Any]:
        left_alone = [*self.left_alone, *((key, EDITED) for key in self.edited)]
        return {
            "fake": self.fake,
            "steps": [step.as_data() for step in self.steps],
            "applies": [_named(key) for key in self.applies],
            "stays_undone": [_named(key) for key in self.stays_undone],
            "left_alone": [{**_named(key), "why": why} for key, why in left_alone],
        }


def steps_of(plan: Plan, losses: Iterable[Lost] = ()) -> list[Step]:
    """Return the steps of a plan; nothing stored is executed for it."""
    lost = list(losses)
    return [_step(migration, [one for one in lost if one.key == key_of(migration)]) for migration, _ in plan]


def left_alone(
    standing: Iterable[tuple[Key, FileStatus]], stored: Container[Key], renamed: Mapping[Key, Key]
) -> list[tuple[Key, str]]:
    """
    Return what has no file and stays applied, with the reason in words.

    Args:
        stored: the migrations whose source is stored.
        renamed: those that are on disk under another name.
    """
    return [
        (key, f"{label(renamed[key])} does the same; --adopt gives it that name")
        if key in renamed
        else (key, _why_left_alone(one, is_stored=key in stored))
        for key, one in standing
    ]


def _why_left_alone(standing: FileStatus, *, is_stored: bool) -> str:
    why = WHY_SKIPPED[standing]
    if standing is not FileStatus.MISSING_BEFORE_INSTALL:
        return why
    if is_stored:
        return f"{why}; name a target to undo it"
    return f"{why}; 'backfill_migration_code --from-git' looks for its source"


def _step(migration: Any, losses: list[Lost]) -> Step:
    effects = effects_of_step(migration)
    return Step(
        key=key_of(migration),
        source=source_of(migration),
        operations=[_in_words(operation) for operation in migration.operations],
        reversible=_are_reversible(migration.operations),
        is_opaque=any(effect["effect"] == "opaque" and effect.get("database") for effect in effects),
        losses=losses,
    )


def _in_words(operation: Any) -> tuple[str, bool]:
    try:
        text, cannot_be_undone = MigrateCommand.describe_operation(operation, True)
    except Exception:  # noqa: BLE001 (an operation of somebody's own need not describe itself to be run)
        text, cannot_be_undone = in_words(operation), False
    if not cannot_be_undone and not _are_reversible([operation]):
        return f"{text} -> IRREVERSIBLE", True
    return str(text), bool(cannot_be_undone)


def _are_reversible(operations: Iterable[Any]) -> bool:
    """Ask also what `SeparateDatabaseAndState` holds; of stored code, what was written down."""
    return all(map(is_reversible, operations))


def _named(key: Key) -> dict[str, str]:
    return {"app": key[0], "name": key[1]}
