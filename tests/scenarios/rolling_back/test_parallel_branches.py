"""Two branches each have their own second migration, and one database serves both."""

from __future__ import annotations

import pytest

from tests.support.helpers import (
    Project,
    add,
    alter,
    apart,
    create,
    drop,
    python,
    remove,
    rename_field,
    rename_model,
)

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
LINK = "ForeignKey('shop.Product', models.CASCADE)"
WIDER = alter("product", "name", "CharField(max_length=100)")


def feature_applied(shop: Project, *operations: str) -> None:
    """Apply feature's 0002 with a row in it, and come back to main."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", *(operations or [PRICE]), after="0001_initial")
        shop.manage("migrate")


@pytest.fixture
def parallel(shop):
    """Feature's 0002 is applied and holds data, main's own 0002 is not applied yet."""
    feature_applied(shop)
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.migration("shop.0002_name", WIDER, after="0001_initial")
    shop.commit("Longer names")
    return shop


def width(project: Project, alias: str = "default") -> str:
    return str(project.db(alias).column("shop_product", "name")[0])


def test_main_migrates_forward(parallel):
    """Main's 0002 is applied without losing the column, or the data, of feature's 0002."""
    result = parallel.manage("migrate")

    assert parallel.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert "100" in width(parallel)
    assert parallel.applied("shop") == ["0001_initial", "0002_price", "0002_name"]
    assert "onflicting migrations" not in result.output
    assert "Your models" not in result.stdout


def test_back_to_the_common_start(parallel):
    """`migrate shop 0001` undoes both and gives exactly the schema of 0001."""
    parallel.add_database("other")
    parallel.manage("migrate", "shop", "0001", "--database", "other")
    parallel.manage("migrate", "django_rewind", "--database", "other")
    parallel.manage("migrate")

    parallel.manage("migrate", "shop", "0001")

    assert parallel.schema() == parallel.schema("other")
    assert parallel.applied("shop") == ["0001_initial"]
    assert parallel.rows("SELECT name FROM shop_product") == [("Tea",)]


def test_rewind_keeps_what_is_on_this_branch(parallel):
    """`rewind` gives the schema of a database on which only main's were applied."""
    parallel.add_database("other")
    parallel.manage("migrate", "--database", "other")
    parallel.manage("migrate")

    parallel.manage("rewind", "--noinput", "--allow-data-loss")

    assert parallel.schema() == parallel.schema("other")
    assert parallel.applied("shop") == ["0001_initial", "0002_name"]
    assert parallel.rows("SELECT name FROM shop_product") == [("Tea",)]


def test_main_first_feature_second(shop):
    """Applied in the other order, feature's is undone and main's stays with its data."""
    shop.migration(
        "shop.0002_stock", add("product", "stock", "IntegerField(default=3)"), after="0001_initial"
    )
    shop.commit("Stock")
    shop.manage("migrate")
    before = shop.schema()
    shop.execute("INSERT INTO shop_product (name, stock) VALUES ('Tea', 5)")
    with shop.on_branch("feature"):
        shop.delete("shop/migrations/0002_stock.py")
        shop.migration("shop.0002_price", PRICE, WIDER, after="0001_initial")
        shop.manage("migrate")
        assert shop.rows("SELECT stock, price FROM shop_product") == [(5, 7)]

    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.schema() == before
    assert shop.rows("SELECT name, stock FROM shop_product") == [("Tea", 5)]


def test_both_change_the_same_column(shop):
    """Undoing feature's change of a column leaves main's, made later, in force."""
    feature_applied(shop, alter("product", "name", "CharField(max_length=80)"))
    shop.migration("shop.0002_name", WIDER, after="0001_initial")
    shop.manage("migrate")
    assert "100" in width(shop)

    shop.manage("rewind", "--noinput")

    assert "100" in width(shop)
    shop.manage("migrate", "shop", "0001")
    assert "50" in width(shop)


