"""`prune_migration_code` discards what is old and of nothing that is applied, and nothing else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.helpers import AUDIT_LOG, Project, add, create

pytestmark = pytest.mark.deep

CODE = "django_migrations_code"
HISTORY = "django_migrations_code_history"
CONTENTS = "django_migrations_code_content"

PRICE = add("product", "price", "IntegerField(null=True)")
LONG_AGO = datetime(2020, 5, 1, 12, tzinfo=timezone.utc)
TABLES = {CODE: "stored_at", HISTORY: "replaced_at", CONTENTS: "stored_at", AUDIT_LOG: "at"}


def grow_old(shop: Project, alias: str = "default") -> None:
    """Have all that is kept be of long ago."""
    moment = LONG_AGO.replace(tzinfo=None).isoformat(" ")
    for table, column in TABLES.items():
        shop.execute(f"UPDATE {table} SET {column} = %s", moment, alias=alias)
    shop.execute(f"UPDATE {HISTORY} SET stored_at = %s", moment, alias=alias)


def kept(shop: Project, name: str) -> dict[str, int]:
    count = "SELECT count(*) FROM {} WHERE app_label = 'shop' AND migration_name = %s"
    return {table: shop.rows(count.format(table), name)[0][0] for table in (CODE, HISTORY, AUDIT_LOG)}


def contents(shop: Project) -> int:
    return shop.rows(f"SELECT count(*) FROM {CONTENTS}")[0][0]


@pytest.fixture
def old(shop: Project) -> Project:
    """0002 was applied twice, with another text and helper each time, and undone; 0001 is applied. All long ago."""
    with shop.on_branch("feature"):
        for number in (1, 2):
            shop.write("shop/helpers.py", f"NUMBER = {number}\n")
            shop.migration(
                "shop.0002_price",
                PRICE.replace("null=True", f"null=True, default={number}"),
                after="0001_initial",
                header="from shop.helpers import NUMBER",
            )
            shop.manage("migrate")
            shop.manage("migrate", "shop", "0001")
    grow_old(shop)
    return shop


def test_what_is_not_applied_goes(old):
    """Its source, its earlier revisions, its entries and its bundle; that it went stays."""
    assert kept(old, "0002_price") == {CODE: 1, HISTORY: 1, AUDIT_LOG: 6}
    assert contents(old) == 2
    first = kept(old, "0001_initial")

    result = old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")

    assert "shop.0002_price: its stored source, 1 earlier revision, 6 audit log entries" in result.stdout
    assert "2 bundled contents" in result.stdout
    assert kept(old, "0002_price") == {CODE: 0, HISTORY: 0, AUDIT_LOG: 1}
    assert old.audit_log("shop.0002_price") == [("discarded", "")]
    assert contents(old) == 0
    assert kept(old, "0001_initial") == first


def test_what_is_applied_stays(old):
    """Strictly: its earlier revisions and its entries are how it came to be what it is."""
    with old.on_branch("feature"):
        old.manage("migrate")
    grow_old(old)
    before = old.snapshot()

    result = old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")

    assert "Nothing to discard." in result.stdout
    assert old.snapshot() == before


def test_what_is_young_stays(old):
    """An event since the date keeps the stored source."""
    old.manage("migrate", "--fake", "shop", "zero")
    old.manage("migrate", "--fake", "shop")

    old.manage("prune_migration_code", "--before", "2020-01-01", "--noinput")
    assert kept(old, "0002_price") == {CODE: 1, HISTORY: 1, AUDIT_LOG: 6}

    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(" ")
    old.execute(
        f"UPDATE {AUDIT_LOG} SET at = %s WHERE migration_name = '0002_price' AND event = 'unapplied'", now
    )
    old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")
    assert kept(old, "0002_price") == {CODE: 1, HISTORY: 0, AUDIT_LOG: 3}
    assert contents(old) == 1


def test_again_it_finds_nothing(old):
    """That something was discarded is the last that is kept of it."""
    old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")
    grow_old(old)
    before = old.snapshot()

    old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")

    assert old.snapshot() == before


def test_what_a_squash_stands_for_stays(project):
    """Applied through it, or replaced by it; with its file and without."""
    project.app("shop")
    project.migration("shop.0001_initial", create("Product"))
    project.manage("migrate")
    with project.on_branch("squash"):
        project.migration("shop.0001_squashed", create("Product"), replaces=["0001_initial"])
        project.manage("migrate")
        project.execute("DELETE FROM django_migrations WHERE app = 'shop' AND name = '0001_initial'")
        grow_old(project)
        before = project.snapshot()
        project.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")
        assert project.snapshot() == before

    project.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")
    assert project.snapshot() == before


def test_only_one_app(old):
    """The others are as they were."""
    old.app("stock")
    old.migration("stock.0001_initial", create("Item"))
    old.manage("migrate")
    old.manage("migrate", "stock", "zero")
    grow_old(old)

    old.manage("prune_migration_code", "stock", "--before", "2021-01-01", "--noinput")

    assert "stock.0001_initial" not in old.stored()
    assert kept(old, "0002_price") == {CODE: 1, HISTORY: 1, AUDIT_LOG: 6}


def test_what_was_discarded_can_be_applied_again(old):
    """It is captured anew, with what it needs."""
    old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")

    with old.on_branch("feature"):
        old.manage("migrate")
    assert contents(old) == 1

    old.manage("rewind", "--noinput")
    assert old.applied("shop") == ["0001_initial"]


def test_plan(old):
    """It shows, and does nothing."""
    before = old.snapshot()

    result = old.manage("prune_migration_code", "--before", "2021-01-01", "--plan")

    assert "shop.0002_price" in result.stdout
    assert "Discarded." not in result.stdout
    assert old.snapshot() == before


def test_it_asks(old):
    """Without an answer, or with a no, nothing goes."""
    old.refused("prune_migration_code", "--before", "2021-01-01", naming="--noinput")
    old.refused(
        "prune_migration_code",
        "--before",
        "2021-01-01",
        answer="n",
        naming="Cancelled. Nothing has been changed.",
    )

    old.manage("prune_migration_code", "--before", "2021-01-01", answer="y")
    assert kept(old, "0002_price")[CODE] == 0


def test_a_document(old):
    """For scripts."""
    command = ("prune_migration_code", "--before", "2021-01-01", "--format", "json")
    assert old.refused(*command, naming="--noinput").returncode == 2

    found = json.loads(old.manage(*command, "--plan").stdout)["databases"]["default"]
    assert found["discarded"] is False
    done = json.loads(old.manage(*command, "--noinput").stdout)["databases"]["default"]

    assert done == {**found, "discarded": True}
    assert done["migrations"] == [
        {"app": "shop", "name": "0002_price", "stored": True, "revisions": 1, "entries": 6}
    ]
    assert done["contents"] == 2


@pytest.mark.parametrize("date", ["tomorrow", "2021-13-01", "2021", "", "2021-01-01 99:00"])
def test_no_date(shop, date):
    """It is said what a date looks like."""
    assert shop.refused("prune_migration_code", "--before", date).returncode == 2


def test_the_future(shop):
    """Nobody means that; and without a date nothing is done."""
    tomorrow = datetime.now(timezone.utc) + timedelta(days=2)
    for date in (f"{tomorrow:%Y-%m-%d}", tomorrow.isoformat()):
        result = shop.refused("prune_migration_code", "--before", date, naming="in the future")
        assert result.returncode == 2
    assert shop.refused("prune_migration_code", naming="--before").returncode == 2


@pytest.mark.parametrize("use_tz", [True, False])
def test_moments(old, use_tz):
    """A date and time, with a time zone or without, in projects of either kind."""
    old.configure(USE_TZ=use_tz, TIME_ZONE="UTC")
    for moment in ("2020-05-01 11:59:59", "2020-05-01T13:59:59+02:00", "2020-05-01"):
        result = old.manage("prune_migration_code", "--before", moment, "--noinput")
        assert "Nothing to discard." in result.stdout

    old.manage("prune_migration_code", "--before", "2020-05-01T14:00:01+02:00", "--noinput")
    assert kept(old, "0002_price")[CODE] == 0


def test_one_database(old):
    """The other one is not touched."""
    old.add_database("other")
    old.manage("migrate", "--database", "other")
    before = old.db("other").contents()

    old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput")
    assert old.db("other").contents() == before

    result = old.manage("prune_migration_code", "--before", "2021-01-01", "--noinput", "--database", "other")
    assert "Nothing to discard." in result.stdout


def test_nothing_is_kept_here(project):
    """Before the first `migrate`, and switched off, it says so."""
    result = project.attempt("prune_migration_code", "--before", "2021-01-01", "--noinput")
    assert result.returncode == 1
    assert "migrate" in result.stderr

    project.manage("migrate")
    project.configure(DJANGO_REWIND_ENABLED=False)
    project.refused("prune_migration_code", "--before", "2021-01-01", naming="DJANGO_REWIND_ENABLED")


# At the same time -----------------------------------------------------------------

WHILE_IT_LOOKS = """
import threading
from datetime import datetime, timezone
from django.core.management import call_command
from django.db import connection
from django_rewind.actions.prune import pruning

