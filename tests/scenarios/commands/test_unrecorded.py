"""Migrations whose records were deleted while what they did stayed in the database: told, and recorded again."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.helpers import Project, add, create, python

NAMES = ["0002_price", "0003_noop", "0004_box"]


def forget(shop: Project, *names: str) -> None:
    """Delete records as `migrate --prune` does in a process without us, or a person by hand."""
    for name in names:
        shop.execute("DELETE FROM django_migrations WHERE app = 'shop' AND name = %s", name)


@pytest.fixture
def pruned(left):
    """Three of feature were applied, with one among them that made nothing, and their records are gone."""
    with left.on_branch("feature"):
        noop = python("migrations.RunPython.noop", "migrations.RunPython.noop")
        left.migration("shop.0003_noop", noop, after="0002_price")
        left.migration("shop.0004_box", create("Box"), after="0003_noop")
        left.manage("migrate")
    forget(left, *NAMES)
    return left


def shown(shop: Project) -> dict[str, str]:
    found = json.loads(shop.manage("show_stored_migrations", "shop", "--format", "json").stdout)
    return {one["name"]: one["unrecorded"] for one in found["databases"]["default"]["migrations"]}


def test_it_is_reported(pruned):
    """By the list, by the system check, and by a gate that fails."""
    assert "unrecorded" in pruned.manage("show_stored_migrations", "shop").stdout
    assert shown(pruned) == {"0001_initial": False, "0002_price": True, "0003_noop": False, "0004_box": True}
    check = pruned.attempt("check", "--database", "default", "--fail-level", "WARNING")
    assert check.returncode == 1
    assert "W011" in check.output
    assert "shop.0002_price, shop.0004_box" in check.output
    result = pruned.attempt("verify_migrations")
    assert result.returncode == 1
    assert "shop.0004_box: its record is gone" in result.stdout


def test_recorded_again_it_can_be_rolled_back(pruned):
    """The command that is named works, and takes along what lies between."""
    said = pruned.attempt("verify_migrations", "shop", "0004_box").stdout
    (command,) = re.findall(r"'manage\.py ([^']+)'", said)

    pruned.manage(*command.split())

    assert pruned.applied("shop") == ["0001_initial", *NAMES]
    pruned.manage("verify_migrations")
    pruned.manage("rewind", "--noinput")
    assert pruned.columns("shop_product") == {"id", "name"}
    assert "shop_box" not in pruned.tables()
    assert pruned.applied("shop") == ["0001_initial"]


def test_recorded_again_under_another_id(pruned):
    """Where another record has the id by now, the source is bound to a new one."""
    pruned.execute(
        "UPDATE django_migrations SET id = (SELECT record_id FROM django_migrations_code WHERE migration_name = '0002_price') WHERE app = 'shop'"
    )

    pruned.manage("verify_migrations", "--record-again", "shop.0004_box")

    assert set(pruned.applied("shop")) == {"0001_initial", *NAMES}
    pruned.manage("rewind", "--noinput")
    assert pruned.columns("shop_product") == {"id", "name"}
    assert "shop_box" not in pruned.tables()


def test_what_was_rolled_back_is_not_reported(pruned):
    """Nothing of it is in the database, and there is nothing to record."""
    pruned.manage("verify_migrations", "--record-again", "shop", "0004")
    pruned.manage("rewind", "--noinput")

    assert set(shown(pruned).values()) == {False}
    pruned.manage("verify_migrations")
    pruned.refused("verify_migrations", "--record-again", "shop", "0002", naming="shop.0002_price")


def test_what_has_a_file_is_simply_not_applied(pruned):
    """On its branch Django knows what it is."""
    with pruned.on_branch("feature"):
        assert set(shown(pruned).values()) == {False}
        pruned.refused("verify_migrations", "--record-again", "shop", "0002", naming="is on disk")


def test_what_another_migration_has_made_by_now_is_its_own(left):
    """A column that main made after feature's was rolled back is no trace of feature."""
    left.manage("rewind", "--noinput")
    left.migration("shop.0002_main", add("product", "price", "IntegerField(default=9)"), after="0001_initial")
    left.manage("migrate")

    assert set(shown(left).values()) == {False}


@pytest.mark.parametrize("column", ["module = 'other'", "source_code = 'import os'", "signature = ''"])
def test_what_does_not_verify_is_not_recorded_again(pruned, column):
    """It would be code that nobody vouches for."""
    pruned.execute(f"UPDATE django_migrations_code SET {column} WHERE migration_name = '0002_price'")

    pruned.refused("verify_migrations", "--record-again", "shop", "0004_box")


def test_after_marking_as_unapplied(left):
    """The schema was kept on purpose: nothing warns of it, and it can be recorded again."""
    left.manage("rewind", "--fake", "--noinput")
    assert shown(left)["0002_price"] is False
    left.manage("verify_migrations")
    assert "W011" not in left.manage("check", "--database", "default").output

    left.manage("verify_migrations", "--record-again", "shop", "0002")

    left.manage("migrate", "shop", "0001")
    assert left.columns("shop_product") == {"id", "name"}
