"""`migrate` says in one line what it stored for the first time, and in one what has no file here."""

from __future__ import annotations

import django
import pytest

from tests.support.helpers import Project, Result, add, create

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=7)")


def ours(result: Result) -> list[str]:
    """Return the lines that Django would not print."""
    return [line for line in result.stdout.splitlines() if "Stored the source" in line or "no file" in line]


def stored_line(shop: Project, alias: str = "default") -> str:
    return f"Stored the source of {len(shop.stored(alias))} migrations."


def test_installed_into_a_project_that_lives(new_shop):
    """Once, with everything that is stored then; afterwards there is nothing to say."""
    new_shop.install("shop")
    new_shop.manage("migrate")
    new_shop.install("django_rewind", "shop")

    result = new_shop.manage("migrate")

    assert ours(result) == [stored_line(new_shop)]
    assert "shop.0001_initial" in new_shop.stored()
    assert result.stdout.splitlines()[-1] == stored_line(new_shop)
    assert ours(new_shop.manage("migrate")) == []
    new_shop.migration("shop.0002_price", PRICE, after="0001_initial")
    assert ours(new_shop.manage("migrate")) == []


def test_new_project(new_shop):
    """It is said there as well: all of it is stored for the first time."""
    assert ours(new_shop.manage("migrate", "shop")) == [stored_line(new_shop)]
    assert ours(new_shop.manage("migrate")) == []


def test_applied_by_a_process_without_us(shop):
    """What is filled in later is stored for the first time, too."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)

    assert ours(shop.manage("migrate")) == ["Stored the source of 1 migration."]
    assert ours(shop.manage("migrate")) == []


# Before Django 4.2 a check that finds nothing to apply goes on as any run does.
runs_on = pytest.mark.skipif(django.VERSION < (4, 2), reason="--check came to run nothing in Django 4.2")


@pytest.mark.parametrize(
    "options", [("--plan",), pytest.param(("--check",), marks=runs_on), ("--verbosity", "0")]
)
def test_not_asked_for(new_shop, options):
    """A plan, a check and a quiet run say nothing of it."""
    assert ours(new_shop.attempt("migrate", *options)) == []
    new_shop.manage("migrate")
    with new_shop.on_branch("feature"):
        new_shop.migration("shop.0002_price", PRICE, after="0001_initial")
        new_shop.manage("migrate")
    assert ours(new_shop.attempt("migrate", *options)) == []


def test_second_database(shop):
    """Each has its own first time, and a command of its own."""
    shop.add_database("other")

    assert ours(shop.manage("migrate", "--database", "other")) == [stored_line(shop, "other")]
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate", "--database", "other")
    assert ours(shop.manage("migrate")) == []
    (line,) = ours(shop.manage("migrate", "--database", "other"))
    assert line.endswith("shop.0002_price. 'manage.py rewind --database other' rolls it back.")


def test_missing(shop):
    """They are named as long as they are missing, with the command that helps."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.manage("migrate")
    line = (
        "2 applied migrations have no file here: shop.0002_price, shop.0003_stock. "
        "'manage.py rewind' rolls them back."
    )

    result = shop.manage("migrate")
    assert ours(result) == [line]
    assert "  No migrations to apply." in result.stdout.splitlines()

    shop.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    result = shop.manage("migrate")
    assert ours(result) == [line]
    assert "  Applying shop.0002_cart... OK" in result.stdout.splitlines()

    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert ours(shop.manage("migrate")) == []


def test_rolled_back_by_migrate_itself(left):
    """What is missing no more at the end is not named."""
    assert ours(left.manage("migrate", "shop", "0001")) == []
    assert left.applied("shop") == ["0001_initial"]


def test_missing_and_never_rolled_back_by_a_bare_rewind(left):
    """Advice that would do nothing is not given: of a stale app, and what was missing before install."""
    left.install("django_rewind")

    assert ours(left.manage("migrate")) == []


def test_missing_before_install(new_shop):
    """Nobody stored it; it is accepted as it is."""
    new_shop.install("shop")
    with new_shop.on_branch("feature"):
        new_shop.migration("shop.0002_price", PRICE, after="0001_initial")
        new_shop.manage("migrate")
    new_shop.install("django_rewind", "shop")

    assert ours(new_shop.manage("migrate")) == [stored_line(new_shop)]
    assert ours(new_shop.manage("migrate")) == []


def test_missing_and_not_stored(left):
    """`rewind` would refuse: what helps is said by another command."""
    left.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'")

    (line,) = ours(left.manage("migrate"))

    assert line.startswith(
        "1 applied migration has no file here: shop.0002_price. 'manage.py verify_migrations'"
    )
    assert "cannot be recovered" in left.attempt("verify_migrations").stdout


def test_on_disk_under_another_name(left):
    """The command that gives it that name is the one that helps."""
    left.app("stock")
    left.migration("stock.0001_initial", create("Shelf"))
    left.migration("shop.0003_price", PRICE, after="0001_initial")

    (line,) = ours(left.manage("migrate", "stock"))

    assert "'manage.py rewind --adopt --migrate'" in line
    left.manage("rewind", "--adopt", "--noinput")
    assert ours(left.manage("migrate")) == []


def test_output_of_call_command(left):
    """It goes where the command was told to print."""
    result = left.run(
        """
        from io import StringIO
        from django.core.management import call_command
        out = StringIO()
        call_command("migrate", stdout=out)
        print(out.getvalue().splitlines()[-1].upper())
        """
    )
    assert result.stdout.splitlines() == [
        "1 APPLIED MIGRATION HAS NO FILE HERE: SHOP.0002_PRICE. 'MANAGE.PY REWIND' ROLLS IT BACK."
    ]


def test_rewind_says_it_in_its_plan(left):
    """Once is enough, also with --migrate."""
    left.migration("shop.0003_price", PRICE, after="0001_initial")
    left.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    left.migration("shop.0003_price", PRICE, after="0002_cart")

    assert ours(left.manage("rewind", "--migrate", "--adopt", "--noinput")) == []
    assert left.applied("shop") == ["0001_initial", "0003_price", "0002_cart"]
