"""An app or a package that a stored migration needs is not installed here: the error names it."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add

pytestmark = pytest.mark.deep

TRIGGERS = "migrations.CreateModel('Line', [('id', models.AutoField(primary_key=True))], {'triggers': ['no delete']})"
POINTS = (
    "migrations.CreateModel('Line', [('id', models.AutoField(primary_key=True)),"
    " ('event', models.ForeignKey('history.Event', models.CASCADE))])"
)
PRICE = add("product", "price", "IntegerField(default=7)")


@pytest.fixture
def history(shop: Project) -> Project:
    """Install a package with a model and with an option for all models, as those for triggers and histories have."""
    shop.write(".gitignore", "settings.py\npackages\n*.sqlite3\nsite-packages\n")
    shop.configure(raw="import sys\nsys.path.append(__file__.rpartition('/')[0] + '/site-packages')")
    shop.write(
        "site-packages/history-2.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: history\nVersion: 2.1\n"
    )
    shop.write("site-packages/history-2.1.dist-info/RECORD", "history/__init__.py,,\n")
    shop.write("site-packages/history/__init__.py", "")
    shop.write(
        "site-packages/history/apps.py",
        """
        from django.apps import AppConfig
        from django.db.models import options


        class HistoryConfig(AppConfig):
            name = "history"

            def __init__(self, *args):
                super().__init__(*args)
                options.DEFAULT_NAMES = (*options.DEFAULT_NAMES, "triggers")
        """,
    )
    shop.write(
        "site-packages/history/models.py",
        "from django.db import models\n\n\nclass Event(models.Model):\n    pass\n",
    )
    shop.write("site-packages/history/triggers.py", "")
    shop.write("site-packages/history/migrations/__init__.py", "")
    shop.migration(
        "history.0001_initial",
        "migrations.CreateModel('Event', [('id', models.AutoField(primary_key=True))])",
        package="site-packages/history/migrations",
    )
    shop.install("history", *shop.installed)
    shop.manage("migrate")
    return shop


def leave(shop: Project, *operations: str, header: str = "") -> None:
    with shop.on_branch("feature"):
        shop.migration("shop.0002_line", *operations, after="0001_initial", header=header)
        shop.manage("migrate")


CASES = {
    "a model": ([PRICE], "from history.models import Event"),
    "a lookup": ([PRICE], "from django.apps import apps\nassert apps.get_app_config('history')"),
    "an option": ([TRIGGERS], "import history.triggers"),
}


@pytest.mark.parametrize(
    "command", [["rewind", "--noinput"], ["migrate", "shop", "0001"]], ids=lambda command: command[0]
)
@pytest.mark.parametrize("name", CASES)
def test_app_that_is_not_listed(history, name, command):
    """The command that the error names works."""
    operations, header = CASES[name]
    before = history.schema()
    leave(history, *operations, header=header)
    applied = history.schema()
    history.configure(INSTALLED_APPS=["django_rewind", "shop"])

    result = history.attempt(*command)

    assert result.returncode == 1, str(result)
    assert "Traceback" not in result.output, str(result)
    assert "shop.0002_line" in result.stderr
    assert "Add 'history' to INSTALLED_APPS for this command, and try again." in result.stderr
    assert history.schema() == applied
    history.install("history", *history.installed)
    history.manage(*command)
    assert history.schema() == before


def test_package_that_is_not_there(history):
    """With the version that was installed, where that is known."""
    leave(history, PRICE, header="import history.triggers")
    history.configure(INSTALLED_APPS=["django_rewind", "shop"])
    history.delete("site-packages")

    history.refused("rewind", "--noinput", naming="Install history==2.1")


def test_module_of_unknown_version(shop):
    """Nothing that could be brought back as a file."""
    shop.write("elsewhere/tools.py", "")
    shop.configure(
        raw="import sys\nsys.path.append(__file__.rpartition('/')[0] + '/elsewhere')",
        DJANGO_REWIND_BUNDLE_EXCLUDE=["tools"],
    )
    leave(shop, PRICE, header="import importlib\nimportlib.import_module('too' + 'ls')")
    shop.delete("elsewhere")

    result = shop.refused("rewind", "--noinput", naming="Install the package that brings 'tools'")

    assert "file of" not in result.stderr


def test_model_of_an_app_that_is_not_listed(history):
    """Where the migrations of the app are stored, nothing is missing."""
    before = history.schema()
    leave(history, POINTS)
    history.configure(INSTALLED_APPS=["django_rewind", "shop"])

    history.manage("rewind", "--noinput")

    assert history.schema() == before


def test_a_setting_that_is_not_set_here(shop):
    """The error names it, and with it the rollback goes through."""
    shop.configure(SHOP_PREFIX="big_")
    with shop.on_branch("feature"):
        price = (
            "migrations.AddField('product', settings.SHOP_PREFIX + 'price', models.IntegerField(default=7))"
        )
        noted = "migrations.RunSQL(settings.SHOP_PREFIX and 'SELECT 1', 'SELECT 1')"
        shop.migration("shop.0002_price", price, noted, after="0001_initial")
        shop.manage("migrate")
    del shop.settings["SHOP_PREFIX"]
    shop.configure()

    shop.refused("migrate", "shop", "0001", naming="Set SHOP_PREFIX in the settings")
    shop.configure(SHOP_PREFIX="big_")
    shop.manage("migrate", "shop", "0001")

    assert shop.columns("shop_product") == {"id", "name"}


SWAPPABLE = """
from django.conf import settings
from django.db import models


class Event(models.Model):
    class Meta:
        swappable = "HISTORY_EVENT_MODEL"


class Note(models.Model):
    event = models.ForeignKey(getattr(settings, "HISTORY_EVENT_MODEL", "history.Event"), models.CASCADE)
"""


def test_a_model_that_no_setting_swaps(history):
    """Its package has a default for that, and asks for no setting: neither does what was noted."""
    history.write("site-packages/history/models.py", SWAPPABLE)
    history.migration(
        "history.0002_swappable",
        "migrations.AlterModelOptions('event', {'swappable': 'HISTORY_EVENT_MODEL'})",
        "migrations.CreateModel('Note', [('id', models.AutoField(primary_key=True)),"
        " ('event', models.ForeignKey(EVENT, models.CASCADE))])",
        after="0001_initial",
        header="EVENT = getattr(settings, 'HISTORY_EVENT_MODEL', 'history.Event')",
        package="site-packages/history/migrations",
    )
    history.manage("migrate")
    history.install("django_rewind", "shop")

    history.manage("rewind", "history", "zero", "--noinput")

    assert not {table for table in history.tables() if table.startswith("history_")}
