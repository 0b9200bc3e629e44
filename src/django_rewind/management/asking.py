"""Ask a person at a terminal."""

from __future__ import annotations

import sys

from django.core.management.base import CommandError

from django_rewind.exceptions import UNCHANGED, PromptCancelled


def agrees(question: str, if_nobody: str) -> bool:
    """
    Ask, and return whether the answer is yes.

    Raises:
        PromptCancelled: Ctrl-C.
        CommandError: nobody can answer; `if_nobody` says what helps.
    """
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise CommandError(f"{if_nobody}\n{UNCHANGED}") from None
    except KeyboardInterrupt:
        # The line of the question has no end yet.
        sys.stderr.write("\n")
        raise PromptCancelled(130) from None


def confirm(question: str, if_nobody: str) -> None:
    """Ask, and go on only after a yes; the errors are those of `agrees`, and a no is one."""
    if not agrees(question, if_nobody):
        raise PromptCancelled
