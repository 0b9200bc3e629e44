"""What the commands that report have in common: which databases, and in which format."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils.timezone import is_aware

from django_rewind.management.exit_status import failure
from django_rewind.management.options import with_joined_names
from django_rewind.utils.advice import name_database, on_database
from django_rewind.utils.printable import in_local_time, printable

# The version of the shape of what is written as JSON; the documentation describes it.
_JSON_FORMAT = 1

_ALL = "all"

_Found = TypeVar("_Found")


class ReportingCommand(BaseCommand):
    """
    A command that reports on migrations: what it found goes to stdout, the rest to stderr.

    A report for scripts is one JSON document:
    ``{"format": 1, "command": …, "databases": {alias: …}}``, with an ``error`` where it failed.
    """

    # What it reports on may be what keeps the checks from passing.
    requires_system_checks: list[str] = []

    # Commands that write work on one database at a time, as Django's do.
    may_look_at_all_databases = True

    def create_parser(self, *args: Any, **options: Any) -> Any:
        parser: Any = super().create_parser(*args, **options)
        parse = parser.parse_args
        parser.parse_args = lambda args=None, *rest: parse(
            with_joined_names(parser, sys.argv[1:] if args is None else args), *rest
        )
        return parser

    def add_arguments(self, parser: Any) -> None:
        also = f" '{_ALL}' takes all of them." if self.may_look_at_all_databases else ""
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help=f'Nominates a database. Defaults to the "default" database.{also}',
        )
        parser.add_argument(
            "--format",
            choices=["text", "json"],
            default="text",
            help="How to report: as text to read, or as JSON for scripts.",
        )

    def is_gate(self, options: Mapping[str, Any]) -> bool:
        """Return whether a script decides by the exit status whether to go on."""
        return False

    def execute(self, *args: Any, **options: Any) -> Any:
        """
        Run the command, and have every failure say what it is.

        What an error names as the next step works on the database that it is about.
        """
        alias = options["database"]
        self._has_reported = False
        # Of several databases, those that could not be looked at, and why.
        self._unread: dict[str, str] = {}
        try:
            output = super().execute(*args, **options)
            if self._unread:
                raise CommandError(f"Not looked at: {', '.join(self._unread)}.")
            return output
        except Exception as error:
            failed = failure(error, alias, is_gate=self.is_gate(options), has_checked_all=not self._unread)
            if not isinstance(failed, CommandError):
                raise
            if alias in connections:
                name_database(failed, alias)
            if options["format"] == "json" and not self._has_reported:
                self.write_json({}, error=str(failed))
            if failed is error:
                raise
            raise failed from error

    def of_each_database(
        self, options: Mapping[str, Any], look: Callable[[Any], _Found]
    ) -> dict[str, _Found]:
        """Return what is found in each database; of several, one that fails does not hide the others."""
        wanted = self.connections(options)
        found: dict[str, _Found] = {}
        for connection in wanted:
            alias = connection.alias
            try:
                found[alias] = look(connection)
            except (CommandError, Error) as error:
                if len(wanted) == 1:
                    raise
                self._unread[alias] = on_database(str(failure(error, alias)), alias)
                self.stderr.write(self._unread[alias])
        return found

    def connections(self, options: Mapping[str, Any]) -> list[Any]:
        wanted = options["database"]
        if wanted == _ALL and self.may_look_at_all_databases and _ALL not in connections:
            return [connections[alias] for alias in connections]
        if wanted not in connections:
            raise CommandError(f"There is no database '{wanted}'. Configured: {', '.join(connections)}.")
        return [connections[wanted]]

    def connection(self, options: Mapping[str, Any], option: str) -> Any:
        """Return the one connection that was asked for, for an option that does not work on all of them."""
        (connection, *others) = self.connections(options)
        if others:
            raise CommandError(f"{option} works on one database: name it with --database.", returncode=2)
        return connection

    def write_json(self, databases: Mapping[str, Any], **more: Any) -> None:
        """Write what was found, by alias."""
        self._has_reported = True
        name = type(self).__module__.rpartition(".")[2]
        unread = {alias: {"error": error} for alias, error in self._unread.items()}
        document = {"format": _JSON_FORMAT, "command": name, "databases": {**databases, **unread}, **more}
        # The one control character that JSON does not escape.
        self.stdout.write(json.dumps(document, indent=2, default=_as_json).replace("\x7f", "\\u007f"))

    def warn(self, line: str, alias: str = DEFAULT_DB_ALIAS) -> None:
        self.stderr.write(self.style.WARNING(f"Warning: {on_database(line, alias)}"))

    def as_it_may_be_sent(self, text: str) -> str:
        """Return stored text: for a terminal without control characters, else as it is."""
        if self.stdout.isatty():
            return printable(text.replace("\r\n", "\n"))
        # Halves of characters cannot be written.
        return text.encode("utf-8", "backslashreplace").decode()

    def progress(self, things: Iterable[Any], what: str, total: int) -> Iterator[Any]:
        """Yield the things, and show on a terminal how far it is."""
        is_shown = self.stderr.isatty() and total > 1
        for number, thing in enumerate(things, start=1):
            yield thing
            if is_shown:
                self.stderr.write(f"\r{what} {number} of {total}", ending="" if number < total else "\n")
                self.stderr.flush()


def _as_json(value: Any) -> str:
    """Return a time in ISO 8601 with its zone, and everything else as text."""
    if isinstance(value, datetime):
        return (value if is_aware(value) else in_local_time(value)).isoformat()
    return str(value)
