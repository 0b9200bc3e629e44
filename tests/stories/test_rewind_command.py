"""`manage.py rewind`: what it undoes, what it asks, and what it says."""

from __future__ import annotations

import pytest

from tests.helpers import add, create, python

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


@pytest.fixture
def left(shop):
    """A shop on main, with feature's 0002 applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    return shop


def test_nothing_to_rewind(shop):
    """With nothing missing it says so, changes nothing and succeeds."""
    before = shop.snapshot()

    assert shop.manage("rewind").output
    assert shop.attempt("rewind", "--check").returncode == 0
    assert shop.snapshot() == before


def test_exactly_the_missing_ones(left):
    """What is on disk stays, also when it was applied after the missing one."""
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))
    left.migration("shop.0002_stock", STOCK, after="0001_initial")
    left.manage("migrate")

    result = left.manage("rewind", "--noinput")

    assert left.columns("shop_product") == {"id", "name", "stock"}
    assert left.applied("shop") == ["0001_initial", "0002_stock"]
    assert left.applied("cart") == ["0001_initial"]
    assert "Loading shop.0002_price from stored code" in result.stdout


def test_check(left):
    """`--check` exits 1 as long as there is something to rewind."""
    before = left.snapshot()
    result = left.attempt("rewind", "--check")

    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert left.snapshot() == before
    left.manage("rewind", "--noinput")
    assert left.attempt("rewind", "--check").returncode == 0


def test_plan(left):
    """`--plan` names what would be undone and does nothing."""
    before = left.snapshot()

    assert "shop.0002_price" in left.manage("rewind", "--plan").stdout

    assert left.snapshot() == before


def test_nobody_to_ask(left):
    """Without a terminal and without --noinput it stops with an error."""
    left.refused("rewind")


def test_yes(left):
    """The plan is shown, a yes is asked for, and then it is done."""
    result = left.manage("rewind", answer="yes")

    assert "shop.0002_price" in result.stdout
    assert left.applied("shop") == ["0001_initial"]


@pytest.mark.parametrize("answer", ["no", ""])
def test_no(left, answer):
    """Anything but a yes leaves everything as it is."""
    before = left.snapshot()

    left.attempt("rewind", answer=answer)

    assert left.snapshot() == before


def test_rows_would_be_lost_in_production(left):
    """With DEBUG off, --noinput alone does not drop a column that holds data."""
    left.configure(DEBUG=False)
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")

    left.refused("rewind", "--noinput", naming="shop.0002_price")
    left.manage("rewind", "--noinput", "--allow-data-loss")

    assert left.columns("shop_product") == {"id", "name"}


def test_no_rows_would_be_lost_in_production(left):
    """With DEBUG off and empty tables there is nothing to lose."""
    left.configure(DEBUG=False)

    left.manage("rewind", "--noinput")

    assert left.columns("shop_product") == {"id", "name"}


def test_table_with_rows_in_production(shop):
    """A table that would be dropped with its rows counts as loss, in --noinput to a target too."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cart", create("Cart"), after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_cart (id) VALUES (1)")
    shop.configure(DEBUG=False)

    shop.refused("rewind", "--noinput", naming="shop.0002_cart")
    shop.refused("rewind", "shop", "0001", "--noinput", naming="shop.0002_cart")


def test_to_a_target(left):
    """`rewind app name` goes to the target, undoing files and missing ones above it."""
    left.migration("shop.0002_stock", STOCK, after="0001_initial")
    left.manage("migrate")

    left.manage("rewind", "shop", "0001", "--noinput")

    assert left.columns("shop_product") == {"id", "name"}
    assert left.applied("shop") == ["0001_initial"]


def test_to_zero(left):
    """`rewind app zero` undoes the whole app."""
    left.manage("rewind", "shop", "zero", "--noinput")

    assert "shop_product" not in left.tables()
    assert left.applied("shop") == []


@pytest.mark.parametrize("args", [("shop", "0009"), ("nowhere", "zero"), ("nowhere",)])
def test_unknown_target(left, args):
    """A target that there is not is an error."""
    left.refused("rewind", *args, "--noinput", naming=args[-1] if args[-1] == "0009" else "nowhere")


