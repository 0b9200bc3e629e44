"""Which tables and columns names stand for, and what that says of conflicts."""

from __future__ import annotations

import json

import pytest
from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.schema.effects import effects_of
from django_rewind.schema.lineage import Names, conflict, lasting, made_by
from tests.support.fixtures import add, create, in_memory

FOREIGN_KEY = models.ForeignKey("stock.Item", models.CASCADE)
MANY_TO_MANY = models.ManyToManyField("stock.Item")


def effects(*operations: object) -> list[dict[str, object]]:
    """Return the effects as they come back from the database."""
    return json.loads(json.dumps(effects_of(in_memory("shop.0001", *operations))))


def names(*operations: object) -> Names:
    """Return the names after some operations of the app shop."""
    found = Names()
    found.follow("shop", effects(*operations))
    return found


def losses(*operations: object, after: tuple[object, ...] = ()) -> list[tuple[str, str | None]]:
    """Return what is lost when the operations are undone that come after the others."""
    step = ("shop", "0002")
    history = {("shop", "0001"): effects(*after), step: effects(*operations)}
    return [place for _, place in made_by([step], history)]


def noop(apps, schema_editor):
    """Do nothing."""


# Names


def test_default_names_are_those_of_django():
    """What was never created here bears the default name."""
    assert Names().table("shop", "product") == "shop_product"


@pytest.mark.parametrize(
    "operations, table",
    [
        ([], "shop_product"),
        ([migrations.AlterModelTable("Product", "goods")], "goods"),
        (
            [migrations.AlterModelTable("Product", "goods"), migrations.AlterModelTable("Product", None)],
            "shop_product",
        ),
    ],
)
def test_the_table_of_a_model_is_followed(operations, table):
    """`db_table` comes and goes."""
    assert names(create("Product"), *operations).table("shop", "product") == table


def test_a_default_table_follows_the_name_of_its_model():
    """Renaming a model renames its table."""
    found = names(create("Product"), migrations.RenameModel("Product", "Article"))
    assert found.needed() == {("shop_article", None), ("shop_article", "id")}


def test_a_chosen_table_stays_when_its_model_is_renamed():
    """`db_table` is not the model's name."""
    found = names(create("Product", db_table="goods"), migrations.RenameModel("Product", "Article"))
    assert found.table("shop", "article") == "goods"


def test_a_deleted_model_needs_nothing():
    """With the model its table goes."""
    assert names(create("Product"), migrations.DeleteModel("Product")).needed() == set()


def test_a_column_follows_the_name_of_its_field():
    """A plain field and a relation keep their column's form."""
    found = names(
        create("Product", ("name", models.TextField()), ("item", FOREIGN_KEY)),
        migrations.RenameField("Product", "name", "title"),
        migrations.RenameField("Product", "item", "thing"),
    )
    table = "shop_product"
    assert found.needed() == {(table, None), (table, "id"), (table, "title"), (table, "thing_id")}


def test_a_chosen_column_stays_when_its_field_is_renamed():
    """`db_column` is not the field's name."""
    found = names(
        create("Product", ("code", models.TextField(db_column="sku"))),
        migrations.RenameField("Product", "code", "number"),
    )
    assert ("shop_product", "sku") in found.needed()


def test_a_field_that_was_never_seen_can_be_renamed():
    """The migration that made it may be unknown."""
    found = names(migrations.RenameField("Product", "name", "title"))
    assert ("shop_product", "title") in found.needed()


def test_removed_and_altered_fields_are_followed():
    """What is removed is needed no more, and what is altered lives in its new column."""
    found = names(
        create("Product", ("name", models.TextField()), ("code", models.TextField())),
        migrations.RemoveField("Product", "name"),
        migrations.AlterField("Product", "code", models.TextField(db_column="sku")),
    )
    assert found.needed() == {("shop_product", column) for column in (None, "id", "sku")}


def test_a_many_to_many_field_needs_its_table():
    """The table between follows the table of the model, and its own `db_table`."""
    found = names(
        create("Product", ("items", MANY_TO_MANY)),
        add("Product", "others", models.ManyToManyField("stock.Item", db_table="between")),
        migrations.RenameModel("Product", "Article"),
        migrations.RenameField("Article", "items", "things"),
    )
    assert {("shop_article_things", None), ("between", None)} <= found.needed()


