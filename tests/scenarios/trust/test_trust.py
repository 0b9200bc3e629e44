"""Stored source is code: it is verified before it runs, and runs only where it is needed."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import Project, add, create

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
MARK = "\nopen('executed', 'a').close()\n"


@pytest.fixture
def left(shop):
    """Feature's 0002, which leaves a mark when it is imported, is applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    return shop


@pytest.fixture
def quiet(shop):
    """Feature's 0002, which leaves no mark, is applied and missing."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    return shop


def executed(shop: Project) -> bool:
    return (shop.path / "executed").exists()


def change(shop: Project, **columns: object) -> None:
    for column, value in columns.items():
        shop.execute(
            f"UPDATE django_migrations_code SET {column} = %s WHERE migration_name = '0002_price'", value
        )


def everything_refuses(shop: Project) -> None:
    """On no path is the stored source executed; what needs it is refused by name."""
    shop.manage("migrate")
    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    shop.refused("rewind", "--noinput", naming="shop.0002_price")
    assert not executed(shop)


def test_it_leaves_its_mark(left):
    """The mark that these stories look for is there when the code is needed."""
    left.manage("migrate", "shop", "0001")

    assert executed(left)


def test_tampered_source(quiet):
    """A source that was changed in the table is refused."""
    change(quiet, source_code=quiet.stored()["shop.0002_price"] + MARK)

    everything_refuses(quiet)
    quiet.refused("migrate", "shop", "zero", naming="shop.0002_price")
    quiet.refused("rewind", "shop", "0001", "--noinput", naming="shop.0002_price")
    for command in (("migrate", "shop", "0001", "--plan"), ("show_stored_migrations",)):
        assert "Traceback" not in quiet.attempt(*command).output
    assert not executed(quiet)


@pytest.mark.parametrize("option", ["--plan", "--check"])
def test_tampered_source_in_a_plan(quiet, option):
    """A plan that could not run is not shown as one that can; to forget the record, no source is needed."""
    change(quiet, source_code=quiet.stored()["shop.0002_price"] + MARK)

    quiet.refused("rewind", option, naming=("shop.0002_price", "changed after it was signed"))
    assert "shop.0002_price" in quiet.manage("rewind", "--plan", "--fake").stdout
    assert not executed(quiet)


def test_tampered_source_and_signals(quiet):
    """Receivers of pre_migrate that look at the operations of the plan execute nothing either."""
    quiet.install("django.contrib.contenttypes", *quiet.installed)
    quiet.manage("migrate")
    change(quiet, source_code=quiet.stored()["shop.0002_price"] + MARK)

    quiet.refused("migrate", "shop", "0001", naming="shop.0002_price")
    quiet.refused("rewind", "--noinput", naming="shop.0002_price")

    assert not executed(quiet)


@pytest.mark.parametrize(
    "changed",
    [
        {"dependencies": []},
        {"dependencies": [["shop", "0001_initial"], ["shop", "0000_before"]]},
        {"run_before": [["shop", "0001_initial"]]},
        {"replaces": [["shop", "0001_initial"]]},
        {"atomic": False},
    ],
    ids="-".join,
)
def test_tampered_metadata(left, changed):
    """Dependencies and flags are signed with the text."""
    ((text,),) = left.rows("SELECT metadata FROM django_migrations_code WHERE migration_name = '0002_price'")
    metadata = json.loads(text)
    assert set(changed) <= set(metadata)
    change(left, metadata=json.dumps({**metadata, **changed}))

    everything_refuses(left)


@pytest.mark.parametrize("metadata", ["", "{}", "[]", "null", "not json"])
def test_broken_metadata(left, metadata):
    """Metadata that nobody can read are an error by name, not a crash."""
    change(left, metadata=metadata)

    everything_refuses(left)


def test_other_secret_key(left):
    """A row that was signed with another key is refused, and told from a tampered one."""
    left.configure(SECRET_KEY="another key")
    foreign = left.attempt("migrate", "shop", "0001").stderr
    everything_refuses(left)
    left.configure(SECRET_KEY="a key of the story")
    change(left, source_code=left.stored()["shop.0002_price"] + "#")
    tampered = left.attempt("migrate", "shop", "0001").stderr

    assert "another key" in foreign
    assert foreign != tampered


def test_tampered_source_in_a_forward_run(quiet):
    """A forward run does without the tampered one and says so, or refuses by name."""
    change(quiet, source_code=quiet.stored()["shop.0002_price"] + MARK)
    quiet.migration("shop.0002_cart", create("Cart"), after="0001_initial")

    result = quiet.attempt("migrate")

    assert "shop.0002_price" in result.stderr
    assert "Traceback" not in result.output
    assert result.returncode == 0
    assert "shop_cart" in quiet.tables()
    assert "price" in quiet.columns("shop_product")
    assert not executed(quiet)


SHOWING = [
    ("migrate",),
    ("migrate", "shop"),
    ("migrate", "--check"),
    ("migrate", "--plan"),
    ("migrate", "shop", "0001", "--plan"),
    ("migrate", "shop", "0001", "--check"),
    ("showmigrations",),
    ("showmigrations", "--plan"),
    ("check",),
    ("check", "--database", "default"),
    ("makemigrations", "--check"),
    ("show_stored_migrations",),
    ("show_stored_migrations", "shop"),
    ("rewind", "--plan"),
    ("rewind", "--check"),
    ("rewind", "shop", "0001", "--plan"),
    ("rewind", "--plan", "--format", "json"),
    ("rewind", "--redo", "shop", "0001", "--plan"),
    ("rewind", "--redo-modified", "--plan"),
    ("rewind", "--redo-modified", "--check"),
    ("sqlmigrate", "shop", "0001"),
    ("dumpdata",),
]


SHOW_ALL = f"""
import os
from io import StringIO
from django.core.management import call_command
executed = set()
for command in {SHOWING!r}:
    try:
        call_command(*command, stdout=StringIO(), stderr=StringIO())
    except SystemExit:
        pass
    if os.path.exists("executed"):
        executed.add(command)
        os.unlink("executed")
