"""What `loaddata` may do to the tables of django-rewind."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from ..models import DatabaseIdentity, MigrationCode, MigrationCodeHistory, MigrationEvent, StoredContent

# What tells a row from all others, beside the name of its migration.
_UNIQUE: dict[type[Model], list[str]] = {DatabaseIdentity: ["pk"], StoredContent: ["digest"]}


def keep_stored_row(*, instance: Model, raw: bool, using: str, **kwargs: Any) -> None:
    """
    Keep `loaddata` from replacing a stored row: what is here ran here.

    A receiver of `pre_save` of each of its models, which cannot refuse a row, but can make it the one
    that is there already. A row that is not there is added, bound to no record.
    """
    if not raw:
        return
    if isinstance(instance, (MigrationCodeHistory, MigrationEvent)):
        # There may be any number of them for a migration: none takes the place of another.
        instance.pk = None
        return
    names = _UNIQUE.get(type(instance), ["app_label", "migration_name"])
    model: Any = type(instance)
    rows = model.objects.using(using)
    present = rows.filter(**{name: getattr(instance, name) for name in names}).first()
    if present is None:
        if isinstance(instance, DatabaseIdentity):
            # This database is not the one that it was dumped from.
            instance.signature = ""
            return
        instance.pk = None
        if isinstance(instance, MigrationCode):
            instance.record_id, instance.proof = None, ""
        return
    for column in instance._meta.concrete_fields:
        setattr(instance, column.attname, getattr(present, column.attname))
