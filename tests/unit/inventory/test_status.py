"""What is known of every migration, in words."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_rewind.exceptions import NotRecoverable
from django_rewind.inventory.status import statuses
from django_rewind.models import MigrationCode
from tests.support.fixtures import migrate
from tests.support.helpers import add, create

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def shop(app):
    """A chain of two, applied."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    return app


def lines() -> list[tuple[str, bool, str, str]]:
    return [
        (one.key[1], one.is_applied, one.of_file, re.sub(r" [\d-]+ [\d:]+", "", one.of_store))
        for one in statuses(connection, ["shop"])
    ]


def test_what_is_applied_and_stored(shop):
    """In the order in which it was applied."""
    assert lines() == [("0001_initial", True, "on disk", "captured"), ("0002_a", True, "on disk", "captured")]


def test_what_is_not_applied(shop):
    """On disk alone, or stored from another time; after what is applied."""
    migrate("shop", "0001")
    shop.migration("0002_b", after="0001_initial")
    assert lines() == [
        ("0001_initial", True, "on disk", "captured"),
        ("0002_a", False, "on disk", "captured"),
        ("0002_b", False, "on disk", "not stored"),
    ]


def test_what_is_missing(shop):
    """Stored, not stored, or stored and no good."""
    shop.delete("0002_a")
    assert lines()[-1] == ("0002_a", True, "missing", "captured")
    row = MigrationCode.objects.filter(app_label="shop", migration_name="0002_a")
    row.update(signature="0" * 64)
    assert lines()[-1] == ("0002_a", True, "missing", "captured, changed after it was signed")
    row.delete()
    assert lines()[-1] == ("0002_a", True, "missing", "not stored")


def test_without_a_graph_it_still_tells(shop):
    """A file depends on one that is gone for good."""
    MigrationCode.objects.filter(app_label="shop").delete()
    shop.delete("0001_initial")
    with pytest.raises(NotRecoverable, match="is not stored"):
        MigrationExecutor(connection)
    assert [name for name, *_ in lines()] == ["0001_initial", "0002_a"]


def test_a_squashed_migration_is_proven_by_its_own_record(shop):
    """It stands with the last that it replaced, and is recorded later than that."""
    names = ("0001_initial", "0002_a")
    shop.migration(
        "0001_squashed",
        create("Product", a="TextField(null=True)"),
        replaces=[shop.key(name) for name in names],
    )
    migrate("shop")
    shop.delete(*names)
    assert lines() == [
        ("0001_initial", True, "replaced", "captured"),
        ("0001_squashed", True, "on disk", "backfilled"),
        ("0002_a", True, "replaced", "captured"),
    ]
    assert not [one.problem for one in statuses(connection, ["shop"]) if one.problem]
