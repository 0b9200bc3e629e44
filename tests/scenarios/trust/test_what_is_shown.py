"""What somebody agrees to is what is done: nothing is dropped that was not shown before the answer."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, rename_field

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(null=True)")

# Somebody fills the column while the question stands on the screen, and answers it then.
ANSWER_LATE = """
import builtins
from django.core.management import call_command
from django.db import connection

def answer(question):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET price = 12")
    print(question)
    return "y"

builtins.input = answer
call_command("rewind", {options})
"""


@pytest.fixture
def empty(shop: Project) -> Project:
    """Feature's 0002 is applied and missing, and its column is empty."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    return shop


def test_rows_that_come_while_it_asks(empty: Project) -> None:
    """The question said that nothing is lost: so nothing is."""
    done = empty.run(ANSWER_LATE.format(options=""))

    assert done.returncode != 0
    assert "price" in done.stderr
    assert "was not shown before" in done.stderr
    assert empty.rows("SELECT price FROM shop_product") == [(12,)]
    assert empty.applied("shop") == ["0001_initial", "0002_price"]


def test_more_rows_than_were_counted(empty: Project) -> None:
    """That a column goes was shown: how many rows it holds by now does not matter."""
    empty.execute("UPDATE shop_product SET price = 7")

    done = empty.run(ANSWER_LATE.format(options=""))

    assert done.returncode == 0, str(done)
    assert empty.columns("shop_product") == {"id", "name"}


def test_agreed_to_whatever_it_is(empty: Project) -> None:
    """With the option, nobody is asked."""
    empty.execute("UPDATE shop_product SET price = 7")

    empty.manage("rewind", "--noinput", "--allow-data-loss")

    assert empty.columns("shop_product") == {"id", "name"}


def test_rows_that_come_before_names_change(shop: Project) -> None:
    """Also where records get other names before anything is rolled back."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration(
            "shop.0003_size", add("product", "size", "IntegerField(null=True)"), after="0002_price"
        )
        shop.manage("migrate")
    shop.migration("shop.0002_size", add("product", "size", "IntegerField(null=True)"), after="0001_initial")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")

    done = shop.run(ANSWER_LATE.format(options="adopt=True, migrate=True"))

    assert done.returncode != 0
    assert "was not shown before" in done.stderr
    assert shop.rows("SELECT price FROM shop_product") == [(12,)]


def test_a_column_with_another_name(empty: Project) -> None:
    """It is shown under the name that it has now, and goes under that."""
    with empty.on_branch("feature"):
        empty.migration("shop.0003_cost", rename_field("product", "price", "cost"), after="0002_price")
        empty.manage("migrate")
    empty.execute("UPDATE shop_product SET cost = 7")

    empty.refused("rewind", "--noinput", naming="cost")
    empty.manage("rewind", "--noinput", "--allow-data-loss")

    assert empty.columns("shop_product") == {"id", "name"}
