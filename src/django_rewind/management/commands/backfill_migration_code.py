from __future__ import annotations

from datetime import timezone
from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.backfill import Backfill, Backfilled
from django_rewind.management.options import add_choice, add_plan, chosen
from django_rewind.management.reporting import ReportingCommand
from django_rewind.utils.printable import in_local_time
from django_rewind.utils.types import label, some_names_of


class Command(ReportingCommand):
    help = (
        "Store the source of migrations that were applied before django-rewind was there: "
        "from their files, and with --from-git, where the files are gone, from the history "
        "of the repository. Exits with status 1 if something could not be found."
    )

    may_look_at_all_databases = False

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        add_choice(parser)
        parser.add_argument(
            "--from-git",
            action="store_true",
            help=(
                "Look for migrations without a file in everything that git can reach: branches, "
                "remotes, tags, stashes and reflogs. What was committed last before a migration "
                "was applied is taken."
            ),
        )
        add_plan(parser, "Show what would be stored, and store nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        (connection,) = self.connections(options)
        backfill = Backfill(connection)
        if options["app_label"]:
            backfill.asked = chosen(options["app_label"], backfill.keys, "on disk or applied")
        backfill.look_on_disk()
        if options["from_git"]:
            backfill.look_in_git()
        if not options["plan"]:
            backfill.store()
        for note in backfill.notes:
            self.warn(note)
        if options["format"] == "json":
            self.write_json({connection.alias: _as_data(backfill, is_dry=options["plan"])})
        else:
            self._show(backfill, options)
        if backfill.without_file and not options["from_git"]:
            self.stderr.write(
                f"Applied, without a file and not stored: {some_names_of(backfill.without_file)}. "
                "With --from-git they are looked for in git.",
                str,
            )
        if backfill.refused:
            raise CommandError(_count(len(backfill.refused), "could not be stored."))
        if backfill.lost:
            raise CommandError(_count(len(backfill.lost), "could not be found."))

    def _show(self, backfill: Backfill, options: dict[str, Any]) -> None:
        for source in backfill.found:
            self.stdout.write(f"{label(source.key)}: {self.style.SUCCESS(_origin(source))}")
        for key, reason in sorted(backfill.lost.items()):
            self.stdout.write(f"{label(key)}: {self.style.ERROR(f'not found: {reason}')}")
        if options["verbosity"] >= 1 and backfill.found:
            done = "would be stored." if options["plan"] else "stored."
            self.stderr.write(_count(len(backfill.found), done), str)
        elif options["verbosity"] >= 1 and not backfill.lost:
            where = "" if options["from_git"] else " on disk"
            self.stderr.write(f"There is nothing{where} to store.", str)


def _bundled(source: Backfilled) -> list[str]:
    return [member.name for member in source.entry.metadata.bundle.members]


def _origin(source: Backfilled) -> str:
    """Return where a source comes from, and what is bundled with it."""
    bundled = _bundled(source)
    with_what = f", with {', '.join(bundled)}" if bundled else ""
    if source.found is None:
        return f"its file{with_what}"
    version, count = source.found.version, source.found.contents
    day = f"{in_local_time(version.when):%Y-%m-%d %H:%M}"
    which = f", one of {count} versions" if count > 1 else ""
    return f"commit {version.commit[:10]} of {day}{which}, {version.path}{with_what}"


def _count(number: int, what: str) -> str:
    return f"{number} migration{'' if number == 1 else 's'} {what}"


def _as_data(backfill: Backfill, *, is_dry: bool) -> dict[str, Any]:
    stored: list[dict[str, Any]] = []
    for source in backfill.found:
        origin, (app_label, name) = str(source.entry.origin), source.key
        stored.append({"app": app_label, "name": name, "origin": origin, "bundled": _bundled(source)})
        if source.found is not None:
            version = source.found.version
            stored[-1]["git"] = {
                "commit": version.commit,
                "date": version.when.astimezone(timezone.utc),
                "path": version.path,
                "versions": source.found.contents,
            }
    lost = [
        {"app": key[0], "name": key[1], "reason": reason} for key, reason in sorted(backfill.lost.items())
    ]
    return {"dry_run": is_dry, "stored": stored, "not_found": lost}
