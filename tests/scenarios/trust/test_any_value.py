"""Any value in any column of any table: each harms its own migration, and is told as that."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from tests.support.helpers import Project, add, create

pytestmark = [pytest.mark.deep, pytest.mark.alone]

VALUES = {
    "sqlite": [
        "x'ff00fe'",
        "CAST(x'fffe' AS TEXT)",
        "NULL",
        "9e999",
        "-9223372036854775808",
        "'many'",
        "''",
        "'2020-13-45 99:99:99'",
        "'a' || char(0) || 'b'",
    ],
    "postgresql": ["NULL", "'infinity'", "'-infinity'", "'294276-01-01'", "'4713-01-01 BC'", "'NaN'", "'9223372036854775807'", "''"],
    "mysql": ["NULL", "'0000-00-00 00:00:00'", "'9999-12-31 23:59:59.999999'", "9223372036854775807", "-1", "''"],
}  # fmt: skip

#: Puts a value into each column of each table, in a row of its own for each column, and looks what is said.
SWEEP = """
import io, json, sys, traceback
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, Error, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django_rewind.models import MigrationCode

LABELS = ["shop", "gone"]
models = list(apps.get_app_config("django_rewind").get_models())
quote = connection.ops.quote_name
failures, taken = [], 0

def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)

def rows_of(model):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {quote(model._meta.db_table)}")
        return [column[0] for column in cursor.description], cursor.fetchall()

def filled():
    # Each migration has a row in each table.
    from django.utils.timezone import now
    for record in MigrationRecorder.Migration.objects.filter(app__in=LABELS):
        for model in models:
            names = {field.name for field in model._meta.concrete_fields}
            if "app_label" not in names:
                continue
            rows = model.objects.filter(app_label=record.app, migration_name=record.name)
            if rows.exists():
                continue
            values = {"app_label": record.app, "migration_name": record.name}
            for name in ("at", "stored_at", "verified_at"):
                if name in names:
                    values[name] = now()
            for name in ("record_id", "pid"):
                if name in names:
                    values[name] = record.pk
            model(**values).save(force_insert=True)

def without_constraints():
    for model in models:
        table = model._meta.db_table
        if connection.vendor == "sqlite":
            execute("PRAGMA writable_schema = ON")
            execute(f"UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = '{table}'")
            execute(f"UPDATE sqlite_master SET sql = replace(sql, 'integer PRIMARY KEY', 'integer NOT NULL PRIMARY KEY') WHERE name = '{table}'")
            connection.close()
            continue
        for field in model._meta.concrete_fields:
            if field.primary_key:
                continue
            if connection.vendor == "postgresql":
                execute(f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(field.column)} DROP NOT NULL")
            else:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT CONCAT_WS(' COLLATE ', column_type, collation_name) FROM information_schema.columns WHERE table_schema = database() AND table_name = %s AND column_name = %s", [table, field.column])
                    kind = cursor.fetchone()[0]
                execute(f"ALTER TABLE {quote(table)} MODIFY {quote(field.column)} {kind} NULL")

def spoil(value):
    global taken
    for model in models:
        columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
        named = "app_label" in columns
        for label in LABELS if named else [None]:
            where = f" WHERE app_label = '{label}'" if label else ""
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT id FROM {quote(model._meta.db_table)}{where} ORDER BY id")
                ids = [row[0] for row in cursor.fetchall()]
            for column, pk in zip(columns, ids):
                try:
                    with transaction.atomic():
                        execute(f"UPDATE {quote(model._meta.db_table)} SET {quote(column)} = {value} WHERE id = {pk}")
                    taken += 1
                except Error:
                    pass

def told(error):
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
    return chr(10).join(line for line in lines if "django_rewind" in line or "Error" in line or "NoReverse" in line)[-2500:]

def command(value, *args, **options):
    out = io.StringIO()
    try:
        call_command(*args, stdout=out, stderr=out, no_color=True, **options)
    except (CommandError, SystemExit):
        pass
    except BaseException as error:
        failures.append([value, " ".join(args), told(error)])
    return out.getvalue()

