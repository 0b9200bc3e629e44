"""All kinds of operations come back from stored code, in every neighbourhood."""

from __future__ import annotations

import django
import pytest

from tests.support.helpers import (
    add,
    alter,
    create,
    python,
    remove,
    rename_field,
    rename_model,
)

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


def model(name: str, bases: str, *fields: str, **options: object) -> str:
    return f"migrations.CreateModel({name!r}, [{', '.join(fields)}], options={options!r}, bases=({bases},))"


OPERATIONS = {
    "many-to-many": [create("Tag"), add("product", "tags", "ManyToManyField('shop.Tag')")],
    "foreign-key": [
        create("Maker"),
        add("product", "maker", "ForeignKey('shop.Maker', models.SET_NULL, null=True)"),
    ],
    "foreign-key-to-itself": [add("product", "twin", "ForeignKey('self', models.SET_NULL, null=True)")],
    "unique": [alter("product", "name", "CharField(max_length=50, unique=True)")],
    "index": ["migrations.AddIndex('product', models.Index(fields=['name'], name='by_name'))"],
    "constraint": [
        "migrations.AddConstraint('product', models.UniqueConstraint(fields=['name'], name='one_name'))",
    ],
    "unique-together": [STOCK, "migrations.AlterUniqueTogether('product', {('name', 'stock')})"],
    "rename-field": [rename_field("product", "name", "title"), alter("product", "title", "TextField()")],
    "rename-model": [rename_model("Product", "Item"), add("item", "price", "IntegerField(default=1)")],
    "table": ["migrations.AlterModelTable('product', 'goods')", STOCK],
    "column": [alter("product", "name", "CharField(max_length=50, db_column='label')")],
    "child-model": [
        model(
            "Book",
            "'shop.product'",
            "('product_ptr', models.OneToOneField('shop.Product', models.CASCADE, auto_created=True,"
            " parent_link=True, primary_key=True, serialize=False))",
            "('pages', models.IntegerField(default=1))",
        )
    ],
    "proxy": [model("Offer", "'shop.product'", proxy=True), PRICE],
    "null": [STOCK, alter("product", "stock", "IntegerField(null=True)"), remove("product", "stock"), PRICE],
    "order": [
        create("Maker"),
        add("product", "maker", "ForeignKey('shop.Maker', models.SET_NULL, null=True)"),
        "migrations.AlterOrderWithRespectTo('product', 'maker')",
        "migrations.AlterOrderWithRespectTo('product', None)",
    ],
}
if django.VERSION >= (4, 2):
    OPERATIONS["rename-index"] = [
        *OPERATIONS["index"],
        "migrations.RenameIndex('product', new_name='by_label', old_name='by_name')",
        "migrations.AlterModelTableComment('product', 'What is sold')",
    ]
if django.VERSION >= (5, 2):
    OPERATIONS["alter-constraint"] = [
        *OPERATIONS["constraint"],
        (
            "migrations.AlterConstraint('product', 'one_name', models.UniqueConstraint(fields=['name'],"
            " name='one_name', violation_error_message='Taken'))"
        ),
    ]


@pytest.mark.parametrize("kind", OPERATIONS)
def test_kinds_of_operations(shop, kind):
    """One missing migration with these operations, and one each, give back the schema and the rows."""
    before = shop.schema()
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    with shop.on_branch("feature"):
        below = "0001_initial"
        for number, operation in enumerate(OPERATIONS[kind], 2):
            shop.migration(f"shop.000{number}_step", operation, after=below)
            below = f"000{number}_step"
        shop.manage("migrate")
    with shop.on_branch("other"):
        shop.manage("migrate", "shop", "0001")
        assert shop.schema() == before
        shop.migration("shop.0002_all", *OPERATIONS[kind], after="0001_initial")
        shop.manage("migrate")

    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.schema() == before
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]


MINE = """
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import IndexOperation, ModelOperation


class Mine({base}):
    reversible = False

    def __init__(self):
        {attribute} = "SELECT 1"

    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        schema_editor.execute("SELECT 1")

    def describe(self):
        return self.words
"""


@pytest.mark.parametrize(
    "base, attribute",
    [("Operation", "self.sql"), ("Operation", "self.code"), ("ModelOperation", "_"), ("IndexOperation", "_")],
)
def test_operation_of_ones_own(shop, base, attribute):
    """What Django can run is run and stored, though nobody can describe it, and is refused by its class."""
    header = MINE.format(base=base, attribute=attribute)
    with shop.on_branch("feature"):
        shop.migration("shop.0002_mine", "Mine()", PRICE, after="0001_initial", header=header)
        shop.manage("migrate")

    assert "shop.0002_mine" in shop.stored()
    result = shop.refused("migrate", "shop", "0001", naming="shop.0002_mine")
    assert "'Mine'" in result.stderr


