"""Squashed migrations: on disk, stored, partly applied, and met again on an old checkout."""

from __future__ import annotations

import django
import pytest

from tests.support.helpers import Project, add, create

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
ORIGINALS = ["0001_initial", "0002_price", "0003_stock"]
SQUASH = "0001_squashed_0003"


def write_originals(shop: Project) -> None:
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stock", STOCK, after="0002_price")


def delete_originals(shop: Project) -> None:
    for name in ORIGINALS:
        shop.delete(f"shop/migrations/{name}.py")


def write_squash(shop: Project, **attributes: object) -> None:
    shop.migration(
        f"shop.{SQUASH}",
        create("Product", name="CharField(max_length=50)"),
        PRICE,
        STOCK,
        initial=True,
        **attributes,
    )


def shop_tables(shop: Project) -> set[str]:
    return {table for table in shop.tables() if table.startswith("shop_")}


@pytest.fixture
def squashed(shop):
    """The originals are applied, and the squash stands in their place."""
    write_originals(shop)
    shop.manage("migrate")
    delete_originals(shop)
    write_squash(shop, replaces=ORIGINALS)
    shop.manage("migrate")
    return shop


def assert_nothing_missing(shop: Project) -> None:
    before = shop.snapshot()
    assert shop.attempt("rewind", "--check").returncode == 0
    assert shop.manage("migrate").stdout.count("No migrations to apply.") == 1
    shop.manage("rewind", "--noinput")
    assert shop.snapshot() == before


def test_replaced_files_gone(squashed):
    """Migrations that an applied squash on disk replaces are not missing."""
    assert set(squashed.applied("shop")) == {*ORIGINALS, SQUASH}
    assert f"shop.{SQUASH}" in squashed.stored()
    assert_nothing_missing(squashed)


def test_zero_through_a_squash(squashed):
    """`zero` undoes the squash once, and its originals with it."""
    squashed.manage("migrate", "shop", "zero")

    assert shop_tables(squashed) == set()
    # Django 3.2 forgets the originals alone, with us or without.
    assert squashed.applied("shop") == ([SQUASH] if django.VERSION < (4, 0) else [])


def test_replaces_gone_later(squashed):
    """The stored squash still knows what it replaced when the file no longer says so."""
    write_squash(squashed)

    assert_nothing_missing(squashed)
    squashed.manage("migrate", "shop", "zero")
    assert shop_tables(squashed) == set()
    assert squashed.applied("shop") == []


@pytest.fixture
def squashed_for_good(shop):
    """All that Django's documentation says to do with a squash was done: what stood on an original stands on it."""
    shop.app("cart")
    write_originals(shop)
    shop.migration("cart.0001_initial", create("Cart"), after="shop.0003_stock")
    shop.migration("shop.0004_more", FEATURE, after="0003_stock")
    shop.manage("migrate")
    delete_originals(shop)
    write_squash(shop, replaces=ORIGINALS)
    shop.manage("migrate")
    write_squash(shop)
    shop.migration("cart.0001_initial", create("Cart"), after=f"shop.{SQUASH}")
    shop.migration("shop.0004_more", FEATURE, after=SQUASH)
    return shop


def test_a_squash_that_became_a_normal_migration_is_no_difference(squashed_for_good):
    """Nothing would be undone otherwise, so nobody has to look."""
    shop = squashed_for_good

    before = shop.manage("show_stored_migrations").stdout
    assert shop.manage("verify_migrations", "--strict").stdout.endswith("are as they should be.\n")
    assert "modified:" not in before
    assert "modified" in before
    assert "modified" not in shop.manage("show_stored_migrations").stdout
    shop.manage("migrate", "shop", "zero")
    assert shop_tables(shop) == set()
    assert shop.applied("cart") == []


def test_a_squash_that_counts_as_what_ran(squashed):
    """Accepted without its `replaces`, it has superseded its originals, and takes their records along."""
    write_squash(squashed)
    squashed.manage("verify_migrations", "--accept", "shop", SQUASH)
    assert_nothing_missing(squashed)

    squashed.manage("migrate", "shop", "zero")

    assert shop_tables(squashed) == set()
    assert squashed.applied("shop") == []


def test_a_squash_that_says_that_it_replaces_something_else_differs(squashed):
    """What it stands for is what its records are."""
    write_squash(squashed, replaces=ORIGINALS[:2])

    result = squashed.attempt("verify_migrations", "shop")

    assert result.returncode == 1
    assert f"shop.{SQUASH}: modified: dependencies" in result.stdout


def test_what_stands_on_something_else_than_the_squash_differs(squashed_for_good):
    """It would be undone in another order."""
    shop = squashed_for_good
    shop.app("depot")
    shop.migration("depot.0001_initial", create("Depot"))
    shop.manage("migrate")
    shop.migration("cart.0001_initial", create("Cart"), after="depot.0001_initial")

    result = shop.attempt("verify_migrations")

    assert result.returncode == 1
    assert "cart.0001_initial: modified: dependencies" in result.stdout
    assert "1 of" in result.stderr


