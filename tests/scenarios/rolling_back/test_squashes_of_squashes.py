"""Squashed migrations that were squashed again, and those that replace migrations of another app."""

from __future__ import annotations

import django
import pytest

from tests.support.helpers import Project, add, create, python

nested = pytest.mark.skipif(django.VERSION < (6, 0), reason="Django squashes no squash before 6.0")

NAME = "CharField(max_length=50)"
PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
SIZE = add("product", "size", "IntegerField(default=2)")
FEATURE = add("product", "feature", "IntegerField(default=1)")
STAGING = ("rewind", "--migrate", "--adopt", "--noinput", "--allow-data-loss")


def originals(shop: Project, *names: str) -> None:
    """Write those of the originals that are named by their numbers."""
    if "2" in names:
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
    if "3" in names:
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
    if "4" in names:
        shop.migration("shop.0004_size", SIZE, after="0003_stock")


def inner(shop: Project) -> None:
    shop.migration(
        "shop.0001_inner",
        create("Product", name=NAME),
        PRICE,
        initial=True,
        replaces=["0001_initial", "0002_price"],
    )


def middle(shop: Project) -> None:
    shop.migration(
        "shop.0001_middle",
        create("Product", name=NAME),
        PRICE,
        STOCK,
        initial=True,
        replaces=["0001_inner", "0003_stock"],
    )


def outer(shop: Project) -> None:
    shop.migration(
        "shop.0001_outer",
        *(create("Product", name=NAME), PRICE, STOCK, SIZE),
        initial=True,
        replaces=["0001_middle", "0004_size"],
    )


ALL = ["0001_initial", "0002_price", "0003_stock", "0004_size", "0001_inner", "0001_middle", "0001_outer"]


@pytest.fixture(params=["one by one", "at once", "files deleted as they are replaced"])
def thrice(new_shop, request):
    """Main has the first original; since then three were released, squashed, and squashed again, twice."""
    shop = new_shop
    shop.commit()
    with shop.on_branch("new"):
        originals(shop, "2", "3", "4")
        if request.param != "at once":
            shop.manage("migrate")
        for write, replaced in (
            (inner, ALL[:2]),
            (middle, ["0001_inner", "0003_stock"]),
            (outer, ["0001_middle", "0004_size"]),
        ):
            write(shop)
            if request.param != "at once":
                shop.manage("migrate")
            if request.param == "files deleted as they are replaced":
                for name in replaced:
                    shop.delete(f"shop/migrations/{name}.py")
                shop.manage("migrate")
        shop.manage("migrate")
        assert set(shop.applied("shop")) == set(ALL)
    return shop


@nested
@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001"), STAGING])
def test_back_to_the_first_original(thrice, args):
    """What has no file there is rolled back, and the records of all squashes go with it."""
    shop = thrice
    assert shop.attempt("rewind", "--check").returncode == 1

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("migrate")


@nested
def test_originals_again_at_any_depth(thrice):
    """With all originals back nothing is missing; going back takes the squashes that stood for what goes."""
    shop = thrice
    originals(shop, "2", "3", "4")
    before = shop.snapshot()
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("rewind", "--noinput")
    shop.manage("migrate")
    assert shop.snapshot() == before

    shop.manage("migrate", "shop", "0003")
    assert set(shop.applied("shop")) == set(ALL) - {"0004_size", "0001_outer"}
    shop.manage("migrate", "shop", "0001_initial")
    assert shop.applied("shop") == ["0001_initial"]
    shop.manage("migrate", "shop", "zero")
    assert shop.applied("shop") == []


@nested
@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001"), STAGING])
def test_back_to_a_squash_that_was_squashed(thrice, args):
    """Where the inner squash is on disk alone, the rest is rolled back."""
    shop = thrice
    shop.delete("shop/migrations/0001_initial.py")
    inner(shop)

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert set(shop.applied("shop")) == {"0001_initial", "0002_price", "0001_inner"}


@nested
@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001"), STAGING])
def test_missing_one_above_the_outer_squash(thrice, args):
    """It hangs on what stands for its parent, and alone goes, where the outer squash is on disk."""
    shop = thrice
    with shop.on_branch("feature"):
        originals(shop, "2", "3", "4")
        shop.migration("shop.0005_feature", FEATURE, after="0004_size")
        shop.manage("migrate")
    shop.delete("shop/migrations/0001_initial.py")
    outer(shop)

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name", "price", "stock", "size"}
    assert set(shop.applied("shop")) == set(ALL)


