from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.history import timelines
from django_rewind.inventory.status import Status, statuses_of
from django_rewind.management.options import add_choice, add_migration, chosen, named
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
        "Show which migrations are applied, stored, missing or modified in a database. Nothing "
        "stored is executed: whether something can be recovered is told as it was verified last."
    )

    def add_arguments(self, parser: Any) -> None:
        add_choice(parser)
        super().add_arguments(parser)
        for option, help in (
            ("--missing", "Show those that have no file here."),
            ("--modified", "Show those whose file was modified after it was applied."),
            ("--unstored", "Show those that are applied and not stored."),
            ("--applied", "Show nothing that is not applied."),
        ):
            parser.add_argument(option, action="store_true", help=help)
        add_migration(parser, "--source", "Print the stored source of one migration, by name or prefix.")
        parser.add_argument(
            "--digest",
            default="",
            metavar="PREFIX",
            help="With --source: print the revision with this digest, which may be an earlier one.",
        )
        add_migration(
            parser,
            "--history",
            "Show what happened to one migration, by name or prefix, and which revisions of its source are stored.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["digest"] and not options["source"]:
            raise CommandError("--digest chooses a revision of --source APP NAME.", returncode=2)
        if options["source"]:
            self._print_source(options)
        elif options["history"]:
            self._show_history(options)
        else:
            self._show_all(options)

    def _show_all(self, options: dict[str, Any]) -> None:
        found = self.of_each_database(options, statuses_of)
        keys = {status.key for listed in found.values() for status in listed}
        wanted = chosen(options["app_label"], keys, "on disk, applied or stored")
        for alias, listed in found.items():
            found[alias] = [
                status for status in listed if status.key in wanted and _is_wanted(status, options)
            ]
        if options["format"] == "json":
            self.write_json(
                {
                    alias: {"migrations": [status.as_data() for status in listed]}
                    for alias, listed in found.items()
                }
            )
            return
        for alias, listed in found.items():
            if len(found) > 1:
                self.stdout.write(f"Database {alias}:", self.style.MIGRATE_HEADING)
            self._show(listed, alias)

    def _show(self, listed: list[Status], alias: str) -> None:
        """Show a table, in which what needs a look is coloured."""
        if not listed:
            self.stdout.write("(no migrations)", self.style.ERROR)
        columns = zip(
            *((printable_name(status.key[1]), status.of_file, status.of_store) for status in listed)
        )
        widths = [max(map(len, column)) for column in columns]
        app_label = ""
        for status in listed:
            if status.key[0] != app_label:
                app_label = status.key[0]
                self.stdout.write(printable_name(app_label), self.style.MIGRATE_LABEL)
            of_file: Any = self.style.WARNING if status.is_missing or status.is_modified else str
            of_store: Any = str
            if status.stored is not None and status.stored.verdict is not Verdict.VERIFIED:
                of_store = self.style.ERROR
            elif status.is_applied and not status.is_bound and not status.is_excluded:
                of_store = self.style.WARNING
            parts = [
                f"{printable_name(status.key[1]):<{widths[0]}}",
                of_file(f"{status.of_file:<{widths[1]}}"),
                of_store(f"{status.of_store:<{widths[2]}}"),
                *(on_database(note, alias) for note in status.notes),
            ]
            line = f" {'[X]' if status.is_applied else '[ ]'} {'  '.join(parts)}".rstrip()
            self.stdout.write(line)

    def _show_history(self, options: dict[str, Any]) -> None:
        found = timelines(self.connections(options), *named(options["history"], "--history"))
        if options["format"] == "json":
            self.write_json({alias: {"history": timeline.as_data()} for alias, timeline in found.items()})
            return
        for alias, timeline in found.items():
            self.stdout.write(f"{label(timeline.key)} in the database '{alias}':", self.style.MIGRATE_HEADING)
            for line in timeline.lines():
                self.stdout.write(printable(line))

    def _print_source(self, options: dict[str, Any]) -> None:
        store = Store(self.connection(options, "--source"))
        store.check_is_there()
        row, text = _source(store, *named(options["source"], "--source"), options["digest"])
        row = row.with_text(text)
        if row.verdict is not Verdict.VERIFIED:
            self.warn(f"of {label(row.key)}, {row.verdict.value}.")
        if options["format"] == "json":
            self.write_json({store.connection.alias: {"source": _as_data(row, text)}})
            return
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


def _is_wanted(status: Status, options: dict[str, Any]) -> bool:
    if options["applied"] and not status.is_applied:
        return False
    asked = {
        "missing": status.is_applied and not status.on_disk,
        "modified": status.is_modified,
        "unstored": status.is_applied and status.stored is None,
    }
    wanted = [name for name in asked if options[name]]
    return not wanted or any(asked[name] for name in wanted)


def _as_data(row: StoredMigration, text: str) -> dict[str, Any]:
    return {
        "app": row.key[0],
        "name": row.key[1],
        "digest": row.digest,
        "origin": row.origin,
        "signature": row.verdict.name.lower(),
        "stored_at": row.stored_at,
        "source_code": text,
    }


def _source(store: Store, app_label: str, name: str, digest: str) -> tuple[StoredMigration, str]:
    """Return the stored migration and its source, or an earlier revision with this digest."""
    rows = store.rows()
    earlier = store.earlier(app_label) if digest else []
    nothing = f"No migration '{name}' of an app '{app_label}' is stored."
    key = the_one({*rows, *(revision.stored.key for revision in earlier)}, app_label, name, otherwise=nothing)
    row = rows.get(key)
    if row is not None and row.digest.startswith(digest):
        return row, store.texts([key])[key]
    found = {
        revision.stored.digest: revision
        for revision in earlier
        if revision.stored.key == key and revision.stored.digest.startswith(digest)
    }
    if len(found) != 1:
        how_many = "More than one revision" if found else "No revision"
        raise CommandError(f"{how_many} of {label(key)} has a digest that begins with '{digest}'.")
    (revision,) = found.values()
    return revision.stored, store.earlier_text(revision.pk)
