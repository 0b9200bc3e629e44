"""Projects that are set up in other ways than most."""

from __future__ import annotations

import py_compile

import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


def undo_feature(shop: Project, *operations: str, **migration: object) -> str:
    """Apply a 0002 on feature, undo it on main, and see that the schema is what it was."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", *(operations or [PRICE]), after="0001_initial", **migration)
        shop.manage("migrate")
        assert shop.schema() != before

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    return result.stdout


@pytest.mark.parametrize("apps", [("django_rewind", "shop"), ("shop", "django_rewind")])
def test_place_in_installed_apps(new_shop, apps):
    """It makes no difference whether we are listed first or last."""
    new_shop.install("django.contrib.contenttypes", *apps)
    new_shop.manage("migrate")

    undo_feature(new_shop)


def test_migrate_command_imported_early(shop):
    """Whoever imported Django's command before we were ready gets the same."""
    shop.write(
        "early/__init__.py",
        "from django.core.management.commands.migrate import Command, MigrationExecutor\n",
    )
    shop.install("early", *shop.installed)

    undo_feature(shop)


def test_overridden_migrate_command(shop):
    """A project with a `migrate` command of its own keeps it."""
    shop.write("own/__init__.py", "")
    shop.write("own/management/__init__.py", "")
    shop.write("own/management/commands/__init__.py", "")
    shop.write(
        "own/management/commands/migrate.py",
        """
        from django.core.management.commands import migrate


        class Command(migrate.Command):
            def handle(self, *args, **options):
                self.stdout.write("Our own migrate")
                super().handle(*args, **options)
        """,
    )
    shop.install(*shop.installed, "own")

    assert "Our own migrate" in undo_feature(shop)


def test_migration_modules(new_shop):
    """Migrations that live in another package are stored and undone."""
    shop = new_shop
    shop.configure(MIGRATION_MODULES={"shop": "history.of_shop"})
    shop.write("history/__init__.py", "")
    shop.write("history/of_shop/__init__.py", "")
    shop.write("history/of_shop/0001_initial.py", shop.read("shop/migrations/0001_initial.py"))
    shop.manage("migrate")

    undo_feature(shop, package="history/of_shop")


