"""
Somebody who may write to the database, and has no key: whatever they can change, and what must hold all the same.

A world is a project in which there is something of everything, with rows from several moments. A trial changes
some values, runs what people run, and says what is wrong.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Callable

from tests.settings import base
from tests.support import hostile
from tests.support.databases import Database
from tests.support.helpers import Project, add, alter, create, python

Key = tuple[str, str]
#: A table of the project, and one of its columns, or all of it.
Part = tuple[str, str]
#: An alias, SQL for SQLite's driver or with `%s`, and what to put in.
Statement = tuple[str, str, tuple[Any, ...]]

RECORDS = "django_migrations"
CODE = "django_migrations_code"
HISTORY = f"{CODE}_history"
LEDGER = f"{CODE}_ledger"
IDENTITY = "django_migrations_identity"

#: Writes down which module runs, and what it was written as.
MARK = "open('executed', 'a').write(__name__ + '|{}\\n')"

#: What each migration makes; the first column of a table stands for the table.
PARTS: dict[Key, list[Part]] = {
    ("shop", "0001_initial"): [("shop_product", "id")],
    ("shop", "0002_price"): [("shop_product", "price")],
    ("shop", "0003_cart"): [("shop_cart", "id")],
    ("depot", "0001_initial"): [("depot_room", "id")],
    ("depot", "0002_shelf"): [("depot_room", "shelf")],
    ("depot", "0003_flag"): [("depot_room", "flag")],
    ("crib", "0001_initial"): [("crib_child", "id")],
    ("crib", "0002_size"): [("crib_child", "size")],
    ("attic", "0001_initial"): [("attic_trunk", "id")],
    ("relic", "0001_initial"): [("relic_bone", "id")],
    ("relic", "0002_dust"): [("relic_bone", "dust")],
}
#: What is applied and has no file, and is the code of a branch.
MISSING = [("shop", "0002_price"), ("shop", "0003_cart"), ("depot", "0002_shelf"), ("depot", "0003_flag")]
#: On disk, and not applied yet.
PENDING: dict[Key, Part] = {
    ("stock", "0001_initial"): ("stock_item", "id"),
    ("depot", "0002_lamp"): ("depot_room", "lamp"),
}
#: What may be executed: module, and the mark in the text that was applied.
GENUINE = {f"{app}.migrations.{name}|{app}.{name} applied" for app, name in PARTS}
GENUINE.add("crib.helpers|crib.helpers applied")
CHANGED_HELPERS = "crib.helpers file"
#: What the files of modified migrations would execute when they are unapplied.
BY_FILE = {"crib.migrations.0002_size|crib.0002_size file", f"crib.helpers|{CHANGED_HELPERS}"}
OTHER = "shop.migrations.0002_price|shop.0002_price other"
OLDER = "shop.migrations.0002_price|shop.0002_price older"


def mark(label: str) -> str:
    return MARK.format(label)


# The world ------------------------------------------------------------------------


def make_world(path: Path) -> Project:
    """
    Return a project on two databases in which there is something of everything.

    Its rows at several moments are beside it, in `moments`.
    """
    project = Project(path)
    project.add_database("other")
    project.configure(
        DEBUG=False,
        ALLOWED_HOSTS=["*"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        STATIC_URL="/static/",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        MIDDLEWARE=base.MIDDLEWARE,
        TEMPLATES=base.TEMPLATES,
    )
    project.write("urls.py", (Path(__file__).parent / "urls.py").read_text())
    project.install("relic")
    _write_apps(project)
    bone = '("INSERT INTO canary VALUES (1)" if 0 else __doc__)'
    relic = project.migration(
        "relic.0001_initial",
        create("Bone", name="CharField(max_length=50)"),
        f"migrations.RunSQL(migrations.RunSQL.noop, {bone})",
    )
    relic.write_text('"""SELECT 1"""\n' + relic.read_text())
    dust = project.migration(
        "relic.0002_dust", add("bone", "dust", "IntegerField(null=True)"), after="0001_initial"
    )
    project.manage("migrate")
    dust.unlink()
    contrib = [f"django.contrib.{name}" for name in ("contenttypes", "auth", "messages", "admin")]
    project.install(*contrib, "django_rewind", "relic", "shop", "depot", "crib", "attic")
    project.configure(ROOT_URLCONF="urls")
    _write_first_migrations(project)
    project.manage("migrate")
    moments = [_rows_of(project)]
    with project.on_branch("early"):
        _write_price(project, "older")
        project.manage("migrate")
        moments.append(_rows_of(project))
        project.manage("rewind", "shop", "0001", "--noinput")
    moments.append(_rows_of(project))
    with project.on_branch("feature"):
        _write_price(project, "applied")
        project.migration("shop.0003_cart", create("Cart", name="CharField(max_length=50)"), after="0002_price",
                          header=mark("shop.0003_cart applied"))  # fmt: skip
        project.migration("depot.0002_shelf", add("room", "shelf", "IntegerField(null=True)"), after="0001_initial",
                          header=mark("depot.0002_shelf applied"))  # fmt: skip
        flag = add("room", "flag", "IntegerField(null=True, default=getattr(settings, 'FLAG', 3))")
        project.migration("depot.0003_flag", flag, after="0002_shelf", header=mark("depot.0003_flag applied"))
        project.manage("migrate")
    with project.on_branch("elsewhere"):
        _write_price(project, "other", default=9)
        project.manage("migrate", "--database", "other")
    _leave(project)
    project.attempt("verify_migrations")
    moments.append(_rows_of(project))
    (path / "executed").unlink()
    (path / "moments").write_bytes(pickle.dumps(moments))
    return project


def _write_apps(project: Project) -> None:
    named = "class {}(models.Model):\n    name = models.CharField(max_length=50)\n"
    for app, model in (
        ("relic", "Bone"),
        ("shop", "Product"),
        ("depot", "Room"),
        ("crib", "Child"),
        ("attic", "Trunk"),
    ):
        project.app(app, named.format(model))
    project.install("relic")


def _write_first_migrations(project: Project) -> None:
    for app, model in (("shop", "Product"), ("depot", "Room"), ("attic", "Trunk")):
        project.migration(f"{app}.0001_initial", create(model, name="CharField(max_length=50)"),
                          header=mark(f"{app}.0001_initial applied"))  # fmt: skip
    project.write("crib/helpers.py", f"def forward(apps, editor):\n    {mark('crib.helpers applied')}\n")
    project.migration("crib.0001_initial", create("Child", name="CharField(max_length=50)"),
                      python("helpers.forward", "helpers.forward"),
                      header=f"from crib import helpers\n{mark('crib.0001_initial applied')}")  # fmt: skip
    project.migration("crib.0002_size", add("child", "size", "IntegerField(null=True)"), after="0001_initial",
                      header=mark("crib.0002_size applied"))  # fmt: skip


def _write_price(project: Project, label: str, default: int = 7) -> None:
    price = add("product", "price", f"IntegerField(null=True, default={default})")
    project.migration("shop.0002_price", price, after="0001_initial", header=mark(f"shop.0002_price {label}"))


def _leave(project: Project) -> None:
    """Go back to main, where something is pending, modified, or not installed any more."""
    project.write("crib/helpers.py", f"def forward(apps, editor):\n    {mark('crib.helpers file')}\n")
    back = f"def back(apps, editor):\n    {mark('crib.0002_size file')}\n"
    project.migration("crib.0002_size", add("child", "size", "IntegerField(null=True)"),
                      python(backward="back"), after="0001_initial", header=back)  # fmt: skip
    project.delete("attic")
    project.install(*[app for app in project.installed if app != "attic"])
    project.app("stock", "class Item(models.Model):\n    pass\n")
    project.migration("stock.0001_initial", create("Item"))
    project.migration("depot.0002_lamp", add("room", "lamp", "IntegerField(null=True)"), after="0001_initial")
    # Not among the migrations until a trial says so: SQLite makes the table anew.
    wider = alter("product", "name", "CharField(max_length=60)")
    project.migration("shop.0002_wider", wider, after="0001_initial", package="more")
    for alias in ("default", "other"):
        project.execute("CREATE TABLE canary (word varchar(50))", alias=alias)
        project.execute("INSERT INTO shop_product (name, price) VALUES ('a', 5)", alias=alias)
    for table, columns, values in (
        ("shop_cart", "name", "'b'"),
        ("depot_room", "name, shelf, flag", "'c', 6, 1"),
        ("crib_child", "name, size", "'d', 4"),
        ("attic_trunk", "name", "'e'"),
        ("relic_bone", "name, dust", "'f', 2"),
    ):
        project.execute(f"INSERT INTO {table} ({columns}) VALUES ({values})")


Rows = dict[str, list[dict[str, Any]]]


def _rows_of(project: Project) -> dict[str, Rows]:
    """Return the rows of the records and of django-rewind's tables, by alias and table."""
    return {alias: rows_in(database) for alias, database in project.databases.items()}


