"""A feature was applied and rebased since: one command brings the database to the files, whatever became of them."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from tests.support.helpers import (
    Project,
    add,
    alter,
    create,
    python,
    remove,
    rename_field,
    rename_model,
)

pytestmark = [pytest.mark.deep]

STAGING = ("rewind", "--migrate", "--adopt", "--noinput", "--allow-data-loss")

PRICE = add("product", "price", "IntegerField(default=7)")
COST = add("product", "cost", "IntegerField(default=8)")
STOCK = add("product", "stock", "IntegerField(default=3)")
DROPPED = add("product", "dropped", "IntegerField(default=1)")


def settles(project: Project, *options: str) -> str:
    """Run the command of a shared staging; the schema is that of a new database then, and nothing is left to do."""
    output = project.manage(*STAGING, *options).output
    project.add_database("new")
    project.manage("migrate", "--database", "new")
    assert project.schema() == project.schema("new")
    apps = [label for label in project.installed if label != "django_rewind"]
    for app in apps:
        assert sorted(project.applied(app)) == sorted(project.applied(app, "new"))
    before = project.snapshot()
    assert "No migrations to apply" in project.manage(*STAGING, *options).stdout
    assert project.snapshot() == before
    assert project.attempt("rewind", "--check").returncode == 0
    return output


@pytest.fixture
def two_apps(shop: Project) -> Project:
    """Feature's shop.0002_f was renumbered, and cart.0002_g, which depends on it, keeps its name."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Line"), after="shop.0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    link = add("line", "gift", "ForeignKey('shop.Gift', models.CASCADE, null=True)")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_f", create("Gift"), after="0001_initial")
        shop.migration("cart.0002_g", link, after=["0001_initial", "shop.0002_f"])
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_gift (id) VALUES (1)")
        shop.execute("INSERT INTO cart_line (gift_id) VALUES (1)")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_f", create("Gift"), after="0002_stock")
    shop.migration("cart.0002_g", link, after=["0001_initial", "shop.0003_f"])
    return shop


def test_one_of_two_apps_was_renumbered(two_apps):
    """Its record is renamed, what has come before it since is applied, and no row is lost."""
    settles(two_apps)

    assert two_apps.rows("SELECT gift_id FROM cart_line") == [(1,)]
    assert two_apps.applied("shop") == ["0001_initial", "0003_f", "0002_stock"]


def test_migrate_names_the_command(two_apps):
    """What Django calls an inconsistent history comes from the rebase, and there is a way out that works."""
    two_apps.refused("migrate", naming=("cart.0002_g", "shop.0003_f", "rewind --adopt --migrate"))
    two_apps.refused("migrate", "--plan", naming="rewind --adopt --migrate")

    two_apps.manage("rewind", "--adopt", "--migrate", answer="y")

    assert "No migrations to apply" in two_apps.manage("migrate").stdout


def test_the_plan_shows_all_of_it(two_apps):
    """Names, steps back and what is applied; nothing is changed, and nothing stored is executed."""
    before = two_apps.snapshot()

    shown = two_apps.manage("rewind", "--adopt", "--migrate", "--plan").stdout
    document = json.loads(
        two_apps.manage("rewind", "--adopt", "--migrate", "--plan", "--format", "json").stdout
    )

    assert "shop.0002_f is on disk as shop.0003_f" in shown
    assert "applied from their files:\n  shop.0002_stock" in shown
    plan = document["databases"]["default"]
    assert plan["renamed"] == [{"app": "shop", "name": "0002_f", "renamed_to": "0003_f"}]
    assert plan["applies"] == [{"app": "shop", "name": "0002_stock"}]
    assert two_apps.attempt("rewind", "--adopt", "--migrate", "--check").returncode == 1
    assert two_apps.snapshot() == before


def test_the_one_that_keeps_its_name_depends_on_a_dropped_one(two_apps):
    """It goes with what it points to, and is applied again on what took the place of that."""
    two_apps.delete("shop/migrations/0003_f.py")
    gift = create("Gift", text="TextField(default='')")
    two_apps.migration("shop.0003_gift", gift, after="0002_stock")
    link = add("line", "gift", "ForeignKey('shop.Gift', models.CASCADE, null=True)")
    two_apps.migration("cart.0002_g", link, after=["0001_initial", "shop.0003_gift"])

    settles(two_apps)

    assert two_apps.columns("shop_gift") == {"id", "text"}