def test_app_without_migrations(shop):
    """An app whose migrations are switched off is left alone."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.configure(MIGRATION_MODULES={"shop": None})
    before = shop.snapshot()

    shop.manage("migrate")
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("rewind", "--noinput")

    assert shop.snapshot() == before


@pytest.mark.parametrize(
    "modules",
    [
        "{'django_rewind': None, 'shop': None}",
        "type('All', (), {'__contains__': lambda *a: True, '__getitem__': lambda *a: None})()",
    ],
)
def test_no_migrations_at_all(new_shop, modules):
    """With migrations switched off, as test runners do it, nothing of ours gets in the way."""
    new_shop.configure(raw=f"MIGRATION_MODULES = {modules}")

    new_shop.manage("migrate", "--run-syncdb")
    new_shop.manage("migrate")
    new_shop.manage("check", "--database", "default")
    new_shop.manage("show_stored_migrations")
    new_shop.attempt("rewind", "--check")

    assert new_shop.columns("shop_product") == {"id", "name"}


def test_our_own_migrations_switched_off(new_shop):
    """With ours alone switched off, the others are applied and undone as Django does it."""
    new_shop.configure(MIGRATION_MODULES={"django_rewind": None})
    new_shop.migration("shop.0002_price", PRICE, after="0001_initial")

    new_shop.manage("migrate")
    new_shop.manage("migrate", "shop", "0001")

    assert new_shop.applied("shop") == ["0001_initial"]
    assert new_shop.columns("shop_product") == {"id", "name"}


def test_switched_off(new_shop):
    """With DJANGO_REWIND_ENABLED off nothing is captured, and what runs is Django."""
    new_shop.configure(DJANGO_REWIND_ENABLED=False)
    new_shop.manage("migrate")
    with new_shop.on_branch("feature"):
        new_shop.migration("shop.0002_price", PRICE, after="0001_initial")
        new_shop.manage("migrate")

    new_shop.manage("migrate", "shop", "0001")

    assert new_shop.stored() == {}
    assert new_shop.applied("shop") == ["0001_initial", "0002_price"]
    result = new_shop.run(
        """
        from django.db.migrations import executor, loader, recorder
        print(executor.MigrationLoader is loader.MigrationLoader)
        print(executor.MigrationRecorder is recorder.MigrationRecorder)
        wrapped = [name for name, item in vars(executor.MigrationExecutor).items()
                   if getattr(item, "__module__", "django.") .partition(".")[0] != "django"
                   or hasattr(item, "__wrapped__")]
        print(wrapped)
        """
    )
    assert result.stdout.split() == ["True", "True", "[]"], result


def test_swappable_user(new_shop):
    """A missing migration that points at a swapped user model is undone."""
    shop = new_shop
    shop.app(
        "people",
        """
        from django.contrib.auth.models import AbstractBaseUser


        class Person(AbstractBaseUser):
            code = models.CharField(max_length=9, unique=True)
            USERNAME_FIELD = "code"
        """,
    )
    shop.migration(
        "people.0001_initial",
        create(
            "Person",
            password="CharField(max_length=128)",
            last_login="DateTimeField(null=True)",
            code="CharField(max_length=9, unique=True)",
        ),
        initial=True,
    )
    shop.install("django.contrib.contenttypes", "django.contrib.auth", *shop.installed)
    shop.configure(AUTH_USER_MODEL="people.Person")
    shop.commit()
    shop.manage("migrate")
    before = shop.schema()
    owner = add("product", "owner", "ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)")
    with shop.on_branch("feature"):
        file = shop.migration("shop.0002_owner", owner, after="0001_initial")
        text = file.read_text().replace(
            "dependencies = [", "dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), "
        )
        file.write_text(text)
        shop.manage("migrate")
        assert "owner_id" in shop.columns("shop_product")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


def test_atomic_false(shop):
    """A migration that asked for no transaction is undone outside of one."""
    check = """
    def check(apps, schema_editor):
        assert not schema_editor.atomic_migration
        assert not schema_editor.connection.in_atomic_block
    """
    undo_feature(shop, PRICE, python("check", "check"), header=check, atomic=False)


@pytest.fixture
def compiled(shop):
    """The migration 0002 is on disk as bytecode only."""
    source = shop.migration("shop.0002_price", PRICE, after="0001_initial")
    py_compile.compile(str(source), cfile=str(source.with_suffix(".pyc")))
    source.unlink()
    return shop


def test_bytecode_only(compiled):
    """Of bytecode nothing can be stored: that is said, and said again when it is gone."""
    result = compiled.manage("migrate")

    assert "shop.0002_price" in result.output.replace("Applying shop.0002_price", "")
    assert compiled.columns("shop_product") == {"id", "name", "price"}
    assert not compiled.stored().get("shop.0002_price")
    compiled.delete("shop/migrations/0002_price.pyc")
    compiled.refused("migrate", "shop", "0001", naming="shop.0002_price")
    compiled.refused("rewind", "--noinput", naming="shop.0002_price")


def test_bytecode_still_there(compiled):
    """As long as the bytecode is there it is undone as Django does it."""
    compiled.manage("migrate")

    compiled.manage("migrate", "shop", "0001")

    assert compiled.columns("shop_product") == {"id", "name"}


def test_other_encoding(shop):
    """A file in another encoding is stored as text, and runs."""
    with shop.on_branch("feature"):
        file = shop.migration("shop.0002_price", PRICE, python("name", "name"), after="0001_initial")
        header = "def name(apps, schema_editor):\n    schema_editor.connection.cursor().execute(\"UPDATE shop_product SET name = 'Gr\\u00fcn'\")\n\n"
        text = "# -*- coding: latin-1 -*-\n" + file.read_text().replace(
            "\nclass", header.encode().decode("unicode_escape") + "\nclass"
        )
        file.write_bytes(text.encode("latin-1"))
        shop.manage("migrate")
        assert shop.stored()["shop.0002_price"] == text
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Rot', 1)")

    shop.manage("migrate", "shop", "0001")

    assert shop.rows("SELECT name FROM shop_product") == [("Gr\u00fcn",)]


def test_line_ends(shop):
    """Line ends are kept as they were."""
    with shop.on_branch("feature"):
        file = shop.migration("shop.0002_price", PRICE, after="0001_initial")
        text = file.read_text().replace("\n", "\r\n")
        file.write_bytes(text.encode())
        shop.manage("migrate")

    assert shop.stored()["shop.0002_price"] == text
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}


def test_dataclass_and_relative_import(shop):
    """A dataclass and a relative import work in stored code as they did in the file."""
    shop.write("shop/constants.py", "SEVEN = 7\n")
    header = """
    from dataclasses import dataclass
    from typing import ClassVar

    from ..constants import SEVEN


    @dataclass
    class Price:
        unit: ClassVar[int] = SEVEN
        value: int = SEVEN
    """
    undo_feature(shop, add("product", "price", "IntegerField(default=Price().value)"), header=header)


def test_stored_module_is_not_left_behind(shop):
    """A file of the name that comes back is imported from disk, not met as the stored module."""
    shop.migration("shop.0002_more", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_more.py")

    result = shop.run(
        """
        import sys
        from django.core.management import call_command
        call_command("migrate", "shop", "0001", verbosity=0)
        print([name for name in sys.modules if "0002_more" in name])
        """
    )

    assert result.stdout.strip() == "[]", result


def test_label_of_its_own(project):
    """An app whose label is not the name of its package is stored and undone."""
    project.app("company")
    project.write(
        "company/apps.py",
        "from django.apps import AppConfig\n\n\nclass Shop(AppConfig):\n    name = 'company'\n    label = 'shop'\n",
    )
    project.install("django_rewind", "company.apps.Shop")
    project.migration(
        "shop.0001_initial", create("Product", name="CharField(max_length=50)"), package="company/migrations"
    )
    project.manage("migrate")

    undo_feature(project, package="company/migrations")


def test_database_routers_ask_for_nothing(shop):
    """A router that has no opinion changes nothing."""
    shop.write(
        "routers.py",
        "class Router:\n    def allow_migrate(self, db, app_label, **hints):\n        return None\n",
    )
    shop.configure(DATABASE_ROUTERS=["routers.Router"])

    undo_feature(shop)


def test_two_migrations_of_which_one_is_edited(shop):
    """The stored form and the file of one name live side by side in one run."""
    before = shop.schema()
    shop.migration("shop.0002_more", PRICE, after="0001_initial")
    shop.migration("shop.0003_more", STOCK, after="0002_more")
    shop.manage("migrate")
    shop.migration("shop.0002_more", add("product", "cost", "IntegerField(default=1)"), after="0001_initial")
    shop.delete("shop/migrations/0003_more.py")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
