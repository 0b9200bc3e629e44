from __future__ import annotations

import pytest

from tests.scenarios.trust.test_trust import MARK, PRICE
from tests.support.helpers import Project, add, create


@pytest.fixture
def two(shop: Project) -> Project:
    """The shop with 0002, and another app with 0002, both applied and missing."""
    shop.app("depot", "class Room(models.Model):\n    pass\n")
    shop.migration("depot.0001_initial", create("Room"))
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_price", add("product", "price", "IntegerField(default=7)"), after="0001_initial"
        )
        shop.migration(
            "depot.0002_shelf", add("room", "shelf", "IntegerField(default=7)"), after="0001_initial"
        )
        shop.manage("migrate")
    return shop


@pytest.fixture
def traced(shop: Project) -> Project:
    """Feature's 0002, which leaves a mark when it is executed, is applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    return shop
