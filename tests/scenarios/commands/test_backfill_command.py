"""`manage.py backfill_migration_code`: what was applied before we came is stored afterwards."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")

GIT = ("backfill_migration_code", "--from-git")

# To each question.
YES = "yes\n" * 5


@pytest.fixture
def old(project: Project) -> Project:
    """A project without us, and its app shop with one migration that is applied."""
    project.install()
    project.app("shop", "class Product(models.Model):\n    name = models.CharField(max_length=50)\n")
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    project.commit("Open the shop")
    project.manage("migrate")
    return project


def work_on_feature(old: Project, **options: str) -> None:
    """Apply 0002 on a branch, commit it, and come back to main."""
    with old.on_branch("feature"):
        old.migration("shop.0002_price", PRICE, after="0001_initial", **options)
        old.manage("migrate")


def install_us(old: Project) -> None:
    old.install("django_rewind", *old.installed)
    old.manage("migrate")


def document(result) -> dict:
    return json.loads(result.stdout)["databases"]["default"]


# All the way


def test_from_a_deleted_branch_back_to_the_old_schema(old):
    """The branch is deleted, we come later, and `migrate shop 0001` takes the schema back."""
    before = old.schema()["columns"]
    work_on_feature(old)
    old.git("branch", "--delete", "--force", "feature")
    install_us(old)
    assert "shop.0002_price" not in old.stored()

    assert "--from-git' looks for its source" in old.manage("rewind", "--plan").stdout
    result = old.manage(*GIT, answer=YES)

    commit = old.git("rev-list", "--reflog", "--max-count=1", "--", "shop/migrations/0002_price.py")
    assert f"shop.0002_price: commit {commit[:10]} of 20" in result.stdout
    assert PRICE in old.stored()["shop.0002_price"]
    assert f"git {commit[:10]}" in old.manage("show_stored_migrations").stdout
    result = old.manage("migrate", "shop", "0001")
    assert "Unapplying shop.0002_price (from stored code)... OK" in result.stdout
    assert old.columns("shop_product") == {"id", "name"}
    assert [one for one in old.schema()["columns"] if "django_migrations_" not in one] == before
    assert old.applied("shop") == ["0001_initial"]


def test_rewind_undoes_it_when_it_is_named(old):
    """What was missing before we came is no part of a bare rewind."""
    work_on_feature(old)
    install_us(old)
    old.manage(*GIT, answer=YES)
    before = old.snapshot()

    result = old.manage("rewind", "--noinput")
    assert "Nothing to rewind" in result.stdout
    assert "name a target to undo it" in result.stdout
    assert old.snapshot() == before
    plan = old.manage("rewind", "shop", "0001", "--plan").stdout
    old.manage("rewind", "shop", "0001", "--noinput")

    assert "Add field price to product" in plan
    assert old.columns("shop_product") == {"id", "name"}
    assert old.applied("shop") == ["0001_initial"]


def test_helpers_and_files_come_from_the_same_commit(old):
    """What it needs is gone as well, and goes with it as it was in that commit."""
    header = """
    from pathlib import Path
    from shop.tones import tone
    def back(apps, schema_editor):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(Path(__file__).with_name("0002_price.sql").read_text().format(tone()))
    """
    with old.on_branch("feature"):
        old.write("shop/tones.py", "from .more import TONE\ndef tone():\n    return TONE\n")
        old.write("shop/more.py", "TONE = 'low'\n")
        old.write("shop/migrations/0002_price.sql", "INSERT INTO shop_product (name, price) VALUES ('{}', 1)")
        old.migration("shop.0002_price", PRICE, after="0001_initial")
        old.migration(
            "shop.0003_back", python("migrations.RunPython.noop", "back"), after="0002_price", header=header
        )
        old.write("shop/migrations/0003_back.sql", "")
        old.manage("migrate")
    # On main, something else bears the name of the helper by now.
    old.write("shop/tones.py", "def tone():\n    return 'high'\n")
    old.git("branch", "--delete", "--force", "feature")
    install_us(old)

    result = old.manage(*GIT, answer=YES)

    assert "with shop.tones, shop.more, 0002_price.sql" in result.stdout
    old.manage("migrate", "shop", "0002")
    assert old.rows("SELECT name FROM shop_product") == [("low",)]
    old.manage("migrate", "shop", "0001")
    assert old.columns("shop_product") == {"id", "name"}


def test_models_of_that_commit_are_never_carried(old):
    """Of its `models.py`, what it uses: a model is not registered again, in an app that is gone too."""
    models = """
    from core.models import Stamped

    def low():
        return 1

    class Product(Stamped):
        name = models.CharField(max_length=50)
    """
    header = """
    from shop.models import low
    def back(apps, schema_editor):
        assert low() == 1
    """
    with old.on_branch("feature"):
        old.write("core/__init__.py", "")
        old.write(
            "core/models.py",
            "from django.db import models\nclass Stamped(models.Model):\n    class Meta:\n        abstract = True\n",
        )
        old.models("shop", models)
        old.migration(
            "shop.0002_low", python("migrations.RunPython.noop", "back"), after="0001_initial", header=header
        )
        old.manage("migrate")
    install_us(old)
    old.manage(*GIT, answer=YES)

    assert "class Product" not in old.rows("SELECT content FROM django_migrations_code_content").__repr__()
    old.manage("migrate", "shop", "0001")

    assert old.applied("shop") == ["0001_initial"]


def test_remade_app_is_not_undone_by_its_leftovers(old):
    """What an old migration made is in the remade file now: git knows the old one, and it stays superseded."""
    with old.on_branch("feature"):
        old.migration("shop.0002_price", PRICE, after="0001_initial")
        old.manage("migrate")
    old.models(
        "shop",
        "class Product(models.Model):\n    name = models.CharField(max_length=50)\n"
        "    price = models.IntegerField(default=7)\n",
    )
    old.migration(
        "shop.0001_initial",
        create("Product", name="CharField(max_length=50)", price="IntegerField(default=7)"),
    )
    old.commit("Remake the shop")
    install_us(old)
    old.manage(*GIT, answer=YES)
    before = old.snapshot()

    old.manage("migrate", "shop", "0001")

    assert old.columns("shop_product") == {"id", "name", "price"}
    assert old.snapshot() == before


# Which content


@pytest.mark.parametrize(
    "applied, operation",
    [
        # Migrated first and committed afterwards, as one does.
        ("2020-01-01 09:00:00", PRICE),
        ("2020-01-01 10:30:00", PRICE),
        ("2020-01-01 11:30:00", STOCK),
    ],
)
def test_content_of_the_time_of_application(old, applied, operation, monkeypatch):
    """An amended commit is not what ran before it; what it replaced is still in the reflog."""
    with old.on_branch("feature"):
        old.migration("shop.0002_price", PRICE, after="0001_initial")
        old.manage("migrate")
        old.execute("UPDATE django_migrations SET applied = %s WHERE app = 'shop'", applied)
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T10:00:00Z")
        old.commit("First thought")
        old.migration("shop.0002_price", STOCK, after="0001_initial")
        old.git("add", "--all")
        monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-01-01T11:00:00Z")
        old.git("commit", "--quiet", "--amend", "--message", "Second thought")
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    install_us(old)

    result = old.manage(*GIT, answer=YES)

    assert operation in old.stored()["shop.0002_price"]
    assert "one of 2 versions" in result.stdout
    assert "it need not be the one that was applied" in result.stderr


def test_stash(old):
    """Work that was never committed is found in a stash."""
    file = old.migration("shop.0002_price", PRICE, after="0001_initial")
    old.manage("migrate")
    old.git("stash", "--quiet", "--include-untracked")
    assert not file.exists()
    install_us(old)

    old.manage(*GIT, answer=YES)
    old.manage("migrate", "shop", "0001")

    assert old.columns("shop_product") == {"id", "name"}


# What is shown, and what is stored


def test_dry_run(old):
    """It shows the same, and nothing is written."""
    work_on_feature(old)
    install_us(old)
    before = old.snapshot()

    dry = old.manage(*GIT, "--dry-run")

    assert old.snapshot() == before
    assert "1 migration would be stored." in dry.stderr
    assert old.manage(*GIT, answer=YES).stdout.endswith(dry.stdout)
    assert "shop.0002_price" in old.stored()


def test_json(old):
    """Commit, date and path are there for scripts, and nothing else is on stdout."""
    work_on_feature(old)
    install_us(old)

    result = old.manage(*GIT, "--format", "json", "--dry-run")

    (stored,) = document(result)["stored"]
    commit = old.git("rev-parse", "feature").strip()
    assert (stored["app"], stored["name"], stored["origin"]) == ("shop", "0002_price", "git")
    assert stored["git"]["commit"] == commit
    assert stored["git"]["path"] == "shop/migrations/0002_price.py"
    assert document(result)["not_found"] == []


def test_it_is_signed_and_proven_for_its_record(old):
    """As good as captured, and it says where it came from."""
    work_on_feature(old)
    install_us(old)
    old.manage(*GIT, answer=YES)

    sql = "SELECT provenance, record_id, metadata FROM django_migrations_code WHERE migration_name = '0002_price'"
    ((provenance, record_id, metadata),) = old.rows(sql)

    assert provenance == "git"
    assert old.rows("SELECT name FROM django_migrations WHERE id = %s", record_id) == [("0002_price",)]
    assert json.loads(metadata)["commit"] == old.git("rev-parse", "feature").strip()
    assert old.attempt("verify_migrations", "shop").returncode == 0


def test_twice(old):
    """What is stored is not looked for again."""
    work_on_feature(old)
    install_us(old)
    old.manage(*GIT, answer=YES)
    before = old.snapshot()

    result = old.manage(*GIT, answer=YES)

    assert result.stdout == ""
    assert "There is nothing to store." in result.stderr
    assert old.snapshot() == before


def test_only_from_disk(shop):
    """Without --from-git it stores what has a file, and tells of what has none."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)

    result = shop.manage("backfill_migration_code", "shop")

    assert result.stdout == "shop.0002_price: its file\n"
    assert PRICE in shop.stored()["shop.0002_price"]


