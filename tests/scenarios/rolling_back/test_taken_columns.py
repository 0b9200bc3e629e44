"""What stays has given the name of a field to another column, and what is undone knows the one that had it."""

from __future__ import annotations

import re

import pytest

from tests.support.helpers import Project, add, alter, apart, create, python, remove, rename_field

pytestmark = pytest.mark.deep

NUMBER = "IntegerField(default=3)"
TAKEN = (rename_field("item", "price", "amount"), add("item", "price", NUMBER))
DOUBLE = """
def double(apps, schema_editor):
    for item in apps.get_model("depot", "Item").objects.using(schema_editor.connection.alias):
        item.price *= 2
        item.save()
"""
DOUBLES = python(backward="double")


def begin(shop: Project) -> None:
    for label in ("cart", "depot"):
        shop.app(label)
    shop.migration("depot.0001_initial", create("Item", price=NUMBER, cost="IntegerField(default=2)"))
    shop.migration("cart.0001_initial", create("Line"))


def fill(shop: Project) -> None:
    shop.execute("INSERT INTO depot_item (price, cost) VALUES (7, 2)")


def go_on(shop: Project, *later: str) -> None:
    """Apply a sale on its branch, and on main, where it has no file, what came later there."""
    begin(shop)
    after = ["0001_initial", "depot.0001_initial"]
    shop.migration("cart.0002_sale", DOUBLES, after=after, header=DOUBLE)
    shop.manage("migrate")
    fill(shop)
    shop.delete("cart/migrations/0002_sale.py")
    shop.migration("depot.0002_later", *later, after="0001_initial")
    shop.manage("migrate")


def side_by_side(shop: Project, sale: str, *later: str) -> None:
    """Apply two branches of one app after another, and take away the first."""
    begin(shop)
    shop.migration("depot.0002_sale", sale, after="0001_initial", header=DOUBLE)
    shop.manage("migrate")
    fill(shop)
    shop.migration("depot.0002_later", *later, after="0001_initial")
    shop.migration("depot.0003_merge", after=["0002_sale", "0002_later"])
    shop.manage("migrate")
    for name in ("0002_sale", "0003_merge"):
        shop.delete(f"depot/migrations/{name}.py")


def advised(refused: object) -> list[str]:
    """Return the command that is advised, as it would be typed."""
    return re.search(r"'manage\.py ([^']*)'", refused.stderr).group(1).split()


@pytest.mark.parametrize(
    "later",
    [
        TAKEN,
        (remove("item", "price"), rename_field("item", "cost", "price")),
        (remove("item", "price"), add("item", "price", "IntegerField(default=3, db_column='new')")),
        (
            apart(
                state=", ".join(
                    [
                        alter("item", "price", "IntegerField(default=3, db_column='cost')"),
                        alter("item", "cost", "IntegerField(default=2, db_column='price')"),
                    ]
                )
            ),
        ),
    ],
    ids=["renamed", "of-another", "column-of-its-own", "exchanged"],
)
def test_rows_would_be_written_to_another_column(shop, later):
    """They keep what they have, until what took the name away is undone as it is advised."""
    go_on(shop, *later)

    naming = ("cart.0002_sale", "depot.0002_later", "depot.item.")
    result = shop.refused("migrate", "cart", "0001", naming=naming)
    assert advised(shop.refused("rewind", "--noinput", naming=naming)) == advised(result)


def test_what_is_advised(shop):
    """The command brings the name back to its column, and then the first one works."""
    go_on(shop, *TAKEN)
    result = shop.refused("migrate", "cart", "0001", naming="cart.0002_sale")

    shop.manage(*advised(result), answer="yes")

    assert shop.applied("depot") == ["0001_initial"]
    assert shop.applied("cart") == ["0001_initial", "0002_sale"]
    shop.manage("migrate", "cart", "0001")
    assert shop.rows("SELECT price, cost FROM depot_item") == [(14, 2)]


