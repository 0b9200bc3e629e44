"""What stands beside an executor of Django's: it plans, checks and runs what involves stored code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from .. import conf
from ..exceptions import RewindError, TablesNotComplete
from ..schema.graph import children_in, closure, parents_in
from ..utils.causes import root_cause
from ..utils.printable import why
from ..utils.types import APP_LABEL, Key, Steps, Target, key_of, label
from .handover import Outcome, forget_outcome, hand_over
from .loader import RewindLoader
from .messages import Messages

if TYPE_CHECKING:
    # Most runs have nothing to do: what a step takes is executed by those that have one.
    from .journal import Journal
    from .plan import Plan
    from .progress import Progress
    from .transactions import Whole


class Runner:
    """
    The part of one executor that knows of stored code.

    Django plans, builds states, and runs. The runner orders what Django planned, sees
    to it that the states know the applied versions, and refuses to start what could not
    be finished. With nothing missing and nothing modified in play it hands back what
    Django handed in.

    Args:
        executor: Django's.
        migration_plan: its method as Django has it, which takes targets and `clean_start`.
    """

    def __init__(self, executor: Any, migration_plan: Callable[..., Steps]) -> None:
        self.executor = executor
        self.connection = executor.connection
        self.messages = Messages(executor)
        self._migration_plan = migration_plan
        # Whether it is `rewind` that runs: then every step is announced.
        self.is_rewind = False
        # Modified migrations that are to be unapplied by their files for once.
        self.by_file: frozenset[Key] = frozenset()
        # The transaction around everything, where there is one.
        self.whole: Whole | None = None
        self.plan: Plan | None = None
        self._journal: Journal | None = None
        self._has_begun = False
        # Whether none of our own migrations has anything to make.
        self._takes_up = False
        # Whether our own migrations have nothing to reverse.
        self._takes_down = False

    @property
    def loader(self) -> RewindLoader:
        loader: RewindLoader = self.executor.loader
        return loader

    # Planning ---------------------------------------------------------------

    def planned(self, targets: Sequence[Target], steps: Steps) -> Steps:
        """
        Take up a plan of Django's and return it in the order in which it has to run.

        This is where `--plan` and `--check` stop. Nothing stored is executed here, but
        for a run of which somebody else decides by its operations.
        """
        self.plan = None
        self._refuse_what_cannot_be_known(targets, steps)
        problem: RewindError | None = None
        if self.loader.has_missing:
            skipped = self.loader.skipped
            steps = [step for step in steps if not (step[1] and key_of(step[0]) in skipped)]
            from .preflight import what_is_in_the_way

            undone = [key_of(migration) for migration, backwards in steps if backwards]
            problem = what_is_in_the_way(self.loader, self.loader.snapshot, targets, undone)
            if problem is not None and not steps:
                raise problem
        if not steps:
            return steps
        from .planner import survey

        self.plan = survey(self.loader, steps, self.messages.warn, self.by_file)
        obstacle = self.plan.obstacle = problem or self.plan.obstacle
        self.plan.problem = obstacle or self._pruned_original(steps)
        if obstacle is not None and self.messages.is_question and not self.is_rewind:
            # What is shown could not be run.
            self.messages.warn(f"{obstacle.problem} {obstacle.next_step}")
        if self.plan.stored_steps and self._is_looked_through():
            for migration in self.plan.stored_steps:
                migration.load()
        return self.plan.migrations

    def _pruned_original(self, steps: Steps, *, fake_initial: bool = False) -> RewindError | None:
        """Return the error for applying once more what is applied, and has lost its record to a squash."""
        if not self.loader.has_missing:
            return None
        from .preflight import pruned_original

        applied = (migration for migration, backwards in steps if not backwards)
        # An initial migration may turn out to be there already; Django will look.
        keys = (key_of(migration) for migration in applied if not (fake_initial and migration.initial))
        return pruned_original(self.loader, self.loader.snapshot, keys)

    def _refuse_what_cannot_be_known(self, targets: Sequence[Target], steps: Steps) -> None:
        """
        Refuse to go back past what is missing as long as django-rewind's tables are not complete.

        Django would skip it without a word.
        """
        undone = {migration.app_label for migration, backwards in steps if backwards}
        if not steps:
            undone = {app_label for app_label, name in targets if (app_label, name) in self.loader.asked}
        undone.discard(APP_LABEL)
        if undone and self._is_blind:
            snapshot = self.loader.snapshot_without_store()
            missing = [key for key in snapshot.absent if steps or key[0] in undone]
            if missing:
                raise TablesNotComplete(missing)

    @property
    def _is_blind(self) -> bool:
        """Whether something may be missing, and django-rewind's tables are not complete enough to tell."""
        if self.loader.store_is_ready or not self.loader.snapshot_without_store().may_lack_something:
            return False
        from ..storage.store import Store

        return Store(self.connection).exists()

    def own_steps_ahead(self, steps: Steps) -> Steps:
        """
        Return the steps of django-rewind's own that have to run before the others can be planned.

        So it is after an upgrade of the package, where something is missing: until then nobody knows of it,
        and SQLite would make a table anew without its columns.
        """
        own = [step for step in steps if step[0].app_label == APP_LABEL]
        is_mixed = 0 < len(own) < len(steps) and not steps[0][1]
        return own if is_mixed and self._is_blind else []

    def planned_anew(self, targets: Sequence[Target], steps: Steps) -> Steps:
        """Plan what is left of a plan once django-rewind's own steps have run."""
        from .lock import left_of

        self.loader.build_graph()
        return self.planned(targets, left_of(self.loader, steps))

    def _is_looked_through(self) -> bool:
        """
        Say whether another package's executor looks at the steps before it hands them on to be run.

        What is not loaded would be taken for what it is not, and be trimmed by that.
        """
        is_overridden = type(self.executor).migration_plan is not MigrationExecutor.migration_plan
        return is_overridden and not self.messages.is_question

    # States -----------------------------------------------------------------

    def ordered(self, full_plan: Steps) -> Steps:
        """
        Return the plan that states are built along.

        Before a run begins, what stands in its way is kept for `begin`: until then
        nobody knows whether the run is a fake one.
        """
        plan = self.plan
        if plan is None or not plan.needs_states_of_its_own:
            return self._without_recovered(full_plan)
        self._prepare(plan, full_plan)
        if plan.order is None:
            return self._without_recovered(full_plan, all_of_them=True)
        order = plan.order if self._has_begun else plan.order_to_show or plan.order
        return [(migration, False) for migration in order]

    def _prepare(self, plan: Plan, full_plan: Steps | None = None) -> None:
        """Load, order and simulate a plan, unless that is done, and keep what stands in its way."""
        if plan.order is not None or plan.problem is not None or not plan.needs_states_of_its_own:
            return
        from .planner import Preparation

        if full_plan is None:
            full_plan = self.full_plan()
        try:
            plan.order = Preparation(self.executor, plan, self.messages.warn).order(full_plan)
        except RewindError as error:
            plan.problem = error

    def full_plan(self) -> Steps:
        """Return Django's plan for an empty database, with the recovered migrations in it."""
        return self._migration_plan(self.loader.graph.leaf_nodes(), clean_start=True)

    def _without_recovered(self, full_plan: Steps, *, all_of_them: bool = False) -> Steps:
        """
        Leave out recovered nodes and, when all of them have to go, their descendants.

        One that a file depends on has to stay: its file was deleted from the middle
        of the chain, and no state can be built without it.
        """
        recovered = set(self.loader.recovered)
        if not recovered:
            return full_plan
        if all_of_them:
            gone = closure(recovered, children_in(self.loader.graph))
        else:
            files: set[Key] = set(self.loader.graph.nodes) - recovered
            needed = closure(files, parents_in(self.loader.graph))
            gone = recovered - needed
        return [(migration, backwards) for migration, backwards in full_plan if key_of(migration) not in gone]

    # Running ----------------------------------------------------------------

    def prepare(self, steps: Steps) -> list[Migration]:
        """
        Load, order and simulate a plan ahead of its run.

        Returns:
            everything, in the order in which states are built.
        """
        if self.plan is None or self.plan.migrations != steps:
            self.planned([], steps)
        if self.plan is not None:
            self._prepare(self.plan)
            self._raise_problem(self.plan)
            if self.plan.order is not None:
                return self.plan.order
        order = [migration for migration, _ in self._without_recovered(self.full_plan())]
        if self.plan is not None and self.plan.is_backwards:
            from .planner import check_rows_of_files

            check_rows_of_files(self.executor, order, self.plan.unapplied)
        return order

    def _raise_problem(self, plan: Plan) -> None:
        if plan.problem is not None:
            self.forget_stored_code()
            raise plan.problem

    @contextmanager
    def turn(self, targets: Sequence[Target], steps: Steps, state: Any) -> Iterator[tuple[Steps, Any]]:
        """
        Have a run wait for its turn, if the settings say so.

        Returns:
            what is left of the plan by then, and the state for it.
        """
        if not conf.locks_migrate():
            yield steps, state
            return
        from .lock import Turn

        turn = Turn(self.connection, steps, self.messages.say)
        with turn:
            with self.noting_refusals():
                if turn.is_late(self.loader):
                    self.forget_stored_code()
                    steps, state = self.planned(targets, turn.catch_up(self.loader, steps)), None
            yield steps, state

    def begin(self, steps: Steps, *, fake: bool, fake_initial: bool) -> Steps:
        """Check, before the first statement, what can be known before it."""
        forget_outcome(self.connection)
        self.executor.recorder.begin(self.loader.applied_migrations)
        self._journal = None
        if self.plan is None or self.plan.keys != [key_of(migration) for migration, _ in steps]:
            # Another package has trimmed the plan, or made its own.
            self.planned([], steps)
        self._has_begun = True
        plan = self.plan
        if plan is None:
            return steps
        self._has_begun = False
        plan.fake, plan.fake_initial = fake, fake_initial
        if fake or fake_initial:
            # Prepared before anybody knew that; more is allowed now.
            plan.problem, plan.order, plan.order_to_show = None, None, None
            if not fake:
                plan.problem = plan.obstacle or self._pruned_original(plan.migrations, fake_initial=True)
        self._prepare(plan)
        self._raise_problem(plan)
        for migration in (*plan.recovered.values(), *plan.applied_versions.values()):
            if migration.is_loaded:
                as_of_then = ", as it was evaluated then" if migration.is_as_evaluated else ""
                self.messages.say(f"  Loading {label(migration.key)} from stored code{as_of_then}")
        self._has_begun = True
        return plan.migrations

    @property
    def _way_back(self) -> Plan | None:
        """The plan, if it goes back with stored code in play."""
        plan = self.plan
        return plan if plan is not None and plan.is_backwards and plan.involves_stored_code else None

    def refuse_without_states(self, error: BaseException) -> None:
        """Say by name what Django has stumbled over while it built its states, before the first step."""
        plan = self._way_back
        if plan is None or plan.fake:
            return
        has_begun = self.progress is not None or bool(self.executor.recorder.changes)
        if isinstance(error, Exception) and not isinstance(error, RewindError) and not has_begun:
            from .planner import Preparation

            Preparation(self.executor, plan, self.messages.warn).refuse_without_states()

    def say_how_far(self, error: BaseException) -> None:
        """Say what is undone and what is not, when Django's own `migrate` stops with stored code in play."""
        plan = self._way_back
        if plan is None or self.is_rewind:
            return
        from .progress import how_far_back

        cause = root_cause(error)
        if cause is not error:
            self.messages.warn(f"What has stopped it is {why(cause)}")
        changes = self.executor.recorder.changes
        how_far = how_far_back(self.connection, plan.migrations, changes, self.progress, fake=plan.fake)
        lines = [*how_far.lines, *([_THE_SAME_AGAIN] if how_far.not_undone else [])]
        if how_far.by_hand and not isinstance(cause, KeyboardInterrupt):
            lines.append(how_far.by_hand)
        for line in lines:
            self.messages.warn(line)

    def say_what_is_missing(self) -> None:
        """Say what has no file here at the end of a run that is not a rollback of just that."""
        if not self.loader.has_missing or self.is_rewind or not self.messages.says_what_is_missing:
            return
        from .missing import missing_in_words

        line = missing_in_words(self.loader, self.executor.recorder.changes)
        if line:
            self.messages.say(line)

    def end(self) -> None:
        """Leave what this run knows to the `reconcile` that follows it."""
        self._has_begun = False
        # A squashed migration that counts as applied stands there itself, without a record.
        applied = {key: getattr(of, "pk", 0) for key, of in self.loader.applied_migrations.items()}
        changes = self.executor.recorder.changes
        for key, is_applied in changes.items():
            if is_applied:
                applied[key] = 0
            else:
                applied.pop(key, None)
        recorded = [key for key, is_applied in changes.items() if is_applied]
        outcome = Outcome(applied, self.loader.disk_migrations, recorded, self.messages.say)
        hand_over(self.connection, outcome)
        self.forget_stored_code()

    def forget_stored_code(self) -> None:
        """Throw away what was executed of stored code, and the plan with it."""
        if self.plan is not None:
            for migration in (*self.plan.recovered.values(), *self.plan.applied_versions.values()):
                migration.unload()
        self.loader.close_importer()
        self.plan = None

    @contextmanager
    def noting_refusals(self, *, of_a_run: bool = True) -> Iterator[None]:
        """
        Have the audit log say of a run that it was refused, once, and the error which database it is about.

        Args:
            of_a_run: whether it is known that what is planned will run; else the command says so.
        """
        try:
            yield
        except RewindError as error:
            from ..utils.advice import name_database
            from .journal import note_refusal

            name_database(error, self.connection.alias)
            if of_a_run or not self.messages.is_question:
                note_refusal(self.connection, error)
            raise

    # Steps ------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        """The journal of this run; for steps that are called by themselves, a new one each."""
        if self._journal is None or not self._has_begun:
            from .journal import Journal

            self._journal = Journal(
                self.executor, self.messages, self.plan, is_rewind=self.is_rewind, whole=self.whole
            )
        return self._journal

    @property
    def progress(self) -> Progress | None:
        """How far the step has come that is under way, or in which the run has stopped."""
        return self._journal.progress if self._journal else None

    def takes_up(self, migration: Migration, *, fake: bool) -> bool:
        """
        Say of one of our own whether what it makes is there, and only its record is not: that is made again.

        So it is with all of them when a test has dropped the tables of managed models, which ours
        are not, and emptied the one of records. With some of them it is where their records were deleted,
        if no run that died can have left a part of one.
        """
        if fake or migration.app_label != APP_LABEL:
            return False
        from ..storage.store import Store

        store = Store(self.connection)
        known = (*self.loader.applied_migrations, *self.executor.recorder.changes)
        if not any(app_label == APP_LABEL for app_label, _ in known):
            self._takes_up = store.is_complete
        if self._takes_up or not store.backend.rolls_back(migration):
            return self._takes_up
        # What one makes is there: then so is what those before it did, and a table that is altered once more
        # has the columns that were added since.
        since = (key for key in self.loader.files if key[0] == APP_LABEL and key[1] >= migration.name)
        return any(made and store.has(made) for made in map(self._made_by_own, since))

    def _made_by_own(self, key: Key) -> list[tuple[str, list[str]]]:
        from ..schema.effects import effects_of

        return [
            (effect["model"], effect.get("fields") or [effect["field"]])
            for effect in effects_of(self.loader.files[key])
            if effect["effect"] in ("create_model", "add_field")
        ]

    def takes_down(self, migration: Migration, *, fake: bool) -> bool:
        """
        Say of one of our own, on the way to zero, whether somebody has taken tables of ours away by hand.

        Then there is nothing to reverse: the records go, and with the last one what is left of our tables.
        """
        if fake or migration.app_label != APP_LABEL or self.plan is None:
            return False
        from ..storage.store import Store

        store, own = Store(self.connection), [key for key in self.plan.keys if key[0] == APP_LABEL]
        if key_of(migration) == own[0]:
            is_whole = own[-1][1] == "0001_initial" and own[0] in self.loader.graph.leaf_nodes(APP_LABEL)
            self._takes_down = is_whole and not store.is_complete
        if self._takes_down and key_of(migration) == own[-1]:
            store.drop()
        return self._takes_down


_THE_SAME_AGAIN = "When what stopped it is mended, the same command goes on from there."