def test_three_branches(shop):
    """Three parallel migrations are undone one branch at a time."""
    shop.add_database("other")
    with shop.on_branch("stock"):
        shop.migration(
            "shop.0002_stock", add("product", "stock", "IntegerField(default=3)"), after="0001_initial"
        )
        shop.manage("migrate")
    feature_applied(shop, PRICE, WIDER)
    shop.migration(
        "shop.0002_colour",
        add("product", "colour", "CharField(max_length=9, default='red')"),
        after="0001_initial",
    )
    shop.manage("migrate")
    assert shop.columns("shop_product") == {"id", "name", "stock", "price", "colour"}
    shop.manage("migrate", "--database", "other")

    shop.manage("rewind", "--noinput")

    assert shop.schema() == shop.schema("other")
    assert shop.applied("shop") == ["0001_initial", "0002_colour"]


def test_main_goes_on_above_a_missing_sibling(parallel):
    """Main goes one back and forward again with feature's migration applied."""
    parallel.migration(
        "shop.0003_name", alter("product", "name", "CharField(max_length=120)"), after="0002_name"
    )
    parallel.manage("migrate")

    parallel.manage("migrate", "shop", "0002_name")

    assert "100" in width(parallel)
    assert parallel.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert parallel.applied("shop") == ["0001_initial", "0002_price", "0002_name"]


def test_data_migration_of_main_sees_its_own_models(parallel):
    """A RunPython of main runs with a table that has a column more."""
    parallel.migration(
        "shop.0003_names",
        python("shout", "migrations.RunPython.noop"),
        after="0002_name",
        header="""
        def shout(apps, schema_editor):
            for product in apps.get_model("shop", "Product").objects.all():
                product.name = product.name.upper()
                product.save()
        """,
    )

    parallel.manage("migrate")

    assert parallel.rows("SELECT name, price FROM shop_product") == [("TEA", 42)]


@pytest.mark.parametrize(
    "operation",
    [
        rename_model("Product", "Item"),
        drop("Product"),
        rename_field("product", "price", "cost"),
        remove("product", "price"),
    ],
    ids=["renames-model", "deletes-model", "renames-field", "removes-field"],
)
def test_main_takes_away_what_the_missing_one_touches(shop, operation):
    """The forward run is refused before it starts, with both names and the way out."""
    if "price" in operation:
        shop.migration(
            "shop.0002_cost", add("product", "price", "IntegerField(default=1)"), after="0001_initial"
        )
        shop.manage("migrate")
        with shop.on_branch("feature"):
            shop.migration(
                "shop.0003_price", alter("product", "price", "BigIntegerField(default=2)"), after="0002_cost"
            )
            shop.manage("migrate")
        shop.migration("shop.0003_main", operation, after="0002_cost")
        missing, main = "shop.0003_price", "shop.0003_main"
    else:
        feature_applied(shop)
        shop.migration("shop.0002_main", operation, after="0001_initial")
        missing, main = "shop.0002_price", "shop.0002_main"

    result = shop.refused("migrate", naming=(missing, main))

    assert "rewind" in result.stderr
    shop.manage("rewind", "--noinput", "--migrate")
    assert shop.applied("shop")[-1] == main.partition(".")[2]


NAMES_A_FIELD = {
    "alters": alter("product", "name", "CharField(max_length=70)"),
    "index": "migrations.AddIndex('product', models.Index(fields=['-name'], name='by_name'))",
    "constraint": (
        "migrations.AddConstraint('product', models.UniqueConstraint(fields=['name'], name='one_name'))"
    ),
    "together": "migrations.AlterUniqueTogether('product', {('id', 'name')})",
}


def have_another_app(shop: Project) -> None:
    """Have an app with a step to be applied that would come first."""
    shop.app("aisle")
    shop.migration("aisle.0001_initial", create("Aisle"))


@pytest.mark.parametrize("operation", NAMES_A_FIELD.values(), ids=NAMES_A_FIELD)
def test_main_works_on_a_field_that_the_missing_one_removed(shop, operation):
    """Django's state takes it; it is refused before the first step of another app."""
    feature_applied(shop, remove("product", "name"))
    have_another_app(shop)
    shop.migration("shop.0002_main", operation, after="0001_initial")

    result = shop.refused("migrate", naming=("shop.0002_main", "shop.0002_price"))

    assert "goes on without" not in result.stderr
    assert "manage.py rewind" in result.stderr


