"""
What a run does, told once.

`migrate` and `rewind`, `--plan`, `--check`, `--sql`, JSON, the question and the Git hook share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand
from django.db.migrations import Migration

from ..exceptions import RewindError
from ..schema.effects import effects_of, is_reversible
from ..schema.lineage import describe_place
from ..schema.operations import in_words
from ..sources.recovered import RecoveredMigration, source_of
from ..utils.types import Effect, Key, Steps, key_of, label, some_of


@dataclass(frozen=True)
class Lost:
    """A table, or a column of one, that holds something and is dropped or changed with a step."""

    key: Key
    table: str
    # None when the whole table goes.
    column: str | None
    # None where the database does not tell.
    rows: int | None
    # Whether there are more rows than were counted.
    truncated: bool = False
    # Whether it stays, and its values may become others.
    is_change: bool = False

    @property
    def what(self) -> tuple[str, str | None, bool]:
        """What is lost or changed, however many rows that are."""
        return (self.table, self.column, self.is_change)

    @property
    def thing(self) -> str:
        place = describe_place((self.table, self.column))
        return place.removeprefix("the ") if self.is_change else place

    @property
    def amount(self) -> str:
        if self.rows is None:
            return "rows that cannot be counted"
        if self.truncated:
            return f"more than {self.rows:,} rows"
        return "1 row" if self.rows == 1 else f"{self.rows:,} rows"

    def __str__(self) -> str:
        return f"{self.thing} ({self.amount}; {label(self.key)})"

    def as_data(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "column": self.column,
            "rows": self.rows,
            "truncated": self.truncated,
            "kind": "change" if self.is_change else "delete",
        }


def at_stake(
    losses: Iterable[Lost], loses: str, changes: str = "may change values in", most: int = 99
) -> str:
    """Return what is lost or changed, in words that go on after a subject."""
    dropped: list[str] = []
    changed: list[str] = []
    for lost in losses:
        (changed if lost.is_change else dropped).append(str(lost))
    parts = ((loses, dropped), (changes, changed))
    return " and ".join(f"{words} {some_of(things, most)}" for words, things in parts if things)


@dataclass(frozen=True)
class PlanStep:
    """One migration of a plan; describing it executes nothing stored."""

    migration: Migration
    backwards: bool = True
    losses: Sequence[Lost] = ()

    @property
    def key(self) -> Key:
        return key_of(self.migration)

    @property
    def origin(self) -> str:
        """Where its code comes from: ``"stored"`` or ``"file"``."""
        return source_of(self.migration)

    @cached_property
    def description(self) -> list[tuple[str, bool]]:
        """What its operations do, in the words of `migrate --plan`, and whether they cannot be reversed."""
        return [_describe(operation, backwards=self.backwards) for operation in self.migration.operations]

    @property
    def commit(self) -> str:
        """The commit in which its code was found, if it came from Git."""
        migration = self.migration
        return migration.stored.metadata.commit if isinstance(migration, RecoveredMigration) else ""

    @property
    def is_reversible(self) -> bool:
        return all(map(is_reversible, self.migration.operations))

    @property
    def is_opaque(self) -> bool:
        """Whether it holds something of which nobody can tell what it does to data."""
        effects = effects_of_step(self.migration)
        return any(effect["effect"] == "opaque" and effect.get("database") for effect in effects)

    def as_data(self) -> dict[str, Any]:
        return {
            **_named(self.key),
            "origin": self.origin,
            "commit": self.commit,
            "operations": [text for text, _ in self.description],
            "reversible": self.is_reversible,
            "losses": [lost.as_data() for lost in self.losses],
        }


@dataclass(eq=False)
class Plan:
    """
    What a run does, and the stored code that is in its reach.

    A migration is in reach when its app is one of the plan's, or is one dependency
    away from one: only then can the run touch it or its tables.
    """

    # As Django's executor has it. Receivers of pre_migrate are given this very list.
    migrations: Steps
    # Only records are changed.
    fake: bool = False
    fake_initial: bool = False
    # What gets the name of a file, before everything else.
    renamed: Mapping[Key, Key] = field(default_factory=dict)
    # What is applied from files afterwards, and what is not, for want of a file.
    applies: Sequence[Key] = ()
    not_reapplied: Sequence[Key] = ()
    # What has no file and stays applied, with the reason; and what has a modified file and stays.
    skipped: Sequence[tuple[Key, str]] = ()
    modified: Sequence[Key] = ()
    losses: Sequence[Lost] = ()
    # Whether it was agreed to that data are lost, whichever they are.
    may_lose_anything: bool = False
    # What stands in the way of a run that is not a fake one; raised when it begins.
    problem: RewindError | None = None
    # The part of that which stands in the way of everything but a fake run.
    obstacle: RewindError | None = None

    # Missing migrations with stored source, and the applied versions of modified ones.
    recovered: dict[Key, RecoveredMigration] = field(default_factory=dict)
    applied_versions: dict[Key, RecoveredMigration] = field(default_factory=dict)
    # Applied, in reach, and in no state that can be built.
    not_in_state: set[Key] = field(default_factory=set)
    # The nodes in the order in which states are built; None before the preparation.
    order: list[Migration] | None = None
    # The same for the state that pre_migrate is given, where the one above cannot be rendered as a whole.
    order_to_show: list[Migration] | None = None

    @cached_property
    def keys(self) -> list[Key]:
        """The steps as they were planned: a receiver of pre_migrate may take some out."""
        return [key_of(migration) for migration, _ in self.migrations]

    @cached_property
    def unapplied(self) -> set[Key]:
        return {key_of(migration) for migration, backwards in self.migrations if backwards}

    @property
    def is_backwards(self) -> bool:
        return bool(self.unapplied)

    @property
    def stored_steps(self) -> list[RecoveredMigration]:
        return [migration for migration, _ in self.migrations if isinstance(migration, RecoveredMigration)]

    @property
    def stored_code(self) -> list[RecoveredMigration]:
        """All the stored code in reach, whether it is among the steps or not."""
        return [*self.applied_versions.values(), *self.recovered.values()]

    @cached_property
    def has_stored_steps(self) -> bool:
        """Whether stored code is among its steps; asked at each of them, when they are settled."""
        return bool(self.stored_steps)

    @property
    def involves_stored_code(self) -> bool:
        return bool(self.recovered or self.applied_versions)

    @property
    def needs_states_of_its_own(self) -> bool:
        """Whether Django's states would leave out something that is in play."""
        return self.involves_stored_code or bool(self.not_in_state)

    @property
    def steps(self) -> list[PlanStep]:
        return [
            PlanStep(migration, backwards, [lost for lost in self.losses if lost.key == key_of(migration)])
            for migration, backwards in self.migrations
        ]

    def __bool__(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.renamed or self.migrations or self.applies)

    def as_data(self) -> dict[str, Any]:
        skipped = [*self.skipped, *((key, "its file was edited after it ran") for key in self.modified)]
        return {
            "fake": self.fake,
            "renamed": [{**_named(old), "renamed_to": new[1]} for old, new in self.renamed.items()],
            "steps": [step.as_data() for step in self.steps],
            "applies": [_named(key) for key in self.applies],
            "not_reapplied": [_named(key) for key in self.not_reapplied],
            "skipped": [{**_named(key), "why": why} for key, why in skipped],
        }


def effects_of_step(migration: Migration) -> Iterable[Effect]:
    """Return what a step does, of stored code as it was written down unless it is loaded."""
    if isinstance(migration, RecoveredMigration) and not migration.is_loaded:
        return migration.stored.metadata.effects
    return effects_of(migration)


def _describe(operation: Any, *, backwards: bool) -> tuple[str, bool]:
    try:
        text, is_irreversible = MigrateCommand.describe_operation(operation, backwards)
    except Exception:  # noqa: BLE001 (an operation of somebody's own need not describe itself to be run)
        text, is_irreversible = in_words(operation), False
    if backwards and not is_irreversible and not is_reversible(operation):
        return f"{text} -> IRREVERSIBLE", True
    return str(text), bool(is_irreversible)


def _named(key: Key) -> dict[str, str]:
    return {"app": key[0], "name": key[1]}
