from __future__ import annotations

from datetime import timezone
from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.backfill import Backfill, Backfilled
from django_rewind.management.asking import agrees
from django_rewind.management.git_text import commit_in_words, lines_of_others, lines_of_unreachable
from django_rewind.management.options import add_choice, add_noinput, add_plan, chosen
from django_rewind.management.reporting import ReportingCommand
from django_rewind.utils.printable import printable_name
from django_rewind.utils.types import label, some_names_of

_WAYS_OUT = (
    "Look at it at a terminal with 'manage.py backfill_migration_code --from-git', or name the branch or "
    "commit that you trust with --revision. --allow-unreachable stores all of it without a question."
)
_NOBODY = f"There is nobody to ask. {_WAYS_OUT}"


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
                "remotes, tags, stashes and reflogs. What is in the history of the commit that is "
                "checked out comes first; of anything else, all of it is shown before it is stored."
            ),
        )
        parser.add_argument(
            "--revision",
            metavar="REVISION",
            help="With --from-git: the branch, tag or commit whose history comes first instead.",
        )
        add_noinput(parser, "Do not ask. What is in no history that counts is not stored.")
        parser.add_argument(
            "--allow-unreachable",
            action="store_true",
            help="With --from-git: store also what is in no history that counts, without a question.",
        )
        add_plan(parser, "Show what would be stored, and store nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        for option in ("revision", "allow_unreachable"):
            if options[option] and not options["from_git"]:
                raise CommandError(f"--{option.replace('_', '-')} goes with --from-git.", returncode=2)
        (connection,) = self.connections(options)
        backfill = Backfill(connection)
        if options["app_label"]:
            backfill.asked = chosen(options["app_label"], backfill.keys, "on disk or applied")
        self._look(backfill, options)
        if not options["plan"]:
            backfill.store()
        for note in backfill.notes:
            self.warn(note)
        if options["format"] == "json":
            self.write_json({connection.alias: _as_data(backfill, is_dry=options["plan"])})
        else:
            self._show(backfill, options)
        _raise_what_is_left(backfill)

    def _look(self, backfill: Backfill, options: dict[str, Any]) -> None:
        backfill.look_on_disk()
        if options["from_git"]:
            backfill.look_in_git(options["revision"] or "")
            if not (options["plan"] or options["allow_unreachable"]):
                self._ask(backfill, may_ask=options["interactive"] and options["format"] == "text")
        elif backfill.without_file:
            self.stderr.write(
                f"Applied, without a file and not stored: {some_names_of(backfill.without_file)}. "
                "With --from-git they are looked for in git.",
                str,
            )

    def _ask(self, backfill: Backfill, *, may_ask: bool) -> None:
        """Have a person agree to what only other commits have, before anything is stored."""
        for source in backfill.unreachable:
            if not may_ask:
                backfill.decline(source, "nobody was asked")
                continue
            for line in lines_of_unreachable(source):
                self.stdout.write(line)
            self.stdout.flush()
            if agrees(f"Store {printable_name(label(source.key))}?", _NOBODY):
                backfill.agree(source)
            else:
                backfill.decline(source, "you did not agree")

    def _show(self, backfill: Backfill, options: dict[str, Any]) -> None:
        for source in backfill.found:
            self.stdout.write(f"{label(source.key)}: {self.style.SUCCESS(_origin(source))}")
            for line in lines_of_others(source.found) if source.found else ():
                self.stdout.write(line)
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
    which = f", one of {count} versions" if count > 1 else ""
    where = "" if version.is_reachable else ", not in the history of what is checked out or named"
    commit = commit_in_words(version, source.found.references)
    return f"{commit}{where}{which}, {printable_name(version.path)}{with_what}"


def _raise_what_is_left(backfill: Backfill) -> None:
    """Raise the error for what was refused, declined or not found."""
    if backfill.refused:
        raise CommandError(_count(len(backfill.refused), "could not be stored."))
    if backfill.declined:
        raise CommandError(_not_stored(backfill))
    if backfill.lost:
        raise CommandError(_count(len(backfill.lost), "could not be found."))


def _not_stored(backfill: Backfill) -> str:
    reasons = ", ".join(f"{label(key)} ({reason})" for key, reason in sorted(backfill.declined.items()))
    return f"Not stored: {reasons}. {_WAYS_OUT}"


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
                "author": version.author,
                "references": list(source.found.references),
                "reachable": version.is_reachable,
            }
    lost = [
        {"app": key[0], "name": key[1], "reason": reason} for key, reason in sorted(backfill.lost.items())
    ]
    declined = [
        {"app": key[0], "name": key[1], "reason": reason} for key, reason in sorted(backfill.declined.items())
    ]
    return {"dry_run": is_dry, "stored": stored, "not_stored": declined, "not_found": lost}
