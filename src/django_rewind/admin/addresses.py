"""The addresses of the pages, each of which stays with its database."""

from __future__ import annotations

from django.urls import reverse

from .databases import in_database

__all__ = ["address_of", "app_address", "changelist_address", "overview_address"]


def address_of(pk: int, alias: str, admin_name: str) -> str:
    """Return the address of the page of a stored migration."""
    page = reverse("admin:django_rewind_migrationcode_change", args=[pk], current_app=admin_name)
    return in_database(page, alias)


def app_address(app_label: str, alias: str, admin_name: str) -> str:
    """Return the address of the picture of an app."""
    page = reverse("admin:django_rewind_migrationcode_app", args=[app_label], current_app=admin_name)
    return in_database(page, alias)


def overview_address(alias: str, admin_name: str) -> str:
    """Return the address of the picture of all apps."""
    page = reverse("admin:django_rewind_migrationcode_picture", current_app=admin_name)
    return in_database(page, alias)


def changelist_address(alias: str, admin_name: str) -> str:
    """Return the address of the list."""
    return in_database(reverse("admin:django_rewind_migrationcode_changelist", current_app=admin_name), alias)
