"""
Make the audit log, and the columns that bind each stored source to its record.

Schema operations on an unmanaged model are silent no-ops: `managed` is set around
what changes a table of ours.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from django_rewind.backends.fields import NameField


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


def tied_to_its_record(model: str, names: dict[str, Any]) -> list[Any]:
    proof = models.CharField(default="", max_length=64)
    serial = models.PositiveIntegerField(default=0)
    return [
        migrations.AlterModelOptions(name=model, options=options(managed=True, **names)),
        migrations.AddField(model_name=model, name="proof", field=proof),
        migrations.AddField(model_name=model, name="serial", field=serial),
        migrations.AlterModelOptions(name=model, options=options(managed=False, **names)),
    ]


def unsign(apps: Any, schema_editor: Any) -> None:
    """Take away signatures that know of no serial number and no record"""
    # Imported here: a migration is imported by every command, this is run once.
    from django_rewind.storage.upgrade import unsign

    unsign(apps, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0005_verification")]

    operations = [
        *tied_to_its_record("migrationcode", CODE),
        *tied_to_its_record("migrationcodehistory", HISTORY),
        migrations.CreateModel(
            name="MigrationEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(db_index=True)),
                ("event", models.CharField(max_length=16)),
                ("app_label", NameField(max_length=255)),
                ("migration_name", NameField(max_length=255)),
                ("record_id", models.BigIntegerField(null=True)),
                ("digest", models.CharField(default="", max_length=64)),
                ("serial", models.PositiveIntegerField(null=True)),
                ("source", models.CharField(default="", max_length=8)),
                ("seconds", models.FloatField(null=True)),
                ("detail", models.TextField(default="")),
                ("alias", models.CharField(max_length=255)),
                ("django", models.CharField(max_length=32)),
                ("python", models.CharField(max_length=32)),
                ("os_user", models.CharField(default="", max_length=255)),
                ("host", models.CharField(default="", max_length=255)),
                ("pid", models.BigIntegerField()),
                ("commit", models.CharField(default="", max_length=64)),
                ("branch", models.CharField(default="", max_length=255)),
            ],
            options={
                "db_table": "django_migrations_code_ledger",
                "indexes": [
                    models.Index(
                        fields=["app_label", "migration_name"],
                        name="django_migr_code_ledger_idx",
                    )
                ],
            },
        ),
        migrations.AlterModelManagers(
            name="migrationevent",
            managers=[("not_dumped", models.Manager())],
        ),
        migrations.AlterModelOptions(
            name="migrationevent",
            options=options(
                managed=False,
                ordering=["id"],
                verbose_name="audit log entry",
                verbose_name_plural="audit log entries",
            ),
        ),
        migrations.RunPython(unsign, unsign, elidable=False),
    ]