def test_it_was_taken_away_before(shop):
    """What gave the name to another column is not enough: it is advised to undo what took it from the first."""
    # With django-rewind it is refused to take away what stored code names.
    go_on(shop)
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.migration("depot.0003_away", rename_field("item", "price", "amount"), after="0002_later")
    shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)
    shop.migration("depot.0004_again", add("item", "price", NUMBER), after="0003_away")
    shop.manage("migrate")
    naming = ("cart.0002_sale", "depot.0004_again", "Undo depot.0003_away first")
    result = shop.refused("migrate", "cart", "0001", naming=naming)

    shop.manage(*advised(result), answer="yes")
    shop.manage("migrate", "cart", "0001")

    assert shop.rows("SELECT price, cost FROM depot_item") == [(14, 2)]


def test_no_command_brings_it_back(shop):
    """What took the name away stands on two others, and no target is just before it."""
    go_on(shop)
    shop.migration("depot.0002_other", after="0001_initial")
    shop.migration("depot.0003_merge", *TAKEN, after=["0002_later", "0002_other"])
    shop.manage("migrate")

    result = shop.refused("migrate", "cart", "0001", naming=("cart.0002_sale", "depot.item.price"))

    assert "Undo depot.0003_merge first.\n" in result.stderr


def test_statements_and_records(shop):
    """Nor is a statement printed that would be wrong; to be forgotten it has to know no column."""
    go_on(shop, *TAKEN)

    shop.refused("rewind", "--sql", naming=("cart.0002_sale", "depot.item.price"))
    shop.manage("rewind", "--fake", "--noinput")

    assert shop.applied("cart") == ["0001_initial"]
    assert shop.rows("SELECT amount, price, cost FROM depot_item") == [(7, 3, 2)]


@pytest.mark.parametrize(
    "later, column",
    [
        ([alter("item", "price", "BigIntegerField(default=3, db_column='amount')")], "amount"),
        ([rename_field("item", "price", "amount"), rename_field("item", "amount", "price")], "price"),
        ([add("item", "amount", NUMBER), alter("item", "cost", "IntegerField(null=True)")], "price"),
    ],
    ids=["column-renamed", "and-back", "others"],
)
def test_the_column_is_the_same(shop, later, column):
    """Whatever it is called by now, its rows are written."""
    go_on(shop, *later)

    shop.manage("migrate", "cart", "0001")

    assert shop.rows(f"SELECT {column}, cost FROM depot_item") == [(14, 2)]


def test_the_column_was_made_in_its_place(shop):
    """It is taken for the one that was dropped, as Django takes it with the files there."""
    shop.add_database("other")
    begin(shop)
    sale = {"after": ["0001_initial", "depot.0001_initial"], "header": DOUBLE}
    shop.migration("cart.0002_sale", DOUBLES, **sale)
    later = [remove("item", "price"), add("item", "price", NUMBER)]
    for alias in shop.databases:
        shop.manage("migrate", "--database", alias)
        shop.execute("INSERT INTO depot_item (price, cost) VALUES (7, 2)", alias=alias)
    shop.migration("depot.0002_later", *later, after="0001_initial")
    for alias in shop.databases:
        shop.manage("migrate", "--database", alias)

    shop.manage("migrate", "cart", "0001", "--database", "other")
    shop.delete("cart/migrations/0002_sale.py")
    shop.manage("migrate", "cart", "0001")

    rows = [shop.rows("SELECT price, cost FROM depot_item", alias=alias) for alias in shop.databases]
    assert rows == [[(6, 2)], [(6, 2)]]


@pytest.mark.parametrize(
    "sale",
    [
        DOUBLES,
        alter("item", "price", "BigIntegerField(default=3, null=True)"),
        "migrations.AlterUniqueTogether('item', {('price', 'cost')})",
    ],
    ids=["data", "altered", "unique"],
)
def test_a_branch_of_the_same_app(shop, sale):
    """The column that was altered is not the one that would be altered back; what is advised undoes both."""
    side_by_side(shop, sale, *TAKEN)

    result = shop.refused("rewind", "--noinput", naming=("depot.0002_sale", "depot.item.price"))

    shop.manage(*advised(result), answer="yes")
    shop.manage("rewind", "--noinput")
    assert shop.applied("depot") == ["0001_initial"]
    (row,) = shop.rows("SELECT price, cost FROM depot_item")
    assert row == (14 if sale == DOUBLES else 7, 2)