def page(value, client, address):
    try:
        answer = client.get(address)
        if answer.status_code != 200:
            failures.append([value, address, str(answer.status_code)])
    except BaseException as error:
        failures.append([value, address, told(error)])

filled()
without_constraints()
user = User.objects.create_superuser("root", password="x")
client = Client()
client.force_login(user)
LIST = "/admin/django_rewind/migrationcode/"
saved = {model: rows_of(model) for model in models}
for value in json.load(open("values.json")):
    for model, (columns, rows) in saved.items():
        execute(f"DELETE FROM {quote(model._meta.db_table)}")
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))}) VALUES ({', '.join(['%s'] * len(columns))})", rows)
    spoil(value)
    listed = command(value, "show_stored_migrations")
    if "0002_shelf" not in listed or "[X] 0019_step" not in listed:
        failures.append([value, "show_stored_migrations", listed])
    as_data = command(value, "show_stored_migrations", format="json")
    if not as_data.startswith("{") or ": NaN" in as_data:
        failures.append([value, "show_stored_migrations --format json", as_data])
    for label in LABELS:
        for number in (1, 2, 5, 9, 13, 17) if label == "gone" else ():
            command(value, "show_stored_migrations", history=[label, f"{number:04}"])
        command(value, "show_stored_migrations", history=[label, "0001"], format="json")
        command(value, "show_stored_migrations", source=[label, "0002"])
    for args, options in [
        (["migrate"], {"plan": True}),
        (["migrate", "gone", "0001"], {"plan": True}),
        (["rewind"], {"plan": True}),
        (["rewind", "gone", "0001"], {"plan": True, "format": "json"}),
        (["check"], {"databases": ["default"]}),
        (["restore_migrations"], {"plan": True}),
        (["backfill_migration_code"], {"plan": True}),
        (["prune_migration_code"], {"before": "2000-01-01", "plan": True}),
        (["verify_migrations"], {}),
        (["verify_migrations"], {"diff": True}),
    ]:
        command(value, *args, **options)
    ids = MigrationCode.objects.filter(app_label="gone").order_by("id").values_list("id", flat=True)[:16]
    for address in (LIST, f"{LIST}?o=1", f"{LIST}?o=-8.7", f"{LIST}?q=step", f"{LIST}?file=missing", f"{LIST}?file=modified",
                    f"{LIST}?applied=yes", f"{LIST}?app_label=gone", f"{LIST}graph/", f"{LIST}graph/gone/", f"{LIST}graph/shop/",
                    *(f"{LIST}{pk}/change/" for pk in ids)):
        page(value, client, address)
    before = len(failures)
    command(value, "migrate", interactive=False)
    if "CommandError" in str(failures[before:]):
        failures.append([value, "migrate", "refused"])
    command(value, "verify_migrations", sign=[])
    command(value, "backfill_migration_code")
    command(value, "migrate", interactive=False)
# The identity of the database is one row for all that is signed: without it, nothing here is of this database.
identity = next(model for model in models if model.__name__ == "DatabaseIdentity")
columns, rows = saved[identity]
execute(f"DELETE FROM {quote(identity._meta.db_table)}")
with connection.cursor() as cursor:
    cursor.executemany(
        f"INSERT INTO {quote(identity._meta.db_table)} ({', '.join(map(quote, columns))}) VALUES ({', '.join(['%s'] * len(columns))})", rows)
