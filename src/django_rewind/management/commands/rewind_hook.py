from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from django_rewind.actions.checkout import after_checkout
from django_rewind.git.hook import Choices, Hook, HookError, State, current_call
from django_rewind.git.repository import WorkTree

_WHAT_IT_RUNS = (
    "From now on a checkout runs manage.py of what was checked out, with its settings and its apps."
)
_WITHOUT_TRUST = "Where the checkout changes manage.py or the settings, it runs nothing and says so."
_WITH_TRUST = "It does so even where the checkout changes manage.py or the settings."


class Command(BaseCommand):
    help = (
        "Have git tell, when another branch is checked out, how many applied migrations have "
        "no file there, and which command helps: a post-checkout hook. It runs manage.py of what was "
        "checked out, with its settings and its apps: do not install it where you check out code that "
        "you would not run. Where the checkout changes manage.py or the settings, it runs nothing and says so."
    )

    # After a checkout the models may not fit anything.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "action",
            # What the hook calls, `run`, is not for typing.
            choices=["install", "uninstall", "status", "run"],
            metavar="{install,uninstall,status}",
            help="Install the hook, remove it, or say what there is of it and where.",
        )
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help='Nominates the database that the hook looks into. Defaults to the "default" database.',
        )
        parser.add_argument(
            "--auto",
            action="store_true",
            help="Have the hook run 'rewind --noinput', if DEBUG is on and no rows are lost by it.",
        )
        parser.add_argument(
            "--allow-data-loss",
            action="store_true",
            help="With --auto: rows may be lost, and that is meant.",
        )
        parser.add_argument(
            "--timeout",
            type=int,
            default=Choices.timeout,
            help="How many seconds a checkout waits for an answer. Defaults to %(default)s.",
        )
        parser.add_argument(
            "--manage-py",
            metavar="PATH",
            help="The manage.py that the hook runs, if it is another than this one.",
        )
        parser.add_argument(
            "--trust-checkouts",
            action="store_true",
            help="Have the hook run manage.py also where the checkout changes it or the settings.",
        )

    def handle(self, **options: Any) -> None:
        if options["action"] == "run":
            self._run(options)
            return
        manage = _manage(options["manage_py"])
        tree = WorkTree.at(manage.parent)
        if tree is None:
            raise CommandError(f"{manage.parent} is not in a work tree of git, or there is no git.")
        hook = Hook(tree)
        try:
            if options["action"] == "install":
                self._install(hook, manage, options)
            elif options["action"] == "uninstall":
                self.stdout.write(f"{'Uninstalled' if hook.uninstall() else 'Not installed'}: {hook.path}")
            else:
                self._show_status(hook)
        except HookError as error:
            raise CommandError(str(error)) from error

    def _install(self, hook: Hook, manage: Path, options: dict[str, Any]) -> None:
        if options["database"] not in connections:
            raise CommandError(f"There is no database '{options['database']}'.")
        if options["timeout"] < 1:
            raise CommandError("--timeout takes a number of seconds, at least 1.", returncode=2)
        if options["auto"] and not settings.DEBUG:
            raise CommandError("--auto is for development databases, and DEBUG is off.")
        if options["allow_data_loss"] and not options["auto"]:
            raise CommandError("--allow-data-loss does nothing without --auto.", returncode=2)
        top = hook.tree.top.resolve()
        choices = Choices(
            # As it is in every work tree of the repository, if it is in one.
            manage=str(manage.relative_to(top) if top in manage.parents else manage),
            database=options["database"],
            settings=options["settings"] or "",
            timeout=options["timeout"],
            auto=options["auto"],
            allow_data_loss=options["allow_data_loss"],
            module=str(getattr(settings, "SETTINGS_MODULE", "")),
            trusts=options["trust_checkouts"],
        )
        done = "Installed" if hook.install(choices) else "Installed already"
        self.stdout.write(f"{done}: {hook.path}")
        self.stdout.write(_WHAT_IT_RUNS)
        self.stdout.write(_WITH_TRUST if choices.trusts else _WITHOUT_TRUST)

    def _show_status(self, hook: Hook) -> None:
        status = hook.status()
        self.stdout.write(f"{status.state.value.capitalize()}: {hook.path}")
        choices = status.choices
        if choices is not None and status.state is not State.FOREIGN:
            auto = ", --auto" if choices.auto else ""
            loss = ", --allow-data-loss" if choices.allow_data_loss else ""
            trust = ", --trust-checkouts" if choices.trusts else ""
            self.stdout.write(
                f"It runs {choices.manage} on the database '{choices.database}'{auto}{loss}{trust}."
            )
        if status.remark:
            self.stdout.write(status.remark)
        if status.state is State.OUTDATED:
            self.stdout.write("Run 'manage.py rewind_hook install' again.")
        elif status.state is State.FOREIGN and not status.remark:
            self.stdout.write("Another hook is there; 'manage.py rewind_hook install' adds to it.")

    def _run(self, options: dict[str, Any]) -> None:
        call = current_call()
        choices = call.choices if call else Choices("", database=options["database"])
        if choices.database in connections:
            line = after_checkout(connections[choices.database], choices, call.deleted if call else ())
            if line:
                print(line, file=call.stream) if call else self.stdout.write(line)


def _manage(given: str | None) -> Path:
    """Return the manage.py that was named, or that is running, or that lies here."""
    called = Path(sys.argv[0])
    is_running = called.suffix == ".py" and called.name != "__main__.py"
    for path in [Path(given)] if given else [called] * is_running + [Path("manage.py")]:
        if path.is_file():
            return path.resolve()
    raise CommandError(f"There is no {given or 'manage.py'} here: name one with --manage-py.")
