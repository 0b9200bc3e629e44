"""A gate exits with 0 if it found nothing, with 1 if it found something, and with 2 if it could not check."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from tests.support.helpers import Project, add

pytestmark = pytest.mark.deep

GATES = [("rewind", "--check"), ("verify_migrations",)]
FOUND, NOT_CHECKED = 1, 2

gates = pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate[0])


def not_checked(project: Project, *gate: str, naming: str) -> None:
    """It exits with 2, says why in plain words, and says the same as JSON."""
    result = project.attempt(*gate)
    assert result.returncode == NOT_CHECKED, str(result)
    assert naming in result.stderr, str(result)
    assert "Traceback" not in result.output
    assert "as they should be" not in result.stdout
    document = json_of(project, *gate, status=NOT_CHECKED)
    assert naming in document["error"]


def json_of(project: Project, *gate: str, status: int) -> dict[str, object]:
    result = project.attempt(*gate, "--format", "json")
    assert result.returncode == status, str(result)
    assert "Traceback" not in result.output
    return json.loads(result.stdout)


def unreachable(project: Project, alias: str = "default") -> None:
    """Have a database answer no more, as on a server that is down."""
    settings = {name: database.settings for name, database in project.databases.items()}
    down = {"PORT": "1"} if settings[alias].get("HOST") else {"NAME": str(project.path / "gone" / "db")}
    project.configure(DATABASES={**settings, alias: {**settings[alias], **down}})


@gates
def test_nothing_found(shop, gate):
    """It is 0, and JSON has no error."""
    assert shop.attempt(*gate).returncode == 0
    assert "error" not in json_of(shop, *gate, status=0)


@gates
def test_nothing_is_migrated_yet(new_shop, gate):
    """A gate that has checked nothing fails."""
    not_checked(new_shop, *gate, naming="manage.py migrate")


@gates
def test_installed_and_not_migrated_since(new_shop, gate):
    """The applied migrations of the project are stored nowhere: nothing can be said of them."""
    new_shop.install("shop")
    new_shop.manage("migrate")
    new_shop.install("django_rewind", "shop")

    not_checked(new_shop, *gate, naming="manage.py migrate")


@gates
def test_router_keeps_the_tables_out(new_shop, gate):
    """Migrations are applied, and stored nowhere."""
    new_shop.write(
        "routers.py",
        "class Out:\n    def allow_migrate(self, db, app_label, **hints):\n"
        "        return False if app_label == 'django_rewind' else None\n",
    )
    new_shop.configure(DATABASE_ROUTERS=["routers.Out"])
    new_shop.manage("migrate")
    new_shop.execute("DELETE FROM django_migrations WHERE app = 'django_rewind'")

    not_checked(new_shop, *gate, naming="default")


@gates
def test_database_is_down(left, gate):
    """Whatever would have been found: nobody knows."""
    unreachable(left)

    not_checked(left, *gate, naming="The database 'default'")


@gates
def test_no_database_at_all_behind_the_name(shop, gate):
    """A file that is no database, or a database that was never made."""
    settings = dict(shop.db().settings)
    if settings.get("HOST"):
        settings["NAME"] = "never_made_by_anybody"
    else:
        settings["NAME"] = str(
            shop.write("no.sqlite3", "This is a text, and much longer than a header is." * 9)
        )
    shop.configure(DATABASES={"default": settings})

    not_checked(shop, *gate, naming="The database 'default'")


@gates
def test_names_that_nobody_knows(shop, gate):
    """An app, a migration and a database."""
    not_checked(shop, *gate, "stock", naming="stock")
    not_checked(shop, *gate, "shop", "0009", naming="0009")
    not_checked(shop, *gate, "--database", "nowhere", naming="nowhere")


def test_graph_that_cannot_be_built(shop):
    """A file depends on one that nobody has, and nobody can plan; what is stored can be verified."""
    shop.migration("shop.0003_late", add("product", "late", "TextField(null=True)"), after="0002_never")

    not_checked(shop, "rewind", "--check", naming="0002_never")
    assert shop.attempt("verify_migrations").returncode == 0


@gates
def test_file_that_does_not_compile(shop, gate):
    """As Django, it cannot go on; as a gate, it says so."""
    shop.write("shop/migrations/0002_broken.py", "class Migration(:\n")

    not_checked(shop, *gate, naming="SyntaxError")


def test_something_to_roll_back(left):
    """It is found, and the document says what."""
    assert left.attempt("rewind", "--check").returncode == FOUND
    assert left.attempt("rewind", "shop", "zero", "--check").returncode == FOUND
    document = json_of(left, "rewind", "--check", status=FOUND)
    assert [step["name"] for step in document["databases"]["default"]["steps"]] == ["0002_price"]
    assert "error" not in document
    assert left.attempt("verify_migrations").returncode == 0
    assert left.attempt("verify_migrations", "--strict").returncode == FOUND
    document = json_of(left, "verify_migrations", "--strict", status=FOUND)
    assert len(document["databases"]["default"]["migrations"]) > 1


@gates
def test_something_that_cannot_be_rolled_back(left, gate):
    """That something is there, and stored nowhere, is a finding."""
    left.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'")

    assert left.attempt(*gate).returncode == FOUND
    document = json_of(left, *gate, status=FOUND)
    assert "0002_price" in json.dumps(document)


def test_on_disk_under_another_name(left):
    """What can be adopted is a finding of `--adopt --check`."""
    left.migration(
        "shop.0003_price", add("product", "price", "IntegerField(default=7)"), after="0001_initial"
    )

    assert left.attempt("rewind", "--adopt", "--check").returncode == FOUND
    assert left.attempt("rewind", "--check").returncode == 0


def test_all_databases_and_one_is_down(left):
    """The others are checked, and the gate fails all the same."""
    left.add_database("other")
    left.manage("migrate", "--database", "other")
    assert left.attempt("verify_migrations", "--database", "all").returncode == 0
    unreachable(left, "other")

    result = left.attempt("verify_migrations", "--database", "all")

    assert result.returncode == NOT_CHECKED
    assert "'other'" in result.stderr
    assert "as they should be" in result.stdout
    document = json_of(left, "verify_migrations", "--database", "all", status=NOT_CHECKED)
    assert document["databases"]["default"]["migrations"]
    assert "'other'" in document["databases"]["other"]["error"]
    shown = left.attempt("show_stored_migrations", "--database", "all")
    assert "0002_price" in shown.stdout
    assert "'other'" in shown.stderr
    assert shown.returncode == 1


def test_all_databases_and_one_never_gets_migrations(left):
    """What a router keeps empty is nothing to check, and no failure."""
    left.write(
        "routers.py",
        "class Out:\n    def allow_migrate(self, db, app_label, **hints):\n"
        "        return False if db == 'other' else None\n",
    )
    left.add_database("other")
    left.configure(DATABASE_ROUTERS=["routers.Out"])

    assert left.attempt("verify_migrations", "--database", "all").returncode == 0
    assert left.attempt("verify_migrations", "--database", "other").returncode == NOT_CHECKED


def test_called_from_code(left):
    """`call_command` raises with the same status."""
    code = """
        from django.core.management import CommandError, call_command
        try:
            call_command({gate})
        except (CommandError, SystemExit) as error:
            print("status", getattr(error, "returncode", getattr(error, "code", None)))
    """
    assert "status 1" in left.run(code.format(gate="'rewind', check=True")).stdout
    unreachable(left)
    assert "status 2" in left.run(code.format(gate="'rewind', check=True")).stdout
    assert "status 2" in left.run(code.format(gate="'verify_migrations'")).stdout


def test_other_commands_say_it_in_plain_words(left):
    """A database that is down is no traceback; they failed, with status 1."""
    unreachable(left)
    for command in ("show_stored_migrations", "backfill_migration_code", "restore_migrations", "rewind"):
        result = left.attempt(command)
        assert result.returncode == 1, str(result)
        assert "The database 'default'" in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.skipif(
    connection.vendor == "mysql", reason="a check of Django's for MySQL ends the command first"
)
def test_system_check_of_a_database_that_is_down(left):
    """It is said as whatever else is found there."""
    unreachable(left)

    result = left.attempt("check", "--database", "default", "--fail-level", "WARNING")

    assert result.returncode != 0
    assert "django_rewind.W012" in result.stderr
