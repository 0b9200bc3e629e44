"""Version 0.1.0 as it was published: a database that ran it is taken over, on each kind of database."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beside.conftest import PRICE
from tests.scenarios.conftest import copied, open_shop
from tests.support.helpers import Project, Result, add, create, python

OF_0_1_0 = {"id", "app_label", "migration_name", "source_code", "stored_at"}
FILL = """
def fill(apps, schema_editor):
    apps.get_model("shop", "Product").objects.create(name="Tea")

def forget(apps, schema_editor):
    apps.get_model("shop", "Product").objects.filter(name="Tea").delete()
"""


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed 0.1.0 from the package index."""
    folder = tmp_path_factory.mktemp("published")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, "django-rewind==0.1.0"], check=True)
    return folder


@pytest.fixture(scope="session", params=["sqlite", "postgresql", "mysql"])
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, published: Path
) -> Iterator[Project]:
    """A shop with a history that 0.1.0 has applied and stored, and of which feature's part has no file any more."""
    active = importlib.import_module(f"tests.settings.{request.param}").DATABASES["default"]
    project = Project(tmp_path_factory.mktemp("ran"), active)
    project.package = published / "django_rewind"
    # It reaches no `migrate` that was imported before it.
    project.forks = False
    open_shop(project)
    project.manage("migrate")
    with project.on_branch("feature"):
        project.migration("shop.0002_price", PRICE, after="0001_initial")
        project.migration("shop.0003_tea", python("fill", "forget"), after="0002_price", header=FILL)
        project.migration("shop.0004_cart", create("Cart", name="TextField()"), after="0003_tea")
        project.manage("migrate")
    yield project
    project.close()


@pytest.fixture
def old(ran: Project, tmp_path: Path) -> Iterator[Project]:
    """One of its own for each test, where 0.1.0 is still installed."""
    yield from copied(ran, tmp_path)


@pytest.fixture
def never_old(old: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The shop on the same kind of database, which has never met 0.1.0."""
    project = Project(tmp_path_factory.mktemp("new"), old.active)
    open_shop(project)
    project.manage("migrate")
    yield project
    project.close()


def stored(project: Project) -> dict[str, str]:
    return {key.partition(".")[2]: text for key, text in project.stored().items() if key.startswith("shop.")}


def files(project: Project) -> dict[str, str]:
    names = project.applied("shop")
    return {name: project.git("show", f"feature:shop/migrations/{name}.py") for name in names}


def times(project: Project) -> list[tuple[object, ...]]:
    sql = "SELECT migration_name, stored_at FROM django_migrations_code WHERE app_label = 'shop'"
    return sorted(project.rows(sql))


def upgrade(project: Project) -> Result:
    """Put this version in the place of 0.1.0, and do what its documentation says."""
    project.package, project.forks = None, True
    return project.manage("migrate")


def test_taken_over(old, never_old):
    """0.1.0 cannot take back what it has stored; every row is there after the upgrade, and undone once it is agreed to."""
    texts, when = files(old), times(old)
    assert old.columns("django_migrations_code") == OF_0_1_0
    assert stored(old) == texts
    old.manage("migrate", "shop", "0001")
    assert old.applied("shop") == [*texts]

    assert "verify_migrations --sign" in upgrade(old).stderr

    assert stored(old) == texts
    assert times(old) == when
    assert all(name in old.manage("show_stored_migrations", "shop").stdout for name in texts)
    old.refused(
        "migrate", "shop", "0001", naming=("shop.0004_cart", "verify_migrations --sign shop 0004_cart")
    )
    old.manage("verify_migrations", "--sign", "shop", answer="y\ny\ny")
    old.manage("migrate", "shop", "0001")
    assert old.applied("shop") == ["0001_initial"]
    assert old.rows("SELECT name FROM shop_product") == []
    assert old.schema() == never_old.schema()


def test_taken_over_with_its_files(old):
    """On feature all of it is stored from its files and signed, and later captures are ours."""
    old.switch("feature")
    assert "--sign" not in upgrade(old).output

    old.manage("verify_migrations")
    assert old.attempt("rewind", "--check").returncode == 0
    old.migration("shop.0005_stock", add("cart", "stock", "IntegerField(default=1)"), after="0004_cart")
    old.manage("migrate")
    old.commit()
    old.switch("main")
    old.manage("rewind", "shop", "0001", "--noinput", "--allow-data-loss")
    assert old.columns("shop_product") == {"id", "name"}
