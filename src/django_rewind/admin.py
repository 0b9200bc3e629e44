"""A read-only look at what is stored. Nothing here executes any of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import connections, router
from django.db.models import QuerySet
from django.http import HttpRequest

from .models import MigrationCode
from .store import Store


@admin.register(MigrationCode)
class MigrationCodeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """
    Stored migrations, to read.

    Who may change a row could have code executed by the next `migrate`: nobody
    adds, edits or deletes here, whatever permissions they have.
    """

    list_display = ["app_label", "migration_name", "provenance", "stored_at"]
    list_filter = ["app_label", "provenance"]
    search_fields = ["app_label", "migration_name"]
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[MigrationCode]:
        connection = connections[router.db_for_read(MigrationCode)]
        rows = Store(connection).all().order_by("app_label", "migration_name")
        return rows.defer("source_code")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False
