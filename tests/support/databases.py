"""Real databases for the stories, made, read and dropped with their drivers alone."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from django.conf import settings

Rows = "list[tuple[object, ...]]"


class Database:
    """One database; `settings` is what a project puts in `DATABASES`."""

    vendor = ""
    tables_sql = ""
    columns_sql = ""
    indexes_sql = ""
    references_sql = ""

    def __init__(self, settings: dict[str, object]) -> None:
        self.settings = settings
        self._connection: object | None = None

    def create(self) -> None:
        raise NotImplementedError

    def drop(self) -> None:
        raise NotImplementedError

    def become_latin1(self) -> None:
        """Be empty, and hold no more than Western Europe's letters, where such a database can be made."""

    def copy(self, template: Database) -> None:
        """Become, at once, what another database is."""
        raise NotImplementedError

    def connect(self, name: str | None = None) -> object:
        raise NotImplementedError

    def execute(self, sql: str, *params: object) -> Rows:
        with self.connected() as connection:
            cursor = connection.cursor()
            cursor.execute(sql, params) if params else cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    @contextmanager
    def connected(self) -> Iterator[object]:
        """Have all that is asked meanwhile use one connection, and none stay behind."""
        if self._connection is not None:
            yield self._connection
            return
        self._connection = self.connect()
        try:
            yield self._connection
        finally:
            self._connection.close()
            self._connection = None

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute(self.tables_sql)}

    def columns(self, table: str) -> set[str]:
        return {row[1] for row in self.execute(self.columns_sql) if row[0] == table}

    def column(self, table: str, name: str) -> tuple[object, ...]:
        """Return the type of a column, whether it takes NULL, and its default."""
        (found,) = [row[2:] for row in self.execute(self.columns_sql) if row[:2] == (table, name)]
        return found

    def schema(self) -> dict[str, object]:
        """Return tables, columns, indexes and foreign keys, regardless of the order in which they were made."""
        with self.connected():
            return {
                "tables": self.tables(),
                "columns": sorted(map(repr, self.execute(self.columns_sql))),
                "indexes": sorted(map(repr, self.execute(self.indexes_sql))),
                "references": sorted(map(repr, self.execute(self.references_sql))),
            }

    def contents(self, only: Mapping[str, str] | None = None) -> dict[str, list[str]]:
        """Return all rows of all tables; of those in `only` the ones that meet a condition."""
        quote = "`" if self.vendor == "mysql" else '"'
        conditions = only or {}
        with self.connected():
            return {
                table: sorted(
                    map(
                        _in_full,
                        self.execute(
                            f"SELECT * FROM {quote}{table}{quote} WHERE {conditions.get(table, '1 = 1')}"
                        ),
                    )
                )
                for table in self.tables()
            }


def _in_full(row: tuple[object, ...]) -> str:
    """Return a row to compare; psycopg2 answers with memoryviews, which are all different."""
    return repr(tuple(bytes(value) if isinstance(value, memoryview) else value for value in row))


class SQLite(Database):
    vendor = "sqlite"
    tables_sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    columns_sql = f"""
        SELECT t.name, c.name, lower(c.type), NOT c."notnull", c.dflt_value
        FROM ({tables_sql}) t, pragma_table_info(t.name) c
    """
    indexes_sql = f"""
        SELECT t.name, i."unique", group_concat(c.name)
        FROM ({tables_sql}) t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
        GROUP BY t.name, i.name
    """
    references_sql = f"""
        SELECT t.name, r."from", r."table" FROM ({tables_sql}) t, pragma_foreign_key_list(t.name) r
    """

    def create(self) -> None:
        """Leave it to the first connection."""

    def drop(self) -> None:
        """Leave it to the temporary folder."""

    def copy(self, template: Database) -> None:
        # One that nobody has connected to is empty, and so is its copy.
        if Path(str(template.settings["NAME"])).exists():
            shutil.copyfile(str(template.settings["NAME"]), str(self.settings["NAME"]))

    def connect(self, name: str | None = None) -> sqlite3.Connection:
        return sqlite3.connect(str(self.settings["NAME"]), isolation_level=None)

    def execute(self, sql: str, *params: object) -> Rows:
        return super().execute(sql.replace("%s", "?"), *params)


