"""The turn of one run of `migrate`: alone on its database, with what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate

from .. import conf
from ..exceptions import PlanOutdated
from ..schema.graph import children_in, parents_in
from ..utils.types import Key, Steps, Target, key_of
from .lock import Lock

if TYPE_CHECKING:
    from .runner import Runner

# By alias, the plan of which `pre_migrate` has told: its command sends `post_migrate` too.
_announced: dict[str, Any] = {}
# By alias, the turns that last until the receivers of `post_migrate` have run.
_lasting: dict[str, Turn] = {}


def announce(alias: str, plan: Any) -> None:
    """Take note that a command is about to run a plan, and to send `post_migrate` after it."""
    _announced[alias] = plan


class Turn:
    """
    Wait for the turn of a run, take out of its plan what others have done, and end it.

    The executor has read what is applied before the lock was ours, so it is read
    again. Where a command runs, its receivers of `post_migrate` belong to the turn:
    two processes that make content types at once get into each other's way.
    """

    def __init__(self, runner: Runner, plan: Any) -> None:
        self.runner = runner
        self.plan = plan
        self.alias: str = runner.connection.alias
        self.lock = Lock(runner.connection, self._say, conf.lock_migrate_timeout())

    def _say(self, line: str) -> None:
        # Among the lines of `migrate`.
        self.runner.messages.say(f"  {line}")

    def __enter__(self) -> None:
        # A command that failed after its run, in this process, has never ended its turn.
        _end(self.alias)
        self.lock.take()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        is_of_a_command = _announced.pop(self.alias, None) is self.plan
        # Where it was held before, whoever holds it does so for longer.
        if kind is None and is_of_a_command and not self.lock.was_held:
            _lasting[self.alias] = self
            post_migrate.connect(_end_after_the_last, dispatch_uid="django_rewind.turn")
        else:
            self.lock.release()

    # Catching up ------------------------------------------------------------

    def caught_up(self, targets: Sequence[Target], plan: Steps, state: Any) -> tuple[Steps, Any]:
        """
        Return what is left of a plan, and the state for it: None has Django build it anew.

        The plan itself is shortened, too: it is what `post_migrate` tells of.

        Raises:
            PlanOutdated: what is left does not fit what is applied now.
            RewindError: as when it was planned first.
        """
        if self.lock.was_held or not self._has_changed():
            return plan, state
        self.runner.forget_stored_code()
        self._read_again(plan)
        left = self._left(plan)
        if plan and not left:
            self._say_who_did_it(plan)
        if isinstance(plan, list):
            plan[:] = left
        return self.runner.planned(targets, left), None

    def _has_changed(self) -> bool:
        """Compare records; squashed migrations that count as applied stand there themselves."""
        loader = self.runner.loader
        seen: dict[Key, Any] = dict(loader.applied_migrations)
        beside = {*loader.replacements, *(key for key, of in seen.items() if isinstance(of, Migration))}
        now = MigrationRecorder(self.runner.connection).applied_migrations()
        return _ids(seen, beside) != _ids(now, beside)

    def _read_again(self, plan: Steps) -> None:
        """Build the graph of now, with the migrations of the plan: others have added operations to them."""
        loader: Any = self.runner.loader
        loader.build_graph()
        for migration, _ in plan:
            key = key_of(migration)
            if type(loader.graph.nodes.get(key)) is type(migration) and key not in loader.recovered:
                loader.graph.nodes[key] = loader.disk_migrations[key] = migration

    def _left(self, plan: Steps) -> Steps:
        graph: Any = self.runner.loader.graph
        applied = self.runner.loader.applied_migrations
        keys = [(key_of(one), backwards) for one, backwards in plan if (key_of(one) in applied) is backwards]
        left = {key for key, _ in keys}
        parents, children = parents_in(graph), children_in(graph)
        for key, backwards in keys:
            if backwards:
                fits = all(child in left for child in children.get(key, ()) if child in applied)
            else:
                fits = all(parent in left or parent in applied for parent in parents.get(key, ()))
            if key not in graph.nodes or not fits:
                raise PlanOutdated(key)
        return [(graph.nodes[key], backwards) for key, backwards in keys]

    def _say_who_did_it(self, plan: Steps) -> None:
        if plan[0][1]:
            self._say("Nothing to unapply: another process has unapplied it.")
        else:
            self._say("No migrations to apply: another process has applied them.")


def _ids(applied: dict[Key, Any], without: set[Key]) -> dict[Key, int]:
    return {key: record.pk for key, record in applied.items() if key not in without}


# Ending -------------------------------------------------------------------------


def _end_after_the_last(*, sender: Any, using: str, **kwargs: Any) -> None:
    """Connected last, so that it is called last for each app."""
    with_models = [config for config in apps.get_app_configs() if config.models_module is not None]
    if sender is with_models[-1]:
        _end(using)


def _end(alias: str) -> None:
    turn = _lasting.pop(alias, None)
    if not _lasting:
        post_migrate.disconnect(dispatch_uid="django_rewind.turn")
    if turn is not None:
        turn.lock.release()
