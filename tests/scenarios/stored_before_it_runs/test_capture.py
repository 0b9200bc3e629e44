"""What is in the database, and when."""

from __future__ import annotations

import django
import pytest

from tests.support.helpers import Project, add, alter, apart, create, python

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
RAISE = "def stop(apps, schema_editor):\n    raise ValueError('stop here')\n"
LOOK = """
def look(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT migration_name FROM django_migrations_code WHERE app_label = 'shop' ORDER BY 1")
        with open("seen", "w") as file:
            print(*[name for (name,) in cursor.fetchall()], file=file)
"""


def write_three(shop: Project) -> None:
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stop", python("stop"), after="0002_price", header=RAISE)


def test_first_migrate_stores_everything(new_shop):
    """After the first `migrate` of a project whatever is recorded is stored."""
    new_shop.install("django.contrib.contenttypes", *new_shop.installed)
    new_shop.manage("migrate")

    records = new_shop.rows("SELECT app, name FROM django_migrations")
    assert set(new_shop.stored()) == {f"{app}.{name}" for app, name in records}


def test_stored_before_it_runs(new_shop):
    """On the first `migrate` too, a migration is stored before its first operation runs."""
    new_shop.migration("shop.0002_look", python("look"), after="0001_initial", header=LOOK)

    new_shop.manage("migrate")

    assert new_shop.read("seen").split() == ["0001_initial", "0002_look"]


def test_first_migrate_of_one_app(new_shop):
    """A project that first migrates one app alone has that app's migrations stored."""
    new_shop.manage("migrate", "shop")
    new_shop.manage("migrate")

    assert "shop.0001_initial" in new_shop.stored()


def test_third_step_raises_on_a_new_project(new_shop):
    """A first `migrate` that fails in its third step has the first two stored."""
    write_three(new_shop)

    assert "stop here" in new_shop.attempt("migrate").stderr

    assert new_shop.applied("shop") == ["0001_initial", "0002_price"]
    assert {"shop.0001_initial", "shop.0002_price"} <= set(new_shop.stored())


def test_third_step_raises_and_the_branch_is_left(shop):
    """What was applied before the failure is undone when its file is gone."""
    before = shop.schema()
    with shop.on_branch("feature"):
        write_three(shop)
        shop.attempt("migrate")

    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    shop.manage("rewind", "--noinput")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


@pytest.mark.parametrize("scene", ["new_shop", "shop"])
def test_executor_driven_from_code(scene, request):
    """An executor that code drives stores what it runs, on a new project too."""
    shop = request.getfixturevalue(scene)
    write_three(shop)

    result = shop.run(
        """
        from django.db import connection
        from django.db.migrations.executor import MigrationExecutor
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
        """
    )

    assert "stop here" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert {"shop.0001_initial", "shop.0002_price"} <= set(shop.stored())


def test_executor_driven_back_from_code(shop):
    """An executor that code drives undoes a missing migration."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")

    result = shop.run(
        """
        from django.db import connection
        from django.db.migrations.executor import MigrationExecutor
        MigrationExecutor(connection).migrate([("shop", "0002_price")])
        MigrationExecutor(connection).migrate([("shop", None)])
        MigrationExecutor(connection).migrate([("shop", "0001_initial")])
        """
    )

    assert result.returncode == 0, result.stderr
    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


def test_executor_used_twice(shop):
    """One executor goes back and forth, its graph built again, as test tools drive it."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")
    shop.migration("shop.0002_cart", create("Cart"), after="0001_initial")

    result = shop.run(
        """
        from django.db import connections
        from django.db.migrations.executor import MigrationExecutor
        executor = MigrationExecutor(connections["default"])
        executor.migrate([("shop", "0002_price")])
        executor.loader.build_graph()
        executor.migrate([("shop", "0002_cart")])
        executor.loader.build_graph()
        executor.migrate([("shop", None)])
        executor.loader.build_graph()
        executor.migrate([("shop", "0002_cart")])
        """
    )

    assert result.returncode == 0, result
    assert shop.applied("shop") == ["0001_initial", "0002_cart"]
    assert shop.columns("shop_product") == {"id", "name"}
    assert "shop_cart" in shop.tables()


