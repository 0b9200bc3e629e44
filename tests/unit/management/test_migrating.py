"""Which `migrate` a command of ours runs, and where; `tests/beside/test_tenants.py` does it with real schemas."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.management.base import BaseCommand

from django_rewind.management import migrating


class Plain(BaseCommand):
    """The `migrate` of a project: it notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, object] = {}

    def add_arguments(self, parser):
        parser.add_argument("app_label", nargs="?")
        parser.add_argument("--database")

    def handle(self, **options):
        self.told = options


class WithSchemas(Plain):
    """It leaves its connection at another schema, as that of django-tenants does."""

    def __init__(self, connection) -> None:
        super().__init__()
        self.connection = connection

    def add_arguments(self, parser):
        super().add_arguments(parser)
        parser.add_argument("--schema", dest="schema_name")

    def handle(self, **options):
        super().handle(**options)
        self.connection.set_tenant("another")
        if options["app_label"] == "broken":
            raise ValueError


class Connection:
    """What django-tenants adds to Django's."""

    alias, schema_name, tenant = "default", "east", "east's"

    def set_tenant(self, tenant):
        self.tenant = tenant


def has(monkeypatch, command):
    monkeypatch.setattr(migrating, "get_commands", lambda: {"migrate": command})
    return command


def test_without_schemas(monkeypatch):
    """It is told of the database, and of nothing that it does not know."""
    command = has(monkeypatch, Plain())
    migrating.migrate(SimpleNamespace(alias="other"), "shop")
    assert (command.told["app_label"], command.told["database"]) == ("shop", "other")


def test_within_a_schema_that_the_command_does_not_know(monkeypatch):
    """Then it works wherever the connection looks."""
    command = has(monkeypatch, Plain())
    migrating.migrate(Connection())
    assert "schema_name" not in command.told


@pytest.mark.parametrize("app_label", ["shop", "broken"])
def test_within_a_schema(monkeypatch, app_label):
    """It is told of that one, and the connection is back there afterwards, come what may."""
    connection = Connection()
    command = has(monkeypatch, WithSchemas(connection))
    try:
        migrating.migrate(connection, app_label)
    except ValueError:
        assert app_label == "broken"
    assert command.told["schema_name"] == "east"
    assert connection.tenant == "east's"
