"""The models fit their migrations, and the names that are fixed."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from django_rewind.models import BaselineMigration, MigrationCode, MigrationCodeHistory

pytestmark = pytest.mark.django_db

MODELS = [MigrationCode, MigrationCodeHistory, BaselineMigration]


def test_makemigrations_finds_nothing(capsys):
    """Ours would land in the installed package."""
    call_command("makemigrations", "django_rewind", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


def test_makemigrations_finds_nothing_with_another_default_key(capsys, settings):
    """The project's `DEFAULT_AUTO_FIELD` is not ours."""
    settings.DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
    call_command("makemigrations", "django_rewind", check=True, dry_run=True)


def test_the_table_has_its_name():
    """Databases of version 0.1.0 have it already."""
    assert MigrationCode._meta.db_table == "django_migrations_code"


@pytest.mark.parametrize("model", MODELS)
def test_every_column_is_there(model):
    """What the model says is what the migrations made."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, model._meta.db_table)
    assert {one.name for one in found} == {field.column for field in model._meta.concrete_fields}


def test_the_names_are_as_long_as_those_of_django():
    """`django_migrations` allows 255 characters for both."""
    MigrationCode.objects.create(app_label="a" * 255, migration_name="n" * 255, source_code="")
    assert MigrationCode.objects.filter(app_label="a" * 255, migration_name="n" * 255).exists()


def test_constraints_and_indexes_are_those_of_the_first_version():
    """Under their names, and one row for each migration."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "django_migrations_code")
    assert {"django_migr_app_lab_d98bd3_idx", "django_migr_stored__87212c_idx"} <= set(found)
    assert ["app_label", "migration_name"] in [one["columns"] for one in found.values() if one["unique"]]
    for column in ("app_label", "migration_name", "stored_at"):
        assert [column] in [one["columns"] for one in found.values() if one["index"]]


@pytest.mark.parametrize("model", MODELS)
def test_no_table_is_managed(model):
    """`flush` empties those that are."""
    assert model._meta.managed is False
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    assert model._meta.db_table not in tables


@pytest.mark.parametrize("model", MODELS)
def test_each_is_called_what_it_is(model):
    """In the words of Django's own output."""
    assert str(model(app_label="shop", migration_name="0001_initial")) == "shop.0001_initial"


def test_rows_come_in_the_order_of_their_names():
    """By app, then by migration."""
    for name in ("0002", "0001"):
        MigrationCode.objects.create(app_label="shop", migration_name=name, source_code="")
    found = MigrationCode.objects.filter(app_label="shop")
    assert [one.migration_name for one in found] == ["0001", "0002"]
