"""`manage.py rewind`: what it undoes, what it asks, and what it says."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import add, apart, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


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


@pytest.fixture
def ordered(shop):
    """Rows in the order of their maker, of which a missing migration has made the column."""
    maker = add("Product", "maker", "ForeignKey('shop.Maker', models.SET_NULL, null=True)")
    shop.migration("shop.0002_maker", create("Maker"), maker, after="0001_initial")
    shop.commit("Maker")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0003_order", "migrations.AlterOrderWithRespectTo('product', 'maker')", after="0002_maker"
        )
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, _order) VALUES ('Tea', 2), ('Oil', 1)")
    return shop


def test_an_order_that_was_chosen_is_data(ordered):
    """`order_with_respect_to` keeps the order of the rows in a column."""
    ordered.configure(DEBUG=False)

    document = json.loads(ordered.manage("rewind", "--plan", "--format", "json").stdout)
    (step,) = document["databases"]["default"]["steps"]
    assert [(loss["column"], loss["rows"]) for loss in step["losses"]] == [("_order", 2)]
    assert "2 rows" in ordered.attempt("rewind", answer="no").stdout
    ordered.refused("rewind", "--noinput", naming="shop.0003_order")
    assert ordered.rows("SELECT name FROM shop_product ORDER BY _order") == [("Oil",), ("Tea",)]

    ordered.manage("rewind", "--noinput", "--allow-data-loss")

    assert ordered.columns("shop_product") == {"id", "name", "maker_id"}


def test_an_order_that_was_given_up_comes_back_empty(ordered):
    """Nothing is lost with it, and no row lacks a value: Django fills the column with zeros."""
    ordered.migration(
        "shop.0003_order", "migrations.AlterOrderWithRespectTo('product', 'maker')", after="0002_maker"
    )
    ordered.commit("Order")
    with ordered.on_branch("plain"):
        ordered.migration(
            "shop.0004_plain", "migrations.AlterOrderWithRespectTo('product', None)", after="0003_order"
        )
        ordered.manage("migrate")
    ordered.configure(DEBUG=False)

    ordered.manage("rewind", "--noinput")

    assert ordered.rows("SELECT _order FROM shop_product") == [(0,), (0,)]


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

    result = left.manage("rewind", "--noinput", "--migrate")

    assert "  Applying shop.0002_stock... OK" in result.stdout
    assert left.columns("shop_product") == {"id", "name", "stock"}
    assert left.applied("shop") == ["0001_initial", "0002_stock"]


def test_then_forward_is_printed_as_migrate_prints_it(left):
    """Each step has one line."""
    left.migration("shop.0002_stock", STOCK, after="0001_initial")

    result = left.manage("rewind", "--noinput", "--migrate")

    assert "  Applying shop.0002_stock... OK" in result.stdout.splitlines()


@pytest.mark.parametrize("prefix", ["0002", "0002_price"])
def test_target_that_is_stored_but_not_applied(left, prefix):
    """It is said what it is, and not that there is no such thing."""
    left.manage("rewind", "--noinput")

    result = left.refused("rewind", "shop", prefix, "--noinput", naming="shop.0002_price")

    assert "not applied" in result.stderr


def test_target_that_was_superseded(shop):
    """What is left as it is though it was asked for is no success."""
    shop.delete("shop")
    shop.app("store")
    table = (
        create("Product", name="CharField(max_length=50)")[:-1] + ", options={'db_table': 'shop_product'})"
    )
    shop.migration("store.0001_initial", table)
    shop.install("django_rewind", "store")
    shop.manage("migrate", "--fake")

    result = shop.refused("rewind", "shop", "zero", "--noinput", naming="shop.0001_initial")
    assert "taken over" in result.stderr
    # As a target it stays, and nothing stands on it.
    assert "Nothing to rewind" in shop.manage("rewind", "shop", "0001", "--noinput").stdout


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


# What is shown


@pytest.mark.parametrize("args", [("rewind",), ("rewind", "--plan")], ids=" ".join)
def test_what_is_shown(left, args):
    """Each step with its operations, where its code comes from, and how many rows lose what."""
    left.migration("shop.0003_cart", create("Cart"), after="0001_initial")
    left.manage("migrate")
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42), ('Milk', 7)")
    left.execute("INSERT INTO shop_cart (id) VALUES (1)")
    before = left.snapshot()

    result = left.attempt(*args, "shop", "0001", answer="n")

    for line in (
        "shop.0003_cart (from its file)",
        "    Undo Create model Cart",
        "    Loses the table 'shop_cart': 1 row",
        "shop.0002_price (from stored code)",
        "    Undo Add field price to product",
        "    Loses the column 'price' of 'shop_product': 2 rows",
    ):
        assert line in result.stdout.splitlines(), str(result)
    assert left.snapshot() == before


def test_what_cannot_be_undone_is_shown(shop):
    """Also what `SeparateDatabaseAndState` hides."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_names", python(), apart(database=python()), after="0001_initial")
        shop.manage("migrate")

    result = shop.manage("rewind", "--plan")

    assert result.stdout.count("IRREVERSIBLE") == 2
    assert "Not counted" in result.stdout


