"""`rewind --atomic`: all of it or nothing."""

from __future__ import annotations

import pytest

from tests.scenarios.never_half_done.test_halfway import FAIL, OBJECTS, STEPS, leave
from tests.support.helpers import Project, add, create, python

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
COST = add("product", "cost", "IntegerField(default=7)")


@pytest.fixture
def transactional(shop):
    if shop.db().vendor == "mysql":
        pytest.skip("takes back no schema change")
    return shop


def test_all_of_it(transactional):
    """Schema and records go together."""
    shop = transactional
    before = shop.schema()
    leave(shop)

    shop.manage("rewind", "--atomic", "--noinput", "--allow-data-loss")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]


@pytest.mark.parametrize("failing", STEPS)
def test_nothing_of_it(transactional, failing):
    """A failure at any step takes everything back, and says that what was said to be OK is not."""
    shop = leave(transactional, failing)

    result = shop.refused(
        *("rewind", "--atomic", "--noinput", "--allow-data-loss"),
        naming=(
            f"stopped at shop.{failing}: ValueError: not today",
            "taken back",
            "Nothing has been changed.",
        ),
    )

    assert result.returncode == 1
    assert "Undone:" not in result.stderr
    told = [event for event, _ in shop.audit_log(*(f"shop.{name}" for name in STEPS))]
    assert told == [*["captured"] * 3, *["applied"] * 3, "failed"]
    shop.delete("broken")
    shop.manage("rewind", "--atomic", "--noinput", "--allow-data-loss")
    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]


def test_on_a_database_that_takes_nothing_back(shop):
    """It is refused by name, before the first statement and before the question."""
    if shop.db().vendor != "mysql":
        pytest.skip("it takes back everything")
    leave(shop)
    shop.delete("broken")

    result = shop.refused("rewind", "--atomic", naming=("MariaDB", "Leave out --atomic"), answer="y")

    assert "[y/N]" not in result.stdout


def test_of_a_step_that_is_not_atomic(transactional):
    """It is refused by its name."""
    shop = leave(transactional, "0003_stock", atomic=False)

    shop.refused("rewind", "--atomic", "--noinput", naming=("shop.0003_stock", "atomic = False"))


def test_of_a_file_that_is_not_atomic(transactional):
    """What a redo would apply has to be atomic as well."""
    shop = transactional
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_price", COST, after="0001_initial", atomic=False)

    shop.refused(
        "rewind", "--atomic", "--redo", "shop", "0002", "--noinput", naming=("shop.0002_price", "atomic")
    )


CONCURRENTLY = """
class AddIndexConcurrently(migrations.RunSQL):
    # As django.contrib.postgres has it, without its driver.
    def _ensure_not_in_transaction(self, schema_editor):
        raise RuntimeError
"""


def test_of_an_operation_that_refuses_a_transaction(transactional):
    """The step and the operation are named, before the first statement."""
    shop = transactional
    with shop.on_branch("feature"):
        inside = "migrations.SeparateDatabaseAndState([AddIndexConcurrently('SELECT 1', 'SELECT 1')])"
        shop.migration("shop.0002_price", PRICE, inside, after="0001_initial", header=CONCURRENTLY)
        shop.migration("shop.0003_cart", create("Cart"), after="0002_price")
        shop.manage("migrate")

    shop.refused("rewind", "--atomic", "--noinput", naming=("shop.0002_price", "Raw SQL operation"))


@pytest.mark.parametrize("args", ["--sql", "--adopt"])
def test_options_that_make_no_sense(shop, args):
    """Status 2."""
    assert shop.attempt("rewind", "--atomic", args).returncode == 2


def test_that_only_shows(shop):
    """`--plan` and `--check` do nothing, with it and without."""
    leave(shop)

    assert shop.manage("rewind", "--atomic", "--plan").stdout == shop.manage("rewind", "--plan").stdout


