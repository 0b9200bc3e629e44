"""
The errors, each with its data and its message in one place.

All are `CommandError`s: Django's own `migrate` prints those as one message with
exit status 1 and no traceback, and code that drives an executor can catch them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from django.core.management.base import CommandError
from django.db import router

from .utils.causes import root_cause
from .utils.printable import printable, printable_name, why
from .utils.types import APP_LABEL, Key, label, names_of, some_names_of

__all__ = [
    "AppliedUnderAnotherName",
    "AtomicNotPossible",
    "BlockedRewind",
    "ConflictsWithMissing",
    "FileNotUsable",
    "FilesModified",
    "HowFar",
    "IrreversibleRewind",
    "LockLost",
    "LockTimeout",
    "LockUnavailable",
    "LockWaitCancelled",
    "MadeAlready",
    "MigrationError",
    "MoreIsLost",
    "NameReused",
    "NeverApplied",
    "NotInOrder",
    "NotInitialized",
    "NotRecoverable",
    "NotRestorable",
    "PlanOutdated",
    "PromptCancelled",
    "PruneRefused",
    "RecordPruned",
    "RedoNotPossible",
    "RewindError",
    "RewindInterrupted",
    "SqlNotAvailable",
    "StateConflict",
    "StateNotBuilt",
    "SwappedIn",
    "TablesNotComplete",
    "UnknownColumns",
]

UNCHANGED = "Nothing has been changed."
# The tables of apps without migrations may have been made already.
NOTHING_MIGRATED = "No migration has been applied or undone."


class RewindError(CommandError):
    """Base class: a run or a command is refused, and nothing has been changed."""

    # Whether the audit log says so.
    is_noted = False

    def __init__(self, problem: str, next_step: str = "") -> None:
        # Both may quote what is stored.
        self.problem = printable(problem)
        self.next_step = printable(next_step)
        end = "\n" if "\n" in self.problem else " "
        super().__init__("\n".join(filter(None, [f"{self.problem}{end}{UNCHANGED}", self.next_step])))


class MigrationError(RewindError):
    """Base class: something cannot be done with one migration."""

    problem_of = "Cannot roll back {}"

    def __init__(self, key: Key, reason: str, next_step: str = "") -> None:
        self.key = key
        self.reason = printable(reason)
        super().__init__(f"{self.problem_of.format(label(key))}: {self.reason}", next_step)


class NotInitialized(CommandError):
    """A database has no tables of django-rewind, or nothing in them."""

    def __init__(self, alias: str) -> None:
        if router.allow_migrate(alias, APP_LABEL):
            problem = (
                f"Nothing is stored in the database '{alias}' yet: "
                f"run 'manage.py migrate --database {alias}' first."
            )
        else:
            problem = (
                f"Nothing is stored in the database '{alias}': a router keeps the tables of django-rewind out "
                f"of it.\nLet its allow_migrate() answer True for '{APP_LABEL}' and '{alias}', and run "
                f"'manage.py migrate --database {alias}'."
            )
        super().__init__(problem)


class TablesNotComplete(RewindError):
    """Something is missing, and django-rewind's own migrations have to be applied before it can be rolled back."""

    def __init__(self, missing: Sequence[Key]) -> None:
        super().__init__(
            f"Cannot roll back: {some_names_of(missing)} {'has' if len(missing) == 1 else 'have'} no file, and "
            "the tables of django-rewind are not complete, so no stored source can be read.",
            f"Run 'manage.py migrate {APP_LABEL}' first.",
        )


class NotRecoverable(MigrationError):
    """An applied migration has no file, and its stored source cannot be used either."""

    problem_of = "Cannot recover {}"

    def __init__(self, key: Key, reason: str, next_step: str = "") -> None:
        super().__init__(key, reason, next_step or f"Bring back the file of {label(key)} and try again.")

    @classmethod
    def of_all(cls, errors: Sequence[NotRecoverable]) -> NotRecoverable:
        """Return one error that names all of them, and is about the first."""
        first, *others = errors
        if not others:
            return first
        error = cls(first.key, first.reason)
        problems = "\n".join(one.problem for one in errors)
        RewindError.__init__(error, problems, "\n".join(dict.fromkeys(one.next_step for one in errors)))
        return error


class FileNotUsable(MigrationError):
    """`--use-file` names a migration for which it makes no sense."""

    problem_of = "Cannot unapply {} by its file"

    def __init__(self, key: Key, reason: str) -> None:
        super().__init__(key, reason, f"Leave out '--use-file {label(key)}'.")


