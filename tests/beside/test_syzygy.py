"""django-syzygy: its `migrate` replaces Django's, and trims the plan to what may run before a deployment."""

from __future__ import annotations

import pytest

from tests.beside.conftest import PRICE, both_orders
from tests.support.helpers import Project, add, create, remove


@pytest.fixture
def staged(install, shop) -> Project:
    """A shop where feature adds a column, which may come first, and removes another, which may not."""
    install(shop, "syzygy")
    shop.commit()
    shop.branch("feature")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_nameless", remove("product", "name"), after="0002_price")
    return shop


@both_orders
def test_new_project(install, new_shop):
    """From the first `migrate` on, everything is stored."""
    install(new_shop, "syzygy").manage("migrate", "--pre-deploy")

    assert {"django_rewind.0001_initial", "shop.0001_initial"} <= set(new_shop.stored())


def test_before_the_deployment(staged):
    """What its trimmed plan applies is stored, and nothing else is."""
    staged.manage("migrate", "--pre-deploy")

    assert staged.applied("shop") == ["0001_initial", "0002_price"]
    assert {key for key in staged.stored() if key.startswith("shop.")} == {
        "shop.0001_initial",
        "shop.0002_price",
    }


@both_orders
def test_back_on_main(staged):
    """Its command undoes what has no file any more."""
    before = staged.schema()
    staged.manage("migrate", "--pre-deploy")
    staged.manage("migrate")
    assert staged.columns("shop_product") == {"id", "price"}
    staged.commit()
    staged.switch("main")

    result = staged.manage("migrate", "shop", "0001")

    assert "Unapplying shop.0003_nameless (from stored code)" in result.stdout
    assert staged.applied("shop") == ["0001_initial"]
    assert staged.schema() == before


def test_back_on_main_before_the_deployment(staged):
    """Its trimming reads the operations of what has no file as it reads those of files: the column stays for now."""
    staged.manage("migrate")
    staged.commit()
    staged.switch("main")

    staged.manage("migrate", "--pre-deploy", "shop", "0001")

    assert staged.applied("shop") == ["0001_initial", "0002_price"]
    assert staged.columns("shop_product") == {"id", "name", "price"}


def test_forward_on_another_branch(staged):
    """Before a deployment main goes on beside what feature has left behind."""
    staged.manage("migrate", "--pre-deploy")
    staged.commit()
    staged.switch("main")
    staged.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    staged.migration("shop.0003_stock", add("cart", "stock", "IntegerField(default=1)"), after="0002_cart")

    staged.manage("migrate", "--pre-deploy")

    assert staged.applied("shop") == ["0001_initial", "0002_price", "0002_cart", "0003_stock"]
    staged.manage("rewind", "--noinput")
    assert staged.columns("shop_product") == {"id", "name"}
    assert staged.columns("shop_cart") == {"id", "stock"}
