"""With nothing missing and nothing edited, Django stays Django."""

from __future__ import annotations

import re

import pytest

from tests.support.helpers import Project, Result, add, create, python

pytestmark = pytest.mark.usefixtures("real_processes")

PRICE = add("product", "price", "IntegerField(default=7)")


@pytest.fixture
def twins(new_shop):
    """One project over two equal databases: we are installed for the first only."""
    new_shop.add_database("other")
    return new_shop


def alone(shop: Project, *args: str) -> Result:
    """Run a command on the second database, without us."""
    installed = shop.installed
    shop.install(*(app for app in installed if app != "django_rewind"))
    try:
        return shop.attempt(*args, "--database", "other")
    finally:
        shop.install(*installed)


def comparable(output: str) -> list[str]:
    """Return the lines without what tells the runs apart: our app, the database, addresses and times."""
    # Said once, by the first run.
    output = re.sub(r"(?m)^Stored the source of \d+ migrations\.\n", "", output)
    output = output.replace("django_rewind, ", "").replace("'other'", "'default'")
    output = re.sub(r"\s*\(\d+\.\d+s\)| at 0x[0-9a-f]+", "", output)
    return [line.rstrip() for line in output.splitlines() if "django_rewind" not in line]


def same(shop: Project, *args: str) -> None:
    """See that a command prints, exits and does the same with us and without us."""
    ours, django = shop.attempt(*args), alone(shop, *args)
    assert comparable(ours.stdout) == comparable(django.stdout)
    assert comparable(ours.stderr)[-1:] == comparable(django.stderr)[-1:]
    assert ours.returncode == django.returncode
    assert state(shop, "default") == state(shop, "other")


def state(shop: Project, alias: str) -> object:
    tables = {table for table in shop.tables(alias) if table.startswith("shop_")}
    applied = shop.applied("shop", alias) if "django_migrations" in shop.tables(alias) else []
    return applied, {table: shop.columns(table, alias) for table in tables}


def test_a_life_without_missing_migrations(twins):
    """Every `migrate` of an ordinary life behaves as Django's own."""
    same(twins, "migrate")
    same(twins, "migrate")
    same(twins, "migrate", "--plan")
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    same(twins, "migrate", "--check")
    same(twins, "migrate", "shop", "--plan")
    same(twins, "migrate", "shop", "0002")
    same(twins, "migrate", "shop", "0001", "--plan")
    same(twins, "migrate", "shop", "0001")
    same(twins, "migrate", "shop", "0002", "--fake")
    same(twins, "migrate", "shop", "zero", "--fake")
    same(twins, "migrate", "shop", "0001", "--fake-initial")
    same(twins, "migrate", "shop", "zero")
    same(twins, "migrate", "shop", "0009")
    same(twins, "migrate", "nowhere")


def test_irreversible(twins):
    """An irreversible migration on disk fails as it does without us."""
    twins.migration("shop.0002_price", PRICE, python(), after="0001_initial")
    twins.migration("shop.0003_cart", create("Cart"), after="0002_price")
    same(twins, "migrate")

    same(twins, "migrate", "shop", "0001")

    assert "IrreversibleError" in twins.attempt("migrate", "shop", "0001").stderr


def test_conflict(twins):
    """Two leaves on disk are a conflict as they are without us."""
    same(twins, "migrate")
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    twins.migration("shop.0002_cart", create("Cart"), after="0001_initial")

    same(twins, "migrate")


def test_ambiguous_prefix(twins):
    """A prefix that two files answer to is ambiguous as it is without us."""
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    twins.migration("shop.0002_cart", create("Cart"), after="0002_price")

    same(twins, "migrate", "shop", "0002")


def test_failing_step(twins):
    """A step that raises leaves the same behind as without us."""
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    twins.migration(
        "shop.0003_stop",
        python("stop"),
        after="0002_price",
        header="def stop(apps, schema_editor):\n    raise ValueError('stop here')\n",
    )

    same(twins, "migrate")


def test_inconsistent_history(twins):
    """A child that is applied before its parent is an error as it is without us."""
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    same(twins, "migrate")
    for alias in ("default", "other"):
        twins.execute(
            "DELETE FROM django_migrations WHERE name = '0001_initial' AND app = 'shop'", alias=alias
        )

    same(twins, "migrate")


def test_squash(twins):
    """A squash takes over from its originals as it does without us."""
    twins.migration("shop.0002_price", PRICE, after="0001_initial")
    same(twins, "migrate")
    twins.migration(
        "shop.0001_squashed_0002",
        create("Product", name="CharField(max_length=50)"),
        PRICE,
        replaces=["0001_initial", "0002_price"],
    )

    same(twins, "migrate")
    same(twins, "migrate", "shop", "0001_initial")
    same(twins, "migrate", "shop")
    same(twins, "migrate", "shop", "zero")


def test_models_that_changed(twins):
    """Models without a migration are pointed out as they are without us."""
    twins.models("shop", "class Product(models.Model):\n    name = models.CharField(max_length=60)\n")
    same(twins, "migrate")

    same(twins, "migrate")


#: Of ours, in every process.
ALWAYS = {
    *("apps", "checks", "conf", "engine.hooks", "models", "sources.signing"),
    # The columns of the models; what they ask of a database is imported when they are asked.
    *("backends.base", "backends.fields"),
    *("storage.loaddata", "utils.frames", "utils.printable", "utils.types"),
}


def modules_in(shown: str) -> set[str]:
    """Return our modules among those that are named, without packages and migrations."""
    names = {name.partition(".")[2] for name in shown.split()}
    packages = {name.rpartition(".")[0] for name in names}
    return {name for name in names - packages if not name.startswith("migrations")}


def test_what_a_process_that_does_not_migrate_imports_of_us(shop, monkeypatch):
    """A server, a shell and a worker do without what only an executor uses."""
    monkeypatch.setenv("REWIND_FORK", "0")
    shown = shop.run("import sys; print(*sorted(n for n in sys.modules if n.startswith('django_rewind.')))")
    assert modules_in(shown.stdout) == ALWAYS


def test_what_a_migrate_with_nothing_to_do_imports_of_us(shop, monkeypatch):
    """Nothing of what it takes to store, to load or to refuse something."""
    monkeypatch.setenv("REWIND_FORK", "0")
    shop.manage("migrate")
    shown = shop.run(
        "import sys; from django.core.management import call_command; call_command('migrate', verbosity=0); "
        "print(*sorted(n for n in sys.modules if n.startswith('django_rewind.')))"
    )
    of_an_executor = {
        *("engine.handover", "engine.messages", "engine.reconcile", "engine.recorder", "engine.runner"),
        *(
            "engine.loader",
            "exceptions",
            "inventory.loader",
            "inventory.squashes",
            "management",
            "schema.graph",
        ),
        # What is stored counts for the database that it was signed for: that is looked at in the same query.
        *("storage.records", "storage.facts", "storage.identity", "storage.tables", "sources.identity"),
        *("backends.locks", f"backends.{shop.db().vendor}", "utils.causes"),
    }
    assert sorted(modules_in(shown.stdout)) == sorted(ALWAYS | of_an_executor)