def test_forgetting(shop):
    """With `--fake` the records go together, on every database."""
    leave(shop)
    before = shop.schema()

    shop.manage("rewind", "--atomic", "--fake", "--noinput")

    assert shop.applied("shop") == ["0001_initial"]
    assert shop.schema() == before


def keeps_two(shop: Project) -> Project:
    """A row that refers to another one, which a step of the way back would delete."""
    with shop.on_branch("feature"):
        owner = "ForeignKey('shop.product', models.DO_NOTHING)"
        shop.migration("shop.0002_line", create("Line", owner=owner), after="0001_initial")
        header = """
        def empty(apps, schema_editor):
            schema_editor.execute("DELETE FROM shop_product")
        """
        shop.migration(
            "shop.0003_empty", python("migrations.RunPython.noop", "empty"), after="0002_line", header=header
        )
        shop.migration("shop.0004_cart", create("Cart"), after="0003_empty")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (id, name) VALUES (1, 'Tea')")
    shop.execute("INSERT INTO shop_line (owner_id) VALUES (1)")
    return shop


@pytest.mark.parametrize("atomic", [True, False])
def test_a_constraint_that_is_checked_late(transactional, atomic):
    """A foreign key that leads nowhere stops the step that has done it, before that is said to be OK."""
    shop = keeps_two(transactional)

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss", *(["--atomic"] if atomic else []))

    assert result.returncode == 1
    assert "stopped at shop.0003_empty: IntegrityError" in result.stderr
    assert "0003_empty (from stored code)... OK" not in result.stdout
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
    assert shop.applied("shop") == [
        "0001_initial",
        "0002_line",
        "0003_empty",
        *(["0004_cart"] if atomic else []),
    ]
    assert ("shop_cart" in shop.tables()) == atomic


def test_data_and_schema_of_one_table(transactional):
    """Rows that are changed in one step do not keep the next one from altering their table."""
    shop = transactional
    with shop.on_branch("feature"):
        owner = "ForeignKey('shop.product', models.CASCADE, null=True)"
        shop.migration("shop.0002_line", create("Line", owner=owner), PRICE, after="0001_initial")
        shop.migration(
            "shop.0003_number", add("line", "number", "IntegerField(null=True)"), after="0002_line"
        )
        header = """
        def touch(apps, schema_editor):
            product = apps.get_model("shop", "Product").objects.create(name="Salt", price=1)
            apps.get_model("shop", "Line").objects.update(owner=product)
        """
        shop.migration(
            "shop.0004_touch",
            python("migrations.RunPython.noop", "touch"),
            after="0003_number",
            header=header,
        )
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_line (number) VALUES (1)")

    shop.manage("rewind", "--atomic", "--noinput", "--allow-data-loss")

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.rows("SELECT name FROM shop_product") == [("Salt",)]


LOG = """
from django.apps import AppConfig

class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from django.db.models.signals import post_migrate, pre_migrate
        from django_rewind.signals import post_rewind_step, pre_rewind_step
        for signal in (pre_migrate, pre_rewind_step, post_rewind_step):
            signal.connect(tell, weak=False)
        post_migrate.connect(tell, weak=False, sender=self)
        pre_migrate.disconnect(tell)
        pre_migrate.connect(tell, weak=False, sender=self)

def tell(signal, **kwargs):
    from django.db import connection
    from django.db.models import signals
    from django_rewind.signals import post_rewind_step, pre_rewind_step
    names = {pre_rewind_step: "pre", post_rewind_step: "post", signals.pre_migrate: "pre_migrate"}
    with connection.cursor() as cursor:
        checks = "-"
        if connection.vendor == "sqlite":
            checks = cursor.execute("PRAGMA foreign_keys").fetchone()[0]
    name = kwargs.get("migration", ("", ""))[1]
    print("heard", names.get(signal, "post_migrate"), name, connection.in_atomic_block, checks, flush=True)
"""


def heard(result):
    return [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("heard")]


