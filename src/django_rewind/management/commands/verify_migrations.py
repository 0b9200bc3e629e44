from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from django_rewind.actions.trust import Trust
from django_rewind.actions.verify import Finding, Verifier, accept, acknowledge, diff, record_again
from django_rewind.exceptions import NotInitialized
from django_rewind.inventory.status import LEFT_BEHIND, statuses_of
from django_rewind.management.exit_status import CheckFailed
from django_rewind.management.options import add_choice, add_migration, chosen, named
from django_rewind.management.reporting import ReportingCommand
from django_rewind.management.trust import sign
from django_rewind.storage.store import Store
from django_rewind.utils.advice import on_database
from django_rewind.utils.matching import the_one
from django_rewind.utils.printable import printable_name
from django_rewind.utils.types import label

_DECISIONS: dict[str, Callable[..., str]] = {
    "accept": accept,
    "acknowledge": acknowledge,
    "record_again": record_again,
}


class Command(ReportingCommand):
    help = (
        "Load each stored migration as if its file were gone, and compare it with the file if there is "
        "one. Exits with status 1 if something that is applied could not be undone as it ran: its file "
        "differs, or what is stored does not verify or cannot be recovered. A missing file alone is no failure. "
        "Exits with status 2 if it could not check."
    )

    def add_arguments(self, parser: Any) -> None:
        add_choice(parser)
        super().add_arguments(parser)
        parser.add_argument("--diff", action="store_true", help="Show the differences of each modified file.")
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
        add_migration(
            parser,
            "--record-again",
            "Record a migration again whose record was pruned while what it did stayed in the database.",
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

    def is_gate(self, options: Any) -> bool:
        return options["sign"] is None and not any(options[option] for option in _DECISIONS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["sign"] is not None:
            self._sign(options)
        elif any(options[option] for option in _DECISIONS):
            self._decide(options)
        else:
            self._verify(options)

    def _verify(self, options: dict[str, Any]) -> None:
        found_by = self.of_each_database(options, Verifier)
        verifiers = {alias: verifier for alias, verifier in found_by.items() if not verifier.is_kept_empty}
        if found_by and not verifiers:
            raise NotInitialized(options["database"])
        keys = {status.key for verifier in verifiers.values() for status in verifier.statuses}
        wanted = chosen(options["app_label"], keys, "applied or stored")
        found: dict[str, list[Finding]] = {}
        for alias, verifier in verifiers.items():
            verifier.statuses = [status for status in verifier.statuses if status.key in wanted]
            findings = self.progress(verifier.findings(), "Verifying", len(verifier.statuses))
            found[alias] = list(findings)
        if options["format"] == "json":
            self.write_json(
                {
                    alias: {
                        "migrations": [finding.as_data() for finding in listed],
                        "warnings": [on_database(line, alias) for line in verifiers[alias].warnings()],
                    }
                    for alias, listed in found.items()
                }
            )
        else:
            for alias, listed in found.items():
                self._show(alias, listed, options)
                for line in verifiers[alias].warnings():
                    self.warn(line, alias)
        wrong = [finding for listed in found.values() for finding in listed if _counts(finding, options)]
        if wrong:
            total = sum(map(len, found.values()))
            raise CheckFailed(f"{len(wrong)} of {total} migrations need a look.")

    def _show(self, alias: str, listed: list[Finding], options: dict[str, Any]) -> None:
        if options["database"] != alias:
            self.stdout.write(f"Database {alias}:", self.style.MIGRATE_HEADING)
        store = Store(connections[alias])
        for finding in listed:
            self._show_one(finding, store, options)
        well = sum(not _counts(finding, options) for finding in listed)
        if options["verbosity"] >= 1:
            self.stdout.write(f"{well} of {len(listed)} migrations are as they should be.")

    def _show_one(self, finding: Finding, store: Store, options: dict[str, Any]) -> None:
        name = label(finding.key)
        if finding.status.is_unrecorded:
            self.stdout.write(f"{name}: {self.style.ERROR(LEFT_BEHIND)}")
            again = " ".join(map(printable_name, finding.key))
            said = (
                f"  To record it again, run 'manage.py verify_migrations --record-again {again}'. Or drop what "
                "it made, by hand."
            )
            self.stdout.write(on_database(said, store.connection.alias))
        elif finding.problem and not finding.status.is_settled:
            self.stdout.write(f"{name}: {self.style.ERROR('cannot be recovered: ' + finding.problem)}")
            self.stdout.write(f"  {finding.next_step}")
        if finding.status.differs:
            self.stdout.write(
                f"{name}: {self.style.WARNING('modified: ' + ', '.join(finding.status.differs))}"
            )
            self._show_diff(finding, store, options)
        elif _counts(finding, options) and not (finding.problem or finding.status.is_unrecorded):
            self.stdout.write(f"{name}: {self.style.WARNING('its file is missing')}")
        elif options["verbosity"] >= 2 and not finding.is_wrong:
            self.stdout.write(f"{name}: {self.style.SUCCESS('OK')} ({finding.status.of_file})")

    def _show_diff(self, finding: Finding, store: Store, options: dict[str, Any]) -> None:
        if not options["diff"]:
            accept = f"'manage.py verify_migrations --accept {' '.join(map(printable_name, finding.key))}'"
            said = f"  See --diff. What ran will be reversed; {accept} makes it the file instead."
            self.stdout.write(on_database(said, store.connection.alias))
            return
        styles = {"+": self.style.SUCCESS, "-": self.style.ERROR, "@": self.style.MIGRATE_LABEL}
        for line in diff(finding.status, store):
            self.stdout.write(styles.get(line[:1], str)(self.as_it_may_be_sent(line)))

    def _sign(self, options: dict[str, Any]) -> None:
        words = ".".join(options["sign"]).split(".") if options["sign"] else []
        others = [name for name in (*_DECISIONS, "diff", "strict") if options[name]]
        problem = ""
        if options["format"] == "json":
            problem = "--sign asks, and --format json is for scripts."
        elif others:
            problem = f"--sign and --{others[0].replace('_', '-')} contradict each other."
        elif options["app_label"] or len(words) > 2:
            problem = "--sign takes an app and the name of a migration, or less."
        if problem:
            raise CommandError(problem, returncode=2)
        sign(self, Trust(self.connection(options, "--sign"), *words))

    def _decide(self, options: dict[str, Any]) -> None:
        """Accept a file in place of the applied version, acknowledge that there is none, or record it again."""
        option = next(option for option in _DECISIONS if options[option])
        flag = f"--{option.replace('_', '-')}"
        app_label, name = named(options[option], flag)
        connection = self.connection(options, flag)
        of_app = {status.key: status for status in statuses_of(connection, [app_label])}
        nothing = f"No migration of an app '{app_label}' matches '{name}'."
        status = of_app[the_one(of_app, app_label, name, otherwise=nothing)]
        self.stdout.write(_DECISIONS[option](connection, status, warn=self.warn))


def _counts(finding: Finding, options: dict[str, Any]) -> bool:
    return finding.is_wrong or (options["strict"] and finding.is_missing and not finding.status.is_settled)