def test_trimmed_plan(shop):
    """What another package takes out of the plan is not stored, for it does not run."""
    shop.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig
        from django.db.models.signals import pre_migrate


        def trim(plan, **kwargs):
            plan[:] = [(step, backwards) for step, backwards in plan if step.name != "0003_stock"]


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                pre_migrate.connect(trim, sender=self)
        """,
    )
    before = shop.schema()
    shop.commit()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")
        assert shop.applied("shop") == ["0001_initial", "0002_price"]
        assert "shop.0003_stock" not in shop.stored()

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


@pytest.mark.parametrize(
    "args",
    [("show_stored_migrations",), ("rewind", "--check"), ("rewind", "--plan"), ("rewind", "--noinput")],
)
def test_commands_on_an_empty_database(new_shop, args):
    """Before the first `migrate` our commands have nothing to show, and do not crash."""
    result = new_shop.attempt(*args)

    assert "Traceback" not in result.output
    assert new_shop.tables() <= {"django_migrations"}


def test_installed_in_an_old_project(project):
    """Installing us stores what is applied and on disk, and remembers what is already missing."""
    shop = project
    shop.app("shop")
    shop.install("shop")
    shop.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    old = shop.migration("shop.0002_price", PRICE, after="0001_initial")
    longer = alter("product", "name", "CharField(max_length=80)")
    shop.migration("shop.0003_name", longer, after="0002_price")
    shop.manage("migrate")
    old.unlink()
    shop.migration("shop.0003_name", longer, after="0001_initial")
    shop.install("django_rewind", "shop")

    shop.manage("migrate")

    assert {"shop.0001_initial", "shop.0003_name"} <= set(shop.stored())
    assert "shop.0002_price" not in shop.stored()
    assert "0002_price" in shop.manage("show_stored_migrations", "shop").stdout
    before = shop.snapshot()
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("rewind", "--noinput")
    shop.manage("migrate")
    assert shop.snapshot() == before
    if shop.db().vendor == "sqlite":
        # The table would be rebuilt without the column of which nothing is known.
        shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    else:
        shop.manage("migrate", "shop", "0001")
        assert shop.applied("shop") == ["0001_initial", "0002_price"]
        assert shop.columns("shop_product") == {"id", "name", "price"}


def test_baseline_below_the_target(shop):
    """What was missing from the start does not stop an undoing above it."""
    shop.install("shop")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_price.py")
    for table in sorted(shop.tables(), reverse=True):
        if table.startswith("django_migrations_"):
            shop.execute(f"DROP TABLE {table}")
    shop.execute("DELETE FROM django_migrations WHERE app = 'django_rewind'")
    shop.install("django_rewind", "shop")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_cart", create("Cart"), after="0001_initial")
        shop.migration("shop.0004_gift", create("Gift"), after="0003_cart")
        shop.manage("migrate")

    shop.manage("rewind", "--noinput")

    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert not {"shop_cart", "shop_gift"} & shop.tables()


@pytest.fixture
def old_shop(project):
    """A project that had lost the file of the migration which made `Ref` before it installed us."""
    project.app("shop")
    project.app("cart")
    project.install("shop", "cart")
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    link = "ForeignKey('shop.Product', models.CASCADE)"
    lost = project.migration("shop.0002_ref", create("Ref", product=link), after="0001_initial")
    project.migration("cart.0001_initial", create("Line"))
    project.manage("migrate")
    lost.unlink()
    project.install("django_rewind", "shop", "cart")
    project.manage("migrate")
    project.execute("INSERT INTO shop_product (id, name) VALUES (1, 'Tea')")
    project.execute("INSERT INTO shop_ref (id, product_id) VALUES (1, 1)")
    return project


def test_zero_with_a_baseline(old_shop):
    """An app that would stay behind in halves is left as it is, with the way out."""
    naming = (
        "shop.0001_initial",
        "shop.0002_ref",
        "django_migrations" if django.VERSION < (4, 1) else "--prune",
        "--from-git",
    )
    for command in (["migrate", "shop", "zero"], ["rewind", "shop", "zero", "--noinput"]):
        old_shop.refused(*command, naming=naming)
    old_shop.refused("rewind", "shop", "zero", naming=naming, answer="yes")

    old_shop.manage("migrate", "shop", "zero", "--fake")

    assert old_shop.applied("shop") == ["0002_ref"]
    old_shop.refused("migrate", "shop", "zero", naming="shop.0002_ref")
    old_shop.refused("rewind", "shop", "zero", "--noinput", naming="shop.0002_ref")


def test_zero_of_what_an_app_with_a_baseline_depends_on(old_shop):
    """The same, where another app takes it along."""
    old_shop.migration(
        "shop.0001_initial", create("Product", name="CharField(max_length=50)"), after="cart.0001_initial"
    )

    old_shop.refused("migrate", "cart", "zero", naming=("shop.0001_initial", "shop.0002_ref"))


def test_baseline_that_was_forgotten_is_not_in_the_way(old_shop):
    """What was undone by hand and has no record any more."""
    old_shop.execute("DROP TABLE shop_ref")
    old_shop.execute("DELETE FROM django_migrations WHERE name = '0002_ref'")

    old_shop.manage("migrate", "shop", "zero")

    assert "shop_product" not in old_shop.tables()
    assert old_shop.applied("shop") == []


def test_flush(shop):
    """`flush` empties the data and keeps the safety net."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    stored = shop.stored()

    shop.manage("flush", "--noinput")

    assert shop.rows("SELECT * FROM shop_product") == []
    assert shop.stored() == stored
    shop.manage("migrate", "shop", "0001")
    assert shop.schema() == before


