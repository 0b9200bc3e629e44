"""What is tried on state alone before a run, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ModelState
from django.test import override_settings

from tests.support.fixtures import applied, migrate
from tests.support.helpers import alter, create, remove

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

STEPS = [f"{number:04}_wider" for number in range(2, 9)]


@pytest.fixture
def chain(app):
    """A column that was made wider and wider, applied."""
    app.migration("0001_initial", create("Product", name="CharField(max_length=1)"))
    for before, name in zip(["0001_initial", *STEPS], STEPS):
        app.migration(name, alter("product", "name", f"CharField(max_length={int(name[:4])})"), after=before)
    migrate("shop")
    return app


@contextmanager
def rendered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have the names of the models that are rendered meanwhile."""
    found: list[str] = []
    original = ModelState.render

    def render(self, apps):
        found.append(self.name_lower)
        return original(self, apps)

    with monkeypatch.context() as patch:
        patch.setattr(ModelState, "render", render)
        yield found


def renders(monkeypatch: pytest.MonkeyPatch, target: str) -> int:
    with rendered(monkeypatch) as models:
        migrate("shop", target)
    return len(models)


def test_a_longer_way_back_takes_no_more_rendering_beside_djangos(chain, monkeypatch):
    """Rendering is most of what going back takes: of the states in between Django renders all, and we none."""
    with override_settings(DJANGO_REWIND_ENABLED=False):
        of_django = [renders(monkeypatch, "0007"), renders(monkeypatch, "0001")]
    migrate("shop")
    chain.delete(*STEPS)

    ours = [renders(monkeypatch, "0007"), renders(monkeypatch, "0001")]

    assert applied("shop") == ["0001_initial"]
    assert ours[1] - of_django[1] == ours[0] - of_django[0]


def test_what_is_not_applied_explains_nothing(chain, monkeypatch):
    """When Django stops before the first step, it is for something else than a file that could not follow."""
    chain.delete(*STEPS)
    chain.migration("0002_other", remove("product", "nothing"), after="0001_initial")

    def stop(*args, **kwargs):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(MigrationExecutor, "_migrate_all_backwards", stop)
        with pytest.raises(OSError, match="the disk is full"):
            migrate("shop", "0001")
