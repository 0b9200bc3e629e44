from __future__ import annotations

import sys
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, no_translations
from django.core.management.commands.migrate import Command as MigrateCommand

from django_rewind.actions.adopt import adopt
from django_rewind.actions.redo import Redo, redo_modified, redo_one
from django_rewind.actions.rewind import Rewind
from django_rewind.actions.sql import sql_of
from django_rewind.engine.journal import note_refusal
from django_rewind.engine.lock import Lock
from django_rewind.engine.plan import Plan
from django_rewind.engine.transactions import Whole, check_atomic
from django_rewind.exceptions import UNCHANGED, NotInitialized, RewindError, RewindInterrupted
from django_rewind.management.asking import confirm
from django_rewind.management.interrupts import heeding_termination
from django_rewind.management.migrating import migrate
from django_rewind.management.reporting import ReportingCommand
from django_rewind.management.rewind_options import add_arguments, in_words, only_shows, refuse_nonsense
from django_rewind.management.rewind_text import lines, lines_of_adoption, question, remarks
from django_rewind.management.trusting import asking_for_trust
from django_rewind.utils.advice import on_database
from django_rewind.utils.compat import is_called_from_command_line
from django_rewind.utils.types import APP_LABEL, label

_ADD_MIGRATE = "Add --migrate to apply first what is not applied, or migrate to that and adopt again."


