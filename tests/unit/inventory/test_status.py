"""What is known of every migration: one file status, one wording."""

from __future__ import annotations

import dataclasses
import re

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_rewind.exceptions import NotRecoverable
from django_rewind.inventory.snapshot import Comparison, FileStatus, ImportedFile, Snapshot
from django_rewind.inventory.status import Status, file_status, statuses, statuses_of
from django_rewind.models import MigrationCode
from django_rewind.storage.facts import Verification
from tests.support import helpers
from tests.support.fixtures import add, create, in_memory, migrate, stored

FIRST = in_memory("shop.0001", create("Product"))
SECOND = in_memory("shop.0002", add("Product", "a"), after="shop.0001")
KEYS = [("shop", "0001"), ("shop", "0002")]


def snapshot(*, files=(FIRST, SECOND), applied=(FIRST, SECOND), kept=(FIRST, SECOND), **values) -> Snapshot:
    """Return a snapshot of an app whose files were compared, and are as they were applied."""
    ids = {(one.app_label, one.name): number for number, one in enumerate(applied, 1)}
    rows = [stored(one, record_id=ids.get((one.app_label, one.name))) for one in kept]
    values = {
        "comparisons": dict.fromkeys(KEYS, Comparison(False)),
        "installed_apps": frozenset({"shop"}),
        **values,
    }
    return Snapshot(
        files={(one.app_label, one.name): ImportedFile(one) for one in files},
        applied=ids,
        stored={row.key: row for row in rows},
        **values,
    )


def second(**values) -> Status:
    """Return the status of the second migration."""
    (status,) = [one for one in statuses(snapshot(**values)) if one.key == KEYS[1]]
    return status


# File status


REMADE = in_memory("shop.0009", create("Product"), add("Product", "a"))
SQUASH = in_memory("shop.0001_squashed", create("Product"), add("Product", "a"), replaces=KEYS)
ITEM = in_memory("shop.0002", create("Item"), after="shop.0001")


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, "on_disk"),
        ({"applied": [FIRST]}, "on_disk"),
        ({"kept": [FIRST]}, "on_disk"),
        ({"comparisons": {}}, "not_compared"),
        ({"comparisons": {KEYS[1]: Comparison(None)}}, "unreadable"),
        ({"comparisons": {KEYS[1]: Comparison(True, "new")}}, "modified"),
        ({"files": [FIRST]}, "missing"),
        ({"files": [FIRST], "kept": [FIRST]}, "missing"),
        (
            {
                "files": [FIRST],
                "applied": [FIRST, ITEM],
                "kept": [FIRST, ITEM],
                "tables_in_use": frozenset({"shop_item"}),
            },
            "table_in_use",
        ),
        ({"files": [FIRST], "missing_before_install": {KEYS[1]: 2}}, "missing_before_install"),
        ({"files": [FIRST], "missing_before_install": {KEYS[1]: 99}}, "missing"),
        (
            {
                "files": [SQUASH],
                "applied": [FIRST, SECOND, SQUASH],
                "squashes": [("shop", "0001_squashed")],
            },
            "squashed",
        ),
        ({"files": [REMADE], "applied": [FIRST, SECOND, REMADE]}, "recreated"),
        ({"files": [], "installed_apps": frozenset()}, "stale_app"),
        ({"files": [], "disabled_apps": frozenset({"shop"})}, "disabled"),
        ({"files": [FIRST], "applied": [FIRST]}, "no_file"),
    ],
)
def test_file_status(values, expected):
    """The same from a status and asked for by itself."""
    assert second(**values).file_status.slug == expected
    assert file_status(snapshot(**values), KEYS[1]).slug == expected


def verification(**values) -> dict[tuple[str, str], Verification]:
    values = {"signature": stored(SECOND, record_id=2).signature, "file_digest": "new", **values}
    return {KEYS[1]: Verification(KEYS[1], **values)}


OTHER = in_memory("shop.0002", add("Product", "b"), after="shop.0001")
ELSEWHERE = in_memory("shop.0002", add("Product", "a"), after="stock.0001")


@pytest.mark.parametrize(
    "file, noted, expected, differs",
    [
        (SECOND, None, FileStatus.MODIFIED, ()),
        (SECOND, {}, FileStatus.ON_DISK, ()),
        (SECOND, {"problem": "it does not load."}, FileStatus.MODIFIED, ()),
        (SECOND, {"differs": ("operations",)}, FileStatus.MODIFIED_OPERATIONS, ("operations",)),
        (SECOND, {"signature": "of another one"}, FileStatus.MODIFIED, ()),
        (SECOND, {"file_digest": "of an older one"}, FileStatus.MODIFIED, ()),
        (OTHER, None, FileStatus.MODIFIED_OPERATIONS, ("operations",)),
        (OTHER, {}, FileStatus.ON_DISK, ()),
        (ELSEWHERE, None, FileStatus.MODIFIED, ("dependencies",)),
        (ELSEWHERE, {}, FileStatus.MODIFIED, ("dependencies",)),
    ],
)
def test_what_a_modified_file_would_do(file, noted, expected, differs):
    """As its description says it, and better as it was verified last, if that was of what is there now."""
    status = second(
        files=[FIRST, file],
        comparisons={KEYS[1]: Comparison(True, "new")},
        verifications={} if noted is None else verification(**noted),
    )
    assert (status.file_status, status.differs) == (expected, differs)
    assert status.is_modified is (expected is not FileStatus.ON_DISK)