class RedoNotPossible(MigrationError):
    """A migration cannot be unapplied and applied again from its file."""

    problem_of = "Cannot redo {}"


class PruneRefused(RewindError):
    """`migrate --prune` would delete the records of what could be rolled back."""

    def __init__(self, keys: Sequence[Key], target: str = "") -> None:
        self.keys = keys
        rewind = " ".join(["manage.py rewind", printable_name(keys[0][0]), *filter(None, [target])])
        super().__init__(
            f"Cannot prune {names_of(keys)}: without a record, what it did stays in the database, and "
            "nothing rolls it back any more.",
            f"To roll back, run '{rewind}'.\nTo mark as unapplied and keep what it did, run '{rewind} --fake'.",
        )


class AtomicNotPossible(RewindError):
    """A run cannot be one transaction as a whole."""

    def __init__(self, reason: str, key: Key | None = None) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"--atomic is not possible here: {reason}", "Leave out --atomic.")


class HowFar(NamedTuple):
    """What of a run is done when it stops, and what is not."""

    undone: Sequence[Key] = ()
    not_undone: Sequence[Key] = ()
    # What a redo does afterwards.
    applied: Sequence[Key] = ()
    not_applied: Sequence[Key] = ()
    # Where one step was left between two operations, and what helps there.
    halfway: Sequence[str] = ()
    # Only records go.
    fake: bool = False
    # Why the records could not be read, as a sentence without an end.
    unread: str = ""
    # What has got another name before all that, by the names that it had.
    renamed: Mapping[Key, Key] = {}
    # What helps where the same command will fail again.
    by_hand: str = ""

    @property
    def has_begun(self) -> bool:
        """Whether anything has been changed."""
        return bool(self.renamed or self.undone or self.applied)

    @property
    def at(self) -> Key | None:
        """The step that failed, or did not begin any more."""
        return next(iter([*self.not_undone, *self.not_applied]), None)

    @property
    def lines(self) -> list[str]:
        """Say it, in sentences."""
        undone = "Marked as unapplied" if self.fake else "Undone"
        renamed = [f"{label(old)} is {label(new)}" for old, new in self.renamed.items()]
        lines = [
            f"Renamed: {', '.join(renamed)}." if renamed else "",
            f"{undone}: {names_of(self.undone) or 'nothing'}.",
            f"Not {undone.lower()}: {names_of(self.not_undone)}." if self.not_undone else "",
            f"Applied: {names_of(self.applied)}." if self.applied else "",
            f"Not applied yet: {names_of(self.not_applied)}." if self.not_applied else "",
            f"{self.unread}: that is what was seen before." if self.unread else "",
            *self.halfway,
        ]
        return list(filter(None, lines))


class RewindInterrupted(CommandError):
    """
    A rewind or a redo has stopped on its way; this one may have changed something.

    Args:
        error: what has stopped it, `KeyboardInterrupt` included.
        how_far: None where everything was taken back.
        go_on: the commands that go on, where it is not the same one again.
        at: the step in which it stopped, where `how_far` does not tell.
        by_hand: what helps there, where `how_far` does not tell.
    """

    def __init__(
        self,
        error: BaseException,
        how_far: HowFar | None,
        *,
        what: str = "rewind",
        go_on: Iterable[str] = (),
        at: Key | None = None,
        by_hand: str = "",
    ) -> None:
        self.error = error = root_cause(error)
        self.how_far = how_far
        self.go_on = list(go_on)
        self.at = how_far.at if how_far else at
        is_interrupt = isinstance(error, KeyboardInterrupt)
        is_over = how_far is not None and self.at is None
        where = f" at {label(self.at)}" if self.at else ""
        if is_interrupt:
            happened = f"The {what} was interrupted{where}."
        elif is_over:
            happened = f"The {what} is done, and what comes after it has failed: {_reason(error)}"
        else:
            happened = f"The {what} has stopped{where}: {_reason(error)}"
        commands = " and ".join(self.go_on)
        if is_over:
            next_step = (
                "What follows a run, such as new content types and permissions, "
                "is made up for by the next 'manage.py migrate'."
            )
        elif how_far is not None and how_far.halfway:
            # How to settle that was said with it.
            that_is = f" (that is {commands})" if commands else ""
            next_step = f"Once that is settled, the same command{that_is} goes on from there."
        else:
            # What was taken back as a whole begins anew.
            again = f"run the same command again{', which goes on from there' if how_far else ''}"
            go_on_with = f"go on with {commands}" if commands else again
            next_step = f"{'' if is_interrupt else 'Mend what stopped it, then '}{go_on_with}."
            next_step = next_step[0].upper() + next_step[1:]
        lines = [happened, *(how_far.lines if how_far else [_TAKEN_BACK]), next_step]
        by_hand = how_far.by_hand if how_far else by_hand
        if by_hand and not is_interrupt:
            lines.append(by_hand)
        super().__init__(
            "\n".join(lines), returncode=getattr(error, "returncode", 130) if is_interrupt else 1
        )