class PostgreSQL(Database):
    vendor = "postgresql"
    tables_sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    columns_sql = """
        SELECT table_name, column_name, data_type || coalesce(character_maximum_length::text, ''),
               is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public'
    """
    indexes_sql = """
        SELECT i.indrelid::regclass::text, i.indisunique,
               (SELECT string_agg(a.attname, ',' ORDER BY k.place)
                FROM unnest(i.indkey) WITH ORDINALITY k(number, place)
                JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'public'::regnamespace
    """
    references_sql = """
        SELECT conrelid::regclass::text, attname, confrelid::regclass::text
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace
    """

    def create(self) -> None:
        self._make("")

    def drop(self) -> None:
        """
        Leave it to the end of the session.

        A database is nine hundred files, and ext4 looks through all that were deleted in the last minutes
        whenever one is made: who makes and drops by turns waits most of a second for each.
        """
        _to_be_dropped.append(self)

    def drop_now(self) -> None:
        self._on_server(f'DROP DATABASE IF EXISTS "{self.settings["NAME"]}" WITH (FORCE)')

    def become_latin1(self) -> None:
        self.drop_now()
        places = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        self._on_server(f'CREATE DATABASE "{self.settings["NAME"]}" {places}')

    def copy(self, template: Database) -> None:
        self._make(f'TEMPLATE "{template.settings["NAME"]}"')

    def _make(self, options: str) -> None:
        """Copy files where the server may also log each page of them, which takes twice as long, and to drop too."""
        with closing(self.connect("postgres")) as connection:
            copying = "STRATEGY FILE_COPY" if connection.info.server_version >= 150_000 else ""
            connection.cursor().execute(f'CREATE DATABASE "{self.settings["NAME"]}" {options} {copying}')

    def connect(self, name: str | None = None) -> object:
        try:
            import psycopg as driver
        except ImportError:
            import psycopg2 as driver
        connection = driver.connect(
            host=self.settings["HOST"],
            port=self.settings["PORT"],
            user=self.settings["USER"],
            password=self.settings["PASSWORD"],
            dbname=name or self.settings["NAME"],
        )
        connection.autocommit = True
        return connection

    def _on_server(self, sql: str) -> None:
        connection = self.connect("postgres")
        try:
            connection.cursor().execute(sql)
        finally:
            connection.close()


class MySQL(Database):
    vendor = "mysql"
    tables_sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
    columns_sql = """
        SELECT table_name, column_name, column_type, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = database()
    """
    indexes_sql = """
        SELECT table_name, non_unique, group_concat(column_name ORDER BY seq_in_index)
        FROM information_schema.statistics WHERE table_schema = database() GROUP BY table_name, index_name, non_unique
    """
    references_sql = """
        SELECT table_name, column_name, referenced_table_name FROM information_schema.key_column_usage
        WHERE table_schema = database() AND referenced_table_name IS NOT NULL
    """

    def create(self) -> None:
        self._on_server(f"CREATE DATABASE `{self.settings['NAME']}` CHARACTER SET utf8mb4")

    def drop(self) -> None:
        self._on_server(f"DROP DATABASE IF EXISTS `{self.settings['NAME']}`")

    def become_latin1(self) -> None:
        self.execute("ALTER DATABASE CHARACTER SET latin1")

    def copy(self, template: Database) -> None:
        self.create()
        with self.connected():
            for table in template.tables():
                original = f"`{template.settings['NAME']}`.`{table}`"
                self.execute(f"CREATE TABLE `{table}` LIKE {original}")
                self.execute(f"INSERT INTO `{table}` SELECT * FROM {original}")

    def connect(self, name: str | None = None) -> object:
        import MySQLdb

        return MySQLdb.connect(
            host=self.settings["HOST"],
            port=int(self.settings["PORT"]),
            user=self.settings["USER"],
            password=self.settings["PASSWORD"],
            database=self.settings["NAME"] if name is None else name,
            charset="utf8mb4",
            autocommit=True,
        )

    def _on_server(self, sql: str) -> None:
        connection = self.connect("")
        try:
            connection.cursor().execute(sql)
        finally:
            connection.close()


_to_be_dropped: list[PostgreSQL] = []


@atexit.register  # where no session of pytest ends, as in scripts
def drop_what_is_left() -> None:
    """Drop what this process has made and not dropped yet."""
    while _to_be_dropped:
        _to_be_dropped.pop().drop_now()


KINDS: dict[str, type[Database]] = {
    "sqlite3": SQLite,
    "postgresql": PostgreSQL,
    "mysql": MySQL,
}
KEYS = ("ENGINE", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")


def make_database(
    path: Path, template: Database | None = None, active: Mapping[str, object] | None = None
) -> Database:
    """
    Make a database of the vendor that the settings of this run stand for, or *active* ones.

    It is empty, or a copy. *path* serves SQLite; on a server the name is unique.
    """
    active = active or settings.DATABASES["default"]
    kind = KINDS[str(active["ENGINE"]).rpartition(".")[2]]
    name = str(path) if kind is SQLite else f"story_{uuid.uuid4().hex[:16]}"
    database = kind({**{key: active[key] for key in KEYS if key in active}, "NAME": name})
    database.copy(template) if template else database.create()
    return database
