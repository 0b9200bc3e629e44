"""A model was moved to another app in the state alone, and what is undone knows it under its old one."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, apart, create, drop, python, rename_model

pytestmark = pytest.mark.deep

NAME = "CharField(max_length=50)"
ITEM = add("line", "item", "ForeignKey('depot.Item', models.CASCADE, null=True)")
THERE = "ForeignKey('stock.Item', models.CASCADE, null=True)"


def with_table(table: str, operation: str) -> str:
    return f"{operation[:-1]}, options={{'db_table': {table!r}}})"


MOVED = with_table("depot_item", create("Item", name=NAME))
AGAIN = with_table("depot_again", create("Item", name=NAME))
SHOUT = """
def shout(apps, schema_editor):
    for item in apps.get_model("depot", "Item").objects.using(schema_editor.connection.alias):
        item.name = "undone"
        item.save()
"""


def write(shop: Project, *, mover: str = apart(state=drop("Item"))) -> None:
    """Have depot's Item be stock's, and cart's lines, which point to it, follow: as in django-oscar."""
    for label in ("cart", "depot", "stock"):
        shop.app(label)
    shop.migration("depot.0001_initial", create("Item", name=NAME), create("Bin"))
    shop.migration("cart.0001_initial", create("Line", count="IntegerField(default=1)"))
    shop.migration("cart.0002_item", ITEM, after=["0001_initial", "depot.0001_initial"])
    shop.migration("stock.0001_initial", apart(state=MOVED), after="depot.0001_initial")
    shop.migration("cart.0003_item", alter("line", "item", THERE), after=["0002_item", "stock.0001_initial"])
    # It depends on none that has followed, so that it stays where those are undone.
    shop.migration("depot.0002_moved", mover, after="0001_initial")


def apply(shop: Project) -> None:
    """Apply it to two databases, with a row in each table."""
    shop.add_database("other")
    for alias in shop.databases:
        shop.manage("migrate", "--database", alias)
    item = shop.columns("depot_item") - {"id"}
    columns, values = ", ".join(sorted(item)), ", ".join("'7'" for _ in item)
    shop.execute(f"INSERT INTO depot_item ({columns}) VALUES ({values})")
    (found,) = shop.rows("SELECT id FROM depot_item")
    shop.execute("INSERT INTO cart_line (item_id, count) VALUES (%s, 2)", *found)


def hide(shop: Project, *more: str) -> None:
    for path in [*(shop.path / "cart" / "migrations").glob("0*.py"), *map(shop.path.joinpath, more)]:
        path.unlink()


def undo_as_django_does(shop: Project, *target: str, hidden: tuple[str, ...] = ()) -> None:
    """Undo with the files there in one database and without them in the other, and compare."""
    shop.manage("migrate", *target, "--database", "other")
    hide(shop, *hidden)

    shop.manage("migrate", *target)

    assert shop.schema() == shop.schema("other")
    for app in ("cart", "depot", "stock"):
        assert shop.applied(app) == shop.applied(app, "other")


@pytest.mark.parametrize("target", ["zero", "0001"])
def test_what_pointed_to_it_is_undone(shop, target):
    """The schema is what Django makes of it with the files there, and the rows stay."""
    write(shop)
    apply(shop)

    undo_as_django_does(shop, "cart", target)

    assert shop.rows("SELECT name FROM depot_item") == [("7",)]
    if target != "zero":
        assert shop.rows("SELECT count FROM cart_line") == [(2,)]


def test_what_stays_would_point_to_it(shop):
    """Django goes back and then breaks on the models that there are; it is refused before."""
    write(shop)
    shop.manage("migrate")
    hide(shop)

    shop.refused("migrate", "cart", "0002", naming=("cart.0003_item", "depot.item"))


def test_rewind(shop):
    """So it is with a bare rewind, also where its statements are only printed."""
    write(shop)
    apply(shop)
    before = shop.schema()
    shop.delete("cart/migrations/0002_item.py")
    shop.delete("cart/migrations/0003_item.py")

    shop.manage("rewind", "--sql")
    assert shop.schema() == before
    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.columns("cart_line") == {"id", "count"}
    assert shop.applied("cart") == ["0001_initial"]
    assert shop.rows("SELECT name FROM depot_item") == [("7",)]


