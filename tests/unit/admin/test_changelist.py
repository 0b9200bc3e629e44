"""The list says of each stored migration how it stands, and counts them all."""

from __future__ import annotations

import re
import sys
from html import unescape

import pytest
from django.apps import apps
from django.db import connection, models
from django.test.utils import CaptureQueriesContext

from django_rewind.actions.verify import Verifier
from django_rewind.inventory import reading
from django_rewind.inventory.status import statuses_of
from django_rewind.models import BaselineMigration, MigrationCode
from django_rewind.sources.description import describe
from django_rewind.sources.stored import NewSource
from django_rewind.storage.facts import MissingBeforeInstall
from django_rewind.storage.store import Store
from tests.support.fixtures import forget_modules, in_memory, migrate, record_id
from tests.support.helpers import add, create

LIST = "/admin/django_rewind/migrationcode/"

pytestmark = [pytest.mark.deep, pytest.mark.django_db(transaction=True, databases=["default", "other"])]


@pytest.fixture(autouse=True)
def nothing_read():
    """Another test's files are none of this one's."""
    reading.forget()


@pytest.fixture
def shop(app):
    """A chain of three, applied."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    app.migration("0003_b", add("product", "b", "TextField(null=True)"), after="0002_a")
    migrate("shop")
    return app


def rows(client, query: str = "?app_label=shop") -> dict[str, dict[str, str]]:
    """Return what the list shows: by name, the words of each column."""
    answer = client.get(LIST + query)
    assert answer.status_code == 200, answer.content
    found = {}
    for row in re.findall(r"<tr>(.*?)</tr>", answer.content.decode(), re.DOTALL):
        cells = dict(re.findall(r'class="field-(\w+)[^"]*">(.*?)</t[dh]>', row, re.DOTALL))
        words = {name: unescape(re.sub("<[^>]*>", "", cell)).strip() for name, cell in cells.items()}
        if words:
            found[words["name"]] = words
    return found


def files(client, query: str = "?app_label=shop") -> dict[str, str]:
    return {name: words["file"] for name, words in rows(client, query).items()}


def counts(client, query: str = "") -> dict[str, int]:
    """Return what the line above the list counts."""
    page = client.get(LIST + query).content.decode()
    summary = page[page.index('class="rewind-summary"') : page.index("</nav>", page.index("rewind-summary"))]
    found = re.findall(r'<a href="([^"]*)".*?<strong>(\d+)</strong> ([^<]*)</a>', summary)
    return {unescape(word): int(number) for _, number, word in found}


def test_a_row_says_all_in_words(reader, shop):
    """Each state has a sign as well, so that none of it hangs on a colour."""
    row = rows(reader)["0002_a"]
    assert (row["app"], row["applied"], row["file"]) == ("shop", "● applied", "✓ on disk")
    assert (row["signed"], row["where_from"]) == ("✓ verified", "captured")
    assert row["size"].endswith("bytes")


def test_a_file_is_missing_or_gone(reader, shop):
    """It is missing as long as it is applied."""
    migrate("shop", "0002")
    shop.delete("0002_a", "0003_b")
    assert files(reader) == {"0001_initial": "✓ on disk", "0002_a": "✗ missing", "0003_b": "∅ no file"}
    assert rows(reader)["0003_b"]["applied"] == "○ not applied"


def test_a_file_was_edited(reader, shop):
    """Comments do not count; whether it does something else is told as verified last."""
    shop.migration("0002_a", add("product", "a", "TextField(null=True)"), "# nothing", after="0001_initial")
    assert files(reader)["0002_a"] == "✓ on disk"
    shop.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    assert files(reader)["0002_a"] == "≈ modified"
    list(Verifier(connection).findings())
    assert files(reader)["0002_a"] == "≠ modified: operations"
    shop.migration("0002_a", add("product", "a", "FloatField(null=True)"), after="0001_initial")
    assert files(reader)["0002_a"] == "≈ modified"


def test_a_file_cannot_be_read(reader, shop):
    """It is in no encoding that it says."""
    (shop.path / "0002_a.py").write_bytes(b"\xff\xfe no text")
    assert files(reader)["0002_a"] == "? unreadable"


def test_a_baseline_is_none_that_is_missing(reader, shop):
    """It had no file already when we were installed."""
    shop.delete("0003_b")
    key = shop.key("0003_b")
    of_record = {"app_label": key[0], "migration_name": key[1], "record_id": record_id(key)}
    signature = MissingBeforeInstall(connection).signature(key, record_id(key))
    BaselineMigration.objects.create(**of_record, signature=signature)
    assert files(reader)["0003_b"] == "◇ missing before install"


def test_a_squash_replaces_what_is_gone(reader, shop):
    """As in the commands."""
    squash = create("Product", a="TextField(null=True)", b="TextField(null=True)")
    names = ["0001_initial", "0002_a", "0003_b"]
    shop.migration("0001_squashed", squash, replaces=[shop.key(name) for name in names])
    migrate("shop")
    shop.delete(*names)
    found = files(reader)
    assert {found[name] for name in names if name in found} == {"⊂ squashed"}
    assert found["0001_squashed"] == "✓ on disk"


def test_an_app_is_removed_or_disabled(reader, shop, settings):
    """Then nothing of it is missing."""
    settings.MIGRATION_MODULES = {"shop": None}
    assert set(files(reader).values()) == {"‖ disabled"}
    settings.MIGRATION_MODULES = {}
    settings.INSTALLED_APPS = [one for one in settings.INSTALLED_APPS if one != "shop"]
    assert set(files(reader).values()) == {"⊘ stale app"}


def words_of_the_command(name: str) -> str:
    """Return what `show_stored_migrations` says of a file."""
    return {one.key[1]: one.of_file for one in statuses_of(connection, ["shop"])}[name]


def test_what_a_file_has_taken_over_is_superseded(reader, shop):
    """As the command says, though no file is imported; also where the file is not in sight."""
    shop.migration("0001_initial", create("Product", a="TextField(null=True)", b="TextField(null=True)"))
    shop.delete("0002_a", "0003_b")
    assert words_of_the_command("0002_a") == "recreated"
    forget_modules("shop")
    assert set(rows(reader, "?file=missing")) == set()
    assert files(reader) == {
        "0001_initial": "≈ modified",
        "0002_a": "⊃ recreated",
        "0003_b": "⊃ recreated",
    }
    reading.forget()
    assert files(reader, "?file=recreated&q=0003") == {"0003_b": "⊃ recreated"}
    assert counts(reader)["recreated"] == 2
    assert not [name for name in sys.modules if name.startswith("shop.migrations.")]


def test_a_file_that_does_not_make_the_same_supersedes_nothing(reader, shop):
    """What is missing has made something of its own."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0001_initial", create("Product", a="TextField(null=True)"))
    found = {name: words_of_the_command(name) for name in ("0002_a", "0003_b")}
    assert {name: word.partition(" ")[2] for name, word in files(reader).items() if name in found} == found


