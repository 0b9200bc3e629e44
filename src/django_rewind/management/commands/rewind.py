from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, no_translations
from django.core.management.commands.migrate import Command as MigrateCommand

from django_rewind import conf
from django_rewind.actions.rewind import Rewind
from django_rewind.actions.sql import sql_of
from django_rewind.actions.transition import Transition, Wishes
from django_rewind.engine.journal import note_refusal
from django_rewind.engine.lock import Lock
from django_rewind.engine.plan import Plan, at_stake
from django_rewind.engine.transactions import Whole, check_atomic
from django_rewind.exceptions import UNCHANGED, NotInitialized, RewindError, RewindInterrupted
from django_rewind.management.asking import confirm
from django_rewind.management.exit_status import FOUND
from django_rewind.management.interrupts import heeding_termination
from django_rewind.management.migrating import migrate
from django_rewind.management.reporting import ReportingCommand
from django_rewind.management.rewind_options import add_arguments, in_words, only_shows, parse
from django_rewind.management.rewind_text import lines, lines_of_renames, question, remarks
from django_rewind.management.trust import asking_for_trust, confirm_execution
from django_rewind.sources.consent import Consent
from django_rewind.utils.advice import on_database
from django_rewind.utils.compat import is_called_from_command_line
from django_rewind.utils.types import APP_LABEL, NO_CHANGES, RecordChanges