_TAKEN_BACK = f"Everything has been taken back, also what was said to be OK. {UNCHANGED}"


def _reason(error: BaseException) -> str:
    """Return what stopped a run, without a claim that nothing has been changed."""
    if isinstance(error, RewindError):
        return "\n".join(filter(None, [error.problem, error.next_step]))
    return str(error) if isinstance(error, CommandError) else why(error)


class NotRestorable(RewindError):
    """Stored sources cannot be written to files: each migration with its reason."""

    def __init__(self, reasons: Iterable[tuple[Key, str]], next_steps: Iterable[str] = ()) -> None:
        self.reasons = list(reasons)
        super().__init__(
            "\n".join(f"Cannot restore {label(key)}: {reason}" for key, reason in self.reasons),
            " ".join(dict.fromkeys(next_steps)),
        )


class IrreversibleRewind(MigrationError):
    """
    A migration that would have to be unapplied has an irreversible operation.

    Args:
        before: the target just before it.
        stands_elsewhere: whether its file has another place now, so that no target is just before it.
    """

    def __init__(
        self, key: Key, operation: str, before: str = "<the one before it>", *, stands_elsewhere: bool = False
    ) -> None:
        self.operation = operation
        super().__init__(
            key,
            f"its operation '{operation}' is not reversible.",
            "Reverse it by hand, delete its row from django_migrations, and run the same command again."
            if stands_elsewhere
            # Marking comes last: what is applied above would be marked with it, and stay.
            else f"To stop just after it, run 'manage.py migrate {key[0]} {key[1]}'.\n"
            "To go further, reverse it by hand, and mark it as unapplied with "
            f"'manage.py rewind {key[0]} {before} --fake', which shows what else would be marked, and asks.",
        )


class BlockedRewind(MigrationError):
    """A migration cannot be unapplied as things are in the database or the project."""


class NameReused(BlockedRewind):
    """
    A model or a field that a step works on is another table or column than when the step was applied.

    Args:
        name: of the model or the field.
        given_by: what gave the name to another.
        taken_by: what took it from the one that the step knows, with `before`, the target just before it.
    """

    def __init__(
        self, key: Key, name: Iterable[str], given_by: Key, taken_by: Key, before: str | None = None
    ) -> None:
        parts = [printable_name(part) for part in name]
        kind = "table" if len(parts) == 2 else "column"
        how = (
            f"'manage.py rewind {taken_by[0]} {before}' shows what goes with it, and asks." if before else ""
        )
        super().__init__(
            key,
            f"since it was applied, {label(given_by)} has given the name '{'.'.join(parts)}' to another "
            f"{kind}, on which it would be undone.",
            f"Undo {label(taken_by)} first{': ' if how else '.'}{how}",
        )


class ConflictsWithMissing(RewindError):
    """
    A step to be applied does not go with an applied migration without a file.

    Args:
        what: it does to what the missing one needs.
        command: rolls back the missing one.
        reason: why they do not go together, where `what` cannot be said.
        is_initial: whether the step may be a remade initial migration, which Django can record as it is.
    """

    def __init__(
        self,
        key: Key,
        missing: Key,
        what: str,
        command: str = "manage.py rewind",
        reason: str = "",
        *,
        is_initial: bool = False,
    ) -> None:
        self.key = key
        self.missing = missing
        keeping = (
            f"If {label(key)} stands for {label(missing)}, run 'manage.py migrate {key[0]} {key[1]} --fake-initial', "
            "which keeps its tables.\n"
            if is_initial
            else ""
        )
        without_file = f"{label(missing)}, which is applied but has no file in this checkout"
        super().__init__(
            f"Migration {label(key)} cannot be applied beside {without_file}: {reason}."
            if reason
            else f"Migration {label(key)} {what}, and {without_file}, needs it as it is.",
            f"{keeping}Run '{command}' to undo {label(missing)} first, or bring back its file.",
        )


