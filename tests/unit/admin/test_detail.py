"""The page of a stored migration says all that is known of it, and executes nothing."""

from __future__ import annotations

import re
import sys
from html import unescape

import pytest
from django.core.management import CommandParser, get_commands, load_command_class
from django.db import connection, connections
from django.utils.html import strip_tags

from django_rewind.actions.verify import Verifier
from django_rewind.admin.diff import TooLong, rows_of
from django_rewind.admin.highlight import highlighted, lines_of
from django_rewind.models import MigrationCode
from django_rewind.storage.store import Store
from django_rewind.utils.printable import printable
from tests.support import hostile
from tests.support.fixtures import chain_of_three, forget_modules, migrate, row
from tests.support.helpers import add, create

pytestmark = pytest.mark.deep

PAGE = "/admin/django_rewind/migrationcode/{}/change/"
DIFF = 'class="rewind-diff"'
COMMAND = re.compile(r'<code class="rewind-copy" dir="ltr">(.*?)</code>')

on_databases = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def shop(app):
    """A chain of three, applied."""
    return chain_of_three(app)


def page(client, name: str, query: str = "") -> str:
    answer = client.get(PAGE.format(row(("shop", name)).pk) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def box(shown: str) -> str:
    found = re.search(r'<section class="rewind-box.*?</section>', shown, re.DOTALL)[0]
    return " ".join(unescape(strip_tags(found)).split())


def commands(shown: str) -> list[str]:
    return [unescape(command) for command in COMMAND.findall(shown)]


def section(shown: str, name: str) -> str:
    start = shown.index(f'<section aria-labelledby="rewind-{name}"')
    return shown[start : shown.index("</section>", start)]


def links(html: str) -> list[str]:
    return re.findall(r'<a href="[^"]*">([^<]*)</a>', html)


@on_databases
def test_the_box_says_what_there_is(reader, shop):
    """Each state in words, with the commands that help."""
    shown = page(reader, "0002_a")
    assert "on disk" in box(shown)
    assert commands(shown) == ["python manage.py verify_migrations shop"]
    assert "rewind-urgent" not in shown
    shop.delete("0003_b")
    shown = page(reader, "0003_b")
    assert "missing" in box(shown)
    assert "python manage.py rewind" in commands(shown)
    assert "rewind-urgent" in shown


@on_databases
@pytest.mark.parametrize(
    "state", ["missing", "edited", "differs", "tampered", "foreign", "unapplied", "gone"]
)
def test_every_command_can_be_typed(reader, shop, state):
    """Its parser takes it as it stands there."""
    if state == "missing":
        shop.delete("0003_b")
    elif state in ("edited", "differs"):
        shop.migration("0003_b", add("product", "b", "IntegerField(null=True)"), after="0002_a")
        if state == "differs":
            list(Verifier(connection).findings())
    elif state in ("unapplied", "gone"):
        migrate("shop", "0002")
        if state == "gone":
            shop.delete("0003_b")
    else:
        stored = MigrationCode.objects.filter(app_label="shop", migration_name="0003_b")
        stored.update(signature="0" * 64)
        if state == "foreign":
            stored.update(key_fingerprint="0" * 16)
    found = commands(page(reader, "0003_b"))
    assert found
    for line in found:
        python, manage, name, *words = line.split()
        assert (python, manage) == ("python", "manage.py")
        command = load_command_class(get_commands()[name], name)
        parser = command.create_parser("manage.py", name)
        assert isinstance(parser, CommandParser)
        parser.parse_args(words)


@on_databases
def test_what_an_edited_file_would_do_is_told_as_verified_last(reader, shop):
    """Nothing is loaded to find out."""
    shop.migration("0003_b", add("product", "b", "IntegerField(null=True)"), after="0002_a")
    assert "≈ modified" in box(page(reader, "0003_b"))
    list(Verifier(connection).findings())
    assert "≠ modified: operations" in box(page(reader, "0003_b"))
    assert "could be recovered" in box(page(reader, "0003_b"))


@on_databases
def test_an_edited_helper_counts_like_an_edited_file(reader, app):
    """The list looks at the file alone; the page looks at what goes with it too."""
    helper = app.path.parent / "helpers.py"
    helper.write_text("def fill(apps, editor):\n    return 1\n")
    app.migration(
        "0001_initial",
        create("Product"),
        "migrations.RunPython(helpers.fill, migrations.RunPython.noop)",
        header="from shop import helpers",
    )
    migrate("shop")
    shown = page(reader, "0001_initial")
    assert "✓ on disk" in box(shown)
    assert "shop.helpers module, 37 bytes" in " ".join(unescape(strip_tags(section(shown, "bundle"))).split())
    assert "return 1" in unescape(strip_tags(section(shown, "bundle")))
    helper.write_text("def fill(apps, editor):\n    return 2\n")
    assert "≈ modified" in box(page(reader, "0001_initial"))
    list(Verifier(connection).findings())
    assert "≠ modified: operations" in box(page(reader, "0001_initial"))


@on_databases
def test_the_source_has_numbers_that_are_no_part_of_it(reader, shop):
    """What is copied is the text; a line can be linked to."""
    shown = section(page(reader, "0002_a"), "source")
    assert 'id="L3"' in shown
    assert 'href="#L3"' in shown
    code = shown[shown.index("<code>") : shown.index("</code>")]
    assert unescape(strip_tags(code)) == Store(connection).texts([("shop", "0002_a")])["shop", "0002_a"]
    assert '<span class="rewind-keyword">class</span>' in code


@on_databases
def test_a_file_that_differs_is_shown_beside_what_is_stored(reader, shop):
    """And earlier texts beside any other."""
    shown = page(reader, "0002_a")
    assert DIFF not in shown
    shop.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    shown = section(page(reader, "0002_a"), "differences")
    (changed,) = re.findall(r'<tr class="rewind-changed">(.*?)</tr>', shown, re.DOTALL)
    assert "TextField" in changed
    assert changed.index("TextField") < changed.index("IntegerField")


@on_databases
def test_any_two_texts_are_compared(reader, shop):
    """As the address says."""
    migrate("shop", "0001")
    shop.migration("0002_a", add("product", "a", "FloatField(null=True)"), after="0001_initial")
    migrate("shop", "0002")
    shown = section(page(reader, "0002_a"), "differences")
    earlier = re.search(r'<option value="(\d+)"', shown)[1]
    shown = section(page(reader, "0002_a", f"?from={earlier}&to=stored"), "differences")
    assert shown.index("TextField") < shown.index("FloatField")
    shown = section(page(reader, "0002_a", f"?from=stored&to={earlier}"), "differences")
    assert shown.index("FloatField") < shown.index("TextField")
    assert "The texts are the same." in page(reader, "0002_a", "?from=stored&to=file")
    for nonsense in ("?from=1&to=nothing", "?from=999999&to=stored", "?from=/etc/passwd&to=file"):
        assert DIFF not in page(reader, "0002_a", nonsense)


@on_databases
def test_dependencies_are_links_in_both_directions(reader, shop):
    """To what is stored; the rest is named."""
    shown = section(page(reader, "0002_a"), "relations")
    assert links(shown) == ["shop.0001_initial", "shop.0003_b"]
    address = re.search(r'<a href="([^"]*)">shop.0003_b', shown)[1]
    assert reader.get(unescape(address)).status_code == 200


@on_databases
def test_the_audit_log_is_a_timeline(reader, shop):
    """The oldest first."""
    shown = unescape(strip_tags(section(page(reader, "0002_a"), "audit-log")))
    assert shown.index("source captured") < shown.index("applied")


@on_databases
def test_looking_imports_no_migration(reader, shop):
    """Neither the file nor what is stored is executed."""
    shop.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    forget_modules("shop")
    for name in ("0001_initial", "0002_a", "0003_b"):
        page(reader, name)
    assert not [name for name in sys.modules if name.startswith("shop.migrations.")]


@on_databases
def test_another_database_has_pages_of_its_own(reader, shop):
    """A number means another row there."""
    migrate("shop", database="other")
    pk = row(("shop", "0002_a"), "other").pk
    shown = reader.get(PAGE.format(pk) + "?database=other").content.decode()
    assert "shop.0002_a" in shown
    assert "verify_migrations shop --database other" in shown
    address = unescape(re.search(r'<a href="([^"]*)">shop.0003_b', shown)[1])
    assert "database=other" in address
    assert 'name="database" value="other"' in shown


@on_databases
@pytest.mark.parametrize("number", ["0", "99999999", "9" * 30, "x", "-1", "\u0663"])
def test_there_is_no_page_of_what_is_not_there(reader, shop, number):
    """Django says so, and leads elsewhere."""
    assert reader.get(PAGE.format(number)).status_code == 302


@on_databases
def test_names_are_no_options(reader, shop):
    """Somebody may have written a row to have a command copied."""
    stored = MigrationCode.objects.filter(app_label="shop", migration_name="0003_b")
    stored.update(migration_name="--noinput")
    assert commands(page(reader, "--noinput")) == []
    MigrationCode.objects.filter(migration_name="--noinput").update(migration_name="0003; rm -rf \u202e/")
    shown = page(reader, "0003; rm -rf \u202e/")
    assert "\u202e" not in shown
    assert any("'0003; rm -rf \\u202e/'" in command for command in commands(shown))


@on_databases
@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"needs": 1}', "null"])
def test_metadata_that_cannot_be_read_hide_nothing_else(reader, shop, metadata):
    """The source is shown all the same."""
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").update(metadata=metadata)
    shown = page(reader, "0002_a")
    assert "TextField" in shown
    assert "changed after it was signed" in box(shown)