def test_one_app(left):
    """`rewind app` undoes the missing ones of that app alone."""
    with left.on_branch("carts"):
        left.app("cart")
        left.migration("cart.0001_initial", create("Line"))
        left.migration("cart.0002_gift", create("Gift"), after="0001_initial")
        left.manage("migrate")
        left.delete("cart/migrations/0002_gift.py")
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))

    left.manage("rewind", "cart", "--noinput")

    assert left.applied("cart") == ["0001_initial"]
    assert left.applied("shop") == ["0001_initial", "0002_price"]


def test_then_forward(left):
    """`--migrate` goes on with what this branch has."""
    left.migration("shop.0002_stock", STOCK, after="0001_initial")

    left.manage("rewind", "--noinput", "--migrate")

    assert left.columns("shop_product") == {"id", "name", "stock"}
    assert left.applied("shop") == ["0001_initial", "0002_stock"]


def test_other_database(left):
    """`--database` rewinds that database from its own store, and no other."""
    left.add_database("other")
    with left.on_branch("feature"):
        left.manage("migrate", "--database", "other")

    left.manage("rewind", "--database", "other", "--noinput")

    assert left.columns("shop_product", "other") == {"id", "name"}
    assert left.columns("shop_product") == {"id", "name", "price"}


def test_signals(left):
    """Receivers of pre_migrate and post_migrate hear of a rewind as they hear of a migrate."""
    left.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig
        from django.db.models import signals


        def note(signal, plan, apps, **kwargs):
            name = "pre" if signal is signals.pre_migrate else "post"
            steps = [(f"{step.app_label}.{step.name}", backwards) for step, backwards in plan]
            fields = sorted(field.name for field in apps.get_model("shop", "Product")._meta.fields)
            with open("log", "a") as log:
                print(name, steps, fields, file=log)


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                signals.pre_migrate.connect(note, sender=self)
                signals.post_migrate.connect(note, sender=self)
        """,
    )

    left.manage("rewind", "--noinput")

    assert left.read("log").splitlines() == [
        "pre [('shop.0002_price', True)] ['id', 'name', 'price']",
        "post [('shop.0002_price', True)] ['id', 'name']",
    ]


def test_content_types(shop):
    """Content types of a model that comes and goes are made and can be made again."""
    shop.install("django.contrib.contenttypes", "django_rewind", "shop")
    cart = shop.read("shop/models.py") + "\nclass Cart(models.Model):\n    pass\n"
    with shop.on_branch("feature"):
        shop.write("shop/models.py", cart)
        shop.migration("shop.0002_cart", create("Cart"), after="0001_initial")
        shop.manage("migrate")
        assert ("cart",) in shop.rows("SELECT model FROM django_content_type")

    shop.manage("rewind", "--noinput")
    with shop.on_branch("feature"):
        shop.manage("migrate")

    assert shop.rows("SELECT count(*) FROM django_content_type WHERE model = 'cart'") == [(1,)]


def test_irreversible_is_named_in_the_plan_run(shop):
    """What `rewind` cannot do it refuses before it asks."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_names", python(), after="0001_initial")
        shop.manage("migrate")

    shop.refused("rewind", naming="shop.0002_names", answer="yes")


def test_switched_off(left):
    """With us switched off nothing is undone."""
    left.configure(DJANGO_REWIND_ENABLED=False)

    left.refused("rewind", "--noinput")


def test_tables_of_installed_models_stay(shop):
    """A bare `rewind` keeps what an installed model lives in, the table between two of them as well."""
    models = shop.read("shop/models.py") + "    related = models.ManyToManyField('self')\n"
    shop.write("shop/models.py", models + "\n\nclass Extra(models.Model):\n    pass\n")
    related = add("product", "related", "ManyToManyField('self')")
    shop.migration("shop.0002_related", related, after="0001_initial")
    shop.migration("shop.0002_extra", create("Extra"), after="0001_initial")
    shop.migration("shop.0003_price", PRICE, after=["0002_related", "0002_extra"])
    shop.manage("migrate")
    for name in ("0002_related", "0002_extra", "0003_price"):
        shop.delete(f"shop/migrations/{name}.py")

    result = shop.manage("rewind", "--noinput")

    assert {"shop_extra", "shop_product_related"} <= shop.tables()
    assert shop.columns("shop_product") == {"id", "name"}
    assert "Loading shop.0003_price from stored code" in result.stdout
    assert shop.attempt("rewind", "--check").returncode == 0
