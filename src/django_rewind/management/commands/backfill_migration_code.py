from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.backfill import Backfill, Backfilled
from django_rewind.management.options import add_plan
from django_rewind.management.reporting import ReportingCommand
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
        parser.add_argument("app_label", nargs="*", help="App labels; all apps without one.")
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
        backfill = Backfill(connection, options["app_label"])
        backfill.look_on_disk()
        if options["from_git"]:
            backfill.look_in_git()
        if not options["plan"]:
            backfill.store()
        for note in backfill.notes:
            self.stderr.write(f"Warning: {note}", self.style.WARNING)
        if options["format"] == "json":
            self.write_json({connection.alias: _as_data(backfill, is_dry=options["plan"])})
        else:
            self._show(backfill, options)
        if backfill.without_file and not options["from_git"]:
            self._hint(backfill)
        if backfill.lost:
            raise CommandError(_count(len(backfill.lost), "could not be found."))

    def _show(self, backfill: Backfill, options: dict[str, Any]) -> None:
        for one in backfill.found:
            self.stdout.write(f"{label(one.key)}: {self.style.SUCCESS(_origin(one))}")
        for key, reason in sorted(backfill.lost.items()):
            self.stdout.write(f"{label(key)}: {self.style.ERROR(f'not found: {reason}')}")
        if options["verbosity"] >= 1:
            if not backfill.found and not backfill.lost:
                where = "" if options["from_git"] else " on disk"
                self.stderr.write(f"There is nothing{where} to store.", str)
            elif backfill.found:
                done = "would be stored." if options["plan"] else "stored."
                self.stderr.write(_count(len(backfill.found), done), str)

    def _hint(self, backfill: Backfill) -> None:
        self.stderr.write(
            f"Applied, without a file and not stored: {some_names_of(backfill.without_file)}. "
            "With --from-git they are looked for in git.",
            str,
        )


def _origin(one: Backfilled) -> str:
    """Return where a source comes from, and what goes with it."""
    bundle = [member.name for member in one.entry.metadata.bundle.members]
    with_what = f", with {', '.join(bundle)}" if bundle else ""
    if one.found is None:
        return f"its file{with_what}"
    version = one.found.version
    which = f"commit {version.commit[:10]} of {_day(version.when)}"
    others = one.found.contents - 1
    if others:
        which += f", one of {others + 1} versions"
    return f"{which}, {version.path}{with_what}"


def _day(when: datetime) -> str:
    return when.astimezone().strftime("%Y-%m-%d %H:%M")


def _count(number: int, what: str) -> str:
    return f"{number} migration{'' if number == 1 else 's'} {what}"


def _as_data(backfill: Backfill, *, is_dry: bool) -> dict[str, Any]:
    return {
        "dry_run": is_dry,
        "stored": [_one_as_data(one) for one in backfill.found],
        "not_found": [
            {"app": key[0], "name": key[1], "reason": reason} for key, reason in sorted(backfill.lost.items())
        ],
    }


def _one_as_data(one: Backfilled) -> dict[str, Any]:
    data: dict[str, Any] = {
        "app": one.key[0],
        "name": one.key[1],
        "origin": str(one.entry.origin),
        "bundled": [member.name for member in one.entry.metadata.bundle.members],
    }
    if one.found is not None:
        version = one.found.version
        data["git"] = {
            "commit": version.commit,
            "date": version.when.astimezone(timezone.utc),
            "path": version.path,
            "versions": one.found.contents,
        }
    return data