def test_what_stays_above_it(shop):
    """What was made of model and app since it was moved stays, with the data."""
    write(shop)
    shop.migration(
        "stock.0002_size",
        add("item", "size", "IntegerField(default=3)"),
        alter("item", "name", "CharField(max_length=80)"),
        after=["0001_initial", "depot.0002_moved"],
    )
    shop.migration(
        "depot.0003_bin",
        add("bin", "place", "IntegerField(default=3)"),
        create("Box", item=THERE),
        after=["0002_moved", "stock.0001_initial"],
    )
    apply(shop)

    undo_as_django_does(shop, "cart", "zero")

    assert shop.rows("SELECT name, size FROM depot_item") == [("7", 7)]
    assert shop.columns("depot_bin") == {"id", "place"}


def test_two_were_moved(shop):
    """Each is known under its old app for as long as something points to it there."""
    write(shop)
    shop.app("loft")
    shop.migration("loft.0001_initial", create("Tag"))
    shop.migration(
        "cart.0004_tag",
        add("line", "tag", "ForeignKey('loft.Tag', models.CASCADE, null=True)"),
        after=["0003_item", "loft.0001_initial"],
    )
    shop.migration(
        "stock.0002_tag",
        apart(state=with_table("loft_tag", create("Tag"))),
        after=["0001_initial", "loft.0001_initial"],
    )
    shop.migration(
        "cart.0005_tag",
        alter("line", "tag", "ForeignKey('stock.Tag', models.CASCADE, null=True)"),
        after=["0004_tag", "stock.0002_tag"],
    )
    shop.migration("loft.0002_moved", apart(state=drop("Tag")), after=["0001_initial"])
    apply(shop)

    undo_as_django_does(shop, "cart", "0001")

    assert shop.columns("cart_line") == {"id", "count"}


def test_what_moved_it_has_no_file(shop):
    """It stays, and is known from its stored source."""
    write(shop)
    apply(shop)

    undo_as_django_does(shop, "cart", "zero", hidden=("depot/migrations/0002_moved.py",))

    assert shop.applied("depot") == ["0001_initial", "0002_moved"]


def shout_when_undone(shop: Project, key: str, *operations: str) -> None:
    """Write a migration of cart that writes the rows of depot's Item when it is undone."""
    after = ["0001_initial", "depot.0001_initial"]
    shop.migration(key, *operations, python(backward="shout"), after=after, header=SHOUT)


def test_data_is_read_under_the_old_app(shop):
    """A function that is undone finds the model where it knew it."""
    write(shop)
    shout_when_undone(shop, "cart.0002_item", ITEM)
    apply(shop)

    undo_as_django_does(shop, "cart", "zero")

    assert shop.rows("SELECT name FROM depot_item") == [("undone",)]


@pytest.mark.parametrize(
    "later",
    [
        "migrations.AlterModelTable('item', 'stock_item')",
        alter("item", "id", "BigAutoField(primary_key=True)"),
    ],
    ids=["table", "key"],
)
def test_the_table_is_another_by_now(shop, later):
    """What the old app says of the table is not true any more."""
    write(shop)
    shop.migration("stock.0002_later", later, after="0001_initial")
    shop.manage("migrate")
    hide(shop)

    shop.refused("migrate", "cart", "zero", naming=("cart.0002_item", "depot.item"))


def test_it_was_dropped_and_not_moved(shop):
    """A table that is gone from the database as well is not to be pointed to."""
    write(shop, mover=drop("Item"))
    shop.migration("stock.0001_initial", create("Item", name=NAME), after="depot.0001_initial")
    shop.manage("migrate")
    hide(shop)

    shop.refused("migrate", "cart", "zero", naming=("cart.0002_item", "depot.item"))


def test_what_it_points_to_is_changed(shop):
    """The database would have the table follow once under each name."""
    write(shop)
    item = create("Item", name=NAME, shelf="ForeignKey('cart.Shelf', models.CASCADE, null=True)")
    moved = apart(state=with_table("depot_item", item))
    bigger = alter("shelf", "id", "BigAutoField(primary_key=True)")
    shop.migration("cart.0001_initial", create("Line"), create("Shelf"))
    shop.migration("depot.0001_initial", item, after="cart.0001_initial")
    shop.migration("stock.0001_initial", moved, after="depot.0001_initial")
    shop.migration("cart.0002_item", ITEM, bigger, after=["0001_initial", "depot.0001_initial"])
    # While it has one name, it follows.
    shop.manage("migrate", "cart", "0002")
    shop.manage("migrate")
    hide(shop)

    shop.refused("migrate", "cart", "0001", naming=("cart.0002_item", "depot.item"))


