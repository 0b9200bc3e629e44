"""What nobody has signed decides nothing: neither what is skipped, nor what counts as done, nor a status."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.trust.test_tampering import note
from tests.scenarios.trust.test_trust import PRICE
from tests.support.helpers import AUDIT_LOG, Project, python

pytestmark = [pytest.mark.deep]

NAME = "0002_price"
BASELINE = "django_migrations_baseline"
VERIFICATION = "django_migrations_code_verification"

# A step of which nothing is taken back: reversed, the last operation comes first.
TRACES = """
def trace(name):
    def reverse(apps, editor):
        import os
        if os.path.exists(f"broken_{name}"):
            raise RuntimeError(f"{name} is broken")
        open(f"undone_{name}", "a").write("x")
    return reverse
"""


@pytest.fixture
def left(shop: Project) -> Project:
    """Feature's 0002 is applied and missing."""
    with shop.on_branch("feature"):
        shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
        shop.manage("migrate")
    return shop


@pytest.fixture
def in_parts(shop: Project) -> Project:
    """Feature's 0002, which is not atomic, is applied and missing."""
    with shop.on_branch("feature"):
        operations = [python(backward=f"trace({name!r})") for name in ("third", "second", "first")]
        shop.migration(f"shop.{NAME}", *operations, after="0001_initial", header=TRACES, atomic=False)
        shop.manage("migrate")
    return shop


def record_id(shop: Project) -> object:
    ((found,),) = shop.rows("SELECT id FROM django_migrations WHERE app = 'shop' AND name = %s", NAME)
    return found


def file_status(shop: Project) -> object:
    found = json.loads(shop.manage("show_stored_migrations", "shop", "--format", "json").stdout)
    (listed,) = [one for one in found["databases"]["default"]["migrations"] if one["name"] == NAME]
    return listed["file_status"], listed["acknowledged"], listed["differs"], listed["recoverable"]


# Missing before install


def call_it_missing(shop: Project, *, acknowledged: bool, signature: str = "") -> None:
    shop.execute(
        f"INSERT INTO {BASELINE} (app_label, migration_name, record_id, forgotten_at, signature) "
        f"VALUES ('shop', %s, %s, {repr('2026-01-01 00:00:00') if acknowledged else 'NULL'}, %s)",
        *(NAME, record_id(shop), signature),
    )


@pytest.mark.parametrize("signature", ["", "0" * 64])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_missing_before_install(left, acknowledged, signature):
    """Who writes that it was missing before install does not have it skipped."""
    before = file_status(left)
    call_it_missing(left, acknowledged=acknowledged, signature=signature)

    assert file_status(left) == before
    assert left.attempt("rewind", "--check").returncode == 1
    assert "--acknowledge shop 0002_price" in left.attempt("verify_migrations").output
    left.manage("rewind", "--noinput", "--allow-data-loss")
    assert left.columns("shop_product") == {"id", "name"}


def test_missing_before_install_of_another_record(left):
    """What was signed for a record that is gone says nothing of another one."""
    left.execute("DELETE FROM django_migrations_code WHERE migration_name = %s", NAME)
    left.manage("verify_migrations", "--acknowledge", "shop", NAME)
    assert file_status(left)[:2] == ("missing_before_install", True)

    left.execute(f"UPDATE {BASELINE} SET record_id = record_id + 1 WHERE migration_name = %s", NAME)

    assert file_status(left)[:2] == ("missing", False)


def test_acknowledged_under_an_older_key(left):
    """Signing with a new key takes it along."""
    left.execute("DELETE FROM django_migrations_code WHERE migration_name = %s", NAME)
    left.manage("verify_migrations", "--acknowledge", "shop", NAME)
    left.configure(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=["a key of the story"])
    left.manage("verify_migrations", "--sign")
    left.configure(SECRET_KEY_FALLBACKS=[])

    assert file_status(left)[:2] == ("missing_before_install", True)


def test_our_own_migration_is_applied_again(left):
    """Who deletes its record has nothing noted as missing before install that was captured since."""
    left.execute("DELETE FROM django_migrations WHERE name = '0008_identity'")
    left.execute("DELETE FROM django_migrations_code WHERE migration_name = %s", NAME)

    left.attempt("migrate")

    assert not left.rows(f"SELECT * FROM {BASELINE}")