@pytest.mark.parametrize("order", ["same edited dropped", "dropped edited same", "edited same dropped"])
def test_one_is_the_same_one_edited_one_dropped(shop, order):
    """Each is done what it takes, in one go; the same one keeps its data."""
    operations = {"same": PRICE, "edited": COST, "dropped": DROPPED}
    names = [f"{number:04}_{name}" for number, name in enumerate(order.split(), 2)]
    with shop.on_branch("feature"):
        for name, after in zip(names, chain(["0001_initial"], names)):
            shop.migration(f"shop.{name}", operations[name[5:]], after=after)
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (name, price, cost, dropped) VALUES ('Tea', 42, 43, 44)")
    operations["edited"] = add("product", "cost", "BigIntegerField(default=9)")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    rebased = [f"{number:04}_{name}" for number, name in enumerate(order.split()[:3], 3) if name != "dropped"]
    for name, after in zip(rebased, chain(["0002_stock"], rebased)):
        shop.migration(f"shop.{name}", operations[name[5:]], after=after)

    settles(shop)

    assert shop.rows("SELECT price, cost, stock FROM shop_product") == [(42, 9, 3)]


def table(model: str, name: str) -> str:
    return f"migrations.AlterModelTable({model!r}, {name!r})"


def together(*names: str) -> str:
    return f"migrations.AlterUniqueTogether('product', {{{names!r}}})"


# Another column gets the name of the one that has been renamed.
NAME = add("product", "name", "CharField(max_length=50, null=True)")
INDEX = "migrations.AddIndex('product', models.Index(fields=['-name', 'id'], name='by_name'))"
CONSTRAINT = "migrations.AddConstraint('product', models.UniqueConstraint(fields=['name'], name='one_name'))"

CHANGED_ON_BOTH_SIDES = {
    "table": (table("product", "wasps"), table("product", "bees")),
    "field": (
        alter("product", "name", "CharField(max_length=60)"),
        alter("product", "name", "CharField(max_length=70)"),
    ),
    "unique together": (together("id", "name"), "migrations.AlterUniqueTogether('product', set())"),
    "nullable": (
        alter("product", "name", "CharField(max_length=50, null=True)"),
        alter("product", "name", "CharField(max_length=50, db_index=True)"),
    ),
    "renamed model": (STOCK, rename_model("Product", "Thing")),
    "renamed field": (alter("product", "name", "TextField()"), rename_field("product", "name", "title")),
    "index": (f"{rename_field('product', 'name', 'title')}, {NAME}", INDEX),
    "constraint": (f"{rename_field('product', 'name', 'title')}, {NAME}", CONSTRAINT),
}


@pytest.mark.parametrize("case", CHANGED_ON_BOTH_SIDES)
def test_what_does_not_commute_is_applied_again(shop, case):
    """The files say main's first and then feature's; the database had feature's first."""
    main, feature = CHANGED_ON_BOTH_SIDES[case]
    with shop.on_branch("feature"):
        shop.migration("shop.0002_feature", feature, after="0001_initial")
        shop.migration("shop.0003_gift", create("Gift"), after="0002_feature")
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_gift (id) VALUES (1)")
    shop.migration("shop.0002_main", main, after="0001_initial")
    shop.migration("shop.0003_feature", feature, after="0002_main")
    shop.migration("shop.0004_gift", create("Gift"), after="0003_feature")

    settles(shop)

    assert shop.rows("SELECT id FROM shop_gift") == [(1,)]


@pytest.mark.parametrize(
    "dropped, kept",
    [
        (table("product", "wasps"), table("product", "bees")),
        (alter("product", "name", "TextField()"), rename_model("Product", "Thing")),
    ],
)
def test_what_was_dropped_lies_below_what_is_kept(shop, dropped, kept):
    """Where they do not commute, both are unapplied."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_dropped", dropped, after="0001_initial")
        shop.migration("shop.0003_kept", kept, after="0002_dropped")
        shop.manage("migrate")
    shop.migration("shop.0002_kept", kept, after="0001_initial")

    settles(shop)


def test_the_name_of_an_applied_one_is_given_to_another(shop):
    """Numbers shift: the file with the name of the second says what the first did."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_auto", create("Gift"), after="0001_initial")
        shop.migration("shop.0003_auto", add("gift", "text", "TextField()"), after="0002_auto")
        shop.manage("migrate")
    shop.models("shop", "class Gift(models.Model):\n    text = models.TextField()\n")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_auto", create("Gift"), after="0002_stock")
    shop.migration("shop.0004_auto", add("gift", "text", "TextField(default='')"), after="0003_auto")

    settles(shop, "--redo-modified")


