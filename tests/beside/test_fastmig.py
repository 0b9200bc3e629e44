"""django-fastmig: it renders the states of migrations in a way of its own."""

from __future__ import annotations

import pytest

from tests.beside.conftest import both_orders
from tests.support.helpers import (
    Project,
    add,
    alter,
    create,
    drop,
    python,
    remove,
    rename_field,
    rename_model,
)

FOLLOW = "ForeignKey('shop.Product', on_delete=models.CASCADE, null=True)"


@pytest.fixture
def related(install, shop) -> Project:
    """A shop where feature changes models that refer to each other, in all sorts of ways."""
    install(shop, "fastmig")
    shop.commit()
    shop.branch("feature")
    shop.migration(
        "shop.0002_orders",
        create("Order", product=FOLLOW, number="IntegerField(default=1)"),
        create("Tag", products="ManyToManyField('shop.Product')"),
        after="0001_initial",
    )
    shop.migration(
        "shop.0003_items",
        rename_model("Product", "Item"),
        rename_field("item", "name", "title"),
        alter("order", "number", "BigIntegerField(default=2)"),
        after="0002_orders",
    )
    shop.migration(
        "shop.0004_fill",
        python("fill", "migrations.RunPython.noop"),
        after="0003_items",
        header="""
        def fill(apps, schema_editor):
            item = apps.get_model("shop", "Item").objects.create(title="Tea")
            apps.get_model("shop", "Order").objects.create(product=item)
        """,
    )
    shop.migration("shop.0005_less", remove("order", "number"), drop("Tag"), after="0004_fill")
    return shop


@both_orders
def test_back_on_main(related):
    """The states that stored code is undone along are right with it, too."""
    before = related.schema()
    related.manage("migrate")
    assert related.columns("shop_item") == {"id", "title"}
    related.commit()
    related.switch("main")

    related.manage("migrate", "shop", "0001")

    assert related.schema() == before
    assert related.rows("SELECT name FROM shop_product") == [("Tea",)]


def test_forward_on_another_branch(related):
    """A plan of main's is rehearsed on its states, beside what feature has left behind."""
    related.manage("migrate", "shop", "0002")
    related.commit()
    related.switch("main")
    related.migration(
        "shop.0002_longer", alter("product", "name", "CharField(max_length=90)"), after="0001_initial"
    )
    related.migration(
        "shop.0003_price", add("product", "price", "IntegerField(default=7)"), after="0002_longer"
    )

    related.manage("migrate")
    related.manage("rewind", "--noinput")

    assert related.applied("shop") == ["0001_initial", "0002_longer", "0003_price"]
    assert related.columns("shop_product") == {"id", "name", "price"}
    assert not {"shop_order", "shop_tag", "shop_tag_products"} & related.tables()