class AppliedUnderAnotherName(RewindError):
    """A step to be applied is an applied migration under another name, as after a rebase."""

    def __init__(self, key: Key, missing: Key) -> None:
        super().__init__(
            f"Migration {label(key)} does the same as {label(missing)}, which is applied "
            "but has no file in this checkout: it would be done twice.",
            "Run 'manage.py rewind --adopt --migrate' to have it count as applied under its new name, or "
            f"'manage.py rewind --include-renamed' to undo {label(missing)} first.",
        )


class RecordPruned(RewindError):
    """
    An original of a squashed migration has no record, and is applied because that is.

    Args:
        squash: is applied, and has no file in this checkout.
    """

    def __init__(self, key: Key, squash: Key) -> None:
        self.key = key
        self.squash = squash
        again = " ".join(map(printable_name, key))
        super().__init__(
            f"Migration {label(key)} is applied, though its record was pruned: {label(squash)}, which is applied but "
            "has no file in this checkout, stands for it.",
            f"Run 'manage.py verify_migrations --record-again {again}' to record it again, with all that "
            f"{label(squash)} stands for. Then try again.",
        )


class NotInOrder(RewindError):
    """A migration is applied, or would be recorded so, and what its file depends on is not."""

    def __init__(self, key: Key, applied_as: Key, lacking: Iterable[Key]) -> None:
        self.key = key
        name = "" if applied_as == key else f" as {label(applied_as)}"
        super().__init__(
            f"Migration {label(key)} is applied{name}, and its file depends on {names_of(lacking)}, "
            "not applied yet.",
            "Run 'manage.py rewind --adopt --migrate', which applies that and keeps what can be kept.",
        )


class SwappedIn(RewindError):
    """A setting names a model now whose table has still to be made, under migrations that are applied."""

    def __init__(self, key: Key, parent: Key) -> None:
        self.key = key
        self.parent = parent
        super().__init__(
            f"Migration {label(key)} is applied, and a setting such as AUTH_USER_MODEL makes it depend on "
            f"{label(parent)} by now, which is not applied.",
            "No order of migrations leads from one model to the other. Make the table by hand, or load the data "
            "into a new database. See Django's documentation on changing to a custom user model mid-project.",
        )


class SqlNotAvailable(MigrationError):
    """The statements of a step depend on what earlier ones would have done."""

    problem_of = "Cannot print the SQL of {}"

    def __init__(self, key: Key, error: Exception) -> None:
        super().__init__(
            key,
            f"something has to be executed first ({why(error).rstrip('.')}).",
            f"Ask for a target that keeps {label(key)}, execute what is printed for that, and ask again.",
        )


class StateConflict(RewindError):
    """
    A step to be applied works on what a migration that is in no state has taken away.

    Args:
        command: rolls back that migration; empty where it has a file, which was modified.
    """

    def __init__(self, key: Key, by: Key, what: str, command: str = "") -> None:
        self.key = key
        self.by = by
        where = (
            "is applied but has no file in this checkout" if command else "was edited after it was applied"
        )
        way_out = f"Run '{command}' to undo {label(by)} first, or bring back its file." if command else _REDO
        super().__init__(
            f"Migration {label(key)} works on {what}, which {label(by)} has taken away or "
            f"renamed, and {label(by)} {where}.",
            way_out,
        )


class NeverApplied(RewindError):
    """A step to be applied works on what the file of an applied migration makes, and its applied version did not."""

    def __init__(self, key: Key, by: Key, what: str) -> None:
        self.key = key
        self.by = by
        super().__init__(
            f"Migration {label(key)} works on {what}, which {label(by)} makes as it is on disk. {label(by)} "
            "was applied with other content, and has not made it.",
            _REDO,
        )


class MadeAlready(RewindError):
    """A step to be applied makes again what the applied version of a migration has made, and its file does not."""

    def __init__(self, key: Key, by: Key, what: str) -> None:
        self.key = key
        self.by = by
        super().__init__(
            f"Migration {label(key)} makes {what} again, which {label(by)} has made. {label(by)} was applied with "
            "other content than its file has now.",
            _REDO,
        )


