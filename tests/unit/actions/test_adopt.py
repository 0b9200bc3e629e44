"""What is missing under one name and on disk under another is recognised by what it does."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from django_rewind.actions.adopt import adopt
from django_rewind.actions.rewind import Rewind
from django_rewind.exceptions import RewindError
from django_rewind.inventory.renames import program
from django_rewind.models import MigrationCodeHistory
from tests.support.fixtures import App, applied, columns, migrate, record_id, row
from tests.support.helpers import add, create

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

A, B = (add("product", name, "TextField(null=True)") for name in "ab")


@pytest.fixture
def shop(app: App) -> App:
    """0001 to 0003, applied."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", A, after="0001_initial")
    app.migration("0003_b", B, after="0002_a")
    migrate("shop")
    return app


def pairs() -> dict[str, str]:
    return {old[1]: new[1] for old, new in Rewind(connection).loader.renamed.items()}


def adopt_all() -> list[str]:
    rewind = Rewind(connection)
    adopt(rewind.loader, rewind.loader.renamed, warn=silent)
    return [new for _, new in rewind.loader.renamed.values()]


def silent(line: str) -> None:
    raise AssertionError(line)


# Recognition


def test_nothing_is_missing(shop):
    """Then nothing is looked for."""
    assert pairs() == {}


def test_renumbered(shop):
    """Another number, other dependencies and another comment are no difference."""
    shop.delete("0003_b")
    shop.migration("0003_main", after="0002_a")
    shop.migration("0004_b", B, after="0003_main", header="# Rebased.\n")

    assert pairs() == {"0003_b": "0004_b"}


def test_whole_chain(shop):
    """Each of a chain finds its own, in order."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0002_main", after="0001_initial")
    shop.migration("0003_a", A, after="0002_main")
    shop.migration("0004_b", B, after="0003_a")

    assert pairs() == {"0002_a": "0003_a", "0003_b": "0004_b"}


def test_two_that_do_the_same(app):
    """Each file is taken once."""
    same = "migrations.RunSQL('SELECT 1', '')"
    app.migration("0001_initial", same)
    app.migration("0002_again", same, after="0001_initial")
    migrate("shop")
    app.delete("0001_initial", "0002_again")
    app.migration("0001_first", same)
    app.migration("0002_second", same, after="0001_first")

    assert pairs() == {"0001_initial": "0001_first", "0002_again": "0002_second"}


def test_what_does_something_else(shop):
    """Another default is another migration."""
    shop.delete("0003_b")
    shop.migration("0004_b", B.replace("null=True", "default=''"), after="0002_a")

    assert pairs() == {}


def test_what_is_applied_is_taken(shop):
    """A file that is applied already stands for itself."""
    shop.delete("0003_b")
    shop.migration("0004_b", B, after="0002_a")
    MigrationRecorder(connection).record_applied("shop", "0004_b")

    assert pairs() == {}


def test_another_app(shop):
    """A migration is looked for in its own app alone."""
    shop.delete("0003_b")

    assert pairs() == {}


def test_merges_are_all_alike(shop):
    """Nothing is gained by giving one the name of another."""
    shop.migration("0004_merge", after="0003_b")
    migrate("shop")
    shop.delete("0004_merge")
    shop.migration("0005_merge", after="0003_b")

    assert pairs() == {}


def test_tampered_source_is_no_model(shop):
    """What does not verify is compared with nothing."""
    shop.delete("0003_b")
    shop.migration("0004_b", B, after="0002_a")
    stored = row(("shop", "0003_b"))
    stored.signature = "0" * 64
    stored.save()

    assert pairs() == {}


@pytest.mark.parametrize(
    "text", ["", "a = (", "class Migration:\n    operations = []\n", "class Other:\n    operations = [1]\n"]
)
def test_a_text_that_does_nothing(text):
    """It has no program."""
    assert program(text) is None


def test_place_in_the_graph_is_not_in_the_program():
    """Neither dependencies nor `initial`, `replaces` or `run_before`, whatever form they have."""
    text = "class Migration:\n    operations = [1]\n"
    other = (
        text + "    dependencies = [2]\n    replaces: list = [3]\n    initial = True\n    run_before = ()\n"
    )
    assert program(text) == program(other)
    assert program(text) != program(text + "    atomic = False\n")


# Adopting


def test_adopt(shop):
    """Record and stored row have the new name, the old text is history, the schema is as it was."""
    before = record_id(("shop", "0003_b"))
    shop.delete("0003_b")
    text = shop.migration("0004_b", B, after="0002_a")
    schema = columns("shop_product")

    assert adopt_all() == ["0004_b"]

    assert applied("shop") == ["0001_initial", "0002_a", "0004_b"]
    assert record_id(("shop", "0004_b")) == before
    stored = row(("shop", "0004_b"))
    assert (stored.source_code, stored.record_id, stored.provenance) == (text, before, "adopted")
    assert MigrationCodeHistory.objects.get(app_label="shop").migration_name == "0003_b"
    assert columns("shop_product") == schema
    assert pairs() == {}
    migrate("shop", "0002")
    assert "b" not in columns("shop_product")


def test_twice(shop):
    """The second time there is nothing to do."""
    shop.delete("0003_b")
    shop.migration("0004_b", B, after="0002_a")

    assert adopt_all() == ["0004_b"]
    assert adopt_all() == []


def test_record_that_has_changed_in_the_meantime(shop):
    """All of it is refused, and nothing has been changed."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0003_a", A, after="0001_initial")
    shop.migration("0004_b", B, after="0003_a")
    late = Rewind(connection)
    assert len(late.loader.renamed) == 2
    MigrationRecorder(connection).record_unapplied("shop", "0003_b")

    with pytest.raises(RewindError, match=r"shop\.0003_b has changed"):
        adopt(late.loader, late.loader.renamed, warn=silent)

    assert applied("shop") == ["0001_initial", "0002_a"]
    assert not MigrationCodeHistory.objects.filter(app_label="shop").exists()
