"""django-linear-migrations: a file names the newest migration of each app, so that branches conflict in git."""

from __future__ import annotations

import subprocess

import pytest

from tests.beside.conftest import PRICE
from tests.support.helpers import Project, create


@pytest.fixture
def linear(shop) -> Project:
    """A shop with a migration of main's that feature does not know, and one of feature's that is applied."""
    shop.install("django_linear_migrations", *shop.installed)
    # Else it goes by the path, and asks for the file of a package that is tested in its checkout.
    shop.configure(FIRST_PARTY_APPS=["shop"])
    newest(shop, "0001_initial")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        newest(shop, "0002_price")
        shop.manage("migrate")
    return shop


def newest(shop: Project, name: str) -> None:
    shop.write("shop/migrations/max_migration.txt", f"{name}\n")


def test_back_on_main(linear):
    """Its checks look at the files alone, and are content with what is missing and with what is undone."""
    linear.manage("check")
    linear.manage("migrate")

    linear.manage("migrate", "shop", "0001")

    assert linear.applied("shop") == ["0001_initial"]
    assert linear.columns("shop_product") == {"id", "name"}


def test_files_that_are_written_back(linear):
    """Which migration is the newest is left to be said, as its check asks for it."""
    linear.manage("restore_migrations", "shop", "0002")

    linear.refused("check", naming="dlm.E004")
    newest(linear, "0002_price")
    linear.manage("check")
    linear.manage("migrate", "shop", "0001")
    assert linear.columns("shop_product") == {"id", "name"}


def test_in_the_middle_of_a_rebase(linear):
    """Its rebase_migration wants undone what is applied; a rewind does it while files conflict."""
    linear.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    newest(linear, "0002_cart")
    linear.commit()
    linear.switch("feature")
    with pytest.raises(subprocess.CalledProcessError):
        linear.git("rebase", "main")
    linear.refused("rebase_migration", "shop", naming="is applied to the local database")

    linear.manage("rewind", "shop", "0001", "--noinput")
    linear.manage("rebase_migration", "shop")
    linear.manage("migrate")

    assert linear.applied("shop") == ["0001_initial", "0002_cart", "0003_price"]


def test_rebased_while_it_was_applied(linear):
    """Rebased on another machine, it is adopted under its new name, and nothing is undone."""
    linear.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    linear.migration("shop.0003_price", PRICE, after="0002_cart")
    newest(linear, "0003_price")

    linear.manage("rewind", "--adopt", "--migrate", "--noinput")

    assert set(linear.applied("shop")) == {"0001_initial", "0002_cart", "0003_price"}
    assert linear.columns("shop_product") == {"id", "name", "price"}
    linear.manage("check")