def test_tables_and_columns_are_named_as_they_were_written():
    """Only Django's state is in lower case; a name that was chosen is taken as it is."""
    found = names(
        create("Product", ("relatedItems", MANY_TO_MANY), ("Name", models.TextField())),
        add("Product", "otherItems", MANY_TO_MANY),
        migrations.RenameField("Product", "otherItems", "moreItems"),
        migrations.RenameField("Product", "Name", "fullName"),
    )
    tables = {"shop_product", "shop_product_relatedItems", "shop_product_moreItems"}
    assert found.needed() == {(one, None) for one in tables} | {
        ("shop_product", "id"),
        ("shop_product", "fullName"),
    }


def test_what_was_written_down_in_lower_case_can_still_be_read():
    """Metadata of an earlier format know no other name of a many-to-many field."""
    effect, rename = effects(
        create("Product", ("Items", MANY_TO_MANY)), migrations.RenameField("Product", "Items", "Things")
    )
    del effect["fields"]["items"]["name"], rename["name"]
    found = Names()
    found.follow("shop", [effect])
    assert ("shop_product_items", None) in found.needed()
    found.follow("shop", [rename])
    assert ("shop_product_things", None) in found.needed()


@pytest.mark.parametrize(
    "model, field",
    [("Product", "each_of_" * 10), ("Product" * 12, "items"), ("Product" * 12, "each_of_" * 10)],
)
def test_a_long_table_is_cut_as_django_cuts_it(model, field):
    """To what the default database can take."""
    state = ProjectState()
    operations = [create("Item"), create(model, (field, models.ManyToManyField("shop.Item")))]
    for operation in operations:
        operation.state_forwards("shop", state)
    options = state.apps.get_model("shop", model)._meta
    between = options.get_field(field).remote_field.through._meta.db_table
    assert names(*operations).needed() >= {(options.db_table, None), (between, None)}


@pytest.mark.parametrize("options", [{"proxy": True}, {"managed": False}])
def test_a_model_without_a_table_of_its_own_needs_none(options):
    """Neither a proxy nor an unmanaged model counts."""
    assert names(create("Product", **options)).needed() == set()


def test_only_the_state_is_followed():
    """What happens to the database alone leaves the names as they are."""
    found = names(
        create("Product"),
        migrations.SeparateDatabaseAndState(
            [migrations.AlterModelTable("Product", "elsewhere")], [add("Product", "name")]
        ),
    )
    assert found.needed() == {("shop_product", column) for column in (None, "id", "name")}


def test_opaque_operations_change_no_name():
    """Nobody can look into them."""
    assert names(migrations.RunSQL("SELECT 1"), migrations.RunPython(noop)).needed() == set()


def test_needed_by_is_about_the_models_of_these_effects():
    """Other models of the app do not count, and a renamed model counts under its new name."""
    found = names(create("Product"), create("Order"), migrations.RenameModel("Product", "Article"))
    rename = effects(migrations.RenameModel("Product", "Article"))
    assert found.needed_by("shop", rename) == {("shop_article", None), ("shop_article", "id")}


# Losses


def test_undoing_a_created_model_loses_its_tables():
    """Those of its many-to-many fields too, unless another model stands between."""
    through = models.ManyToManyField("stock.Item", through="shop.Entry")
    lost = losses(create("Product", ("items", MANY_TO_MANY), ("entries", through)))
    assert lost == [("shop_product", None), ("shop_product_items", None)]


def in_state(*operations: object) -> object:
    return migrations.SeparateDatabaseAndState(state_operations=operations)


def in_database(*operations: object) -> object:
    return migrations.SeparateDatabaseAndState(database_operations=operations)


@pytest.mark.parametrize(
    "operations, lost",
    [
        ([in_database(add("Product", "name"))], [("shop_product", "name")]),
        ([in_database(create("Box"))], [("shop_box", None)]),
        # The state tells its half under another name, and renames that.
        (
            [
                in_database(create("Box", db_table="boxes")),
                in_state(create("Crate", db_table="boxes")),
                migrations.AlterModelTable("Crate", "crates"),
            ],
            [("crates", None)],
        ),
        # A model that the state alone has lost, as where it is moved to another app.
        ([create("Box"), in_state(migrations.DeleteModel("Box"))], [("shop_box", None)]),
        (
            [
                create("Box"),
                in_state(migrations.DeleteModel("Box"), create("Crate", db_table="shop_box")),
                migrations.AlterModelTable("Crate", "crates"),
            ],
            [("crates", None)],
        ),
        (
            [add("Product", "name"), in_state(migrations.RemoveField("Product", "name"))],
            [("shop_product", "name")],
        ),
        ([create("Box"), migrations.DeleteModel("Box")], []),
        ([add("Product", "name"), migrations.RemoveField("Product", "name")], []),
    ],
)
def test_what_only_the_database_knows_is_lost(operations, lost):
    """What no state has any more, or ever had, is in the database all the same."""
    assert losses(*operations, after=(create("Product"),)) == lost