def test_missing_and_not_looked_for(old):
    """Without --from-git a missing migration is no failure, but it is told of."""
    work_on_feature(old)
    install_us(old)

    result = old.manage("backfill_migration_code")

    assert "shop.0002_price" in result.stderr
    assert "--from-git" in result.stderr
    assert result.stdout == ""


def test_refused_undoing_points_here(shop):
    """Who is told that a source was never stored is told where to look for it."""
    shop.configure(DJANGO_REWIND_ENABLED=False)
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)
    shop.refused("migrate", "shop", "zero", naming="backfill_migration_code shop --from-git")

    shop.manage(*GIT, "shop", answer=YES)
    shop.manage("rewind", "shop", "0001", "--noinput")

    assert shop.columns("shop_product") == {"id", "name"}


def test_one_app(old):
    """Only what belongs to the apps that are named is looked for."""
    work_on_feature(old)
    install_us(old)

    result = old.manage(*GIT, "django_rewind")

    assert result.stdout == ""
    assert "shop.0002_price" not in old.stored()


def test_unknown_app(old):
    """It is refused by name."""
    install_us(old)

    old.refused(*GIT, "stock", naming="stock")


def test_app_that_is_not_installed_any_more(old):
    """It is found by its name and its dependencies, and undone when it is named."""
    with old.on_branch("feature"):
        old.app("cart")
        old.migration("cart.0001_initial", create("Line"))
        old.migration("cart.0002_more", add("line", "more", "IntegerField(default=1)"), after="0001_initial")
        old.manage("migrate")
    old.install("shop")
    install_us(old)

    result = old.manage(*GIT, "cart", answer=YES)

    assert "cart/migrations/0001_initial.py" in result.stdout
    old.manage("rewind", "cart", "zero", "--noinput")
    assert "cart_line" not in old.tables()


