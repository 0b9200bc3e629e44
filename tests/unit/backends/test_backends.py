"""What is asked of every kind of database, of the one that these settings name and of unknown ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection

from django_rewind.backends import Backend, backend_for
from django_rewind.backends.mysql import MySQL
from django_rewind.backends.postgresql import PostgreSQL

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has schemas")


@pytest.fixture
def table(db):
    """A table with one row, whose second column is NULL."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE backend_thing (id integer NOT NULL, note varchar(10) NULL)")
        cursor.execute("INSERT INTO backend_thing (id) VALUES (1)")
    yield "backend_thing"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE backend_thing")


def test_an_unknown_vendor():
    """It is not locked, and what Django's features say is all that is known of it."""
    features = SimpleNamespace(can_rollback_ddl=True)
    backend = backend_for(SimpleNamespace(vendor="oracle", features=features))

    assert type(backend) is Backend
    assert backend.lock() is None
    assert backend.exists()
    assert backend.has_transactional_ddl
    assert not backend.rebuilds_tables
    assert backend.lenient_decoding() is None
    assert backend.is_done_already(DatabaseError("name is already used: the table already exists"))


@pytest.mark.parametrize("is_atomic", [True, False])
def test_what_is_rolled_back(is_atomic):
    """A migration that is atomic, where schema changes are part of the transaction."""
    backend = backend_for(connection)
    migration = SimpleNamespace(atomic=is_atomic)

    assert backend.rolls_back(migration) == (is_atomic and connection.features.can_rollback_ddl)


def test_what_is_there(table):
    """Tables and columns, by their exact names."""
    backend = backend_for(connection)

    assert backend.has(table)
    assert backend.has(table, "note")
    assert not backend.has(table, "price")
    assert not backend.has("backend_other", "note")
    assert backend.has_table_in_current_schema(table)


def test_rows(table):
    """Any, or those with NULL in a column; nothing where there is no such table or column."""
    backend = backend_for(connection)

    assert backend.has_rows(table)
    assert backend.has_rows(table, null_in="note")
    assert not backend.has_rows(table, null_in="id")
    assert not backend.has_rows(table, null_in="price")
    assert not backend.has_rows("backend_other")


def test_counting(table):
    """Rows, or those with or without a value, up to one more than the bound."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO backend_thing (id, note) VALUES (2, 'two'), (3, 'three')")
    backend = backend_for(connection)

    assert backend.count(table, None, 10) == 3
    assert backend.count(table, None, 1) == 2
    assert backend.count(table, "note", 10) == 2
    assert backend.count(table, "note", 10, nulls=True) == 1
    assert backend.count(table, "price", 10) == 0
    assert backend.count("backend_other", None, 10) == 0
    assert backend.has(table)


def test_what_no_list_of_tables_names(table):
    """A view, and a table in another schema or database, are there and hold rows."""
    backend = backend_for(connection)
    inside, outside = {
        "postgresql": ("CREATE SCHEMA", 'backend_away"."thing'),
        "mysql": ("CREATE DATABASE", "backend_away`.`thing"),
    }.get(connection.vendor, ("", ""))
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE VIEW backend_view AS SELECT * FROM {table}")
        names = ["backend_view"]
        if outside:
            cursor.execute(f"{inside} backend_away")
            name = connection.ops.quote_name(outside)
            cursor.execute(f"CREATE TABLE {name} (id integer NOT NULL, note varchar(10) NULL)")
            cursor.execute(f"INSERT INTO {name} (id) VALUES (1)")
            names.append(outside)
    try:
        for name in names:
            assert backend.has(name, "note")
            assert not backend.has(name, "price")
            assert backend.has_rows(name, null_in="note")
            assert backend.count(name, None, 10) == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP VIEW backend_view")
            if outside:
                cursor.execute(
                    f"DROP {inside.split()[1]} backend_away{' CASCADE' * backend.errors_abort_transaction}"
                )


def test_what_the_database_does_not_tell(table):
    """It is there all the same, and nobody knows what is in it."""
    backend = backend_for(connection)
    fails = {
        "sqlite": "abs(-9223372036854775807 - id)",
        "postgresql": "1 / (id - 1)",
        "mysql": "9223372036854775807 + id",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE VIEW backend_view AS SELECT {fails} AS note FROM {table}")
    try:
        assert backend.has("backend_view", "note")
        assert backend.count("backend_view", "note", 10) is None
        assert not backend.has_rows("backend_view", null_in="note")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP VIEW backend_view")


@on_postgresql
def test_the_current_schema(table):
    """Tables of others on the search path are seen, and are not those of the current schema."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA backend_tenant")
        cursor.execute("SET search_path TO backend_tenant, public")
        backend = backend_for(connection)
        try:
            assert backend.has(table)
            assert not backend.has_table_in_current_schema(table)
        finally:
            cursor.execute("SET search_path TO public")
            cursor.execute("DROP SCHEMA backend_tenant")


@pytest.mark.parametrize("statement", ["CREATE TABLE {} (id integer)", "ALTER TABLE {} ADD note varchar(10)"])
@pytest.mark.django_db(transaction=True)
def test_a_change_that_was_executed_before(table, statement):
    """The error says so, other errors do not."""
    backend = backend_for(connection)
    with connection.cursor() as cursor:
        with pytest.raises(DatabaseError) as again:
            cursor.execute(statement.format(table))
        with pytest.raises(DatabaseError) as other:
            cursor.execute("CREATE nonsense")

    assert backend.is_done_already(again.value)
    assert not backend.is_done_already(other.value)


@pytest.mark.parametrize("number, is_done", [(1050, True), (1064, False)])
def test_errors_by_number(number, is_done):
    """MySQL and MariaDB number their errors, and may wrap up that of a storage engine."""
    backend = MySQL(None)

    assert backend.is_done_already(DatabaseError(number, "words")) == is_done
    assert backend.is_done_already(DatabaseError(1005, 'Can\'t create table (errno: 121 "Duplicate key")'))
    assert not backend.is_done_already(DatabaseError())


@pytest.mark.parametrize("driver", ["sqlstate", "pgcode"])
@pytest.mark.parametrize("in_transaction", [True, False])
def test_errors_by_sqlstate(driver, in_transaction):
    """psycopg has them in one attribute, psycopg2 in another; nothing goes on in a transaction that is lost."""
    error = DatabaseError("words")
    error.__cause__ = type("DriverError", (Exception,), {driver: "42P07"})()
    backend = PostgreSQL(SimpleNamespace(in_atomic_block=in_transaction))

    assert backend.is_done_already(error) != in_transaction


TABLE, COLUMN = "django_migrations_code", "source_code"


@pytest.mark.parametrize("text, is_kept", [("größe \U0001f40d", True), ("half \ud83d of one", False)])
def test_what_the_databases_of_the_tests_keep(db, text, is_kept):
    """Every character, and no half of one."""
    assert backend_for(connection).keeps(text, TABLE, COLUMN) == is_kept


def test_waiting_for_locked_tables(db):
    """Any database takes the limit, also one that has none."""
    backend_for(connection).limit_lock_waits(3)
