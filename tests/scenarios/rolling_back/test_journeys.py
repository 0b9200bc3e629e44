"""The main journeys: a branch is left, and the database goes back without its files."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, create, python

pytestmark = pytest.mark.usefixtures("real_processes")

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


def migrate_feature(shop: Project) -> None:
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")


def test_branch_deleted(shop):
    """The schema goes back to that of 0001 with nothing but the database to go by."""
    before = shop.schema()
    migrate_feature(shop)
    shop.git("branch", "--delete", "--force", "feature")
    assert shop.columns("shop_product") == {"id", "name", "price"}

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert "Loading shop.0002_price from stored code" in result.stdout


def test_no_git_at_all(shop):
    """No repository is needed, neither to store nor to undo."""
    before = shop.schema()
    shop.delete(".git")
    file = shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    file.unlink()

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


def test_there_and_back_again(shop):
    """A branch is applied, undone from stored code, applied again and undone again."""
    before = shop.schema()
    migrate_feature(shop)
    after = shop.schema()
    shop.manage("migrate", "shop", "0001")

    with shop.on_branch("feature"):
        shop.manage("migrate")
        assert shop.schema() == after
    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


@pytest.mark.parametrize("target", [(), ("shop",)])
def test_plain_migrate_undoes_nothing(shop, target):
    """`migrate` and `migrate shop` find nothing to do where the leaf on disk is applied."""
    migrate_feature(shop)
    before = shop.snapshot()

    result = shop.manage("migrate", *target)

    assert "No migrations to apply." in result.stdout
    assert "Your models" not in result.stdout
    assert shop.snapshot() == before


def test_row_data_of_other_columns_stays(shop):
    """Undoing from stored code keeps the rows, and what their other columns hold."""
    migrate_feature(shop)
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")

    shop.manage("migrate", "shop", "0001")

    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]


def test_whole_chain(shop):
    """Several missing migrations are undone in reverse order, each announced."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_cart", create("Cart", code="CharField(max_length=9)"), after="0002_price")
        shop.migration(
            "shop.0004_name", alter("product", "name", "CharField(max_length=80)"), after="0003_cart"
        )
        shop.manage("migrate")

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    lines = [line.split() for line in result.stdout.splitlines()]
    names = ["shop.0004_name", "shop.0003_cart", "shop.0002_price"]
    assert [line[1] for line in lines if line[:1] == ["Unapplying"]] == names
    assert sorted(line[1] for line in lines if line[:1] == ["Loading"]) == sorted(names)


def test_prefix_of_a_missing_migration(shop):
    """A prefix that only missing migrations answer to is a target like any other."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")

    shop.manage("migrate", "shop", "0002")

    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert shop.columns("shop_product") == {"id", "name", "price"}


def test_prefix_means_the_file_first(shop):
    """A prefix that a file answers to never means a missing migration."""
    migrate_feature(shop)
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")

    shop.manage("migrate", "shop", "0002")

    assert shop.applied("shop") == ["0001_initial", "0002_price", "0002_stock"]
    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}


def test_unknown_prefix_is_djangos_error(shop):
    """A prefix that nothing answers to is refused in Django's words."""
    migrate_feature(shop)

    result = shop.refused("migrate", "shop", "0009", naming="0009")

    assert "Cannot find a migration matching '0009' from app 'shop'." in result.stderr


def test_zero(shop):
    """`zero` removes all that the app has made, missing migrations included."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cart", create("Cart", code="CharField(max_length=9)"), after="0001_initial")
        shop.migration("shop.0003_price", PRICE, after="0002_cart")
        shop.manage("migrate")

    shop.manage("migrate", "shop", "zero")

    assert not {table for table in shop.tables() if table.startswith("shop_")}
    assert shop.applied("shop") == []


def test_same_name_on_two_branches(shop):
    """Two branches have a 0002 of one name; what is undone is the one that ran."""
    before = shop.schema()
    with shop.on_branch("prices"):
        shop.migration("shop.0002_more", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_more", STOCK, after="0001_initial")
    shop.commit("Another 0002 of the same name")

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert "Loading shop.0002_more from stored code" in result.stdout
    shop.manage("migrate")
    assert shop.columns("shop_product") == {"id", "name", "stock"}


def test_missing_function_in_reverse(shop):
    """A RunPython that is undone finds the models as they were."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_price",
            PRICE,
            python("shout", "calm"),
            after="0001_initial",
            header="""
            def shout(apps, schema_editor):
                for product in apps.get_model("shop", "Product").objects.all():
                    product.name = product.name.upper()
                    product.save()

            def calm(apps, schema_editor):
                for product in apps.get_model("shop", "Product").objects.filter(price=7):
                    product.name = product.name.lower()
                    product.save()
            """,
        )
        shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
        shop.manage("migrate")
        assert shop.rows("SELECT name FROM shop_product") == [("TEA",)]

    shop.manage("migrate", "shop", "0001")

    assert shop.rows("SELECT name FROM shop_product") == [("tea",)]
    assert shop.columns("shop_product") == {"id", "name"}


def test_stored_code_as_a_user_reads_it(shop):
    """The stored source is the file, letter by letter."""
    file = shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")

    result = shop.run(
        """
        from django_rewind.models import MigrationCode
        print(MigrationCode.objects.get(app_label="shop", migration_name="0002_price").source_code, end="")
        """
    )

    assert result.stdout == file.read_text()


def test_show_stored_migrations(shop):
    """The command names every migration of the app and leaves everything as it is."""
    migrate_feature(shop)
    before = shop.snapshot()

    result = shop.manage("show_stored_migrations", "shop")

    assert "0001_initial" in result.stdout
    assert "0002_price" in result.stdout
    assert "django_rewind" not in result.stdout
    assert shop.snapshot() == before


def test_stories_leave_no_bytecode(shop):
    """A file that is edited within the second it was written is never met as it was before."""
    shop.manage("check")

    assert not list(shop.path.rglob("*.pyc"))