def test_partly_applied(shop):
    """Originals of a squash that is only partly applied are missing, and can be undone."""
    shop.models("shop", "")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    for name in ORIGINALS[:2]:
        shop.delete(f"shop/migrations/{name}.py")
    write_squash(shop, replaces=ORIGINALS)

    shop.manage("migrate", "shop", "zero")

    assert shop_tables(shop) == set()
    assert shop.applied("shop") == []
    shop.manage("migrate")
    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}


def test_originals_again_on_an_old_checkout(new_shop):
    """A stored squash whose originals are on disk is not missing; its row follows theirs."""
    shop = new_shop
    write_originals(shop)
    shop.commit("Originals")
    with shop.on_branch("new"):
        delete_originals(shop)
        write_squash(shop, replaces=ORIGINALS)
        shop.manage("migrate")
        assert set(shop.applied("shop")) == {*ORIGINALS, SQUASH}

    shop.manage("migrate")
    assert_nothing_missing(shop)
    result = shop.manage("migrate", "shop", "0002")

    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert "from stored code" not in result.output
    shop.manage("migrate", "shop", "zero")
    assert shop_tables(shop) == set()
    assert shop.applied("shop") == []


def test_missing_squash(shop):
    """A squash that is gone with its originals is undone once, with all its records."""
    before = shop.schema()
    names = ORIGINALS[1:]
    with shop.on_branch("feature"):
        shop.migration("shop.0002_squashed_0003", PRICE, STOCK, after="0001_initial", replaces=names)
        shop.manage("migrate")
        assert set(shop.applied("shop")) == {"0001_initial", *names, "0002_squashed_0003"}

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert result.stdout.count("Loading shop.0002_squashed_0003 from stored code") == 1


def test_rewind_of_a_missing_squash(shop):
    """`rewind` undoes a missing squash, and a parallel migration of this branch stays."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_squashed_0003", PRICE, STOCK, after="0001_initial", replaces=ORIGINALS[1:])
        shop.manage("migrate")
    shop.migration(
        "shop.0002_colour",
        add("product", "colour", "CharField(max_length=9, default='')"),
        after="0001_initial",
    )
    shop.manage("migrate")

    shop.manage("rewind", "--noinput")

    assert shop.columns("shop_product") == {"id", "name", "colour"}
    assert shop.applied("shop") == ["0001_initial", "0002_colour"]


def test_originals_applied_squash_recorded_then_all_gone(shop):
    """Originals applied one by one and a squash recorded later are undone once."""
    before = shop.schema()
    with shop.on_branch("feature"):
        write_originals(shop)
        shop.manage("migrate")
        shop.migration("shop.0002_squashed_0003", PRICE, STOCK, after="0001_initial", replaces=ORIGINALS[1:])
        shop.manage("migrate")
        assert "0002_squashed_0003" in shop.applied("shop")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


@pytest.mark.skipif(django.VERSION < (4, 0), reason="Django 3.2 finds no such target.")
def test_target_is_a_replaced_migration(shop):
    """With the squash and its originals on disk, a missing one above them is undone once."""
    write_originals(shop)
    shop.migration("shop.0002_squashed_0003", PRICE, STOCK, after="0001_initial", replaces=ORIGINALS[1:])
    shop.commit("Squash")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0004_cart", create("Cart"), after="0002_squashed_0003")
        shop.manage("migrate")

    shop.manage("migrate", "shop", "0002_price")

    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert shop_tables(shop) == {"shop_product"}
    assert shop.applied("shop") == ["0001_initial", "0002_price"]


FEATURE = add("product", "feature", "IntegerField(default=1)")


@pytest.fixture(params=["one by one", "by the squash"])
def released(new_shop, request):
    """Main has the first original alone; since then two more were released, a squash beside them, and one on top."""
    shop = new_shop
    shop.app("cart")
    shop.commit("Prepare a cart")
    with shop.on_branch("new"):
        write_originals(shop)
        if request.param == "one by one":
            shop.manage("migrate")
        write_squash(shop, replaces=ORIGINALS)
        shop.manage("migrate")
        shop.migration("cart.0001_initial", create("Cart"), after=f"shop.{SQUASH}")
        shop.migration("shop.0004_more", FEATURE, after=SQUASH)
        shop.manage("migrate")
    return shop


@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001")])
def test_back_to_some_of_the_originals(released, args):
    """What has no file there is undone one by one, and the record of the squash goes with it."""
    shop = released
    assert shop.attempt("rewind", "--check").returncode == 1

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.attempt("rewind", "--check").returncode == 0
    assert shop.manage("migrate").stdout.count("No migrations to apply.") == 1


def test_forward_again_after_some_of_the_originals(released):
    """The squash is recorded again, and can be gone back from once more."""
    shop = released
    shop.manage("rewind", "--noinput")
    with shop.on_branch("new"):
        shop.manage("migrate")
        assert shop.columns("shop_product") == {"id", "name", "price", "stock", "feature"}
        assert {*ORIGINALS, SQUASH} <= set(shop.applied("shop"))

    shop.manage("migrate", "shop", "zero")

    assert shop_tables(shop) == set()
    assert shop.applied("shop") == []


def test_an_original_that_is_not_stored_is_refused_by_name(new_shop):
    """Where the squash ran alone, nobody has seen its originals."""
    shop = new_shop
    shop.commit("One original")
    with shop.on_branch("new"):
        shop.delete("shop/migrations/0001_initial.py")
        write_squash(shop, replaces=ORIGINALS)
        shop.manage("migrate")

    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    shop.manage("migrate")
    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}


@pytest.fixture
def squashed_below(shop):
    """What feature left applied depends on migrations that main has squashed since, in two apps."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Cart"))
    write_originals(shop)
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0004_feature", FEATURE, after="0003_stock")
        shop.migration("cart.0002_gift", create("Gift"), after="0001_initial")
        shop.manage("migrate")
    delete_originals(shop)
    write_squash(shop, replaces=ORIGINALS)
    shop.manage("migrate")
    return shop


