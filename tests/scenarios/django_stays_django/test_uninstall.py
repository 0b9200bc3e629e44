"""A project that does without us again."""

from __future__ import annotations

import pytest

from tests.scenarios.django_stays_django.test_plain_django import PRICE, alone, state
from tests.support.helpers import Project

pytestmark = pytest.mark.deep


@pytest.fixture
def twins(new_shop: Project) -> Project:
    """One project over two databases, the second of which never has us."""
    new_shop.add_database("other")
    new_shop.manage("migrate")
    alone(new_shop, "migrate")
    return new_shop


def test_taken_out(twins):
    """Once its migrations are undone and its app is removed, what is left is a project that never had it."""
    twins.manage("migrate", "django_rewind", "zero")
    twins.install("shop")
    assert twins.schema() == twins.schema("other")

    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    for alias in ("default", "other"):
        twins.manage("migrate", "--database", alias)
        twins.manage("migrate", "shop", "zero", "--database", alias)

    assert twins.schema() == twins.schema("other")
    assert twins.rows("SELECT * FROM django_migrations") == []


def test_left_out(twins):
    """Removed without more, its tables lie about and do no harm; back again, it makes up for what it has missed."""
    twins.install("shop")
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    for alias in ("default", "other"):
        twins.manage("migrate", "--database", alias)
        twins.manage("migrate", "shop", "zero", "--database", alias)
        twins.manage("migrate", "--database", alias)
    assert state(twins, "default") == state(twins, "other")

    twins.install("django_rewind", "shop")
    twins.manage("migrate")

    twins.manage("verify_migrations")
    twins.delete("shop/migrations/0002_price.py")
    twins.manage("migrate", "shop", "0001")
    assert twins.columns("shop_product") == {"id", "name"}


def test_the_only_source_is_not_thrown_away(left):
    """What has no file is undone first, or written to files; or somebody says in the settings that it may go."""
    refusal = left.refused("migrate", "django_rewind", "zero", naming="shop.0002_price")
    assert "manage.py restore_migrations" in refusal.stderr

    left.manage("restore_migrations", "shop", "0002_price")
    left.manage("migrate", "django_rewind", "zero")

    assert not {table for table in left.tables() if table.startswith("django_migrations_")}
    assert left.applied("shop") == ["0001_initial", "0002_price"]


def test_it_may_go_all_the_same(left):
    """Switched off, it is an app like any other."""
    left.configure(DJANGO_REWIND_ENABLED=False)
    left.manage("migrate", "django_rewind", "zero")
    assert not {table for table in left.tables() if table.startswith("django_migrations_")}


def test_back_to_an_earlier_version_of_ours(left):
    """The sources stay where they are."""
    left.manage("migrate", "django_rewind", "0005")
    assert "shop.0002_price" in left.stored()


@pytest.mark.parametrize("table", ["", "_content", "_ledger"])
def test_a_table_was_dropped_by_hand(shop, table):
    """The next migrate says so, and the way to make it again is one that works."""
    shop.execute(f"DROP TABLE django_migrations_code{table}")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    warned = shop.manage("migrate").stderr
    if not table:
        assert "'manage.py migrate django_rewind zero' and then 'manage.py migrate'" in warned

    shop.manage("migrate", "django_rewind", "zero")
    assert not {table for table in shop.tables() if table.startswith("django_migrations_")}
    assert shop.applied("django_rewind") == []

    shop.manage("migrate")
    assert "shop.0002_price" in shop.stored()
    shop.delete("shop/migrations/0002_price.py")
    shop.manage("rewind", "--noinput")
    assert shop.columns("shop_product") == {"id", "name"}
