"""
What is said, and with `--auto` done, when another commit has been checked out.

The hook of git leads here, through the command `rewind_hook run`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS

from ..backends import backend_for
from ..engine.plan import Plan, at_stake
from ..engine.preflight import check_reversible
from ..exceptions import RewindError, RewindInterrupted
from ..git.hook import Choices
from ..inventory.snapshot import FileStatus, Snapshot
from ..sources.stored import why_unusable
from ..utils.advice import on_database
from ..utils.types import Key, some_names_of
from .rewind import Rewind


def after_checkout(connection: Any, choices: Choices, deleted: Sequence[str] = ()) -> str:
    """
    Return the one line that there is to say, or nothing.

    Args:
        deleted: the files that the checkout has taken away.
    """
    try:
        lacking = look(connection, deleted)
    except Exception as error:  # noqa: BLE001 (a line, and the checkout goes on)
        return _line(f"cannot tell what is missing here ({_in_short(error)}).")
    if lacking is None or not lacking.keys:
        return ""
    if choices.auto and settings.DEBUG and lacking.missing and not lacking.obstacle:
        said = _undo(lacking, choices)
    else:
        said = lacking.in_words(choices.database)
    return _line(on_database(said, choices.database))


@dataclass(frozen=True)
class Lacking:
    """What is applied and lacks a file in this checkout, and how that could be undone."""

    rewind: Rewind
    missing: list[Key]
    # Missing, and not part of a bare rewind: the table of an installed model.
    in_use: list[Key]
    # The same, because its source came from Git: the target that has it unapplied.
    from_git: dict[Key, str]
    # Of apps that this checkout took away.
    stale: list[Key]
    # On disk under another name.
    renamed: list[Key]
    plan: Plan

    @property
    def obstacle(self) -> str:
        """Why a rewind would be refused."""
        return self.plan.problem.problem if self.plan.problem else ""

    @property
    def keys(self) -> list[Key]:
        return [*self.missing, *self.in_use, *self.from_git, *self.stale, *self.renamed]

    def in_words(self, database: str) -> str:
        """Return how many they are, which, and what helps."""
        count = len(self.keys)
        what = "migration" if count == 1 else "migrations"
        where = "" if database == DEFAULT_DB_ALIAS else f" of the database '{database}'"
        has = "has" if count == 1 else "have"
        return f"{count} applied {what}{where} {has} no file here ({some_names_of(self.keys)}): {self._help}"

    @property
    def commands_for_git(self) -> list[str]:
        """The commands that undo what came from Git, which nothing does by itself."""
        return [
            f"'manage.py rewind {app_label} {target}'" for (app_label, _), target in self.from_git.items()
        ]

    @property
    def _help(self) -> str:
        if self.obstacle:
            return f"{self.obstacle} See 'manage.py rewind --plan'."
        commands = ["'manage.py rewind'"] if self.missing else []
        commands += [
            f"'manage.py rewind {app}'" for app in sorted({app_label for app_label, _ in self.stale})
        ]
        if self.renamed:
            adopt = "'manage.py rewind --adopt --migrate'"
            rest = f" Then {' and '.join(commands)}." if commands else ""
            return f"{adopt} gives {some_names_of(self.renamed)} the name of now.{rest}"
        commands += self.commands_for_git
        if not commands:
            return "an installed model uses the table, see 'manage.py rewind --plan'."
        them = "it" if len(self.keys) == 1 else "them"
        return f"{' and '.join(commands)} {'undoes' if len(commands) == 1 else 'undo'} {them}."


def look(connection: Any, deleted: Sequence[str] = ()) -> Lacking | None:
    """Return what is lacking; None where there is no database, or nothing is kept in it."""
    if not backend_for(connection).exists():
        return None
    try:
        rewind = Rewind(connection)
    except CommandError:
        return None
    snapshot = rewind.snapshot
    try:
        plan = rewind.plan()
        check_reversible(migration for migration, _ in plan.migrations)
    except RewindError as error:
        plan = Plan([], problem=error)
    absent = [key for key in snapshot.of(FileStatus.MISSING) if key not in rewind.renamed]
    stale = [key for key in snapshot.of(FileStatus.STALE_APP) if _is_among(snapshot, key, deleted)]
    from_git = [key for key in (*absent, *stale) if rewind.is_found_in_git(key)]
    return Lacking(
        rewind=rewind,
        missing=[key for key in absent if key not in from_git],
        from_git={key: rewind.target_of(key) for key in from_git},
        in_use=[key for key in snapshot.of(FileStatus.TABLE_IN_USE) if key not in rewind.renamed],
        stale=[key for key in stale if key not in from_git],
        renamed=list(rewind.renamed),
        plan=plan,
    )


def _is_among(snapshot: Snapshot, key: Key, deleted: Iterable[str]) -> bool:
    """Apps are also removed on purpose; it is worth a word only when it has just happened."""
    stored = snapshot.stored.get(key)
    module = stored.module if stored and why_unusable(stored) is None else f"{key[0]}.migrations.{key[1]}"
    path = f"/{module.replace('.', '/')}.py"
    return any(f"/{file}".endswith(path) for file in deleted)


# Undoing ------------------------------------------------------------------------


def _undo(lacking: Lacking, choices: Choices) -> str:
    try:
        lacking.rewind.find_out(lacking.plan)
    except RewindError as error:
        return f"{lacking.in_words(choices.database)} Not done by itself: {error.problem}"
    lost = lacking.rewind.losses(lacking.plan)
    if lost and not choices.allow_data_loss:
        return f"{lacking.in_words(choices.database)} Not done by itself: it {at_stake(lost, 'would lose what is in', most=3)}."
    # From here on it takes as long as it takes: half an undo is worse than a wait.
    signal.alarm(0)
    # A development server that holds a table would have the checkout wait for ever.
    backend_for(lacking.rewind.connection).limit_lock_waits(choices.timeout)
    try:
        call_command(
            "rewind",
            database=choices.database,
            interactive=False,
            allow_data_loss=choices.allow_data_loss,
            verbosity=0,
            lock_timeout=choices.timeout,
            stdout=StringIO(),
            stderr=StringIO(),
        )
    except RewindInterrupted as interruption:
        return _not_undone(lacking, interruption.error)
    except Exception as error:  # noqa: BLE001 (stored code raises what it likes)
        return _not_undone(lacking, error)
    loss = (
        f" This {at_stake(lost, 'lost what was in', 'may have changed values in', most=3)}." if lost else ""
    )
    skipped = ""
    if lacking.from_git:
        how = " and ".join(lacking.commands_for_git)
        skipped = f" Skipped, since Git had the source: {some_names_of(lacking.from_git)}. See {how}."
    return f"undone for this checkout: {some_names_of(lacking.plan.keys)}.{loss}{skipped}"


def _not_undone(lacking: Lacking, error: BaseException) -> str:
    return f"{some_names_of(lacking.plan.keys)} could not be undone ({_in_short(error)}). See 'manage.py rewind'."


# Words --------------------------------------------------------------------------


def _line(text: str) -> str:
    return " ".join(f"django-rewind: {text}".split())


def _in_short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
