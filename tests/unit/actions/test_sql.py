"""What `rewind --sql` prints is what a rewind would execute, and nothing of it is executed."""

from __future__ import annotations

import pytest
from django.db import connection

from django_rewind.actions.rewind import Rewind
from django_rewind.actions.sql import _refuse_to_change, sql_of
from django_rewind.exceptions import SqlNotAvailable
from tests.support import helpers
from tests.support.fixtures import PRICE, applied, columns, migrate, price_without_file

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def statements(target="0001"):
    rewind = Rewind(connection)
    return sql_of(rewind, rewind.plan_to("shop", target))


def execute(lines):
    """Execute a script statement by statement, as a shell of the database would."""
    text = "\n".join(line for line in lines if not line.startswith("--"))
    with connection.cursor() as cursor:
        for statement in text.split(";"):
            if statement.strip():
                cursor.execute(statement)


@pytest.fixture
def shop(app):
    """A product, and a price whose file is gone."""
    return price_without_file(app)


def test_nothing_is_executed(shop):
    """Neither the schema nor the records change, and a rewind goes on to work."""
    lines = statements()

    assert lines[0] == "-- shop.0002_price (from stored code)"
    assert columns("shop_product") == {"id", "price"}
    assert applied("shop") == ["0001_initial", "0002_price"]
    migrate("shop", "0001")
    assert columns("shop_product") == {"id"}


def test_executed_it_is_the_rewind(shop):
    """The script does what the rewind would have done, its record included."""
    execute(statements())

    assert columns("shop_product") == {"id"}
    assert applied("shop") == ["0001_initial"]


def test_each_step_stands_by_itself(shop):
    """Steps come in the order in which they are undone, each in a transaction where the database can."""
    lines = statements("zero")

    names = [line for line in lines if line.startswith("-- shop.")]
    assert names == ["-- shop.0002_price (from stored code)", "-- shop.0001_initial (from its file)"]
    transactions = [line for line in lines if line in ("BEGIN;", "COMMIT;")]
    assert transactions == (["BEGIN;", "COMMIT;"] * 2 if connection.features.can_rollback_ddl else [])
    execute(lines)
    assert columns("shop_product") == set()
    assert applied("shop") == []


def test_a_step_without_a_transaction(app):
    """`atomic = False` is kept to."""
    app.migration("0001_initial", helpers.create("Product"), atomic=False)
    migrate("shop")
    app.delete("0001_initial")

    assert "BEGIN;" not in statements("zero")


def test_what_is_no_sql(app):
    """Functions are neither called nor forgotten: a comment says so in Django's words."""
    app.migration("0001_initial", helpers.create("Product"))
    header = "def fail(apps, schema_editor):\n    raise ValueError('called')\n"
    operation = helpers.python("migrations.RunPython.noop", "fail")
    app.migration("0002_names", operation, PRICE, after="0001_initial", header=header)
    migrate("shop")
    app.delete("0002_names")

    text = "\n".join(statements())

    assert "CANNOT BE WRITTEN AS SQL" in text
    assert "called" not in text


def test_squashed(app):
    """The records of what a squashed migration replaced go with it."""
    replaces = [("shop", "0001_initial"), ("shop", "0002_price")]
    app.migration("0001_squashed", helpers.create("Product"), PRICE, replaces=replaces)
    migrate("shop")
    app.delete("0001_squashed")

    execute(statements("zero"))

    assert applied("shop") == []


def test_quotes(app):
    """Names are quoted as the database wants it."""
    app.migration("0001_o'clock", helpers.create("Product"))
    migrate("shop")

    lines = statements("zero")

    assert applied("shop") == ["0001_o'clock"]
    execute([line for line in lines if line.startswith("DELETE FROM")])
    assert applied("shop") == []


def test_what_only_earlier_steps_would_tell(app):
    """A constraint that an earlier step would put back has no name yet: that is an error by name."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite rebuilds the table instead")
    app.migration("0001_initial", helpers.create("Product", a="IntegerField()", b="IntegerField()"))
    unique = "migrations.AlterUniqueTogether('Product', {('a', 'b')})"
    none = "migrations.AlterUniqueTogether('Product', set())"
    app.migration("0002_unique", unique, after="0001_initial")
    app.migration("0003_not_unique", none, after="0002_unique")
    migrate("shop")
    app.delete("0002_unique", "0003_not_unique")

    with pytest.raises(SqlNotAvailable, match=r"shop\.0002_unique.*ValueError"):
        statements()

    assert applied("shop") == ["0001_initial", "0002_unique", "0003_not_unique"]


def test_an_operation_that_executes_at_once(app):
    """What goes past the schema editor is stopped before it reaches the database."""
    app.migration("0001_initial", helpers.create("Product"))
    header = """
    class DropIt(migrations.operations.base.Operation):
        reversible = True

        def state_forwards(self, app_label, state):
            pass

        def database_forwards(self, *args):
            pass

        def database_backwards(self, app_label, schema_editor, from_state, to_state):
            schema_editor.connection.cursor().execute("DELETE FROM shop_product")
    """
    app.migration("0002_drop", "DropIt()", after="0001_initial", header=header)
    migrate("shop")
    app.delete("0002_drop")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_product (id) VALUES (1)")

    with pytest.raises(SqlNotAvailable, match="DELETE FROM shop_product"):
        statements()

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop_product")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sqlite_master SET sql = ''",
        "PRAGMA writable_schema = 1",
        "PRAGMA schema_version = 3",
        "VACUUM",
        "drop table shop_product",
    ],
)
def test_only_questions_are_executed(sql):
    """What changes something is refused, in whatever way it is written."""
    with pytest.raises(RuntimeError, match="would have to be executed"):
        _refuse_to_change(lambda *args: None, sql, None, False, {})


@pytest.mark.parametrize("sql", ["SELECT 1", "\n   select 1", "PRAGMA foreign_keys = OFF", "SHOW TABLES"])
def test_questions_pass(sql):
    """What only looks is passed on."""
    assert _refuse_to_change(lambda *args: "passed", sql, None, False, {}) == "passed"
