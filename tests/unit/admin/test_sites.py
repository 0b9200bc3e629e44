"""The pages are at home in anybody's admin: another site, another language, a strict policy."""

from __future__ import annotations

import re
import sys
from html import unescape
from types import ModuleType

import django
import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import override_settings
from django.urls import path, reverse
from django.utils import translation

from django_rewind.admin import MigrationCodeAdmin
from django_rewind.models import MigrationCode, MigrationCodeHistory, MigrationEvent
from tests.support import hostile
from tests.support.fixtures import migrate, row
from tests.support.helpers import add, create

LIST = "/admin/django_rewind/migrationcode/"

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def shop(app):
    """A chain of two, applied; one of them is missing, the other was edited."""
    app.migration("0001_initial", create("Product"))
    app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    app.migration("0001_initial", create("Product", b="TextField(null=True)"))
    app.delete("0002_a")
    return app


@pytest.fixture
def superuser(client):
    """Who may do anything, but for this."""
    client.force_login(get_user_model().objects.create_superuser("somebody", password="x"))
    return client


def addresses() -> list[str]:
    pks = [row(("shop", name)).pk for name in ("0001_initial", "0002_a")]
    return [LIST, *(f"{LIST}{pk}/change/" for pk in pks), f"{LIST}graph/", f"{LIST}graph/shop/"]


def test_nothing_is_inline(superuser, shop):
    """No script, style or handler of ours stands in a page: a policy may forbid them."""
    for address in addresses():
        page = superuser.get(address).content.decode()
        assert not re.search(r"<style|<[^>]* style=|<[^>]* on\w+=|javascript:", page)
        assert not [
            one for one in re.findall(r"<script([^>]*)>", page) if "src=" not in one and "json" not in one
        ]
        assert 'href="/static/django_rewind/admin.css"' in page


def test_another_admin_site(client, shop):
    """All links stay on it."""
    site = admin.AdminSite(name="backstage")
    site.register(MigrationCode, MigrationCodeAdmin)
    module = ModuleType("tests_backstage_urls")
    module.urlpatterns = [path("backstage/", site.urls)]
    sys.modules[module.__name__] = module
    client.force_login(get_user_model().objects.create_superuser("somebody", password="x"))
    with override_settings(ROOT_URLCONF=module.__name__):
        for address in addresses():
            page = client.get(address.replace("/admin/", "/backstage/"))
            assert page.status_code == 200
            assert 'href="/admin/' not in page.content.decode()
            assert 'href="/backstage/django_rewind/migrationcode/' in page.content.decode()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_page_changes_anything(superuser, shop, method):
    """Whatever is sent to it by whomever."""
    models = (MigrationCode, MigrationCodeHistory, MigrationEvent)
    before = [list(model.objects.order_by("pk").values()) for model in models]
    values = {"source_code": "forged", "_save": "Save", "action": "delete_selected", "post": "yes"}
    for address in addresses():
        send = getattr(superuser, method)
        send(address, values) if method == "post" else send(address)
    assert [list(model.objects.order_by("pk").values()) for model in models] == before


def test_the_history_of_a_page_is_no_way_around(client, shop):
    """Who may not look gets nothing from Django's own pages either."""
    client.force_login(get_user_model().objects.create_user("staff", password="x", is_staff=True))
    for address in [*addresses(), addresses()[1].replace("change", "history")]:
        assert client.get(address).status_code == 403


def test_numbers_are_the_same_in_every_language(superuser, shop, settings):
    """A line is linked to by its number, however numbers are written."""
    settings.USE_THOUSAND_SEPARATOR = True
    if django.VERSION < (4, 0):
        settings.USE_L10N = True
    stored = MigrationCode.objects.get(app_label="shop", migration_name="0002_a")
    MigrationCode.objects.filter(pk=stored.pk).update(source_code="x = 1\n" * 1_200)
    with translation.override("de"):
        page = superuser.get(f"{LIST}{stored.pk}/change/", HTTP_ACCEPT_LANGUAGE="de").content.decode()
    assert 'id="L1200"' in page
    assert 'href="#L1200"' in page


@pytest.mark.parametrize("name", ["escapes", "surrogate", "nul", "no python", "null bytes", "brackets"])
def test_hostile_texts_have_pages(superuser, shop, name):
    """Every page is there, and no control character is sent."""
    text = hostile.TEXTS.get(name, hostile.EXPRESSIONS.get(name, ""))
    if connection.vendor != "sqlite":
        text = text.replace("\0", "").replace("\ud800", "")
    with connection.cursor() as cursor:
        value = text if connection.vendor != "sqlite" else text.encode("utf-8", "surrogatepass")
        cursor.execute("UPDATE django_migrations_code SET source_code = %s WHERE app_label = 'shop'", [value])
    for address in addresses():
        page = superuser.get(address)
        assert page.status_code == 200
        assert not re.search(hostile.CONTROL, unescape(page.content.decode()).replace("\r", ""))


def test_static_files_are_in_the_package():
    """Where Django looks for them."""
    for name in ("django_rewind/admin.css", "django_rewind/copy.js"):
        with override_settings(
            STATICFILES_FINDERS=["django.contrib.staticfiles.finders.AppDirectoriesFinder"]
        ):
            finders.get_finder.cache_clear()
            assert finders.find(name)


def test_the_list_says_where_nothing_is_stored(superuser, shop):
    """A database without our tables is no error."""
    from tests.support.fixtures import hidden

    with hidden("django_migrations_code", "other"):
        for address in (LIST, f"{LIST}graph/", f"{LIST}graph/shop/"):
            page = superuser.get(f"{address}?database=other")
            assert page.status_code == 200
        assert "has no tables of django-rewind" in superuser.get(f"{LIST}?database=other").content.decode()


def test_the_addresses_have_names():
    """As others may link to them."""
    assert reverse("admin:django_rewind_migrationcode_graph") == f"{LIST}graph/"
    assert reverse("admin:django_rewind_migrationcode_app", args=["shop"]) == f"{LIST}graph/shop/"
