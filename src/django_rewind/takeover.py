"""
What happens once in a database, when `0003_take_over` is applied to it.

It works on the models as that migration knows them, not on those of today.
Someone who can delete our record of that migration could have rows signed by
having it applied again; SECURITY.md says what follows from that.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from . import signing
from .source import module_of, parse, payload
from .types import Key

__all__ = ["remember_baseline", "sign_inherited"]


def sign_inherited(apps: Any, connection: Any) -> None:
    """
    Sign the rows of version 0.1.0, which hold nothing but a text.

    A text that cannot be parsed stays unsigned, and is refused by that name
    should it ever be needed.

    Raises:
        CommandError: there is no key, and it is done only once.
    """
    rows = apps.get_model("django_rewind", "MigrationCode")._base_manager.using(connection.alias)
    records = {key: record.pk for key, record in MigrationRecorder(connection).applied_migrations().items()}
    unsigned = list(rows.filter(signature=""))
    problem = signing.problem_with_keys()
    if unsigned and problem:
        raise CommandError(f"What version 0.1.0 has stored cannot be signed. {problem}")
    for row in unsigned:
        key = (row.app_label, row.migration_name)
        try:
            row.metadata = parse(row.source_code).as_text()
        except ValueError:
            continue
        row.module = _module_of(key)
        row.provenance = "inherited"
        row.digest = signing.digest(row.source_code)
        row.record_id = records.get(key)
        row.signature, row.key_fingerprint = signing.sign(
            payload(
                key,
                module=row.module,
                metadata=row.metadata,
                source_digest=row.digest,
                provenance=row.provenance,
            )
        )
        row.save(using=connection.alias)


def _module_of(key: Key) -> str:
    try:
        return module_of(key)
    except LookupError:
        # Its app is not installed. When it is back, with its file, `reconcile` knows better.
        return f"{key[0]}.migrations.{key[1]}"


def remember_baseline(apps: Any, connection: Any) -> None:
    """
    Write down which applied migrations have no file at this moment.

    With a source from version 0.1.0 they can be undone when they are named, but
    nothing is known of what they do: they may be leftovers of a remade app.
    """
    baseline = apps.get_model("django_rewind", "BaselineMigration")
    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    known: set[Key] = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    baseline._base_manager.using(connection.alias).bulk_create(
        [
            baseline(app_label=key[0], migration_name=key[1], record_id=record.pk)
            for key, record in MigrationRecorder(connection).applied_migrations().items()
            if key not in known
        ],
        batch_size=500,
    )
