"""A squash whose originals were pruned, and a checkout from before it: they are applied, and have no record."""

from __future__ import annotations

import re

import django
import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(django.VERSION < (4, 1), reason="--prune came with Django 4.1"),
]

PRODUCT = create("Product", name="CharField(max_length=50)")
PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
NAMES = ["0001_initial", "0002_price"]


def squash(shop: Project, name: str, *operations: str, replaces: list[str]) -> None:
    """Squash as Django's documentation has it: apply, delete what it replaces and `replaces`, prune."""
    shop.migration(f"shop.{name}", *operations, initial=True, replaces=replaces)
    shop.manage("migrate")
    for old in replaces:
        shop.delete(f"shop/migrations/{old}.py")
    shop.migration(f"shop.{name}", *operations, initial=True)
    shop.manage("migrate", "shop", "--prune")


@pytest.fixture
def pruned(shop: Project) -> Project:
    """Squashed and pruned on main; here is the branch 'old', from before that."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("old"):
        pass
    squash(shop, "0001_squashed", PRODUCT, PRICE, replaces=NAMES)
    assert shop.applied("shop") == ["0001_squashed"]
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 4)")
    shop.commit()
    shop.switch("old")
    return shop


def command_in(text: str) -> list[str]:
    return next(
        command.split()
        for command in re.findall(r"'manage\.py ([^']+)'", text)
        if "--record-again" in command
    )


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["migrate", "--fake-initial"],
        ["migrate", "shop", "0001"],
        ["migrate", "shop", "zero"],
        ["rewind", "shop", "zero", "--noinput", "--allow-data-loss"],
        ["rewind", "shop", "zero", "--plan"],
        ["rewind", "shop", "0001", "--plan"],
        ["rewind", "--migrate", "--noinput"],
    ],
)
def test_it_is_refused_by_name(pruned, command):
    """The tables are there: nothing can be applied once more, and nothing is silently left."""
    pruned.refused(*command, naming=("shop.0001_initial", "shop.0001_squashed", "--record-again"))


@pytest.mark.parametrize("command", [["migrate"], ["rewind", "shop", "zero", "--plan"]])
def test_the_command_that_is_named_works(pruned, command):
    """It records what is applied, and everything goes on from there."""
    said = pruned.refused(*command).stderr

    pruned.manage(*command_in(said))

    assert set(pruned.applied("shop")) == {"0001_squashed", *NAMES}
    assert "No migrations to apply" in pruned.manage("migrate").stdout
    assert "Nothing to rewind" in pruned.manage("rewind", "--noinput").stdout
    pruned.manage("verify_migrations")
    assert pruned.rows("SELECT name, price FROM shop_product") == [("Tea", 4)]
    pruned.manage("migrate", "shop", "0001")
    assert pruned.columns("shop_product") == {"id", "name"}
    pruned.manage("migrate", "shop", "zero")
    assert "shop_product" not in pruned.tables()
    assert pruned.applied("shop") == []


def test_it_is_reported(pruned):
    """By the list, by the system check, and by a gate that fails."""
    shown = pruned.manage("show_stored_migrations", "shop").stdout
    assert len(re.findall(r"\[ \] 000\d_\w+ +unrecorded", shown)) == 2, shown
    check = pruned.attempt("check", "--database", "default", "--fail-level", "WARNING")
    assert "W011" in check.output
    result = pruned.attempt("verify_migrations")
    assert result.returncode == 1
    pruned.manage(*command_in(result.stdout))
    pruned.manage("verify_migrations")
    pruned.manage("check", "--database", "default", "--fail-level", "WARNING")


def test_back_on_main_nothing_of_it_is_seen(pruned):
    """There the squash is applied, and has its file."""
    pruned.switch("main")

    assert "unrecorded" not in pruned.manage("show_stored_migrations", "shop").stdout
    pruned.manage("verify_migrations")
    assert "No migrations to apply" in pruned.manage("migrate").stdout


def test_recorded_again_is_as_before_on_main(pruned):
    """What stands beside the squash can be pruned once more."""
    pruned.manage("verify_migrations", "--record-again", "shop.0002_price")
    pruned.switch("main")

    pruned.manage("migrate")
    pruned.manage("verify_migrations")
    pruned.manage("migrate", "shop", "--prune")
    assert pruned.applied("shop") == ["0001_squashed"]


def test_djangos_fake_records_them_too(pruned):
    """It executes nothing, and is what people know."""
    pruned.manage("migrate", "--fake")

    assert set(pruned.applied("shop")) == {"0001_squashed", *NAMES}
    pruned.manage("migrate", "shop", "zero")
    assert "shop_product" not in pruned.tables()


def test_on_a_checkout_with_some_of_them(pruned):
    """What is not there either is missing, and can be rolled back."""
    pruned.delete("shop/migrations/0002_price.py")

    said = pruned.refused("migrate", naming="shop.0001_initial").stderr
    pruned.manage(*command_in(said))

    pruned.manage("rewind", "--noinput", "--allow-data-loss")
    assert pruned.columns("shop_product") == {"id", "name"}
    assert pruned.applied("shop") == ["0001_initial"]


def test_with_more_on_top_of_it(shop):
    """What main has applied since is missing here; it stands on the squash, and is rolled back after recording."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("old"):
        shop.migration(
            "shop.0003_note", add("product", "note", "IntegerField(null=True)"), after="0002_price"
        )
    squash(shop, "0001_squashed", PRODUCT, PRICE, replaces=NAMES)
    shop.migration("shop.0002_stock", STOCK, after="0001_squashed")
    shop.manage("migrate")
    shop.commit()
    shop.switch("old")

    said = shop.refused("migrate", naming="shop.0001_initial").stderr
    shop.manage(*command_in(said))
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "name", "price", "note"}
    shop.manage("migrate", "shop", "zero")
    assert "shop_product" not in shop.tables()


