from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import Project, create

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
    project = Project.copy_of(migrated_shop, tmp_path)
    yield project
    project.close()


@pytest.fixture(scope="session")
def migrated_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Migrated once for all stories, which begin with copies of it."""
    project = Project(tmp_path_factory.mktemp("shop"))
    open_shop(project)
    project.manage("migrate")
    yield project
    project.close()


def open_shop(project: Project) -> None:
    project.app("shop", PRODUCT)
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    project.commit("Open the shop")
