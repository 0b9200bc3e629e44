"""
What happens once in a database, when migrations of django-rewind are applied to it.

It works on the models as those migrations know them, not on those of today.
Someone who can delete the records of these migrations could have rows signed or bound
by having them applied again. SECURITY.md says what follows from that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db.migrations.loader import MigrationLoader

from ..backends import backend_for
from ..backends.fields import NameField
from ..models import MigrationCode
from ..sources import signing
from ..sources.bundle.modules import SourceUnavailable
from ..sources.description import module_of, read_text
from ..sources.signing import Verdict
from ..sources.static import parse
from ..sources.stored import binding_of, payload
from ..utils.types import APP_LABEL, Key
from .records import record_ids
from .tables import Tables


def _rows(apps: Any, connection: Any, model: str = "MigrationCode") -> Any:
    return apps.get_model(APP_LABEL, model)._base_manager.using(connection.alias)


def sign_imported(apps: Any, connection: Any) -> None:
    """
    Sign the rows of version 0.1.0, which hold nothing but a text.

    A text that cannot be parsed stays unsigned, and is refused by that name
    should it ever be needed.
    """
    _set_aside(apps, connection, _own_of_0_1(apps, connection))
    unsigned = list(_rows(apps, connection).filter(signature=""))
    _require_key(unsigned, "What version 0.1.0 has stored cannot be signed.")
    records = record_ids(connection)
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


def _own_of_0_1(apps: Any, connection: Any) -> Iterator[Any]:
    """
    Yield what version 0.1.0 stored of its own migration.

    Ours makes the same table in other words: it would differ for ever, with nothing to be done about it.
    """
    for row in _rows(apps, connection).filter(app_label=APP_LABEL, signature=""):
        row.provenance, row.digest = "inherited", signing.digest(row.source_code)
        yield row


def set_own_aside(apps: Any, connection: Any) -> None:
    """
    Keep as earlier revisions what is stored of django-rewind's own migrations and reads otherwise by now.

    So it is with the row of the one that runs: it was applied before, and has another record soon.
    """
    records = record_ids(connection)
    own = _rows(apps, connection).filter(app_label=APP_LABEL)
    old = [row for row in own if (APP_LABEL, row.migration_name) not in records or _has_another_file(row)]
    _set_aside(apps, connection, old)


def _has_another_file(row: Any) -> bool:
    try:
        return signing.digest(read_text(module_of((row.app_label, row.migration_name)))) != str(row.digest)
    except SourceUnavailable:
        return False


def _set_aside(apps: Any, connection: Any, rows: Iterable[Any]) -> None:
    """Move rows into the history; `reconcile` stores what is on disk in their place."""
    history = _rows(apps, connection, "MigrationCodeHistory")
    columns = [field.attname for field in history.model._meta.concrete_fields]
    for row in rows:
        values = {name: getattr(row, name) for name in columns if name not in ("id", "replaced_at")}
        history.create(**values)
        row.delete(using=connection.alias)


def drop_unfinished(connection: Any) -> None:
    """
    Drop the table of 0.1.0 where it is empty, before it is made.

    Where schema changes are final, a first `migrate` that failed has left it without its indexes.
    """
    tables = Tables(connection)
    is_left = not tables.backend.has_transactional_ddl and tables.exists(MigrationCode)
    if is_left and not MigrationCode.objects.using(connection.alias).exists():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(MigrationCode._meta.db_table)}")


def alter_name_columns(apps: Any, connection: Any) -> None:
    """Have names compared to the letter in tables that earlier versions have made."""
    for model in apps.get_app_config(APP_LABEL).get_models():
        columns = [field.column for field in model._meta.concrete_fields if isinstance(field, NameField)]
        if columns:
            backend_for(connection).alter_name_columns(model._meta.db_table, columns)


def note_missing_before_install(apps: Any, connection: Any) -> None:
    """
    Write down which applied migrations have no file at this moment.

    With a source from version 0.1.0 they can be rolled back when they are named, but
    nothing is known of what they do: they may be leftovers of a remade app.
    """
    model = apps.get_model(APP_LABEL, "BaselineMigration")
    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    known: set[Key] = set(loader.disk_migrations)
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    _rows(apps, connection, "BaselineMigration").bulk_create(
        [
            model(app_label=key[0], migration_name=key[1], record_id=record_id)
            for key, record_id in record_ids(connection).items()
            if key not in known
        ],
        batch_size=500,
    )


def refuse_without_a_key(apps: Any, connection: Any) -> None:
    """Look, before anything is altered, whether what is stored can be bound to its records."""
    bound = _recorded(apps, connection)
    _require_key(bound.exists(), "What is stored cannot be tied to its records.")


def bind_recorded(apps: Any, connection: Any) -> None:
    """
    Bind what was stored before there were bindings to the record that it names.

    What does not verify is left as it is, and refused.
    """
    for row in _recorded(apps, connection).filter(proof="").defer("source_code"):
        if _verifies(row):
            key = (row.app_label, row.migration_name)
            row.proof = binding_of(key, row.signature, row.key_fingerprint, row.record_id)
            row.save(using=connection.alias, update_fields=["proof"])


def drop_serials(apps: Any, connection: Any) -> None:
    """Sign without their serial numbers what verifies with them: the column is about to go."""
    numbered = list(_rows(apps, connection).filter(serial__gt=0).defer("source_code"))
    _require_key(numbered, "What is stored cannot be signed as it was before.")
    for row in numbered:
        if _verifies(row):
            row.serial = 0
            row.signature, row.key_fingerprint = signing.sign(_signed(row))
            row.save(using=connection.alias, update_fields=["serial", "signature", "key_fingerprint"])


def _require_key(is_needed: object, problem: str) -> None:
    """Raise where there is no key: these things are done only once."""
    problem_with_keys = signing.problem_with_keys()
    if problem_with_keys and is_needed:
        raise CommandError(f"{problem} {problem_with_keys}")


def _recorded(apps: Any, connection: Any) -> Any:
    return _rows(apps, connection).filter(record_id__isnull=False).exclude(signature="")


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