@pytest.mark.parametrize("target", ["zero", "0001"])
def test_its_name_was_taken_again(shop, target):
    """What pointed to the old one, and what reads its rows, is undone on its table and not on the one of the new."""
    write(shop)
    shout_when_undone(shop, "cart.0002_item", ITEM)
    shop.migration("depot.0003_again", AGAIN, after="0002_moved")
    apply(shop)
    shop.execute("INSERT INTO depot_again (name) VALUES ('8')")

    undo_as_django_does(shop, "cart", target)

    assert shop.rows("SELECT name FROM depot_item") == [("undone",)]
    assert shop.rows("SELECT name FROM depot_again") == [("8",)]


def test_rewind_where_its_name_was_taken_again(shop):
    """A column that is put back for one moment only takes the rows that it had."""
    write(shop)
    shop.migration("depot.0003_again", AGAIN, after="0002_moved")
    apply(shop)
    shop.delete("cart/migrations/0002_item.py")
    shop.delete("cart/migrations/0003_item.py")

    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.columns("cart_line") == {"id", "count"}
    assert shop.rows("SELECT name FROM depot_item") == [("7",)]


@pytest.mark.parametrize(
    "command", [("migrate", "cart", "0002"), ("rewind", "--noinput")], ids=lambda one: one[0]
)
def test_what_stays_would_point_to_the_new_one(shop, command):
    """The column that stays would be put back to a table that it has never known."""
    write(shop)
    shop.migration("depot.0003_again", AGAIN, after="0002_moved")
    shop.manage("migrate")
    shop.delete("cart/migrations/0003_item.py")

    result = shop.refused(*command, naming=("cart.0003_item", "depot.0003_again", "depot.item"))

    # To undo what gave the name to the new one is not enough.
    assert "Undo depot.0002_moved first: 'manage.py rewind depot 0001_initial'" in result.stderr
    shop.manage("rewind", "depot", "0001_initial", answer="yes")
    shop.manage(*command)
    assert shop.applied("cart") == ["0001_initial", "0002_item"]


def write_note(shop: Project, *later: str) -> None:
    """Have cart write the rows of depot's Item when it is undone, and depot do something with that since."""
    for label in ("cart", "depot"):
        shop.app(label)
    shop.migration("depot.0001_initial", create("Item", name=NAME))
    shop.migration("cart.0001_initial", create("Line"))
    shout_when_undone(shop, "cart.0002_note")
    shop.migration("depot.0002_later", *later, after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO depot_item (name) VALUES ('8')")
    shop.delete("cart/migrations/0002_note.py")


def test_it_was_renamed_and_its_name_taken_again(shop):
    """The rows that it is about have another table by now; what is advised brings that back."""
    write_note(shop, rename_model("Item", "Good"), create("Item", name=NAME))
    shop.execute("INSERT INTO depot_good (name) VALUES ('7')")

    result = shop.refused("migrate", "cart", "0001", naming=("cart.0002_note", "depot.item"))

    assert "Undo depot.0002_later first: 'manage.py rewind depot 0001_initial'" in result.stderr
    shop.manage("rewind", "depot", "0001_initial", answer="yes")
    shop.manage("migrate", "cart", "0001")
    assert shop.rows("SELECT name FROM depot_item") == [("undone",)]


def test_it_was_dropped_and_made_anew(shop):
    """The new table is in the place of the old one, to Django with the files there as well."""
    write_note(shop, drop("Item"), create("Item", name=NAME))

    shop.manage("migrate", "cart", "0001")

    assert shop.rows("SELECT name FROM depot_item") == [("undone",)]


def test_its_own_app_has_changed_it(shop):
    """The column of the new one that has the same name stays."""
    shop.app("depot")
    size = "IntegerField(default=3)"
    shop.migration("depot.0001_initial", create("Item", name=NAME))
    shop.migration("depot.0002_size", add("item", "size", size), after="0001_initial")
    shop.migration("depot.0002_moved", apart(state=drop("Item")), after="0001_initial")
    again = with_table("depot_again", create("Item", name=NAME, size=size))
    shop.migration("depot.0003_again", again, after="0002_moved")
    shop.migration("depot.0004_merge", after=["0002_size", "0003_again"])
    shop.manage("migrate", "depot", "0002_size")
    shop.manage("migrate")
    for name in ("0002_size", "0004_merge"):
        shop.delete(f"depot/migrations/{name}.py")

    shop.refused("rewind", "--noinput", naming=("depot.0002_size", "depot.0003_again"))