class FilesModified(RewindError):
    """What was applied is not what the files say, and would still not be when all of them are applied."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = sorted(keys)
        commands = (f"'manage.py verify_migrations --accept {app} {name}'" for app, name in self.keys)
        super().__init__(
            f"The schema would not be what the files say: {names_of(self.keys)} "
            f"{'was' if len(self.keys) == 1 else 'were'} modified after being applied.",
            f"{_REDO}\nWhere the schema is right as it is, run {' and '.join(commands)}.",
        )


_REDO = (
    "Run 'manage.py rewind --adopt --redo-modified --migrate', which unapplies what was applied and applies "
    "the files."
)


class StateNotBuilt(RewindError):
    """The state before a step cannot be built or rendered."""

    # Whether all operations have been simulated, and no models can be made of what they say together.
    is_built = False

    def __init__(
        self, key: Key, culprit: Key, error: Exception, suspects: Iterable[Key], next_step: str = ""
    ) -> None:
        self.key = key
        self.culprit = culprit
        others = ", ".join(label(suspect) for suspect in suspects if suspect != culprit)
        reason = why(error).rstrip(".")
        super().__init__(
            f"The models as they were around {label(key)} cannot be built: "
            f"{label(culprit)} fails with {reason}"
            + (f" (with {others} taken into account)." if others else "."),
            next_step
            or "Roll back the migrations that contradict each other, the last one that was applied first, "
            f"or bring back the files of those that are missing: 'manage.py restore_migrations {culprit[0]}'.",
        )


class UnknownColumns(RewindError):
    """SQLite would rebuild a table without columns that only the database knows."""

    def __init__(self, key: Key, table: str, columns: Iterable[str], missing: Iterable[Key]) -> None:
        self.key = key
        self.table = table
        self.columns = sorted(columns)
        names = ", ".join(f"'{column}'" for column in self.columns)
        causes = ", ".join(label(one) for one in sorted(missing))
        problem = (
            f"Migration {label(key)} would have SQLite rebuild the table '{table}', and "
            f"its columns {names}, of which no usable migration knows, would be lost "
            "with their data."
        )
        by_hand = f"Save what is in these columns, drop them from '{table}', and try again."
        if causes:
            problem += f" Applied, but not usable here: {causes}."
            by_hand = f"Bring back the files of {causes} and try again."
        super().__init__(problem, by_hand)


class PromptCancelled(CommandError):
    """A person said no, or pressed Ctrl-C, which a shell reports as 130."""

    def __init__(self, returncode: int = 1) -> None:
        super().__init__(f"Cancelled. {UNCHANGED}", returncode=returncode)


class LockUnavailable(RewindError):
    """A database cannot be locked as things are set up."""

    def __init__(self, alias: str, reason: str, next_step: str) -> None:
        self.alias = alias
        super().__init__(f"The database '{alias}' cannot be locked: {reason}", next_step)


class LockTimeout(CommandError):
    """Another process has the lock of a database, and went on having it."""

    def __init__(self, alias: str, holder: str, timeout: float, way_out: str) -> None:
        self.alias = alias
        self.holder = holder
        waited = f" after {timeout:g} seconds" if timeout else ""
        super().__init__(
            f"The lock of the database '{alias}' is not free{waited}: it is held by {holder}.\n"
            f"{way_out}\n"
            "To wait longer, use --lock-timeout or set DJANGO_REWIND_LOCK_TIMEOUT.\n"
            f"{NOTHING_MIGRATED}"
        )


class LockWaitCancelled(CommandError):
    """Somebody stopped waiting for the lock of a database."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"Interrupted while waiting for the lock of the database '{alias}'.\n{NOTHING_MIGRATED}",
            # What a shell says of a process that was interrupted.
            returncode=130,
        )


class LockLost(CommandError):
    """The lock of a database was released under the run that had it."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(
            f"The lock of the database '{alias}' was lost: its connection was closed, or its file "
            "taken away. Stopped before the next step, since another process may have begun.\n"
            "Run the same command again: it does what is left to do."
        )


class MoreIsLost(RewindError):
    """What is going to be lost is more than was shown when somebody agreed to it."""

    def __init__(self, at_stake: str) -> None:
        super().__init__(
            f"By now the rollback {at_stake}, which was not shown before.",
            "Run the same command again to see all of it.",
        )


class PlanOutdated(RewindError):
    """While a run waited, another process has changed what its plan was made for."""

    def __init__(self, key: Key) -> None:
        self.key = key
        super().__init__(
            f"Migration {label(key)} was planned for what was applied before another process changed that.",
            "Run the same command again.",
        )