@pytest.fixture(params=["replaces-there", "replaces-gone", "squashed-again"])
def squashed_above(squashed_below, request):
    """The squash as it is, without its `replaces`, or squashed once more and its file gone."""
    shop = squashed_below
    if request.param == "replaces-gone":
        write_squash(shop)
    elif request.param == "squashed-again":
        if django.VERSION < (6, 0):
            pytest.skip("Django cannot squash squashed migrations before 6.0.")
        columns = {"name": "CharField(max_length=50)", "price": "IntegerField(default=7)"}
        again = create("Product", **columns, stock="IntegerField(default=3)")
        shop.migration("shop.0001_again", again, initial=True, replaces=[SQUASH])
        shop.manage("migrate")
        shop.delete(f"shop/migrations/{SQUASH}.py")
        shop.manage("migrate")
    return shop


BACK = [
    ("rewind", "--noinput"),
    ("migrate", "shop", "0001"),
    # The last of what was squashed: a target stays.
    ("migrate", "shop", "0003_stock"),
    ("rewind", "shop", "0003", "--noinput"),
]


@pytest.mark.parametrize("args", BACK)
def test_missing_one_above_a_squash(squashed_above, args):
    """It hangs on what stands for its parent, and is undone."""
    shop = squashed_above

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}
    assert "0004_feature" not in shop.applied("shop")
    assert ("0002_gift" in shop.applied("cart")) is ("shop" in args)


def test_a_target_within_a_squash_is_refused(squashed_below):
    """What was squashed after it cannot be rolled back alone."""
    squashed_below.refused("migrate", "shop", "0002_price")
    squashed_below.refused("rewind", "shop", "0002", "--noinput", naming="shop.0002_price")


def test_unrecoverable_one_above_a_squash(squashed_above):
    """Asked to go back over it, we say so, though the record of the squash is younger."""
    shop = squashed_above
    shop.execute("UPDATE django_migrations_code SET signature = '' WHERE migration_name = '0004_feature'")

    shop.refused("migrate", "shop", "0001", naming="shop.0004_feature")
    shop.manage("migrate", "cart", "0001")
    assert shop.applied("cart") == ["0001_initial"]


@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", SQUASH)])
def test_missing_one_above_a_squash_that_follows_its_originals(new_shop, args):
    """On an old checkout, what was applied after the squash hangs on the originals."""
    shop = new_shop
    write_originals(shop)
    shop.commit("Originals")
    with shop.on_branch("new"):
        delete_originals(shop)
        write_squash(shop, replaces=ORIGINALS)
        shop.migration("shop.0004_feature", FEATURE, after=SQUASH)
        shop.manage("migrate")

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}
    assert shop.applied("shop")[-1] != "0004_feature"


def test_squash_edited_after_it_was_recorded(shop):
    """What is stored of a squashed migration is what is reversed, as of any other."""
    write_originals(shop)
    shop.manage("migrate")
    for name in ORIGINALS[1:]:
        shop.delete(f"shop/migrations/{name}.py")
    shop.migration("shop.0002_squashed_0003", PRICE, STOCK, after="0001_initial", replaces=ORIGINALS[1:])
    shop.manage("migrate")
    shop.migration("shop.0002_squashed_0003", PRICE, after="0001_initial", replaces=ORIGINALS[1:])

    result = shop.manage("migrate", "shop", "0001")

    assert shop.columns("shop_product") == {"id", "name"}
    assert "Loading shop.0002_squashed_0003 from stored code" in result.stdout
    assert shop.applied("shop") == ["0001_initial"]
