"""Whenever a process is killed: nothing applied is unstored, records tell the truth, and running again arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.scenarios.conftest import open_shop
from tests.support.crashes import Crash, crashes, moments
from tests.support.helpers import Project, add, alter, create, python

pytestmark = pytest.mark.deep

#: Where a statement of the schema can be taken back, a step is undone and unrecorded as one.
IS_TRANSACTIONAL = connection.features.can_rollback_ddl

REWIND = ("rewind", "--noinput", "--allow-data-loss")

RAISE = """
def raise_prices(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias):
        product.price += 1
        product.save()


def lower_prices(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias):
        product.price -= 1
        product.save()
"""


def write_feature(project: Project) -> None:
    price = add("product", "price", "IntegerField(default=7)")
    project.migration("shop.0002_price", price, after="0001_initial")
    project.migration("shop.0003_cart", create("Cart", size="IntegerField(null=True)"), after="0002_price")
    raise_prices = python("raise_prices", "lower_prices")
    project.migration("shop.0004_raise", raise_prices, after="0003_cart", header=RAISE)
    stock = add("product", "stock", "IntegerField(null=True)")
    longer = alter("product", "name", "CharField(max_length=80)")
    project.migration("shop.0005_stock", stock, longer, after="0004_raise")


@pytest.fixture(scope="module")
def unmigrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The first migration is applied, and main has four more to come."""
    yield from _shop(tmp_path_factory, "unmigrated")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """All five are applied, and the files of four are on another branch."""
    for project in _shop(tmp_path_factory, "left"):
        project.manage("migrate")
        with project.on_branch("feature"):
            pass
        for name in ("0002_price", "0003_cart", "0004_raise", "0005_stock"):
            project.delete(f"shop/migrations/{name}.py")
        yield project


def _shop(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp(name))
    open_shop(project)
    project.manage("migrate")
    project.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    write_feature(project)
    yield project
    project.close()


@pytest.fixture(scope="module")
def schemas(unmigrated: Project, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The columns of the shop after none, one, … all five of its migrations."""
    project = Project.copy_of(unmigrated, tmp_path_factory.mktemp("schemas"))
    found: list[object] = []
    for name in ("zero", "0001", "0002", "0003", "0004", "0005"):
        project.manage("migrate", "shop", name)
        found.append(shop_of(project))
    project.close()
    return found


def shop_of(project: Project) -> list[str]:
    """Return every column of the shop with its type."""
    return [row for row in project.schema()["columns"] if "shop_" in row]


def assert_is_stored(crash: Crash) -> None:
    """All that is applied is stored, and proven to be what ran."""
    sql = "SELECT id FROM django_migrations WHERE app = 'shop'"
    applied = {record for (record,) in crash.project.rows(sql)}
    sql = "SELECT record_id FROM django_migrations_code WHERE app_label = 'shop'"
    proven = {record for (record,) in crash.project.rows(sql)}
    assert applied <= proven, str(crash)


def assert_tells_the_truth(crash: Crash, schemas: list[object]) -> None:
    """What is recorded is what is there."""
    assert shop_of(crash.project) == schemas[len(crash.project.applied("shop"))], str(crash)


def test_migrate(unmigrated, schemas, tmp_path):
    """A killed migrate has stored what it applied; the steps are Django's, and so is what it takes to go on."""
    at = moments(unmigrated, tmp_path / "whole", "migrate")

    for crash in crashes(unmigrated, tmp_path, at, "migrate"):
        assert_is_stored(crash)
        names = crash.project.applied("shop")
        if IS_TRANSACTIONAL and shop_of(crash.project) == schemas[len(names)]:
            crash.project.manage("migrate")
            assert shop_of(crash.project) == schemas[5], str(crash)
        crash.project.manage("show_stored_migrations")


def test_migrate_and_leave(unmigrated, schemas, tmp_path):
    """What a killed migrate has applied can be undone when its files are gone."""
    at = moments(unmigrated, tmp_path / "whole", "migrate")

    for crash in crashes(unmigrated, tmp_path, at[len(at) // 2 :: 2], "migrate"):
        names = crash.project.applied("shop")
        if not IS_TRANSACTIONAL or shop_of(crash.project) != schemas[len(names)]:
            continue
        for name in ("0002_price", "0003_cart", "0004_raise", "0005_stock"):
            crash.project.delete(f"shop/migrations/{name}.py")
        crash.project.manage(*REWIND)
        assert shop_of(crash.project) == schemas[1], str(crash)


def test_rewind(left, schemas, tmp_path):
    """A killed rewind has recorded what it has undone, holds no lock, and running it again arrives."""
    at = moments(left, tmp_path / "whole", *REWIND)

    for crash in crashes(left, tmp_path, at, *REWIND):
        if IS_TRANSACTIONAL:
            assert_tells_the_truth(crash, schemas)
        assert_is_stored(crash)
        crash.project.manage(*REWIND)
        assert shop_of(crash.project) == schemas[1], str(crash)
        assert crash.project.applied("shop") == ["0001_initial"], str(crash)


def test_the_first_migrate(project, tmp_path):
    """A new database has django-rewind's own tables after the next `migrate`, wherever the first one was killed."""
    at = moments(project, tmp_path / "whole", "migrate")
    whole = Project.copy_of(project, tmp_path / "expected")
    whole.manage("migrate")
    schema, applied = whole.schema(), whole.applied("django_rewind")
    whole.close()

    for crash in crashes(project, tmp_path, at, "migrate"):
        crash.project.manage("migrate")
        assert crash.project.schema() == schema, str(crash)
        assert crash.project.applied("django_rewind") == applied, str(crash)
        crash.project.manage("verify_migrations")