def test_what_goes_on_without_a_question_is_said(left):
    """With --noinput, what is lost is said as well."""
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")

    result = left.manage("rewind", "--noinput", "--allow-data-loss")

    assert "the column 'price' of 'shop_product' (1 row; shop.0002_price)" in result.stdout
    assert left.columns("shop_product") == {"id", "name"}


def test_quiet(left):
    """With --verbosity 0 nothing is said that was not asked for."""
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")

    assert left.manage("rewind", "--noinput", "--allow-data-loss", "--verbosity", "0").output == ""
    assert left.columns("shop_product") == {"id", "name"}


# --format json


def test_json(left):
    """`--plan --format json` is one document, and nothing else on stdout."""
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    before = left.snapshot()

    document = json.loads(left.manage("rewind", "--plan", "--format", "json").stdout)

    assert document == {
        "format": 1,
        "command": "rewind",
        "databases": {
            "default": {
                "fake": False,
                "renamed": [],
                "steps": [
                    {
                        "app": "shop",
                        "name": "0002_price",
                        "origin": "stored",
                        "commit": "",
                        "operations": ["Undo Add field price to product"],
                        "reversible": True,
                        "losses": [
                            {
                                "table": "shop_product",
                                "column": "price",
                                "rows": 1,
                                "truncated": False,
                                "kind": "delete",
                            }
                        ],
                    }
                ],
                "applies": [],
                "not_reapplied": [],
                "skipped": [],
            }
        },
    }
    assert left.snapshot() == before


def test_json_of_what_is_skipped(left):
    """What is not undone is there with the reason, missing or edited."""
    left.migration("shop.0003_stock", STOCK, after="0001_initial")
    left.manage("migrate")
    left.migration("shop.0003_stock", STOCK.replace("stock", "amount"), after="0001_initial")
    left.app("cart")

    result = left.attempt("rewind", "cart", "--check", "--format", "json")

    assert result.returncode == 0
    (database,) = json.loads(result.stdout)["databases"].values()
    assert database["steps"] == []
    found = {one["name"]: one["why"] for one in database["skipped"]}
    assert found.keys() == {"0002_price", "0003_stock"}
    assert "edited" in found["0003_stock"]


def test_json_of_a_check(left):
    """`--check --format json` says what was found, and exits with status 1."""
    result = left.attempt("rewind", "--check", "--format", "json")

    assert result.returncode == 1
    (database,) = json.loads(result.stdout)["databases"].values()
    assert [step["name"] for step in database["steps"]] == ["0002_price"]


# --sql


