"""Whether rows meet what they have to meet again: each case is asked of Django with its files, too."""

from __future__ import annotations

import django
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from django_rewind.engine.transactions import leaving_nothing_open
from django_rewind.exceptions import BlockedRewind
from tests.support import helpers
from tests.support.fixtures import applied, migrate
from tests.support.helpers import alter, remove

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

ALL = {"sqlite", "postgresql", "mysql"}
NONE: set[str] = set()
NOT_SQLITE = ALL - {"sqlite"}
ON_POSTGRESQL = {"postgresql"}
ON_SQLITE = {"sqlite"}

LONG = "CharField(max_length=20, null=True)"


def index(fields, **options):
    more = "".join(f", {name}={value}" for name, value in options.items())
    return (
        f"migrations.AddConstraint('Product', models.UniqueConstraint(fields={fields!r}, name='only'{more}))"
    )


def unique_of(expression):
    return f"migrations.AddConstraint('Product', models.UniqueConstraint({expression}, name='only'))"


def check(condition):
    name = "condition" if django.VERSION >= (5, 1) else "check"
    return f"migrations.AddConstraint('Product', models.CheckConstraint({name}={condition}, name='only'))"


def together(*fields):
    return f"migrations.AlterUniqueTogether('Product', {{{fields!r}}})"


NOT_TOGETHER = "migrations.AlterUniqueTogether('Product', set())"
NO_CONSTRAINT = "migrations.RemoveConstraint('Product', 'only')"
ITEM = "ForeignKey('shop.Item', models.CASCADE, null=True{})"