@nested
@pytest.mark.parametrize("target", ["0004_size", "0002_price"])
def test_target_is_an_original_under_squashes(new_shop, target):
    """With everything on disk, Django goes there through the originals, and a missing one above goes, too."""
    shop = new_shop
    originals(shop, "2", "3", "4")
    inner(shop), middle(shop), outer(shop)
    shop.commit()
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0005_feature", FEATURE, after="0001_outer")
        shop.manage("migrate")

    shop.manage("migrate", "shop", target)

    rest = {"id", "name", "price", "stock", "size"} if target == "0004_size" else {"id", "name", "price"}
    assert shop.columns("shop_product") == rest
    assert [name for name in shop.applied("shop") if name in ALL[:4]] == ALL[
        : 4 if target == "0004_size" else 2
    ]


# Another app -----------------------------------------------------------------


@pytest.fixture(params=["stale", "installed"])
def moved(shop, request):
    """Main has moved shop's first migration to the app store; feature has built on the old one."""
    shop.commit()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.delete("shop/migrations/0001_initial.py")
    shop.app(
        "store",
        "class Product(models.Model):\n    name = models.CharField(max_length=50)\n    class Meta:\n        db_table = 'shop_product'\n",
    )
    shop.models("shop", "")
    fields = f"[('id', models.AutoField(primary_key=True)), ('name', models.{NAME})]"
    shop.migration(
        "store.0001_initial",
        f"migrations.CreateModel('Product', {fields}, {{'db_table': 'shop_product'}})",
        initial=True,
    )
    text = shop.read("store/migrations/0001_initial.py")
    shop.write(
        "store/migrations/0001_initial.py",
        text.replace("initial = True", "initial = True\n    replaces = [('shop', '0001_initial')]"),
    )
    if request.param == "stale":
        shop.install("django_rewind", "store")
    shop.manage("migrate")
    assert shop.applied("store") == ["0001_initial"]
    return shop


@pytest.mark.parametrize(
    "args",
    [
        ("rewind", "shop", "zero", "--noinput"),
        ("rewind", "shop", "0001", "--noinput"),
        ("rewind", "--include-stale-apps", "--noinput"),
    ],
)
def test_what_stands_on_a_migration_that_another_app_replaces(moved, args):
    """Its column goes, from the table that has another model by now."""
    moved.manage(*args, "--allow-data-loss")

    assert moved.columns("shop_product") == {"id", "name"}
    assert moved.rows("SELECT name FROM shop_product") == [("Tea",)]
    assert moved.applied("shop") == ["0001_initial"]
    assert moved.applied("store") == ["0001_initial"]


def test_what_another_app_replaces_goes_with_it(moved):
    """What stands on it goes first."""
    if "shop" not in moved.installed:
        moved.refused("migrate", "store", "zero", naming="shop.0002_price")
        moved.manage("rewind", "shop", "zero", "--noinput", "--allow-data-loss")

    moved.manage("migrate", "store", "zero")

    assert "shop_product" not in moved.tables()
    assert moved.applied("shop") == []


def test_forward_beside_what_another_app_replaces(moved):
    """The column of the missing migration stays, with its data."""
    moved.migration(
        "store.0002_note", add("product", "note", "CharField(max_length=9, default='')"), after="0001_initial"
    )

    result = moved.attempt("migrate")

    assert "Traceback" not in result.output
    if "shop" in moved.installed:
        assert moved.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]


def test_originals_of_two_apps(shop):
    """A squash of two apps' migrations stands for both; on an old checkout it follows them."""
    shop.app("cart")
    noop = python("migrations.RunPython.noop", "migrations.RunPython.noop")
    shop.migration("cart.0001_initial", noop, after="shop.0001_initial")
    shop.commit("Cart")
    shop.manage("migrate")
    with shop.on_branch("new"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration(
            "cart.0002_note",
            create("Cart"),
            after=["0001_initial", "shop.0002_price"],
        )
        shop.manage("migrate")
        names = "[('shop', '0001_initial'), ('shop', '0002_price'), ('cart', '0001_initial')]"
        shop.migration("shop.0001_both", create("Product", name=NAME), PRICE, initial=True)
        text = shop.read("shop/migrations/0001_both.py")
        shop.write(
            "shop/migrations/0001_both.py",
            text.replace("initial = True", f"initial = True\n    replaces = {names}"),
        )
        shop.manage("migrate")
        assert "0001_both" in shop.applied("shop")

    shop.manage("rewind", "--noinput")

    assert shop.columns("shop_product") == {"id", "name"}
    assert "cart_cart" not in shop.tables()
    assert shop.applied("shop") == shop.applied("cart") == ["0001_initial"]
