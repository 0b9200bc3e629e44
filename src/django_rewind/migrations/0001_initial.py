"""Make the table that version 0.1.0 made, under the name that it gave the migration."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from django_rewind.backends.fields import AnyTextField, NameField


def clear_the_way(apps: Any, schema_editor: Any) -> None:
    """Drop the empty table of a first attempt that has failed"""
    # Imported here: a migration is imported by every command, this is run once.
    from django_rewind.storage.upgrade import drop_unfinished

    drop_unfinished(schema_editor.connection)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.RunPython(clear_the_way, migrations.RunPython.noop, elidable=False),
        migrations.CreateModel(
            name="MigrationCode",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app_label", NameField(db_index=True, max_length=100)),
                ("migration_name", NameField(db_index=True, max_length=255)),
                ("source_code", AnyTextField()),
                ("stored_at", models.DateTimeField(auto_now_add=True, db_index=True)),
            ],
            options={
                "db_table": "django_migrations_code",
                "ordering": ["app_label", "migration_name"],
            },
        ),
        migrations.AlterUniqueTogether(
            name="migrationcode",
            unique_together={("app_label", "migration_name")},
        ),
        migrations.AddIndex(
            model_name="migrationcode",
            index=models.Index(fields=["app_label", "migration_name"], name="django_migr_app_lab_d98bd3_idx"),
        ),
        migrations.AddIndex(
            model_name="migrationcode",
            index=models.Index(fields=["stored_at"], name="django_migr_stored__87212c_idx"),
        ),
    ]