def known_texts(moments: list[dict[str, Rows]], folder: Path) -> dict[Key, set[str]]:
    """Return the texts that were applied to the first database at some time, and those of files."""
    found: dict[Key, set[str]] = {}
    for moment in moments:
        for row in moment["default"].get(CODE, ()):
            found.setdefault((row["app_label"], row["migration_name"]), set()).add(row["source_code"])
    for path in [*folder.glob("*/migrations/0*.py"), *folder.glob("more/0*.py")]:
        app = "shop" if path.parent.name == "more" else path.parent.parent.name
        found.setdefault((app, path.stem), set()).add(path.read_text())
    return found


def rows_in(database: Database) -> Rows:
    found: Rows = {}
    with database.connected() as connection:
        for table in sorted(name for name in database.tables() if name.startswith(RECORDS)):
            cursor = connection.cursor()
            cursor.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            found[table] = [dict(zip(names, map(_plain, row))) for row in cursor.fetchall()]
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


# Mutations ------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutation:
    """A change that somebody makes, with the statements that make it."""

    name: str
    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return "\n".join(
            f"{self.name}: [{alias}] {sql} <- {_short(params)}" for alias, sql, params in self.statements
        )

    @property
    def touched(self) -> str:
        return " ".join(sql for _, sql, _ in self.statements)


def _short(params: Sequence[Any]) -> str:
    return ", ".join(repr(value)[:110] for value in params)


