"""
Every place where Django is hooked, with its reason.

Read against `django/db/migrations/executor.py` of Django 3.2, 4.2, 5.0, 5.1, 5.2,
6.0 and 6.1. A signal observes too late or too little: a plan is trimmed after
`pre_migrate` by some packages, and executors that are driven from code send none.
Overriding `migrate` would be one override among several, of which one wins.

Each wrapper hands its arguments through and does nothing while we are switched
off; `install` may be called twice and `uninstall` puts back what was there.

Most processes in which we are installed make no executor. What they would never use is
imported by the first executor: until then nothing but Django's executor is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.migrations import executor as django_executor
from django.db.migrations.executor import MigrationExecutor

from .. import conf

if TYPE_CHECKING:
    from .runner import Runner

_MARK = "_django_rewind_wraps"

# What `install` has put where, to be recognised by `uninstall`: a mark on a class is
# inherited, and one on a function is copied by functools.wraps.
_ours: dict[str, Any] = {}


def install() -> None:
    """Hook into Django's executor. It does nothing where that is done already."""
    for name, wrap in _WRAPPED.items():
        wrapped: Any = MigrationExecutor.__dict__[name]
        if not hasattr(wrapped, _MARK):
            _ours[name] = wrap(wrapped)
            setattr(MigrationExecutor, name, _ours[name])


def bind() -> None:
    """
    Bind our loader and our recorder, built on whatever is bound there.

    `MigrationExecutor.__init__` looks them up in its own module: a subclass bound there
    reaches every executor, and no other user of the loader.
    """
    for name, ours in _bound().items():
        bound = getattr(django_executor, name)
        if not issubclass(bound, ours):
            # Another package's stays in force.
            _ours[name] = type(ours.__name__, (ours, bound), {_MARK: bound, "__module__": ours.__module__})
            setattr(django_executor, name, _ours[name])


def _bound() -> dict[str, type]:
    from .loader import RewindLoader
    from .recorder import RewindRecorder

    return {"MigrationLoader": RewindLoader, "MigrationRecorder": RewindRecorder}


def uninstall() -> None:
    """
    Put back what `install` found, wherever nobody has hooked in after us.

    Where somebody has, ours stays underneath and does nothing while switched off.
    """
    for name, ours in [*_ours.items()]:
        place = django_executor if isinstance(ours, type) else MigrationExecutor
        if vars(place)[name] is ours:
            setattr(place, name, getattr(_ours.pop(name), _MARK))


def is_installed() -> bool:
    """Say whether every hook is in force, at the latest for the next executor."""
    return all(hasattr(MigrationExecutor.__dict__[name], _MARK) for name in _WRAPPED)


def _binding_first(original: Any) -> Callable[..., None]:
    """What a package has bound since we were installed is there by now, and built upon."""

    @functools.wraps(original)
    def wrapped(executor: Any, *args: Any, **kwargs: Any) -> None:
        if conf.enabled():
            bind()
        original(executor, *args, **kwargs)
        if hasattr(executor.recorder, "loader"):
            # It is asked for records outside of any run as well: by `migrate --prune`.
            executor.recorder.loader = executor.loader

    setattr(wrapped, _MARK, original)
    return wrapped


def _handing_to(wrapper: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
    def wrap(original: Any) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapped(executor: Any, *args: Any, **kwargs: Any) -> Any:
            call = functools.partial(original, executor)
            if not conf.in_force() or not isinstance(executor.loader, _bound()["MigrationLoader"]):
                return call(*args, **kwargs)
            return wrapper(runner_of(executor), call, *args, **kwargs)

        setattr(wrapped, _MARK, original)
        return wrapped

    return wrap


def make_executor(connection: Any, progress: Callable[..., None] | None = None) -> Any:
    """Return an executor of Django's for a database, with everything that is hooked into it."""
    return MigrationExecutor(connection, progress)


def runner_of(executor: Any) -> Runner:
    """Return the runner that stands beside this executor, for as long as it lives."""
    from .runner import Runner

    if "_rewind_runner" not in executor.__dict__:
        unhooked = getattr(_ours["migration_plan"], _MARK)
        executor._rewind_runner = Runner(executor, functools.partial(unhooked, executor))
    runner: Runner = executor._rewind_runner
    return runner


def _migration_plan(runner: Runner, call: Callable[..., Any], targets: Any, clean_start: bool = False) -> Any:
    """Order and states hang on this: both plans of a run come from here."""
    plan = call(targets, clean_start=clean_start)
    if clean_start:
        return runner.ordered(plan)
    with runner.noting_refusals(of_a_run=False):
        return runner.planned(targets, plan)


def _migrate(
    runner: Runner,
    call: Callable[..., Any],
    targets: Any,
    plan: Any = None,
    state: Any = None,
    fake: bool = False,
    fake_initial: bool = False,
) -> Any:
    """The only place that every run passes before its first statement."""
    if plan is None:
        with runner.noting_refusals():
            plan = runner.executor.migration_plan(targets)
    own = [] if fake else runner.own_steps_ahead(plan)
    if own:
        _migrate(runner, call, [], own, state)
        with runner.noting_refusals():
            plan, state = runner.planned_anew(targets, plan), None
    with runner.turn(targets, plan, state) as (plan, state):
        with runner.noting_refusals():
            plan = runner.begin(plan, fake=fake, fake_initial=fake_initial)
        try:
            with runner.executor.recorder.running():
                state = call(targets, plan=plan, state=state, fake=fake, fake_initial=fake_initial)
            runner.say_what_is_missing()
            return state
        except BaseException as error:
            with runner.noting_refusals():
                runner.refuse_without_states(error)
            runner.say_how_far(error)
            raise
        finally:
            runner.end()


def _apply_migration(
    runner: Runner,
    call: Callable[..., Any],
    state: Any,
    migration: Any,
    fake: bool = False,
    fake_initial: bool = False,
) -> Any:
    """The first step of a run is where its sources have to be stored; what our own would make may be there."""
    takes_up = runner.takes_up(migration, fake=fake)
    fake = fake or takes_up
    with runner.journal.step(migration, backwards=False, fake=fake, fake_initial=fake_initial):
        after = call(state, migration, fake=fake, fake_initial=fake_initial)
    return migration.mutate_state(after) if takes_up else after


def _unapply_migration(
    runner: Runner, call: Callable[..., Any], state: Any, migration: Any, fake: bool = False
) -> Any:
    """Django deletes the record after the schema's transaction; what our own have made may be gone already."""
    fake = fake or runner.takes_down(migration, fake=fake)
    with runner.journal.step(migration, backwards=True, fake=fake):
        return call(state, migration, fake=fake)


_WRAPPED: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "__init__": _binding_first,
    "migration_plan": _handing_to(_migration_plan),
    "migrate": _handing_to(_migrate),
    "apply_migration": _handing_to(_apply_migration),
    "unapply_migration": _handing_to(_unapply_migration),
}