def test_what_was_renumbered_stood_on_what_is_redone(shop):
    """Unapplied with that, it has the place that it had under its old name."""
    text = add("thing", "text", "TextField(default='')")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_thing", rename_model("Product", "Thing"), after="0001_initial")
        shop.migration("shop.0003_x", text, after="0002_thing")
        shop.manage("migrate")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_x", STOCK, after="0002_price")
    shop.migration("shop.0004_thing", rename_model("Product", "Thing"), after="0003_x")

    settles(shop, "--redo-modified")


BUILT_ON_COST = {
    "altered": alter("product", "cost", "IntegerField(default=9, db_index=True)"),
    "renamed": rename_field("product", "cost", "expense"),
}


@pytest.mark.parametrize("case", BUILT_ON_COST)
def test_the_name_of_what_was_built_on_it_is_given_to_it(shop, case):
    """What was applied under that name depended on it, and its file does not: both are unapplied."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Line"), after="shop.0001_initial")
    link = add("line", "product", "ForeignKey('shop.Product', models.CASCADE, null=True)")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_auto", COST, after="0001_initial")
        shop.migration("shop.0003_auto", BUILT_ON_COST[case], after="0002_auto")
        shop.migration("cart.0002_auto", link, after=["0001_initial", "shop.0003_auto"])
        shop.manage("migrate")
    shop.migration("shop.0003_auto", COST, after="0001_initial")

    settles(shop, "--redo-modified")


FILLS = """
def forward(apps, schema_editor):
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).update({}="Tea")
"""
NAMES_WHAT_IS_TAKEN = {
    "renamed": (rename_field("product", "name", "title"), FILLS.format("name"), ""),
    "renamed by SQL": (rename_field("product", "name", "title"), "", "UPDATE shop_product SET name = 'Tea'"),
    "removed": (remove("product", "name"), FILLS.format("name"), ""),
    "renamed model": (rename_model("Product", "Thing"), FILLS.format("name"), ""),
    "another table": (table("product", "wasps"), "", "UPDATE shop_product SET name = 'Tea'"),
}


@pytest.mark.parametrize("case", NAMES_WHAT_IS_TAKEN)
def test_code_that_comes_first_by_now_finds_what_it_names(shop, case):
    """What is applied has taken it away since: it is unapplied, and applied again behind the code."""
    taker, header, sql = NAMES_WHAT_IS_TAKEN[case]
    with shop.on_branch("feature"):
        shop.migration("shop.0002_taker", taker, after="0001_initial")
        shop.manage("migrate")
    code = (
        f"migrations.RunSQL({sql!r}, '')"
        if sql
        else "migrations.RunPython(forward, migrations.RunPython.noop)"
    )
    shop.migration("shop.0002_code", code, after="0001_initial", header=header)
    shop.migration("shop.0003_taker", taker, after="0002_code")

    settles(shop)


def test_sql_that_unapplies_finds_what_it_names(shop):
    """What stays was applied later, under the name of a file, and has taken the table away: it is unapplied first."""
    sql = "migrations.RunSQL('', 'UPDATE shop_product SET name = name')"
    with shop.on_branch("feature"):
        shop.migration("shop.0002_sql", sql, after="0001_initial")
        shop.migration("shop.0003_bees", table("product", "bees"), after="0002_sql")
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_bees", table("product", "bees"), after="0002_stock")

    settles(shop)


def test_code_that_names_nothing_of_it(shop):
    """Then what is applied stays, with its data."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_gift", create("Gift"), rename_model("Gift", "Present"), after="0001_initial"
        )
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_present (id) VALUES (1)")
    code = "migrations.RunPython(forward, migrations.RunPython.noop)"
    shop.migration("shop.0002_code", code, after="0001_initial", header=FILLS.format("name"))
    shop.migration("shop.0003_gift", create("Gift"), rename_model("Gift", "Present"), after="0002_code")

    settles(shop)

    assert shop.rows("SELECT id FROM shop_present") == [(1,)]


