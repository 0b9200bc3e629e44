"""System checks."""

from __future__ import annotations

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from django_rewind.store import APP_LABEL


class KeepsUsOut:
    """A router that keeps our table out of the second database."""

    def allow_migrate(self, db, app_label, **hints):
        return not (app_label == APP_LABEL and db == "other")


def ours(databases=("default", "other")) -> list[object]:
    return [one for one in run_checks(databases=databases) if one.id.startswith("django_rewind.")]


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
def test_switched_off_there_is_nothing_to_say():
    """Then nothing is captured anywhere, and that is meant."""
    assert ours() == []


@pytest.mark.django_db(databases=["default", "other"])
@override_settings(DATABASE_ROUTERS=[KeepsUsOut()])
def test_the_router_is_asked_without_a_query(django_assert_num_queries):
    """What is stored is neither read nor executed by a check."""
    with django_assert_num_queries(0, connection=connection):
        ours(databases=["default"])


def test_check_finds_nothing_wrong_with_our_models(capsys):
    """As `manage.py check` in the project of a user."""
    call_command("check", APP_LABEL, fail_level="WARNING")