def test_transaction_test_case(shop):
    """Tests that empty the tables behind them find our rows every time."""
    shop.write(
        "shop/tests.py",
        """
        from django.test import TransactionTestCase
        from django_rewind.models import MigrationCode
        from shop.models import Product


        class Stored(TransactionTestCase):
            def test_first(self):
                Product.objects.create(name="Tea")
                self.assertTrue(MigrationCode.objects.filter(app_label="shop").exists())

            def test_second(self):
                self.assertFalse(Product.objects.exists())
                self.assertTrue(MigrationCode.objects.filter(app_label="shop").exists())
        """,
    )

    assert "Ran 2 tests" in shop.manage("test", "shop", "--noinput").stderr


def test_dump_and_load(shop):
    """A dump of the project leaks no source, and loading it replaces no stored row."""
    shop.add_database("other")
    shop.migration("shop.0002_nothing", apart(), after="0001_initial", header="# a remark in the file")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    shop.migration("shop.0002_nothing", apart(), after="0001_initial", header="# another remark")
    shop.manage("migrate", "--database", "other")
    stored = shop.db("other").contents()["django_migrations_code"]

    for args in ([], ["--all"]):
        shop.manage("dumpdata", *args, "--output", "dump.json")
        assert "remark" not in shop.read("dump.json")
        assert "Tea" in shop.read("dump.json")
        shop.manage("loaddata", "dump.json", "--database", "other")

    assert shop.rows("SELECT name FROM shop_product", alias="other") == [("Tea",)]
    assert shop.db("other").contents()["django_migrations_code"] == stored


def test_nothing_to_do_costs_one_query(shop):
    """A `migrate` with nothing to do asks the database one thing more than without us."""
    code = """
    from django.core.management import call_command
    from django.db import connection
    connection.force_debug_cursor = True
    call_command("migrate", verbosity=0)
    print(len(connection.queries))
    """
    ours = int(shop.run(code).stdout)
    shop.install("shop")
    alone = int(shop.run(code).stdout)

    assert ours <= alone + 1
