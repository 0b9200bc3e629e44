"""`verify_migrations` tells whether what is stored could be recovered here and now."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import Project, add

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")


def test_all_is_well(shop):
    """Each stored migration is loaded, and no app's data or schema is touched."""
    before = shop.schema()

    result = shop.manage("verify_migrations")

    assert "are as they should be" in result.stdout
    assert shop.schema() == before
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
    assert (
        "shop.0002_price: cannot be recovered: its stored source cannot import what it needs" in result.stdout
    )
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


COST = add("product", "cost", "IntegerField(default=7)")


def edited(shop: Project) -> None:
    """The file of 0002, which is applied, adds another column by now."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_price", COST, after="0001_initial")


def test_edited_file(shop):
    """It is a failure, the diff shows what was edited, and what was found is remembered."""
    edited(shop)
    assert "modified: operations" in shop.manage("show_stored_migrations", "shop").stdout

    result = shop.attempt("verify_migrations", "shop", "--diff")

    assert result.returncode == 1
    assert "shop.0002_price: modified: operations" in result.stdout
    assert "-        migrations.AddField('product', 'price'" in result.stdout
    assert "+        migrations.AddField('product', 'cost'" in result.stdout
    assert shop.rows(
        "SELECT differs FROM django_migrations_code_verification WHERE migration_name = '0002_price'"
    ) == [("operations",)]


def test_edit_that_only_execution_can_judge(shop):
    """It is called modified until it was verified, and then what it is."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_price", PRICE.replace("default=7", "default=3 + 4"), after="0001_initial")
    assert "modified" in shop.manage("show_stored_migrations", "shop").stdout

    shop.manage("verify_migrations", "shop")

    assert "modified" not in shop.manage("show_stored_migrations", "shop").stdout
    shop.migration("shop.0002_price", PRICE.replace("default=7", "default=8"), after="0001_initial")
    assert "modified" in shop.manage("show_stored_migrations", "shop").stdout
    assert shop.attempt("verify_migrations", "shop").returncode == 1
    assert "modified: operations" in shop.manage("show_stored_migrations", "shop").stdout


def test_other_dependencies(shop):
    """They are told from other operations."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_cost", COST, after="0002_price")
    shop.manage("migrate")
    shop.migration("shop.0003_cost", COST, after=["0002_price", "0001_initial"])

    result = shop.attempt("verify_migrations", "shop")

    assert "shop.0003_cost: modified: dependencies" in result.stdout


def test_accept(shop):
    """The file is what is reversed from then on, and what ran stays as history."""
    edited(shop)
    shop.execute("ALTER TABLE shop_product RENAME COLUMN price TO cost")

    shop.manage("verify_migrations", "--accept", "shop", "0002")

    shop.manage("verify_migrations")
    assert "'cost'" in shop.stored()["shop.0002_price"]
    (text,) = [text for (text,) in shop.rows("SELECT source_code FROM django_migrations_code_history")]
    assert "'price'" in text
    (shop.path / "shop/migrations/0002_price.py").unlink()
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}


def test_nothing_to_accept(shop):
    """It says so, and a name that cannot be accepted is refused."""
    assert "nothing to accept" in shop.manage("verify_migrations", "--accept", "shop", "0001").stdout
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.refused("verify_migrations", "--accept", "shop", "0002", naming=("shop.0002_price", "not applied"))
    shop.refused("verify_migrations", "--accept", "shop", "0009", naming="0009")


def baseline(shop: Project) -> None:
    """Of 0002, which is applied, there is neither file nor source."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_price.py")
    shop.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'")


def test_forget(shop):
    """What can never be undone is red until somebody says that it is known."""
    baseline(shop)
    result = shop.attempt("verify_migrations")
    assert result.returncode == 1
    assert "verify_migrations --acknowledge shop 0002_price" in result.stdout

    shop.manage("verify_migrations", "--acknowledge", "shop", "0002_price")

    shop.manage("verify_migrations", "--strict")
    assert "acknowledged" in shop.manage("show_stored_migrations", "shop").stdout
    assert shop.applied("shop") == ["0001_initial", "0002_price"]


def test_what_can_be_undone_is_not_forgotten(shop):
    """There is a better way, which the error names."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")

    shop.refused("verify_migrations", "--acknowledge", "shop", "0002", naming=("shop.0002_price", "rewind"))
    shop.refused(
        "verify_migrations", "--acknowledge", "shop", "0001", naming=("shop.0001_initial", "on disk")
    )


def test_missing_file(shop):
    """It is a failure for those who say so."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")

    shop.manage("verify_migrations")
    result = shop.attempt("verify_migrations", "--strict")
    assert result.returncode == 1
    assert "shop.0002_price: its file is missing" in result.stdout


def test_excluded_app(shop):
    """What it does not store is no failure, and is shown for what it is."""
    shop.configure(DJANGO_REWIND_EXCLUDE=["shop"])
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")

    assert "shop.0002_price" not in shop.stored()
    shop.manage("verify_migrations")
    assert "excluded" in shop.manage("show_stored_migrations", "shop").stdout
    shop.delete("shop/migrations/0002_price.py")
    shop.refused("migrate", "shop", "0001", naming=("shop.0002_price", "DJANGO_REWIND_EXCLUDE"))


def test_json(shop):
    """One document on stdout, and the exit status says whether somebody has to look."""
    edited(shop)

    result = shop.attempt("verify_migrations", "shop", "--format", "json")

    document = json.loads(result.stdout)
    assert (document["format"], document["command"]) == (1, "verify_migrations")
    found = {one["name"]: one for one in document["databases"]["default"]["migrations"]}
    assert found["0002_price"]["wrong"]
    assert found["0002_price"]["differs"] == ["operations"]
    assert not found["0001_initial"]["wrong"]
    assert found["0001_initial"]["recoverable"]
    assert result.returncode == 1


def test_all_databases(shop):
    """Each is verified and shown under its name."""
    shop.add_database("other")
    shop.manage("migrate", "--database", "other")

    result = shop.manage("verify_migrations", "--database", "all", "--format", "json")

    assert set(json.loads(result.stdout)["databases"]) == {"default", "other"}
    assert "Database other:" in shop.manage("show_stored_migrations", "--database", "all").stdout
    shop.refused("verify_migrations", "--database", "nowhere", naming="nowhere")