@pytest.mark.parametrize("status", FileStatus)
def test_words_fit_into_a_table(status):
    """And each is another one."""
    assert len(status.short) <= 20
    assert len({one.short for one in FileStatus}) == len({one.value for one in FileStatus}) == len(FileStatus)


def test_acknowledged():
    """As long as it is the record of which it was said."""
    known = {"files": [FIRST], "kept": [FIRST], "acknowledged": {KEYS[1]}}
    status = second(**known, missing_before_install={KEYS[1]: 2})
    assert (status.of_file, status.is_settled, status.as_data()["acknowledged"]) == (
        "acknowledged",
        True,
        True,
    )
    applied_again = second(**known, missing_before_install={KEYS[1]: 99})
    assert (applied_again.of_file, applied_again.is_settled) == ("missing", False)


def test_the_order_is_that_of_the_graph():
    """App by app, what is applied first; what forms a circle comes last."""
    third = in_memory("shop.0003", after="shop.0004")
    fourth = in_memory("shop.0004", after="shop.0003")
    cart = in_memory("cart.0001", create("Cart"), after="shop.0001")
    given = snapshot(files=[fourth, third, SECOND, FIRST, cart], applied=[SECOND, FIRST, cart])
    assert [".".join(one.key) for one in statuses(given)] == [
        *("cart.0001", "shop.0001", "shop.0002", "shop.0003", "shop.0004")
    ]


def test_as_data():
    """The keys of the JSON document, which the documentation lists."""
    data = second(files=[FIRST], renamed={KEYS[1]: ("shop", "0003")}).as_data()
    assert data.pop("applied_at") is data.pop("stored_at") is data.pop("verified_at") is None
    assert data == {
        "app": "shop",
        "name": "0002",
        "applied": True,
        "on_disk": False,
        "file_status": "missing",
        "acknowledged": False,
        "modified": False,
        "differs": [],
        "stored": True,
        "excluded": False,
        "unrecorded": False,
        "origin": "captured",
        "bound": True,
        "signature": "verified",
        "bundled": [],
        "recoverable": None,
        "problem": "",
        "renamed_to": "0003",
    }


@pytest.mark.parametrize(
    "change, words",
    [
        ({}, "captured"),
        ({"record_id": None, "binding": ""}, "captured, unbound"),
        ({"signature": ""}, "captured, not signed"),
    ],
)
def test_what_the_database_says(change, words):
    """Where it came from, whether it is bound to its record, and what its signature is worth."""
    given = snapshot()
    row = dataclasses.replace(given.stored[KEYS[1]], **change)
    changed = dataclasses.replace(given, stored={**given.stored, KEYS[1]: row})
    assert statuses(changed)[1].of_store == words
    assert second(kept=[FIRST]).of_store == "not stored"
    assert second(kept=[FIRST], excluded_apps=frozenset({"shop"})).of_store == "excluded"


# Read from a database


@pytest.fixture
def shop(app):
    """A chain of two, applied."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_a", helpers.add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    return app


def lines() -> list[tuple[str, bool, str, str]]:
    return [
        (one.key[1], one.is_applied, one.of_file, re.sub(r" [\d-]+ [\d:]+", "", one.of_store))
        for one in statuses_of(connection, ["shop"])
    ]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_is_applied_and_stored(shop):
    """In the order in which it was applied."""
    assert lines() == [("0001_initial", True, "on disk", "captured"), ("0002_a", True, "on disk", "captured")]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_is_not_applied(shop):
    """On disk alone, or stored from another time; after what is applied."""
    migrate("shop", "0001")
    shop.migration("0002_b", after="0001_initial")
    assert lines() == [
        ("0001_initial", True, "on disk", "captured"),
        ("0002_a", False, "on disk", "captured"),
        ("0002_b", False, "on disk", "not stored"),
    ]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_is_missing(shop):
    """Stored, not stored, or stored and no good."""
    shop.delete("0002_a")
    assert lines()[-1] == ("0002_a", True, "missing", "captured")
    row = MigrationCode.objects.filter(app_label="shop", migration_name="0002_a")
    row.update(signature="0" * 64)
    assert lines()[-1] == ("0002_a", True, "missing", "captured, changed after it was signed")
    row.delete()
    assert lines()[-1] == ("0002_a", True, "missing", "not stored")


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_without_a_graph_it_still_tells(shop):
    """A file depends on one that is gone for good."""
    MigrationCode.objects.filter(app_label="shop").delete()
    shop.delete("0001_initial")
    with pytest.raises(NotRecoverable, match="is not stored"):
        MigrationExecutor(connection)
    assert [name for name, *_ in lines()] == ["0001_initial", "0002_a"]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_squashed_migration_is_bound_to_its_own_record(shop):
    """It stands with the last that it replaced, and is recorded later than that."""
    names = ("0001_initial", "0002_a")
    shop.migration(
        "0001_squashed",
        helpers.create("Product", a="TextField(null=True)"),
        replaces=[shop.key(name) for name in names],
    )
    migrate("shop")
    shop.delete(*names)
    assert lines() == [
        ("0001_initial", True, "squashed", "captured"),
        ("0001_squashed", True, "on disk", "backfilled"),
        ("0002_a", True, "squashed", "captured"),
    ]
    assert not [one.problem for one in statuses_of(connection, ["shop"]) if one.problem]
