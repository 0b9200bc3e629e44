"""
Roll back what this checkout knows nothing of: the work behind `manage.py rewind`.

It plans with the executor that `migrate` uses, so both mean the same by missing,
by order and by what stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.state import ModelState

from ..engine import hooks
from ..engine.loader import RewindLoader
from ..engine.plan import Lost, Plan, at_stake
from ..engine.planner import contradicted, modified_rows, rows_that_differ, with_way_out
from ..engine.preflight import check_reversible, losses_of, pruned_original
from ..engine.progress import how_far_back
from ..engine.transactions import STOPS, check_atomic
from ..exceptions import (
    BlockedRewind,
    FileNotUsable,
    HowFar,
    MoreIsLost,
    NotInitialized,
    NotRecoverable,
    RewindError,
    RewindInterrupted,
)
from ..inventory.snapshot import WHY_SKIPPED, FileStatus
from ..inventory.status import Status, statuses, with_comparisons
from ..schema.graph import children_in, closure, in_applied_order, parents_in, target_below
from ..sources.bundle.importer import StoredImporter
from ..sources.compare import same_operations
from ..sources.consent import Consent
from ..sources.recovered import RecoveredMigration
from ..sources.stored import StoredMigration, how_to_replace
from ..storage.integrity import not_as_signed
from ..storage.store import Store
from ..utils import compat
from ..utils.types import NO_CHANGES, Key, RecordChanges, Steps, label


class Rewind:
    """
    One rewind of one database: plan it, look at what it costs, run it.

    Args:
        connection: the database.
        progress: what Django's executor reports to, as `migrate` has it.
        stale_apps: apps that are not installed and may be undone; None for all.
        foreseen: what is done to records before, and taken for done.
        consent: what may be executed although it was found in Git; nothing without one.
    """

    def __init__(
        self,
        connection: Any,
        progress: Callable[..., None] | None = None,
        stale_apps: Iterable[str] | None = (),
        foreseen: RecordChanges = NO_CHANGES,
        consent: Consent | None = None,
    ) -> None:
        self.connection = connection
        self.executor: Any = hooks.make_executor(connection, progress)
        if not isinstance(self.executor.loader, RewindLoader):
            raise CommandError("django-rewind is switched off: set DJANGO_REWIND_ENABLED to True to rewind.")
        self.loader: RewindLoader = self.executor.loader
        self.loader.set_consent(consent or Consent())
        if not self.loader.store_is_ready:
            raise NotInitialized(connection.alias)
        Store(connection).check_is_there()
        if stale_apps is None or list(stale_apps) or foreseen:
            self.loader.stale_apps = None if stale_apps is None else frozenset(stale_apps)
            self.loader.foreseen = foreseen
            self.loader.build_graph()
        self.runner = hooks.runner_of(self.executor)
        self.runner.is_rewind = True
        self.snapshot = self.loader.snapshot
        # Whether what is on disk under another name is undone like everything else.
        self.includes_renamed = False
        # Called as soon as nothing stands in the way of a run any more.
        self.begins: Callable[[], None] = lambda: None

    @property
    def renamed(self) -> Mapping[Key, Key]:
        """The missing migrations that stay because a file does the same, with that file."""
        return {} if self.includes_renamed else self.loader.renamed

    # Planning ---------------------------------------------------------------

    def plan(self, app_label: str | None = None) -> Plan:
        """Return what unapplies the missing migrations, of an app or of all, and what depends on them."""
        return self.plan_unapplying(self.missing(app_label))

    def missing(self, app_label: str | None = None) -> list[Key]:
        """Return the missing migrations, of an app or of all, or raise why they cannot be unapplied."""
        stale = self.loader.stale_apps
        goals = [
            key
            for key in self.snapshot.of(FileStatus.MISSING, FileStatus.STALE_APP)
            if app_label in (None, key[0])
            and key not in self.renamed
            and not self.is_found_in_git(key)
            and (self.snapshot.without_file[key] is FileStatus.MISSING or stale is None or key[0] in stale)
        ]
        unusable = [self.loader.unusable[key] for key in goals if key in self.loader.unusable]
        if unusable:
            raise NotRecoverable.of_all(unusable)
        self._refuse_to_take_along(goals)
        return goals

    def plan_unapplying(
        self, goals: Iterable[Key], misplaced: Iterable[Key] = (), stays: Container[Key] = ()
    ) -> Plan:
        """
        Return what unapplies some applied migrations and everything that depends on them.

        Args:
            misplaced: more of them, but of what depends on these `stays` stays applied.
        """
        graph, applied = self.loader.graph, self.loader.applied_migrations
        children = children_in(graph)
        found = closure(goals, children)
        within = {key: [child for child in children[key] if child not in stays] for key in children}
        found |= closure(misplaced, within)
        unapplied = [key for key in found if key in applied]
        order = in_applied_order(unapplied, parents_in(graph), self.loader.record_ids)
        return self.plan_of(self.runner.planned([], [(graph.nodes[key], True) for key in reversed(order)]))

    def plan_of(self, steps: Steps) -> Plan:
        """Return the plan in which the executor has just taken up these steps."""
        return self.runner.plan or Plan(steps)

    def is_found_in_git(self, key: Key) -> bool:
        """Say of what is stored whether it came from Git: such a migration is unapplied only where a target is named."""
        stored = self.snapshot.stored.get(key)
        return stored is not None and stored.is_found_in_git

    def _refuse_to_take_along(self, goals: Iterable[Key]) -> None:
        """One of these is unapplied when that is said, and never because of another."""
        children = children_in(self.loader.graph)
        for key in goals:
            for other in sorted(closure([key], children)):
                if other in self.renamed:
                    raise BlockedRewind(
                        key,
                        f"{label(other)} depends on it, and is on disk as {label(self.renamed[other])}.",
                        "Run 'manage.py rewind --adopt --migrate', which goes over to the files as a whole, "
                        "or add --include-renamed to undo both.",
                    )
                is_before_install = self.snapshot.without_file.get(other) is FileStatus.MISSING_BEFORE_INSTALL
                if is_before_install or self.is_found_in_git(other):
                    why = (
                        "had no file already when django-rewind was installed"
                        if is_before_install
                        else "its source was found in Git"
                    )
                    raise BlockedRewind(
                        key,
                        f"{label(other)} depends on it, and {why}.",
                        f"Run 'manage.py rewind {key[0]} {self.target_of(key)}' to undo both.",
                    )

    def target_of(self, key: Key) -> str:
        """Return the target that has a migration unapplied."""
        node = self.loader.graph.node_map.get(key)
        return target_below(key, [parent.key for parent in node.parents] if node else [])

    def plan_to(self, app_label: str, name: str) -> Plan:
        """
        Return what goes back to a target, in an installed app or another.

        Args:
            name: a name, a prefix, or ``zero``.
        """
        is_zero = name == "zero" or self._is_below_all_of(app_label, name)
        target = (app_label, None if is_zero else self.find(app_label, name))
        if target[1] is not None and target not in self.loader.applied_migrations:
            pruned = pruned_original(self.loader, self.snapshot, [(app_label, target[1])])
            if pruned is not None:
                raise pruned
            raise CommandError(
                f"{app_label}.{target[1]} is not applied, and rewind only goes back: use "
                f"'manage.py migrate {app_label} {target[1]}'."
            )
        plan = self.plan_of(self.executor.migration_plan([target]))
        stays = [(key, status) for key, status in self._skipped(plan) if key[0] == app_label]
        if stays and not plan and target[1] is None:
            reasons = ", ".join(f"{label(key)} ({WHY_SKIPPED[status]})" for key, status in stays)
            raise RewindError(f"Nothing of the app '{app_label}' can be undone: {reasons}.")
        return plan

    def _is_below_all_of(self, app_label: str, prefix: str) -> bool:
        """Say of a target whether another app's migration replaces it, and all that is left of its own is above it."""
        here = [key for key in self.loader.graph.nodes if key[0] == app_label]
        squashed = [
            key
            for key in self.snapshot.of(FileStatus.SQUASHED)
            if key[0] == app_label and key[1].startswith(prefix)
        ]
        if len(squashed) != 1 or any(key[1].startswith(prefix) for key in here):
            return False
        before = {key: self.snapshot.dependencies(key) for key in self.snapshot.applied}
        return all(squashed[0] in closure([key], before) for key in here)

    def find(self, app_label: str, prefix: str) -> str:
        """Return the name of a migration, of which a file's comes first."""
        try:
            return self.loader.get_migration_by_prefix(app_label, prefix).name
        except AmbiguityError:
            raise CommandError(
                f"More than one migration matches '{prefix}' in app '{app_label}'. Please be more specific."
            ) from None
        except KeyError:
            raise self._why_not_found(app_label, prefix) from None

    def _why_not_found(self, app_label: str, prefix: str) -> CommandError:
        """Return the error for what is no node: some of it is known all the same."""
        for key in sorted({*self.snapshot.without_file, *self.snapshot.stored}):
            if key[0] == app_label and key[1].startswith(prefix):
                status = self.snapshot.without_file.get(key)
                return RewindError(
                    f"{label(key)} stays as it is: {WHY_SKIPPED[status]}."
                    if status
                    else f"{label(key)} is stored but not applied: there is nothing to go back to."
                )
        return CommandError(
            f"Cannot find a migration matching '{prefix}' from app '{app_label}', "
            "neither on disk nor among those that are stored."
        )

    def knows(self, app_label: str) -> bool:
        return app_label in {config.label for config in apps.get_app_configs()} or any(
            key[0] == app_label for key in self.loader.applied_migrations
        )

    def _skipped(self, plan: Plan) -> list[tuple[Key, FileStatus]]:
        """Return what has no file and is not unapplied by the plan."""
        return [
            (key, status)
            for key, status in self.snapshot.without_file.items()
            if key not in plan.unapplied and status is not FileStatus.SQUASHED
        ]

    def describe(self, plan: Plan) -> None:
        """Have a plan say what it skips, with the reason, and what data it would lose."""
        plan.skipped = [(key, self._why_skipped(key, status)) for key, status in self._skipped(plan)]
        plan.modified = [key for key in self.modified() if key not in plan.unapplied]
        plan.losses = [] if plan.fake else self.losses(plan)

    def _why_skipped(self, key: Key, status: FileStatus) -> str:
        if key in self.renamed:
            return f"{label(self.renamed[key])} does the same; --adopt gives it that name"
        why = WHY_SKIPPED[status]
        command = f"'manage.py rewind {key[0]} {self.target_of(key)}'"
        if status in (FileStatus.MISSING, FileStatus.STALE_APP) and self.is_found_in_git(key):
            return f"its source was found in Git; name a target to undo it: {command}"
        if status is not FileStatus.MISSING_BEFORE_INSTALL:
            return why
        if key in self.snapshot.stored:
            return f"{why}; name a target to undo it: {command}"
        return f"{why}; 'backfill_migration_code --from-git' looks for its source"

    def losses(self, plan: Plan) -> list[Lost]:
        """Return the tables and columns that go with the plan and hold something."""
        return losses_of(self.connection, self.snapshot, self.loader.record_ids, plan.migrations)

    def check_as_shown(self, plan: Plan) -> None:
        """
        Refuse what was not shown: rows may have come, and what is loaded by now may do something else.

        Raises:
            MoreIsLost: before the first statement.
        """
        if plan.may_lose_anything or not plan.is_backwards:
            return
        more = losses_of(self.connection, self.snapshot, self.loader.record_ids, plan.migrations, plan.losses)
        if more:
            raise MoreIsLost(at_stake(more, "would lose what is in"))

    def check(self, plan: Plan) -> None:
        """Look for what stands in the way, as far as that is known before the run."""
        if plan.problem is not None:
            raise plan.problem
        check_reversible(migration for migration, _ in plan.migrations)
        self.check_as_signed(plan)

    def check_as_signed(self, plan: Plan) -> None:
        """Compare what is stored of the plan with its digests, without executing any of it."""
        stored = {migration.key: migration.stored for migration in plan.stored_steps}
        errors = [
            NotRecoverable(key, f"{reason}.", how_to_replace(key))
            for key, reason in not_as_signed(self.connection, stored).items()
        ]
        if errors:
            on_disk = self.loader.disk_migrations
            raise NotRecoverable.of_all(
                [with_way_out(error) if error.key in on_disk else error for error in errors]
            )

    def find_out(self, plan: Plan) -> None:
        """
        Load what is known by its text alone: imported from 0.1.0, or found in Git.

        Nothing else tells for sure what it did, what that costs and whether it can be reversed.
        """
        for migration in plan.stored_steps:
            if not migration.stored.metadata.was_imported:
                migration.load()

    # Modified files ---------------------------------------------------------

    def modified(self) -> list[Key]:
        """
        Return the applied migrations whose files were modified since.

        As far as texts can tell, and without those that are verified to do the same.
        """
        return [
            status.key
            for status in statuses(with_comparisons(self.loader))
            if status.key in self.loader.graph and _may_differ(status)
        ]

    def differing(self) -> list[Key]:
        """Return those of them that would do something else: it executes what is stored of them."""
        return [row.key for row in modified_rows(self.loader, self._apps_with_records) if self._differs(row)]

    @property
    def _apps_with_records(self) -> set[str]:
        return {app_label for app_label, _ in self.loader.record_ids}

    def _differs(self, row: StoredMigration) -> bool:
        """What cannot be decided differs."""
        importer = StoredImporter()
        try:
            ran = RecoveredMigration(row, Store(self.connection), importer)
            if not ran.can_be_loaded():
                return True
            return not same_operations(ran.loaded, self.loader.disk_migrations[row.key])
        except ValueError:
            return True
        finally:
            importer.close()

    def use_files(self, names: Iterable[Key]) -> None:
        """Have modified migrations unapplied by their files; call `check_use_of_files` after planning."""
        for app_label, prefix in names:
            key = (app_label, self.find(app_label, prefix))
            if key not in self.loader.disk_migrations:
                raise FileNotUsable(key, "it has no file in this checkout.")
            self.runner.by_file |= {key}

    def check_use_of_files(self, plan: Plan, *, load: bool) -> None:
        """
        Refuse when naming a file would make no difference.

        Args:
            load: whether stored code may be executed to find that out; without, texts decide.
        """
        wanted = self.runner.by_file
        for key in sorted(wanted - plan.unapplied):
            raise FileNotUsable(key, "it is not among what would be undone.")
        rows = rows_that_differ(self.loader, self._apps_with_records) if wanted else []
        differing = {row.key for row in rows if row.key in wanted and (not load or self._differs(row))}
        differing |= contradicted(self.loader, wanted - differing).keys()
        for key in sorted(wanted - differing):
            raise FileNotUsable(key, "it does not differ from what ran.")

    # Running ----------------------------------------------------------------

    @contextmanager
    def saying_how_far(self, what: str, ask: Callable[[], tuple[HowFar, list[str]]]) -> Iterator[None]:
        """
        Run something as a whole, if that is asked for, and say how far it has come if it stops.

        Args:
            what: what it is called.
            ask: returns what is done, and the commands that go on.
        """
        whole = self.runner.whole
        try:
            with nullcontext() if whole is None else whole.run(what):
                yield
        except RewindInterrupted:
            raise
        except STOPS as error:
            how_far, go_on = ask()
            if isinstance(error, RewindError) and not how_far.has_begun:
                raise
            raise RewindInterrupted(error, how_far, what=what, go_on=go_on) from error

    def how_far_back(self, plan: Plan) -> HowFar:
        changes, progress = self.executor.recorder.changes, self.runner.progress
        return how_far_back(self.connection, plan.migrations, changes, progress, fake=plan.fake)

    def run_steps(
        self,
        plan: Plan,
        *,
        verbosity: int,
        interactive: bool,
        stdout: Any,
        goes_on: bool = False,
    ) -> None:
        """
        Run the plan, with the signals that `migrate` sends.

        Content types and permissions are kept up to date by their receivers; the
        steps here are those of Django's `migrate` command.

        Args:
            goes_on: whether more follows in the same transaction, if there is one.
        """
        alias, whole = self.connection.alias, self.runner.whole
        steps = plan.migrations
        if not plan.fake:
            self.runner.prepare(steps)
            self.check_as_shown(plan)
            if whole is not None:
                # Stored code is loaded by now.
                check_atomic(self.connection, [migration for migration, _ in steps])
        self.begins()
        state = compat.project_state(self.executor, with_applied_migrations=True)
        emit_pre_migrate_signal(verbosity, interactive, alias, stdout=stdout, apps=state.apps, plan=steps)
        state = self.executor.migrate([], plan=steps, state=state.clone(), fake=plan.fake)
        state.clear_delayed_apps_cache()
        _render_real_models(state.apps)
        send = partial(
            emit_post_migrate_signal,
            verbosity,
            interactive,
            alias,
            stdout=stdout,
            apps=state.apps,
            plan=steps,
        )
        if whole is None or goes_on:
            send()
        else:
            whole.afterwards(send)


def _may_differ(status: Status) -> bool:
    verified = status.verified
    is_unknown = verified is None or bool(verified.problem)
    return status.has_other_text and (is_unknown or "operations" in status.differs)


def _render_real_models(state_apps: Any) -> None:
    """Render models of apps without migrations again, now with their relationships."""
    with state_apps.bulk_update():
        keys = [(state.app_label, state.name_lower) for state in state_apps.real_models]
        for key in keys:
            state_apps.unregister_model(*key)
    state_apps.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in keys])