def test_renamed_app_folder(old):
    """The folder was renamed since, and the label stayed: it is found under its old name, helpers too."""
    header = "from ..tones import TONE\nassert TONE == 1"
    with old.on_branch("feature"):
        old.write("shop/tones.py", "TONE = 1\n")
        old.migration("shop.0002_price", PRICE, after="0001_initial", header=header)
        old.manage("migrate")
    (old.path / "shop").rename(old.path / "store")
    shutil.rmtree(old.path / "shop", ignore_errors=True)
    old.write(
        "store/apps.py",
        "from django.apps import AppConfig\nclass Store(AppConfig):\n    name = 'store'\n    label = 'shop'\n",
    )
    old.install("store.apps.Store")
    old.commit("Rename the folder")
    install_us(old)

    result = old.manage(*GIT, answer=YES)

    assert "shop/migrations/0002_price.py, with shop.tones" in result.stdout
    old.manage("migrate", "shop", "0001")
    assert old.columns("shop_product") == {"id", "name"}


# What stands in the way


def not_found(old: Project, reason: str) -> None:
    """It is named with the reason, in one line; nothing is stored and nothing blows up."""
    before = old.snapshot()
    result = old.attempt(*GIT)
    assert result.returncode == 1, str(result)
    assert "Traceback" not in result.output, str(result)
    (line,) = result.stdout.splitlines()
    assert line.startswith("shop.0002_price: not found: "), str(result)
    assert reason in line, str(result)
    assert "1 migration could not be found." in result.stderr
    assert old.snapshot() == before


