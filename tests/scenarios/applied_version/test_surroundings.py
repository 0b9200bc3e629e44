"""What a migration comes to hangs on settings, the environment or what is installed, and that has changed."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, remove

pytestmark = pytest.mark.deep

# Of a migration that adds one column for each language.
LANGUAGES = "*[migrations.AddField('product', f'name_{code}', models.CharField(max_length=9, default='-')) for code in settings.SHOP_LANGUAGES]"

CASES = {
    "more in a loop": ([LANGUAGES], {"SHOP_LANGUAGES": ["de"]}, {"SHOP_LANGUAGES": ["de", "fr"]}),
    "less in a loop": ([LANGUAGES], {"SHOP_LANGUAGES": ["de", "fr"]}, {"SHOP_LANGUAGES": ["de"]}),
    "nothing in a loop": ([LANGUAGES], {"SHOP_LANGUAGES": ["de"]}, {"SHOP_LANGUAGES": []}),
    "a condition": (
        [f"*([{add('product', 'price', 'IntegerField(default=7)')}] if settings.SHOP_PRICES else [])"],
        {"SHOP_PRICES": True},
        {"SHOP_PRICES": False},
    ),
    "the length of a column": (
        [alter("product", "name", "CharField(max_length=settings.SHOP_LENGTH)")],
        {"SHOP_LENGTH": 90},
        {"SHOP_LENGTH": 50},
    ),
    "an installed app": (
        [
            f"*([{add('product', 'price', 'IntegerField(default=7)')}] if apps.is_installed('django.contrib.humanize') else [])"
        ],
        {"INSTALLED_APPS": ["django_rewind", "django.contrib.humanize", "shop"]},
        {"INSTALLED_APPS": ["django_rewind", "shop"]},
    ),
    "SQL": (
        [
            "migrations.RunSQL(*(f'ALTER TABLE shop_product {change}' for change in settings.SHOP_CHANGES))",
        ],
        {"SHOP_CHANGES": ["ADD COLUMN price integer", "DROP COLUMN price"]},
        {"SHOP_CHANGES": ["ADD COLUMN stock integer", "DROP COLUMN stock"]},
    ),
    "a function beside it": (
        ["migrations.RunPython(nothing, nothing)", LANGUAGES],
        {"SHOP_LANGUAGES": ["de"]},
        {"SHOP_LANGUAGES": ["fr"]},
    ),
    "apart in database and state": (
        [f"migrations.SeparateDatabaseAndState([{LANGUAGES}], [{LANGUAGES}])"],
        {"SHOP_LANGUAGES": ["de"]},
        {"SHOP_LANGUAGES": ["de", "fr"]},
    ),
}

HEADER = """
from django.apps import apps


def nothing(apps, schema_editor):
    pass
"""


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "on disk"])
@pytest.mark.parametrize("command", [["migrate", "shop", "0001"], ["rewind", "shop", "0001", "--noinput"]])
def test_what_was_applied_is_unapplied(shop, case, command, is_there):
    """The operations are those of then, wherever the file is."""
    operations, then, now = case
    before = shop.schema()
    shop.commit()
    shop.configure(**then)
    path = shop.migration("shop.0002_computed", *operations, after="0001_initial", header=HEADER)
    shop.manage("migrate")
    assert shop.schema() != before
    if not is_there:
        path.unlink()
    shop.configure(**now)

    result = shop.manage(*command)

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert "as it was evaluated then" in result.stdout


CLOSURE = """
def notes(code):
    def note(apps, schema_editor):
        apps.get_model("shop", "Product").objects.create(name=code)

    return note
