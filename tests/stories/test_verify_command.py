"""`verify_migrations` tells whether what is stored could be recovered here and now."""

from __future__ import annotations

from tests.helpers import Project, add

PRICE = add("product", "price", "IntegerField(default=7)")


def test_all_is_well(shop):
    """Each stored migration is loaded, and everything stays as it is."""
    before = shop.snapshot()

    result = shop.manage("verify_migrations")

    assert "could be recovered here without their files" in result.stdout
    assert shop.snapshot() == before
    assert "shop.0001_initial: OK" in shop.manage("verify_migrations", "shop", "--verbosity", "2").stdout


def broken(shop: Project) -> None:
    """Feature's 0002, whose helper was not stored, is applied and missing."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["shop.tones"])
    with shop.on_branch("feature"):
        shop.write("shop/tones.py", "TONE = 1\n")
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header="import shop.tones")
        shop.manage("migrate")


def test_one_that_could_not_be_recovered(shop):
    """It is named with its reason and the next step, and scripts see it."""
    broken(shop)

    result = shop.attempt("verify_migrations")

    assert result.returncode == 1
    assert "shop.0002_price: its stored source cannot import what it needs" in result.stdout
    assert "Bring back shop.tones" in result.stdout
    assert "1 of" in result.stderr
    assert "Traceback" not in result.output
    assert shop.attempt("verify_migrations", "django_rewind").returncode == 0


def test_one_that_was_tampered_with(shop):
    """It is refused before it is compiled."""
    shop.execute(
        "UPDATE django_migrations_code SET source_code = %s WHERE migration_name = '0001_initial'"
        " AND app_label = 'shop'",
        "open('executed', 'a').close()",
    )

    result = shop.attempt("verify_migrations", "shop")

    assert result.returncode == 1
    assert "changed after it was signed" in result.stdout
    assert not (shop.path / "executed").exists()


def test_unknown_app(shop):
    """It is refused by name."""
    shop.refused("verify_migrations", "stock", naming="stock")


def test_nothing_is_migrated_yet(new_shop):
    """Without a table there is nothing that could fail."""
    result = new_shop.manage("verify_migrations")

    assert "All 0 stored migrations" in result.stdout


def test_file_that_is_there_is_not_used(shop):
    """What would happen without the file is what counts, also where the file is there."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["tones"])
    shop.write("tones.py", "TONE = 1\n")
    file = shop.migration("shop.0002_price", PRICE, after="0001_initial", header="from tones import TONE")
    shop.manage("migrate")
    shop.manage("verify_migrations")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.delete("tones.py")

    assert file.exists()
    assert shop.attempt("verify_migrations", "shop").returncode == 1
