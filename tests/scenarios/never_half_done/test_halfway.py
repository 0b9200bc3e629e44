"""What fails on its way: what is undone is recorded, the rest stands, and the message says both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = pytest.mark.deep

FAIL = """
def fail(apps, schema_editor):
    from pathlib import Path
    if Path("broken").exists():
        raise ValueError("not today")
"""
STEPS = ("0002_price", "0003_stock", "0004_cart")
CART = ("shop_cart", "shop_line")


def step(number: int, *, fails: bool = False, **attributes: object) -> tuple[list[str], dict[str, object]]:
    operations = [
        [add("product", "price", "IntegerField(default=7)")],
        [
            add("product", "stock", "IntegerField(null=True)"),
            add("product", "place", "IntegerField(null=True)"),
        ],
        [create("Cart"), create("Line")],
    ][number]
    if fails:
        # It is undone second of all.
        operations.insert(len(operations) - 1, python("migrations.RunPython.noop", "fail"))
        attributes["header"] = FAIL
    return operations, attributes


def leave(shop: Project, failing: str = "", **attributes: object) -> Project:
    """Apply three migrations of a branch, one of which can fail, and come back to main."""
    with shop.on_branch("feature"):
        before = "0001_initial"
        for number, name in enumerate(STEPS):
            operations, more = step(number, fails=name == failing, **(attributes if name == failing else {}))
            shop.migration(f"shop.{name}", *operations, after=before, **more)
            before = name
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price, stock) VALUES ('Tea', 1, 2)")
    shop.write("broken", "")
    return shop


def takes_back(shop: Project) -> bool:
    return shop.db().vendor != "mysql"


def put_back_by_hand(shop: Project, failing: str) -> None:
    """Put back what the first operation to be undone has taken away."""
    if takes_back(shop):
        return
    if failing == "0002_price":
        shop.execute("ALTER TABLE shop_product ADD COLUMN price integer NOT NULL DEFAULT 1")
    elif failing == "0003_stock":
        shop.execute("ALTER TABLE shop_product ADD COLUMN place integer NULL")
    elif failing == "0004_cart":
        shop.execute("CREATE TABLE shop_line (id integer AUTO_INCREMENT NOT NULL PRIMARY KEY)")


@pytest.mark.parametrize("failing", STEPS)
@pytest.mark.parametrize(
    "command",
    [
        ("rewind", "--noinput", "--allow-data-loss"),
        ("rewind", "shop", "0001", "--noinput", "--allow-data-loss"),
    ],
    ids=len,
)
def test_at_each_step(shop, failing, command):
    """Exactly what is undone is said and recorded, and the same command goes on when it is mended."""
    before = shop.schema()
    leave(shop, failing)
    undone = [name for name in reversed(STEPS) if name > failing]
    stays = [name for name in reversed(STEPS) if name <= failing]

    result = shop.attempt(*command)

    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert f"stopped at shop.{failing}: ValueError: not today" in result.stderr
    assert f"Undone: {', '.join(f'shop.{one}' for one in undone) or 'nothing'}.\n" in result.stderr
    assert f"Not undone: {', '.join(f'shop.{one}' for one in stays)}.\n" in result.stderr
    assert shop.applied("shop") == ["0001_initial", *reversed(stays)]
    assert ("shop_cart" in shop.tables()) == (failing == "0004_cart")
    assert ("stock" in shop.columns("shop_product")) == (failing != "0002_price")
    assert ("price" in shop.columns("shop_product")) == (takes_back(shop) or failing != "0002_price")
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
    shop.delete("broken")
    shop.manage(*command)
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.schema() == before


@pytest.mark.parametrize("failing", STEPS)
def test_put_back_by_hand(shop, failing):
    """What somebody has put back of the step after it failed is undone once more."""
    before = shop.schema()
    leave(shop, failing)
    shop.attempt("rewind", "--noinput", "--allow-data-loss")
    put_back_by_hand(shop, failing)
    shop.delete("broken")

    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.applied("shop") == ["0001_initial"]
    assert shop.schema() == before


COUNT = """
def count(apps, schema_editor):
    from pathlib import Path
    with Path("counted").open("a") as file:
        file.write("x")
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).create(name="Counted")
"""


def test_no_operation_twice(shop):
    """Of a step that nothing takes back, each operation is undone once, however often the run stops."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_much",
            python("migrations.RunPython.noop", "fail"),
            add("product", "stock", "IntegerField(null=True)"),
            python("migrations.RunPython.noop", "count"),
            create("Line"),
            after="0001_initial",
            header=FAIL + COUNT,
            atomic=False,
        )
        shop.manage("migrate")
    shop.write("broken", "")

    for _ in range(3):
        assert shop.attempt("rewind", "--noinput").returncode == 1
    shop.delete("broken")
    result = shop.manage("rewind", "--noinput")

    assert "Going on with shop.0002_much: 3 of its 4 operations are undone already" in result.stdout
    assert shop.read("counted") == "x"
    assert shop.rows("SELECT count(*) FROM shop_product") == [(1,)]
    assert shop.columns("shop_product") == {"id", "name"}
    assert "shop_line" not in shop.tables()


