"""A record of `django_migrations` that stands twice, as after two processes at once or a dump that was mixed in."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add


def record_again(shop: Project, *record_ids: int) -> None:
    for record_id in record_ids:
        shop.execute(
            "INSERT INTO django_migrations (id, app, name, applied) SELECT "
            f"{record_id}, app, name, MAX(applied) FROM django_migrations WHERE name = '0002_price' GROUP BY app, name"
        )


OTHERS = pytest.mark.parametrize("others", [(-5,), (5000,), (-5, 5000, 5001)], ids=["older", "newer", "both"])


@OTHERS
@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001")])
def test_what_is_bound_to_one_of_them_is_what_was_applied(left, others, args):
    """It is rolled back, and all of its records go."""
    record_again(left, *others)
    assert "unbound" not in left.manage("show_stored_migrations", "shop").stdout
    left.manage("verify_migrations", "shop", "0002_price")

    left.manage(*args)

    assert left.columns("shop_product") == {"id", "name"}
    assert left.applied("shop") == ["0001_initial"]


@OTHERS
def test_its_file_does_not_take_its_place(left, others):
    """Nothing else was applied, so a file that was modified since is still modified."""
    record_again(left, *others)
    left.migration("shop.0002_price", add("product", "cost", "IntegerField(default=1)"), after="0001_initial")
    before = left.stored()

    left.manage("migrate")
    left.manage("backfill_migration_code")

    assert left.stored() == before
    left.manage("migrate", "shop", "0001")
    assert left.columns("shop_product") == {"id", "name"}
    assert left.applied("shop") == ["0001_initial"]


@OTHERS
def test_a_new_name_is_for_all_of_them(left, others):
    """What was renumbered is applied under its new name, and not under the old one as well."""
    record_again(left, *others)
    left.migration("shop.0002_main", add("product", "stock", "IntegerField(default=3)"), after="0001_initial")
    left.manage("migrate")
    left.migration("shop.0003_price", add("product", "price", "IntegerField(default=7)"), after="0002_main")

    left.manage("rewind", "--adopt", "--noinput")

    assert set(left.applied("shop")) == {"0001_initial", "0002_main", "0003_price"}
    left.manage("migrate", "shop", "0002_main")
    assert left.columns("shop_product") == {"id", "name", "stock"}


def test_another_one_in_its_place_is_not_that_record(left):
    """Where the record is gone that it was bound to, something else may have been applied."""
    record_again(left, 5000)
    left.execute("DELETE FROM django_migrations WHERE name = '0002_price' AND id < 5000")

    left.refused("migrate", "shop", "0001", naming="shop.0002_price")
