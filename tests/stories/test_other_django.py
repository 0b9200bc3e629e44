"""A database that one Django has migrated is rolled back by a checkout on another."""

from __future__ import annotations

import os

import pytest

from tests.helpers import add, alter, create, python

OTHER = "REWIND_OTHER_PYTHON"


@pytest.mark.skipif(OTHER not in os.environ, reason=f"{OTHER} names no interpreter with another Django.")
@pytest.mark.parametrize("other_goes_back", [True, False])
def test_rolled_back_by_another_django(new_shop, other_goes_back):
    """Stored by one Django, the migrations are undone by another, which may be older."""
    shop = new_shop
    here, other = shop.python, os.environ[OTHER]
    forwards, backwards = (here, other) if other_goes_back else (other, here)
    shop.python = forwards
    shop.manage("migrate")
    before = shop.schema()
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_price", add("product", "price", "IntegerField(default=7)"), after="0001_initial"
        )
        shop.migration(
            "shop.0003_cart",
            create("Cart", product="ForeignKey('shop.Product', models.CASCADE)"),
            after="0002_price",
        )
        header = (
            "def nothing(apps, schema_editor):\n    list(apps.get_model('shop', 'Product').objects.all())\n"
        )
        shop.migration(
            "shop.0004_data",
            python("nothing", "nothing"),
            alter("product", "name", "TextField()"),
            after="0003_cart",
            header=header,
        )
        shop.manage("migrate")

    shop.python = backwards
    shop.manage("migrate")
    shop.manage("rewind", "--noinput")

    assert shop.schema() == before
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