"""
# A function that nobody can write down beside the columns.
NOTES = "*[migrations.RunPython(notes(code), migrations.RunPython.noop) for code in settings.SHOP_LANGUAGES]"


def apply_with_closures(shop: Project) -> None:
    shop.commit()
    shop.configure(SHOP_LANGUAGES=["de", "fr"])
    path = shop.migration("shop.0002_computed", LANGUAGES, NOTES, after="0001_initial", header=CLOSURE)
    shop.manage("migrate")
    path.unlink()
    shop.configure(SHOP_LANGUAGES=["de"])


def test_what_cannot_be_written_down_is_refused(shop):
    """The error names what differs; with the settings of then it goes through."""
    before = shop.schema()
    apply_with_closures(shop)

    for command in (
        ["migrate", "shop", "0001"],
        ["rewind", "--noinput", "--allow-data-loss"],
        ["rewind", "--sql"],
    ):
        shop.refused(*command, naming=("shop.0002_computed", "name_fr", "--use-file shop.0002_computed"))

    shop.configure(SHOP_LANGUAGES=["de", "fr"])
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.schema() == before


def test_way_out_by_hand(shop):
    """Written to a file, edited and used: as the error says."""
    before = shop.schema()
    apply_with_closures(shop)

    shop.manage("restore_migrations", "shop", "0002_computed")
    path = "shop/migrations/0002_computed.py"
    shop.write(path, shop.read(path).replace("settings.SHOP_LANGUAGES", "['de', 'fr']"))
    shop.manage(
        "rewind", "shop", "0001_initial", "--use-file", "shop.0002_computed", "--noinput", "--allow-data-loss"
    )

    assert shop.schema() == before


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "on disk"])
def test_state_of_what_stays(shop, is_there):
    """A later step is unapplied on the columns that are there: SQLite makes the table anew from the state."""
    shop.commit()
    shop.configure(SHOP_LANGUAGES=["de", "fr"])
    computed = shop.migration("shop.0002_computed", LANGUAGES, after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, name_de, name_fr) VALUES ('a', 'b', 'c')")
    before = shop.schema()
    name = shop.migration(
        "shop.0003_name", alter("product", "name", "CharField(max_length=99)"), after="0002_computed"
    )
    shop.manage("migrate")
    name.unlink()
    if not is_there:
        computed.unlink()
    shop.configure(SHOP_LANGUAGES=["de"])

    shop.manage("migrate", "shop", "0002")

    assert shop.schema() == before
    assert shop.rows("SELECT name, name_de, name_fr FROM shop_product") == [("a", "b", "c")]


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "on disk"])
def test_key_of_another_type(shop, is_there):
    """A column that refers to a key which DEFAULT_AUTO_FIELD made comes back with its type."""
    shop.commit()
    shop.configure(DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    paths = [
        shop.migration("shop.0002_maker", "migrations.CreateModel('Maker', [])", after="0001_initial"),
        shop.migration(
            "shop.0003_ref",
            add("product", "maker", "ForeignKey('shop.Maker', models.CASCADE, null=True)"),
            after="0002_maker",
        ),
    ]
    shop.manage("migrate")
    before = shop.schema()
    paths.append(shop.migration("shop.0004_drop", remove("product", "maker"), after="0003_ref"))
    shop.manage("migrate")
    for path in paths[2 if is_there else 0 :]:
        path.unlink()
    shop.configure(DEFAULT_AUTO_FIELD="django.db.models.AutoField")

    shop.manage("migrate", "shop", "0003")

    assert shop.schema() == before


def test_forwards(shop):
    """What is applied on top of it works on the columns that are there."""
    shop.configure(SHOP_LANGUAGES=["de", "fr"])
    shop.migration("shop.0002_computed", LANGUAGES, after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, name_de, name_fr) VALUES ('a', 'b', 'c')")
    shop.configure(SHOP_LANGUAGES=["de"])
    shop.migration(
        "shop.0003_name", alter("product", "name", "CharField(max_length=99)"), after="0002_computed"
    )

    shop.manage("migrate")

    assert shop.rows("SELECT name, name_de, name_fr FROM shop_product") == [("a", "b", "c")]


def test_secrets_are_not_stored(shop):
    """A password that SQL was made of stays out of the database."""
    shop.configure(SHOP_PASSWORD="correct horse", SHOP_COLUMN="price")
    shop.migration(
        "shop.0002_computed",
        "migrations.RunSQL('SELECT 1 /* %s */' % settings.SHOP_PASSWORD, 'SELECT 2')",
        after="0001_initial",
    )
    shop.manage("migrate")

    ((metadata,),) = shop.rows(
        "SELECT metadata FROM django_migrations_code WHERE migration_name = %s", "0002_computed"
    )

    assert "evaluated" in metadata
    assert "correct horse" not in metadata


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "on disk"])
def test_adopted_elsewhere(shop, case, is_there):
    """A new name changes nothing of what was applied, whatever the file comes to where it is given."""
    operations, then, now = case
    before = shop.schema()
    shop.configure(**then)
    with shop.on_branch("feature"):
        shop.migration("shop.0002_computed", *operations, after="0001_initial", header=HEADER)
        shop.manage("migrate")
    path = shop.migration("shop.0002_named", *operations, after="0001_initial", header=HEADER)
    shop.configure(**now)
    shop.manage("rewind", "--adopt", "--noinput")
    assert shop.applied("shop") == ["0001_initial", "0002_named"]
    if not is_there:
        path.unlink()

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert "as it was evaluated then" in result.stdout
