"""Records of django-rewind's own migrations decide nothing: neither what is skipped nor what is dropped."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.support.helpers import Project, alter

pytestmark = [pytest.mark.deep]

NEWEST = "SELECT MAX(name) FROM django_migrations WHERE app = 'django_rewind'"


@pytest.fixture
def without_record(left: Project) -> Project:
    """A shop with feature's 0002 applied and missing, where somebody has deleted a record of django-rewind's."""
    ((newest,),) = left.rows(NEWEST)
    left.execute("DELETE FROM django_migrations WHERE app = 'django_rewind' AND name = %s", newest)
    return left


@pytest.fixture
def half_upgraded(left: Project) -> Project:
    """The same with the newest tables of django-rewind's taken away: as it is right after an upgrade of the package."""
    ((newest,),) = left.rows(NEWEST)
    left.execute("DELETE FROM django_migrations WHERE app = 'django_rewind' AND name = %s", newest)
    left.execute("DROP TABLE django_migrations_code_verification")
    return left


@pytest.mark.parametrize("target", ["0001", "zero"])
def test_rolled_back_all_the_same(without_record, target):
    """What is missing is unapplied first, as with all records."""
    result = without_record.manage("migrate", "shop", target, "--noinput")

    assert "Unapplying shop.0002_price" in result.stdout
    assert "price" not in without_record.columns("shop_product")
    assert "0002_price" not in without_record.applied("shop")


def test_captured_all_the_same(without_record):
    """What is applied next is stored before it runs."""
    without_record.migration(
        "shop.0002_wider", alter("product", "name", "CharField(max_length=60)"), after="0001_initial"
    )

    without_record.manage("migrate", "shop", "0002_wider")

    assert "shop.0002_wider" in without_record.stored()


@pytest.mark.skipif(connection.vendor == "mysql", reason="a run that died may have left a part of it there")
def test_recorded_again(without_record):
    """What our migration made is there: nothing of it runs again, and nothing that it signed loses that."""
    ((deleted,),) = without_record.rows(
        "SELECT MAX(migration_name) FROM django_migrations_code WHERE app_label = 'django_rewind'"
    )
    signed = (
        "SELECT migration_name, signature, signed_for FROM django_migrations_code WHERE app_label = 'shop'"
    )
    before = sorted(without_record.rows(signed))

    without_record.manage("migrate", "django_rewind")

    assert without_record.rows(NEWEST) == [(deleted,)]
    assert sorted(without_record.rows(signed)) == before
    assert all(signature for _, signature, _ in before)
    without_record.manage("rewind", "--noinput")
    assert "price" not in without_record.columns("shop_product")


@pytest.mark.skipif(connection.vendor == "mysql", reason="a run that died may have left a part of it there")
@pytest.mark.parametrize("first", ["0001", "0003", "0006", "0007"])
def test_several_are_recorded_again(left, first):
    """What comes after it was applied: what alters a table does not take away the columns that were added since."""
    left.execute("DELETE FROM django_migrations WHERE app = 'django_rewind' AND name >= %s", first)
    left.execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('django_rewind', '0000_none', '2026-01-01 00:00:00')"
    )
    signed = (
        "SELECT migration_name, signature, signed_for FROM django_migrations_code WHERE app_label = 'shop'"
    )
    before = sorted(left.rows(signed))

    left.manage("migrate", "django_rewind")

    assert sorted(left.rows(signed)) == before
    left.manage("migrate", "shop", "0001")
    assert "price" not in left.columns("shop_product")


@pytest.mark.parametrize("target", ["0001", "zero"])
def test_refused_before_the_upgrade_is_applied(half_upgraded, target):
    """Where the tables are not complete, nobody goes back past what is missing; the error says what helps."""
    half_upgraded.refused(
        "migrate", "shop", target, "--noinput", naming=("shop.0002_price", "migrate django_rewind")
    )


@pytest.mark.parametrize("project_of", ["without_record", "half_upgraded"])
def test_forwards(request, project_of):
    """A table that SQLite makes anew keeps the columns of what is missing."""
    shop: Project = request.getfixturevalue(project_of)
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('a', 5)")
    shop.migration(
        "shop.0002_wider", alter("product", "name", "CharField(max_length=60)"), after="0001_initial"
    )

    shop.attempt("migrate")

    assert shop.rows("SELECT price FROM shop_product") == [(5,)]