def test_gone_by_itself(shop):
    """In the operation that was under way, what is done already is passed over and named."""
    rename = "ALTER TABLE shop_product RENAME COLUMN name TO title"
    with shop.on_branch("feature"):
        operation = f"migrations.RunSQL('', {rename!r})"
        shop.migration("shop.0003_stock", operation, after="0001_initial", atomic=False)
        shop.manage("migrate")
    execute = f"from django.db import connection; connection.cursor().execute({rename!r})"
    receiver = OBJECTS.format(signal="pre_rewind_step")
    shop.write("shop/apps.py", receiver.replace('raise CommandError("Not on a Friday.")', execute))
    assert "passing over" not in shop.attempt("rewind", "--noinput").stderr
    assert shop.applied("shop") == ["0001_initial", "0003_stock"]
    shop.delete("shop/apps.py")

    result = shop.manage("rewind", "--noinput")

    assert f"shop.0003_stock: passing over '{rename}', for an earlier run came so far: " in result.stderr
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.columns("shop_product") == {"id", "title"}


def test_traceback(shop):
    """`--traceback` shows where it happened, in the stored source too."""
    leave(shop, "0003_stock")

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss", "--traceback")

    assert ", in fail\n" in result.stderr
    assert "Undone: shop.0004_cart." in result.stderr


@pytest.mark.parametrize("atomic", [True, False])
def test_operations_of_the_step(shop, atomic):
    """Where nothing can take them back, the message names each operation, and both ways out are true."""
    leave(shop, "0003_stock", atomic=atomic)
    is_left = not (atomic and takes_back(shop))

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert ("place" not in shop.columns("shop_product")) == is_left
    assert "stock" in shop.columns("shop_product")
    assert ("half-way" in result.stderr) == is_left
    if not is_left:
        return
    assert "  Undone: Add field place to product\n" in result.stderr
    assert "  Stopped in: Raw Python operation\n" in result.stderr
    assert "  Not undone: Add field stock to product\n" in result.stderr
    assert "'manage.py rewind shop 0002_price --fake'" in result.stderr
    shop.execute("ALTER TABLE shop_product DROP COLUMN stock")
    shop.manage("rewind", "shop", "0002_price", "--fake", "--noinput")
    shop.delete("broken")
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.columns("shop_product") == {"id", "name"}


def test_of_two_apps(shop):
    """Each is named with its app."""
    shop.app("till", "")
    leave(shop, "0003_stock")
    with shop.on_branch("feature"):
        shop.migration("till.0001_initial", create("Slip"), after="shop.0004_cart")
        shop.manage("migrate")

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert "Undone: till.0001_initial, shop.0004_cart.\n" in result.stderr
    assert "Not undone: shop.0003_stock, shop.0002_price.\n" in result.stderr
    assert shop.applied("till") == []


def test_of_migrate(shop):
    """The exception of Django's own `migrate` stays Django's, and how far it came is said beside it."""
    leave(shop, "0003_stock")

    result = shop.attempt("migrate", "shop", "0001")

    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().endswith("ValueError: not today")
    assert "Warning: Undone: shop.0004_cart.\n" in result.stderr
    assert "Warning: Not undone: shop.0003_stock, shop.0002_price.\n" in result.stderr
    assert "the same command goes on from there" in result.stderr
    assert ("Undone: Add field place to product" in result.stderr) == (not takes_back(shop))


def test_of_migrate_without_stored_code(shop):
    """With nothing missing, Django is Django."""
    leave(shop, "0003_stock")
    shop.switch("feature")

    result = shop.attempt("migrate", "shop", "0001")

    assert "Warning" not in result.stderr
    assert "Undone" not in result.stderr


