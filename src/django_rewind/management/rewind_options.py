"""The options of `rewind`, and which of them make no sense together."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from django_rewind.management.options import add_migration, add_noinput, add_plan, add_target, named, target

_FLAGS = {
    "--check": "Exit with status 1 if there is something to rewind, and do nothing.",
    "--sql": "Print the statements that would be executed, and do nothing.",
    "--fake": "Mark the migrations as unapplied, and leave the schema as it is.",
    "--redo": "Undo the migration that is named, as it ran, and apply its file; the same for what depends on it.",
    "--redo-modified": "Do that for every applied migration that differs from its file.",
    "--adopt": "Give missing migrations that are on disk under another name that name, with no change to the schema.",
    "--include-renamed": "Undo also missing migrations that are on disk under another name.",
    "--include-stale-apps": "Also undo missing migrations of apps that are not installed any more.",
    "--allow-data-loss": "With --noinput: rows may be lost or changed, and that is meant.",
    "--allow-found-in-git": "With a target: execute also stored source that was found in Git and that nobody has agreed to.",
    "--atomic": "All of it or nothing: everything that is undone, and applied again, in one transaction.",
    "--migrate": "Run 'migrate' when the rewind is done.",
}

# Options, by their names in the code, that leave no sense to each other.
_CONTRADICTIONS = [
    ("redo", "redo_modified"),
    *(("atomic", other) for other in ("sql", "adopt")),
    ("sql", "migrate"),
    *(("sql", other) for other in ("plan", "check", "fake", "redo", "redo_modified")),
    *(("adopt", other) for other in ("sql", "fake", "redo", "use_file", "include_renamed")),
    *(("fake", other) for other in ("redo", "redo_modified", "use_file", "allow_data_loss")),
]


def add_arguments(parser: Any) -> None:
    """Add what `rewind` takes besides the options of every command that reports."""
    add_target(
        parser,
        "App label: undo only its missing migrations.",
        "Go back to this migration, by name or prefix; 'zero' undoes all of the app.",
    )
    add_noinput(parser, "Do not ask for a yes before something is undone.")
    add_plan(parser, "Show what would be undone, and do nothing.")
    for option, help in _FLAGS.items():
        parser.add_argument(option, action="store_true", help=help)
    add_migration(
        parser,
        "--use-file",
        "Undo this edited migration by its file, and not by what ran. May be given again.",
        action="append",
        default=[],
    )
    parser.add_argument(
        "--lock-timeout",
        type=float,
        metavar="SECONDS",
        help="Wait so long for another process that works on this database; 0 does not wait. "
        "Without it, wait as long as DJANGO_REWIND_LOCK_TIMEOUT says.",
    )


def only_shows(options: dict[str, Any]) -> bool:
    """Say whether this is a run in which nothing stored is executed."""
    return bool(options["plan"] or options["check"])


def in_words(options: dict[str, Any]) -> str:
    """Return the call again, for those who wait for it and for the audit log."""
    given = [options["app_label"], options["migration_name"]]
    flags = ("fake", "redo", "redo_modified", "adopt", "include_renamed", "include_stale_apps", "migrate")
    return " ".join(["rewind", *filter(None, given), *(_option(name) for name in flags if options[name])])


def parse(options: dict[str, Any]) -> None:
    """Split the names of migrations, and refuse options that contradict each other, before anything is read."""
    options["app_label"], options["migration_name"] = _, name = target(options)
    problems = [
        f"{_option(first)} and {_option(second)} contradict each other."
        for first, second in _CONTRADICTIONS
        if options[first] and options[second]
    ]
    if options["format"] == "json" and not only_shows(options):
        problems.append("--format json goes with --plan or --check.")
    if options["adopt"] and name:
        problems.append("--adopt takes no name of a migration: it looks for all that can be adopted.")
    if options["redo"] and name in (None, "zero"):
        problems.append(
            "--redo takes an app and the name of a migration: 'rewind --redo app_label migration_name'."
        )
    if options["redo_modified"] and name:
        problems.append("--redo-modified takes no name of a migration; --redo does.")
    if options["allow_found_in_git"] and not name:
        problems.append("--allow-found-in-git takes a target: 'rewind app_label migration_name'.")
    if options["lock_timeout"] is not None and not options["lock_timeout"] >= 0:
        problems.append("--lock-timeout takes a number of seconds, 0 or more.")
    if problems:
        raise CommandError(problems[0], returncode=2)
    options["use_file"] = [named(words, "--use-file") for words in options["use_file"]]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
