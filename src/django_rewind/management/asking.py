"""Asking somebody at a terminal."""

from __future__ import annotations

import sys

from django.core.management.base import CommandError

from django_rewind.exceptions import UNCHANGED

__all__ = ["PromptCancelled", "agrees"]


class PromptCancelled(CommandError):
    """Somebody pressed Ctrl-C instead of an answer."""

    def __init__(self) -> None:
        # What a shell says of a process that was interrupted.
        super().__init__("It was not agreed to.", returncode=130)


def agrees(question: str, if_nobody: str) -> bool:
    """
    Ask, and say whether the answer is yes.

    Raises:
        PromptCancelled: Ctrl-C.
        CommandError: there is nobody to ask, in the words of `if_nobody`.
    """
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise CommandError(f"{if_nobody}\n{UNCHANGED}") from None
    except KeyboardInterrupt:
        # The line of the question has no end yet.
        sys.stderr.write("\n")
        raise PromptCancelled from None