class Command(ReportingCommand):
    help = (
        "Undo the applied migrations that have no file in this checkout, and what depends "
        "on them, from the source stored in the database. With an app and a name, go back "
        "to that migration. Exits with status 1 if that is refused, or if --check finds "
        "something to rewind, and with 2 if the options make no sense."
    )

    # The models of another branch may not fit this database: that is what people
    # come here to mend, so it must not keep them out.
    requires_system_checks: list[str] = []

    may_look_at_all_databases = False

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        add_arguments(parser)

    def migration_progress_callback(self, *args: Any, **kwargs: Any) -> None:
        """Report progress as `migrate` does, where there is any."""
        if not self.options["sql"]:
            progress: Any = MigrateCommand.migration_progress_callback
            progress(self, *args, **kwargs)

    @no_translations
    @asking_for_trust
    def handle(self, **options: Any) -> None:
        refuse_nonsense(options)
        self.options = options
        try:
            self._handle(options)
        except RewindError as error:
            if not (only_shows(options) or options["sql"]):
                note_refusal(self.connections(options)[0], error)
            raise

    def _handle(self, options: dict[str, Any]) -> None:
        self.verbosity: int = options["verbosity"]
        is_json = options["format"] == "json"
        #: Where everything goes that is not what was asked for.
        self.talk = self.stderr if is_json or options["sql"] else self.stdout
        (connection,) = self.connections(options)
        self.whole = Whole(connection) if options["atomic"] else None
        if only_shows(options) or options["sql"]:
            self._work(options)
            return
        # Before anything is read: what another process does meanwhile changes all of it.
        self.lock = Lock(connection, self._say, options["lock_timeout"])
        with self.lock:
            self._work(options)

    def _work(self, options: dict[str, Any]) -> None:
        self.rewind = self._make_first_rewind()
        if options["adopt"]:
            self._adopt()
            if not options["migrate"]:
                return
            self.rewind = self._make_rewind()
        elif options["migrate"] and self.rewind.renamed:
            raise CommandError(self._how_to_go_on())
        self.rewind.use_files(options["use_file"])
        self.redo, plan = self._planned()
        plan.fake = self.options["fake"]
        self.rewind.check_use_of_files(plan, load=not only_shows(options))
        if options["sql"]:
            self._print_sql(plan)
        elif only_shows(options):
            self._report(plan)
        else:
            self._do(plan)

    # Planning ---------------------------------------------------------------

    def _make_first_rewind(self) -> Rewind:
        """Have our tables made first, where all is to be migrated anyway."""
        try:
            return self._make_rewind()
        except NotInitialized:
            if not self.options["migrate"] or only_shows(self.options):
                raise
        self._migrate(APP_LABEL)
        return self._make_rewind()

    def _make_rewind(self) -> Rewind:
        (connection,) = self.connections(self.options)
        app_label = self.options["app_label"]
        removed_apps: list[str] | None = []
        if self.options["include_stale_apps"]:
            removed_apps = None
        elif app_label and app_label not in {config.label for config in apps.get_app_configs()}:
            removed_apps = [app_label]
        rewind = Rewind(connection, self.migration_progress_callback, removed_apps)
        rewind.undoes_renamed = self.options["include_renamed"]
        rewind.runner.whole = self.whole
        rewind.begins = self._note_beginning
        return rewind

    def _note_beginning(self) -> None:
        """Whoever waits for this run can read in the audit log whose it is."""
        self.lock.note(in_words(self.options))

    # Adopting ---------------------------------------------------------------

    def _adopt(self) -> None:
        """
        Give migrations the names of their files, applying first what those depend on if that is asked for.

        Raises:
            CommandError: nobody agreed, or nothing can be adopted yet.
        """
        lines = list(lines_of_adoption(self.rewind.adoptions))
        if only_shows(self.options):
            self._report_adoption(lines)
            return
        if not self.rewind.adoptions.pairs:
            self._head("Nothing to adopt.")
            return
        if self.options["interactive"]:
            self.stdout.write("\n".join(lines))
            self._confirm(f"Give them these names in the database '{self.options['database']}'?")
        self._adopt_what_can_be()

    def _report_adoption(self, lines: list[str]) -> None:
        pairs = self.rewind.adoptions.pairs
        if self.options["format"] == "json":
            found = [{"app": old[0], "name": old[1], "as": new[1]} for old, new in pairs.items()]
            self.write_json({self.options["database"]: {"adoptable": found}})
        else:
            self.stdout.write("\n".join(lines) or "Nothing to adopt.")
        if self.options["check"] and pairs:
            sys.exit(1)

    def _adopt_what_can_be(self) -> None:
        while self.rewind.adoptions.pairs:
            for old, new in adopt(self.rewind.adoptions, warn=self._warn):
                self._head(f"  {label(old)} is {label(new)} from now on")
            self.rewind = self._make_rewind()
            first = self.rewind.adoptions.wanted_first()
            if first is not None and self.options["migrate"]:
                self._migrate(*first)
                self.rewind = self._make_rewind()
            elif self.rewind.adoptions.pairs:
                raise CommandError("\n".join([*lines_of_adoption(self.rewind.adoptions), _ADD_MIGRATE]))

    def _how_to_go_on(self) -> str:
        lines = lines_of_adoption(self.rewind.adoptions)
        return "\n".join(
            [*lines, "Add --adopt for that, or --include-renamed to undo and apply them.", UNCHANGED]
        )

    def _warn(self, line: str) -> None:
        self.stderr.write(self.style.WARNING(f"Warning: {line}"))

    def _planned(self) -> tuple[Redo | None, Plan]:
        app_label, name = self.options["app_label"], self.options["migration_name"]
        if app_label and not self.rewind.knows(app_label):
            raise CommandError(
                f"No installed app with label '{app_label}', and none of its migrations is applied."
            )
        if self.options["redo"]:
            redo = redo_one(self.rewind, app_label, name)
            return redo, redo.plan
        if self.options["redo_modified"]:
            redo = redo_modified(self.rewind, self._differing(), app_label)
            return redo, redo.plan
        if name:
            return None, self.rewind.plan_to(app_label, name)
        return None, self.rewind.plan(app_label)

    def _differing(self) -> Any:
        """Only texts decide where nothing stored may be executed."""
        return self.rewind.modified() if only_shows(self.options) else self.rewind.differing()

    # Showing ----------------------------------------------------------------

    def _report(self, plan: Plan) -> None:
        if not plan.fake:
            self.rewind.check_as_signed(plan)
        self.rewind.describe(plan)
        if self.options["format"] == "json":
            self.write_json({self.options["database"]: plan.as_data()})
        elif self.options["plan"] or self.verbosity > 1:
            self._show(plan)
        if self.options["check"] and plan:
            sys.exit(1)

    def _print_sql(self, plan: Plan) -> None:
        lines = sql_of(self.rewind, plan) if plan else ["-- Nothing to rewind."]
        self.stdout.write("\n".join(lines).rstrip())

    def _show(self, plan: Plan) -> None:
        for text, style in lines(plan):
            said = on_database(text, self.options["database"])
            self.stdout.write(said, getattr(self.style, style) if style else None)
        if plan and self.options["redo_modified"] and only_shows(self.options):
            self.stdout.write("  Found by their texts: a run leaves out what would do the same.")

    # Doing ------------------------------------------------------------------

    def _do(self, plan: Plan) -> None:
        if not plan.fake:
            self.rewind.find_out(plan)
        self.rewind.describe(plan)
        if plan:
            self._agree(plan)
            self._run(plan)
        elif self.verbosity >= 1:
            self._show(plan)
        if self.options["migrate"]:
            self._migrate()

    def _agree(self, plan: Plan) -> None:
        """
        Have somebody agree to the plan, or to losing rows.

        Raises:
            CommandError: nobody did, or there is no use in asking.
        """
        if not plan.fake:
            self.rewind.check(plan)
            self._check_atomic(plan)
        if self.options["interactive"]:
            self._show(plan)
            self._confirm(question(plan, self.options["database"]))
            return
        lost = ", ".join(map(str, plan.losses))
        if lost and not settings.DEBUG and not self.options["allow_data_loss"]:
            raise CommandError(
                f"This would lose what is in {lost}.\n"
                "Add --allow-data-loss to --noinput if that is meant.\n"
                "Nothing has been changed."
            )
        if self.verbosity >= 1:
            for line in remarks(plan):
                self.stdout.write(on_database(line, self.options["database"]))
        if lost and self.verbosity >= 1:
            self.stdout.write(f"This loses what is in {lost}.", self.style.WARNING)

    def _check_atomic(self, plan: Plan) -> None:
        if self.whole is not None:
            files = self.redo.files if self.redo else []
            check_atomic(self.whole.connection, [*(migration for migration, _ in plan.migrations), *files])

    def _confirm(self, question: str) -> None:
        confirm(question, "There is nobody to ask. Use --noinput to rewind without a question.")

    def _run_steps(self, plan: Plan) -> None:
        options = {
            "verbosity": self.verbosity,
            "interactive": self.options["interactive"],
            "stdout": self.stdout,
        }
        if self.redo is None:
            self._head("Forgetting:" if plan.fake else "Rewinding:")
            self.rewind.run(plan, **options)
            return
        self.redo.check()
        self.redo.run(self._make_rewind, self._head, **options)

    def _run(self, plan: Plan) -> None:
        try:
            with heeding_termination():
                self._run_steps(plan)
        except RewindInterrupted as stop:
            # The line of the step that failed has no end yet.
            self._head("")
            if isinstance(stop.error, KeyboardInterrupt) and not is_called_from_command_line(self):
                # It is not for us to keep the program that called from hearing of it.
                self.stderr.write(on_database(str(stop), self.options["database"]))
                raise stop.error from None
            raise

    def _say(self, line: str) -> None:
        if self.verbosity >= 1:
            self.stdout.write(line)
            self.stdout.flush()

    def _head(self, text: str) -> None:
        if self.verbosity >= 1:
            self.stdout.write(text, self.style.MIGRATE_HEADING)

    def _migrate(self, *target: str) -> None:
        (connection,) = self.connections(self.options)
        migrate(
            connection,
            *target,
            interactive=self.options["interactive"],
            verbosity=self.verbosity,
            # Not ours, which would end each line of progress.
            stdout=self.options.get("stdout"),
            stderr=self.options.get("stderr"),
            no_color=self.options["no_color"],
            force_color=self.options["force_color"],
        )
