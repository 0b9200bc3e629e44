"""The hooks are in force on this Django, and come off again."""

from __future__ import annotations

import functools
import inspect

import pytest
from django.core.management.commands import migrate as migrate_command
from django.db import connection
from django.db.migrations import executor as django_executor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from django_rewind.engine import hooks
from django_rewind.engine.journal import Journal
from django_rewind.engine.loader import RewindLoader
from django_rewind.engine.recorder import RewindRecorder
from django_rewind.engine.runner import Runner
from django_rewind.utils.types import key_of
from tests.support.fixtures import applied, columns, migrate
from tests.support.helpers import create, remove

METHODS = ["__init__", "migration_plan", "migrate", "apply_migration", "unapply_migration"]


@pytest.fixture
def bare(monkeypatch):
    """Django's executor as Django ships it; the hooks are back afterwards."""
    # What a test patches is taken back before, not after, the hooks are put on again.
    hooks.uninstall()
    yield
    monkeypatch.undo()
    hooks.uninstall()
    hooks.install()
    hooks.bind()


def what_is_bound() -> list[object]:
    names = ["MigrationLoader", "MigrationRecorder"]
    return [
        *(getattr(django_executor, name) for name in names),
        *(vars(MigrationExecutor)[m] for m in METHODS),
    ]


def test_they_are_in_force():
    """Installing the app is all it takes."""
    assert hooks.is_installed()


def test_installing_twice_is_installing_once():
    """`ready()` may be called again in one process."""
    hooks.bind()
    before = what_is_bound()
    hooks.install()
    hooks.bind()
    assert what_is_bound() == before


def test_uninstalling_leaves_django_as_it_ships(bare):
    """Its own classes, and its own functions."""
    assert django_executor.MigrationLoader is MigrationLoader
    assert django_executor.MigrationRecorder is MigrationRecorder
    for name in METHODS:
        assert vars(MigrationExecutor)[name].__code__.co_filename == django_executor.__file__
    assert not hooks.is_installed()


def test_uninstalling_twice_is_uninstalling_once(bare):
    """There is nothing more to take off."""
    before = what_is_bound()
    hooks.uninstall()
    assert what_is_bound() == before


def test_off_and_on_again_is_in_force(bare):
    """As a test does it that overrides the setting."""
    hooks.install()
    assert hooks.is_installed()


@pytest.mark.parametrize("name", ["MigrationLoader", "MigrationRecorder"])
def test_the_class_that_another_package_bound_stays_in_force(bare, monkeypatch, name):
    """Ours is built on it, and it is back when ours comes off."""
    theirs = type("Theirs", (getattr(django_executor, name),), {})
    monkeypatch.setattr(django_executor, name, theirs)
    hooks.install()
    hooks.bind()
    bound = getattr(django_executor, name)
    assert issubclass(bound, theirs)
    assert issubclass(bound, (RewindLoader, RewindRecorder))
    hooks.uninstall()
    assert getattr(django_executor, name) is theirs


def test_a_class_that_another_package_built_on_ours_is_enough(bare, monkeypatch):
    """It is not built upon once more."""
    hooks.install()
    hooks.bind()
    theirs = type("Theirs", (django_executor.MigrationLoader,), {})
    monkeypatch.setattr(django_executor, "MigrationLoader", theirs)
    hooks.bind()
    assert django_executor.MigrationLoader is theirs


@pytest.mark.django_db
def test_a_class_that_is_bound_after_us_stays_in_force(bare, monkeypatch):
    """By an app that comes later in `INSTALLED_APPS`: the first executor builds on it."""
    hooks.install()
    theirs = type("Theirs", (MigrationLoader,), {})
    monkeypatch.setattr(django_executor, "MigrationLoader", theirs)
    assert isinstance(MigrationExecutor(connection).loader, RewindLoader)
    assert isinstance(MigrationExecutor(connection).loader, theirs)


@pytest.mark.django_db
def test_every_executor_is_reached():
    """Also a subclass, and one that was made before we came."""

    class Theirs(MigrationExecutor):
        pass

    executor = Theirs(connection)
    assert isinstance(executor.loader, RewindLoader)
    assert isinstance(executor.recorder, RewindRecorder)
    assert isinstance(hooks.runner_of(executor), Runner)
    assert hooks.runner_of(executor) is hooks.runner_of(executor)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_an_executor_that_trims_its_plan_sees_what_it_decides_by(app, monkeypatch):
    """Operations, and what a migration says of itself, also where the file is gone; `--plan` executes nothing."""

    class Theirs(MigrationExecutor):
        def migration_plan(self, targets, clean_start=False):
            plan = super().migration_plan(targets, clean_start=clean_start)
            if clean_start:
                return plan
            seen.append([(type(one.operations[0]).__name__, getattr(one, "stage", "")) for one, _ in plan])
            return plan[:1]

    seen: list[object] = []
    app.migration("0001_initial", create("Product", price="IntegerField(null=True)"))
    app.migration("0002_price", remove("product", "price"), after="0001_initial", stage="late")
    migrate("shop")
    app.delete("0002_price")
    monkeypatch.setattr(migrate_command, "MigrationExecutor", Theirs)

    migrate("shop", "zero", plan=True)
    migrate("shop", "zero")

    shown, done = seen
    assert shown == [("StoredOperation", ""), ("CreateModel", "")]
    assert done == [("RemoveField", "late"), ("CreateModel", "")]
    assert applied("shop") == ["0001_initial"]
    assert columns("shop_product") == {"id", "price"}