@pytest.fixture
def product():
    """A model of the app that is in force."""
    meta = type("Meta", (), {"app_label": "shop", "db_table": "shop_product"})
    model = type("Product", (models.Model,), {"__module__": "shop.models", "Meta": meta})
    yield model
    del apps.all_models["shop"]["product"]
    apps.clear_cache()


def test_a_table_is_in_use(reader, shop, product):
    """What made it is missing, and stays where nobody names it."""
    shop.delete("0001_initial", "0002_a", "0003_b")
    names = ("0001_initial", "0002_a", "0003_b")
    found = {name: words_of_the_command(name) for name in names}
    assert found["0001_initial"] == "missing (in use)"
    found["0001_initial"] = "missing (table in use)"
    assert {name: word.partition(" ")[2] for name, word in files(reader).items()} == found
    assert set(rows(reader, "?file=table_in_use")) == {"0001_initial"}
    assert set(rows(reader, "?file=missing")) == {"0002_a", "0003_b"}


@pytest.mark.parametrize(
    "query, names",
    [
        ("?file=missing", {"0003_b"}),
        ("?file=modified&app_label=shop", {"0002_a"}),
        ("?file=on_disk&app_label=shop", {"0001_initial"}),
        ("?applied=no&app_label=shop", set()),
        ("?applied=yes&app_label=shop", {"0001_initial", "0002_a", "0003_b"}),
        ("?q=FloatField&app_label=shop", {"0002_a"}),
        ("?q=0003&app_label=shop", {"0003_b"}),
        ("?origin=captured&app_label=shop&file=missing", {"0003_b"}),
        ("?file=nonsense", set()),
    ],
)
def test_filters_and_search(reader, app, query, names):
    """They work on all rows, and together."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "FloatField(null=True)"), after="0001_initial")
    app.migration("0003_b", add("product", "b", "TextField(null=True)"), after="0002_a")
    migrate("shop")
    app.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    app.delete("0003_b")
    assert set(rows(reader, query)) == names


def test_the_line_above_counts_all(reader, shop):
    """Each number leads to those that it counts; what nobody has compared yet is said."""
    shop.delete("0003_b")
    found = counts(reader, "?app_label=shop")
    assert found["missing"] == 1
    assert found["stored"] == MigrationCode.objects.count()
    assert found["not compared with their files yet"] > 0
    rows(reader, "?file=modified")
    found = counts(reader)
    assert "not compared with their files yet" not in found
    assert sum(found.get(one, 0) for one in ("missing", "on disk", "modified")) == found["stored"]


def test_another_database_is_chosen(reader, shop):
    """Every link on the page stays with it."""
    migrate("shop", database="other")
    shop.delete("0003_b")
    migrate("shop", "0002", database="default")
    assert files(reader)["0003_b"] == "∅ no file"
    assert files(reader, "?database=other&app_label=shop")["0003_b"] == "✗ missing"
    page = reader.get(LIST + "?database=other&app_label=shop").content.decode()
    link = unescape(re.search(r'href="([^"]*\d/change/[^"]*)"', page)[1])
    assert "database=other" in link
    assert reader.get(link).status_code == 200


def test_a_database_that_is_none_is_the_default(reader, shop):
    """An address that was made up is no error."""
    assert set(rows(reader, "?database=nowhere&app_label=shop")) == {"0001_initial", "0002_a", "0003_b"}


def test_no_migration_is_imported(reader, shop):
    """Neither those of the project nor what is stored."""
    forget_modules("shop")
    for query in ("", "?file=on_disk", "?file=missing"):
        reader.get(LIST + query)
    assert not [name for name in sys.modules if name.startswith("shop.migrations.")]


def test_a_time_out_of_range_can_be_listed(reader, shop):
    """SQLite keeps whatever it is given."""
    if connection.vendor != "sqlite":
        pytest.skip("other databases refuse it")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_migrations_code SET stored_at = '2020-99-99 00:00:00' WHERE app_label = 'shop'"
        )
    assert rows(reader)["0002_a"]["stored"] == "?"


# Scale


def many(apps: int, each: int) -> None:
    """Store made-up migrations, all recorded."""
    entries = [_entry((f"app{number}", f"{one:04}_x")) for number in range(apps) for one in range(each)]
    Store(connection).put(entries)


def _entry(key) -> NewSource:
    metadata = describe(in_memory(".".join(key)))
    return NewSource(key=key, module="x", text=f"{key}", metadata=metadata, origin="captured")


def queries(client, query: str) -> int:
    with CaptureQueriesContext(connection) as found:
        assert client.get(LIST + query).status_code == 200
    return len(found)


@pytest.mark.parametrize("query", ["", "?file=missing", "?file=modified", "?applied=yes", "?q=x"])
def test_queries_do_not_grow_with_the_rows(reader, query):
    """They are as many for three hundred as for three."""
    try:
        many(1, 3)
        few = queries(reader, query)
        many(10, 30)
        assert queries(reader, query) <= few + 1 <= 25
    finally:
        MigrationCode.objects.filter(app_label__startswith="app").delete()


def test_many_apps_are_chosen_from(reader):
    """Hundreds of links would be read by nobody; what else was asked for stays."""
    many(40, 1)
    try:
        page = reader.get(LIST + "?applied=no&q=x&app_label=app7").content.decode()
        form = page[page.index('<form method="get" class="rewind-choice">') :]
        form = form[: form.index("</form>")]
        assert 'name="applied" value="no"' in form
        assert 'name="q" value="x"' in form
        assert re.findall(r'<option value="(\w+)" selected>', form) == ["app7"]
        assert set(rows(reader, "?applied=no&app_label=app7")) == {"0000_x"}
        assert set(re.findall(r'<option value="(app\d+)"', form)) == {f"app{one}" for one in range(40)}
        # All of them are what is chosen first.
        assert rows(reader, "?app_label=") == rows(reader, "")
    finally:
        MigrationCode.objects.filter(app_label__startswith="app").delete()


def test_no_more_files_are_read_than_rows_shown(reader, shop, monkeypatch):
    """And none twice, as long as it stays as it is."""
    reads = []
    real = reading.ReadFiles.text
    monkeypatch.setattr(reading.ReadFiles, "text", lambda self, key: reads.append(key) or real(self, key))
    rows(reader)
    assert sorted(reads) == [shop.key(name) for name in ("0001_initial", "0002_a", "0003_b")]
    rows(reader)
    rows(reader, "?file=modified&app_label=shop")
    others = [key for key in reads[3:] if key[0] == "shop"]
    assert others == []
    reads.clear()
    shop.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    assert files(reader, "?file=modified") == {"0002_a": "≈ modified"}
    assert reads == [shop.key("0002_a")]
    reads.clear()
    # What is missing is told from what is superseded by the files of its app, once.
    reading.forget()
    shop.delete("0003_b")
    for _ in range(2):
        assert files(reader, "?file=missing") == {"0003_b": "✗ missing"}
    assert sorted(reads) == [shop.key(name) for name in ("0001_initial", "0002_a")]