def test_undoing_an_added_field_loses_its_column():
    """In the table as it is called by then."""
    earlier = (create("Product"), migrations.AlterModelTable("Product", "goods"))
    assert losses(add("Product", "item", FOREIGN_KEY), after=earlier) == [("goods", "item_id")]
    assert losses(add("Product", "items", MANY_TO_MANY), after=earlier) == [("goods_items", None)]


ORDERED, UNORDERED = (migrations.AlterOrderWithRespectTo("Product", by) for by in ("maker", None))


@pytest.mark.parametrize(
    "earlier, lost",
    [
        ([create("Product")], [("shop_product", "_order")]),
        ([create("Product"), ORDERED, UNORDERED], [("shop_product", "_order")]),
        ([create("Product"), ORDERED], []),
        ([create("Product", order_with_respect_to="other")], []),
    ],
)
def test_undoing_an_order_loses_its_column(earlier, lost):
    """Unless the model had one before, by another field: the column stays."""
    assert losses(ORDERED, after=tuple(earlier)) == lost
    assert losses(UNORDERED, after=tuple(earlier)) == []


@pytest.mark.parametrize(
    "operations, is_there",
    [
        ([create("Product"), ORDERED], True),
        ([create("Product", order_with_respect_to="maker")], True),
        ([create("Product", order_with_respect_to="maker"), UNORDERED], False),
        ([create("Product")], False),
    ],
)
def test_the_column_of_an_order_is_followed(operations, is_there):
    """It comes and goes with `order_with_respect_to`."""
    assert (("shop_product", "_order") in names(*operations).needed()) is is_there


@pytest.mark.parametrize("options", [{"proxy": True}, {"managed": False}])
def test_undoing_a_model_without_table_loses_nothing(options):
    """There is nothing to drop."""
    assert losses(create("Product", **options)) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.DeleteModel("Product"),
        migrations.RemoveField("Product", "name"),
        migrations.RenameModel("Product", "Article"),
        migrations.RunSQL("SELECT 1"),
        migrations.SeparateDatabaseAndState([], [create("Order"), add("Product", "name")]),
    ],
)
def test_undoing_anything_else_loses_nothing_that_is_known(operation):
    """Renamed is not lost, what comes back is not lost, and the state holds no data."""
    assert losses(operation, after=(create("Product", ("name", models.TextField())),)) == []


# Conflict


@pytest.mark.parametrize(
    "step, missing, words",
    [
        (migrations.DeleteModel("Product"), add("Product", "a"), "deletes the model 'product'"),
        (migrations.RenameModel("Product", "B"), add("Product", "a"), "renames the model 'product'"),
        (
            migrations.DeleteModel("Product"),
            add("Order", "a", models.ForeignKey("shop.Product", models.CASCADE)),
            "deletes the model 'product'",
        ),
        (
            migrations.DeleteModel("Product"),
            add("Order", "a", models.ForeignKey("Product", models.CASCADE)),
            "deletes the model 'product'",
        ),
        (
            migrations.RemoveField("Product", "a"),
            migrations.AlterField("Product", "a", models.TextField()),
            "removes the field 'product.a'",
        ),
        (
            migrations.RenameField("Product", "A", "b"),
            migrations.AlterField("Product", "a", models.TextField()),
            "renames the field 'product.a'",
        ),
        (create("Product"), create("Product"), "creates the model 'product' again"),
        (add("Product", "A"), add("Product", "a"), "adds the field 'product.a' again"),
    ],
)
def test_a_step_contradicts_a_missing_migration(step, missing, words):
    """It takes away, renames or makes again what the missing one uses; the words say which."""
    assert conflict(("shop", effects(step)), ("shop", effects(missing))) == words


@pytest.mark.parametrize(
    "step, missing",
    [
        (add("Product", "b"), add("Product", "a")),
        (migrations.DeleteModel("Order"), add("Product", "a")),
        (migrations.RemoveField("Product", "b"), add("Product", "a")),
        (migrations.AlterModelOptions("Product", {}), add("Product", "a")),
        (migrations.RunSQL("SELECT 1"), add("Product", "a")),
        (migrations.DeleteModel("Product"), migrations.RunSQL("SELECT 1")),
    ],
)
def test_a_step_beside_a_missing_migration_is_no_conflict(step, missing):
    """The same model may be worked on from two sides."""
    assert conflict(("shop", effects(step)), ("shop", effects(missing))) is None