def test_other_users_of_the_loader_see_djangos():
    """`makemigrations` and the rest describe the disk."""
    from django.core.management.commands import makemigrations
    from django.db.migrations import loader

    assert makemigrations.MigrationLoader is loader.MigrationLoader is MigrationLoader
    assert not issubclass(MigrationLoader, RewindLoader)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "method, call",
    [
        ("planned", lambda executor: executor.migration_plan([("auth", None)])),
        ("ordered", lambda executor: executor.migration_plan([("auth", "0001_initial")], clean_start=True)),
        ("begin", lambda executor: executor.migrate([])),
        ("end", lambda executor: executor.migrate([])),
    ],
)
def test_each_hook_is_called(monkeypatch, method, call):
    """By the executor of this Django, whatever it calls its own steps."""
    called = []
    original = getattr(Runner, method)

    def listening(self, *args, **kwargs):
        called.append(method)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Runner, method, listening)
    call(MigrationExecutor(connection))
    assert called == [method]


@pytest.mark.django_db
@pytest.mark.parametrize("method, backwards", [("apply_migration", False), ("unapply_migration", True)])
def test_each_step_goes_through_the_journal(monkeypatch, method, backwards):
    """By the executor of this Django, as it records the step."""
    executor = MigrationExecutor(connection)
    steps = []
    original = Journal.step

    def listening(self, migration, **kwargs):
        steps.append((key_of(migration), kwargs["backwards"], kwargs["fake"]))
        return original(self, migration, **kwargs)

    monkeypatch.setattr(Journal, "step", listening)
    getattr(executor, method)(None, executor.loader.graph.nodes[KEY], fake=True)
    assert steps == [(KEY, backwards, True)]


KEY = ("auth", "0001_initial")


@pytest.mark.parametrize(
    "method, signature",
    [
        ("__init__", "(self, connection, progress_callback=None)"),
        ("migration_plan", "(self, targets, clean_start=False)"),
        ("migrate", "(self, targets, plan=None, state=None, fake=False, fake_initial=False)"),
        ("apply_migration", "(self, state, migration, fake=False, fake_initial=False)"),
        ("unapply_migration", "(self, state, migration, fake=False)"),
    ],
)
def test_what_we_wrap_has_the_signature_that_we_think(bare, method, signature):
    """On this Django, and the wrapper hands through the same."""
    assert str(inspect.signature(vars(MigrationExecutor)[method])) == signature
    hooks.install()
    assert str(inspect.signature(vars(MigrationExecutor)[method])) == signature


@pytest.mark.parametrize(
    "cls, method, signature",
    [
        (MigrationRecorder, "record_applied", "(self, app, name)"),
        (MigrationRecorder, "record_unapplied", "(self, app, name)"),
        (MigrationLoader, "build_graph", "(self)"),
        (MigrationLoader, "load_disk", "(self)"),
        (MigrationLoader, "detect_conflicts", "(self)"),
        (MigrationLoader, "get_migration_by_prefix", "(self, app_label, name_prefix)"),
        (MigrationLoader, "project_state", "(self, nodes=None, at_end=True)"),
    ],
)
def test_what_we_override_has_the_signature_that_we_think(cls, method, signature):
    """On this Django."""
    assert str(inspect.signature(getattr(cls, method))) == signature


def test_the_setting_takes_the_hooks_off_and_puts_them_on():
    """`override_settings` is followed, and Django's classes are untouched meanwhile."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        assert not hooks.is_installed()
        assert django_executor.MigrationLoader is MigrationLoader
        assert vars(MigrationExecutor)["migrate"].__code__.co_filename == django_executor.__file__
    assert hooks.is_installed()


@pytest.mark.django_db
def test_an_executor_from_before_the_switch_does_as_django_does(settings):
    """It still works when we are off."""
    executor = MigrationExecutor(connection)
    with override_settings(DJANGO_REWIND_ENABLED=False):
        assert executor.migration_plan([KEY]) != []
        assert "_rewind_runner" not in vars(executor)


@pytest.mark.django_db
def test_an_executor_from_before_the_switch_on_does_as_django_does():
    """Its loader is Django's, so that nothing of ours can stand beside it."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        executor = MigrationExecutor(connection)
    assert executor.migration_plan([KEY]) != []
    assert "_rewind_runner" not in vars(executor)


@pytest.mark.django_db
def test_without_the_app_installed_the_hooks_are_quiet(settings):
    """Test suites switch installed apps off within one process."""
    rest = [app for app in settings.INSTALLED_APPS if app != "django_rewind"]
    with override_settings(INSTALLED_APPS=rest):
        executor = MigrationExecutor(connection)
        executor.migration_plan([KEY])
        assert "_rewind_runner" not in vars(executor)


def test_uninstalling_leaves_a_class_that_another_package_built_on_ours(monkeypatch):
    """`uninstall` puts back what was there wherever nobody has hooked in after us."""
    hooks.bind()
    theirs = type("Theirs", (django_executor.MigrationLoader,), {})
    with monkeypatch.context() as patch:
        patch.setattr(django_executor, "MigrationLoader", theirs)
        hooks.uninstall()
        assert django_executor.MigrationLoader is theirs
    hooks.install()


def test_uninstalling_leaves_a_wrapper_that_another_package_put_around_ours(monkeypatch):
    """Also if it was made with `functools.wraps`, which copies our mark."""
    ours = vars(MigrationExecutor)["migrate"]

    @functools.wraps(ours)
    def theirs(*args, **kwargs):
        return ours(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MigrationExecutor, "migrate", theirs)
        hooks.uninstall()
        assert vars(MigrationExecutor)["migrate"] is theirs
    hooks.install()
