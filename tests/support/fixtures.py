"""A throw-away app within this process, and migrations that exist in memory alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from shutil import rmtree
from textwrap import dedent
from types import ModuleType

from django.apps import apps
from django.core.management import call_command
from django.db import connections, migrations, models
from django.db.migrations import Migration
from django.db.migrations.recorder import MigrationRecorder

from django_rewind.models import (
    BaselineMigration,
    MigrationCode,
    MigrationCodeHistory,
    MigrationEvent,
    MigrationVerification,
)
from django_rewind.sources import signing
from django_rewind.sources.bundle.collector import Collected, Collector
from django_rewind.sources.bundle.importer import StoredImporter
from django_rewind.sources.description import describe
from django_rewind.sources.stored import StoredMigration, binding_of, payload
from tests.support import helpers

Key = tuple[str, str]

PRICE = helpers.add("Product", "price", "IntegerField(null=True)")


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
        text = helpers.MIGRATION.format(
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


class Tree:
    """
    A folder of modules on the path, among them the package `bakery` with migrations.

    Nothing in it is installed; models name their app themselves.
    """

    MIGRATION = "bakery.migrations.0002_bread"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("bakery/__init__.py", "")
        self.write("bakery/migrations/__init__.py", "")

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
        self.forget()
        return path

    def delete(self, *names: str) -> None:
        for name in names:
            path = self.path / name
            rmtree(path) if path.is_dir() else path.unlink()
        self.forget()

    def forget(self) -> None:
        """Have everything imported and registered anew, as by another process."""
        for name, module in list(sys.modules.items()):
            places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
            if any(str(place).startswith(str(self.path)) for place in places):
                del sys.modules[name]
        importlib.invalidate_caches()
        apps.all_models.pop("bakery", None)
        apps.clear_cache()

    def imported(self, name: str) -> ModuleType:
        return importlib.import_module(name)

    def collect(self, text: str, *, importing: Iterable[str] = ()) -> Kept:
        """Return what would be stored of a migration; the project has these modules imported."""
        for name in importing:
            self.imported(name)
        text = dedent(text)
        return Kept(self, text, Collector().collect(self.MIGRATION, text))


class Kept:
    """The text of a migration with what it needs, as it is stored."""

    def __init__(self, tree: Tree, text: str, collected: Collected) -> None:
        self.tree = tree
        self.text = text
        self.collected = collected
        self.bundle = collected.bundle

    @property
    def members(self) -> dict[str, str]:
        """The texts that go with it, by name."""
        return {
            one.name: self.collected.contents[one.digest].decode(errors="replace")
            for one in self.bundle.members
        }

    @property
    def names(self) -> set[str]:
        return set(self.members)

    def contents(self, digests: Iterable[str]) -> dict[str, bytes]:
        return {digest: self.collected.contents[digest] for digest in digests}

    def execute(self, importer: StoredImporter | None = None, *, importing: Iterable[str] = ()) -> ModuleType:
        """Execute it from the store; the running project is afterwards what it was."""
        for name in importing:
            self.tree.imported(name)
        # Without a reference it would be gone at once, and its folders with it.
        self.importer = importer or StoredImporter()
        before = _running_project()
        try:
            return self.importer.execute(Tree.MIGRATION, self.text, self.bundle, self.contents)
        finally:
            assert _running_project(before) == before


def _running_project(known: object = None) -> object:
    """What stored code must leave alone: modules and models. Others may be imported from this checkout."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith(("bakery", "oven"))}
    assert not [name for name, module in modules.items() if module.__spec__ and not module.__spec__.loader]
    if known is not None:
        modules = {name: module for name, module in modules.items() if name in known[0]}
    return modules, {label: dict(models) for label, models in apps.all_models.items()}


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


def store_anew() -> None:
    """Store all that is applied and has a file, whatever a test has made of what is stored."""
    for model in (MigrationCode, MigrationCodeHistory, MigrationVerification):
        model.objects.all().delete()
    migrate()


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
        for model in (
            MigrationCode,
            MigrationCodeHistory,
            BaselineMigration,
            MigrationEvent,
            MigrationVerification,
        ):
            model.objects.using(alias).filter(app_label__in=labels).delete()


def _drop_tables(connection: object, labels: tuple[str, ...]) -> None:
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.partition("_")[0] in labels:
                cascade = "" if connection.vendor == "sqlite" else " CASCADE"
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}{cascade}")


def chain_of_three(app: App) -> App:
    """Apply a product, and two columns of it one after the other."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_a", helpers.add("product", "a", "TextField(null=True)"), after="0001_initial")
    app.migration("0003_b", helpers.add("product", "b", "TextField(null=True)"), after="0002_a")
    migrate(app.label)
    return app


def price_without_file(app: App) -> App:
    """Apply a product and its price, of which the second loses its file."""
    app.migration("0001_initial", helpers.create("Product"))
    app.migration("0002_price", PRICE, after="0001_initial")
    migrate(app.label)
    app.delete("0002_price")
    return app


# In memory

# Of a database that is nowhere.
IDENTITY = "0123456789abcdef" * 2


def in_memory(label: str, *operations: object, after: object = (), **attributes: object) -> Migration:
    """Return the migration `app.name`; `after` names what it depends on as `app.name` too."""
    app, name = label.split(".")
    after = [after] if isinstance(after, str) else after
    dependencies = [tuple(one.split(".")) for one in after]
    body = {"operations": [*operations], "dependencies": dependencies, **attributes}
    return type("Migration", (Migration,), body)(name, app)


def stored(
    migration: Migration, *, record_id: int | None = None, text: str = "", module: str = ""
) -> StoredMigration:
    """Return a migration as the store would, signed with our key."""
    key = (migration.app_label, migration.name)
    module = module or f"{key[0]}.migrations.{key[1]}"
    metadata, digest = describe(migration).as_text(), signing.digest(text)
    signed = payload(IDENTITY, key, module=module, metadata=metadata, source_digest=digest, origin="captured")
    signature, fingerprint = signing.sign(signed)
    return StoredMigration(
        key,
        module,
        metadata,
        "captured",
        digest,
        signature,
        fingerprint,
        record_id,
        binding=binding_of(IDENTITY, key, signature, fingerprint, record_id),
        signed_for=IDENTITY,
        here=IDENTITY,
    )


def create(name: str, *fields: tuple[str, object], **options: object) -> migrations.CreateModel:
    return migrations.CreateModel(name, [("id", models.AutoField(primary_key=True)), *fields], options)


def add(model: str, name: str, field: object = None) -> migrations.AddField:
    return migrations.AddField(model, name, field or models.IntegerField(null=True))
