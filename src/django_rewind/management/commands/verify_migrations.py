from __future__ import annotations

from collections.abc import Container
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from django_rewind.actions.trust import Trust
from django_rewind.actions.verify import Finding, Verifier, diff
from django_rewind.engine import capture
from django_rewind.inventory.loader import loader_of
from django_rewind.inventory.status import Status, statuses_of
from django_rewind.management.options import add_migration, chosen, named
from django_rewind.management.reporting import ReportingCommand
from django_rewind.management.trusting import sign
from django_rewind.storage.facts import MissingBeforeInstall
from django_rewind.storage.store import Store
from django_rewind.utils.advice import on_database
from django_rewind.utils.matching import the_one
from django_rewind.utils.printable import printable_name
from django_rewind.utils.types import Key, label


class Command(ReportingCommand):
    help = (
        "Load each stored migration as if its file were gone, and compare it with the file if there is "
        "one. Exits with status 1 if something that is applied could not be undone as it ran: its file "
        "differs, or what is stored does not verify or cannot be recovered. A missing file alone is no failure."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "app_label", nargs="*", help="Apps, or migrations by name or prefix; all of them without one."
        )
        super().add_arguments(parser)
        parser.add_argument("--diff", action="store_true", help="Show how each file that differs differs.")
        parser.add_argument("--strict", action="store_true", help="Count a missing file as a failure.")
        add_migration(
            parser,
            "--accept",
            "Make the file of an applied migration what is reversed; what ran is kept as history.",
        )
        add_migration(
            parser,
            "--acknowledge",
            "Note that a migration without file and source is known to be so, and accepted.",
        )
        parser.add_argument(
            "--sign",
            nargs="*",
            metavar=("APP", "NAME"),
            help=(
                "Show what none of our keys has signed, of an app or one migration of it, and sign what "
                "is agreed to. What an older key of the list has signed is signed with the first."
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        _refuse_nonsense(options)
        if options["sign"] is not None:
            self._sign(options)
            return
        for name, work in (("accept", self._accept), ("acknowledge", self._acknowledge)):
            if options[name]:
                (connection, *others) = self.connections(options)
                if others:
                    raise CommandError(f"--{name} works on one database: name it with --database.")
                work(connection, _find(connection, *named(options[name], f"--{name}")))
                return
        verifiers = [Verifier(connection) for connection in self.connections(options)]
        keys = {status.key for verifier in verifiers for status in verifier.statuses}
        wanted = chosen(options["app_label"], keys, "applied or stored")
        found = {verifier.store.connection.alias: self._verify(verifier, wanted) for verifier in verifiers}
        if options["format"] == "json":
            self.write_json(
                {alias: {"migrations": [one.as_data() for one in listed]} for alias, listed in found.items()}
            )
        else:
            for alias, listed in found.items():
                self._show(alias, listed, options)
        wrong = [one for listed in found.values() for one in listed if _counts(one, options)]
        if wrong:
            total = sum(map(len, found.values()))
            raise CommandError(f"{len(wrong)} of {total} migrations need a look.")

    def _verify(self, verifier: Verifier, wanted: Container[Key]) -> list[Finding]:
        verifier.statuses = [status for status in verifier.statuses if status.key in wanted]
        return list(self.progress(verifier.findings(), "Verifying", len(verifier.statuses)))

    # The report -------------------------------------------------------------

    def _show(self, alias: str, listed: list[Finding], options: dict[str, Any]) -> None:
        if options["database"] != alias:
            self.stdout.write(f"Database {alias}:", self.style.MIGRATE_HEADING)
        store = Store(connections[alias])
        for one in listed:
            self._show_one(one, store, options)
        well = sum(not _counts(one, options) for one in listed)
        if options["verbosity"] >= 1:
            self.stdout.write(f"{well} of {len(listed)} migrations are as they should be.")

    def _show_one(self, one: Finding, store: Store, options: dict[str, Any]) -> None:
        name = label(one.key)
        if one.problem and not one.status.is_settled:
            self.stdout.write(f"{name}: {self.style.ERROR('cannot be recovered: ' + one.problem)}")
            self.stdout.write(f"  {one.next_step}")
        if one.status.differs:
            self.stdout.write(f"{name}: {self.style.WARNING('modified: ' + ', '.join(one.status.differs))}")
            self._show_diff(one, store, options)
        elif _counts(one, options) and not one.problem:
            self.stdout.write(f"{name}: {self.style.WARNING('its file is missing')}")
        elif options["verbosity"] >= 2 and not one.is_wrong:
            self.stdout.write(f"{name}: {self.style.SUCCESS('OK')} ({one.status.of_file})")

    def _show_diff(self, one: Finding, store: Store, options: dict[str, Any]) -> None:
        app_label, name = one.key
        if not options["diff"]:
            accept = (
                f"'manage.py verify_migrations --accept {printable_name(app_label)} {printable_name(name)}'"
            )
            said = f"  See --diff. What ran will be reversed; {accept} makes it the file instead."
            self.stdout.write(on_database(said, store.connection.alias))
            return
        styles = {"+": self.style.SUCCESS, "-": self.style.ERROR, "@": self.style.MIGRATE_LABEL}
        for line in diff(one.status, store):
            self.stdout.write(styles.get(line[:1], str)(self.as_it_may_be_sent(line)))

    # Decisions --------------------------------------------------------------

    def _sign(self, options: dict[str, Any]) -> None:
        (connection, *others) = self.connections(options)
        if others:
            raise CommandError("--sign works on one database: name it with --database.", returncode=2)
        sign(self, Trust(connection, *_split(options["sign"])))

    def _accept(self, connection: Any, status: Status) -> None:
        name = label(status.key)
        migration = loader_of(connection).files.get(status.key)
        if status.record_id is None or migration is None:
            what = "not applied" if status.record_id is None else "without a file"
            raise CommandError(f"{name} is {what}: only the file of an applied migration can be accepted.")
        if status.is_bound and not status.has_other_text:
            self.stdout.write(f"{name} is stored as its file has it: there is nothing to accept.")
            return
        if not capture.accept(connection, migration, status.record_id, warn=self._warn):
            raise CommandError(f"The file of {name} could not be stored. Nothing has been changed.")
        self.stdout.write(f"The file of {name} is what will be reversed. What ran is kept as history.")

    def _acknowledge(self, connection: Any, status: Status) -> None:
        name = label(status.key)
        if status.record_id is None or status.on_disk:
            what = "not applied" if status.record_id is None else "on disk"
            raise CommandError(
                f"{name} is {what}: only an applied migration without a file can be forgotten."
            )
        if status.stored is not None and not status.problem:
            raise CommandError(
                f"{name} is stored and can be undone: run 'manage.py rewind {status.key[0]}' instead of forgetting it."
            )
        MissingBeforeInstall(connection).acknowledge(status.key, status.record_id)
        self.stdout.write(f"{name} is known to be without a file, and is left as it is from now on.")

    def _warn(self, line: str) -> None:
        self.stderr.write(self.style.WARNING(f"Warning: {line}"))


def _refuse_nonsense(options: dict[str, Any]) -> None:
    """
    Refuse what contradicts `--sign`, before anything is read.

    Raises:
        CommandError: with exit status 2, as for an option that there is not.
    """
    if options["sign"] is None:
        return
    others = [name for name in ("accept", "acknowledge", "diff", "strict") if options[name]]
    if options["format"] == "json":
        raise CommandError("--sign asks, and --format json is for scripts.", returncode=2)
    if others:
        raise CommandError(f"--sign and --{others[0]} contradict each other.", returncode=2)
    if options["app_label"] or len(_split(options["sign"])) > 2:
        raise CommandError("--sign takes an app and the name of a migration, or less.", returncode=2)


def _split(words: list[str]) -> list[str]:
    return words[0].split(".") if len(words) == 1 else words


def _counts(one: Finding, options: dict[str, Any]) -> bool:
    return one.is_wrong or (options["strict"] and one.is_missing and not one.status.is_settled)


def _find(connection: Any, app_label: str, name: str) -> Status:
    """Return the one migration with this name, or else with this prefix."""
    of_app = {one.key: one for one in statuses_of(connection, [app_label])}
    nothing = f"No migration of an app '{app_label}' matches '{name}'."
    return of_app[the_one(of_app, app_label, name, otherwise=nothing)]
