from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_aware, make_aware, make_naive, now

from django_rewind.actions.prune import pruning
from django_rewind.management.asking import confirm
from django_rewind.management.options import add_noinput, add_plan, add_target, target
from django_rewind.management.reporting import ReportingCommand
from django_rewind.storage.leftovers import Leftovers
from django_rewind.utils.printable import with_zone
from django_rewind.utils.types import label


class Command(ReportingCommand):
    help = (
        "Discard what is kept of migrations that have not been applied since a date: their stored "
        "source and its earlier revisions, their audit log entries, and bundled contents that nothing "
        "refers to any more. What is applied is never touched. Exits with status 2 if the call makes no sense."
    )

    may_look_at_all_databases = False

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        add_target(parser, "App label: only migrations of this app.", "Only those with this name or prefix.")
        parser.add_argument(
            "--before",
            required=True,
            metavar="DATE",
            help="What is younger is kept: a date as 2024-12-31, or a date and time in ISO 8601.",
        )
        add_plan(parser, "Show what would go; discard nothing.")
        add_noinput(parser)

    def handle(self, **options: Any) -> None:
        before = _moment(options["before"])
        is_json = options["format"] == "json"
        if is_json and options["interactive"] and not options["plan"]:
            raise CommandError("Add --noinput or --plan to --format json: it asks nobody.", returncode=2)
        (connection,) = self.connections(options)
        app_label, name = target(options)
        prune = pruning(connection, before, app_label, name or "")
        found = prune.look()
        talks = not is_json and options["verbosity"] >= 1
        if talks:
            self._show(found, before, connection.alias)
        if found and not options["plan"]:
            if options["interactive"]:
                confirm(
                    f"Discard this from the database '{connection.alias}'?",
                    "There is nobody to ask. Use --noinput to discard without a question.",
                )
            found = prune.discard(found)
            if talks:
                self.stdout.write("Discarded.")
        if is_json:
            self.write_json({connection.alias: _as_data(found, before, discarded=not options["plan"])})

    def _show(self, found: Leftovers, before: datetime, alias: str) -> None:
        if not found:
            self.stdout.write("Nothing to discard.")
            return
        since = with_zone(before)
        self.stdout.write(
            f"Of no applied migration and older than {since}, in the database '{alias}':",
            self.style.MIGRATE_HEADING,
        )
        for key in found.keys:
            name = label(key) if any(key) else "(of no migration in particular)"
            self.stdout.write(f"  {name}: {found.in_words(key)}")
        if found.contents:
            count = len(found.contents)
            self.stdout.write(
                f"  {count} bundled content{'' if count == 1 else 's'} that nothing refers to then"
            )


def _moment(text: str) -> datetime:
    """Return the moment that was asked for, aware where the project's are."""
    try:
        moment = parse_datetime(text) if len(text) > len("2024-12-31") else None
        day = parse_date(text) if moment is None else None
    except ValueError as error:
        raise CommandError(f"--before {text}: {error}.", returncode=2) from None
    if day is not None:
        moment = datetime.combine(day, time())
    if moment is None:
        raise CommandError(f"--before {text} is no date: write it as 2024-12-31.", returncode=2)
    if is_aware(moment) != settings.USE_TZ:
        moment = make_aware(moment) if settings.USE_TZ else make_naive(moment)
    if moment > now():
        raise CommandError(f"--before {text} is in the future: name a date that is over.", returncode=2)
    return moment


def _as_data(found: Leftovers, before: datetime, *, discarded: bool) -> dict[str, Any]:
    migrations = [
        {
            "app": key[0],
            "name": key[1],
            "stored": key in found.stored,
            "revisions": len(found.revisions.get(key, ())),
            "entries": len(found.entries.get(key, ())),
        }
        for key in found.keys
    ]
    contents = len(found.contents)
    return {"before": before, "discarded": discarded, "migrations": migrations, "contents": contents}
