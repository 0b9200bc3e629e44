"""Texts and names that a database cannot hold as they are, or takes for others."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.scenarios.conftest import open_shop
from tests.support.helpers import Project, add

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
# Windows' letters, Cyrillic, and what takes four bytes.
HEADER = "# Käse für 5 € или \U0001f40d \\u0041\nfrom . import _helper\n"
HELPER = "# Сыр, 日本\nNAME = 'größe'\n"


def in_latin1(project: Project) -> None:
    project.db().become_latin1()


def not_strict(project: Project) -> None:
    """What does not fit is cut and altered."""
    in_latin1(project)
    with_option(project, init_command="SET sql_mode=''")


def in_utf8mb3(project: Project) -> None:
    only_on_mysql(project)
    project.execute("ALTER DATABASE CHARACTER SET utf8mb3")


def client_in_latin1(project: Project) -> None:
    with_option(project, charset="latin1")


def with_option(project: Project, **options: str) -> None:
    only_on_mysql(project)
    settings = project.db().settings
    settings["OPTIONS"] = {**settings.get("OPTIONS", {}), **options}
    project.configure(DATABASES={"default": settings})


def only_on_mysql(project: Project) -> None:
    if project.db().vendor != "mysql":
        pytest.skip("Only MySQL and MariaDB have such settings.")


@pytest.fixture(params=[in_latin1, not_strict, in_utf8mb3, client_in_latin1])
def narrow(project: Project, request: pytest.FixtureRequest) -> Project:
    """A shop in a database that holds some characters only, or behind a connection that does."""
    make_narrow: Callable[[Project], None] = request.param
    make_narrow(project)
    open_shop(project)
    return project


def test_a_text_that_the_database_cannot_hold(narrow):
    """It is stored all the same, comes back to the letter, and is what rolls back."""
    narrow.manage("migrate")
    before = narrow.schema()
    with narrow.on_branch("feature"):
        narrow.write("shop/migrations/_helper.py", HELPER)
        path = narrow.migration("shop.0002_price", PRICE, header=HEADER, after="0001_initial")
        text = path.read_text(encoding="utf-8")
        result = narrow.manage("migrate")
        assert "cannot be stored" not in result.output
        narrow.manage("verify_migrations")

    assert (
        narrow.manage("show_stored_migrations", "--source", "shop.0002_price").stdout.rstrip()
        == text.rstrip()
    )
    narrow.manage("rewind", "--noinput", "--allow-data-loss")
    assert narrow.schema() == before


def test_installed_where_texts_do_not_fit(project):
    """Of a whole project, all is stored at installation, and at once."""
    in_latin1(project)
    open_shop(project)
    project.install("shop")
    for number, after in (("0002", "0001_initial"), ("0003", "0002_step")):
        project.migration(
            f"shop.{number}_step", "migrations.RunPython(lambda *_: None)", header=HEADER, after=after
        )
    project.write("shop/migrations/_helper.py", HELPER)
    project.manage("migrate")

    project.install("shop", "django_rewind")
    result = project.manage("migrate")

    assert "cannot be stored" not in result.output
    assert {"shop.0001_initial", "shop.0002_step", "shop.0003_step"} <= set(project.stored())
    project.manage("verify_migrations")


REFUSALS = {
    "sqlite": "CREATE TRIGGER no BEFORE INSERT ON django_migrations_code"
    " WHEN NEW.migration_name = '0002_price' BEGIN SELECT RAISE(ABORT, 'no price'); END",
    "postgresql": "ALTER TABLE django_migrations_code ADD CHECK (migration_name <> '0002_price')",
    "mysql": "ALTER TABLE django_migrations_code ADD CHECK (migration_name <> '0002_price')",
}


def test_one_row_that_the_database_refuses(shop):
    """It is named, and all others are stored, in the same run and later."""
    shop.execute(REFUSALS[shop.db().vendor])
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stock", STOCK, after="0002_price")
    shop.migration("shop.0004_none", after="0003_stock")

    result = shop.manage("migrate")

    assert "The source of shop.0002_price cannot be stored" in result.stderr
    assert "0003_stock" not in result.stderr
    assert "0004_none" not in result.stderr
    assert {"shop.0003_stock", "shop.0004_none"} <= set(shop.stored())
    assert "shop.0002_price" not in shop.stored()
    refused = shop.attempt("backfill_migration_code")
    assert refused.returncode == 1
    assert "The source of shop.0002_price cannot be stored" in refused.stderr


# Names that a collation takes for the same

ALIKE = ["0002_price ", "0002_Price", "0002_pricé", "0002_price"]
LOOSE = {
    "sqlite": [
        "ALTER TABLE django_migrations RENAME TO strict",
        "CREATE TABLE django_migrations (id integer PRIMARY KEY AUTOINCREMENT, app text, name text COLLATE NOCASE, applied datetime)",
        "INSERT INTO django_migrations SELECT * FROM strict",
        "DROP TABLE strict",
    ],
    "postgresql": [
        "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        "ALTER TABLE django_migrations ALTER COLUMN name TYPE varchar(255) COLLATE loose",
    ],
    # As it is made there.
    "mysql": [],
}


def make_loose(project: Project) -> None:
    """Have the table of records take names for the same that differ in case."""
    for statement in LOOSE[project.db().vendor]:
        project.execute(statement)


def add_alike(project: Project) -> None:
    after = "0001_initial"
    for number, name in enumerate(ALIKE):
        column = add("product", f"price_{number}", "IntegerField(default=7)")
        project.migration(f"shop.{name}", column, after=after)
        after = name


def test_names_that_are_alike(shop):
    """Each is bound to its own record, and unapplied by itself."""
    make_loose(shop)
    before = shop.schema()
    with shop.on_branch("feature"):
        add_alike(shop)
        shop.manage("migrate")
        assert shop.manage("verify_migrations").returncode == 0
        for name in reversed(ALIKE):
            assert shop.applied("shop")[-1] == name
            index = ALIKE.index(name)
            shop.manage("migrate", "shop", "0001" if index == 0 else ALIKE[index - 1])
            assert shop.applied("shop") == ["0001_initial", *ALIKE[:index]]
        shop.manage("migrate")

    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.applied("shop") == ["0001_initial"]
    assert shop.schema() == before
    assert [event for event, _ in shop.audit_log("shop.0002_Price")].count("applied") == 2


def test_a_new_name_for_one_of_two_that_are_alike(shop):
    """The record of the other one keeps its own."""
    make_loose(shop)
    with shop.on_branch("feature"):
        add_alike(shop)
        shop.manage("migrate")
    shop.git("checkout", "--quiet", "feature", "--", "shop")
    path = shop.path / "shop" / "migrations"
    (path / f"{ALIKE[-1]}.py").rename(path / "0003_cost.py")

    shop.manage("rewind", "--adopt", "--noinput")

    assert shop.applied("shop") == ["0001_initial", *ALIKE[:-1], "0003_cost"]
    shop.manage("verify_migrations")


def test_leftovers_that_are_alike(project):
    """At installation each is noted, and `migrate` goes through."""
    open_shop(project)
    project.install("shop")
    project.manage("migrate")
    make_loose(project)
    for name in ALIKE:
        sql = "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', %s, '2020-01-01 00:00:00')"
        project.execute(sql, name)
    project.install("shop", "django_rewind")

    project.manage("migrate")
    project.manage("migrate")

    shown = project.manage("show_stored_migrations", "shop", "--format", "json").stdout
    assert [row["name"] for row in json.loads(shown)["databases"]["default"]["migrations"]] == [
        "0001_initial",
        *ALIKE,
    ]


# Indexes that a table has no room for


def test_tables_of_myisam(project):
    """An index has at most 1,000 bytes there: ours are shorter, under the names that they always have."""
    with_option(project, init_command="SET default_storage_engine=MYISAM")
    open_shop(project)
    # What an earlier version has left of its first migration, which failed.
    project.execute(
        "CREATE TABLE django_migrations_code (id bigint AUTO_INCREMENT PRIMARY KEY, app_label varchar(100) NOT NULL,"
        " migration_name varchar(255) NOT NULL, source_code longtext NOT NULL, stored_at datetime(6) NOT NULL)"
    )

    project.manage("migrate")

    assert project.rows(
        "SELECT DISTINCT engine FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name LIKE 'django_migrations%'"
    ) == [("MyISAM",)]
    names = "SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
    assert {("django_migr_app_lab_d98bd3_idx",), ("django_migr_stored__87212c_idx",)} <= set(
        project.rows(names)
    )
    with project.on_branch("feature"):
        add_alike(project)
        project.manage("migrate")
    project.manage("rewind", "--noinput", "--allow-data-loss")
    assert project.applied("shop") == ["0001_initial"]
    assert project.columns("shop_product") == {"id", "name"}
