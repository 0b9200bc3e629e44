"""What the exit status of a command says, above all of a gate: a command by which a script decides to go on."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import Error

from django_rewind.exceptions import RewindError
from django_rewind.utils.printable import why

FOUND, NOT_CHECKED = 1, 2


class CheckFailed(CommandError):
    """A gate has found something."""


def failure(
    error: Exception, alias: str, *, is_gate: bool = False, has_checked_all: bool = True
) -> Exception:
    """
    Return the error with which a command ends in place of another, with its exit status.

    A gate has either found something, as it also has where a rollback is refused, or it could not check.
    """
    if isinstance(error, CommandError):
        failed: CommandError = error
    elif isinstance(error, Error):
        failed = CommandError(f"The database '{alias}' cannot be used: {why(error)}")
    elif is_gate:
        failed = CommandError(f"This could not be checked: {why(error)}")
    else:
        return error
    has_found = isinstance(failed, (CheckFailed, RewindError)) and has_checked_all
    if is_gate and failed.returncode == FOUND and not has_found:
        failed.returncode = NOT_CHECKED
    return failed
