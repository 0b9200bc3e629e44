"""Several databases, schemas and routers; and databases that are not as we left them."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.helpers import Project, add, alter

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
KEEP_OUT = """
class Router:
    def allow_migrate(self, db, app_label, **hints):
        return False if (db, app_label) == ("other", "django_rewind") else None
"""


@pytest.fixture
def two(shop):
    """A shop with a second database, migrated as well."""
    shop.add_database("other")
    shop.manage("migrate", "--database", "other")
    return shop


def test_each_database_by_itself(two):
    """Each database is undone from what was applied to it, whatever the other one holds."""
    before = two.schema()
    with two.on_branch("prices"):
        two.migration("shop.0002_more", PRICE, after="0001_initial")
        two.manage("migrate")
    with two.on_branch("stocks"):
        two.migration("shop.0002_more", STOCK, after="0001_initial")
        two.manage("migrate", "--database", "other")

    two.manage("migrate", "shop", "0001", "--database", "other")

    assert two.schema("other") == before
    assert two.columns("shop_product") == {"id", "name", "price"}
    two.manage("migrate", "shop", "0001")
    assert two.schema() == before


def test_applied_in_one_missing_in_none(two):
    """A migration that was applied to one database only is missing there only."""
    with two.on_branch("feature"):
        two.migration("shop.0002_price", PRICE, after="0001_initial")
        two.manage("migrate", "--database", "other")

    assert two.attempt("rewind", "--check").returncode == 0
    assert two.attempt("rewind", "--check", "--database", "other").returncode == 1


@pytest.fixture
def kept_out(shop):
    """A router keeps us out of the second database."""
    shop.add_database("other")
    shop.write("routers.py", KEEP_OUT)
    shop.configure(DATABASE_ROUTERS=["routers.Router"])
    shop.commit()
    shop.manage("migrate", "--database", "other")
    return shop


def test_router_keeps_us_out(kept_out):
    """Nothing is stored where a router does not want us, and `migrate` works."""
    kept_out.migration("shop.0002_price", PRICE, after="0001_initial")

    kept_out.manage("migrate", "--database", "other")
    kept_out.manage("migrate", "shop", "0001", "--database", "other")

    assert not {table for table in kept_out.tables("other") if table.startswith("django_migrations_")}
    assert kept_out.applied("shop", "other") == ["0001_initial"]
    assert kept_out.columns("shop_product", "other") == {"id", "name"}
    kept_out.manage("show_stored_migrations", "--database", "other")


def test_check_says_that_we_are_kept_out(kept_out):
    """A system check names the database in which nothing is captured."""
    assert "'other'" in kept_out.manage("check", "--database", "other").output
    assert "'other'" not in kept_out.manage("check", "--database", "default").output


def drop_our_tables(shop: Project) -> None:
    for table in sorted(shop.tables(), reverse=True):
        if table.startswith("django_migrations_"):
            shop.execute(f"DROP TABLE {table}")


def test_tables_dropped_by_hand(shop):
    """A `migrate` does not crash where our migrations are recorded and our tables are not there."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    drop_our_tables(shop)
    shop.migration("shop.0003_stock", STOCK, after="0002_price")

    shop.manage("migrate")
    shop.manage("migrate", "shop", "0002")
    shop.delete("shop/migrations/0003_stock.py")
    shop.manage("migrate")
    shop.manage("check", "--database", "default")

    for args in (("show_stored_migrations",), ("rewind", "--check"), ("rewind", "--noinput")):
        assert "Traceback" not in shop.attempt(*args).output