@pytest.mark.parametrize(
    "operation",
    [
        rename_model("Product", "Item"),
        drop("Product"),
        "migrations.AlterModelTable('product', 'goods')",
    ],
)
@pytest.mark.parametrize(
    "step",
    [add("product", "stock", "IntegerField(null=True)"), create("Line", product=LINK), drop("Product")],
)
def test_main_works_on_a_model_that_the_missing_one_took_away(shop, operation, step):
    """To leave the missing one out of the states does not bring back its table."""
    feature_applied(shop, operation)
    have_another_app(shop)
    shop.migration("shop.0002_main", step, after="0001_initial")
    before = shop.snapshot()

    result = shop.attempt("migrate")

    if "AlterModelTable" in operation:
        # Nothing has to be left out, unless it is deleted: then it is in the way.
        assert "Traceback" not in result.output
        assert result.returncode == int("Delete" in step)
    else:
        assert "Traceback" not in result.output
        assert result.returncode == 1
        for word in ("shop.0002_main", "shop.0002_price", "rewind"):
            assert word in result.stderr
        assert shop.snapshot() == before
    shop.manage("rewind", "--noinput", "--migrate", "--include-renamed")
    assert shop.applied("shop")[-1] == "0002_main"


def test_main_makes_again_what_the_missing_one_took_away(shop):
    """What a step makes itself is there for the steps behind it."""
    feature_applied(shop, drop("Product"))
    have_another_app(shop)
    shop.migration(
        "shop.0002_main",
        create("Product"),
        add("product", "stock", "IntegerField(null=True)"),
        after="0001_initial",
    )

    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "stock"}


