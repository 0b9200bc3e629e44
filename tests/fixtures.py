"""A throw-away app within this process, and migrations that exist in memory alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from textwrap import dedent

from django.core.management import call_command
from django.db import connections, migrations, models
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder

from django_rewind import signing
from django_rewind.models import BaselineMigration, MigrationCode, MigrationCodeHistory
from django_rewind.source import describe, payload
from django_rewind.store import StoredMigration
from tests.helpers import MIGRATION

Key = tuple[str, str]


class App:
    """
    An installed app without models whose migrations are files that come and go.

    Its modules are imported again after every change, as by another process.
    """

    def __init__(self, path: Path, label: str = "shop") -> None:
        self.label = label
        self.path = path / label / "migrations"
        self.path.mkdir(parents=True)
        (path / label / "__init__.py").touch()
        (self.path / "__init__.py").touch()

    def key(self, name: str) -> Key:
        return (self.label, name)

    def module(self, name: str) -> str:
        return f"{self.label}.migrations.{name}"

    def migration(
        self, name: str, *operations: str, after: str = "", header: str = "", **attributes: object
    ) -> str:
        """Write a migration and return its text."""
        dependencies = [(self.label, after)] if after else []
        lines = [f"dependencies = {dependencies!r}", *(f"{k} = {v!r}" for k, v in attributes.items())]
        text = MIGRATION.format(
            header=f"\n{dedent(header)}" if header else "",
            attributes="\n".join(f"    {line}" for line in lines),
            operations="\n".join(f"        {operation}," for operation in operations),
        )
        self.write(name, text.encode())
        return text

    def write(self, name: str, data: bytes) -> Path:
        path = self.path / f"{name}.py"
        path.write_bytes(data)
        self.reload()
        return path

    def delete(self, *names: str) -> None:
        for name in names:
            (self.path / f"{name}.py").unlink()
        self.reload()

    def reload(self) -> None:
        forget_modules(self.label)
        importlib.invalidate_caches()


def forget_modules(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        # The package itself stays: the registry of apps holds it.
        if name != package:
            del sys.modules[name]


def migrate(*args: str, **options: object) -> str:
    """Run `migrate` in this process and return what it prints."""
    out = StringIO()
    call_command("migrate", *args, interactive=False, no_color=True, stdout=out, stderr=out, **options)
    return out.getvalue()


def applied(label: str, alias: str = "default") -> list[str]:
    """Return the recorded names of an app in the order in which they were recorded."""
    records = MigrationRecorder.Migration.objects.using(alias).filter(app=label).order_by("id")
    return list(records.values_list("name", flat=True))


def record_id(key: Key, alias: str = "default") -> int:
    return MigrationRecorder.Migration.objects.using(alias).get(app=key[0], name=key[1]).pk


def row(key: Key, alias: str = "default") -> MigrationCode:
    """Return what is stored for a migration, read past our own store."""
    return MigrationCode.objects.using(alias).get(app_label=key[0], migration_name=key[1])


def columns(table: str, alias: str = "default") -> set[str]:
    """Return the columns of a table; none when there is no such table."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return set()
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


@contextmanager
def hidden(table: str, alias: str = "default") -> Iterator[None]:
    """Have a table dropped by hand, and put back at the end."""
    connection = connections[alias]
    quote = connection.ops.quote_name

    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")

    rename(table, "put_away")
    try:
        yield
    finally:
        rename("put_away", table)


def clean_up(*labels: str) -> None:
    """Remove what the throw-away apps have left in the databases."""
    for alias in connections:
        connection = connections[alias]
        _drop_tables(connection, labels)
        MigrationRecorder.Migration.objects.using(alias).filter(app__in=labels).delete()
        for model in (MigrationCode, MigrationCodeHistory, BaselineMigration):
            model.objects.using(alias).filter(app_label__in=labels).delete()


def _drop_tables(connection: object, labels: tuple[str, ...]) -> None:
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.partition("_")[0] in labels:
                cascade = "" if connection.vendor == "sqlite" else " CASCADE"
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}{cascade}")


# In memory


def in_memory(label: str, *operations: object, after: object = (), **attributes: object) -> Migration:
    """Return the migration `app.name`; `after` names what it depends on as `app.name` too."""
    app, name = label.split(".")
    after = [after] if isinstance(after, str) else after
    dependencies = [tuple(one.split(".")) for one in after]
    body = {"operations": [*operations], "dependencies": dependencies, **attributes}
    return type("Migration", (Migration,), body)(name, app)


def stored(migration: Migration, *, record_id: int | None = None, text: str = "") -> StoredMigration:
    """Return a migration as the store would, signed with our key."""
    key = (migration.app_label, migration.name)
    module = f"{key[0]}.migrations.{key[1]}"
    metadata, digest = describe(migration).as_text(), signing.digest(text)
    signed = payload(key, module=module, metadata=metadata, source_digest=digest, provenance="captured")
    signature, fingerprint = signing.sign(signed)
    return StoredMigration(key, module, metadata, "captured", digest, signature, fingerprint, record_id)


def create(name: str, *fields: tuple[str, object], **options: object) -> migrations.CreateModel:
    return migrations.CreateModel(name, [("id", models.AutoField(primary_key=True)), *fields], options)


def add(model: str, name: str, field: object = None) -> migrations.AddField:
    return migrations.AddField(model, name, field or models.IntegerField(null=True))