# How far a step came


def call_it_done(shop: Project, detail: str) -> None:
    ((digest,),) = shop.rows("SELECT digest FROM django_migrations_code WHERE migration_name = %s", NAME)
    note(shop, None, NAME)
    shop.execute(
        f"UPDATE {AUDIT_LOG} SET event = 'partial', digest = %s, record_id = %s, detail = %s WHERE event = 'captured' "
        "AND serial IS NULL",
        *(digest, record_id(shop), detail),
    )


def test_operations_that_were_not_reversed(in_parts):
    """Who writes that they were does not have one skipped."""
    operation = "run Python code"
    for detail in ("begun", f"1 of 3: {operation}", f"2 of 3: {operation}", f"3 of 3: {operation}"):
        call_it_done(in_parts, detail)

    in_parts.manage("rewind", "--noinput", "--allow-data-loss")

    assert [in_parts.read(f"undone_{name}") for name in ("first", "second", "third")] == ["x", "x", "x"]
    assert in_parts.applied("shop") == ["0001_initial"]


def test_an_operation_that_was_reversed_counts_once(in_parts):
    """An entry that stands there twice does not stand for the next operation."""
    in_parts.write("broken_second", "")
    assert in_parts.attempt("rewind", "--noinput", "--allow-data-loss").returncode == 1
    assert in_parts.read("undone_first") == "x"
    in_parts.delete("broken_second")
    quote = "`" if in_parts.db().vendor == "mysql" else '"'
    names = ", ".join(f"{quote}{name}{quote}" for name in sorted(in_parts.columns(AUDIT_LOG) - {"id"}))
    for _ in range(3):
        in_parts.execute(
            f"INSERT INTO {AUDIT_LOG} ({names}) SELECT {names} FROM {AUDIT_LOG} "
            "WHERE id = (SELECT MAX(id) FROM django_migrations_code_ledger WHERE event = 'partial')"
        )

    in_parts.manage("rewind", "--noinput", "--allow-data-loss")

    assert [in_parts.read(f"undone_{name}") for name in ("first", "second", "third")] == ["x", "x", "x"]


# What came of verifying


def test_a_verification_that_was_written_by_hand(left):
    """It changes no status."""
    left.switch("feature")
    left.migration(f"shop.{NAME}", PRICE.replace("7", "8"), after="0001_initial")
    unverified = file_status(left)
    assert left.attempt("verify_migrations").returncode == 1
    verified = file_status(left)
    assert verified != unverified

    left.execute(f"UPDATE {VERIFICATION} SET differs = '' WHERE migration_name = %s", NAME)

    assert file_status(left) == unverified


def test_a_problem_that_was_written_by_hand(left):
    """What can be recovered stays so."""
    left.manage("verify_migrations")
    left.execute(f"UPDATE {VERIFICATION} SET problem = 'it is lost', next_step = 'Give up.'")

    shown = left.manage("show_stored_migrations", "shop", "--format", "json").stdout

    assert "it is lost" not in shown
    assert "Give up" not in left.manage("check", "--database", "default").output


# Serial numbers


@pytest.mark.parametrize("serial", [2, 2147483646, 2147483647])
def test_numbers_that_were_written_by_hand(left, serial):
    """They make nothing a replayed revision, neither in the audit log nor in the history."""
    note(left, serial)
    names = ", ".join(sorted(left.columns("django_migrations_code") - {"id", "serial"}))
    left.execute(
        f"INSERT INTO django_migrations_code_history ({names}, serial, replaced_at) "
        f"SELECT {names}, {serial}, '2026-01-01 00:00:00' FROM django_migrations_code WHERE migration_name = %s",
        NAME,
    )

    warned = left.attempt("verify_migrations")
    left.manage("migrate", "shop", "0001")

    assert "1 entry of the audit log is not signed" in warned.output
    assert left.columns("shop_product") == {"id", "name"}


def test_numbers_are_never_used_up(left):
    """A row that claims nearly the last number leaves room for the next ones."""
    left.execute("UPDATE django_migrations_code SET serial = 2147483646 WHERE migration_name = %s", NAME)
    left.switch("feature")

    left.manage("backfill_migration_code", "shop")

    ((serial,),) = left.rows("SELECT serial FROM django_migrations_code WHERE migration_name = %s", NAME)
    assert serial < 2**30