# The parts


@pytest.mark.parametrize("name", sorted(hostile.TEXTS))
def test_every_text_is_shown_whole(name):
    """Escaped, and with the control characters spelled out."""
    text = hostile.TEXTS[name]
    lines = highlighted(text)
    assert [unescape(re.sub("<[^>]*>", "", line)) for line in lines] == [*map(printable, lines_of(text))]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "x = '</code><script>'", "# <b>&amp;", "def <i>():", "f'{<b>}'"]
)
def test_no_text_becomes_markup(text):
    """All that is markup is ours."""
    (line,) = highlighted(text)
    assert re.sub(r'</?span( class="rewind-\w+")?>', "", line).count("<") == 0
    assert unescape(re.sub(r'</?span( class="rewind-\w+")?>', "", line)) == text


def test_texts_side_by_side():
    """What is far from a difference is left out."""
    before = "".join(f"line = {number}\n" for number in range(40))
    after = before.replace("line = 20\n", "line = 'twenty'\nmore = 1\n").replace("line = 30\n", "")
    rows = rows_of(before, after)
    kinds = [row.kind for row in rows]
    assert kinds.count("left-out") == 3
    assert [kind for kind in kinds if kind not in ("same", "left-out")] == ["changed", "added", "removed"]
    (removed,) = [row for row in rows if row.kind == "removed"]
    assert (removed.left.number, removed.right) == (31, None)
    assert rows_of(before, before) == []
    with pytest.raises(TooLong):
        rows_of("x\n" * 5_000, "y\n" * 5_000)


