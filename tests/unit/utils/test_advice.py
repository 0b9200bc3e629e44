"""Commands that are named as the next step work on the database that was looked at."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError

from django_rewind.exceptions import IrreversibleRewind
from django_rewind.utils.advice import name_database, on_database


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Run 'manage.py rewind'.", "Run 'manage.py rewind --database other'."),
        (
            "'manage.py rewind shop <the one before it>' or 'manage.py migrate shop 0002_a'",
            "'manage.py rewind shop <the one before it> --database other' or 'manage.py migrate shop 0002_a --database other'",
        ),
        (
            "'manage.py verify_migrations --sign shop 0002_a'.",
            "'manage.py verify_migrations --sign shop 0002_a --database other'.",
        ),
        (
            "'manage.py rewind' takes '--use-file shop.0002_a'.",
            "'manage.py rewind --database other' takes '--use-file shop.0002_a'.",
        ),
    ],
)
def test_each_command_names_the_database(text, expected):
    assert on_database(text, "other") == expected


@pytest.mark.parametrize(
    "text",
    [
        "Run 'manage.py migrate --database third' first.",
        "Run 'manage.py rewind_hook install' again.",
        "Run 'manage.py makemigrations --merge'.",
        "No installed app with label 'rewind'.",
        "The database 'default' has no tables.",
    ],
)
def test_what_names_one_or_takes_none_stays(text):
    assert on_database(text, "other") == text


def test_it_is_said_once():
    once = on_database("Run 'manage.py rewind'.", "other")

    assert on_database(once, "other") == once


def test_the_default_goes_without_saying():
    assert on_database("Run 'manage.py rewind'.", "default") == "Run 'manage.py rewind'."


def test_an_error_says_it_as_a_whole_and_in_its_next_step():
    error = IrreversibleRewind(("shop", "0002_data"), "RunPython", "0001_initial")

    name_database(error, "other")

    expected = "'manage.py rewind shop 0001_initial --fake --database other'"
    assert expected in error.next_step
    assert expected in str(error)


def test_any_error_of_a_command():
    error = CommandError("Run 'manage.py rewind'.", returncode=3)

    name_database(error, "other")

    assert str(error) == "Run 'manage.py rewind --database other'."
    assert error.returncode == 3


@pytest.mark.parametrize("alias", ["default", "other"])
def test_names_from_rows(alias):
    """A control character in a name does not reach the terminal."""
    text = "Run 'manage.py verify_migrations --acknowledge depot \x1b[31mred'."
    assert "\x1b" not in on_database(text, alias)
    assert r"\x1b[31mred" in on_database(text, alias)