@pytest.mark.parametrize("target", [(), ("shop", "0001"), ("shop", "zero")], ids=" ".join)
def test_sql(left, target):
    """The statements are printed, on stdout alone, and nothing has changed anywhere."""
    header = "def back(apps, schema_editor):\n    schema_editor.execute('DELETE FROM shop_product')\n"
    with left.on_branch("feature"):
        operation = python("migrations.RunPython.noop", "back")
        left.migration("shop.0003_names", operation, after="0002_price", header=header)
        left.manage("migrate")
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    before = left.snapshot()

    result = left.manage("rewind", *target, "--sql")

    assert left.snapshot() == before
    assert "-- shop.0002_price (from stored code)" in result.stdout
    assert "CANNOT BE WRITTEN AS SQL" in result.stdout
    assert "0002_price" in result.stdout.split("DELETE FROM")[2]
    assert "Loading" not in result.stdout
    assert "Loading shop.0002_price from stored code" in result.stderr


def test_sql_of_a_rebuilt_table(left):
    """On SQLite too, where a table is rebuilt, nothing has changed afterwards."""
    with left.on_branch("feature"):
        name = "migrations.RenameField('product', 'name', 'title')"
        wide = "migrations.AlterField('product', 'title', models.CharField(max_length=90))"
        left.migration("shop.0003_title", name, wide, after="0002_price")
        left.app("cart")
        line = create("Line", product="ForeignKey('shop.product', models.CASCADE)")
        left.migration("cart.0001_initial", line, after="shop.0003_title")
        left.manage("migrate")
    left.app("cart")
    left.execute("INSERT INTO shop_product (title, price) VALUES ('Tea', 42)")
    left.execute("INSERT INTO cart_line (product_id) VALUES (1)")
    before = left.snapshot()

    result = left.manage("rewind", "--sql")

    assert left.snapshot() == before
    assert "cart_line" in result.stdout
    assert "title" in result.stdout


def test_sql_of_what_is_refused(shop):
    """What could not be undone has no SQL either."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_names", python(), after="0001_initial")
        shop.manage("migrate")

    shop.refused("rewind", "--sql", naming="shop.0002_names")


def test_sql_of_nothing(shop):
    """With nothing to rewind it is a comment."""
    assert shop.manage("rewind", "--sql").stdout.strip() == "-- Nothing to rewind."


# --fake


def test_fake(left):
    """Records go and the schema stays; it is shown and asked for as such."""
    schema, rows = left.schema(), left.snapshot()

    result = left.attempt("rewind", "--fake", answer="n")
    assert "the schema stays" in result.stdout
    assert "shop.0002_price (only marked as unapplied)" in result.stdout
    assert "Mark 1 migration as unapplied" in result.stdout
    assert left.snapshot() == rows
    left.manage("rewind", "--fake", answer="y")

    assert left.schema() == schema
    assert left.applied("shop") == ["0001_initial"]
    assert "shop.0002_price" in left.stored()


def test_fake_of_what_cannot_be_undone(shop):
    """An irreversible one can be forgotten, to a target and with DEBUG off too: no data is lost."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, python(), after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.configure(DEBUG=False)

    shop.manage("rewind", "shop", "0001", "--fake", "--noinput")

    assert shop.applied("shop") == ["0001_initial"]
    assert shop.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]


# --use-file


@pytest.fixture
def edited(shop):
    """0002 was applied with a price, somebody renamed the column by hand and edited the file."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.execute("ALTER TABLE shop_product RENAME COLUMN price TO cost")
    shop.migration("shop.0002_price", PRICE.replace("price", "cost"), after="0001_initial")
    return shop


def test_use_file(edited):
    """The file is what is undone, for once."""
    result = edited.manage("rewind", "shop", "0001", "--use-file", "shop.0002_price", answer="y")

    assert "shop.0002_price (from its file)" in result.stdout
    assert edited.columns("shop_product") == {"id", "name"}
    assert edited.applied("shop") == ["0001_initial"]


def test_use_file_where_what_ran_does_not_load(edited):
    """What ran is no good here: the error says how to have the file used."""
    edited.execute("UPDATE django_migrations_code SET source_code = 'x' WHERE migration_name = '0002_price'")

    edited.refused("rewind", "shop", "0001", "--noinput", naming="--use-file shop.0002_price")
    edited.manage("rewind", "shop", "0001", "--noinput", "--use-file", "shop.0002_price")

    assert edited.columns("shop_product") == {"id", "name"}


def test_use_file_of_several(edited):
    """The option can be given again."""
    edited.migration("shop.0003_stock", STOCK, after="0002_price")
    edited.manage("migrate", "--fake")
    edited.execute("ALTER TABLE shop_product ADD COLUMN amount integer")
    edited.migration("shop.0003_stock", STOCK.replace("stock", "amount"), after="0002_price")

    edited.manage(
        *("rewind", "shop", "0001", "--noinput"),
        *("--use-file", "shop.0002_price", "--use-file", "shop.0003_stock"),
    )

    assert edited.columns("shop_product") == {"id", "name"}


def test_use_file_without_a_file(left):
    """It is refused by name."""
    left.refused("rewind", "--noinput", "--use-file", "shop.0002_price", naming="shop.0002_price")


def test_use_file_of_what_does_not_differ(shop):
    """It is refused by name, also where only a comment was edited, or something without effect."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")

    for header in ("", "# Why.\n", "UNUSED = 1\n"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header=header)
        shop.refused(
            *("rewind", "shop", "0001", "--noinput", "--use-file", "shop.0002_price"),
            naming=("shop.0002_price", "does not differ"),
        )