ODD: list[Any] = [
    None, "", 0, -1, 1, 2**31 - 1, 2**63 - 1, -(2**63), 10**30, 1.5, float("inf"), "x", "x" * 64, "0" * 64, "0" * 16,
    b"\xff\xfe\x00", b"", "\0", "\x1b[31mred\u202e", "infinity", "0000-00-00 00:00:00", "2020-13-45 99:99:99",
    "9999-12-31 23:59:59.999999", "20000-01-01", "[]", "{}", "null", "[" * 3000, "9" * 5000, "a'b\"c`;--", "../../etc",
    "__first__", "zero", "a" * 300, "\ud800", "n\u0308", True,
]  # fmt: skip
NAMED: dict[str, list[Any]] = {
    "event": ["began", "captured", "backfilled", "applied", "unapplied", "marked_applied", "marked_unapplied", "pruned",
              "rolled_back", "partial", "renamed", "accepted", "refused", "failed", "restored", "signed", "discarded"],
    "provenance": ["captured", "backfilled", "inherited", "accepted", "adopted", "git"],
    "source": ["stored", "file", ""],
    "app": ["shop", "depot", "crib", "attic", "relic", "django_rewind", "auth", "nowhere"],
    "app_label": ["shop", "depot", "crib", "attic", "relic", "django_rewind", "auth", "nowhere"],
    "name": ["0001_initial", "0002_price", "0003_cart", "0002_shelf", "0002_lamp", "0002_wider", "0004_none", "zero"],
    "serial": [0, 1, 2, 3, 9, 2**31 - 1],
    "detail": ["0", "1", "2", "1 of 1", '{"operations": 1}'],
}  # fmt: skip
NAMED["migration_name"] = NAMED["name"]
OWN = ["0001_initial", "0002_signed_source", "0003_take_over", "0004_stored_content", "0005_verification",
       "0006_ledger", "0007_any_text", "0008_identity"]  # fmt: skip
TEXT_COLUMNS = ("source_code", "metadata", "provenance", "digest", "signature", "key_fingerprint")