def test_parallel_ones_that_do_not_commute(shop):
    """The one that is applied has to come after the other one, as the files have it."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", rename_model("Product", "Thing"), after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_tidy", table("product", "wasps"), after="0001_initial")
    shop.migration("shop.0002_price", rename_model("Product", "Thing"), after="0001_initial")
    shop.migration("shop.0003_merge", after=["0002_price", "0002_tidy"])

    settles(shop)


def test_an_edited_file_is_not_passed_over(shop):
    """The schema would not be what it says: it is refused, and what is named helps."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_price", PRICE, STOCK, after="0001_initial")

    shop.refused(*STAGING, naming=("shop.0002_price", "--redo-modified", "--accept shop 0002_price"))

    settles(shop, "--redo-modified")


CHANGES_COST = {
    "altered": alter("product", "cost", "BigIntegerField(default=9)"),
    "renamed": rename_field("product", "cost", "expense"),
    "altered and renamed": (
        f"{alter('product', 'cost', 'BigIntegerField(default=9)')}, {rename_field('product', 'cost', 'expense')}"
    ),
}


@pytest.mark.parametrize("case", CHANGES_COST)
def test_what_it_stood_on_was_made_anew(shop, case):
    """A file that changes a column has not made it: what has is missing, and the other one makes it anew."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cost", COST, after="0001_initial")
        shop.migration("shop.0003_change", CHANGES_COST[case], after="0002_cost")
        shop.manage("migrate")
    other = add("product", "cost", "CharField(max_length=9, default='8')")
    shop.migration("shop.0002_other", other, after="0001_initial")
    shop.migration("shop.0003_change", CHANGES_COST[case], after="0002_other")

    settles(shop)


def test_what_cannot_be_unapplied_is_named(shop):
    """It would have to be unapplied and applied again: nothing is changed, and it is no success."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_bees", table("product", "bees"), python(), after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_wasps", table("product", "wasps"), after="0001_initial")
    shop.migration("shop.0003_bees", table("product", "bees"), python(), after="0002_wasps")

    shop.refused(*STAGING, naming=("shop.0002_bees", "not reversible"))


def test_what_cannot_be_unapplied_has_given_its_name_away(shop):
    """No target is just before it: what is advised is what works."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_x", python(), COST, after="0002_price")
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_x", create("Gift"), after="0002_stock")

    refused = shop.refused(*STAGING, "--redo-modified", naming=("shop.0003_x", "not reversible"))

    assert "delete its row from django_migrations" in refused.stderr
    assert "'manage.py" not in refused.stderr
    shop.execute("ALTER TABLE shop_product DROP COLUMN cost")
    shop.execute("DELETE FROM django_migrations WHERE name = '0003_x'")
    settles(shop, "--redo-modified")


@pytest.mark.parametrize("taker", [rename_model("Line", "Row"), "migrations.DeleteModel('Line')"])
def test_main_points_to_what_an_applied_file_takes_away(shop, taker):
    """It does not depend on that, nor that on it. Django applies it last, so it is unapplied first."""
    shop.app("yard")
    shop.migration("yard.0001_initial", create("Line"))
    shop.migration("yard.0002_taker", taker, after="0001_initial")
    shop.manage("migrate")
    link = add("product", "line", "ForeignKey('yard.Line', models.CASCADE, null=True)")
    shop.migration("shop.0002_link", link, after=["0001_initial", "yard.0001_initial"])
    if "Delete" in taker:
        unlink = remove("product", "line")
        shop.migration("shop.0003_unlink", unlink, after="0002_link")
        shop.migration("yard.0002_taker", taker, after=["0001_initial", "shop.0003_unlink"])

    settles(shop)


def test_the_same_name_with_other_content(shop):
    """What its file claims to have made was never made: it is refused, or redone where that is asked for."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_x", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_x", create("Gift"), after="0001_initial")
    shop.migration("shop.0003_m", add("gift", "text", "TextField(default='')"), after="0002_x")

    shop.refused("migrate", naming=("shop.0002_x", "shop.0003_m", "--redo-modified"))
    shop.refused(*STAGING, naming=("shop.0002_x", "--redo-modified"))

    settles(shop, "--redo-modified")


