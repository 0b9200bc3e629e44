"""`manage.py restore_migrations` brings back the files of what is applied."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.conftest import PRODUCT
from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
SUFFIX = "SUFFIX = '?'\n"
SHOUT = """
from shop.models import SUFFIX
from shop.tones import louder
from pathlib import Path

def forwards(apps, schema_editor):
    (Path(__file__).parent / "sql" / "shout.sql").read_text()
    for product in apps.get_model("shop", "Product").objects.all():
        product.name = louder(product.name) + SUFFIX
        product.save()
"""


@pytest.fixture
def left(shop: Project) -> Project:
    """A shop on main, with feature's 0002 and 0003 applied and missing, and what goes with 0003."""
    shop.models("shop", SUFFIX + PRODUCT)
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.write("shop/tones.py", "def louder(text):\n    return text + '!'\n")
        shop.write("shop/migrations/sql/shout.sql", "SELECT 1;\r\n")
        shop.migration(
            "shop.0003_shout",
            python("forwards", "migrations.RunPython.noop"),
            after="0002_price",
            header=SHOUT,
        )
        shop.manage("migrate")
    return shop


def files(project: Project) -> dict[str, bytes]:
    """Return every file of the work tree that is not told to be passed over."""
    names = project.git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return {name: (project.path / name).read_bytes() for name in names if name}


def test_all_that_is_missing(left):
    """As it was on the branch, to the byte, and nothing is missing any more; the database only notes it."""
    before, here = (left.schema(), left.applied("shop"), left.stored()), files(left)

    result = left.manage("restore_migrations")

    there = left.git("diff", "--name-only", "--diff-filter=A", "main", "feature").split()
    assert len(there) == 4
    assert set(files(left)) - set(here) == set(there)
    left.git("add", "--all")
    assert left.git("diff", "--cached", "--name-only", "feature", "--", *there) == ""
    assert {name: data for name, data in files(left).items() if name in here} == here
    assert "Restored shop/migrations/0002_price.py" in result.stdout
    assert "shop.models is not written" in result.stdout
    assert (left.schema(), left.applied("shop"), left.stored()) == before
    assert left.audit_log("shop.0002_price")[-1] == ("restored", "")
    assert left.manage("rewind", "--check").returncode == 0
    assert "missing" not in left.manage("show_stored_migrations").stdout
    assert "No migration is missing." in left.manage("restore_migrations").stdout


def test_one_by_its_number(left):
    """With what goes with it, and nothing else."""
    here = set(files(left))

    left.manage("restore_migrations", "shop", "0003")

    assert set(files(left)) - here == {
        "shop/migrations/0003_shout.py",
        "shop/migrations/sql/shout.sql",
        "shop/tones.py",
    }


def test_dry_run(left):
    """It says what it would do, and does nothing."""
    here = files(left)

    result = left.manage("restore_migrations", "--dry-run")

    assert "Would restore shop/migrations/0002_price.py" in result.stdout
    assert files(left) == here


def test_into_a_folder(left):
    """The project stays as it is; excerpts of models lie there too."""
    here = files(left)

    left.manage("restore_migrations", "shop", "--output", "packages/old")

    old = left.path / "packages" / "old" / "shop"
    assert files(left) == here
    assert (old / "migrations" / "0002_price.py").read_text() == left.stored()["shop.0002_price"]
    assert (old / "migrations" / "sql" / "shout.sql").read_bytes() == b"SELECT 1;\r\n"
    assert "SUFFIX = '?'" in (old / "models.excerpt-for-shop.0003_shout.py").read_text()
    assert not (old / "models.py").exists()


def test_a_helper_that_has_changed_stands_in_the_way(left):
    """Nothing of the set is written; by force, or into a folder, it is."""
    left.write("shop/tones.py", "# main's own\n")
    here = files(left)

    result = left.refused("restore_migrations", naming=("shop.0003_shout", "shop/tones.py", "--force"))

    assert "Nothing has been changed." in result.stderr
    assert files(left) == here
    left.refused("restore_migrations", "--dry-run", naming="shop/tones.py")
    assert files(left) == here
    left.manage("restore_migrations", "--output", "packages")
    assert files(left) == here
    result = left.manage("restore_migrations", "--force")
    assert "Overwritten: shop/tones.py (for shop.0003_shout)" in result.stdout
    assert "louder" in left.read("shop/tones.py")