OBJECTS = """
from django.apps import AppConfig
from django.core.management.base import CommandError

class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from django.db.models.signals import post_migrate, pre_migrate
        from django_rewind.signals import pre_rewind_step
        {signal}.connect(object_to, weak=False)

def object_to(**kwargs):
    if kwargs.get("migration", ("", "0003_stock"))[1] == "0003_stock":
        raise CommandError("Not on a Friday.")
"""


def test_a_receiver_that_objects(shop):
    """The run stops before that step, and what was undone before is said."""
    leave(shop)
    shop.write("shop/apps.py", OBJECTS.format(signal="pre_rewind_step"))

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert result.returncode == 1
    assert "stopped at shop.0003_stock: Not on a Friday.\n" in result.stderr
    assert "Undone: shop.0004_cart.\n" in result.stderr
    assert "half-way" not in result.stderr
    assert {"stock", "place"} <= shop.columns("shop_product")
    shop.delete("shop/apps.py")
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.columns("shop_product") == {"id", "name"}


def test_a_receiver_before_everything(shop):
    """When `pre_migrate` fails, nothing is undone, and that is said."""
    leave(shop)
    shop.write("shop/apps.py", OBJECTS.format(signal="pre_migrate"))
    before = shop.schema()

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert "Not on a Friday." in result.stderr
    assert "Undone: nothing.\n" in result.stderr
    assert "Traceback" not in result.output
    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial", *STEPS]


def test_a_receiver_after_everything(shop):
    """When `post_migrate` fails, everything is undone, and that is said."""
    leave(shop)
    shop.write("shop/apps.py", OBJECTS.format(signal="post_migrate"))

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert result.returncode == 1
    assert "is done, and what comes after it has failed: Not on a Friday." in result.stderr
    assert "Undone: shop.0004_cart, shop.0003_stock, shop.0002_price.\n" in result.stderr
    assert "Not undone" not in result.stderr
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.columns("shop_product") == {"id", "name"}


NO_DELETE = {
    "sqlite": [
        (
            "CREATE TRIGGER keep BEFORE DELETE ON django_migrations WHEN OLD.name = '0003_stock' "
            "BEGIN SELECT RAISE(ABORT, 'kept'); END"
        ),
    ],
    "postgresql": [
        (
            "CREATE FUNCTION keep() RETURNS trigger AS $$ BEGIN IF OLD.name = '0003_stock' THEN "
            "RAISE EXCEPTION 'kept'; END IF; RETURN OLD; END $$ LANGUAGE plpgsql"
        ),
        "CREATE TRIGGER keep BEFORE DELETE ON django_migrations FOR EACH ROW EXECUTE PROCEDURE keep()",
    ],
    "mysql": [
        (
            "CREATE TRIGGER keep BEFORE DELETE ON django_migrations FOR EACH ROW "
            "IF OLD.name = '0003_stock' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'kept'; END IF"
        ),
    ],
}


def test_a_record_that_stays(shop):
    """When the record cannot be deleted, the schema comes back with it, or it is said that it does not."""
    leave(shop)
    for statement in NO_DELETE[shop.db().vendor]:
        shop.execute(statement)

    result = shop.attempt("rewind", "--noinput", "--allow-data-loss")

    assert result.returncode == 1
    assert "kept" in result.stderr
    assert "Undone: shop.0004_cart.\n" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert ("stock" in shop.columns("shop_product")) == takes_back(shop)
    if not takes_back(shop):
        assert "  Undone: Add field place to product; Add field stock to product\n" in result.stderr
        assert "its record" in result.stderr
        shop.execute("DROP TRIGGER keep")
        shop.manage("rewind", "shop", "0002_price", "--fake", "--noinput")
        shop.manage("rewind", "--noinput", "--allow-data-loss")
        assert shop.columns("shop_product") == {"id", "name"}


def test_of_forgetting(shop):
    """A record that cannot be forgotten stops `--fake` too, in its own words."""
    leave(shop)
    for statement in NO_DELETE[shop.db().vendor]:
        shop.execute(statement)

    result = shop.attempt("rewind", "--fake", "--noinput")

    assert "Marked as unapplied: shop.0004_cart.\n" in result.stderr
    assert "Not marked as unapplied: shop.0003_stock, shop.0002_price.\n" in result.stderr


