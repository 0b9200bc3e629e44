"""Main applies on top of what a missing migration did: both go together, or it is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helpers import Project, add, create, python, remove, rename_field

pytestmark = pytest.mark.deep

READS = """
def forward(apps, schema_editor):
    pass

def back(apps, schema_editor):
    for tag in apps.get_model("shop", "Tag").objects.all():
        tag.word = tag.word.lower()
        tag.save()
"""


def child(model: str, parent: str, **fields: str) -> str:
    link = (
        f"('{parent.lower()}_ptr', models.OneToOneField(auto_created=True, on_delete=models.CASCADE, "
        f"parent_link=True, primary_key=True, serialize=False, to='shop.{parent}'))"
    )
    own = "".join(f", ({name!r}, models.{field})" for name, field in fields.items())
    return f"migrations.CreateModel({model!r}, [{link}{own}], bases=('shop.{parent.lower()}',))"


COLOR = "IntegerField(default=1)"
INDEX = "migrations.AddIndex('tag', models.Index(fields=[{!r}], name={!r}))"


@pytest.fixture(scope="session")
def migrated_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Tags and places in two databases."""
    project = Project(tmp_path_factory.mktemp("places"))
    project.app("shop")
    project.add_database("other")
    project.migration(
        "shop.0001_initial",
        create("Tag", word="CharField(max_length=20)", number="IntegerField(default=1)"),
        create("Place", name="CharField(max_length=20)"),
        child("Store", "Place", size="IntegerField(default=1)"),
    )
    project.commit()
    project.manage("migrate")
    project.manage("migrate", "--database", "other")
    yield project
    project.close()


@pytest.fixture
def places(migrated_places: Project, tmp_path: Path) -> Iterator[Project]:
    project = Project.copy_of(migrated_places, tmp_path)
    yield project
    project.close()


def two_branches(project: Project, feature: str, main: str) -> None:
    """Apply feature's 0002, and come back to main, whose own is applied in the other database alone."""
    with project.on_branch("feature"):
        project.migration("shop.0002_feature", feature, after="0001_initial", header=READS)
        project.manage("migrate")
    project.migration("shop.0002_main", main, after="0001_initial", header=READS)
    project.commit()
    project.manage("migrate", "--database", "other")


@pytest.mark.parametrize(
    "feature, main",
    [
        (INDEX.format("word", "by_word"), rename_field("tag", "word", "text")),
        ("migrations.AlterUniqueTogether('tag', {('word', 'number')})", remove("tag", "word")),
        (python("forward", "back"), rename_field("tag", "word", "text")),
        (INDEX.format("word", "mine"), INDEX.format("number", "mine")),
        (create("A").replace("])", "], {'db_table': 'b'})"), "migrations.AlterModelTable('tag', 'b')"),
        (add("place", "b_id", "IntegerField(null=True)"), add("place", "b", "ForeignKey('shop.Tag', models.CASCADE, null=True)")),
        (child("Kiosk", "Place", color=COLOR), add("place", "color", COLOR)),
    ],
    ids=["index", "together", "python", "index-name", "table", "column", "parent"],
)  # fmt: skip
def test_refused(places, feature, main):
    """Both are named before the first statement, and so is the command that helps."""
    two_branches(places, feature, main)

    refused = places.refused("migrate", naming=("shop.0002_main", "shop.0002_feature", "'manage.py rewind'"))

    assert "goes on without" not in refused.output
    places.manage("rewind", "--noinput")
    places.manage("migrate")
    assert places.schema() == places.schema("other")
    assert places.applied("shop") == ["0001_initial", "0002_main"]


@pytest.mark.parametrize(
    "feature, main",
    [
        (INDEX.format("word", "by_word"), rename_field("tag", "number", "amount")),
        (python("forward", "back"), rename_field("place", "name", "title")),
        (create("A", tag="ForeignKey('shop.Tag', models.CASCADE)"), rename_field("tag", "word", "text")),
        ("migrations.AlterModelTable('tag', 'labels')", remove("tag", "number")),
        (add("place", "color", COLOR), child("Kiosk", "Store", color=COLOR)),
    ],
    ids=["index", "python", "relation", "table", "grandchild"],
)
def test_goes_through(places, feature, main):
    """What has nothing to do with one another stays so, forwards and back."""
    two_branches(places, feature, main)

    places.manage("migrate")
    places.manage("rewind", "--noinput")

    assert places.schema() == places.schema("other")
    assert places.applied("shop") == ["0001_initial", "0002_main"]


EXCLUDE = {
    "parent": (child("Kiosk", "Place", color=COLOR), add("place", "color", COLOR)),
    "field": (add("store", "color", COLOR), add("place", "color", COLOR)),
}


@pytest.fixture(params=EXCLUDE)
def excluding(places, request):
    """Both branches are applied, main's by a process that knew nothing of the other one."""
    two_branches(places, *EXCLUDE[request.param])
    places.configure(DJANGO_REWIND_ENABLED=False)
    places.manage("migrate")
    places.configure(DJANGO_REWIND_ENABLED=True)
    places.manage("backfill_migration_code")
    return places


def test_models_exclude_each_other(excluding):
    """No state has both, and the tables have nothing in common: the missing one is rolled back."""
    excluding.manage("rewind", "--noinput")

    assert excluding.schema() == excluding.schema("other")
    assert excluding.applied("shop") == ["0001_initial", "0002_main"]


def test_models_exclude_each_other_from_the_other_branch(excluding):
    """So it is on the branch of the other one."""
    excluding.switch("feature")

    excluding.manage("rewind", "--noinput")

    assert excluding.applied("shop") == ["0001_initial", "0002_feature"]
    assert "color" not in excluding.columns("shop_place")


def test_a_fake_run_renders_nothing(excluding):
    """Only records go."""
    excluding.manage("rewind", "--noinput", "--fake")
    assert excluding.applied("shop") == ["0001_initial", "0002_main"]


def test_back_to_before_both(excluding):
    """No state has both, and one after the other they go."""
    excluding.refused("migrate", "shop", "zero", naming=("shop.0002_main", "shop.0002_feature"))

    excluding.manage("rewind", "--noinput")
    excluding.manage("migrate", "shop", "zero")

    assert not {table for table in excluding.tables() if table.startswith("shop_")}


def test_the_next_step_of_main(excluding):
    """On top of both it goes on, or names what has to go."""
    excluding.migration("shop.0003_more", add("tag", "more", "IntegerField(null=True)"), after="0002_main")
    excluding.manage("migrate")
    assert "more" in excluding.columns("shop_tag")


def test_an_initial_migration_that_was_remade(shop):
    """Django can record it as it is: that is named first, and keeps the rows."""
    price = add("product", "price", "IntegerField(default=7)")
    shop.migration("shop.0002_price", price, after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 4)")
    for name in ("0001_initial", "0002_price"):
        shop.delete(f"shop/migrations/{name}.py")
    product = create("Product", name="CharField(max_length=50)", price="IntegerField(default=7)")
    shop.migration("shop.0001_again", product, initial=True)

    said = shop.refused("migrate", naming=("shop.0001_again", "shop.0001_initial", "--fake-initial")).stderr
    command = next(line for line in said.splitlines() if "--fake-initial" in line).split("'")[1]
    shop.manage(*command.split()[1:])

    assert shop.rows("SELECT name, price FROM shop_product") == [("Tea", 4)]
    assert "No migrations to apply" in shop.manage("migrate").stdout
    shop.manage("migrate", "shop", "zero")
    assert "shop_product" not in shop.tables()
    assert shop.applied("shop") == []
