from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError

from django_rewind.management.reporting import ReportingCommand
from django_rewind.signing import Verdict
from django_rewind.status import Status, statuses
from django_rewind.store import Store
from django_rewind.types import Key, label


class Command(ReportingCommand):
    help = (
        "Show which migrations are applied, stored, missing or edited in a database. Nothing "
        "stored is executed: whether something can be recovered is told as it was verified last."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("app_label", nargs="*", help="App labels; all apps without one.")
        super().add_arguments(parser)
        parser.add_argument("--missing", action="store_true", help="Show those that have no file here.")
        parser.add_argument(
            "--differs", action="store_true", help="Show those whose file was edited after it was applied."
        )
        parser.add_argument(
            "--unstored", action="store_true", help="Show those that are applied and not stored."
        )
        parser.add_argument("--applied", action="store_true", help="Show nothing that is not applied.")
        parser.add_argument(
            "--source",
            nargs=2,
            metavar=("APP_LABEL", "NAME"),
            help="Print the stored source of one migration, by name or prefix.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["source"]:
            self._print_source(options)
            return
        found = {
            connection.alias: statuses(connection, options["app_label"] or None)
            for connection in self.connections(options)
        }
        for app_label in options["app_label"]:
            if not any(one.key[0] == app_label for listed in found.values() for one in listed):
                raise CommandError(f"No migration of an app '{app_label}' is on disk, applied or stored.")
        shown = {
            alias: [one for one in listed if _is_wanted(one, options)] for alias, listed in found.items()
        }
        if options["format"] == "json":
            self.write_json(
                {alias: {"migrations": [one.as_data() for one in listed]} for alias, listed in shown.items()}
            )
            return
        for alias, listed in shown.items():
            if len(shown) > 1:
                self.stdout.write(f"Database {alias}:", self.style.MIGRATE_HEADING)
            self._show(listed)

    # The table --------------------------------------------------------------

    def _show(self, listed: list[Status]) -> None:
        if not listed:
            self.stdout.write("(no migrations)", self.style.ERROR)
        columns = zip(*((one.key[1], one.of_file, one.of_store) for one in listed))
        widths = [max(map(len, column)) for column in columns]
        app_label = ""
        for one in listed:
            if one.key[0] != app_label:
                app_label = one.key[0]
                self.stdout.write(app_label, self.style.MIGRATE_LABEL)
            self.stdout.write(self._line(one, widths))

    def _line(self, one: Status, widths: list[int]) -> str:
        box = "[X]" if one.is_applied else "[ ]"
        columns = [
            f"{one.key[1]:<{widths[0]}}",
            self._of_file(one)(f"{one.of_file:<{widths[1]}}"),
            self._of_store(one)(f"{one.of_store:<{widths[2]}}"),
            *one.notes,
        ]
        return f" {box} {'  '.join(columns)}".rstrip()

    def _of_file(self, one: Status) -> Any:
        if one.is_missing or one.is_edited or one.differs:
            return self.style.WARNING
        return str

    def _of_store(self, one: Status) -> Any:
        if one.stored is not None and one.stored.verdict is not Verdict.VERIFIED:
            return self.style.ERROR
        return self.style.WARNING if one.is_applied and not one.is_proven and not one.is_excluded else str

    # One source -------------------------------------------------------------

    def _print_source(self, options: dict[str, Any]) -> None:
        (connection, *others) = self.connections(options)
        if others:
            raise CommandError("--source prints from one database: name it with --database.")
        store = Store(connection)
        rows = store.rows()
        key = _find(rows, *options["source"])
        row = rows[key]
        if row.verdict is not Verdict.VERIFIED:
            self.stderr.write(self.style.WARNING(f"Warning: of {label(key)}, {row.verdict.value}."))
        text = store.texts([key])[key]
        self.stdout.write(self._highlighted(text), ending="" if text.endswith("\n") else "\n")

    def _highlighted(self, text: str) -> str:
        """Colour a text where colours are wanted and Pygments is installed."""
        if self.style.SUCCESS("") == "":
            return text
        try:
            from pygments import highlight
            from pygments.formatters import TerminalFormatter
            from pygments.lexers import PythonLexer
        except ImportError:
            return text
        return str(highlight(text, PythonLexer(stripnl=False), TerminalFormatter()))


def _is_wanted(one: Status, options: dict[str, Any]) -> bool:
    if options["applied"] and not one.is_applied:
        return False
    asked = {
        "missing": one.is_applied and not one.on_disk,
        "differs": bool(one.differs) or one.is_edited,
        "unstored": one.is_applied and one.stored is None,
    }
    wanted = [name for name in asked if options[name]]
    return not wanted or any(asked[name] for name in wanted)


def _find(keys: Iterable[Key], app_label: str, prefix: str) -> Key:
    """Return the one stored migration with this name, or else with this prefix."""
    of_app = [key for key in keys if key[0] == app_label]
    found = [key for key in of_app if key[1] == prefix] or [
        key for key in of_app if key[1].startswith(prefix)
    ]
    if not found:
        raise CommandError(f"No migration '{prefix}' of an app '{app_label}' is stored.")
    if len(found) > 1:
        raise CommandError(f"More than one stored migration of '{app_label}' matches '{prefix}'.")
    return found[0]