@on_databases
def test_a_text_that_was_changed_by_hand(reader, shop):
    """The page reads it, and says of nothing that it was verified or could be undone."""
    shop.delete("0003_b")
    list(Verifier(connection).findings())
    sound = box(page(reader, "0003_b"))
    assert "It can be undone with what is stored." in sound
    assert "it could be recovered" in sound
    MigrationCode.objects.filter(app_label="shop", migration_name="0003_b").update(source_code="import os")

    shown = page(reader, "0003_b")

    assert "It can be undone with what is stored." not in box(shown)
    assert "could be recovered" not in box(shown)
    assert "It is never used like that." in box(shown)
    assert "rewind-is-verified" not in shown
    assert "rewind-is-signature_mismatch" in shown
    assert "python manage.py backfill_migration_code shop" in commands(shown)


@on_databases
def test_what_was_verified_in_another_database_names_it(reader, shop):
    """Also the next step that was noted; it is noted without, since a copy may have another alias."""
    migrate("shop", database="other")
    shop.delete("0003_b")
    MigrationCode.objects.using("other").filter(migration_name="0003_b").update(metadata="{}")
    list(Verifier(connections["other"]).findings())
    pk = row(("shop", "0003_b"), "other").pk

    shown = reader.get(PAGE.format(pk) + "?database=other").content.decode()

    assert "'manage.py backfill_migration_code shop 0003_b --from-git --database other'" in box(shown)