# Fields, more of 0001, what 0002 does, rows (as values of columns), and where Django fails to go back.
CASES = {
    # NOT NULL
    "removed": ({"a": "IntegerField()"}, [], [remove("Product", "a")], [{}], ALL - {"mysql"}),
    "removed from an empty table": ({"a": "IntegerField()"}, [], [remove("Product", "a")], [], NONE),
    "removed date": ({"a": "DateField()"}, [], [remove("Product", "a")], [{}], ALL - {"mysql"}),
    "removed JSON": ({"a": "JSONField()"}, [], [remove("Product", "a")], [{}], ALL - {"mysql"}),
    "removed text": ({"a": "TextField(blank=True)"}, [], [remove("Product", "a")], [{}], NONE),
    "removed moment": ({"a": "DateTimeField(auto_now=True)"}, [], [remove("Product", "a")], [{}], NONE),
    "removed key": (
        {"a": "ForeignKey('shop.Item', models.CASCADE)"},
        [],
        [remove("Product", "a")],
        [{}],
        ALL,
    ),
    "removed automatic key": (
        {"code": "CharField(max_length=9, unique=True)"},
        [],
        [remove("Product", "id"), alter("Product", "code", "CharField(max_length=9, primary_key=True)")],
        [{"code": "a"}, {"code": "b"}],
        NONE,
    ),
    "null": (
        {"a": "IntegerField()"},
        [],
        [alter("Product", "a", "IntegerField(null=True)")],
        [{"a": None}],
        ALL,
    ),
    "null with a default": (
        {"a": "IntegerField(default=1)"},
        [],
        [alter("Product", "a", "IntegerField(null=True)")],
        [{"a": None}],
        NONE,
    ),
    "no null": (
        {"a": "IntegerField()"},
        [],
        [alter("Product", "a", "IntegerField(null=True)")],
        [{"a": 1}],
        NONE,
    ),
    "null in a blank text": (
        {"a": "CharField(max_length=20, blank=True)"},
        [],
        [alter("Product", "a", LONG)],
        [{"a": None}],
        NOT_SQLITE,
    ),
    "null in an automatic moment": (
        {"a": "DateTimeField(auto_now_add=True)"},
        [],
        [alter("Product", "a", "DateTimeField(null=True)")],
        [{"a": None}],
        NOT_SQLITE,
    ),
    "null, then removed": (
        {"a": "IntegerField()"},
        [],
        [alter("Product", "a", "IntegerField(null=True)"), remove("Product", "a")],
        [{}],
        ALL,
    ),
    # UNIQUE
    "unique": (
        {"a": "IntegerField(unique=True)"},
        [],
        [alter("Product", "a", "IntegerField()")],
        [{"a": 1}, {"a": 1}],
        ALL,
    ),
    "unique and different": (
        {"a": "IntegerField(unique=True, null=True)"},
        [],
        [alter("Product", "a", "IntegerField(null=True)")],
        [{"a": 1}, {"a": 2}, {"a": None}, {"a": None}],
        NONE,
    ),
    "unique again with one default": (
        {"a": "IntegerField(unique=True, default=7)"},
        [],
        [remove("Product", "a")],
        [{}, {}],
        ALL,
    ),
    "unique again in one row": (
        {"a": "IntegerField(unique=True, default=7)"},
        [],
        [remove("Product", "a")],
        [{}],
        NONE,
    ),
    "unique again and null": (
        {"a": "IntegerField(unique=True, null=True)"},
        [],
        [remove("Product", "a")],
        [{}, {}],
        NONE,
    ),
    "one to one": (
        {"a": "OneToOneField('shop.Item', models.CASCADE, null=True)"},
        [],
        [alter("Product", "a", ITEM.format(""))],
        [{"a_id": 1}, {"a_id": 1}],
        ALL,
    ),
    "together": (
        {"a": "IntegerField()", "b": "IntegerField()"},
        [together("a", "b")],
        [NOT_TOGETHER],
        [{"a": 1, "b": 1}, {"a": 1, "b": 1}],
        ALL,
    ),
    "together and different": (
        {"a": "IntegerField()", "b": "IntegerField(null=True)"},
        [together("a", "b")],
        [NOT_TOGETHER],
        [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": None}, {"a": 1, "b": None}],
        NONE,
    ),
    "together with what comes back": (
        {"a": "IntegerField()", "b": "IntegerField(default=1)"},
        [together("a", "b")],
        [NOT_TOGETHER, remove("Product", "b")],
        [{"a": 1}, {"a": 1}],
        ALL,
    ),
    "under other names": (
        {"a": "IntegerField()", "b": "IntegerField()"},
        [together("a", "b")],
        [NOT_TOGETHER, helpers.rename_field("Product", "b", "c"), helpers.rename_model("Product", "Thing")],
        [{"a": 1, "c": 1}, {"a": 1, "c": 1}],
        ALL,
    ),
    "constraint": (
        {"a": "IntegerField()"},
        [index(["a"])],
        [NO_CONSTRAINT],
        [{"a": 1}, {"a": 1}],
        ALL,
    ),
    "constraint on some rows": (
        {"a": "IntegerField()", "b": "IntegerField()"},
        [index(["a"], condition="models.Q(b__gt=5)")],
        [NO_CONSTRAINT],
        [{"a": 1, "b": 6}, {"a": 1, "b": 7}],
        ALL - {"mysql"},
    ),
    "constraint on other rows": (
        {"a": "IntegerField()", "b": "IntegerField()"},
        [index(["a"], condition="models.Q(b__gt=5)")],
        [NO_CONSTRAINT],
        [{"a": 1, "b": 1}, {"a": 1, "b": 7}],
        NONE,
    ),
    # Foreign keys
    "no constraint": (
        {"a": ITEM.format("")},
        [],
        [alter("Product", "a", ITEM.format(", db_constraint=False"))],
        [{"a_id": 5}],
        ALL,
    ),
    "no constraint, and all there": (
        {"a": ITEM.format("")},
        [],
        [alter("Product", "a", ITEM.format(", db_constraint=False"))],
        [{"a_id": 1}, {"a_id": None}],
        NONE,
    ),
    "a number": (
        {"a": ITEM.format(", db_column='a'")},
        [],
        [alter("Product", "a", "IntegerField(null=True)")],
        [{"a": 5}],
        ALL,
    ),
    # Checks and types
    "check": (
        {"a": "IntegerField()"},
        [check("models.Q(a__gt=5)")],
        [NO_CONSTRAINT],
        [{"a": 1}],
        ALL,
    ),
    "check that holds": (
        {"a": "IntegerField(null=True)"},
        [check("models.Q(a__gt=5)")],
        [NO_CONSTRAINT, helpers.rename_field("Product", "a", "b")],
        [{"b": 6}, {"b": None}],
        NONE,
    ),
    "positive": (
        {"a": "PositiveIntegerField()"},
        [],
        [alter("Product", "a", "IntegerField()")],
        [{"a": -1}],
        ALL,
    ),
    "smaller": (
        {"a": "SmallIntegerField()"},
        [],
        [alter("Product", "a", "BigIntegerField()")],
        [{"a": 70_000}],
        NOT_SQLITE,
    ),
    "fewer digits": (
        {"a": "DecimalField(max_digits=4, decimal_places=2)"},
        [],
        [alter("Product", "a", "DecimalField(max_digits=9, decimal_places=2)")],
        [{"a": 1000}],
        NOT_SQLITE,
    ),
    "shorter": (
        {"a": "CharField(max_length=3, null=True)"},
        [],
        [alter("Product", "a", LONG)],
        [{"a": "a long text"}],
        NOT_SQLITE,
    ),
    "cut": (
        {"a": "CharField(max_length=3, null=True)"},
        [],
        [alter("Product", "a", "TextField(null=True)")],
        [{"a": "a long text"}],
        {"mysql"},
    ),
    # Code that mends
    "mended": (
        {"a": "IntegerField()"},
        [],
        [
            alter("Product", "a", "IntegerField(null=True)"),
            "migrations.RunSQL('', 'UPDATE shop_product SET a = 0')",
        ],
        [{"a": None}],
        NONE,
    ),
}
if django.VERSION >= (4, 0):
    CASES["expression"] = (
        {"a": "CharField(max_length=9)"},
        [unique_of("models.functions.Lower('a')")],
        [NO_CONSTRAINT],
        [{"a": "Tea"}, {"a": "tea"}],
        ALL - {"mysql"},
    )
if django.VERSION >= (5, 0):
    CASES["database default"] = (
        {"a": "IntegerField(db_default=4)", "b": "IntegerField(db_default=4)"},
        [],
        [remove("Product", "a"), alter("Product", "b", "IntegerField(null=True)")],
        [{"b": None}],
        NONE,
    )
    CASES["generated"] = (
        {
            "a": "IntegerField()",
            "b": "GeneratedField(expression=models.F('a') * 2, output_field=models.IntegerField(), db_persist=True)",
        },
        [],
        [remove("Product", "b")],
        [{"a": 1}],
        NONE,
    )


def write(app, fields, more, operations):
    app.migration("0001_initial", helpers.create("Item"), helpers.create("Product", **fields), *more)
    app.migration("0002_feature", *operations, after="0001_initial")


def fill(rows, operations):
    table = "shop_thing" if "Thing" in str(operations) else "shop_product"
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")
        cursor.execute("DELETE FROM shop_item")
        cursor.execute("INSERT INTO shop_item (id) VALUES (1)")
        for number, row in enumerate(rows, 1):
            row = row if "id" in row or "'id'" in str(operations) else {"id": number, **row}
            marks = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def rewind():
    call_command("rewind", "shop", "0001", interactive=False, allow_data_loss=True, verbosity=0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("with_files", [False, True])
def test_as_django_with_the_files(app, name, with_files):
    """It is refused before the first statement where Django fails on its way, and nowhere else."""
    fields, more, operations, rows, fails = CASES[name]
    if name == "generated" and not connection.features.supports_stored_generated_columns:
        pytest.skip("There are no generated columns.")
    is_refused = connection.vendor in fails
    write(app, fields, more, operations)
    migrate("shop")
    fill(rows, operations)
    if not with_files:
        app.delete("0002_feature")

    if is_refused:
        with pytest.raises(BlockedRewind, match=r"shop\.0002_feature"):
            rewind()
        assert applied("shop") == ["0001_initial", "0002_feature"]
    else:
        rewind()
        assert applied("shop") == ["0001_initial"]
        write(app, fields, more, operations)
        migrate("shop")
        fill(rows, operations)
    if not with_files:
        return
    # Django, which has all files and asks for nothing.
    if is_refused:
        # SQLite's schema editor may leave its transaction open.
        with pytest.raises((DatabaseError, ValueError)), leaving_nothing_open(connection):
            migrate("shop", "0001")
    else:
        migrate("shop", "0001")
