"""Apps that are installed: what only their migrations use goes with these, and not the whole package."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, create, python

LOUDER = "from billing.tools.words import louder, quieter"
WORDS = """
from billing.tools import EMPHASIS
from billing.tools.marks import MARK

def louder(apps, schema_editor):
    apps.get_model("billing", "Invoice").objects.create(name="Tea" + EMPHASIS)

def quieter(apps, schema_editor):
    apps.get_model("billing", "Invoice").objects.update(name="undone by what ran" + MARK)
"""


@pytest.fixture
def billing(shop: Project) -> Project:
    """Install an app the way that pip would, with two migrations of which one has a helper."""
    shop.write(".gitignore", "settings.py\npackages\n*.sqlite3\nsite-packages\n")
    shop.configure(raw="import sys\nsys.path.append(__file__.rpartition('/')[0] + '/site-packages')")
    folder = "site-packages/billing"
    shop.write(
        "site-packages/acme_billing-3.1.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: acme-billing\nVersion: 3.1\n",
    )
    shop.write("site-packages/acme_billing-3.1.dist-info/RECORD", "billing/__init__.py,,\n")
    for package in ("", "tools/", "migrations/"):
        shop.write(f"{folder}/{package}__init__.py", "")
    shop.write(f"{folder}/tools/__init__.py", "EMPHASIS = '!!'\n")
    shop.write(f"{folder}/tools/words.py", WORDS)
    shop.write(f"{folder}/tools/marks.py", "MARK = '!'\n")
    shop.migration(
        "billing.0001_initial",
        create("Invoice", name="CharField(max_length=30)"),
        package=f"{folder}/migrations",
    )
    shop.migration(
        "billing.0002_louder",
        python("louder", "quieter"),
        after="0001_initial",
        header=LOUDER,
        package=f"{folder}/migrations",
    )
    shop.install(*shop.installed, "billing")
    return shop


@pytest.fixture
def large(billing: Project) -> Project:
    """Have the helper lead through all of the package."""
    rest = "".join(f"from billing import part{number}\n" for number in range(9))
    billing.write("site-packages/billing/tools/marks.py", f"{rest}MARK = '!'\n")
    for number in range(9):
        billing.write(f"site-packages/billing/part{number}.py", f"TEXT = {'x' * 20_000!r}\n")
    return billing


def bundled(shop: Project) -> list[str]:
    """Return what is stored beside the migrations, by its text."""
    rows = shop.rows("SELECT content FROM django_migrations_code_content")
    return [bytes(content).decode() for (content,) in rows]


def undo(shop: Project) -> None:
    shop.manage("migrate", "billing", "0001")
    assert shop.applied("billing") == ["0001_initial"]
    assert shop.rows("SELECT name FROM billing_invoice") == [("undone by what ran!",)]


def test_older_version_is_installed(billing):
    """It has neither the migration nor the helpers, which nothing else has ever used."""
    billing.manage("migrate")
    billing.delete("site-packages/billing/migrations/0002_louder.py")
    billing.delete("site-packages/billing/tools")

    undo(billing)


def test_folder_of_the_helpers_is_still_there(billing):
    """An uninstalled package leaves a folder behind that holds old bytecode, and counts as a package."""
    billing.manage("migrate")
    billing.delete("site-packages/billing/migrations/0002_louder.py")
    for name in ("__init__", "words", "marks"):
        billing.delete(f"site-packages/billing/tools/{name}.py")
    billing.write("site-packages/billing/tools/__pycache__/words.pyc", "")

    undo(billing)


def test_helper_that_leads_through_the_whole_package(large):
    """What the migration itself imports is stored; the package is there as long as its app is."""
    result = large.manage("migrate")
    large.delete("site-packages/billing/migrations/0002_louder.py")
    large.delete("site-packages/billing/tools/words.py")

    undo(large)

    assert "not stored" not in result.output
    assert sum(map(len, bundled(large))) < 2_000


def test_what_a_helper_in_the_migrations_package_imports(large):
    """Beside the migrations stands what is theirs alone, and is followed however much there is."""
    folder = "site-packages/billing"
    large.write(f"{folder}/migrations/_words.py", "from ._more import *\n")
    large.write(
        f"{folder}/migrations/_more.py",
        "from billing.tools import EMPHASIS, words\nfrom billing.tools.words import *\n",
    )
    large.migration(
        "billing.0002_louder",
        python("louder", "quieter"),
        after="0001_initial",
        header="from ._words import louder, quieter",
        package=f"{folder}/migrations",
    )
    large.manage("migrate")
    large.delete(f"{folder}/tools/__init__.py")
    large.delete(f"{folder}/tools/words.py")
    for name in ("0002_louder", "_words", "_more"):
        large.delete(f"{folder}/migrations/{name}.py")

    undo(large)


def test_version_that_is_needed_is_named(large):
    """Where more is gone than was stored, the error says what to install."""
    large.manage("migrate")
    large.delete("site-packages/billing/migrations/0002_louder.py")
    large.delete("site-packages/billing/tools")
    large.delete("site-packages/billing/part0.py")

    result = large.refused(
        "migrate",
        "billing",
        "0001",
        naming=("billing.0002_louder", "billing.tools.words", "acme-billing 3.1"),
    )

    assert "Install acme-billing==3.1" in result.stderr
