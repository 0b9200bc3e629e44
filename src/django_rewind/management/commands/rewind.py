from __future__ import annotations

import sys
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, no_translations
from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import DEFAULT_DB_ALIAS, connections

from django_rewind.history import Standing
from django_rewind.preflight import check_reversible
from django_rewind.rewind import Rewind
from django_rewind.types import Plan, label

_WHY_LEFT_ALONE = {
    Standing.BASELINE: "it had no file already when django-rewind was installed",
    Standing.IN_USE: "an installed model uses its table; name a target to undo it",
    Standing.LEFT_ALONE: "migrations of its app are disabled in MIGRATION_MODULES",
    Standing.MISSING: "it was not asked for",
    Standing.REMOVED_APP: "its app is not installed; see --include-removed-apps",
    Standing.SUPERSEDED: "a migration on disk has taken over what it made",
}


class Command(BaseCommand):
    help = (
        "Undo the applied migrations that have no file in this checkout, and what depends "
        "on them, from the source stored in the database. With an app and a name, go back "
        "to that migration."
    )

    # The models of another branch may not fit this database: that is what people
    # come here to mend, so it must not keep them out.
    requires_system_checks: list[str] = []

    migration_progress_callback: Any = MigrateCommand.migration_progress_callback

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("app_label", nargs="?", help="App label: undo only its missing migrations.")
        parser.add_argument(
            "migration_name",
            nargs="?",
            help="Go back to this migration, by name or prefix; 'zero' undoes all of the app.",
        )
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help='Nominates a database to rewind. Defaults to the "default" database.',
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Do not ask for a yes before something is undone.",
        )
        parser.add_argument("--plan", action="store_true", help="Show what would be undone, and do nothing.")
        parser.add_argument(
            "--check",
            action="store_true",
            help="Exit with status 1 if there is something to rewind, and do nothing.",
        )
        parser.add_argument(
            "--include-removed-apps",
            action="store_true",
            help="Also undo missing migrations of apps that are not installed any more.",
        )
        parser.add_argument(
            "--allow-data-loss",
            action="store_true",
            help="With --noinput and DEBUG off: rows may be lost, and that is meant.",
        )
        parser.add_argument("--migrate", action="store_true", help="Run 'migrate' when the rewind is done.")

    @no_translations
    def handle(self, **options: Any) -> None:
        self.verbosity: int = options["verbosity"]
        rewind = self._rewind(options)
        plan = self._plan(rewind, options["app_label"], options["migration_name"])
        if options["check"] or options["plan"]:
            if options["plan"] or self.verbosity > 1:
                self._show(rewind, plan)
            if options["check"] and plan:
                sys.exit(1)
            return
        if plan:
            self._agree(rewind, plan, options)
            self._run(rewind, plan, options["interactive"])
        elif self.verbosity >= 1:
            self._show(rewind, plan)
        if options["migrate"]:
            self._migrate(options)

    def _rewind(self, options: dict[str, Any]) -> Rewind:
        app_label = options["app_label"]
        removed_apps: list[str] | None = []
        if options["include_removed_apps"]:
            removed_apps = None
        elif app_label and app_label not in {config.label for config in apps.get_app_configs()}:
            removed_apps = [app_label]
        return Rewind(connections[options["database"]], self.migration_progress_callback, removed_apps)

    def _plan(self, rewind: Rewind, app_label: str | None, name: str | None) -> Plan:
        if app_label and not rewind.knows(app_label):
            raise CommandError(
                f"No installed app with label '{app_label}', and none of its migrations is applied."
            )
        if app_label and name:
            return rewind.plan_to(app_label, name)
        return rewind.plan(app_label)

    def _show(self, rewind: Rewind, plan: Plan) -> None:
        self.stdout.write("Planned operations:", self.style.MIGRATE_LABEL)
        if not plan:
            self.stdout.write("  Nothing to rewind.")
        for migration, _ in plan:
            self.stdout.write(str(migration), self.style.MIGRATE_HEADING)
            for operation in migration.operations:
                message, is_error = MigrateCommand.describe_operation(operation, True)
                self.stdout.write("    " + message, self.style.WARNING if is_error else None)
        for key, standing in rewind.left_alone(plan):
            self.stdout.write(f"  Left as it is: {label(key)} ({_WHY_LEFT_ALONE[standing]})")

    def _agree(self, rewind: Rewind, plan: Plan, options: dict[str, Any]) -> None:
        """
        Have somebody agree to the plan, or to losing rows.

        Raises:
            CommandError: nobody did, or there is no use in asking.
        """
        rewind.find_out(plan)
        check_reversible(migration for migration, _ in plan)
        lost = [str(one) for one in rewind.losses(plan)]
        if not options["interactive"]:
            if lost and not settings.DEBUG and not options["allow_data_loss"]:
                raise CommandError(
                    f"This would lose what is in {', '.join(lost)}.\n"
                    "Add --allow-data-loss to --noinput if that is meant.\n"
                    "Nothing has been changed."
                )
            return
        self._show(rewind, plan)
        if lost:
            self.stdout.write(f"This loses what is in {', '.join(lost)}.", self.style.WARNING)
        if not self._ask(f"Rewind the database '{options['database']}'? [y/N] "):
            raise CommandError("The rewind was not agreed to. Nothing has been changed.")

    def _ask(self, question: str) -> bool:
        try:
            return input(question).strip().lower() in ("y", "yes")
        except EOFError:
            raise CommandError(
                "There is nobody to ask. Use --noinput to rewind without a question.\n"
                "Nothing has been changed."
            ) from None

    def _run(self, rewind: Rewind, plan: Plan, interactive: bool) -> None:
        if self.verbosity >= 1:
            self.stdout.write(self.style.MIGRATE_HEADING("Rewinding:"))
        rewind.run(plan, verbosity=self.verbosity, interactive=interactive, stdout=self.stdout)

    def _migrate(self, options: dict[str, Any]) -> None:
        call_command(
            "migrate",
            database=options["database"],
            interactive=options["interactive"],
            verbosity=self.verbosity,
            stdout=self.stdout,
            stderr=self.stderr,
            no_color=options["no_color"],
            force_color=options["force_color"],
        )