class Attacker:
    """Makes mutations, the same ones for the same seed."""

    def __init__(self, seed: int, moments: list[dict[str, Rows]]) -> None:
        self.random = random.Random(seed)
        self.moments = moments
        self.now = moments[-1]

    def mutations(self) -> list[Mutation]:
        """Return what is done in one trial: often one thing, sometimes many."""
        number = self.random.choice([1, 1, 2, 3, 4, 8, 16, 24, 48, 120, 240])
        return [self.one() for _ in range(number)]

    def one(self) -> Mutation:
        kinds = [
            (self._odd_value, 6), (self._value_of_another, 4), (self._known_value, 5), (self._deleted, 3),
            (self._emptied, 1), (self._swapped, 3), (self._of_another_time, 3), (self._of_another_place, 2),
            (self._inserted, 4), (self._replayed, 2), (self._attack, 6), (self._unsigned, 4), (self._effects, 4),
            (self._record_ids, 3), (self._own_record, 2), (self._progress, 2), (self._saturated, 1),
            (self._contents, 2), (self._missing_before_install, 1), (self._own_record_and_row, 2),
        ]  # fmt: skip
        names, weights = zip(*kinds)
        while True:
            kind: Callable[[], list[Statement]] = self.random.choices(names, weights)[0]
            if statements := kind():
                return Mutation(kind.__name__.strip("_"), tuple(statements))

    # What they work on

    def _alias(self) -> str:
        return "default" if self.random.random() < 0.95 else "other"

    def _table(self, alias: str) -> str:
        """Return a table that has rows: mostly the sources, the records and what proves them."""
        tables = [table for table, rows in self.now[alias].items() if rows]
        weights = [{CODE: 8, RECORDS: 4, LEDGER: 3}.get(table, 2) for table in tables]
        return self.random.choices(tables, weights)[0]

    def _row(self, alias: str, table: str) -> dict[str, Any]:
        """Return a row, rather of an app of the project than of another."""
        rows = self.now[alias][table]
        own = [
            row
            for row in rows
            if row.get("app_label", row.get("app")) in ("shop", "depot", "crib", "attic", "relic")
        ]
        return self.random.choice(own if own and self.random.random() < 0.85 else rows)

    def _code(self, key: Key | None = None, alias: str = "default") -> dict[str, Any]:
        """Return a stored source."""
        key = key or self.random.choice(
            [*MISSING, ("crib", "0002_size"), ("relic", "0001_initial"), ("attic", "0001_initial")]
        )
        return next(row for row in self.now[alias][CODE] if (row["app_label"], row["migration_name"]) == key)

    def _update(
        self, row: Mapping[str, Any], values: Mapping[str, Any], table: str = CODE, alias: str = "default"
    ) -> Statement:
        sets = ", ".join(f"{_quoted(name)} = %s" for name in values)
        return alias, f"UPDATE {table} SET {sets} WHERE id = %s", (*values.values(), row["id"])

    def _insert(self, row: Mapping[str, Any], table: str, alias: str = "default") -> Statement:
        values = {name: value for name, value in row.items() if name != "id"}
        names = ", ".join(map(_quoted, values))
        places = ", ".join(["%s"] * len(values))
        return alias, f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values())

    # Single values

    def _odd_value(self) -> list[Statement]:
        alias = self._alias()
        table = self._table(alias)
        row = self._row(alias, table)
        return [self._update(row, {self.random.choice(list(row)): self.random.choice(ODD)}, table, alias)]

    def _value_of_another(self) -> list[Statement]:
        alias = self._alias()
        table = self._table(alias)
        row = self._row(alias, table)
        columns = self.random.sample(list(row), self.random.randint(1, min(4, len(row))))
        moment = self.random.choice(self.moments)
        others = moment[self._alias()].get(table)
        if not others:
            return []
        other = self.random.choice(others)
        values = {name: other[name] for name in columns if name in other and name != "id"}
        return [self._update(row, values, table, alias)] if values else []

    def _known_value(self) -> list[Statement]:
        alias = self._alias()
        table = self._table(alias)
        row = self._row(alias, table)
        names = [name for name in row if name in NAMED]
        if not names:
            return []
        name = self.random.choice(names)
        return [self._update(row, {name: self.random.choice(NAMED[name])}, table, alias)]

    # Whole rows

    def _deleted(self) -> list[Statement]:
        alias = self._alias()
        table = self._table(alias)
        return [(alias, f"DELETE FROM {table} WHERE id = %s", (self._row(alias, table)["id"],))]

    def _emptied(self) -> list[Statement]:
        tables = [table for table in self.now["default"] if table != RECORDS]
        table = self.random.choice(tables)
        if self.random.random() < 0.5:
            return [("default", f"DELETE FROM {table}", ())]
        key = self.random.choice(MISSING)
        if "app_label" not in (self.now["default"][table] or [{}])[0]:
            return []
        return [("default", f"DELETE FROM {table} WHERE app_label = %s AND migration_name = %s", key)]

    def _swapped(self) -> list[Statement]:
        table = self._table("default")
        one, other = self._row("default", table), self._row("default", table)
        names = [name for name in one if name != "id"]
        if table == CODE and self.random.random() < 0.6:
            names = list(TEXT_COLUMNS) + self.random.choice(
                [[], ["module"], ["record_id", "proof"], ["record_id", "proof", "serial", "module"]]
            )
        else:
            names = self.random.sample(names, self.random.randint(1, len(names)))
        if one["id"] == other["id"]:
            return []
        first = self._update(one, {name: other[name] for name in names}, table)
        return [first, self._update(other, {name: one[name] for name in names}, table)]

    def _of_another_time(self) -> list[Statement]:
        """Put a row back as it was."""
        table = self._table("default")
        then = self.random.choice(self.moments)["default"].get(table)
        if not then:
            return []
        row = self.random.choice(then)
        return [("default", f"DELETE FROM {table} WHERE id = %s", (row["id"],)), self._with_id(row, table)]

    def _with_id(self, row: Mapping[str, Any], table: str) -> Statement:
        names = ", ".join(map(_quoted, row))
        places = ", ".join(["%s"] * len(row))
        return "default", f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row.values())

    def _of_another_place(self) -> list[Statement]:
        """Copy a row of the other database, and have the record that it names."""
        row = self._code(("shop", "0002_price"), "other")
        here = self._code(("shop", "0002_price"))
        values = {
            name: value for name, value in row.items() if name not in ("id", "app_label", "migration_name")
        }
        statements = [self._update(here, values)]
        if self.random.random() < 0.7:
            statements += self._give_record(("shop", "0002_price"), row["record_id"])
        if self.random.random() < 0.5:
            statements += self._without_traces(("shop", "0002_price"))
        return statements

    def _give_record(self, key: Key, record_id: Any) -> list[Statement]:
        return [
            ("default", f"UPDATE {RECORDS} SET id = id + 1000 WHERE id = %s", (record_id,)),
            ("default", f"UPDATE {RECORDS} SET id = %s WHERE app = %s AND name = %s", (record_id, *key)),
        ]

    def _without_traces(self, key: Key) -> list[Statement]:
        return [("default", f"DELETE FROM {table} WHERE app_label = %s AND migration_name = %s", key)
                for table in (HISTORY, LEDGER)]  # fmt: skip

    def _inserted(self) -> list[Statement]:
        """Make a row out of another, under a name of its own or that of another."""
        table = self._table("default")
        row = dict(self._row("default", table))
        for name in self.random.sample(list(row), self.random.randint(0, min(2, len(row)))):
            row[name] = self.random.choice(NAMED.get(name, ODD))
        for name in ("name", "migration_name"):
            if name in row and self.random.random() < 0.6:
                row[name] = self.random.choice([*NAMED["name"], *hostile.NAMES])
        return [self._insert(row, table)]

    # What somebody would do who means it

    def _replayed(self) -> list[Statement]:
        """Put an earlier revision back, with the record that it names."""
        earlier = [row for row in self.now["default"][HISTORY] if row["app_label"] == "shop"]
        earlier += [row for moment in self.moments[:-1] for row in moment["default"].get(CODE, ())
                    if row["migration_name"] == "0002_price"]  # fmt: skip
        if not earlier:
            return []
        row = self.random.choice(earlier)
        key = (row["app_label"], row["migration_name"])
        here = [row for row in self.now["default"][CODE] if (row["app_label"], row["migration_name"]) == key]
        if not here:
            return []
        values = {name: row[name] for name in (*TEXT_COLUMNS, "module", "record_id", "proof", "serial")}
        statements = [self._update(here[0], values)]
        if self.random.random() < 0.7:
            statements += self._give_record(key, row["record_id"])
        if self.random.random() < 0.3:
            statements += self._without_traces(key)
        return statements

    def _attack_text(self, genuine: str) -> str:
        line = mark("attacker")
        sql = "migrations.RunSQL('SELECT 1', \"INSERT INTO canary VALUES ('attacker')\")"
        return self.random.choice(
            [
                f"{line}\n{genuine}",
                f"{genuine}\n{line}\n",
                hostile.migration(sql, head=f"{line}\n"),
                hostile.migration(head=f"{line}\n"),
                f'"""INSERT INTO canary VALUES (2)"""\n{genuine.replace(chr(34) * 3 + "SELECT 1" + chr(34) * 3, "")}',
                self.random.choice(list(hostile.TEXTS.values())[:40]),
            ]
        )

    def _attack(self) -> list[Statement]:
        """Put a text in, with the digest that it has."""
        row = self._code()
        text = self._attack_text(row["source_code"])
        digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        statements = [self._update(row, {"source_code": text, "digest": digest})]
        if self.random.random() < 0.3:
            statements += self._without_traces((row["app_label"], row["migration_name"]))
        return statements

    def _unsigned(self) -> list[Statement]:
        """Put a text in as version 0.1.0 stored it."""
        row = self._code()
        text = self._attack_text(row["source_code"]) if self.random.random() < 0.7 else row["source_code"]
        values: dict[str, Any] = {
            "source_code": text,
            "signature": "",
            "key_fingerprint": "",
            "proof": "",
            "serial": 0,
        }
        values["digest"] = self.random.choice(["", sha256(text.encode("utf-8", "surrogatepass")).hexdigest()])
        values["provenance"] = self.random.choice(["inherited", "captured", "backfilled", "git"])
        described = json.dumps({**json.loads(row["metadata"]), "django": ""}, sort_keys=True)
        values["metadata"] = self.random.choice(["{}", described, row["metadata"]])
        values["record_id"] = self.random.choice([None, row["record_id"]])
        names = list(values)
        chosen = (
            names
            if self.random.random() < 0.6
            else self.random.sample(names, self.random.randint(1, len(names)))
        )
        return [self._update(row, {name: values[name] for name in chosen})]

    def _effects(self) -> list[Statement]:
        """Have a text say something else of itself, signed or not."""
        row = self._code()
        metadata = json.loads(row["metadata"])
        for name in self.random.sample(list(metadata), self.random.randint(1, 3)):
            value = self.random.choice(
                [[], [], {}, None, *hostile.VALUES, [self.random.choice(hostile.EFFECTS)]]
            )
            metadata[name] = value
        values: dict[str, Any] = {"metadata": json.dumps(metadata, sort_keys=True)}
        if self.random.random() < 0.4:
            values.update(signature="", proof="")
        return [self._update(row, values)]

    def _record_ids(self) -> list[Statement]:
        """Have records say that they were made in another order."""
        rows = [
            row for row in self.now["default"][RECORDS] if row["app"] in ("shop", "depot", "crib", "relic")
        ]
        one, other = self.random.sample(rows, 2)
        if self.random.random() < 0.5:
            place = self.random.choice([-5, -1, 0, 500, 10**9, 2**31 - 1])
            return [self._update(one, {"id": place}, RECORDS)]
        return [
            self._update(one, {"id": 99_999}, RECORDS),
            self._update(other, {"id": one["id"]}, RECORDS),
            ("default", f"UPDATE {RECORDS} SET id = %s WHERE id = 99999", (other["id"],)),
        ]

    def _own_record(self) -> list[Statement]:
        """Have django-rewind's own migrations applied again."""
        names = self.random.sample(OWN, self.random.choice([1, 1, 1, 2, 7]))
        return [
            ("default", f"DELETE FROM {RECORDS} WHERE app = 'django_rewind' AND name = %s", (name,))
            for name in names
        ]

    def _own_record_and_row(self) -> list[Statement]:
        return [
            ("default", f"DELETE FROM {RECORDS} WHERE app = 'django_rewind' AND name = %s",
             (self.random.choice(["0003_take_over", "0007_any_text", "0008_identity"]),)),
            *self._unsigned(),
        ]  # fmt: skip

    def _progress(self) -> list[Statement]:
        """Write down that a step was half done, or anything else."""
        rows = [
            row for row in self.now["default"][LEDGER] if (row["app_label"], row["migration_name"]) in MISSING
        ]
        row = dict(self.random.choice(rows))
        row["event"] = self.random.choice(["partial", "partial", *NAMED["event"]])
        row["detail"] = self.random.choice(
            ["0", "1", "2", "99", "-1", "1/1", "x", '{"done": 1}', "[0]", "", row["detail"]]
        )
        if self.random.random() < 0.4:
            row["digest"] = self._code((row["app_label"], row["migration_name"]))["digest"]
            row["record_id"] = self._code((row["app_label"], row["migration_name"]))["record_id"]
        return [self._insert(row, LEDGER)]

    def _saturated(self) -> list[Statement]:
        table = self.random.choice([HISTORY, LEDGER])
        return [
            (
                "default",
                f"UPDATE {table} SET serial = {2**31 - 1} WHERE app_label = %s",
                (self.random.choice(["shop", "depot"]),),
            )
        ]

    def _contents(self) -> list[Statement]:
        """Have another module go with a text."""
        rows = self.now["default"][f"{CODE}_content"]
        if not rows:
            return []
        content = f"{mark('attacker')}\ndef forward(apps, editor):\n    {mark('attacker')}\n".encode()
        values: dict[str, Any] = {
            "content": self.random.choice([content, b"", b"\xff", self.random.choice(rows)["content"]])
        }
        if self.random.random() < 0.3:
            values["digest"] = sha256(content).hexdigest()
        return [self._update(self.random.choice(rows), values, f"{CODE}_content")]

    def _missing_before_install(self) -> list[Statement]:
        row = self._code(self.random.choice(MISSING))
        values = {
            "app_label": row["app_label"],
            "migration_name": row["migration_name"],
            "record_id": row["record_id"],
        }
        values["forgotten_at"] = self.random.choice([None, row["stored_at"]])
        return [self._insert(values, "django_migrations_baseline")]