print(executed or "none")
"""


def test_not_executed_by_what_only_shows(left):
    """No command that shows, checks or finds nothing to do executes stored code."""
    assert left.run(SHOW_ALL).stdout.split() == ["none"]


def test_not_executed_by_the_check_of_runserver(left):
    """What `runserver` does at its start sees no unapplied migrations and executes nothing."""
    result = left.run(
        """
        from django.core.management.base import BaseCommand
        from django.db import connection
        from django.db.migrations.executor import MigrationExecutor
        executor = MigrationExecutor(connection)
        print(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        BaseCommand().check_migrations()
        """
    )

    assert result.stdout.strip() == "[]", result
    assert not executed(left)


def test_edited_file_executes_nothing_stored(shop):
    """An applied file that was edited is not compared by executing what is stored, unless a run needs it."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial", header=MARK)
    shop.manage("migrate")
    shop.migration("shop.0002_price", add("product", "cost", "IntegerField(default=7)"), after="0001_initial")
    shop.delete("executed")

    assert shop.run(SHOW_ALL).stdout.split() == ["none"]


def test_admin_shows_and_changes_nothing(left):
    """The admin page exists, for who may see it, and nobody adds, edits or deletes there."""
    left.serve_admin()
    left.manage("migrate")
    before = left.stored()

    result = left.run(
        """
        from django.contrib.auth.models import User
        from django.test import Client
        from django_rewind.models import MigrationCode
        row = MigrationCode.objects.get(migration_name="0002_price")
        page = "/admin/django_rewind/migrationcode/"
        for user in (
            User.objects.create_superuser("root", password="x"),
            User.objects.create_user("clerk", password="x", is_staff=True),
        ):
            client = Client()
            client.force_login(user)
            changed = {"app_label": "shop", "migration_name": "x", "source_code": "x"}
            chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
            print(
                client.get(page).status_code,
                client.get(f"{page}{row.pk}/change/").status_code,
                client.get(f"{page}add/").status_code,
                client.post(f"{page}add/", changed).status_code,
                client.post(f"{page}{row.pk}/change/", changed).status_code,
                client.post(f"{page}{row.pk}/delete/", {"post": "yes"}).status_code,
            )
            client.post(page, chosen)
        """
    )

    assert result.stdout.splitlines() == ["200 200 403 403 403 403", "403 403 403 403 403 403"], result
    assert left.stored() == before
    assert not executed(left)


@pytest.mark.parametrize(
    "keys",
    [
        {"SECRET_KEY": ""},
        {"DJANGO_REWIND_SIGNING_KEYS": "no list", "SILENCED_SYSTEM_CHECKS": ["django_rewind.E001"]},
    ],
)
def test_without_a_key(new_shop, keys):
    """Django migrates without a key; nothing is stored, and that is said once, with what to do."""
    new_shop.configure(**keys)

    result = new_shop.manage("migrate")

    assert result.stderr.count("are not stored") == 1
    assert new_shop.applied("shop") == ["0001_initial"]
    assert new_shop.stored() == {}
    assert "are not stored" not in new_shop.manage("migrate").output
    new_shop.configure(SECRET_KEY="there is one now", DJANGO_REWIND_SIGNING_KEYS=None)
    new_shop.manage("migrate")
    assert "shop.0001_initial" in new_shop.stored()


def test_key_that_is_gone(shop):
    """What was signed cannot be verified without the key, and is refused by name."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.configure(SECRET_KEY="")

    result = shop.refused("migrate", "shop", "0001", naming=("shop.0002_price", "SECRET_KEY"))

    assert "bring back" not in result.stderr.lower()
    shop.refused("rewind", "--noinput", naming="shop.0002_price")
    assert "0002_price" in shop.manage("show_stored_migrations").stdout
    assert "No migrations to apply." in shop.manage("migrate").stdout