def test_use_file_of_what_stays(edited):
    """It is refused by name where that is not undone anyway."""
    edited.refused(
        *("rewind", "--noinput", "--use-file", "shop.0002_price"),
        naming=("shop.0002_price", "not among what would be undone"),
    )


# Options that make no sense


@pytest.mark.parametrize(
    "args",
    [
        "--redo --redo-modified shop 0001",
        "--redo",
        "--redo shop",
        "--redo shop zero",
        "--redo-modified shop 0001",
        "--sql --plan",
        "--sql --check",
        "--sql --fake",
        "--sql --redo-modified",
        "--sql --migrate",
        "--sql --format json",
        "--fake --redo shop 0001",
        "--fake --allow-data-loss",
        "--fake --use-file shop.0001_initial",
        "--format json",
        "--use-file shop",
        "--unknown",
    ],
)
def test_options_that_make_no_sense(left, args):
    """One line, status 2, and nothing has been read: not even whether there is a database."""
    left.configure(DATABASES={})

    result = left.attempt("rewind", *args.split())

    assert result.returncode == 2
    assert result.stdout == "" or ("json" in args and json.loads(result.stdout)["error"])
    assert "Traceback" not in result.stderr
    if args != "--unknown":
        assert len(result.stderr.splitlines()) == 1


def test_unknown_database(left):
    """It is refused by name."""
    left.refused("rewind", "--database", "nowhere", naming="nowhere")


@pytest.mark.parametrize("more", [(), ("--adopt",)])
def test_migrate_on_an_empty_database(new_shop, more):
    """A script that makes a database what the checkout expects need not know whether it is new."""
    new_shop.manage("rewind", "--migrate", "--noinput", *more)

    assert new_shop.applied("shop") == ["0001_initial"]
    assert "shop.0001_initial" in new_shop.stored()
    assert "Nothing to" in new_shop.manage("rewind", "--migrate", "--noinput", *more).stdout


@pytest.mark.parametrize("args", [("--noinput",), ("--plan",), ("--check",)])
def test_empty_database(new_shop, args):
    """Without `--migrate`, and where it is only to be shown, nothing is made."""
    refused = new_shop.attempt("rewind", *args)

    assert refused.returncode == (2 if args == ("--check",) else 1)
    assert "Nothing is stored in the database 'default' yet" in refused.stderr
    assert new_shop.tables() <= {"django_migrations"}


def test_sql_of_what_cannot_be_encoded(shop):
    """An operation describes itself with half a character, and is printed as Python would write it."""
    odd = """
        class Odd(migrations.RunPython):
            def describe(self):
                return "odd \\ud800 thing"
    """
    with shop.on_branch("feature"):
        shop.migration("shop.0002_odd", "Odd(print, print)", after="0001_initial", header=odd)
        shop.manage("migrate")

    assert "odd \\ud800 thing" in shop.manage("rewind", "--plan").stdout
    assert "odd \\ud800 thing" in shop.manage("rewind", "--sql").stdout
