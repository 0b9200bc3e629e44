from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helpers import Project, add, create

PRODUCT = """
class Product(models.Model):
    name = models.CharField(max_length=50)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project on the branch main, with us installed and nothing migrated."""
    project = Project(tmp_path)
    yield project
    project.close()


@pytest.fixture
def new_shop(project: Project) -> Project:
    """A project with the app shop and its first migration, committed and not applied."""
    open_shop(project)
    return project


@pytest.fixture
def shop(migrated_shop: Project, tmp_path: Path) -> Iterator[Project]:
    """The same, migrated."""
    yield from copied(migrated_shop, tmp_path)


@pytest.fixture
def left(left_shop: Project, tmp_path: Path) -> Iterator[Project]:
    """A shop on main, with feature's 0002 applied and missing."""
    yield from copied(left_shop, tmp_path)


@pytest.fixture(scope="session")
def migrated_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Migrated once for all stories, which begin with copies of it."""
    project = Project(tmp_path_factory.mktemp("shop"))
    open_shop(project)
    project.manage("migrate")
    yield project
    project.close()


@pytest.fixture(scope="session")
def left_shop(migrated_shop: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The one that `left` copies."""
    project = Project.copy_of(migrated_shop, tmp_path_factory.mktemp("left"))
    with project.on_branch("feature"):
        price = add("product", "price", "IntegerField(default=7)")
        project.migration("shop.0002_price", price, after="0001_initial")
        project.manage("migrate")
    yield project
    project.close()


def copied(template: Project, path: Path) -> Iterator[Project]:
    """Yield a copy of a project, for as long as the test lasts that has asked for it."""
    project = Project.copy_of(template, path)
    yield project
    project.close()


def open_shop(project: Project) -> None:
    project.app("shop", PRODUCT)
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    project.commit("Open the shop")


@pytest.fixture
def real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each command start an interpreter of its own, as people do; not where everything is to be forked."""
    if os.environ.get("REWIND_FORK") != "all":
        monkeypatch.setenv("REWIND_FORK", "0")
