"""
Every place where Django is hooked, with its reason.

Read against `django/db/migrations/executor.py` of Django 3.2, 4.2, 5.0, 5.1, 5.2,
6.0 and 6.1. A signal observes too late or too little: a plan is trimmed after
`pre_migrate` by some packages, and executors that are driven from code send none.
Overriding `migrate` would be one override among several, of which one wins.

Each wrapper hands its arguments through and does nothing while we are switched
off; `install` may be called twice and `uninstall` puts back what was there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db.migrations import executor as django_executor
from django.db.migrations.executor import MigrationExecutor

from . import conf
from .loader import RewindLoader
from .recorder import RewindRecorder

if TYPE_CHECKING:
    from .executor import Rewinding

__all__ = ["beside", "install", "is_installed", "uninstall"]

_MARK = "_django_rewind_wraps"

# `MigrationExecutor.__init__` looks these up in its own module: a subclass bound
# there reaches every executor, and no other user of the loader.
_BOUND = {"MigrationLoader": RewindLoader, "MigrationRecorder": RewindRecorder}


# What `install` has put where, to be recognised by `uninstall`: a mark on a class is
# inherited, and one on a function is copied by functools.wraps.
_ours: dict[str, Any] = {}


def install() -> None:
    """Hook into Django's executor. It does nothing where that is done already."""
    for name, ours in _BOUND.items():
        bound = getattr(django_executor, name)
        if not issubclass(bound, ours):
            _ours[name] = _built_on(bound, ours)
            setattr(django_executor, name, _ours[name])
    for name, wrapper in _WRAPPERS.items():
        wrapped: Any = MigrationExecutor.__dict__[name]
        if not hasattr(wrapped, _MARK):
            _ours[name] = _wrap(wrapped, wrapper)
            setattr(MigrationExecutor, name, _ours[name])


def uninstall() -> None:
    """
    Put back what `install` found, wherever nobody has hooked in after us.

    Where somebody has, ours stays underneath and does nothing while switched off.
    """
    for name in _BOUND:
        if getattr(django_executor, name) is _ours.get(name):
            setattr(django_executor, name, getattr(_ours.pop(name), _MARK))
    for name in _WRAPPERS:
        if MigrationExecutor.__dict__[name] is _ours.get(name):
            setattr(MigrationExecutor, name, getattr(_ours.pop(name), _MARK))


def is_installed() -> bool:
    """Say whether every hook is in force."""
    bound = (issubclass(getattr(django_executor, name), ours) for name, ours in _BOUND.items())
    wrapped = (hasattr(MigrationExecutor.__dict__[name], _MARK) for name in _WRAPPERS)
    return all(bound) and all(wrapped)


def _built_on(bound: type, ours: type) -> type:
    """Build on whatever class is bound, so that another package's stays in force."""
    return type(ours.__name__, (ours, bound), {_MARK: bound, "__module__": ours.__module__})


def _wrap(original: Any, wrapper: Any) -> Callable[..., Any]:
    @functools.wraps(original)
    def wrapped(executor: Any, *args: Any, **kwargs: Any) -> Any:
        call = functools.partial(original, executor)
        if not conf.in_force() or not isinstance(executor.loader, RewindLoader):
            return call(*args, **kwargs)
        return wrapper(beside(executor), call, *args, **kwargs)

    setattr(wrapped, _MARK, original)
    return wrapped


def beside(executor: Any) -> Rewinding:
    """Return what stands beside this executor, for as long as it lives."""
    # Imported by the first run, not by every process in which we are installed.
    from .executor import Rewinding

    if "_rewinding" not in executor.__dict__:
        executor._rewinding = Rewinding(executor)
    rewinding: Rewinding = executor._rewinding
    return rewinding


def _migration_plan(
    rewinding: Rewinding, call: Callable[..., Any], targets: Any, clean_start: bool = False
) -> Any:
    """Order and states hang on this: both plans of a run come from here."""
    plan = call(targets, clean_start=clean_start)
    return rewinding.ordered(plan) if clean_start else rewinding.planned(targets, plan)


def _migrate(
    rewinding: Rewinding,
    call: Callable[..., Any],
    targets: Any,
    plan: Any = None,
    state: Any = None,
    fake: bool = False,
    fake_initial: bool = False,
) -> Any:
    """The only place that every run passes before its first statement."""
    if plan is None:
        plan = rewinding.executor.migration_plan(targets)
    plan = rewinding.begin(plan, fake=fake, fake_initial=fake_initial)
    try:
        return call(targets, plan=plan, state=state, fake=fake, fake_initial=fake_initial)
    finally:
        rewinding.end()


def _apply_migration(
    rewinding: Rewinding,
    call: Callable[..., Any],
    state: Any,
    migration: Any,
    fake: bool = False,
    fake_initial: bool = False,
) -> Any:
    """The first step of a run is where its sources have to be stored."""
    rewinding.before_apply(migration, fake=fake)
    return call(state, migration, fake=fake, fake_initial=fake_initial)


def _unapply_migration(
    rewinding: Rewinding, call: Callable[..., Any], state: Any, migration: Any, fake: bool = False
) -> Any:
    """Django deletes the record after the schema's transaction."""
    with rewinding.unapplying(migration, fake=fake):
        return call(state, migration, fake=fake)


_WRAPPERS = {
    "migration_plan": _migration_plan,
    "migrate": _migrate,
    "apply_migration": _apply_migration,
    "unapply_migration": _unapply_migration,
}
