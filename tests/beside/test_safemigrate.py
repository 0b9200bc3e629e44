"""django-safemigrate: its command takes out of the plan, after `pre_migrate`, what has to wait."""

from __future__ import annotations

import pytest

from tests.beside.conftest import PRICE, both_orders
from tests.support.helpers import Project, create, remove

SAFE = "from django_safemigrate import Safe"

# Its first migration depends on the other app.
SAFEMIGRATE = ["django_safemigrate", "django.contrib.contenttypes"]


@pytest.fixture
def careful(install, shop) -> Project:
    """A shop where feature adds a column before the deployment and removes another after it."""
    install(shop, *SAFEMIGRATE).manage("safemigrate")
    shop.commit()
    shop.branch("feature")
    for name, operation, after, safe in (
        ("0002_price", PRICE, "0001_initial", "before"),
        ("0003_nameless", remove("product", "name"), "0002_price", "after"),
    ):
        path = shop.migration(f"shop.{name}", operation, after=after, header=SAFE)
        text = path.read_text().replace("    operations", f"    safe = Safe.{safe}_deploy()\n    operations")
        path.write_text(text)
    return shop


def stored(shop: Project) -> set[str]:
    return {key for key in shop.stored() if key.startswith("shop.")}


@both_orders
def test_new_project(install, new_shop):
    """From the first `safemigrate` on, everything is stored."""
    install(new_shop, *SAFEMIGRATE).manage("safemigrate")

    assert {"django_rewind.0001_initial", "shop.0001_initial", "django_safemigrate.0001_initial"} <= set(
        new_shop.stored()
    )


def test_what_has_to_wait_is_not_stored(careful):
    """Stored is what it has applied; what it has taken out of the plan is stored when it is applied."""
    result = careful.manage("safemigrate")

    assert "Delayed migrations:" in result.stdout
    assert careful.applied("shop") == ["0001_initial", "0002_price"]
    assert stored(careful) == {"shop.0001_initial", "shop.0002_price"}
    careful.manage("migrate")
    assert stored(careful) == {"shop.0001_initial", "shop.0002_price", "shop.0003_nameless"}


@both_orders
def test_back_on_main(careful):
    """It undoes nothing itself, and says so; `migrate` and `rewind` undo what has no file any more."""
    careful.manage("safemigrate")
    careful.manage("migrate")
    careful.commit()
    careful.switch("main")

    careful.refused("safemigrate", "shop", "0001", naming="Backward migrations are not supported")
    careful.manage("migrate", "shop", "0002_price")
    careful.manage("rewind", "--noinput")

    assert careful.applied("shop") == ["0001_initial"]
    assert careful.columns("shop_product") == {"id", "name"}


def test_forward_on_another_branch(careful):
    """It applies what main has, beside what feature has left behind."""
    careful.manage("safemigrate")
    careful.commit()
    careful.switch("main")
    careful.migration("shop.0002_cart", create("Cart"), after="0001_initial")

    careful.manage("safemigrate")

    assert careful.applied("shop") == ["0001_initial", "0002_price", "0002_cart"]
    careful.manage("rewind", "--noinput")
    assert careful.applied("shop") == ["0001_initial", "0002_cart"]
