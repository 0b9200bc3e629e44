from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_rewind.actions.restore import Action, Restoration, Restore, shown
from django_rewind.management.options import add_plan, add_target, target
from django_rewind.management.reporting import ReportingCommand
from django_rewind.utils.types import Key, label, names_of

_DONE = {Action.CREATE: "Restored", Action.OVERWRITE: "Overwritten:", Action.LEAVE: "Left as it is:"}
_TO_BE_DONE = {
    Action.CREATE: "Would restore",
    Action.OVERWRITE: "Would overwrite",
    Action.LEAVE: "Would leave as it is:",
}
_BESIDE = {"models": "an excerpt for", "package": "makes a package for"}


class Command(ReportingCommand):
    help = (
        "Write migrations from the source stored in the database back to files, with the modules and "
        "data files that are bundled with them: all that are missing, those of an app, or one."
    )

    # It writes one set of files: what two databases hold under one name may differ.
    may_look_at_all_databases = False

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        add_target(
            parser,
            "App label: restore only its missing migrations.",
            "Restore this migration, by name or prefix.",
        )
        parser.add_argument(
            "--output",
            metavar="DIR",
            help="Write below this folder instead of into the packages of this checkout, with "
            "excerpts of what was taken from modules with models.",
        )
        parser.add_argument("--force", action="store_true", help="Overwrite files that differ.")
        add_plan(parser, "Show what would be written; write nothing.")

    def handle(self, **options: Any) -> None:
        (connection,) = self.connections(options)
        folder = Path.cwd() / options["output"] if options["output"] is not None else None
        restore = Restore(connection, folder, force=options["force"])
        app_label, name = target(options)
        found = restore.look(restore.wanted(app_label, name))
        skipped = restore.skipped if app_label is None else []
        error = None
        try:
            found.check() if options["plan"] else restore.write(found)
        except CommandError as refusal:
            error = refusal
        if options["format"] == "json":
            is_written = not options["plan"] and error is None
            self.write_json({connection.alias: _as_data(found, is_written, skipped)})
        elif options["verbosity"] >= 1 and (error is None or options["plan"]):
            self._show(found, _TO_BE_DONE if options["plan"] else _DONE)
            if skipped:
                self.stdout.write(
                    f"Note: not restored, as the app is not installed: {names_of(skipped)}. See --output."
                )
        if error is not None:
            raise error

    def _show(self, found: Restoration, words: dict[Action, str]) -> None:
        if not found.files and not found.refused:
            self.stdout.write("No migration is missing.")
        for file in found.files:
            line = f"{words[file.action]} {shown(file.path)}"
            if file.kind != "migration":
                line += f" ({_BESIDE.get(file.kind, 'for')} {label(file.key)})"
            self.stdout.write(line)
        for note in found.notes:
            self.stdout.write(f"Note: {note}")


def _as_data(found: Restoration, is_written: bool, skipped: list[Key]) -> dict[str, Any]:
    return {
        "written": is_written,
        "files": [
            {
                "path": str(file.path),
                "kind": file.kind,
                "migration": label(file.key),
                "action": file.action.value,
            }
            for file in found.files
        ],
        "refused": [{"migration": label(key), "reason": reason} for key, reason in found.refused],
        "not_installed": [label(key) for key in skipped],
        "notes": found.notes,
    }