STOP_HERE = """
def fail(apps, schema_editor):
    import os, signal, time
    from pathlib import Path
    if Path("broken").exists():
        os.kill(os.getpid(), signal.{signal})
        time.sleep(10)
"""


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_told_to_stop(shop, name, status):
    """Ctrl-C and SIGTERM say the same, and what is undone is recorded."""
    with shop.on_branch("feature"):
        fail = python("migrations.RunPython.noop", "fail")
        shop.migration("shop.0002_price", fail, after="0001_initial", header=STOP_HERE.format(signal=name))
        shop.migration("shop.0003_cart", create("Cart"), after="0002_price")
        shop.manage("migrate")
    shop.write("broken", "")

    result = shop.attempt("rewind", "--noinput")

    assert result.returncode == status
    assert "Traceback" not in result.output
    assert "The rewind was interrupted at shop.0002_price.\nUndone: shop.0003_cart.\n" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    shop.delete("broken")
    shop.manage("rewind", "--noinput")
    assert shop.applied("shop") == ["0001_initial"]


def test_a_program_that_calls_hears_of_ctrl_c(shop):
    """It is no error of a command to the code that called it."""
    leave(shop)
    shop.write(
        "shop/apps.py",
        OBJECTS.format(signal="pre_rewind_step").replace("CommandError(", "KeyboardInterrupt("),
    )

    result = shop.run(
        """
        from django.core.management import call_command
        try:
            call_command("rewind", interactive=False, allow_data_loss=True)
        except KeyboardInterrupt:
            print("heard")
        """
    )

    assert "heard" in result.stdout
    assert "Undone: shop.0004_cart.\n" in result.stderr


def test_a_connection_that_breaks(shop):
    """What was undone before the server hung up is said as the database has it."""
    if shop.db().vendor == "sqlite":
        pytest.skip("there is no server")
    ends = {"postgresql": "SELECT pg_terminate_backend(pg_backend_pid())", "mysql": "KILL CONNECTION_ID()"}
    header = f"""
    def hang_up(apps, schema_editor):
        schema_editor.connection.cursor().execute("{ends[shop.db().vendor]}")
    """
    with shop.on_branch("feature"):
        hang_up = python("migrations.RunPython.noop", "hang_up")
        shop.migration("shop.0002_price", hang_up, after="0001_initial", header=header)
        shop.migration("shop.0003_cart", create("Cart"), after="0002_price")
        shop.manage("migrate")

    result = shop.attempt("rewind", "--noinput")

    assert result.returncode == 1
    assert "Traceback" not in result.output
    assert "stopped at shop.0002_price: OperationalError" in result.stderr
    assert "Undone: shop.0003_cart.\nNot undone: shop.0002_price.\n" in result.stderr
    assert "does not answer" not in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_price"]


def test_forward_half_of_a_redo(shop):
    """Where nothing is taken back, the operations that were applied are named, and both ways out are true."""
    shop.migration(
        "shop.0002_price", add("product", "price", "IntegerField(default=7)"), after="0001_initial"
    )
    shop.manage("migrate")
    operations = [
        add("product", "cost", "IntegerField(default=7)"),
        python("fail", "migrations.RunPython.noop"),
    ]
    shop.migration("shop.0002_price", *operations, after="0001_initial", header=FAIL)
    shop.write("broken", "")

    result = shop.attempt("rewind", "--redo", "shop", "0002", "--noinput")

    assert result.returncode == 1
    assert "Undone: shop.0002_price.\nNot applied yet: shop.0002_price.\n" in result.stderr
    assert shop.applied("shop") == ["0001_initial"]
    assert ("cost" in shop.columns("shop_product")) == (not takes_back(shop))
    shop.delete("broken")
    if not takes_back(shop):
        assert "  Applied: Add field cost to product\n" in result.stderr
        assert "'manage.py migrate shop 0002_price --fake'" in result.stderr
        shop.manage("migrate", "shop", "0002_price", "--fake")
    else:
        shop.manage("rewind", "--redo", "shop", "0002", "--noinput")
    assert shop.applied("shop") == ["0001_initial", "0002_price"]
    assert shop.columns("shop_product") == {"id", "name", "cost"}


def test_killed(shop):
    """What cannot be said by a process that is killed stands in the records all the same."""
    leave(shop)
    objects = OBJECTS.format(signal="pre_rewind_step").replace(
        'raise CommandError("Not on a Friday.")', "__import__('time').sleep(60)"
    )
    shop.write("shop/apps.py", objects)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "rewind", "--noinput", "--allow-data-loss"],
        cwd=shop.path,
        env=shop._environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + 60
        while "0004_cart" in shop.applied("shop") and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    assert shop.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert shop.tables().isdisjoint(CART)
    shop.delete("shop/apps.py")
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.columns("shop_product") == {"id", "name"}
