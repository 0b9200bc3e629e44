"""
Make the table for the identity of the database, and room for what the signatures say of it.

Schema operations on an unmanaged model are silent no-ops: `managed` is set around
what changes a table of ours.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def options(*, managed: bool, **names: Any) -> dict[str, Any]:
    managers = {"base_manager_name": "not_dumped", "default_manager_name": "not_dumped"}
    return {"managed": managed, **managers, **names}


CODE = {
    "ordering": ["app_label", "migration_name"],
    "verbose_name": "stored migration",
    "verbose_name_plural": "stored migrations",
}
HISTORY = {
    "ordering": ["app_label", "migration_name", "replaced_at", "id"],
    "verbose_name": "earlier revision",
    "verbose_name_plural": "earlier revisions",
}
BASELINE = {
    "ordering": ["app_label", "migration_name"],
    "verbose_name": "migration missing before install",
    "verbose_name_plural": "migrations missing before install",
}
VERIFICATION = {
    "ordering": ["app_label", "migration_name"],
    "verbose_name": "verification",
    "verbose_name_plural": "verifications",
}
LEDGER = {
    "ordering": ["id"],
    "verbose_name": "audit log entry",
    "verbose_name_plural": "audit log entries",
}


def with_a_column(model: str, column: str, length: int, names: dict[str, Any]) -> list[Any]:
    field = models.CharField(default="", max_length=length)
    return [
        migrations.AlterModelOptions(name=model, options=options(managed=True, **names)),
        migrations.AddField(model_name=model, name=column, field=field),
        migrations.AlterModelOptions(name=model, options=options(managed=False, **names)),
    ]


def unsign(apps: Any, schema_editor: Any) -> None:
    """Take away signatures that are for no database, or for one that is not named any more"""
    # Imported here: a migration is imported by every command, this is run once.
    from django_rewind.storage.upgrade import unsign

    unsign(apps, schema_editor.connection)


def note_missing(apps: Any, schema_editor: Any) -> None:
    """Remember what was missing before install"""
    from django_rewind.storage.upgrade import note_missing_before_install

    note_missing_before_install(apps, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0007_any_text")]

    operations = [
        # First, so that it goes last: it takes notes of what is undone where the database takes nothing back.
        *with_a_column("migrationevent", "signature", 64, LEDGER),
        migrations.CreateModel(
            name="DatabaseIdentity",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("identity", models.CharField(max_length=32)),
                ("signature", models.CharField(default="", max_length=64)),
                ("key_fingerprint", models.CharField(default="", max_length=16)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"db_table": "django_migrations_identity"},
        ),
        migrations.AlterModelManagers(
            name="databaseidentity",
            managers=[("not_dumped", models.Manager())],
        ),
        migrations.AlterModelOptions(
            name="databaseidentity",
            options=options(
                managed=False,
                verbose_name="identity of the database",
                verbose_name_plural="identities of the database",
            ),
        ),
        *with_a_column("migrationcode", "signed_for", 32, CODE),
        *with_a_column("migrationcodehistory", "signed_for", 32, HISTORY),
        *with_a_column("baselinemigration", "signature", 64, BASELINE),
        *with_a_column("migrationverification", "result_signature", 64, VERIFICATION),
        migrations.RunPython(unsign, unsign, elidable=False),
        migrations.RunPython(note_missing, migrations.RunPython.noop, elidable=False),
    ]
