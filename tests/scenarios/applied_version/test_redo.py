"""`rewind --redo`: what ran is undone, and what is on disk now is applied."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
COST = add("product", "cost", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(null=True)")


def price(shop: Project, *operations: str) -> None:
    shop.migration("shop.0002_price", *operations, after="0001_initial")


@pytest.fixture
def edited(shop):
    """0002 was applied with one column and has another one now; 0003 depends on it."""
    price(shop, PRICE)
    shop.migration("shop.0003_stock", STOCK, after="0002_price")
    shop.manage("migrate")
    price(shop, COST)
    return shop


@pytest.fixture
def broken(edited):
    """The file of 0003 cannot be applied to what is in the table."""
    header = "def fail(apps, schema_editor):\n    raise ValueError('no stock')\n"
    operation = python("fail", "migrations.RunPython.noop")
    edited.migration("shop.0003_stock", STOCK, operation, after="0002_price", header=header)
    return edited


def test_with_what_depends_on_it(edited):
    """The old column goes, the new one comes, and so does what depends on it, in this order."""
    result = edited.manage("rewind", "--redo", "shop", "0002", answer="y")

    assert edited.columns("shop_product") == {"id", "name", "cost", "stock"}
    assert edited.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert "Loading shop.0002_price from stored code" in result.stdout
    assert "Applying shop.0002_price" in result.stdout


def test_is_shown_first(edited):
    """The question comes after what is undone, what is applied, and what is lost."""
    edited.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    before = edited.snapshot()

    result = edited.attempt("rewind", "--redo", "shop", "0002_price", answer="n")

    assert "shop.0002_price (from stored code)" in result.stdout
    assert "Loses the column 'price' of 'shop_product': 1 row" in result.stdout
    assert "Then applied from their files:\n  shop.0002_price\n  shop.0003_stock" in result.stdout
    assert edited.snapshot() == before


def test_what_is_applied_is_stored(edited):
    """What runs the second time is what a later rewind undoes."""
    edited.manage("rewind", "--redo", "shop", "0002", "--noinput")
    edited.delete("shop/migrations/0002_price.py")
    edited.delete("shop/migrations/0003_stock.py")

    edited.manage("rewind", "--noinput")

    assert edited.columns("shop_product") == {"id", "name"}


def test_missing_dependents_stay_undone(edited):
    """What depends on it and has no file is undone, and that is said before the yes."""
    edited.delete("shop/migrations/0003_stock.py")
    before = edited.snapshot()

    result = edited.attempt("rewind", "--redo", "shop", "0002", answer="n")
    assert "Not applied again, since there is no file: shop.0003_stock" in result.stdout
    assert edited.snapshot() == before
    edited.manage("rewind", "--redo", "shop", "0002", answer="y")

    assert edited.applied("shop") == ["0001_initial", "0002_price"]
    assert edited.columns("shop_product") == {"id", "name", "cost"}


def test_by_the_file(edited):
    """Where what ran is no good, the file can be what is undone, and is applied again."""
    edited.execute("ALTER TABLE shop_product RENAME COLUMN price TO cost")
    edited.execute("UPDATE django_migrations_code SET source_code = 'x' WHERE migration_name = '0002_price'")
    redo = ("rewind", "--redo", "shop", "0002", "--noinput")

    edited.refused(*redo, naming="--use-file shop.0002_price")
    edited.manage(*redo, "--use-file", "shop.0002_price")

    assert edited.columns("shop_product") == {"id", "name", "cost", "stock"}
    assert "AddField('product', 'cost'" in edited.stored()["shop.0002_price"]


def test_across_apps(edited):
    """What another app builds on it is applied again as well, and what it now needs before it."""
    edited.app("cart")
    edited.migration("cart.0001_initial", create("Line"), after="shop.0002_price")
    edited.manage("migrate")
    edited.migration("shop.0001_units", create("Unit"), after="0001_initial")
    edited.migration("shop.0002_price", COST, after="0001_units")

    edited.manage("rewind", "--redo", "shop", "0002", "--noinput")

    assert edited.applied("shop") == ["0001_initial", "0001_units", "0002_price", "0003_stock"]
    assert edited.applied("cart") == ["0001_initial"]
    assert {"cart_line", "shop_unit"} <= edited.tables()


def test_of_one_that_was_not_edited(shop):
    """Any applied migration with a file can be redone."""
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")

    shop.manage("rewind", "--redo", "shop", "0001", "--noinput", "--allow-data-loss")

    assert shop.rows("SELECT count(*) FROM shop_product") == [(0,)]
    assert shop.applied("shop") == ["0001_initial"]


def test_of_one_that_has_no_file(edited):
    """It is refused by name: there would be nothing to apply."""
    edited.delete("shop/migrations/0002_price.py")
    edited.delete("shop/migrations/0003_stock.py")

    edited.refused("rewind", "--redo", "shop", "0002", "--noinput", naming="shop.0002_price")


def test_of_one_that_is_not_applied(shop):
    """It is refused by name, and `migrate` is pointed to."""
    price(shop, PRICE)

    shop.refused("rewind", "--redo", "shop", "0002", "--noinput", naming=("shop.0002_price", "migrate"))


def test_of_one_that_was_squashed(shop):
    """An original whose place a squashed migration has taken is refused by name."""
    price(shop, PRICE)
    shop.manage("migrate")
    replaces = ["0001_initial", "0002_price"]
    both = (create("Product", name="CharField(max_length=50)"), PRICE)
    shop.migration("shop.0001_squashed", *both, replaces=replaces)
    shop.manage("migrate")

    shop.refused("rewind", "--redo", "shop", "0002", "--noinput", naming="shop.0002_price")
    shop.manage("rewind", "--redo", "shop", "0001_squashed", "--noinput")

    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert "0001_squashed" in shop.applied("shop")


def test_of_ours(shop):
    """Our own migrations hold what is stored: they are not redone."""
    shop.refused(
        "rewind", "--redo", "django_rewind", "0001", "--noinput", naming="django_rewind.0001_initial"
    )


def test_a_file_that_depends_on_what_goes(edited):
    """What would be undone for good cannot be needed by what is applied again."""
    edited.delete("shop/migrations/0002_price.py")

    edited.refused(
        "rewind", "--redo", "shop", "0001", "--noinput", naming=("shop.0003_stock", "shop.0002_price")
    )


def test_files_that_do_not_fit_together(edited):
    """What could not be applied again is found before anything is undone."""
    price(edited, add("article", "cost", "IntegerField(default=7)"))

    edited.refused("rewind", "--redo", "shop", "0002", "--noinput", naming="shop.0002_price")


def test_irreversible(shop):
    """What cannot be undone is refused before anything is asked."""
    price(shop, python())
    shop.manage("migrate")

    shop.refused("rewind", "--redo", "shop", "0002", naming="shop.0002_price", answer="y")


def test_interrupted(broken):
    """A failure going forward says what is undone, what is applied and how to go on."""
    result = broken.attempt("rewind", "--redo", "shop", "0002", "--noinput")

    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert "no stock" in result.stderr
    assert "Undone: shop.0003_stock, shop.0002_price." in result.stderr
    assert "Applied: shop.0002_price." in result.stderr
    assert "Not applied yet: shop.0003_stock." in result.stderr
    assert "'manage.py rewind --redo shop 0003_stock'" in result.stderr
    assert broken.applied("shop") == ["0001_initial", "0002_price"]


@pytest.mark.parametrize(
    "again",
    [("--redo", "shop", "0003_stock"), ("--redo", "shop", "0002"), ("--redo-modified",)],
    ids=" ".join,
)
def test_goes_on(broken, again):
    """When it is mended, what the message says and the same command again both finish it."""
    first = again if again[0] == "--redo-modified" else ("--redo", "shop", "0002")
    assert broken.attempt("rewind", *first, "--noinput").returncode == 1
    if broken.db().vendor == "mysql":
        broken.execute("ALTER TABLE shop_product DROP COLUMN stock")
    broken.migration("shop.0003_stock", STOCK, after="0002_price")

    broken.manage("rewind", *again, "--noinput")

    assert broken.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert broken.columns("shop_product") == {"id", "name", "cost", "stock"}
    assert "Nothing to rewind" in broken.manage("rewind", "--redo-modified").stdout


def test_interrupted_going_back(edited):
    """A failure on the way back says what is undone, and how to go on from there."""
    header = "def fail(apps, schema_editor):\n    raise ValueError('not today')\n"
    operation = python("migrations.RunPython.noop", "fail")
    edited.migration("shop.0001_names", operation, after="0001_initial", header=header)
    edited.migration("shop.0004_late", create("Late"), after=["0003_stock", "0001_names"])
    edited.manage("migrate")

    result = edited.attempt("rewind", "--redo", "shop", "0001_names", "--noinput")

    assert "not today" in result.stderr
    assert "Undone: shop.0004_late." in result.stderr
    assert "'manage.py migrate shop 0004_late'" in result.stderr
    assert "shop_late" not in edited.tables()


def test_differing(edited):
    """`--redo-modified` redoes all that differ, and what was edited without effect is left out."""
    edited.app("cart")
    edited.migration("cart.0001_initial", create("Line"))
    edited.manage("migrate")
    header = "UNUSED = 1\n"
    edited.migration("cart.0001_initial", create("Line"), header=header)

    result = edited.manage("rewind", "--redo-modified", "--noinput")

    assert edited.columns("shop_product") == {"id", "name", "cost", "stock"}
    assert "cart.0001_initial..." not in result.stdout
    assert edited.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]


def test_differing_of_one_app(edited):
    """With an app label the others are left as they ran."""
    edited.app("cart")
    edited.migration("cart.0001_initial", create("Line"))
    edited.manage("migrate")
    edited.migration("cart.0001_initial", create("Row"))

    result = edited.manage("rewind", "cart", "--redo-modified", "--noinput")

    assert "cart_row" in edited.tables()
    assert "cost" not in edited.columns("shop_product")
    assert "Skipped: shop.0002_price" in result.stdout


def test_differing_is_checked(edited):
    """`--check` exits 1 as long as a file was edited, and nothing stored is executed for it."""
    before = edited.snapshot()

    result = edited.attempt("rewind", "--redo-modified", "--check", "--format", "json")

    assert result.returncode == 1
    (database,) = json.loads(result.stdout)["databases"].values()
    assert [step["name"] for step in database["steps"]] == ["0003_stock", "0002_price"]
    assert [step["name"] for step in database["applies"]] == ["0002_price", "0003_stock"]
    assert edited.snapshot() == before
    edited.manage("rewind", "--redo-modified", "--noinput")
    assert edited.attempt("rewind", "--redo-modified", "--check").returncode == 0


@pytest.mark.parametrize("args", [(), ("--plan",)], ids=" ".join)
def test_what_is_left_as_it_ran_is_said(edited, args):
    """Without --redo, `rewind` names the edited migrations that it leaves, and leaves them."""
    before = edited.schema()

    result = edited.manage("rewind", *args)

    assert "Skipped: shop.0002_price" in result.stdout
    assert edited.schema() == before


def test_what_would_not_be_as_the_files_say(edited):
    """With `--migrate` the schema shall be what the files say, so an edited one that stays is refused."""
    edited.refused("rewind", "--migrate", "--noinput", naming=("shop.0002_price", "--redo-modified"))

    edited.manage("verify_migrations", "--accept", "shop", "0002_price")
    edited.manage("rewind", "--migrate", "--noinput")


def test_what_was_verified_to_do_the_same(edited):
    """It is not named any more."""
    edited.migration("shop.0002_price", PRICE, after="0001_initial", header="UNUSED = 1\n")
    assert "shop.0002_price" in edited.manage("rewind").stdout

    edited.manage("verify_migrations")

    assert "shop.0002_price" not in edited.manage("rewind").stdout
    assert edited.attempt("rewind", "--redo-modified", "--check").returncode == 0


def test_on_another_database(edited):
    """The way to go on names the database."""
    edited.add_database("other")
    price(edited, PRICE)
    edited.manage("migrate", "--database", "other")
    price(edited, python("sorted", "sorted"), COST)

    result = edited.attempt("rewind", "--redo", "shop", "0002", "--noinput", "--database", "other")

    assert "'manage.py rewind --redo shop 0002_price --database other'" in result.stderr
    assert edited.applied("shop", "other") == ["0001_initial"]
    assert edited.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