def _quoted(name: str) -> str:
    return f'"{name}"'


# What is run ------------------------------------------------------------------------

Command = tuple[str, ...]

SHOWING: list[Command] = [
    ("show_stored_migrations",), ("show_stored_migrations", "--format", "json"), ("show_stored_migrations", "--missing"),
    ("show_stored_migrations", "--source", "shop", "0002_price"), ("show_stored_migrations", "--history", "shop", "0002_price"),
    ("show_stored_migrations", "--history", "shop", "0002_price", "--format", "json"),
    ("rewind", "--plan"), ("rewind", "--check"), ("rewind", "--plan", "--format", "json"), ("rewind", "shop", "0001", "--plan"),
    ("rewind", "--plan", "--redo-modified"), ("migrate", "--plan"), ("migrate", "--check"), ("migrate", "shop", "0001", "--plan"),
    ("check", "--database", "default"), ("restore_migrations", "--dry-run"), ("backfill_migration_code", "--dry-run"),
    ("showmigrations",), ("prune_migration_code", "--before", "2000-01-01", "--plan"), ("makemigrations", "--check", "--dry-run"),
    ("rewind", "--sql"),
]  # fmt: skip
VERIFYING: list[Command] = [
    ("verify_migrations",),
    ("verify_migrations", "--diff"),
    ("verify_migrations", "--format", "json"),
]
BACK: list[Command] = [
    ("migrate", "shop", "0001", "--noinput"), ("rewind", "--noinput"), ("rewind", "--noinput", "--allow-data-loss"),
    ("rewind", "shop", "0001", "--noinput", "--allow-data-loss"), ("rewind", "shop", "0002", "--noinput"),
    ("migrate", "depot", "zero", "--noinput"), ("migrate", "shop", "zero", "--noinput"), ("migrate", "crib", "zero", "--noinput"),
    ("rewind", "--noinput", "--include-stale-apps", "--allow-data-loss"), ("migrate", "relic", "zero", "--noinput"),
    ("rewind", "--redo-modified", "--noinput", "--allow-data-loss"), ("rewind", "depot", "--noinput", "--allow-data-loss"),
    ("migrate", "attic", "zero", "--noinput"), ("migrate", "shop", "0002_price", "--noinput"),
]  # fmt: skip
FORWARDS: Command = ("migrate", "--noinput")
LIST = "/admin/django_rewind/migrationcode/"
PAGES = [
    "",
    "?q=price",
    "?o=1",
    "?app_label=shop",
    "?file_status=missing",
    "graph/",
    "graph/shop/",
    "graph/depot/",
    "{}/change/",
    "{}/history/",
]


