"""What users write, for the type checker to read; it is never run."""

from __future__ import annotations

from django_rewind.models import MigrationCode


def source_of(app_label: str, migration_name: str) -> str:
    stored = MigrationCode.objects.get(app_label=app_label, migration_name=migration_name)
    return stored.source_code


def stored_names(alias: str) -> list[str]:
    return [str(stored) for stored in MigrationCode.objects.using(alias).order_by("stored_at")]
