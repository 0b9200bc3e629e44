from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.history import timelines
from django_rewind.inventory.status import Status, statuses_of
from django_rewind.management.options import add_migration, chosen, named
from django_rewind.management.reporting import ReportingCommand
from django_rewind.sources.signing import Verdict
from django_rewind.sources.stored import StoredMigration
from django_rewind.storage.store import Store
from django_rewind.utils.advice import on_database
from django_rewind.utils.matching import the_one
from django_rewind.utils.printable import printable, printable_name
from django_rewind.utils.types import label


class Command(ReportingCommand):
    help = (
        "Show which migrations are applied, stored, missing or edited in a database. Nothing "
        "stored is executed: whether something can be recovered is told as it was verified last."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "app_label", nargs="*", help="Apps, or migrations by name or prefix; all of them without one."
        )
        super().add_arguments(parser)
        parser.add_argument("--missing", action="store_true", help="Show those that have no file here.")
        parser.add_argument(
            "--modified", action="store_true", help="Show those whose file was edited after it was applied."
        )
        parser.add_argument(
            "--unstored", action="store_true", help="Show those that are applied and not stored."
        )
        parser.add_argument("--applied", action="store_true", help="Show nothing that is not applied.")
        add_migration(parser, "--source", "Print the stored source of one migration, by name or prefix.")
        parser.add_argument(
            "--digest",
            default="",
            metavar="PREFIX",
            help="With --source: print the text with this digest, which may be an earlier one.",
        )
        add_migration(
            parser,
            "--history",
            "Show what happened to one migration, by name or prefix, and which texts were stored for it.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["digest"] and not options["source"]:
            raise CommandError("--digest chooses a text of --source APP NAME.", returncode=2)
        if options["source"]:
            self._print_source(options)
        elif options["history"]:
            self._show_history(options)
        else:
            self._show_all(options)

    def _show_all(self, options: dict[str, Any]) -> None:
        found = {connection.alias: statuses_of(connection) for connection in self.connections(options)}
        keys = {status.key for listed in found.values() for status in listed}
        wanted = chosen(options["app_label"], keys, "on disk, applied or stored")
        shown = {
            alias: [one for one in listed if one.key in wanted and _is_wanted(one, options)]
            for alias, listed in found.items()
        }
        if options["format"] == "json":
            self.write_json(
                {alias: {"migrations": [one.as_data() for one in listed]} for alias, listed in shown.items()}
            )
            return
        for alias, listed in shown.items():
            if len(shown) > 1:
                self.stdout.write(f"Database {alias}:", self.style.MIGRATE_HEADING)
            self._show(listed, alias)

    # The table --------------------------------------------------------------

    def _show(self, listed: list[Status], alias: str) -> None:
        if not listed:
            self.stdout.write("(no migrations)", self.style.ERROR)
        columns = zip(*((printable_name(one.key[1]), one.of_file, one.of_store) for one in listed))
        widths = [max(map(len, column)) for column in columns]
        app_label = ""
        for one in listed:
            if one.key[0] != app_label:
                app_label = one.key[0]
                self.stdout.write(printable_name(app_label), self.style.MIGRATE_LABEL)
            self.stdout.write(on_database(self._line(one, widths), alias))

    def _line(self, one: Status, widths: list[int]) -> str:
        box = "[X]" if one.is_applied else "[ ]"
        columns = [
            f"{printable_name(one.key[1]):<{widths[0]}}",
            self._of_file(one)(f"{one.of_file:<{widths[1]}}"),
            self._of_store(one)(f"{one.of_store:<{widths[2]}}"),
            *one.notes,
        ]
        return f" {box} {'  '.join(columns)}".rstrip()

    def _of_file(self, one: Status) -> Any:
        if one.is_missing or one.is_modified:
            return self.style.WARNING
        return str

    def _of_store(self, one: Status) -> Any:
        if one.stored is not None and one.stored.verdict is not Verdict.VERIFIED:
            return self.style.ERROR
        return self.style.WARNING if one.is_applied and not one.is_bound and not one.is_excluded else str

    # One history ------------------------------------------------------------

    def _show_history(self, options: dict[str, Any]) -> None:
        found = timelines(self.connections(options), *named(options["history"], "--history"))
        if options["format"] == "json":
            self.write_json({alias: {"history": timeline.as_data()} for alias, timeline in found.items()})
            return
        for alias, timeline in found.items():
            self.stdout.write(f"{label(timeline.key)} in the database '{alias}':", self.style.MIGRATE_HEADING)
            for line in timeline.lines():
                self.stdout.write(printable(line))

    # One source -------------------------------------------------------------

    def _print_source(self, options: dict[str, Any]) -> None:
        (connection, *others) = self.connections(options)
        if others:
            raise CommandError("--source prints from one database: name it with --database.")
        row, text = _text(Store(connection), *named(options["source"], "--source"), options["digest"])
        row = row.with_text(text)
        if row.verdict is not Verdict.VERIFIED:
            self.stderr.write(self.style.WARNING(f"Warning: of {label(row.key)}, {row.verdict.value}."))
        shown = self._highlighted(self.as_it_may_be_sent(text))
        self.stdout.write(shown, ending="" if text.endswith("\n") else "\n")

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
        "modified": one.is_modified,
        "unstored": one.is_applied and one.stored is None,
    }
    wanted = [name for name in asked if options[name]]
    return not wanted or any(asked[name] for name in wanted)


def _text(store: Store, app_label: str, name: str, digest: str) -> tuple[StoredMigration, str]:
    """
    Return the stored migration and its text, or an earlier one with this digest.

    Raises:
        CommandError: there is none, or more than one.
    """
    rows = store.rows()
    earlier = store.earlier(app_label) if digest else []
    nothing = f"No migration '{name}' of an app '{app_label}' is stored."
    key = the_one({*rows, *(one.stored.key for one in earlier)}, app_label, name, otherwise=nothing)
    row = rows.get(key)
    if row is not None and row.digest.startswith(digest):
        return row, store.texts([key])[key]
    found = {
        one.stored.digest: one
        for one in earlier
        if one.stored.key == key and one.stored.digest.startswith(digest)
    }
    if len(found) != 1:
        how_many = "More than one text" if found else "No text"
        raise CommandError(f"{how_many} of {label(key)} has a digest that begins with '{digest}'.")
    (one,) = found.values()
    return one.stored, store.earlier_text(one.pk)