def test_never_committed(old):
    """Nothing in git is like it."""
    old.migration("shop.0002_price", PRICE, after="0001_initial").unlink()
    old.migration("shop.0002_price", PRICE, after="0001_initial")
    old.manage("migrate")
    old.delete("shop/migrations/0002_price.py")
    install_us(old)

    not_found(old, "has its file shop/migrations/0002_price.py")


def test_no_repository(old):
    """There is nowhere to look."""
    work_on_feature(old)
    install_us(old)
    old.delete(".git")

    not_found(old, "no git repository holds")


def test_no_git(old, monkeypatch, tmp_path_factory):
    """There is nobody to ask."""
    work_on_feature(old)
    install_us(old)
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))

    not_found(old, "there is no git program here")


def test_shallow_clone(old, tmp_path_factory):
    """That the history is cut is said with what is not found."""
    work_on_feature(old)
    install_us(old)
    place = tmp_path_factory.mktemp("clone") / "cut"
    old.git("clone", "--quiet", "--depth", "1", "--branch", "main", f"file://{old.path}", str(place))
    old.delete(".git")
    shutil.copytree(place / ".git", old.path / ".git")

    not_found(old, "its history is cut, 'git fetch --unshallow' brings the rest")


def test_only_some_are_found(old):
    """What is found is stored, what is not is named, and scripts see that."""
    work_on_feature(old)
    with old.on_branch("feature"):
        file = old.migration("shop.0003_stock", STOCK, after="0002_price")
        old.manage("migrate")
        file.unlink()
    install_us(old)

    result = old.attempt(*GIT, "--allow-unreachable", "--format", "json")

    assert result.returncode == 1
    assert [one["name"] for one in document(result)["stored"]] == ["0002_price"]
    (lost,) = document(result)["not_found"]
    assert (lost["app"], lost["name"]) == ("shop", "0003_stock")
    assert "shop.0002_price" in old.stored()


def test_not_migrated_yet(old):
    """Without a table there is nowhere to store it."""
    old.install("django_rewind", *old.installed)

    old.refused(*GIT, naming="run 'manage.py migrate --database default' first")


def test_switched_off(shop):
    """It says so."""
    shop.configure(DJANGO_REWIND_ENABLED=False)

    shop.refused(*GIT, naming="DJANGO_REWIND_ENABLED")


def test_unknown_database(shop):
    """It is refused by name, and all of them at once is no database."""
    shop.refused(*GIT, "--database", "all", naming="all")


def test_another_database(old):
    """It looks at one database and writes to that one."""
    old.add_database("other")
    work_on_feature(old)
    with old.on_branch("feature"):
        old.manage("migrate", "--database", "other")
    install_us(old)
    old.manage("migrate", "--database", "other")

    old.manage(*GIT, "--database", "other", answer=YES)

    assert "shop.0002_price" in old.stored("other")
    assert "shop.0002_price" not in old.stored()


def test_table_that_was_dropped_by_hand(old):
    """It is said in one line that nothing could be stored."""
    work_on_feature(old)
    install_us(old)
    for table in ("django_migrations_code", "django_migrations_code_history"):
        old.execute(f"DROP TABLE {table}")

    old.refused(*GIT, "--allow-unreachable", naming=("shop.0002_price", "cannot be stored"))
