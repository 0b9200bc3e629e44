"""What is said while an executor runs: on the command's streams, or to the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand

from ..utils.frames import ask_callers
from ..utils.printable import printable

logger = logging.getLogger("django_rewind")


class Messages:
    """Speak through the command that listens to the progress of an executor."""

    def __init__(self, executor: Any) -> None:
        # Not the executor, nor its connection: what is said after a run outlives both.
        self._listener = getattr(executor.progress_callback, "__self__", None)
        self._alias: str = executor.connection.alias

    @property
    def _command(self) -> BaseCommand | None:
        return self._listener if isinstance(self._listener, BaseCommand) else None

    @property
    def says_what_is_missing(self) -> bool:
        """Whether nobody else says that."""
        return bool(getattr(self._command, "says_what_is_missing", True))

    @property
    def is_question(self) -> bool:
        """
        Whether a plan is made only to be shown, or nobody knows what for.

        `migrate --plan` and `--check` plan as a run does, with the same calls: only the options
        of the command tell, which are in no other place than the frame of its `handle`.
        """
        command = self._listener

        def only_shows(names: Mapping[str, Any]) -> bool | None:
            options = names.get("options") if names.get("self") is command else None
            if isinstance(options, dict) and "plan" in options:
                return any(options.get(name) for name in ("plan", "check_unapplied", "check", "sql"))
            return None

        return command is None or ask_callers(only_shows) is not False

    def _printable(self, line: str) -> str:
        # A run of which there is nothing to say does without.
        from ..utils.advice import on_database

        return on_database(printable(line), self._alias)

    def say(self, line: str) -> None:
        """Print a line of progress, unless the command is to be quiet."""
        line = self._printable(line)
        command = self._command
        if command is None:
            logger.info(line.strip())
        elif getattr(command, "verbosity", 1) >= 1:
            # Where what a command prints is data, it talks elsewhere.
            stream = getattr(command, "talk", command.stdout)
            stream.write(line)
            # It may be about what takes long.
            stream.flush()

    def warn(self, line: str) -> None:
        """Print a warning."""
        line = self._printable(line)
        command = self._command
        if command is None:
            logger.warning(line)
        else:
            command.stderr.write(command.style.WARNING(f"Warning: {line}"))
