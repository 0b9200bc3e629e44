"""What is said after a checkout, and what is done."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.db import connection, connections
from django.test import override_settings

from django_rewind.actions.checkout import after_checkout
from django_rewind.git.hook import Choices
from django_rewind.models import MigrationCode
from tests.support.fixtures import applied, columns, migrate
from tests.support.helpers import add, create, python

# Files and git are the same beside every database.
pytestmark = [
    pytest.mark.deep,
    pytest.mark.once,
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
]

CHOICES = Choices(manage="manage.py")
AUTO = Choices(manage="manage.py", auto=True)
LACKING = "django-rewind: 1 applied migration has no file here (shop.0002_a): 'manage.py rewind' undoes it."


@pytest.fixture
def shop(app):
    """A chain of two, applied, of which the second is missing."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    app.delete("0002_a")
    return app


def test_one_and_many(shop):
    """How many, the first three by name, and what helps."""
    assert after_checkout(connection, CHOICES) == LACKING
    for number in range(3, 7):
        shop.migration(f"000{number}_b", after="0001_initial" if number == 3 else f"000{number - 1}_b")
    migrate("shop")
    shop.delete(*(f"000{number}_b" for number in range(3, 7)))
    assert after_checkout(connection, CHOICES) == (
        "django-rewind: 5 applied migrations have no file here "
        "(shop.0002_a, shop.0003_b, shop.0004_b and 2 more): 'manage.py rewind' undoes them."
    )


def test_nothing_is_missing(shop):
    """Then there is nothing to say; nor where django-rewind is switched off."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        assert after_checkout(connection, CHOICES) == ""
    migrate("shop", "0001")
    assert after_checkout(connection, CHOICES) == ""


@override_settings(DEBUG=True)
def test_auto(shop):
    """It undoes, and says so."""
    assert after_checkout(connection, AUTO) == "django-rewind: undone for this checkout: shop.0002_a."
    assert applied("shop") == ["0001_initial"]
    assert columns("shop_product") == {"id"}


def test_auto_without_debug(shop):
    """It only tells."""
    assert after_checkout(connection, AUTO) == LACKING
    assert applied("shop") == ["0001_initial", "0002_a"]


@override_settings(DEBUG=True)
def test_auto_loses_nothing(shop):
    """Rows keep it from undoing, unless it was agreed to lose them."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_product (a) VALUES ('x')")
    line = after_checkout(connection, AUTO)
    assert (
        line
        == f"{LACKING} Not done by itself: it would lose what is in the column 'a' of 'shop_product' (1 row; shop.0002_a)."
    )
    assert columns("shop_product") == {"id", "a"}
    line = after_checkout(connection, Choices(manage="", auto=True, allow_data_loss=True))
    assert line.endswith("This lost what was in the column 'a' of 'shop_product' (1 row; shop.0002_a).")
    assert columns("shop_product") == {"id"}


@override_settings(DEBUG=True)
@pytest.mark.parametrize("choices", [CHOICES, AUTO])
def test_what_cannot_be_undone(shop, choices):
    """Is said with its reason, in one line, and nothing is tried."""
    shop.migration("0003_b", python(), after="0001_initial")
    migrate("shop", "0003")
    shop.delete("0003_b")
    assert after_checkout(connection, choices) == (
        "django-rewind: 2 applied migrations have no file here (shop.0002_a, shop.0003_b): Cannot roll back "
        "shop.0003_b: its operation 'Raw Python operation' is not reversible. See 'manage.py rewind --plan'."
    )
    MigrationCode.objects.filter(migration_name="0002_a").delete()
    assert "its source is not stored" in after_checkout(connection, choices)


@override_settings(DEBUG=True)
def test_auto_that_fails(shop):
    """What is only found out on the way is said in one line."""
    MigrationCode.objects.filter(migration_name="0002_a").update(source_code="pass")
    line = after_checkout(connection, AUTO)
    assert line.startswith("django-rewind: shop.0002_a could not be undone (NotRecoverable: ")
    assert "\n" not in line
    assert applied("shop") == ["0001_initial", "0002_a"]


@override_settings(DEBUG=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite waits five seconds by itself")
def test_auto_does_not_wait_for_a_lock_for_ever(shop):
    """A development server may hold the table; that is one line, and the database is as it was."""
    other = connections.create_connection("default")
    try:
        with transaction_of(other) as cursor:
            cursor.execute("SELECT id FROM shop_product")
            line = after_checkout(connection, Choices(manage="", auto=True, timeout=1))
    finally:
        other.close()
        connection.close()
    assert "shop.0002_a could not be undone (OperationalError: " in line
    assert applied("shop") == ["0001_initial", "0002_a"]
    assert columns("shop_product") == {"id", "a"}


@contextmanager
def transaction_of(other):
    other.set_autocommit(False)
    with other.cursor() as cursor:
        yield cursor
    other.rollback()


def test_apps_that_are_not_installed(shop):
    """Are named when the checkout took their files away, with the command that undoes them."""
    with override_settings(INSTALLED_APPS=["django_rewind"]):
        assert after_checkout(connection, CHOICES) == ""
        assert after_checkout(connection, CHOICES, ["workshop/migrations/0001_initial.py"]) == ""
        line = after_checkout(connection, CHOICES, ["src/shop/migrations/0001_initial.py"])
        assert line == (
            "django-rewind: 1 applied migration has no file here (shop.0001_initial): 'manage.py rewind shop' undoes it."
        )


def test_what_cannot_be_told(shop):
    """Is one line as well."""
    shop.migration("0003_c", after="0002_b")
    line = after_checkout(connection, CHOICES)
    assert line.startswith("django-rewind: cannot tell what is missing here (NodeNotFoundError: ")


@override_settings(DEBUG=True)
@pytest.mark.parametrize("choices", [CHOICES, AUTO])
def test_what_was_renumbered_is_never_undone(shop, choices):
    """It is on disk under another name, and the line says how it gets that."""
    shop.migration("0002_b", add("product", "a", "TextField(null=True)"), after="0001_initial")

    assert after_checkout(connection, choices) == (
        "django-rewind: 1 applied migration has no file here (shop.0002_a): "
        "'manage.py rewind --adopt --migrate' gives shop.0002_a the name of now."
    )
    assert applied("shop") == ["0001_initial", "0002_a"]
