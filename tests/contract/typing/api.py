"""What users write, for the type checker to read; it is never run."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from django_rewind.models import MigrationCode
from django_rewind.signals import post_capture, post_rewind_step, pre_capture, pre_rewind_step


def source_of(app_label: str, migration_name: str) -> str:
    stored = MigrationCode.objects.get(app_label=app_label, migration_name=migration_name)
    return stored.source_code


def stored_names(alias: str) -> list[str]:
    return [str(stored) for stored in MigrationCode.objects.using(alias).order_by("stored_at")]


heard: list[str] = []


@receiver([pre_rewind_step, post_rewind_step, pre_capture, post_capture])
def note(sender: Any, migration: tuple[str, str], using: str, source: str, **kwargs: Any) -> None:
    app_label, name = migration
    heard.append(f"{using}: {app_label}.{name} ({source})")