def test_tables_dropped_with_something_missing(shop):
    """Asked to go back over a missing migration without our tables, nothing is half done."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    drop_our_tables(shop)

    shop.manage("migrate")
    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")


def test_our_migrations_faked(new_shop):
    """A `migrate` does not crash where our migrations were recorded and never run."""
    new_shop.manage("migrate", "django_rewind", "--fake")
    new_shop.migration("shop.0002_price", PRICE, after="0001_initial")

    new_shop.manage("migrate")
    new_shop.manage("migrate", "shop", "0001")

    assert new_shop.applied("shop") == ["0001_initial"]


def test_our_migrations_undone_and_done_again(shop):
    """`migrate django_rewind zero` removes our tables; a later `migrate` stores what is on disk."""
    shop.manage("migrate", "django_rewind", "zero")

    assert not {table for table in shop.tables() if table.startswith("django_migrations_")}
    shop.manage("migrate")
    assert "shop.0001_initial" in shop.stored()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}


def test_our_table_left_after_a_zero_of_the_records(shop):
    """Where our tables are there and our records are not, a `migrate` takes the tables over."""
    shop.execute("DELETE FROM django_migrations WHERE app = 'django_rewind'")
    before = set(shop.stored())

    shop.manage("migrate", "django_rewind", "--fake")

    assert set(shop.stored()) >= before
    shop.manage("migrate")


def test_our_tables_left_where_all_else_is_gone(shop):
    """Emptied records and dropped tables, as a test runner leaves them, and ours are there: they are recorded again."""
    before = shop.schema()
    shop.execute("DROP TABLE shop_product")
    shop.execute("DELETE FROM django_migrations")

    result = shop.manage("migrate")

    assert "Applying django_rewind.0001_initial... FAKED" in result.stdout
    assert shop.schema() == before
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.manage("verify_migrations")
    shop.manage("migrate", "shop", "0001")
    assert shop.schema() == before


def test_schemas_of_postgresql(new_shop):
    """A schema with a search path of its own does not take the table in public for its own."""
    shop = new_shop
    if shop.db().vendor != "postgresql":
        pytest.skip("Only PostgreSQL has schemas with a search path.")
    tenant = {**shop.db().settings, "OPTIONS": {"options": "-c search_path=tenant"}}
    both = {**shop.db().settings, "OPTIONS": {"options": "-c search_path=tenant,public"}}
    public = shop.db().settings
    shop.manage("migrate")
    shop.execute("CREATE SCHEMA tenant")
    shop.configure(DATABASES={"default": tenant})
    shop.install("shop")
    shop.manage("migrate")
    before = shop.rows("SELECT * FROM public.django_migrations_code ORDER BY id")
    shop.install("django_rewind", "shop")
    shop.configure(DATABASES={"default": both})
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")

    names = shop.rows("SELECT migration_name FROM tenant.django_migrations_code WHERE app_label = 'shop'")
    assert set(names) == {("0001_initial",), ("0002_price",)}
    assert shop.rows("SELECT * FROM public.django_migrations_code ORDER BY id") == before
    shop.configure(DATABASES={"default": public})
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.configure(DATABASES={"default": both})
    shop.manage("migrate", "shop", "0001")
    sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'tenant' AND table_name = 'shop_product'"
    assert set(shop.rows(sql)) == {("id",), ("name",)}


def test_collations_that_differ(shop):
    """On MariaDB our table may have another collation than Django's."""
    if shop.db().vendor != "mysql":
        pytest.skip("Only MySQL and MariaDB refuse to compare two collations.")
    shop.execute("ALTER TABLE django_migrations CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


def test_in_one_process_over_two_databases(two):
    """Nothing of one database is remembered when the same process turns to the next."""
    with two.on_branch("feature"):
        two.migration("shop.0002_price", PRICE, after="0001_initial")
        two.migration(
            "shop.0003_name", alter("product", "name", "CharField(max_length=80)"), after="0002_price"
        )
        two.manage("migrate", "--database", "other")
        two.manage("migrate", "shop", "0002")

    result = two.run(
        """
        from django.core.management import call_command
        for alias in ("default", "other"):
            call_command("migrate", "shop", "0001", database=alias)
        """
    )

    assert result.returncode == 0, result
    assert two.schema() == two.schema("other")
    assert two.columns("shop_product") == {"id", "name"}
    assert result.stdout.count("Loading shop.0002_price from stored code") == 2


def commands_in(output: str) -> list[list[str]]:
    """Return what is printed to be typed."""
    return [line.split()[1:] for line in re.findall(r"'(manage\.py [^']+)'", " ".join(output.split()))]


@pytest.fixture
def stuck(two):
    """Both databases have a migration that cannot be undone, and a later one; neither has a file here."""
    with two.on_branch("feature"):
        two.migration("shop.0002_once", "migrations.RunPython(print)", after="0001_initial")
        two.migration("shop.0003_price", PRICE, after="0002_once")
        two.manage("migrate")
        two.manage("migrate", "--database", "other")
    return two


@pytest.mark.parametrize("command", [("rewind", "--noinput"), ("migrate", "shop", "0001")], ids=str)
def test_what_is_advised_works_on_the_database_that_was_refused(stuck, command):
    """Typed as they are printed, the commands change that database, and leave the default one alone."""
    refusal = stuck.refused(*command, "--database", "other", naming="shop.0002_once")
    keep, forget = commands_in(refusal.output)

    stuck.manage(*keep)
    assert stuck.applied("shop", "other") == ["0001_initial", "0002_once"]
    stuck.manage(*forget, "--noinput")

    assert stuck.applied("shop", "other") == ["0001_initial"]
    assert stuck.applied("shop") == ["0001_initial", "0002_once", "0003_price"]


def test_on_the_default_database_none_is_named(stuck):
    """What works on the default database is as short as it was."""
    assert "--database" not in stuck.refused("rewind", "--noinput", naming="shop.0002_once").output


@pytest.fixture
def edited(two):
    """The other database has what files had before they were edited, and what is not stored."""
    two.migration("shop.0002_price", PRICE, after="0001_initial")
    two.migration("shop.0003_stock", STOCK, after="0002_price")
    two.manage("migrate", "--database", "other")
    two.migration("shop.0002_price", PRICE.replace("7", "8"), after="0001_initial")
    two.execute("DELETE FROM django_migrations_code WHERE migration_name = '0003_stock'", alias="other")
    return two


def test_what_is_reported_of_another_database(edited):
    """Reports, the lines of a plan, and the hints of checks name the database as well."""
    reports = [
        edited.attempt("verify_migrations", "--database", "other"),
        edited.attempt("verify_migrations", "--database", "all"),
        edited.manage("rewind", "--plan", "--database", "other"),
        edited.manage("check", "--database", "other"),
    ]

    for report in reports:
        commands = commands_in(report.output)
        assert commands, report
        assert all(command[-2:] == ["--database", "other"] for command in commands), report


def test_what_is_reported_as_data(edited):
    """So does what scripts read."""
    result = edited.attempt("verify_migrations", "shop", "--database", "other", "--format", "json")

    found = json.loads(result.stdout)["databases"]["other"]["migrations"]
    assert [one["next_step"] for one in found if one["name"] == "0003_stock"] == [
        "Run 'manage.py backfill_migration_code shop --database other'."
    ]


def test_another_name_in_another_database(two):
    """The command that gives a migration its new name is for the database in which it has the old one."""
    two.migration("shop.0002_price", PRICE, after="0001_initial")
    two.manage("migrate", "--database", "other")
    two.delete("shop/migrations/0002_price.py")
    two.migration("shop.0002_cost", PRICE, after="0001_initial")
    refusal = two.refused("migrate", "--database", "other", naming="shop.0002_price")
    table = two.manage("show_stored_migrations", "--database", "other")
    hints = two.manage("check", "--database", "other")

    command, undo = commands_in(refusal.output)

    assert undo[-2:] == command[-2:] == ["--database", "other"]
    assert commands_in(table.output) == commands_in(hints.output) == [command]
    two.manage(*command, "--noinput")
    assert two.applied("shop", "other") == ["0001_initial", "0002_cost"]


def test_a_graph_that_is_broken_for_another_database(two):
    """Where a file depends on what cannot be recovered, the way out is for the database that was asked for."""
    two.migration("shop.0002_price", PRICE, after="0001_initial")
    two.manage("migrate", "--database", "other")
    two.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'", alias="other")
    two.delete("shop/migrations/0002_price.py")
    two.migration("shop.0003_stock", STOCK, after="0002_price")

    refusal = two.refused("migrate", "--database", "other", naming="shop.0002_price")

    (command,) = commands_in(refusal.output)
    assert command[-2:] == ["--database", "other"]


@pytest.mark.parametrize("command", [("rewind", "--noinput"), ("migrate", "shop", "0001")], ids=str)
def test_half_way_in_another_database(two, command):
    """What stops on its way says how to go on with the database in which it was."""
    with two.on_branch("feature"):
        two.migration(
            "shop.0002_price",
            "migrations.RunPython(migrations.RunPython.noop, lambda apps, editor: 1 / 0)",
            PRICE,
            after="0001_initial",
            atomic=False,
        )
        two.manage("migrate", "--database", "other")

    stopped = two.attempt(*command, "--database", "other")

    mark, write, again = commands_in(stopped.output)
    assert mark[-3:] == ["--fake", "--database", "other"], stopped
    assert [write[0], again[0]] == ["restore_migrations", "rewind"], stopped
    assert write[-2:] == again[-2:] == ["--database", "other"], stopped