def test_models_that_lack_what_it_takes(left):
    """It could not be imported, and with it no migration at all: a folder will do."""
    left.models("shop", PRODUCT)
    here = files(left)

    result = left.refused("restore_migrations", "--force", naming=("shop.0003_shout", "SUFFIX", "--output"))

    assert "The other migrations can be restored by their names." in result.stderr
    assert files(left) == here
    left.manage("restore_migrations", "--output", "packages")
    left.manage("restore_migrations", "shop", "0002")
    left.manage("migrate", "--plan")


def test_json(left):
    """A report for scripts is one document, also when something is refused."""
    result = left.manage("restore_migrations", "shop", "0002", "--format", "json")
    report = json.loads(result.stdout)["databases"]["default"]
    assert report["written"] is True
    assert report["refused"] == []
    assert [(file["migration"], file["kind"], file["action"]) for file in report["files"]] == [
        ("shop.0002_price", "migration", "create")
    ]
    left.execute("UPDATE django_migrations_code SET source_code = 'pass' WHERE migration_name = '0003_shout'")
    result = left.refused("restore_migrations", "--format", "json", naming="shop.0003_shout")
    report = json.loads(result.stdout)["databases"]["default"]
    assert report["written"] is False
    assert report["refused"][0]["migration"] == "shop.0003_shout"


def test_tampered_source(left):
    """Is refused by name, and keeps the others from being written too."""
    left.execute("UPDATE django_migrations_code SET source_code = 'pass' WHERE migration_name = '0002_price'")
    here = files(left)

    for folder in ((), ("--output", "packages"), ("--force",)):
        left.refused("restore_migrations", *folder, naming="shop.0002_price")

    assert files(left) == here
    assert not (left.path / "packages" / "shop").exists()
    left.manage("restore_migrations", "shop", "0003")


def test_an_app_that_is_not_installed(left):
    """Has no package to write to; a folder will do."""
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))
    left.manage("migrate")
    left.delete("cart")
    left.install(*[label for label in left.installed if label != "cart"])

    left.refused("restore_migrations", "cart", naming=("cart", "--output"))
    assert "cart.0001_initial" in left.manage("restore_migrations", "--dry-run").stdout
    report = json.loads(left.manage("restore_migrations", "--format", "json").stdout)
    assert report["databases"]["default"]["not_installed"] == ["cart.0001_initial"]
    assert not (left.path / "cart").exists()
    left.manage("restore_migrations", "--output", "packages")
    assert left.read("packages/cart/migrations/0001_initial.py") == left.stored()["cart.0001_initial"]


def test_a_file_that_waits_for_one_that_is_gone(left):
    """There is no graph then, and Django's commands fail; this one brings the file back."""
    left.execute("DELETE FROM django_migrations WHERE name = '0003_shout'")
    left.migration("shop.0004_later", after="0003_shout")
    assert left.attempt("migrate", "--plan").returncode != 0

    left.manage("restore_migrations", "shop", "0003")
    left.manage("restore_migrations")

    left.manage("migrate", "--plan")


def test_another_database(left):
    """What is stored there is what is written."""
    left.add_database("other")
    left.manage("migrate", "--database", "other")

    assert "No migration is missing." in left.manage("restore_migrations", "--database", "other").stdout
    left.manage("restore_migrations", "--database", "default", "shop", "0002")
    assert left.read("shop/migrations/0002_price.py")
    left.refused("restore_migrations", "--database", "nowhere", naming="'nowhere'")
    left.refused("restore_migrations", "--database", "all", naming="'all'")


def test_a_text_in_another_encoding(shop):
    """It is written as it says that it is written, so that Python reads the same text."""
    with shop.on_branch("feature"):
        path = shop.migration("shop.0002_price", PRICE, after="0001_initial")
        text = "# coding: latin-1\r\n" + path.read_text().replace("\n", "\r\n") + "# café\r\n"
        path.write_bytes(text.encode("latin-1"))
        shop.manage("migrate")

    shop.manage("restore_migrations")

    assert path.read_bytes() == text.encode("latin-1")
    assert shop.manage("rewind", "--check").returncode == 0
