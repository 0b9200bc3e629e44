"""A table in use is kept by a bare `rewind`; one that a file has still to make is not in use."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, apart, create, rename_model

pytestmark = pytest.mark.deep

MODELS = """
class Product(models.Model):
    name = models.CharField(max_length=50)

class Cart(models.Model):
    x = models.IntegerField()
"""
CART = create("Cart", x="IntegerField()")


def feature_applied(shop: Project, *operations: str) -> None:
    """Apply feature's 0002, and come back to main, where a model Cart is installed."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cart", *operations, after="0001_initial")
        shop.manage("migrate")
    shop.models("shop", MODELS)


def test_another_file_makes_the_table(shop):
    """`migrate` refuses and names the command, which then does what it says."""
    feature_applied(shop, CART)
    shop.migration(
        "shop.0002_other", create("Cart", x="IntegerField()", y="IntegerField()"), after="0001_initial"
    )
    shop.refused("migrate", naming=("shop.0002_other", "shop.0002_cart", "manage.py rewind"))

    shop.manage("rewind", "--noinput")
    shop.manage("migrate")

    assert shop.columns("shop_cart") == {"id", "x", "y"}
    assert shop.applied("shop") == ["0001_initial", "0002_other"]


@pytest.mark.parametrize(
    "operations",
    [(CART,), (create("Trolley", x="IntegerField()"), rename_model("Trolley", "Cart"))],
    ids=["made", "made-and-renamed"],
)
def test_a_renumbered_file_makes_the_table(shop, operations):
    """It is undone where that is asked for, and applied under its new name."""
    feature_applied(shop, *operations)
    shop.migration("shop.0002_main", add("product", "code", "IntegerField(null=True)"), after="0001_initial")
    shop.migration("shop.0003_cart", *operations, after="0002_main")

    shop.manage("rewind", "--noinput", "--include-renamed", "--migrate")

    assert shop.applied("shop") == ["0001_initial", "0002_main", "0003_cart"]
    assert shop.columns("shop_cart") == {"id", "x"}


@pytest.mark.parametrize("later", [(), (apart(state=CART),)], ids=["no-file", "a-file-takes-it-over"])
def test_the_table_is_in_use(shop, later):
    """No file makes it: it is left alone, under the name that it has by now."""
    feature_applied(shop, create("Trolley", x="IntegerField()"), rename_model("Trolley", "Cart"))
    for operation in later:
        shop.migration("shop.0002_other", operation, after="0001_initial")

    result = shop.manage("rewind", "--noinput")

    assert "shop.0002_cart" in result.output
    assert shop.columns("shop_cart") == {"id", "x"}
    assert "0002_cart" in shop.applied("shop")


def test_the_table_will_be_renamed_to_the_one_in_use(shop):
    """A file that gives its name to another table makes it just as well."""
    feature_applied(shop, CART)
    shop.migration(
        "shop.0002_other",
        create("Trolley", x="IntegerField()"),
        rename_model("Trolley", "Cart"),
        after="0001_initial",
    )

    shop.manage("rewind", "--noinput", "--migrate")

    assert shop.applied("shop") == ["0001_initial", "0002_other"]
    assert shop.columns("shop_cart") == {"id", "x"}