def test_a_rollback_of_what_came_later(shop):
    """What stands on the squash stands on its originals here, and they are named."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("old"):
        pass
    squash(shop, "0001_squashed", PRODUCT, PRICE, replaces=NAMES)
    shop.migration("shop.0002_stock", STOCK, after="0001_squashed")
    shop.manage("migrate")
    shop.commit()
    shop.switch("old")

    said = shop.refused("rewind", "--noinput", "--allow-data-loss", naming="shop.0002_stock").stderr
    shop.manage(*command_in(said))
    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert "No migrations to apply" in shop.manage("migrate").stdout


def test_a_squash_of_a_squash(shop):
    """The inner one was pruned as well."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("old"):
        pass
    squash(shop, "0001_inner", PRODUCT, PRICE, replaces=NAMES)
    shop.migration("shop.0002_stock", STOCK, after="0001_inner")
    shop.manage("migrate")
    squash(shop, "0001_outer", PRODUCT, PRICE, STOCK, replaces=["0001_inner", "0002_stock"])
    assert shop.applied("shop") == ["0001_outer"]
    shop.commit()
    shop.switch("old")

    said = shop.refused("migrate", naming=("shop.0001_initial", "shop.0001_outer")).stderr
    shop.manage(*command_in(said))

    assert "No migrations to apply" in shop.manage("migrate").stdout
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert {*NAMES} <= {*shop.applied("shop")}
    shop.manage("migrate", "shop", "zero")
    assert "shop_product" not in shop.tables()


def test_an_original_that_is_not_stored(pruned):
    """It is recorded all the same, and stored from its file."""
    pruned.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'")

    said = pruned.refused("migrate", naming="shop.0001_initial").stderr
    pruned.manage(*command_in(said))

    assert {*NAMES} <= {*pruned.applied("shop")}
    pruned.manage("migrate")
    pruned.manage("verify_migrations")


def test_an_original_that_is_really_not_applied(pruned):
    """A process without django-rewind has taken it back, and left the record of the squash."""
    pruned.manage("verify_migrations", "--record-again", "shop.0002_price")
    pruned.configure(INSTALLED_APPS=["shop"])
    pruned.manage("migrate", "shop", "0001")
    pruned.configure(INSTALLED_APPS=["django_rewind", "shop"])

    pruned.manage("migrate")

    assert pruned.columns("shop_product") == {"id", "name", "price"}


def test_originals_that_make_nothing(shop):
    """Code alone leaves no trace: the squash says that it was applied."""
    shop.migration("shop.0002_code", python(backward="migrations.RunPython.noop"), after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("old"):
        pass
    squash(shop, "0001_squashed", PRODUCT, replaces=["0001_initial", "0002_code"])
    shop.commit()
    shop.switch("old")

    said = shop.refused("migrate", naming="shop.0001_initial").stderr
    shop.manage(*command_in(said))

    assert {"0001_initial", "0002_code"} <= {*shop.applied("shop")}
    assert "No migrations to apply" in shop.manage("migrate").stdout