LINK = "ForeignKey('shop.Product', models.CASCADE, null=True)"
SQL = "migrations.RunSQL('ALTER TABLE shop_product ADD COLUMN stock integer NULL', 'ALTER TABLE shop_product DROP COLUMN stock', "
MOVED = {
    "column": STOCK,
    "column by SQL": SQL + f"state_operations=[{add('product', 'stock', 'IntegerField(null=True)')}])",
    "table": create("Gift"),
    "renamed table": rename_model("Product", "Thing"),
    "renamed column": rename_field("product", "name", "title"),
    "index": INDEX,
    "constraint": CONSTRAINT,
    "join table": add("product", "others", "ManyToManyField('shop.Product')"),
}


@pytest.mark.parametrize("case", MOVED)
def test_a_part_of_it_was_moved_to_a_new_file(shop, case):
    """That would be made twice: it is refused before the first statement, and the command that is named helps."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_x", PRICE, MOVED[case], after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_x", PRICE, after="0001_initial")
    shop.migration("shop.0003_m", create("Before"), after="0002_x")
    shop.migration("shop.0004_y", MOVED[case], after="0003_m")

    shop.refused("migrate", naming=("shop.0002_x", "shop.0004_y", "--redo-modified"))

    settles(shop, "--redo-modified")


def test_another_column_of_the_same_name(shop):
    """The field is there already, be its column called something else."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_x", PRICE, add("product", "box", LINK), after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_x", PRICE, after="0001_initial")
    shop.migration("shop.0003_y", add("product", "box", "IntegerField(default=1)"), after="0002_x")

    shop.refused("migrate", naming=("shop.0002_x", "shop.0003_y", "product.box", "--redo-modified"))

    settles(shop, "--redo-modified")


def test_what_was_made_is_gone_by_now(shop):
    """Then it is made anew."""
    shop.migration("shop.0002_x", PRICE, STOCK, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0003_tidy", remove("product", "stock"), after="0002_x")
    shop.manage("migrate")
    shop.migration(
        "shop.0002_x", add("product", "price", "IntegerField(default=8)"), STOCK, after="0001_initial"
    )
    shop.migration("shop.0004_y", STOCK, after="0003_tidy")

    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "name", "price", "stock"}


def test_a_redo_and_then_migrate(shop):
    """Without the other names, too."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_x", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_x", create("Gift"), after="0001_initial")
    shop.migration("shop.0003_m", add("gift", "text", "TextField(default='')"), after="0002_x")

    shop.manage("rewind", "--redo-modified", "--migrate", "--noinput")

    assert shop.columns("shop_gift") == {"id", "text"}
    assert shop.columns("shop_product") == {"id", "name"}


def test_stopped_on_the_way_forward(two_apps):
    """It says what is done, and the same command goes on from there."""
    two_apps.migration(
        "shop.0002_stock",
        # First, for not every database takes the column back.
        "migrations.RunPython(stop)",
        STOCK,
        after="0001_initial",
        header="""
            import os

            def stop(apps, schema_editor):
                if "STOP" in os.environ:
                    raise ValueError("The shelf is not empty")
        """,
    )
    stop = two_apps.read("shop/migrations/0002_stock.py")
    two_apps.write("shop/migrations/0002_stock.py", stop.replace('"STOP" in os.environ', "True"))

    result = two_apps.attempt(*STAGING)

    assert result.returncode == 1
    assert "Nothing has been changed" not in result.output
    assert "shop.0002_f is shop.0003_f" in result.stderr
    assert "The shelf is not empty" in result.stderr
    two_apps.refused("migrate", naming="rewind --adopt --migrate")
    two_apps.write("shop/migrations/0002_stock.py", stop)
    settles(two_apps)


def test_a_forward_half_that_cannot_be(shop):
    """It is found out before the first step back."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_wrong", remove("product", "nothing"), after="0001_initial")

    shop.refused(*STAGING, naming="shop.0002_wrong")
