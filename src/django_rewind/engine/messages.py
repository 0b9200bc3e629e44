"""What is said while an executor runs: on the command's streams, or to the log."""

from __future__ import annotations

import logging
from typing import Any

from django.core.management.base import BaseCommand

from ..utils.printable import printable

__all__ = ["Messages"]

logger = logging.getLogger("django_rewind")


class Messages:
    """Speak through the command that listens to the progress of an executor."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    @property
    def _command(self) -> BaseCommand | None:
        owner = getattr(self.executor.progress_callback, "__self__", None)
        return owner if isinstance(owner, BaseCommand) else None

    def _printable(self, line: str) -> str:
        # A run of which there is nothing to say does without.
        from ..utils.advice import on_database

        return on_database(printable(line), self.executor.connection.alias)

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
