"""Projects that two Djangos share: the one of this environment, and an older one; `nox --tags across` makes both."""

from __future__ import annotations

import os

import pytest

from tests.scenarios.conftest import migrated_shop, new_shop, project, shop

__all__ = ["migrated_shop", "new_shop", "older", "project", "shop"]


@pytest.fixture(scope="session")
def older() -> str:
    """The interpreter whose Django is the older one; it needs nothing of ours."""
    return os.environ["REWIND_OTHER_PYTHON"]