@dataclass
class Plot:
    """All of a trial: what is changed, and what is run then."""

    mutations: list[Mutation]
    commands: list[Command]
    # Whether a file is pending whose operation makes SQLite's table anew.
    rebuilds: bool = False

    def __str__(self) -> str:
        said = [str(mutation) for mutation in self.mutations]
        said += [f"$ {' '.join(command)}" for command in self.commands]
        return "\n".join([*said, *(["(with shop.0002_wider)"] if self.rebuilds else [])])


def plot(seed: int, moments: list[dict[str, Rows]]) -> Plot:
    attacker = Attacker(seed, moments)
    mutations = attacker.mutations()
    chance = attacker.random
    commands = chance.sample(SHOWING, 2)
    if chance.random() < 0.5:
        commands.append(("GET", chance.choice(PAGES)))
    if chance.random() < 0.2:
        commands.append(chance.choice(VERIFYING))
    if chance.random() < 0.7:
        commands.append(FORWARDS)
    commands.append(chance.choice(BACK))
    if chance.random() < 0.2:
        commands.append(FORWARDS)
    return Plot(mutations, commands, chance.random() < 0.15)


@dataclass
class Outcome:
    """What a command has done."""

    code: int
    output: str
    error: BaseException | None = None


@dataclass
class Glance:
    """What of the project's own tables there is, and which migrations are recorded."""

    tables: dict[str, list[dict[str, Any]]]
    columns: dict[str, set[str]]
    records: list[Key]

    def has(self, part: Part) -> bool:
        return part[1] in self.columns.get(part[0], ())

    def has_data(self, part: Part) -> bool:
        return any(row.get(part[1]) is not None for row in self.tables.get(part[0], ()))


TABLES = sorted(
    {table for parts in PARTS.values() for table, _ in parts} | {table for table, _ in PENDING.values()}
)