print("FOUND", json.dumps({"failures": failures, "taken": taken}))
"""


@pytest.fixture
def many(shop: Project) -> Project:
    """Two apps with more migrations than a table has columns: of one all files are there, of the other only the first."""
    for label in ("gone", "depot"):
        shop.app(label, "class Room(models.Model):\n    pass\n")
        shop.migration(f"{label}.0001_initial", create("Room"))
    shop.serve_admin()
    steps(shop, "shop")
    shop.git("add", "-A")
    shop.git("commit", "-qm", "Main")
    with shop.on_branch("feature"):
        steps(shop, "gone")
        shop.migration(
            "depot.0002_shelf", add("room", "shelf", "IntegerField(default=7)"), after="0001_initial"
        )
        shop.manage("migrate")
    return shop


def steps(project: Project, label: str) -> None:
    before = "0001_initial"
    for number in range(2, 24):
        name = f"{number:04}_step"
        project.migration(f"{label}.{name}", "migrations.RunSQL('SELECT 1', 'SELECT 1')", after=before)
        before = name


def test_any_value_in_any_column(many):
    """No command has a traceback, no page an error, and what is beside a bad row is rolled back as ever."""
    many.write("values.json", json.dumps(VALUES[connection.vendor]))

    result = many.run(SWEEP)

    assert "FOUND" in result.stdout, str(result)
    found = json.loads(result.stdout.rpartition("FOUND")[2])
    assert found["failures"] == [], "\n".join("\n".join(failure) for failure in found["failures"][:8])
    assert found["taken"] > 100
    many.migration("shop.0024_last", add("product", "last", "IntegerField(default=7)"), after="0023_step")
    many.manage("migrate", "shop")
    assert "last" in many.columns("shop_product")
    many.manage("rewind", "depot", "0001", "--noinput")
    assert "shelf" not in many.columns("depot_room")


BIG = 17 * 1024 * 1024


@pytest.mark.parametrize("column", ["source_code", "metadata", "module", "signature", "app_label"])
def test_long_value(two, column):
    """The database is asked for the size first: what is longer than any text of ours is not read."""
    if two.db().vendor == "mysql":
        pytest.skip("max_allowed_packet keeps so long a value out")
    if column != "source_code" and two.db().vendor != "sqlite" and column not in ("metadata", "module"):
        pytest.skip("the column is as long as its type says")
    two.execute(
        f"UPDATE django_migrations_code SET {column} = %s WHERE migration_name = '0002_price'",
        "#" * BIG,
    )

    result = two.run(
        """
        import io, resource
        from django.core.management import call_command
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        out = io.StringIO()
        call_command("show_stored_migrations", stdout=out)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(out.getvalue())
        """
    )

    assert result.returncode == 0, str(result)
    assert int(result.stdout.splitlines()[0]) < 40_000, str(result)
    assert column in ("source_code", "app_label") or "unreadable" in result.stdout
    two.manage("migrate")
    two.refused("migrate", "shop", "0001", naming="0002_price")
    two.manage("rewind", "depot", "0001", "--noinput")
    assert "shelf" not in two.columns("depot_room")


@pytest.mark.parametrize("value", ["x'ff00'", "CAST(x'ff' AS TEXT)", "x'73686f70'"])
def test_names_in_records(two, value):
    """A record of Django's whose app is no text is that of no migration, as it is to Django itself."""
    if two.db().vendor != "sqlite":
        pytest.skip("other databases hold nothing but text there")
    two.execute(
        f"INSERT INTO django_migrations (app, name, applied) VALUES ({value}, '0009_x', '2026-01-01')"
    )
    is_read_by_django = not value.startswith("CAST")

    for command in (
        ("show_stored_migrations",),
        ("verify_migrations",),
        ("rewind", "--plan"),
        ("check", "--database", "default"),
    ):
        result = two.attempt(*command)
        assert "Traceback" not in result.output, str(result)
        assert not is_read_by_django or result.returncode == 0, str(result)
    if is_read_by_django:
        two.manage("migrate")
        two.manage("rewind", "--noinput")
        assert "shelf" not in two.columns("depot_room")


@pytest.mark.parametrize("value", ["x'ff00'", "'never'", "'2020-13-45 99:99:99'"])
def test_times_in_records(two, value):
    """Django cannot read such a record: each of our commands says in which table it is."""
    if two.db().vendor != "sqlite":
        pytest.skip("other databases hold nothing but times there")
    two.execute(f"UPDATE django_migrations SET applied = {value} WHERE name = '0002_price'")

    for command in (
        ("show_stored_migrations",),
        ("verify_migrations",),
        ("rewind", "--plan"),
        ("restore_migrations",),
    ):
        result = two.attempt(*command)
        assert "Traceback" not in result.output, str(result)
        assert result.returncode == 0 or "django_migrations" in result.stderr, str(result)