prune = pruning(connection, datetime(2021, 1, 1, tzinfo=timezone.utc))
agreed = prune.look()
{meanwhile}
found = prune.discard(agreed)
print(found.keys, len(found.contents))
"""

OTHER_PRUNE = """
def other():
    call_command("prune_migration_code", before="2021-01-01", interactive=False, verbosity=0)
    connection.close()
thread = threading.Thread(target=other)
thread.start()
thread.join()
"""

OTHER_CAPTURE = """
import subprocess, sys
connection.close()
subprocess.run(["git", "checkout", "-q", "feature"], check=True)
subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
"""


def test_two_prunes(old):
    """What the other one has discarded is neither discarded nor noted again."""
    result = old.run(WHILE_IT_LOOKS.format(meanwhile=OTHER_PRUNE))

    assert result.stdout.strip() == "[] 0", str(result)
    assert old.audit_log("shop.0002_price") == [("discarded", "")]


def test_applied_after_it_was_agreed(old):
    """What is applied by then stays, with all that it needs."""
    result = old.run(WHILE_IT_LOOKS.format(meanwhile=OTHER_CAPTURE))

    assert result.returncode == 0, str(result)
    assert old.applied("shop") == ["0001_initial", "0002_price"]
    assert kept(old, "0002_price")[CODE] == 1
    old.git("checkout", "-q", "main")
    old.manage("rewind", "--noinput")
    assert old.applied("shop") == ["0001_initial"]


HOLDS_WHAT_IT_DISCARDS = """
import threading, time
from datetime import datetime, timezone
from django.core.management import call_command
from django.db import connection
from django_rewind.storage.audit_log import AuditLog
from django_rewind.actions.prune import pruning

def wait(self, happenings, note=AuditLog.note):
    note(self, happenings)
    if any(one.event == "discarded" for one in happenings):
        started.set()
        time.sleep(2)
AuditLog.note = wait
started = threading.Event()

def run():
    prune = pruning(connection, datetime(2021, 1, 1, tzinfo=timezone.utc))
    prune.discard(prune.look())
    connection.close()

thread = threading.Thread(target=run)
thread.start()
assert started.wait(60)
call_command("migrate", verbosity=0)
thread.join()
"""


def test_captured_while_it_is_discarded(old):
    """Another migration that needs the same contents waits, and has them."""
    old.write("shop/helpers.py", "NUMBER = 2\n")
    old.migration(
        "shop.0003_stock",
        add("product", "stock", "IntegerField(null=True)"),
        after="0001_initial",
        header="from shop.helpers import NUMBER",
    )

    result = old.run(HOLDS_WHAT_IT_DISCARDS)

    assert result.returncode == 0, str(result)
    assert contents(old) == 1
    old.delete("shop/migrations/0003_stock.py")
    old.delete("shop/helpers.py")
    old.manage("rewind", "--noinput")
    assert old.applied("shop") == ["0001_initial"]