def test_the_same_name_in_another_app_is_no_conflict():
    """Models belong to their app."""
    assert conflict(("stock", effects(create("Product"))), ("shop", effects(create("Product")))) is None


def test_another_app_conflicts_where_it_is_referred_to():
    """A missing migration of the shop needs the model of the stock that it points to."""
    step = ("stock", effects(migrations.DeleteModel("Item")))
    assert (
        conflict(step, ("shop", effects(add("Product", "item", FOREIGN_KEY)))) == "deletes the model 'item'"
    )


def test_a_chosen_column_that_begins_like_its_field_stays_too():
    """A column that happens to begin with the field's name was still chosen."""
    found = names(
        create("Product", ("name", models.TextField(db_column="name_of_product"))),
        migrations.RenameField("Product", "name", "title"),
    )
    assert ("shop_product", "name_of_product") in found.needed()


# Lasting


def left(*migrations_applied: object) -> dict[str, list[tuple[str, ...]]]:
    """Return what is left of migrations, applied in this order, in short."""
    keyed = {(one.app_label, one.name): json.loads(json.dumps(effects_of(one))) for one in migrations_applied}
    return {
        name: [tuple(one[word] for word in ("effect", "model", "field") if word in one) for one in found]
        for (_, name), found in lasting(keyed.items()).items()
    }


def test_what_was_removed_again_is_not_left():
    """By the same migration or by a later one; the removal itself is."""
    found = left(
        in_memory("shop.1", create("Order"), add("Product", "a"), add("Product", "b")),
        in_memory("shop.2", migrations.RemoveField("Product", "b"), migrations.DeleteModel("Order")),
        in_memory("shop.3", add("Product", "c"), migrations.RemoveField("Product", "c")),
    )
    assert found == {
        "1": [("add_field", "product", "a")],
        "2": [("remove_field", "product", "b"), ("delete_model", "order")],
        "3": [("remove_field", "product", "c")],
    }


def test_what_was_renamed_is_left_under_its_new_name():
    """So is what refers to it."""
    link = models.ForeignKey("Product", models.CASCADE, null=True)
    one = in_memory("shop.1", create("Product"), add("Product", "a"), add("Order", "product", link))
    two = in_memory(
        "shop.2", migrations.RenameField("Product", "a", "b"), migrations.RenameModel("Product", "Item")
    )
    assert left(one, two)["1"] == [
        ("create_model", "item"),
        ("add_field", "item", "b"),
        ("add_field", "order", "product"),
    ]
    found = lasting((("shop", name), effects_of(of)) for name, of in (("1", one), ("2", two)))
    assert found["shop", "1"][2]["refers"] == [["shop", "item"]]


def test_what_was_renamed_and_removed_is_in_the_way_of_nothing():
    """Neither name is there any more."""
    one = in_memory("shop.1", migrations.RenameField("Product", "a", "b"))
    two = in_memory("shop.2", migrations.RemoveField("Product", "b"))
    found = lasting((("shop", name), effects_of(of)) for name, of in (("1", one), ("2", two)))
    assert conflict(("shop", effects(add("Product", "b"))), ("shop", found["shop", "1"])) is None


def test_what_was_removed_from_the_state_alone_is_left():
    """The column is still in the database."""
    gone = migrations.SeparateDatabaseAndState([], [migrations.RemoveField("Product", "a")])
    assert left(in_memory("shop.1", add("Product", "a")), in_memory("shop.2", gone))["1"]


def test_another_app_takes_nothing_away():
    """Models belong to their app."""
    other = in_memory("stock.2", migrations.DeleteModel("Product"), migrations.RenameModel("Product", "A"))
    assert left(in_memory("shop.1", add("Product", "a")), other)["1"] == [("add_field", "product", "a")]


def test_what_nobody_can_look_into_is_left():
    """It takes nothing away that is known."""
    sql = migrations.RunSQL("SELECT 1")
    found = left(in_memory("shop.1", sql), in_memory("shop.2", migrations.RenameModel("A", "B"), sql))
    assert found == {"1": [("opaque",)], "2": [("rename_model", "a"), ("opaque",)]}