def test_zero_for_false(shop):
    """`atomic = 0` is no transaction, there and back."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", atomic=0)
        shop.manage("migrate")

    shop.manage("rewind", "--noinput")

    assert shop.schema() == before


def test_content_type_of_a_renamed_model(shop):
    """The content type of a model follows the undoing of its renaming."""
    shop.install("django.contrib.contenttypes", *shop.installed)
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.models("shop", "class Item(models.Model):\n    name = models.CharField(max_length=50)\n")
        shop.migration("shop.0002_item", rename_model("Product", "Item"), after="0001_initial")
        shop.manage("migrate")
        assert shop.rows("SELECT model FROM django_content_type WHERE app_label = 'shop'") == [("item",)]

    shop.manage("migrate", "shop", "0001")

    assert shop.rows("SELECT model FROM django_content_type WHERE app_label = 'shop'") == [("product",)]


def test_hole_in_an_unrelated_app(shop):
    """The states of a run hold what other apps have lost as well."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Line"))
    shop.migration(
        "cart.0002_code", add("line", "code", "CharField(max_length=5, default='')"), after="0001_initial"
    )
    shop.migration(
        "cart.0003_code", alter("line", "code", "CharField(max_length=9, default='')"), after="0002_code"
    )
    shop.commit()
    shop.manage("migrate")
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.delete("cart/migrations/0002_code.py")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


def test_hole_in_an_unrelated_app_on_the_way_forward(shop):
    """A forward run of one app is not stopped by a hole in another."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Line"))
    shop.migration(
        "cart.0002_code", add("line", "code", "CharField(max_length=5, default='')"), after="0001_initial"
    )
    shop.migration(
        "cart.0003_code", alter("line", "code", "CharField(max_length=9, default='')"), after="0002_code"
    )
    shop.commit()
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.delete("cart/migrations/0002_code.py")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")

    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}
    assert shop.columns("cart_line") == {"id", "code"}


def test_model_of_a_missing_migration_in_a_far_app(shop):
    """A file two apps away that points at a model of a missing migration keeps it in the state."""
    for label in ("cart", "post"):
        shop.app(label)
    shop.migration("cart.0001_initial", create("Line"))
    shop.migration("cart.0002_gift", create("Gift"), after="0001_initial")
    shop.migration(
        "post.0001_initial",
        create("Parcel", gift="ForeignKey('cart.Gift', models.CASCADE)"),
        after="cart.0002_gift",
    )
    shop.commit()
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.delete("cart/migrations/0002_gift.py")

    shop.manage("migrate", "shop", "0001")

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.columns("post_parcel") == {"id", "gift_id"}


@pytest.mark.parametrize(
    "later", [rename_model("Product", "Item"), "migrations.AlterModelTable('product', 'goods')"]
)
def test_not_null_column_of_a_table_renamed_since(shop, later):
    """Rows are looked for where they are now, not where they will be by then."""
    shop.migration(
        "shop.0002_stock", add("product", "stock", "IntegerField(default=1)"), after="0001_initial"
    )
    shop.migration("shop.0003_stock", alter("product", "stock", "IntegerField()"), after="0002_stock")
    shop.commit()
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, stock) VALUES ('Tea', 1)")
    with shop.on_branch("feature"):
        shop.migration("shop.0004_no_stock", remove("product", "stock"), after="0003_stock")
        shop.migration("shop.0005_moved", later, after="0004_no_stock")
        shop.manage("migrate")

    if shop.db().vendor == "mysql":
        # It fills new columns in.
        shop.manage("migrate", "shop", "0003")
        assert shop.rows("SELECT name, stock FROM shop_product") == [("Tea", 0)]
        return
    shop.refused("migrate", "shop", "0003", naming="shop.0004_no_stock")


def test_schema_and_record_go_together(shop):
    """Where the database can, a step and its record are undone in one transaction."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    if shop.db().vendor == "mysql":
        pytest.skip("MySQL and MariaDB have no transactional DDL.")
    if shop.db().vendor == "sqlite":
        shop.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON django_migrations BEGIN SELECT RAISE(ABORT, 'kept'); END"
        )
    else:
        shop.execute(
            "CREATE FUNCTION keep() RETURNS trigger AS $$ BEGIN RAISE 'kept'; END $$ LANGUAGE plpgsql"
        )
        shop.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON django_migrations FOR EACH ROW EXECUTE FUNCTION keep()"
        )
    before = shop.snapshot()

    assert shop.attempt("migrate", "shop", "0001").returncode != 0

    assert shop.snapshot() == before


def test_step_that_failed_and_was_mended(shop):
    """The source of a step that failed gives way to the one that ran."""
    before = shop.schema()
    with shop.on_branch("feature"):
        header = "def stop(apps, schema_editor):\n    raise ValueError('stop here')\n"
        shop.migration("shop.0002_price", python("stop"), after="0001_initial", header=header)
        assert shop.attempt("migrate").returncode != 0
        mended = shop.migration("shop.0002_price", PRICE, after="0001_initial").read_text()
        shop.manage("migrate")
        assert shop.stored()["shop.0002_price"] == mended

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


def test_step_that_failed_and_is_not_applied(shop):
    """What was stored and never applied is not missing."""
    with shop.on_branch("feature"):
        header = "def stop(apps, schema_editor):\n    raise ValueError('stop here')\n"
        shop.migration("shop.0002_price", python("stop"), after="0001_initial", header=header)
        assert shop.attempt("migrate").returncode != 0

    assert shop.attempt("rewind", "--check").returncode == 0
    assert "No migrations to apply." in shop.manage("migrate").stdout
