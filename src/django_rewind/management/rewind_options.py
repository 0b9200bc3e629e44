"""The options of `rewind`, and which of them make no sense together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from django_rewind.management import options as shared

__all__ = ["add_arguments", "in_words", "only_shows", "refuse_nonsense"]

_ONLY_SHOW = ("plan", "check", "sql")

# Options, by their names in the code, that leave no sense to each other.
_CONTRADICTIONS = [
    ("redo", "redo_modified"),
    *(("atomic", other) for other in ("sql", "adopt")),
    *((show, "migrate") for show in _ONLY_SHOW),
    *(("sql", other) for other in ("plan", "check", "fake", "redo", "redo_modified")),
    *(("adopt", other) for other in ("sql", "fake", "redo", "redo_modified", "use_file", "include_renamed")),
    *(("fake", other) for other in ("redo", "redo_modified", "use_file", "allow_data_loss")),
]


def add_arguments(parser: Any) -> None:
    """Add what `rewind` takes besides the options of every command that reports."""
    shared.add_target(
        parser,
        "App label: undo only its missing migrations.",
        "Go back to this migration, by name or prefix; 'zero' undoes all of the app.",
    )
    shared.add_noinput(parser, "Do not ask for a yes before something is undone.")
    shared.add_plan(parser, "Show what would be undone, and do nothing.")
    parser.add_argument(
        "--check",
        action="store_true",
        help="Exit with status 1 if there is something to rewind, and do nothing.",
    )
    parser.add_argument(
        "--sql", action="store_true", help="Print the statements that would be executed, and do nothing."
    )
    parser.add_argument(
        "--fake",
        action="store_true",
        help="Forget that the migrations were applied, and leave the schema as it is.",
    )
    shared.add_migration(
        parser,
        "--use-file",
        "Undo this edited migration by its file, and not by what ran. May be given again.",
        action="append",
        default=[],
    )
    parser.add_argument(
        "--redo",
        action="store_true",
        help="Undo the migration that is named, as it ran, and apply its file; the same for what depends on it.",
    )
    parser.add_argument(
        "--redo-modified",
        action="store_true",
        help="Do that for every applied migration that differs from its file.",
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="Give missing migrations that are on disk under another name that name, with no change to the schema.",
    )
    parser.add_argument(
        "--include-renamed",
        action="store_true",
        help="Undo also missing migrations that are on disk under another name.",
    )
    parser.add_argument(
        "--include-stale-apps",
        action="store_true",
        help="Also undo missing migrations of apps that are not installed any more.",
    )
    parser.add_argument(
        "--allow-data-loss",
        action="store_true",
        help="With --noinput and DEBUG off: rows may be lost, and that is meant.",
    )
    parser.add_argument(
        "--atomic",
        action="store_true",
        help="All of it or nothing: everything that is undone, and applied again, in one transaction.",
    )
    parser.add_argument("--migrate", action="store_true", help="Run 'migrate' when the rewind is done.")
    parser.add_argument(
        "--lock-timeout",
        type=float,
        metavar="SECONDS",
        help="Wait so long for another process that works on this database; 0 does not wait. "
        "Without it, wait without end.",
    )


def only_shows(options: dict[str, Any]) -> bool:
    """Say whether this is a run in which nothing stored is executed."""
    return bool(options["plan"] or options["check"])


def in_words(options: dict[str, Any]) -> str:
    """Return the call again, for those who wait for it and for the audit log."""
    given = [options["app_label"], options["migration_name"]]
    flags = ("fake", "redo", "redo_modified", "adopt", "include_renamed", "include_stale_apps", "migrate")
    return " ".join(["rewind", *filter(None, given), *(_option(name) for name in flags if options[name])])


def refuse_nonsense(options: dict[str, Any]) -> None:
    """
    Refuse options that contradict each other, before anything is read, and split the names of migrations.

    Raises:
        CommandError: with exit status 2, as for an option that there is not.
    """
    options["app_label"], options["migration_name"] = shared.target(options)
    problem = next(_problems(options), None)
    if problem is not None:
        raise CommandError(problem, returncode=2)
    options["use_file"] = [shared.named(words, "--use-file") for words in options["use_file"]]


def _problems(options: dict[str, Any]) -> Iterator[str]:
    for one, other in _CONTRADICTIONS:
        if options[one] and options[other]:
            yield f"{_option(one)} and {_option(other)} contradict each other."
    if options["format"] == "json" and not (options["plan"] or options["check"]):
        yield "--format json goes with --plan or --check."
    name = options["migration_name"]
    if options["adopt"] and name:
        yield "--adopt takes no name of a migration: it looks for all that can be adopted."
    if options["redo"] and (name is None or name == "zero"):
        yield "--redo takes an app and the name of a migration: 'rewind --redo app_label migration_name'."
    if options["redo_modified"] and name:
        yield "--redo-modified takes no name of a migration; --redo does."
    if options["lock_timeout"] is not None and not options["lock_timeout"] >= 0:
        yield "--lock-timeout takes a number of seconds, 0 or more."


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
