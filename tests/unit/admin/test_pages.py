"""The pages over what is stored are there to be read."""

from __future__ import annotations

import re
import sys
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection, migrations
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_rewind.models import MigrationCode
from django_rewind.sources.description import describe
from django_rewind.sources.stored import NewSource
from django_rewind.storage.store import Store
from tests.support.fixtures import in_memory, row

KEY = ("shop", "0001_initial")
HOSTILE = "<script>alert('it')</script>\nimport marks_of_admin\nraise SystemExit\n"
LIST = "/admin/django_rewind/migrationcode/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored() -> MigrationCode:
    """A row whose every text is hostile."""
    migration = in_memory("shop.0001_initial", migrations.RunSQL("<b>SELECT</b>"))
    entry = NewSource(
        key=KEY, module="<i>module</i>", text=HOSTILE, metadata=describe(migration), origin="captured"
    )
    Store(connection).put([entry])
    return row(KEY)


def page(stored: MigrationCode, action: str = "change") -> str:
    return reverse(f"admin:django_rewind_migrationcode_{action}", args=[stored.pk])


def client_of(client, *permissions: str, **values: object):
    """Log somebody in who has these permissions."""
    user = get_user_model().objects.create_user("somebody", password="x", **values)
    names = [f"{permission}_migrationcode" for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


@pytest.fixture
def reader(client):
    """Staff who may look."""
    return client_of(client, "view", is_staff=True)


@pytest.fixture
def staff(client):
    """Staff without any permission."""
    return client_of(client, is_staff=True)


def test_who_may_look_sees_the_list(reader, stored):
    """The address is one of the names that are fixed."""
    answer = reader.get(LIST)
    assert answer.status_code == 200
    assert "0001_initial" in answer.content.decode()
    assert reverse("admin:django_rewind_migrationcode_changelist") == LIST


@pytest.mark.parametrize("query", ["?q=0001", "?app_label=shop", "?origin=captured", "?o=2"])
def test_the_list_can_be_searched_and_filtered(reader, stored, query):
    """What is found is shown."""
    answer = reader.get(LIST + query)
    assert answer.status_code == 200
    assert "0001_initial" in answer.content.decode()


def test_the_list_reads_no_source(reader, stored):
    """A table full of sources is not fetched for a page of names."""
    with CaptureQueriesContext(connection) as queries:
        reader.get(LIST)
    # The database is asked for its length.
    texts = [one["sql"].upper() for one in queries if "source_code" in one["sql"]]
    assert texts
    measured = r"LENGTH\((CAST\()?[^()]*SOURCE_CODE[^()]*\)"
    assert not [sql for sql in texts if "SOURCE_CODE" in re.sub(measured, "", sql)]


def test_who_may_look_sees_a_stored_migration(reader, stored):
    """Its text, escaped, and nothing to change it with."""
    answer = reader.get(page(stored))
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert "<script>alert('it')</script>" in unescape(re.sub("<[^>]*>", "", shown))
    for hostile in ("<script>alert", "<i>module", "<b>SELECT"):
        assert hostile not in shown
    for name in ("source_code", "metadata", "signature", "_save"):
        assert f'name="{name}"' not in shown


def test_looking_executes_nothing(reader, stored, monkeypatch):
    """The text is only text."""
    monkeypatch.delitem(sys.modules, "marks_of_admin", raising=False)
    for address in (LIST, page(stored)):
        reader.get(address)
    assert "marks_of_admin" not in sys.modules


def test_a_tampered_row_can_be_looked_at(reader, stored):
    """A page is what somebody needs then."""
    MigrationCode.objects.filter(pk=stored.pk).update(source_code="forged", metadata="{", signature="x")
    assert reader.get(LIST).status_code == 200
    assert "forged" in reader.get(page(stored)).content.decode()


def test_without_permission_there_is_nothing_to_see(staff, stored):
    """Staff alone is not enough."""
    assert staff.get(LIST).status_code == 403
    assert staff.get(page(stored)).status_code == 403


@pytest.mark.parametrize("what", ["change", "history", "delete", "graph"])
def test_without_permission_nothing_is_looked_up(staff, stored, what):
    """The same answer, from the same queries, whether something is there or not."""
    present, absent = (
        (f"{LIST}graph/shop/", f"{LIST}graph/nothing/")
        if what == "graph"
        else (f"{LIST}{pk}/{what}/" for pk in (stored.pk, stored.pk + 1000))
    )
    seen = []
    for address in (present, absent):
        with CaptureQueriesContext(connection) as queries:
            answer = staff.get(address)
        assert answer.status_code == 403
        assert "django_migrations" not in str(queries.captured_queries)
        seen.append(answer.content)
    assert seen[0] == seen[1]


def test_without_a_login_there_is_a_login(client, stored):
    """As everywhere in the admin."""
    for address in (LIST, page(stored)):
        answer = client.get(address)
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


def attempts(stored: MigrationCode) -> list[tuple[str, dict[str, object]]]:
    values = {"app_label": "shop", "migration_name": "0001_initial", "source_code": "forged", "_save": "Save"}
    selected = {"action": "delete_selected", "_selected_action": [stored.pk], "post": "yes"}
    return [
        (LIST + "add/", values),
        (page(stored), values),
        (page(stored, "delete"), {"post": "yes"}),
        (LIST, selected),
    ]


@pytest.mark.parametrize("number", range(4), ids=["add", "change", "delete", "action"])
@pytest.mark.parametrize("who", ["superuser", "all permissions"])
def test_nobody_writes_there(client, stored, who, number):
    """Neither a superuser nor who was given every permission of the model."""
    if who == "superuser":
        client_of(client, is_staff=True, is_superuser=True)
    else:
        client_of(client, "add", "change", "delete", "view", is_staff=True)
    before = list(MigrationCode.objects.order_by("pk").values())
    address, values = attempts(stored)[number]
    answer = client.post(address, values)
    # The list has no actions: what is posted to it is a list asked for.
    assert answer.status_code == (403 if number < 3 else 200)
    assert list(MigrationCode.objects.order_by("pk").values()) == before


def test_there_is_no_page_to_write_on(admin_client, stored):
    """Not even to a superuser."""
    assert admin_client.get(LIST + "add/").status_code == 403
    assert admin_client.get(page(stored, "delete")).status_code == 403
    assert 'name="action"' not in admin_client.get(LIST).content.decode()


def test_only_the_current_texts_have_pages():
    """What is registered is the one model."""
    registered = [model for model in admin.site._registry if model._meta.app_label == "django_rewind"]
    assert registered == [MigrationCode]
