"""The picture shows how the migrations of an app hang together, and can be had as text."""

from __future__ import annotations

import re
import sys
from html import unescape
from xml.etree import ElementTree

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from django_rewind.admin.layout import layout_of
from django_rewind.inventory import reading
from django_rewind.models import MigrationCode
from tests.support.fixtures import applied, forget_modules, migrate, row
from tests.support.helpers import add, create

pytestmark = pytest.mark.deep

OVERVIEW = "/admin/django_rewind/migrationcode/graph/"
SVG = "{http://www.w3.org/2000/svg}"

on_databases = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def reader(client):
    """Staff who may look."""
    reading.forget()
    user = get_user_model().objects.create_user("somebody", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_migrationcode"))
    client.force_login(user)
    return client


@pytest.fixture
def shop(app):
    """Two branches and what brings them together, applied."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    app.migration("0002_b", add("product", "b", "TextField(null=True)"), after="0001_initial")
    app.migration("0003_merge", dependencies=[("shop", "0002_a"), ("shop", "0002_b")])
    migrate("shop")
    return app


def drawn(client, address: str) -> ElementTree.Element:
    answer = client.get(address)
    assert answer.status_code == 200
    html = answer.content.decode()
    start = html.index('<svg class="rewind-graph"')
    text = html[start : html.index("</svg>\n</div>", start)] + "</svg>"
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def titles(picture: ElementTree.Element) -> list[str]:
    return [one.text for one in picture.iter(f"{SVG}title")][1:]


@on_databases
def test_an_app_is_drawn(reader, shop):
    """In the order in which it was applied; branches stand side by side."""
    picture = drawn(reader, f"{OVERVIEW}shop/")
    assert titles(picture) == [f"shop.{name}: applied" for name in applied("shop")]
    circles = [*picture.iter(f"{SVG}circle")]
    assert len({one.get("cy") for one in circles}) == 4
    assert circles[1].get("cx") != circles[2].get("cx")
    assert len([*picture.iter(f"{SVG}path")]) == 4


@on_databases
def test_each_state_is_said(reader, shop):
    """In words and signs, and in the table."""
    migrate("shop", "0002_b")
    shop.delete("0002_b", "0003_merge")
    shop.migration("0002_a", add("product", "a", "IntegerField(null=True)"), after="0001_initial")
    shop.migration("0004_c", after="0002_a")
    MigrationCode.objects.filter(app_label="shop", migration_name="0001_initial").delete()
    reader.get("/admin/django_rewind/migrationcode/?file=modified")
    assert sorted(titles(drawn(reader, f"{OVERVIEW}shop/"))) == [
        "shop.0001_initial: applied, not stored",
        "shop.0002_a: applied, modified" if "0002_a" in applied("shop") else "shop.0002_a: not applied",
        "shop.0002_b: applied, missing",
        "shop.0003_merge: not applied, no file",
        "shop.0004_c: not applied, not stored",
    ]
    page = unescape(re.sub("<[^>]*>", " ", reader.get(f"{OVERVIEW}shop/").content.decode()))
    assert re.search(r"0004_c\s+not applied, not stored\s+0002_a", page)


@on_databases
def test_each_node_is_a_link_that_says_where_it_leads(reader, shop):
    """What is not stored has no page."""
    migrate("shop", "0002_a")
    MigrationCode.objects.filter(app_label="shop", migration_name="0001_initial").delete()
    picture = drawn(reader, f"{OVERVIEW}shop/")
    found = {link.get("href"): link.find(f"{SVG}title").text for link in picture.iter(f"{SVG}a")}
    assert len(found) == 3
    address = f"/admin/django_rewind/migrationcode/{row(shop.key('0002_a')).pk}/change/"
    assert found[address] == "shop.0002_a: applied"
    assert reader.get(address).status_code == 200
    assert f'href="{OVERVIEW}shop/#m' in reader.get(address).content.decode()


@on_databases
def test_all_apps_are_an_overview(reader, shop):
    """Each leads to its own."""
    shop.delete("0003_merge")
    picture = drawn(reader, OVERVIEW)
    assert "shop: 3 applied, 1 missing" in titles(picture)
    assert f"{OVERVIEW}shop/" in [link.get("href") for link in picture.iter(f"{SVG}a")]


@on_databases
def test_pictures_are_of_one_database(reader, shop):
    """And lead to pages of the same."""
    picture = drawn(reader, f"{OVERVIEW}shop/?database=other")
    assert {title.rpartition(": ")[2] for title in titles(picture)} == {"not applied, not stored"}
    migrate("shop", database="other")
    picture = drawn(reader, f"{OVERVIEW}shop/?database=other")
    assert all("database=other" in link.get("href") for link in picture.iter(f"{SVG}a"))
    assert "database=other" in drawn(reader, f"{OVERVIEW}?database=other").find(f"{SVG}a").get("href")


@on_databases
def test_drawing_imports_no_migration(reader, shop):
    """What a file depends on is read in it."""
    MigrationCode.objects.filter(app_label="shop").delete()
    forget_modules("shop")
    assert len([*drawn(reader, f"{OVERVIEW}shop/").iter(f"{SVG}path")]) == 4
    drawn(reader, OVERVIEW)
    assert not [name for name in sys.modules if name.startswith("shop.migrations.")]


@on_databases
def test_names_and_metadata_that_are_markup_are_text(reader, shop):
    """Also in the middle of a drawing."""
    stored = MigrationCode.objects.filter(app_label="shop", migration_name="0003_merge")
    stored.update(migration_name="</svg><script>alert(1)</script>", metadata='{"dependencies": ["<b>"]}')
    for address in (f"{OVERVIEW}shop/", OVERVIEW):
        assert "<script>alert" not in reader.get(address).content.decode()
    assert "shop.</svg><script>alert(1)</script>: not applied, no file" in titles(
        drawn(reader, f"{OVERVIEW}shop/")
    )


@on_databases
def test_migrations_that_depend_on_one_another_are_drawn(reader, shop):
    """Somebody may have written that into our table."""
    for name, other in (("0002_a", "0002_b"), ("0002_b", "0002_a")):
        stored = row(shop.key(name))
        metadata = stored.metadata.replace("0001_initial", other)
        MigrationCode.objects.filter(pk=stored.pk).update(metadata=metadata)
    assert len(titles(drawn(reader, f"{OVERVIEW}shop/"))) == 4


@on_databases
@pytest.mark.parametrize("address", [OVERVIEW, f"{OVERVIEW}shop/"])
def test_who_may_not_look_sees_no_picture(client, shop, address):
    """A login for who has none, and no for the others."""
    assert client.get(address).status_code == 302
    client.force_login(get_user_model().objects.create_user("staff", password="x", is_staff=True))
    assert client.get(address).status_code == 403


@on_databases
def test_an_app_that_is_none_is_not_found(reader, shop):
    """Whatever it is called."""
    for name in ("nothing", "a/b", "%00", "shop/0001"):
        assert reader.get(f"{OVERVIEW}{name}/").status_code == 404


@on_databases
def test_queries_are_few(reader, shop):
    """However many migrations there are."""
    for address in (OVERVIEW, f"{OVERVIEW}shop/"):
        with CaptureQueriesContext(connection) as found:
            reader.get(address)
        assert len(found) <= 20


# Lanes


def keys(*names: str) -> list[tuple[str, str]]:
    return [("shop", name) for name in names]


def test_a_chain_is_one_lane():
    """From top to bottom."""
    a, b, c = keys("a", "b", "c")
    layout = layout_of([a, b, c], {b: [a], c: [b]})
    assert (set(layout.columns.values()), layout.width) == ({0}, 1)


def test_a_lane_is_used_again():
    """A branch that was brought back leaves its place to the next."""
    a, b, c, d, e, f, g = keys(*"abcdefg")
    layout = layout_of([a, b, c, d, e, f, g], {b: [a], c: [a], d: [b, c], e: [d], f: [d], g: [e, f]})
    assert [layout.columns[key] for key in (a, b, c, d, e, f, g)] == [0, 0, 1, 0, 0, 1, 0]
    assert layout.width == 2


any_graph = st.integers(1, 25).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, max(0, at - 1)), max_size=3) for at in range(size)))
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(any_graph)
def test_no_line_goes_through_a_migration_or_along_another_line(graph):
    """Whatever hangs on what."""
    order = keys(*map(str, range(len(graph))))
    parents = {order[at]: [order[one] for one in before if one != at] for at, before in enumerate(graph)}
    layout = layout_of(order, parents)
    taken: dict[tuple[int, int], object] = {}
    for edge in layout.edges:
        for number in range(layout.rows[edge.parent] + 1, layout.rows[edge.child]):
            assert taken.setdefault((number, edge.column), edge) is edge
    for key in order:
        assert (layout.rows[key], layout.columns[key]) not in taken
    assert {(edge.parent, edge.child) for edge in layout.edges} == {
        (parent, key) for key in order for parent in parents[key]
    }
