"""A migration was renumbered after it had been applied: it is adopted, and nothing is undone."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import Project, add, create

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
COST = add("product", "cost", "IntegerField(default=8)")
STOCK = add("product", "stock", "IntegerField(default=3)")


@pytest.fixture
def rebased(shop: Project) -> Project:
    """Feature's 0002 and 0003 are applied; rebased on main's 0002 they are 0003 and 0004."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_cost", COST, after="0002_price")
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (name, price, cost) VALUES ('Tea', 42, 43)")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_price", PRICE, after="0002_stock")
    shop.migration("shop.0004_cost", COST, after="0003_price")
    return shop


@pytest.fixture
def renamed(shop: Project) -> Project:
    """Feature's 0002 is applied; on disk it has another name."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.migration("shop.0002_money", PRICE, after="0001_initial")
    return shop


def prices(shop: Project) -> list[object]:
    return [price for (price,) in shop.rows("SELECT price FROM shop_product")]


CENTS = """
def to_cents(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.name += "!"
        product.save()
"""


@pytest.mark.parametrize(
    "operation",
    [
        "migrations.RunPython(to_cents, to_cents)",
        "migrations.RunSQL(\"UPDATE shop_product SET name = name || '!'\", '')",
        "migrations.AlterModelOptions('product', {'ordering': ['name']})",
    ],
)
def test_nothing_is_done_twice(shop, operation):
    """Of data no database would say that it was changed already."""
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_data", operation, after="0001_initial", header=CENTS)
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_data", operation, after="0002_stock", header=CENTS)
    names = shop.rows("SELECT name FROM shop_product")

    result = shop.refused("migrate", naming=("shop.0002_data", "shop.0003_data"))
    assert "would be done twice" in result.stderr
    shop.manage("rewind", "--adopt", "--migrate", "--noinput")

    assert shop.applied("shop") == ["0001_initial", "0003_data", "0002_stock"]
    assert shop.rows("SELECT name FROM shop_product") == names


def test_a_merge_is_done_as_often_as_there_is_one(shop):
    """It does nothing, so that no two are the same."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_merge", after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_other", after="0001_initial")

    shop.manage("migrate")

    assert "0002_other" in shop.applied("shop")


def test_adopt(renamed):
    """Record and stored row have the new name; schema and data are as they were."""
    schema = renamed.schema()

    result = renamed.manage("rewind", "--adopt", "--noinput")

    assert "shop.0002_price is shop.0002_money from now on" in result.stdout
    assert renamed.applied("shop") == ["0001_initial", "0002_money"]
    assert {name for name in renamed.stored() if name.startswith("shop.")} == {
        "shop.0001_initial",
        "shop.0002_money",
    }
    assert (renamed.schema(), prices(renamed)) == (schema, [42])
    assert "No migrations to apply" in renamed.manage("migrate").stdout
    assert "Nothing to adopt" in renamed.manage("rewind", "--adopt", "--noinput").stdout
    renamed.delete("shop/migrations/0002_money.py")
    renamed.manage("migrate", "shop", "0001")
    assert renamed.columns("shop_product") == {"id", "name"}


def test_somebody_has_to_agree(renamed):
    """What becomes what is shown before."""
    before = renamed.snapshot()

    result = renamed.attempt("rewind", "--adopt", answer="n")

    assert "shop.0002_price is on disk as shop.0002_money" in result.stdout
    assert result.returncode == 1
    renamed.refused("rewind", "--adopt", naming="nobody to ask")
    assert renamed.snapshot() == before
    renamed.manage("rewind", "--adopt", answer="yes")
    assert renamed.applied("shop") == ["0001_initial", "0002_money"]


def test_a_bare_rewind_leaves_it_alone(renamed):
    """It is named with the way to adopt it, and undone by those who say so."""
    before = renamed.snapshot()

    assert "--adopt" in renamed.manage("rewind", "--noinput", "--allow-data-loss").stdout
    assert renamed.attempt("rewind", "--check").returncode == 0
    assert renamed.snapshot() == before

    renamed.manage("rewind", "--noinput", "--allow-data-loss", "--include-renamed")

    assert renamed.columns("shop_product") == {"id", "name"}


def test_migrate_points_to_it(renamed):
    """Applying it again would collide with itself."""
    renamed.refused("migrate", naming=("shop.0002_money", "shop.0002_price", "rewind --adopt"))
    renamed.refused(
        "rewind", "--migrate", "--noinput", naming=("shop.0002_money", "--adopt", "--include-renamed")
    )


def test_whole_chain_that_has_to_wait(rebased):
    """What it depends on by now is not applied: it is said what to do, and nothing is changed."""
    rebased.refused("rewind", "--adopt", "--noinput", naming=("shop.0002_stock", "--migrate"))

    rebased.manage("migrate", "shop", "0002_stock")
    rebased.manage("rewind", "--adopt", "--noinput")

    assert set(rebased.applied("shop")) == {"0001_initial", "0002_stock", "0003_price", "0004_cost"}
    assert prices(rebased) == [42]
    assert "No migrations to apply" in rebased.manage("migrate").stdout


def test_all_at_once(rebased):
    """`--migrate` applies first what the adopted ones have to come after."""
    rebased.manage("rewind", "--adopt", "--migrate", "--noinput")

    assert rebased.applied("shop") == ["0001_initial", "0003_price", "0004_cost", "0002_stock"]
    assert rebased.columns("shop_product") == {"id", "name", "price", "cost", "stock"}
    assert prices(rebased) == [42]
    rebased.manage("migrate", "shop", "0001")
    assert rebased.columns("shop_product") == {"id", "name"}


def test_in_between(rebased):
    """Main has one more between the two that are adopted."""
    rebased.migration("shop.0004_more", add("product", "more", "IntegerField(default=1)"), after="0003_price")
    rebased.migration("shop.0005_cost", COST, after="0004_more")
    rebased.delete("shop/migrations/0004_cost.py")

    rebased.manage("rewind", "--adopt", "--migrate", "--noinput")

    assert set(rebased.applied("shop")) == {
        "0001_initial",
        "0002_stock",
        "0003_price",
        "0004_more",
        "0005_cost",
    }
    assert prices(rebased) == [42]


def test_plan_check_and_json(renamed):
    """They show what would be adopted, and change nothing."""
    before = renamed.snapshot()

    assert "shop.0002_money" in renamed.manage("rewind", "--adopt", "--plan").stdout
    assert renamed.attempt("rewind", "--adopt", "--check").returncode == 1
    document = json.loads(renamed.manage("rewind", "--adopt", "--plan", "--format", "json").stdout)

    renamed_to = {"app": "shop", "name": "0002_price", "renamed_to": "0002_money"}
    assert document["databases"]["default"]["renamed"] == [renamed_to]
    assert document["databases"]["default"]["steps"] == []
    assert renamed.snapshot() == before


def test_one_that_hangs_on_another_missing_one(shop):
    """What would have to go with another one is not taken along unasked."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cost", COST, after="0001_initial")
        shop.migration("shop.0003_price", PRICE, after="0002_cost")
        shop.manage("migrate")
    shop.migration("shop.0002_money", PRICE, after="0001_initial")

    shop.refused("rewind", "--noinput", naming=("shop.0003_price", "shop.0002_money", "--include-renamed"))
    shop.manage("rewind", "--adopt", "--noinput")
    shop.manage("rewind", "--noinput")

    assert shop.applied("shop") == ["0001_initial", "0002_money"]
    assert shop.columns("shop_product") == {"id", "name", "price"}


def test_what_hangs_on_an_adopted_one(shop):
    """A missing migration of another app depends on it under its new name from then on."""
    with shop.on_branch("feature"):
        shop.app("cart")
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("cart.0001_initial", create("Line"), after="shop.0002_price")
        shop.manage("migrate")
    shop.install("django_rewind", "shop")
    shop.migration("shop.0002_money", PRICE, after="0001_initial")

    shop.manage("rewind", "--adopt", "--noinput")

    shop.manage("rewind", "cart", "zero", "--noinput")
    assert "cart_line" not in shop.tables()
    assert shop.applied("shop") == ["0001_initial", "0002_money"]


def test_after_the_tool_for_linear_migrations(shop):
    """It renames the file and changes the dependency, and touches nothing else."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.git("checkout", "feature", "--", "shop/migrations/0002_price.py")
    text = shop.read("shop/migrations/0002_price.py").replace("0001_initial", "0002_stock")
    shop.delete("shop/migrations/0002_price.py")
    shop.write("shop/migrations/0003_price.py", text)

    shop.manage("rewind", "--adopt", "--migrate", "--noinput")

    assert set(shop.applied("shop")) == {"0001_initial", "0002_stock", "0003_price"}