class Command(ReportingCommand):
    help = (
        "Undo the applied migrations that have no file in this checkout, and what depends "
        "on them, from the source stored in the database. With an app and a name, go back "
        "to that migration. Exits with status 1 if that is refused, or if --check finds "
        "something to rewind, and with 2 if the options make no sense, or if --check could not check."
    )

    may_look_at_all_databases = False

    def add_arguments(self, parser: Any) -> None:
        super().add_arguments(parser)
        add_arguments(parser)

    def is_gate(self, options: Any) -> bool:
        return bool(options["check"])

    def migration_progress_callback(self, *args: Any, **kwargs: Any) -> None:
        if not self.options["sql"]:
            progress: Any = MigrateCommand.migration_progress_callback
            progress(self, *args, **kwargs)

    @no_translations
    @asking_for_trust
    def handle(self, **options: Any) -> None:
        parse(options)
        self.options = options
        #: What was found in Git is executed only where a target is named.
        self.consent = Consent(counts_agreed=bool(options["migration_name"]))
        self.verbosity: int = options["verbosity"]
        is_run = not (only_shows(options) or options["sql"])
        #: Where everything goes that is not what was asked for.
        self.talk = self.stderr if options["format"] == "json" or options["sql"] else self.stdout
        try:
            (connection,) = self.connections(options)
            self.whole = Whole(connection) if options["atomic"] else None
            seconds = options["lock_timeout"]
            self.lock = Lock(connection, self._say, conf.lock_timeout() if seconds is None else seconds)
            # Before anything is read: what another process does meanwhile changes all of it.
            with self.lock if is_run else nullcontext():
                self._work(options)
        except RewindError as error:
            if is_run:
                note_refusal(connection, error)
            raise

    def _work(self, options: dict[str, Any]) -> None:
        try:
            transition = self._planned()
        except NotInitialized:
            if not options["migrate"] or only_shows(options):
                raise
            # Have the tables of django-rewind made first, where all is to be migrated anyway.
            self._migrate(APP_LABEL)
            transition = self._planned()
        plan = transition.plan
        plan.fake = options["fake"]
        self.rewind = transition.rewind
        if not only_shows(options):
            self._agree_to_what_git_had(plan)
        self.rewind.check_use_of_files(plan, load=not only_shows(options))
        if options["sql"]:
            lines = sql_of(self.rewind, plan) if plan else ["-- Nothing to rewind."]
            self.stdout.write(self.as_it_may_be_sent("\n".join(lines).rstrip()))
        elif only_shows(options):
            self._report(plan)
        else:
            self._do(transition)

    def _planned(self) -> Transition:
        options = self.options
        app_label, first = options["app_label"], self._make_rewind(NO_CHANGES)
        if app_label and not first.knows(app_label):
            raise CommandError(
                f"No installed app with label '{app_label}', and none of its migrations is applied."
            )
        if options["migrate"] and not options["adopt"] and first.renamed:
            way_out = "Add --adopt for that, or --include-renamed to undo and apply them."
            raise CommandError("\n".join([*lines_of_renames(first.renamed), way_out, UNCHANGED]))
        return Transition(
            first,
            self._make_rewind,
            Wishes(
                app_label=app_label,
                name=options["migration_name"],
                redoes=options["redo"],
                redoes_modified=options["redo_modified"],
                adopts=options["adopt"],
                migrates=options["migrate"],
                fake=options["fake"],
                only_shows=only_shows(options),
            ),
        )

    def _make_rewind(self, foreseen: RecordChanges) -> Rewind:
        (connection,) = self.connections(self.options)
        app_label = self.options["app_label"]
        stale_apps: list[str] | None = []
        if self.options["include_stale_apps"]:
            stale_apps = None
        elif app_label and app_label not in {config.label for config in apps.get_app_configs()}:
            stale_apps = [app_label]
        rewind = Rewind(connection, self.migration_progress_callback, stale_apps, foreseen, self.consent)
        rewind.includes_renamed = self.options["include_renamed"]
        rewind.runner.whole = self.whole
        # Whoever waits for this run can read in the audit log whose it is.
        rewind.begins = lambda: self.lock.note(in_words(self.options))
        rewind.use_files(self.options["use_file"])
        return rewind

    def _report(self, plan: Plan) -> None:
        if not plan.fake:
            self.rewind.check_as_signed(plan)
        self.rewind.describe(plan)
        if self.options["format"] == "json":
            self.write_json({self.options["database"]: plan.as_data()})
        elif self.options["plan"] or self.verbosity > 1:
            self._show(plan)
        if self.options["check"] and plan:
            sys.exit(FOUND)

    def _show(self, plan: Plan) -> None:
        if self.options["adopt"] and not (self.options["migrate"] or plan):
            self.stdout.write("Nothing to adopt.")
            return
        for text, style in lines(plan):
            said = on_database(text, self.options["database"])
            self.stdout.write(said, getattr(self.style, style) if style else None)
        if plan and self.options["redo_modified"] and only_shows(self.options):
            self.stdout.write("  Found by their texts: a run leaves out what would do the same.")

    def _do(self, transition: Transition) -> None:
        if not transition.plan.fake:
            # It may find that more has to go.
            transition.check()
        self.rewind, plan = transition.rewind, transition.plan
        self.rewind.describe(plan)
        if transition.acts:
            self._agree(transition)
            self._run(transition)
        elif self.verbosity >= 1:
            self._show(replace(plan, applies=()))
        if self.options["migrate"]:
            transition.run_migrate(self._migrate)

    def _agree(self, transition: Transition) -> None:
        """Have a person agree to the plan, or an option to losing rows, where nothing else stands in the way."""
        plan = transition.plan
        if not plan.fake and self.whole is not None:
            nodes = self.rewind.loader.graph.nodes
            files = [nodes[key] for key in transition.applies]
            check_atomic(self.whole.connection, [*(migration for migration, _ in plan.migrations), *files])
        if self.options["interactive"]:
            self._show(plan)
            self._confirm(question(plan, self.options["database"]))
            return
        if plan.losses and not self.options["allow_data_loss"]:
            raise CommandError(
                f"This {at_stake(plan.losses, 'would lose what is in')}. {UNCHANGED}\n"
                "Add --allow-data-loss to --noinput if that is meant."
            )
        plan.may_lose_anything = self.options["allow_data_loss"]
        if self.verbosity >= 1:
            for line in (*lines_of_renames(plan.renamed), *remarks(plan)):
                self.stdout.write(on_database(line, self.options["database"]))
        if plan.losses and self.verbosity >= 1:
            self.stdout.write(f"This {at_stake(plan.losses, 'loses what is in')}.", self.style.WARNING)

    def _agree_to_what_git_had(self, plan: Plan) -> None:
        """Have a person, or an option, agree to what was found in Git, before any of it is executed."""
        found = {row.key for row in plan.stored_code if not self.consent.covers(row.stored)}
        if plan.fake or not found or not self.options["migration_name"]:
            return
        if self.options["interactive"] and not (self.options["sql"] or self.options["allow_found_in_git"]):
            (connection,) = self.connections(self.options)
            confirm_execution(self, connection, found)
            self.consent.keys |= found
        elif self.options["allow_found_in_git"]:
            self.consent.keys |= found

    def _confirm(self, question: str) -> None:
        confirm(question, "There is nobody to ask. Use --noinput to rewind without a question.")

    def _run(self, transition: Transition) -> None:
        options = {
            "verbosity": self.verbosity,
            "interactive": self.options["interactive"],
            "stdout": self.stdout,
        }
        try:
            with heeding_termination():
                transition.run(self._head, self.warn, **options)
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