def glance(database: Database) -> Glance:
    tables: dict[str, list[dict[str, Any]]] = {}
    columns: dict[str, set[str]] = {}
    with database.connected() as connection:
        there = database.tables()
        cursor = connection.cursor()
        for table in TABLES:
            if table in there:
                cursor.execute(f"SELECT * FROM {table}")
                names = [column[0] for column in cursor.description]
                tables[table] = [dict(zip(names, row)) for row in cursor.fetchall()]
                columns[table] = set(names)
        records = [
            (str(app), str(name)) for app, name in database.execute(f"SELECT app, name FROM {RECORDS}")
        ]
    return Glance(tables, columns, records)


@dataclass
class Trial:
    """Runs a plot in this process, whose current folder is its own, and finds what is wrong."""

    plot: Plot
    databases: Mapping[str, Database]
    client: Any
    # Returns what Django makes of these databases, without django-rewind or with its migrations alone:
    # an error's name, or nothing.
    alone: Callable[[bool], str]
    #: The texts that were applied here at some time, and those of files.
    known: Mapping[Key, set[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    taken: int = 0

    def run(self) -> list[str]:
        self._mutate()
        for command in self.plot.commands:
            before = glance(self.databases["default"])
            outcome = self._get(command[1]) if command[0] == "GET" else self._call(command)
            self.said.append(f"$ {' '.join(command)}\n{outcome.output}[{outcome.code}]")
            after = glance(self.databases["default"])
            for problem in self._problems(command, outcome, before, after):
                self.wrong.append(
                    f"{command[0]}: {problem}" if command[0] != "GET" else f"GET {command[1]}: {problem}"
                )
            if self.wrong:
                break
        self.wrong += [] if self.wrong else self._signed()
        return self.wrong

    def _mutate(self) -> None:
        for mutation in self.plot.mutations:
            self.taken += execute(self.databases, mutation)

    def _call(self, command: Command) -> Outcome:
        from django.core.management import CommandError, call_command

        out = io.StringIO()
        try:
            call_command(*command, stdout=out, stderr=out, no_color=True)
        except CommandError as error:
            return Outcome(
                getattr(error, "returncode", 1), f"{out.getvalue()}\n{type(error).__name__}: {error}\n", error
            )
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(bool(error.code))
            return Outcome(code, out.getvalue() + ("" if isinstance(error.code, int) else str(error.code)))
        except Exception as error:  # noqa: BLE001 (that is what is looked for)
            return Outcome(70, f"{out.getvalue()}\n{origin(error)}\n", error)
        return Outcome(0, out.getvalue())

    def _get(self, page: str) -> Outcome:
        if "{}" in page:
            ids = self.databases["default"].execute(
                f"SELECT id FROM {CODE} WHERE app_label = 'shop' ORDER BY id"
            )
            page = page.format(ids[-1][0] if ids else 1)
        try:
            answer = self.client.get(LIST + page)
        except Exception as error:  # noqa: BLE001 (that is what is looked for)
            return Outcome(70, origin(error), error)
        return Outcome(0 if answer.status_code < 500 else 70, f"status {answer.status_code}")

    def _problems(self, command: Command, outcome: Outcome, before: Glance, after: Glance) -> Iterator[str]:
        yield from self._executed(command, outcome)
        yield from self._canary()
        if outcome.code == 70 and not self._is_of_django(outcome):
            yield f"traceback: {outcome.output.strip().splitlines()[-1]}"
        if (
            command[0] != "GET"
            and "--source" not in command
            and (found := re.search(hostile.CONTROL, outcome.output))
        ):
            yield f"prints a control character near {outcome.output[max(0, found.start() - 30) : found.end() + 9]!r}"
        yield from self._lost(command, outcome, before, after)
        if command == FORWARDS:
            yield from self._forwards(outcome, after)
        if command in BACK and not outcome.code:
            yield from self._skipped(command, outcome, before, after)
        if "Nothing has been changed" in outcome.output and before != after:
            yield "has changed something, and says that nothing was"

    def _executed(self, command: Command, outcome: Outcome) -> Iterator[str]:
        path = Path("executed")
        lines = set(path.read_text().splitlines()) if path.exists() else set()
        with suppress(FileNotFoundError):
            path.unlink()
        touched = " ".join(mutation.touched for mutation in self.plot.mutations)
        allowed = set(GENUINE)
        # What is not defended, as SECURITY.md says: nobody knows of a newer one then, a process without
        # django-rewind may have applied the file, or this database is the other one.
        if LEDGER in touched or HISTORY in touched:
            allowed |= {OLDER, *BY_FILE}
        if f"{RECORDS} " in touched:
            allowed |= BY_FILE
        if IDENTITY in touched:
            allowed.add(OTHER)
        if "Applying crib.0001_initial" in outcome.output:
            allowed.add(f"crib.helpers|{CHANGED_HELPERS}")
        for line in sorted(lines - allowed):
            yield f"executed {line}"
        if lines and (command[0] == "GET" or (command in SHOWING and "--sql" not in command)):
            yield f"executed, and only shows: {min(lines)}"

    def _signed(self) -> Iterator[str]:
        """What has a signature by now is a text that was applied here, or a file."""
        from django.core.management import CommandError
        from django.db import connection

        from django_rewind.sources.signing import Verdict
        from django_rewind.storage.store import Store

        store = Store(connection)
        try:
            rows = store.rows()
            texts = store.texts(rows)
        except CommandError:
            # Nobody can use it either.
            return
        for key, row in rows.items():
            text = texts.get(key, "")
            if row.with_text(text).verdict is Verdict.VERIFIED and text not in self.known.get(key, ()):
                yield f"signed a text of {'.'.join(key)} that nobody has vouched for"

    def _canary(self) -> Iterator[str]:
        rows = self.databases["default"].execute("SELECT word FROM canary")
        if rows:
            yield f"executed SQL of the attacker {rows[0]}"

    def _is_of_django(self, outcome: Outcome) -> bool:
        """Say whether Django ends in the same way, with the migrations of any app in the place of django-rewind's."""
        name = type(outcome.error).__name__
        return self.alone(False) == name or (self._is_about_own_records() and self.alone(True) == name)

    def _is_about_own_records(self) -> bool:
        return any(
            RECORDS in sql and ("django_rewind" in sql or "id = %s" in sql)
            for mutation in self.plot.mutations for _, sql, _ in mutation.statements
        )  # fmt: skip

    def _lost(self, command: Command, outcome: Outcome, before: Glance, after: Glance) -> Iterator[str]:
        """What has gone was said, and no rows went without a question."""
        may_lose = "--allow-data-loss" in command or (
            command[0] == "migrate" and len(command) > 2 and command != FORWARDS
        )
        for key, parts in PARTS.items():
            for part in parts:
                if not before.has(part) or after.has(part):
                    continue
                if command not in BACK:
                    yield f"{'.'.join(part)} is gone"
                elif before.has_data(part) and not may_lose:
                    yield f"{'.'.join(part)} was lost with its data without a question"
                elif key not in before.records:
                    # Somebody has deleted its record: to Django it belongs to the one that made the table.
                    continue
                elif ".".join(key) not in outcome.output and part[0] not in outcome.output:
                    yield f"{'.'.join(part)} is gone and not named"
        if "--redo-modified" not in command:
            yield from self._changed(before, after)

    @staticmethod
    def _changed(before: Glance, after: Glance) -> Iterator[str]:
        for table, rows in before.tables.items():
            for column in sorted(before.columns[table] & after.columns.get(table, set())):
                if [row[column] for row in rows] != [row[column] for row in after.tables[table]]:
                    yield f"values in {table}.{column} were changed"

    def _forwards(self, outcome: Outcome, after: Glance) -> Iterator[str]:
        if outcome.code:
            if not self._is_of_django(outcome) and not self.alone(False):
                yield f"forwards is blocked: {type(outcome.error).__name__}: {_words(str(outcome.error))}"
            return
        for key, part in PENDING.items():
            if not after.has(part) and not self._says_applied(key):
                yield f"{'.'.join(key)} was not applied"

    def _says_applied(self, key: Key) -> bool:
        """Say whether somebody has written a record for a pending migration."""
        return any(
            value in (key[1], key[0]) for mutation in self.plot.mutations
            for _, sql, params in mutation.statements if RECORDS in sql for value in params
        )  # fmt: skip

    def _skipped(self, command: Command, outcome: Outcome, before: Glance, after: Glance) -> Iterator[str]:
        for key in MISSING:
            if key not in before.records:
                continue
            if key not in after.records:
                if any(before.has(part) and after.has(part) for part in PARTS[key]):
                    yield f"the record of {'.'.join(key)} is gone, and the schema stays"
            elif self._is_asked(command, key) and ".".join(key) not in outcome.output:
                yield f"{'.'.join(key)} was skipped, and not named"

    @staticmethod
    def _is_asked(command: Command, key: Key) -> bool:
        if command[1].startswith("-"):
            return True
        if command[1] != key[0]:
            return False
        return len(command) < 3 or command[2].startswith(("zero", "0001", "-")) or key[1] > command[2] + "~"


def execute(databases: Mapping[str, Database], mutation: Mutation) -> int:
    """Make a change, as far as the database takes it, and return whether it took all of it."""
    went_well = 1
    for alias, sql, params in mutation.statements:
        database = databases[alias]
        try:
            database.execute(sql.replace('"', "`") if database.vendor == "mysql" else sql, *params)
        except Exception:  # noqa: BLE001 (each driver refuses in its way)
            went_well = 0
    return went_well


def origin(error: BaseException) -> str:
    """Return where an error comes from, in as few words as tell it from others."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "django_rewind" in one.filename]
    where = [f"{Path(one.filename).name}:{one.name}" for one in frames[-2:]]
    return f"{type(error).__name__} in {' < '.join(reversed(where)) or 'Django'}: {_words(str(error))}"


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:140]


def signature(problem: str) -> str:
    """Return a problem without what is another each time."""
    return re.sub(r"\d+|0x\w+|'[^']*'", "N", problem)[:130]


def smaller(plot: Plot, fails: Callable[[Plot], bool]) -> Plot:
    """Return a plot that fails as well and does less."""
    for name in ("mutations", "commands"):
        place = 0
        while place < len(getattr(plot, name)):
            parts = list(getattr(plot, name))
            del parts[place]
            candidate = Plot(**{**vars(plot), name: parts})
            if parts and fails(candidate):
                plot = candidate
            else:
                place += 1
    for place, mutation in enumerate(plot.mutations):
        for statement in mutation.statements:
            left = tuple(one for one in plot.mutations[place].statements if one != statement)
            mutations = [*plot.mutations]
            mutations[place] = Mutation(mutation.name, left)
            candidate = Plot(mutations, plot.commands, plot.rebuilds)
            if left and fails(candidate):
                plot = candidate
    return plot
