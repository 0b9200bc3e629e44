"""
Pages to look at what is stored, in Django's admin.

They show, and do nothing else: nothing stored is executed, no migration is imported,
and nobody changes a row, whatever permissions they have.
"""

from __future__ import annotations

from django.contrib import admin

from django_rewind.models import MigrationCode

from .options import MigrationCodeAdmin

__all__ = ["MigrationCodeAdmin"]

admin.site.register(MigrationCode, MigrationCodeAdmin)
