"""System checks."""

from __future__ import annotations

import gc
import weakref

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_rewind.models import MigrationCode
from django_rewind.utils.types import APP_LABEL
from tests.support.fixtures import App, migrate, row, store_anew
from tests.support.helpers import add, create

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class KeepsUsOut:
    """A router that keeps our table out of the second database."""

    def allow_migrate(self, db, app_label, **hints):
        return not (app_label == APP_LABEL and db == "other")


def ours(databases=("default", "other"), **options: object) -> list[object]:
    found = run_checks(databases=databases, **options)
    return [one for one in found if one.id.startswith("django_rewind.")]


def test_without_a_router_there_is_nothing_to_say():
    """Each database captures into itself."""
    assert ours() == []


@override_settings(DATABASE_ROUTERS=[KeepsUsOut()])
def test_a_router_that_keeps_us_out_is_named():
    """With the database, and with what to do."""
    (warning,) = ours()
    assert warning.id == "django_rewind.W001"
    assert "'other'" in warning.msg
    assert "DATABASE_ROUTERS" in warning.hint
    assert not warning.is_serious()


@override_settings(DATABASE_ROUTERS=[KeepsUsOut()])
def test_only_the_databases_that_are_given_are_looked_at():
    """A plain `check` opens no database."""
    assert ours(databases=["default"]) == []
    assert ours(databases=None) == []


@override_settings(DATABASE_ROUTERS=[KeepsUsOut()], DJANGO_REWIND_ENABLED=False)
def test_switched_off_that_is_all_there_is_to_say():
    """Nothing is captured anywhere, and nobody asks a database about it."""
    assert ids() == ["django_rewind.W002"]


def ids(**options: object) -> list[str]:
    return [one.id for one in ours(**options)]


@pytest.fixture
def shop(app: App) -> App:
    """A chain of two, applied."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    return app


def test_all_is_well(shop):
    """Nothing to say."""
    assert ours() == []


def test_missing_file(shop):
    """It is named, with the command that shows what undoing means."""
    shop.delete("0002_a")

    (warning,) = ours()

    assert warning.id == "django_rewind.W005"
    assert "shop.0002_a" in warning.msg
    assert "rewind --plan" in warning.hint


def test_many_missing_files(shop):
    """Not all are named."""
    for number in range(3, 12):
        shop.migration(f"{number:04}_more", after=f"{number - 1:04}_more" if number > 3 else "0002_a")
    migrate("shop")
    shop.delete(*(f"{number:04}_more" for number in range(3, 12)))

    (warning,) = ours()

    assert "shop.0007_more and 4 more" in warning.msg


def test_edited_file(shop):
    """It is named, with the command that shows how it differs."""
    shop.migration("0002_a", add("product", "b", "TextField(null=True)"), after="0001_initial")

    (warning,) = ours()

    assert (warning.id, "shop.0002_a" in warning.msg) == ("django_rewind.W006", True)


def test_other_key(shop):
    """It is told from tampering."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["another"]):
        assert set(ids()) == {"django_rewind.W007"}


def test_what_could_not_be_undone(shop):
    """Tampered with, or never stored."""
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").update(signature="0" * 64)
    row(("shop", "0001_initial")).delete()

    (warning,) = ours()

    assert warning.id == "django_rewind.W008"
    assert "shop.0001_initial, shop.0002_a" in warning.msg


def test_another_name(shop):
    """What was renumbered is not called missing."""
    shop.migration("0003_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    shop.delete("0002_a")

    (warning,) = ours()

    assert (warning.id, "shop.0002_a" in warning.msg) == ("django_rewind.W009", True)
    assert "rewind --adopt" in warning.hint


@override_settings(DJANGO_REWIND_EXCLUDE=["shop"])
def test_excluded_app(shop):
    """It is said what that means, and that it was asked for."""
    (info,) = ours()

    assert (info.id, info.is_serious()) == ("django_rewind.I001", False)


def test_keys_at_deployment():
    """A key of its own is recommended, and using it is enough."""
    deploying = {"databases": None, "include_deployment_checks": True}
    assert ids(**deploying) == ["django_rewind.W003"]
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=["a key"]):
        assert ids(**deploying) == []


@override_settings(DJANGO_REWIND_REQUIRE_SIGNATURES=False)
def test_signatures_that_are_not_required():
    """Whoever can write to a database could have code executed."""
    assert ids(databases=None) == ["django_rewind.W010"]


def test_not_migrated_yet():
    """Nothing is captured so far."""
    migrate(APP_LABEL, "0001")
    try:
        assert set(ids(databases=["default"])) == {"django_rewind.W004"}
    finally:
        migrate()
        store_anew()


def test_migrate_asks_nothing(shop):
    """It runs all checks with its database, and they neither cost a query nor say anything."""
    shop.delete("0002_a")

    with CaptureQueriesContext(connection) as queries:
        output = migrate("--check")

    assert "W005" not in output
    assert not any("django_migrations_code_verification" in query["sql"] for query in queries)
    with CaptureQueriesContext(connection) as queries:
        assert ids() == ["django_rewind.W005"]
    assert any("django_migrations_code_verification" in query["sql"] for query in queries)


@override_settings(DJANGO_REWIND_SIGNING_KEYS="a long secret")
def test_a_string_in_the_place_of_keys_is_an_error():
    """`migrate` stops at it, before it signs with a letter."""
    (error,) = [one for one in ours() if one.id == "django_rewind.E001"]
    assert error.id == "django_rewind.E001"
    assert "list" in error.hint
    assert error.is_serious()


@pytest.mark.parametrize("keys", [[], [""], ()])
def test_empty_list_of_keys_is_an_error(keys):
    """Nothing is signed with SECRET_KEY instead; the hint says how to have that."""
    with override_settings(DJANGO_REWIND_SIGNING_KEYS=keys):
        (error,) = [one for one in ours() if one.id == "django_rewind.E001"]
        assert "DJANGO_REWIND_SIGNING_KEYS" in error.hint


@override_settings(DJANGO_REWIND_SIGNING_KEYS="a long secret", DJANGO_REWIND_ENABLED=False)
def test_switched_off_nobody_signs():
    """Then the setting is of no account."""
    assert "django_rewind.E001" not in ids()


@override_settings(DJANGO_REWIND_SIGNING_KEYS=None, SECRET_KEY="")
def test_without_a_key_django_migrates():
    """It is no error of the project's: nothing is stored, and `migrate` says so."""
    assert "django_rewind.E001" not in ids()


def test_no_caller_is_kept_alive():
    """To look for `migrate` among the callers leaves no trace of them."""

    class Local:
        pass

    def call() -> object:
        local = Local()
        ours()
        return weakref.ref(local)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()


def test_check_finds_nothing_wrong_with_our_models(capsys):
    """As `manage.py check` in the project of a user."""
    call_command("check", APP_LABEL, fail_level="WARNING")
