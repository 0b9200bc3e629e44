"""Projects with us and the packages that extend `migrate`, as they are published; `nox --tags beside` installs them."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.scenarios.conftest import migrated_shop, new_shop, project, shop
from tests.support.helpers import Project, add

__all__ = ["both_orders", "migrated_shop", "new_shop", "project", "shop"]

Install = Callable[..., Project]

PRICE = add("product", "price", "IntegerField(default=7)")


#: Where other packages stand in `INSTALLED_APPS`: the first one's commands win, the last one's `ready` runs last.
both_orders = pytest.mark.parametrize("order", ["before us", "after us"])


@pytest.fixture
def order() -> str:
    return "before us"


@pytest.fixture
def install(order: str) -> Install:
    """Put other packages beside us in a project, before or after us."""

    def put(project: Project, *labels: str) -> Project:
        both = [*labels, "django_rewind"] if order == "before us" else ["django_rewind", *labels]
        project.install(*both, "shop")
        return project

    return put
