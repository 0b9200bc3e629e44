"""pytest-django, with pytest-xdist and django-test-migrations: how test databases are made, emptied and migrated."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.beside.conftest import PRICE
from tests.support.databases import Database
from tests.support.helpers import Project, Result

CONFTEST = """
    import pytest
    from django.db import connection

    from django_rewind.storage.store import Store


    @pytest.fixture
    def stored():
        def names(app="shop"):
            store = Store(connection)
            return sorted(name for label, name in store.rows() if label == app) if store.exists() else None

        return names
"""
TESTS = """
    import pytest
    from django.core.management import call_command
    from django.db import connection

    from shop.models import Product


    def columns():
        with connection.cursor() as cursor:
            return {column.name for column in connection.introspection.get_table_description(cursor, "shop_product")}


    @pytest.mark.django_db
    def test_in_a_transaction(stored):
        Product.objects.create(name="Tea")
        assert stored() == ["0001_initial", "0002_price"]


    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("number", [1, 2])
    def test_that_empties_the_tables(stored, number):
        Product.objects.create(name="Tea")
        assert Product.objects.count() == 1
        assert stored() == ["0001_initial", "0002_price"]


    @pytest.mark.django_db(transaction=True, serialized_rollback=True)
    def test_that_brings_the_rows_back(stored):
        assert stored() == ["0001_initial", "0002_price"]


    @pytest.mark.django_db(transaction=True)
    def test_that_migrates(stored):
        call_command("migrate", "shop", "0001", verbosity=0)
        assert columns() == {"id", "name"}
        call_command("migrate", verbosity=0)
        assert columns() == {"id", "name", "price"}
        assert stored() == ["0001_initial", "0002_price"]
"""
WITHOUT_MIGRATIONS = """
    import pytest

    from shop.models import Product


    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("number", [1, 2])
    def test_tables_of_models(stored, number):
        Product.objects.create(name="Tea", price=3)
        assert stored() is None
"""
MIGRATOR = """
    import pytest

    OURS = ["0001_initial", "0002_signed_source", "0003_take_over"]


    @pytest.mark.django_db
    def test_forward(migrator, stored):
        old = migrator.apply_initial_migration(("shop", "0001_initial"))
        old.apps.get_model("shop", "Product").objects.create(name="Tea")

        new = migrator.apply_tested_migration(("shop", "0002_price"))

        assert new.apps.get_model("shop", "Product").objects.get().price == 7
        assert stored() == ["0001_initial", "0002_price"]


    @pytest.mark.django_db
    def test_backward(migrator, stored):
        old = migrator.apply_initial_migration(("shop", "0002_price"))
        old.apps.get_model("shop", "Product").objects.create(name="Tea", price=3)

        new = migrator.apply_tested_migration(("shop", "0001_initial"))

        assert not hasattr(new.apps.get_model("shop", "Product").objects.get(), "price")


    @pytest.mark.django_db
    def test_afterwards(stored):
        assert stored("django_rewind")[:3] == OURS
        assert stored() == ["0001_initial", "0002_price"]
"""


@pytest.fixture
def tested(new_shop) -> Project:
    """A project with a second migration and tests of its own."""
    new_shop.models(
        "shop",
        """
        class Product(models.Model):
            name = models.CharField(max_length=50)
            price = models.IntegerField(default=7)
        """,
    )
    new_shop.migration("shop.0002_price", PRICE, after="0001_initial")
    new_shop.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = settings\nfilterwarnings = error\n")
    new_shop.write("conftest.py", CONFTEST)
    return new_shop


@pytest.fixture
def kept(tested) -> Iterator[Database]:
    """The test database that is left for the next run."""
    settings = tested.db().settings
    database = type(tested.db())({**settings, "NAME": f"test_{settings['NAME']}"})
    yield database
    database.drop()


def run(project: Project, *args: str) -> Result:
    """Run its tests by pytest in a process of their own, as its developers do."""
    of_this_run = ("PYTEST_", "DJANGO_SETTINGS_MODULE", "COV_", "COVERAGE_")
    without = [word for name in os.environ if name.startswith(of_this_run) for word in ("-u", name)]
    return project.call("env", *without, project.python, "-m", "pytest", "-p", "no:cacheprovider", *args)


def passed(project: Project, *args: str) -> int:
    """Have its tests pass, without a warning, and return how many there were."""
    result = run(project, *args)
    assert result.returncode == 0, str(result)
    return int(result.stdout.rsplit(" passed", 1)[0].split()[-1])


def test_test_databases(tested, kept):
    """
    What they are made of is stored in them, and survives that tests empty the tables.

    One that is kept while its files go is not undone: nothing but `migrate` is run. A test can undo it.
    """
    tested.write("test_shop.py", TESTS)
    assert passed(tested, "--reuse-db") == 5
    tested.delete("shop/migrations/0002_price.py")
    tested.write("test_shop.py", TESTS.replace('call_command("migrate", verbosity=0)', "return"))

    assert passed(tested, "--reuse-db", "-k", "transaction or migrates") == 2
    assert "price" not in kept.columns("shop_product")


def test_test_databases_of_several_processes(tested):
    """Each of pytest-xdist's has one of its own."""
    tested.write("test_shop.py", TESTS)

    assert passed(tested, "-n", "2") == 5


def test_without_migrations(tested):
    """With --nomigrations there is nothing to store, and nothing of ours in the way."""
    tested.write("test_shop.py", WITHOUT_MIGRATIONS)

    assert passed(tested, "--nomigrations") == 2


def test_tests_of_migrations(tested):
    """django-test-migrations drops the tables of models and empties the one of records: ours stay, and are taken up."""
    tested.write("test_shop.py", MIGRATOR)

    assert passed(tested) == 3
