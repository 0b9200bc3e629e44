"""What was signed for one database is worth nothing in another, and restoring all of it loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.scenarios.trust.test_trust import MARK, PRICE, executed
from tests.support.helpers import Project, create

pytestmark = [pytest.mark.deep]

NAME = "0002_price"
CODE = "django_migrations_code"
IDENTITY = "django_migrations_identity"


@pytest.fixture
def two(shop: Project) -> Project:
    """Two databases, in which another 0002 was applied under the same record; both are missing."""
    shop.add_database("other")
    shop.manage("migrate", "--database", "other")
    with shop.on_branch("prices"):
        shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
        shop.manage("migrate")
    with shop.on_branch("marks"):
        shop.migration(f"shop.{NAME}", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate", "--database", "other")
        shop.delete("executed")
    assert record(shop) == record(shop, "other")
    return shop


def record(shop: Project, alias: str = "default") -> object:
    sql = "SELECT id FROM django_migrations WHERE app = 'shop' AND name = %s"
    return shop.rows(sql, NAME, alias=alias)


def columns(shop: Project, table: str) -> list[str]:
    return sorted(shop.columns(table) - ({"id"} if table != IDENTITY else set()))


def copy(shop: Project, table: str, where: str = "1 = 1", *values: object) -> None:
    """Put rows of the other database in the place of those that are here."""
    names = columns(shop, table)
    rows = shop.rows(f"SELECT {', '.join(names)} FROM {table} WHERE {where}", *values, alias="other")
    shop.execute(f"DELETE FROM {table} WHERE {where}", *values)
    for row in rows:
        places = ", ".join(["%s"] * len(names))
        shop.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})", *row)


def test_a_row_of_another_database(two):
    """Signed with the same key, for the same migration and a record of the same number."""
    copy(two, CODE, "migration_name = %s", NAME)

    for command in (("migrate", "shop", "0001"), ("rewind", "--noinput"), ("rewind", "--plan")):
        two.refused(*command, naming=("shop.0002_price", "signed for another database", "--sign"))
    two.manage("migrate")
    assert not executed(two)
    found = two.attempt("verify_migrations")
    assert found.returncode == 1
    assert "signed for another database" in found.stdout
    assert "signed for another database" in two.manage("show_stored_migrations").stdout
    assert not executed(two)


def test_all_tables_of_another_database_but_for_its_identity(two):
    """Nothing else tells which database it is."""
    for table in (CODE, f"{CODE}_history", f"{CODE}_ledger"):
        names = ", ".join(
            f"`{name}`" if two.db().vendor == "mysql" else f'"{name}"' for name in columns(two, table)
        )
        rows = two.rows(f"SELECT {names} FROM {table}", alias="other")
        two.execute(f"DELETE FROM {table}")
        for row in rows:
            two.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})", *row)

    two.refused("migrate", "shop", "0001", naming=("shop.0002_price", "signed for another database"))
    assert not executed(two)


def test_a_person_can_agree_to_it(two):
    """Who has looked at a row of another database can sign it for this one."""
    copy(two, CODE, "migration_name = %s", NAME)

    asked = two.attempt("verify_migrations", "--sign", "shop", NAME, answer="y")

    assert asked.returncode == 0, asked
    assert "for another database" in asked.stdout
    two.manage("migrate", "shop", "0001")
    assert executed(two)


def test_both_databases_go_back_by_themselves(two):
    """What was applied to each is what is unapplied there."""
    two.manage("migrate", "shop", "0001")
    assert not executed(two)
    two.manage("migrate", "shop", "0001", "--database", "other")
    assert executed(two)


# The identity itself

SPOILED = {
    "deleted": f"DELETE FROM {IDENTITY}",
    "unsigned": f"UPDATE {IDENTITY} SET signature = '', key_fingerprint = ''",
    "emptied": f"UPDATE {IDENTITY} SET identity = ''",
    "signed with another key": f"UPDATE {IDENTITY} SET signature = '{'0' * 64}', key_fingerprint = '{'0' * 16}'",
    "changed": f"UPDATE {IDENTITY} SET identity = '{'0' * 32}'",
}


@pytest.fixture
def left(shop: Project) -> Project:
    """Feature's 0002, which leaves a mark when it is executed, is applied and missing."""
    with shop.on_branch("feature"):
        shop.migration(f"shop.{NAME}", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    return shop


def signature(shop: Project, name: str) -> str:
    """Return what the signature of a stored migration is worth."""
    found = json.loads(shop.manage("show_stored_migrations", "shop", "--format", "json").stdout)
    (listed,) = [one for one in found["databases"]["default"]["migrations"] if one["name"] == name]
    return listed["signature"]


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_identity(left, how):
    """Nothing is executed, `migrate` goes forward, what has a file is signed anew, and a person can agree to the rest."""
    left.execute(SPOILED[how])

    left.refused("migrate", "shop", "0001", naming=(f"shop.{NAME}", "--sign"))
    left.refused("rewind", "--noinput", naming=f"shop.{NAME}")
    assert not executed(left)
    left.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    left.manage("migrate")
    assert "shop_cart" in left.tables()
    assert {signature(left, name) for name in ("0001_initial", "0002_cart")} == {"verified"}
    left.refused("migrate", "shop", "zero", naming=(f"shop.{NAME}", "signed for another database"))
    left.delete("shop/migrations/0002_cart.py")
    assert not executed(left)

    left.manage("verify_migrations", "--sign", "shop", NAME, answer="y")
    left.manage("rewind", "--noinput", "--allow-data-loss")
    assert left.columns("shop_product") == {"id", "name"}
    assert "shop_cart" not in left.tables()


@pytest.mark.parametrize("number", [0, 2])
def test_one_more_identity(left, number):
    """A row that nobody has signed takes nothing away, wherever it stands."""
    left.execute(
        f"INSERT INTO {IDENTITY} (id, identity, signature, key_fingerprint, created_at) "
        f"VALUES ({number}, 'x', '', '', '2026-01-01 00:00:00')"
    )

    left.manage("migrate", "shop", "0001")

    assert executed(left)


def test_the_identity_of_another_database(two):
    """Who replaces it has all that is stored here belong to another database."""
    copy(two, IDENTITY)

    two.refused("migrate", "shop", "0001", naming=("shop.0002_price", "signed for another database"))


def test_a_database_of_another_environment(left):
    """Restored where another key is: forwards and back again as ever, and its own as soon as its key is there."""
    left.configure(SECRET_KEY="a key of another environment")
    left.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    left.manage("migrate")
    left.refused("migrate", "shop", "zero", naming=(f"shop.{NAME}", "signed with another key"))
    left.delete("shop/migrations/0002_cart.py")
    assert not executed(left)

    left.configure(SECRET_KEY_FALLBACKS=["a key of the story"])
    left.refused("rewind", "--noinput", naming="shop.0002_cart")
    left.manage("verify_migrations", "--sign", answer="y")
    left.manage("rewind", "--noinput", "--allow-data-loss")

    assert executed(left)
    assert left.columns("shop_product") == {"id", "name"}


def test_a_new_key_takes_the_identity_along(left):
    """Once everything is signed with the new key, the old one is of no use any more."""
    left.configure(SECRET_KEY="a new key", SECRET_KEY_FALLBACKS=["a key of the story"])
    left.manage("verify_migrations", "--sign")
    left.configure(SECRET_KEY_FALLBACKS=[])

    left.manage("migrate", "shop", "0001")

    assert executed(left)
    assert len(left.rows(f"SELECT * FROM {IDENTITY}")) == 1


def test_two_processes_make_it_at_once(left):
    """They agree on one."""
    left.execute(f"DELETE FROM {IDENTITY}")
    made = left.run(
        """
        import threading, time
        from django.db import connection, transaction
        from django_rewind.storage.identity import Identities
        made, begun = [], threading.Event()
        def first():
            with transaction.atomic():
                made.append(Identities(connection).make())
                begun.set()
                time.sleep(1)
            connection.close()
        def second():
            begun.wait()
            made.append(Identities(connection).make())
            connection.close()
        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(made), len({identity.value for identity in made}))
        """
    )

    assert made.stdout.split() == ["2", "1"], made
    assert len(left.rows(f"SELECT * FROM {IDENTITY}")) == 1


# Schemas


@pytest.fixture
def schemas(new_shop: Project) -> Iterator[Project]:
    """Two schemas of PostgreSQL, `east` looks on to public; another 0002 is missing in each."""
    shop = new_shop
    if shop.db().vendor != "postgresql":
        pytest.skip("Only PostgreSQL has schemas with a search path.")
    shop.execute("CREATE SCHEMA east")
    for path, branch, header in (("public", "prices", ""), ("east", "marks", MARK)):
        look_into(shop, path)
        shop.manage("migrate")
        with shop.on_branch(branch):
            shop.migration(f"shop.{NAME}", PRICE, after="0001_initial", header=header)
            shop.manage("migrate")
    (shop.path / "executed").unlink(missing_ok=True)
    look_into(shop, "east,public")
    return shop


def look_into(shop: Project, path: str) -> None:
    options = {"OPTIONS": {"options": f"-c search_path={path}"}}
    shop.configure(DATABASES={"default": {**shop.db().settings, **options}})


def test_a_row_of_another_schema(schemas):
    """A tenant's row is worth nothing in public."""
    names = ", ".join(columns(schemas, CODE))
    where = f"WHERE migration_name = '{NAME}'"
    schemas.execute(f"DELETE FROM public.{CODE} {where}")
    schemas.execute(f"INSERT INTO public.{CODE} ({names}) SELECT {names} FROM east.{CODE} {where}")
    schemas.execute(
        f"UPDATE public.django_migrations SET id = e.id FROM east.django_migrations e "
        f"WHERE e.name = '{NAME}' AND public.django_migrations.name = '{NAME}'"
    )
    look_into(schemas, "public")

    schemas.refused("migrate", "shop", "0001", naming=("shop.0002_price", "signed for another database"))
    assert not executed(schemas)
    look_into(schemas, "east,public")
    schemas.manage("migrate", "shop", "0001")
    assert executed(schemas)


def test_a_schema_without_an_identity_does_not_take_that_of_public(schemas):
    """The search path goes on to public, and what is signed in east is not for that."""
    schemas.execute(f"DELETE FROM east.{IDENTITY}")

    schemas.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(schemas)
