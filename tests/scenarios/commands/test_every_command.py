"""Each command with its main options, once on every Django: what they do in depth is told elsewhere."""

from __future__ import annotations

import json

from tests.support.helpers import add

STOCK = add("product", "stock", "IntegerField(default=3)")


def test_what_is_there_is_shown(left):
    """One migration is applied and missing, one is applied and there."""
    shown = left.manage("show_stored_migrations").stdout
    assert "0001_initial" in shown
    assert "0002_price" in shown
    found = json.loads(left.manage("show_stored_migrations", "shop", "--format", "json", "--missing").stdout)
    assert [one["name"] for one in found["databases"]["default"]["migrations"]] == ["0002_price"]
    assert "AddField" in left.manage("show_stored_migrations", "--source", "shop", "0002").stdout
    assert "applied" in left.manage("show_stored_migrations", "--history", "shop", "0002").stdout
    assert "0002_price" in left.manage("verify_migrations", "--format", "json").stdout
    assert left.manage("check", "--database", "default").returncode == 0


def test_the_way_back_is_shown_and_gone(left):
    """As a plan, as statements, by Django's own command, and by ours."""
    assert "0002_price" in left.manage("rewind", "--plan").stdout
    assert left.attempt("rewind", "--check").returncode == 1
    assert "ALTER TABLE" in left.manage("rewind", "--sql").stdout.upper()
    assert "0002_price" in left.manage("migrate", "shop", "0001", "--plan").stdout

    left.manage("rewind", "--noinput")

    assert left.applied("shop") == ["0001_initial"]
    assert left.columns("shop_product") == {"id", "name"}
    left.manage("prune_migration_code", "--before", "2001-01-01", "--noinput")


def test_files_come_and_go(shop):
    """Stored later, written back, edited and done again, renamed and adopted, accepted and signed."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_stock", STOCK, after="0001_initial")
        shop.configure(DJANGO_REWIND_ENABLED=False)
        shop.manage("migrate")
        shop.configure(DJANGO_REWIND_ENABLED=True)
    shop.manage("backfill_migration_code", "--from-git", answer="yes")
    shop.manage("restore_migrations", "shop", "0002")
    assert "stock" in shop.read("shop/migrations/0002_stock.py")

    shop.migration("shop.0002_stock", add("product", "rest", "IntegerField(default=3)"), after="0001_initial")
    shop.manage("rewind", "--redo", "shop", "0002_stock", "--noinput")
    assert shop.columns("shop_product") == {"id", "name", "rest"}
    renamed = shop.read("shop/migrations/0002_stock.py")
    shop.delete("shop/migrations/0002_stock.py")
    shop.write("shop/migrations/0002_rest.py", renamed)
    shop.manage("rewind", "--adopt", "--noinput")
    assert shop.applied("shop") == ["0001_initial", "0002_rest"]

    shop.configure(DJANGO_REWIND_SIGNING_KEYS=["another key", "a key of the story"])
    shop.manage("verify_migrations", "--sign")
    shop.configure(DJANGO_REWIND_SIGNING_KEYS=["another key"])
    shop.manage("verify_migrations")
    shop.manage("rewind_hook", "install")
    shop.manage("rewind_hook", "uninstall")
