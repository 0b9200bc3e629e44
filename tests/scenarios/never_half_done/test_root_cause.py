"""What has really stopped a run is what it says, whatever is raised over it on the way out."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from tests.support.helpers import Project, add, python

pytestmark = pytest.mark.deep

FAIL = """
def fail(apps, schema_editor):
    connection = schema_editor.connection
    Product = apps.get_model("shop", "Product").objects.using(connection.alias)
    Line = apps.get_model("shop", "Line").objects.using(connection.alias)
    {statement}
"""

# What the reverse function does, and the error to be named.
STATEMENTS = {
    "an integrity error": ("Product.create(pk=1, name='Tea')", "at shop.0003_fill: IntegrityError: "),
    "an error in SQL": ("connection.cursor().execute('SELECT * FROM nowhere')", "nowhere"),
    "a foreign key at the end": ("Line.create(product_id=99)", "at shop.0003_fill: IntegrityError: "),
    "a bug after it": (
        "Line.create(product_id=99) and {}['colour']",
        "at shop.0003_fill: KeyError: 'colour'",
    ),
    "an interrupt after it": (
        "Line.create(product_id=99) and exec('raise KeyboardInterrupt')",
        "The rewind was interrupted at shop.0003_fill.",
    ),
}


def leave(shop: Project, statement: str, **migration: object) -> None:
    """Leave two migrations behind, of which the later one fails on its way back."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_line",
            "migrations.CreateModel('Line', [('id', models.AutoField(primary_key=True)),"
            " ('product', models.ForeignKey('shop.Product', models.CASCADE))])",
            after="0001_initial",
        )
        shop.migration(
            "shop.0003_fill",
            add("product", "price", "IntegerField(default=7)"),
            python("migrations.RunPython.noop", "fail"),
            after="0002_line",
            header=FAIL.format(statement=statement),
            **migration,
        )
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 3)")


def is_named(shop: Project, cause: str, *options: str) -> None:
    """See that the cause is named, and that the records are read: the database is there."""
    result = shop.attempt("rewind", "--noinput", "--allow-data-loss", *options)

    assert result.returncode in (1, 130), str(result)
    assert cause in result.stderr, str(result)
    for word in ("Traceback", "TransactionManagementError", "what was seen before", "does not answer"):
        assert word not in result.output, str(result)


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("name", STATEMENTS)
def test_in_a_function(shop, name, atomic):
    """An error in the middle of a step, or as it is left."""
    statement, cause = STATEMENTS[name]
    if name.endswith("after it") and shop.db().vendor != "sqlite":
        pytest.skip("there the first error is seen at once, or hides nothing")
    leave(shop, statement, atomic=atomic)

    is_named(shop, cause)

    assert shop.applied("shop") == ["0001_initial", "0002_line", "0003_fill"]
    events = [event for event, _ in shop.audit_log("shop.0003_fill")]
    assert events[-1] == "failed"


@pytest.mark.parametrize("name", STATEMENTS)
def test_as_a_whole(shop, name):
    """The same with one transaction around everything."""
    if shop.db().vendor == "mysql":
        pytest.skip("--atomic is refused there")
    statement, cause = STATEMENTS[name]
    leave(shop, statement)
    before = shop.schema()

    is_named(shop, cause.replace("at shop.0003_fill: ", ""), "--atomic")

    assert shop.schema() == before


def test_table_dropped_by_hand(shop):
    """The table is named."""
    leave(shop, "pass")
    shop.execute("DROP TABLE shop_line")
    shop.execute("DROP TABLE shop_product")

    is_named(shop, "shop_product")


def test_applying_again(shop):
    """What `--redo` applies fails like what it unapplies."""
    header = "\ndef fail(apps, schema_editor):\n    apps.get_model('shop', 'Product').objects.using(schema_editor.connection.alias).create(pk=1)\n"
    shop.migration("shop.0002_fill", python(backward="migrations.RunPython.noop"), after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    shop.migration(
        "shop.0002_fill", python("fail", "migrations.RunPython.noop"), after="0001_initial", header=header
    )

    is_named(shop, "IntegrityError: ", "--redo", "shop", "0002")


def test_locked_database(shop):
    """SQLite is locked by another process."""
    if shop.db().vendor != "sqlite":
        pytest.skip("the lock of a file")
    leave(shop, "pass")
    shop.settings["DATABASES"]["default"]["OPTIONS"] = {"timeout": 0.1}
    shop.configure()
    with closing(shop.db().connect()) as other:
        other.execute("BEGIN IMMEDIATE")

        is_named(shop, "database is locked")


@pytest.mark.parametrize(
    "vendor, kill",
    [("postgresql", "SELECT pg_terminate_backend(pg_backend_pid())"), ("mysql", "KILL CONNECTION_ID()")],
)
def test_connection_that_is_killed(shop, vendor, kill):
    """The records are read by a new connection."""
    if shop.db().vendor != vendor:
        pytest.skip(f"of {vendor}")
    leave(shop, f"connection.cursor().execute('{kill}')")

    is_named(shop, "OperationalError: ")


@pytest.mark.parametrize("options", [[], ["--atomic"]])
def test_reverse_code_that_fails(shop, options):
    """The error names what helps, and that works as it is typed."""
    if options and shop.db().vendor == "mysql":
        pytest.skip("--atomic is refused there")
    before = shop.schema()
    leave(shop, "raise KeyError('colour')")

    is_named(shop, "KeyError: 'colour'", *options)
    result = shop.attempt("rewind", "--noinput", "--allow-data-loss", *options)
    restore, rewind = re.findall(r"'manage\.py ([^']+)'", result.stderr.splitlines()[-1])
    assert "edit the file" in result.stderr

    shop.manage(*restore.split())
    path = "shop/migrations/0003_fill.py"
    shop.write(path, shop.read(path).replace("raise KeyError('colour')", "pass"))
    shop.manage(*rewind.split(), "--noinput", "--allow-data-loss")
    assert shop.applied("shop") == ["0001_initial", "0002_line"]
    assert shop.columns("shop_product") == {"id", "name"}
    shop.delete(path)
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.schema() == before


def test_way_out_is_named_by_migrate(shop):
    """Django's own command shows the traceback, and says the same."""
    leave(shop, "raise KeyError('colour')")

    result = shop.attempt("migrate", "shop", "0001")

    assert "'manage.py rewind shop 0002_line --use-file shop.0003_fill'" in result.output
