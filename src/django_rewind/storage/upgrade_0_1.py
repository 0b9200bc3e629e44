"""
What happens once in a database, when `0003_take_over` and `0006_ledger` are applied to it.

It works on the models as those migrations know them, not on those of today.
Someone who can delete our records of these migrations could have rows signed or proven
by having them applied again; SECURITY.md says what follows from that.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ..sources import signing
from ..sources.description import module_of, parse, payload
from ..sources.signing import Verdict
from ..sources.stored import binding_of
from ..utils.types import Key
from .records import record_ids

__all__ = ["forget_serials", "prove_recorded", "refuse_without_a_key", "remember_baseline", "sign_inherited"]


def sign_inherited(apps: Any, connection: Any) -> None:
    """
    Sign the rows of version 0.1.0, which hold nothing but a text.

    A text that cannot be parsed stays unsigned, and is refused by that name
    should it ever be needed.

    Raises:
        CommandError: there is no key, and it is done only once.
    """
    rows = apps.get_model("django_rewind", "MigrationCode")._base_manager.using(connection.alias)
    _set_aside_its_own(apps, rows)
    records = record_ids(connection)
    unsigned = list(rows.filter(signature=""))
    problem = signing.problem_with_keys()
    if unsigned and problem:
        raise CommandError(f"What version 0.1.0 has stored cannot be signed. {problem}")
    for row in unsigned:
        key = (row.app_label, row.migration_name)
        try:
            row.metadata = parse(row.source_code, longest=sys.maxsize).as_text()
        except ValueError:
            continue
        row.module = _module_of(key)
        row.provenance = "inherited"
        row.digest = signing.digest(row.source_code)
        row.record_id = records.get(key)
        row.signature, row.key_fingerprint = signing.sign(_signed(row))
        row.save(using=connection.alias)


def _set_aside_its_own(apps: Any, rows: Any) -> None:
    """
    Keep what version 0.1.0 stored of its own migration as an earlier text.

    Ours makes the same table in other words: it would differ for ever, with nothing to be done about it.
    `reconcile` stores ours.
    """
    history = apps.get_model("django_rewind", "MigrationCodeHistory")._base_manager.using(rows.db)
    own = rows.filter(app_label="django_rewind", signature="")
    for row in own:
        history.create(
            app_label=row.app_label,
            migration_name=row.migration_name,
            source_code=row.source_code,
            stored_at=row.stored_at,
            provenance="inherited",
            digest=signing.digest(row.source_code),
        )
    own.delete()


def refuse_without_a_key(apps: Any, connection: Any) -> None:
    """
    Look, before anything is altered, whether what is stored can be tied to its records.

    Raises:
        CommandError: there is no key, and it is done only once.
    """
    problem = signing.problem_with_keys()
    if problem and _recorded(apps, connection).exists():
        raise CommandError(f"What is stored cannot be tied to its records. {problem}")


def _recorded(apps: Any, connection: Any) -> Any:
    rows = apps.get_model("django_rewind", "MigrationCode")._base_manager.using(connection.alias)
    return rows.filter(record_id__isnull=False).exclude(signature="")


def prove_recorded(apps: Any, connection: Any) -> None:
    """
    Tie what was stored before there were proofs to the record that it names.

    What does not verify is left as it is, and refused.
    """
    for row in _recorded(apps, connection).filter(proof="").defer("source_code"):
        if _verifies(row):
            key = (row.app_label, row.migration_name)
            row.proof = binding_of(key, row.signature, row.key_fingerprint, row.record_id)
            row.save(using=connection.alias, update_fields=["proof"])


def forget_serials(apps: Any, connection: Any) -> None:
    """
    Sign without their serial numbers what verifies with them: the column is about to go.

    Raises:
        CommandError: there is no key.
    """
    rows = apps.get_model("django_rewind", "MigrationCode")._base_manager.using(connection.alias)
    numbered = list(rows.filter(serial__gt=0).defer("source_code"))
    problem = signing.problem_with_keys()
    if numbered and problem:
        raise CommandError(f"What is stored cannot be signed as it was before. {problem}")
    for row in numbered:
        if _verifies(row):
            row.serial = 0
            row.signature, row.key_fingerprint = signing.sign(_signed(row))
            row.save(using=connection.alias, update_fields=["serial", "signature", "key_fingerprint"])


def _verifies(row: Any) -> bool:
    return signing.verify(_signed(row), row.signature, row.key_fingerprint) is Verdict.VERIFIED


def _signed(row: Any) -> list[str]:
    return payload(
        (row.app_label, row.migration_name),
        module=row.module,
        metadata=row.metadata,
        source_digest=row.digest,
        origin=row.provenance,
        # As 0003 knows the model, it has no such column yet.
        serial=getattr(row, "serial", 0),
    )


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
