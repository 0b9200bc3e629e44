from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from django_rewind.types import label
from django_rewind.verification import verify


class Command(BaseCommand):
    help = (
        "Load each stored migration as if its file were gone, and say which could not be "
        "recovered here and now. Exits with status 1 if there is one."
    )

    # What is verified may be what keeps the checks from passing.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("app_label", nargs="*", help="App labels; all apps without one.")
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help='Nominates a database to verify. Defaults to the "default" database.',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = options["app_label"]
        found = list(verify(connections[options["database"]], wanted or None))
        for app_label in wanted:
            if not any(finding.key[0] == app_label for finding in found):
                raise CommandError(f"No migration of an app '{app_label}' is stored.")
        failed = [finding for finding in found if finding.error is not None]
        for finding in found:
            if finding.error is None and options["verbosity"] >= 2:
                self.stdout.write(f"{label(finding.key)}: {self.style.SUCCESS('OK')}")
            elif finding.error is not None:
                self.stdout.write(f"{label(finding.key)}: {self.style.ERROR(finding.error.reason)}")
                self.stdout.write(f"  {finding.error.next_step}")
        good = len(found) - len(failed)
        if failed:
            raise CommandError(
                f"{len(failed)} of {len(found)} stored migrations could not be recovered here."
            )
        if options["verbosity"] >= 1:
            self.stdout.write(f"All {good} stored migrations could be recovered here without their files.")