def test_a_missing_one_that_does_not_load_took_the_table_away(shop):
    """What is known of it without executing it is enough to refuse."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["gone"])
    shop.write("gone.py", "")
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_item", rename_model("Product", "Item"), after="0001_initial", header="import gone"
        )
        shop.manage("migrate")
    shop.delete("gone.py")
    have_another_app(shop)
    shop.migration("shop.0002_main", PRICE, after="0001_initial")

    shop.refused("migrate", naming=("shop.0002_main", "shop.0002_item"))


def test_an_edited_one_took_the_table_away(shop):
    """What ran counts also where the states have to be built from the file."""
    shop.migration("shop.0002_item", rename_model("Product", "Item"), after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_item", apart(), after="0001_initial")
    have_another_app(shop)
    shop.migration("shop.0003_main", PRICE, after="0002_item")

    result = shop.refused("migrate", naming=("shop.0003_main", "shop.0002_item"))

    assert "edited" in result.stderr


@pytest.mark.parametrize("operation", NAMES_A_FIELD.values(), ids=NAMES_A_FIELD)
def test_a_kept_sibling_removed_the_field_of_a_missing_one(shop, operation):
    """Before anything is undone, the same."""
    shop.migration("shop.0002_name", operation, after="0001_initial")
    shop.migration("shop.0003_price", PRICE, after="0002_name")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_name.py")
    shop.delete("shop/migrations/0003_price.py")
    shop.migration("shop.0002_main", remove("product", "name"), after="0001_initial")
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.manage("migrate", "--fake")
    shop.configure(DJANGO_REWIND_ENABLED=True)

    shop.refused("rewind", "--noinput", naming="shop.0002_name")


def test_fields_that_no_operation_has_made(shop):
    """A primary key from Django and an inherited field are there, though no state lists them."""
    before = shop.schema()
    base = "migrations.CreateModel('Base', [('code', models.IntegerField(default=1))])"
    child = (
        "migrations.CreateModel('Child', [('size', models.IntegerField(default=1))], bases=('shop.base',))"
    )
    key = alter("base", "id", "BigAutoField(primary_key=True)")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_base", base, child, after="0001_initial")
        shop.migration(
            "shop.0003_key",
            key,
            apart(
                database=f"{add('base', 'note', 'IntegerField(default=1)')}, "
                f"{alter('base', 'note', 'BigIntegerField(default=1)')}",
                state=add("base", "note", "BigIntegerField(default=1)"),
            ),
            after="0002_base",
        )
        shop.manage("migrate")

    shop.manage("rewind", "--noinput")

    assert shop.schema() == before


def test_unrelated_models_may_go(shop):
    """Main deletes and renames models that the missing migration does not touch."""
    shop.migration("shop.0002_more", create("Cart"), create("Shelf"), after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_price", PRICE, after="0002_more")
        shop.manage("migrate")
    shop.migration("shop.0003_less", drop("Cart"), rename_model("Shelf", "Rack"), after="0002_more")

    shop.manage("migrate")

    tables = {table for table in shop.tables() if table.startswith("shop_")}
    assert tables == {"shop_product", "shop_rack"}
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}
    assert {table for table in shop.tables() if table.startswith("shop_")} == {"shop_product"}


def test_contradiction_that_somebody_else_applied(shop):
    """What cannot be taken apart is refused with both names before any statement."""
    feature_applied(shop)
    shop.migration("shop.0002_item", rename_model("Product", "Item"), after="0001_initial")
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)

    shop.refused("rewind", "--noinput", naming=("shop.0002_price", "shop.0002_item"))

    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]


def test_missing_migration_that_no_longer_loads(parallel):
    """A rebuild of a table that has columns of which nothing is known is refused on SQLite."""
    parallel.execute(
        "UPDATE django_migrations_code SET source_code = 'x' WHERE migration_name = '0002_price'"
    )
    if parallel.db().vendor == "sqlite":
        parallel.refused("migrate", naming=("shop.0002_name", "shop.0002_price"))
        return

    result = parallel.manage("migrate")

    assert "shop.0002_price" in result.stderr
    assert parallel.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]


def test_main_makes_again_what_feature_removed_itself(shop):
    """Of the missing migrations only what they leave behind stands in the way."""
    code = add("product", "code", "IntegerField(null=True)")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_code", code, after="0001_initial")
        shop.migration("shop.0003_no_code", remove("product", "code"), after="0002_code")
        shop.manage("migrate")
    shop.migration("shop.0002_main", code, after="0001_initial")

    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "name", "code"}
    assert shop.applied("shop")[-1] == "0002_main"


def test_main_makes_what_feature_renamed_something_to(shop):
    """What a missing migration made is in the way under the name that it has by now."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_code", add("product", "code", "IntegerField(null=True)"), after="0001_initial"
        )
        shop.migration("shop.0003_number", rename_field("product", "code", "number"), after="0002_code")
        shop.manage("migrate")
    shop.migration(
        "shop.0002_main", add("product", "number", "IntegerField(null=True)"), after="0001_initial"
    )

    shop.refused("migrate", naming=("shop.0002_main", "shop.0002_code", "rewind"))


@pytest.mark.parametrize(
    "operations",
    [
        (remove("product", "name"), add("product", "name", "TextField(default='')")),
        (rename_field("product", "name", "title"), add("product", "name", "TextField(default='')")),
        (rename_model("Product", "Article"), create("Product", code="IntegerField(default=1)")),
        (drop("Product"), create("Product", code="IntegerField(default=1)")),
    ],
    ids=["column", "column-renamed-away", "table-renamed-away", "table"],
)
@pytest.mark.parametrize(
    "args", [("rewind", "--noinput"), ("migrate", "shop", "0001"), ("migrate", "shop", "zero")]
)
def test_feature_makes_a_name_anew(shop, operations, args):
    """A column or a table in the place of another of the same name is undone, and the old one is back."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_away", operations[0], after="0001_initial")
        shop.migration("shop.0003_anew", operations[1], after="0002_away")
        shop.manage("migrate")
        assert shop.schema() != before
    assert shop.attempt("rewind", "--check").returncode == 1

    shop.manage(*args)

    if args[-1] == "zero":
        assert not {table for table in shop.tables() if table.startswith("shop_")}
        assert shop.applied("shop") == []
    else:
        assert shop.schema() == before
        assert shop.applied("shop") == ["0001_initial"]
