"""
What can stand in the way, each with its data and its message in one place.

All are `CommandError`s: Django's own `migrate` prints those as one message with
exit status 1 and no traceback, and code that drives an executor can catch them.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management.base import CommandError

from .types import Key, label, names_of

__all__ = [
    "BlockedRewind",
    "CannotRedo",
    "ConflictsWithMissing",
    "FileNotUsed",
    "IrreversibleRewind",
    "NotRecoverable",
    "NotRestorable",
    "RedoInterrupted",
    "RewindError",
    "SqlNotKnown",
    "StateNotBuilt",
    "TakenAway",
    "UnknownColumns",
]

UNCHANGED = "Nothing has been changed."


class RewindError(CommandError):
    """Base class: something stands in the way and nothing has been changed."""

    def __init__(self, problem: str, next_step: str = "") -> None:
        self.problem = problem
        self.next_step = next_step
        super().__init__("\n".join(filter(None, [problem, next_step, UNCHANGED])))


class NotRecoverable(RewindError):
    """An applied migration has no file, and its source cannot be used either."""

    def __init__(self, key: Key, reason: str, next_step: str = "") -> None:
        self.key = key
        self.reason = reason
        super().__init__(
            f"Migration {label(key)} cannot be recovered: {reason}",
            next_step or f"Bring back the file of {label(key)} and try again.",
        )


class FileNotUsed(RewindError):
    """It was asked to undo a migration by its file, where that makes no sense."""

    def __init__(self, key: Key, reason: str) -> None:
        self.key = key
        super().__init__(
            f"Migration {label(key)} cannot be undone by its file: {reason}",
            f"Leave out '--use-file {label(key)}'.",
        )


class CannotRedo(RewindError):
    """A migration cannot be undone and applied again from its file."""

    def __init__(self, key: Key, reason: str, next_step: str) -> None:
        self.key = key
        super().__init__(f"Migration {label(key)} cannot be redone: {reason}", next_step)


class RedoInterrupted(CommandError):
    """A redo has stopped on its way; this one has changed something."""

    def __init__(
        self,
        error: Exception,
        *,
        undone: Iterable[Key],
        applied: Iterable[Key],
        waiting: Iterable[Key],
        go_on: Iterable[str],
    ) -> None:
        self.error = error
        self.undone, self.applied, self.waiting = list(undone), list(applied), list(waiting)
        lines = [
            f"The redo has stopped: {_reason(error)}",
            f"Undone: {names_of(self.undone)}." if self.undone else "",
            f"Applied: {names_of(self.applied)}." if self.applied else "",
            f"Not applied yet: {names_of(self.waiting)}." if self.waiting else "",
            f"Mend what stopped it, then go on with {' and '.join(go_on)}.",
        ]
        super().__init__("\n".join(filter(None, lines)))


def _reason(error: Exception) -> str:
    """Return what stopped a redo, without a claim that nothing has been changed."""
    if isinstance(error, RewindError):
        return "\n".join(filter(None, [error.problem, error.next_step]))
    return str(error) if isinstance(error, CommandError) else f"{type(error).__name__}: {error}"


class NotRestorable(RewindError):
    """What is stored cannot be written to files: each migration with its reason."""

    def __init__(self, reasons: Iterable[tuple[Key, str]], next_steps: Iterable[str] = ()) -> None:
        self.reasons = list(reasons)
        super().__init__(
            "\n".join(f"Migration {label(key)} cannot be restored: {why}" for key, why in self.reasons),
            " ".join(dict.fromkeys(next_steps)),
        )


class IrreversibleRewind(RewindError):
    """A step that would have to be undone holds an irreversible operation."""

    def __init__(self, key: Key, operation: str, before: str = "<the one before it>") -> None:
        self.key = key
        self.operation = operation
        super().__init__(
            f"Migration {label(key)} cannot be undone: its operation '{operation}' is not reversible.",
            # Forgetting comes last: what is applied above would be forgotten with it, and stay.
            f"Undo what comes after it with 'manage.py migrate {key[0]} {key[1]}', which keeps it. To go "
            f"further, undo it by hand, and have it forgotten by 'manage.py rewind {key[0]} {before} --fake', "
            "which shows what else would be forgotten, and asks.",
        )


class BlockedRewind(RewindError):
    """A step cannot be undone as things are in the database or the project."""

    def __init__(self, key: Key, reason: str, next_step: str) -> None:
        self.key = key
        super().__init__(f"Migration {label(key)} cannot be undone: {reason}", next_step)


class ConflictsWithMissing(RewindError):
    """A step to be applied collides with an applied migration without a file."""

    def __init__(self, key: Key, missing: Key, what: str, *, is_renamed: bool = False) -> None:
        self.key = key
        self.missing = missing
        self.what = what
        undo = f"Run 'manage.py rewind' to undo {label(missing)} first, or bring back its file."
        adopt = f"{label(key)} does the same as {label(missing)}: run 'manage.py rewind --adopt' instead."
        super().__init__(
            f"Migration {label(key)} {what}, and {label(missing)}, which is applied "
            "but has no file in this checkout, needs it as it is.",
            adopt if is_renamed else undo,
        )


class SqlNotKnown(RewindError):
    """The statements of a step cannot be told without executing earlier ones."""

    def __init__(self, key: Key, error: Exception) -> None:
        self.key = key
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        super().__init__(
            f"The SQL of {label(key)} cannot be told without executing something first ({reason}).",
            f"Ask for a target that keeps {label(key)}, execute what is printed for that, and ask again.",
        )


class TakenAway(RewindError):
    """A step to be applied works on what a migration that is in no state has taken away."""

    def __init__(self, key: Key, by: Key, what: str, *, has_file: bool) -> None:
        self.key = key
        self.by = by
        where = (
            "was edited after it was applied" if has_file else "is applied but has no file in this checkout"
        )
        way_out = (
            f"Undo {label(by)} first, or put its file back as it ran."
            if has_file
            else f"Run 'manage.py rewind' to undo {label(by)} first, or bring back its file."
        )
        super().__init__(
            f"Migration {label(key)} works on {what}, which {label(by)} has taken away or "
            f"renamed, and {label(by)} {where}.",
            way_out,
        )


class StateNotBuilt(RewindError):
    """The state before a step cannot be built or rendered."""

    def __init__(self, key: Key, culprit: Key, error: Exception, suspects: Iterable[Key]) -> None:
        self.key = key
        self.culprit = culprit
        others = ", ".join(label(suspect) for suspect in suspects if suspect != culprit)
        reason = f"{type(error).__name__}: {error}".rstrip(".")
        super().__init__(
            f"The models as they were around {label(key)} cannot be built: "
            f"{label(culprit)} fails with {reason}"
            + (f" (with {others} taken into account)." if others else "."),
            "Undo the migrations that contradict each other in the order in which they "
            "were applied, or bring back the files of those that are missing.",
        )


class UnknownColumns(RewindError):
    """SQLite would rebuild a table without columns that only the database knows."""

    def __init__(self, key: Key, table: str, columns: Iterable[str], missing: Iterable[Key]) -> None:
        self.key = key
        self.table = table
        self.columns = sorted(columns)
        names = ", ".join(f"'{column}'" for column in self.columns)
        causes = ", ".join(label(one) for one in sorted(missing))
        super().__init__(
            f"Migration {label(key)} would have SQLite rebuild the table '{table}', and "
            f"its columns {names}, of which no usable migration knows, would be lost "
            f"with their data. Applied, but not usable here: {causes}.",
            f"Bring back the files of {causes} and try again.",
        )
