"""Which database a request looks at, and addresses that stay with it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db import connections, router
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from django_rewind.models import MigrationCode
from django_rewind.storage.store import Store

from .survey import Survey

# The parameter in an address.
DATABASE = "database"


def alias_of(request: HttpRequest) -> str:
    """Return the database that was asked for, or the one that the routers read stored migrations from."""
    wanted = request.GET.get(DATABASE, "")
    if wanted in connections.databases and Store(connections[wanted]).is_allowed:
        return wanted
    return _by_default()


def _by_default() -> str:
    return str(router.db_for_read(MigrationCode))


def aliases() -> list[str]:
    """Return the databases to choose from; none where there is no choice."""
    allowed = [alias for alias in connections if Store(connections[alias]).is_allowed]
    return allowed if len(allowed) > 1 else []


def survey_of(request: HttpRequest) -> Survey:
    """Return what is known of the database, read once for a request."""
    alias = alias_of(request)
    name = f"_rewind_survey_{alias}"
    if not hasattr(request, name):
        setattr(request, name, Survey(connections[alias]))
    survey: Survey = getattr(request, name)
    return survey


def in_database(address: str, alias: str, **values: object) -> str:
    query = {**({} if alias == _by_default() else {DATABASE: alias}), **values}
    return f"{address}?{urlencode(query)}" if query else address


def address_of(page: str, *args: Any, alias: str, admin_name: str) -> str:
    """Return the address of a page: "changelist", "change" of a row, "graph" of all apps, "app"."""
    name = "admin:django_rewind_migrationcode_"
    try:
        address = reverse(f"{name}{page}", args=args, current_app=admin_name)
    except NoReverseMatch:
        # No address has a name that is empty, or of two lines.
        address = reverse(f"{name}graph", current_app=admin_name)
    return in_database(address, alias)
