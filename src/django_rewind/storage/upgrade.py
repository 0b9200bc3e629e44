"""
What happens once in a database, when migrations of django-rewind are applied to it.

It works on the models as those migrations know them, not on those of today. Nothing here signs or binds
a stored source: whoever can delete the records of these migrations can have them applied again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import transaction
from django.db.migrations.loader import MigrationLoader

from ..backends import backend_for
from ..backends.fields import NameField
from ..models import MigrationCode, Origin
from ..sources import signing
from ..sources.bundle.modules import SourceUnavailable
from ..sources.description import module_of, read_text
from ..sources.static import parse
from ..utils.types import APP_LABEL, Key
from .facts import MissingBeforeInstall
from .records import record_ids
from .tables import Tables


def _rows(apps: Any, connection: Any, model: str = "MigrationCode") -> Any:
    return apps.get_model(APP_LABEL, model)._base_manager.using(connection.alias)


def describe_imported(apps: Any, connection: Any) -> None:
    """
    Write down what the texts say that version 0.1.0 has stored, and which records they may stand for.

    They stay unsigned. Filling in stores the file in the place of what is the same program. The rest is for
    a person to look at. A text that cannot be parsed stays as it is.
    """
    _set_aside(apps, connection, _own_of_0_1(apps, connection))
    records = record_ids(connection)
    for row in _rows(apps, connection).filter(signature=""):
        key = (row.app_label, row.migration_name)
        try:
            row.metadata = parse(row.source_code, longest=sys.maxsize).as_text()
        except ValueError:
            continue
        row.module = _module_of(key)
        row.provenance = "inherited"
        row.digest = signing.digest(row.source_code)
        row.record_id = records.get(key)
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
    Write down, signed, which applied migrations have no file at this moment, and were never captured.

    With a source from version 0.1.0 they can be rolled back when they are named, but
    nothing is known of what they do: they may be leftovers of a remade app. A database that has
    an identity was asked before. What is missing by now may have been captured since.
    """
    facts = MissingBeforeInstall(connection)
    if facts.identity.value:
        return
    loader = MigrationLoader(connection, load=False)
    loader.load_disk()
    # Where a run died after this, it is there already.
    known: set[Key] = set(loader.disk_migrations)
    known.update(_rows(apps, connection, "BaselineMigration").values_list("app_label", "migration_name"))
    for migration in loader.disk_migrations.values():
        known.update(migration.replaces)
    captured = _rows(apps, connection).exclude(provenance=Origin.INHERITED)
    known.update(captured.values_list("app_label", "migration_name"))
    rows = _rows(apps, connection, "BaselineMigration")
    # Together with the identity: a process that is killed here begins anew.
    with transaction.atomic(using=connection.alias):
        for key, record_id in sorted(record_ids(connection).items()):
            if key not in known:
                values = {"record_id": record_id, "signature": facts.signature(key, record_id)}
                rows.update_or_create(app_label=key[0], migration_name=key[1], defaults=values)


def unsign(apps: Any, connection: Any) -> None:
    """
    Take away signatures of a form that is not verified any more, and the bindings with them.

    What has its file is filled in from that, and signed then. The rest is for a person to look at.
    """
    model = apps.get_model(APP_LABEL, "MigrationCode")
    columns = {field.attname for field in model._meta.concrete_fields}
    emptied = dict.fromkeys({"signature", "key_fingerprint", "proof"} & columns, "")
    _rows(apps, connection).exclude(signature="").update(**emptied)


def _module_of(key: Key) -> str:
    try:
        return module_of(key)
    except LookupError:
        # Its app is not installed. When it is back, with its file, `reconcile` knows better.
        return f"{key[0]}.migrations.{key[1]}"