def test_signals(transactional):
    """What has happened is told after the commit, with foreign keys checked again."""
    shop = leave(transactional)
    shop.write("shop/apps.py", LOG)
    is_on = "1" if shop.db().vendor == "sqlite" else "-"

    told = heard(shop.manage("rewind", "--atomic", "--noinput", "--allow-data-loss"))

    assert [one[:-2] for one in told] == [
        ["pre_migrate"],
        *(["pre", name] for name in reversed(STEPS)),
        *(["post", name] for name in reversed(STEPS)),
        ["post_migrate"],
    ]
    assert [one[-2:] for one in told[4:]] == [["False", is_on]] * 4


def test_signals_of_what_was_taken_back(transactional):
    """Nothing is told of what has not happened."""
    shop = leave(transactional, "0002_price")
    shop.write("shop/apps.py", LOG)

    told = heard(shop.attempt("rewind", "--atomic", "--noinput", "--allow-data-loss"))

    assert [one[0] for one in told] == ["pre_migrate", "pre", "pre", "pre"]


def test_a_receiver_that_objects(transactional):
    """It takes everything back."""
    shop = leave(transactional)
    shop.write("shop/apps.py", OBJECTS.format(signal="pre_rewind_step"))

    shop.refused(
        "rewind",
        "--atomic",
        "--noinput",
        "--allow-data-loss",
        naming=("stopped at shop.0003_stock: Not on a Friday.", "taken back"),
    )


def test_a_receiver_after_everything(transactional):
    """After the commit it is too late: everything is undone, and that is said."""
    shop = leave(transactional)
    shop.write("shop/apps.py", OBJECTS.format(signal="post_migrate"))

    result = shop.attempt("rewind", "--atomic", "--noinput", "--allow-data-loss")

    assert "is done, and what comes after it has failed" in result.stderr
    assert "Undone: shop.0004_cart, shop.0003_stock, shop.0002_price.\n" in result.stderr
    assert shop.applied("shop") == ["0001_initial"]


@pytest.fixture
def redone(transactional):
    """0002 was applied with one column and has another one now; 0003 depends on it and can fail."""
    shop = transactional
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stock", create("Cart"), after="0002_price")
    shop.manage("migrate")
    shop.migration("shop.0002_price", COST, after="0001_initial")
    operation = python("fail", "migrations.RunPython.noop")
    shop.migration("shop.0003_stock", create("Cart"), operation, after="0002_price", header=FAIL)
    return shop


@pytest.mark.parametrize("args", [("--redo", "shop", "0002"), ("--redo-modified",)], ids=len)
def test_redo(redone, args):
    """Both halves are one transaction."""
    redone.manage("rewind", "--atomic", *args, "--noinput")

    assert redone.columns("shop_product") == {"id", "name", "cost"}
    assert redone.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert "'cost'" in redone.stored()["shop.0002_price"]
    assert redone.attempt("rewind", "--redo-modified", "--check").returncode == 0


def test_redo_that_fails_going_forward(redone):
    """What was undone is back, with what was stored of it."""
    redone.write("broken", "")

    redone.refused(
        *("rewind", "--atomic", "--redo", "shop", "0002", "--noinput"),
        naming=("The redo has stopped at shop.0003_stock: ValueError: not today", "taken back"),
    )

    redone.delete("broken")
    redone.manage("rewind", "--atomic", "--redo", "shop", "0002", "--noinput")
    assert redone.columns("shop_product") == {"id", "name", "cost"}


def test_then_forward(redone):
    """What `--migrate` applies afterwards is a run of its own."""
    redone.delete("shop/migrations/0003_stock.py")
    redone.migration("shop.0003_till", create("Till"), after="0002_price")

    redone.manage("verify_migrations", "--accept", "shop", "0002_price")

    redone.manage("rewind", "--atomic", "--migrate", "--noinput")

    assert redone.applied("shop") == ["0001_initial", "0002_price", "0003_till"]
    assert "shop_cart" not in redone.tables()
