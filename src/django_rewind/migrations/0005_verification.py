"""
Make the table for verifications, and let people acknowledge what was missing before install.

Schema operations on an unmanaged model are silent no-ops: `managed` is set around
what changes a table of ours.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from django_rewind.backends.fields import AnyTextField, NameField


def options(*, managed: bool, **names: Any) -> dict[str, Any]:
    managers = {"base_manager_name": "not_dumped", "default_manager_name": "not_dumped"}
    return {"managed": managed, **managers, **names}


BASELINE = {
    "ordering": ["app_label", "migration_name"],
    "verbose_name": "migration missing before install",
    "verbose_name_plural": "migrations missing before install",
}


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0004_stored_content")]

    operations = [
        migrations.AlterModelOptions(name="baselinemigration", options=options(managed=True, **BASELINE)),
        migrations.AddField(
            model_name="baselinemigration",
            name="forgotten_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterModelOptions(name="baselinemigration", options=options(managed=False, **BASELINE)),
        migrations.CreateModel(
            name="MigrationVerification",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app_label", NameField(max_length=255)),
                ("migration_name", NameField(max_length=255)),
                ("verified_at", models.DateTimeField()),
                ("problem", AnyTextField(default="")),
                ("next_step", AnyTextField(default="")),
                ("differs", models.CharField(default="", max_length=64)),
                ("signature", models.CharField(max_length=64)),
                ("file_digest", models.CharField(default="", max_length=64)),
            ],
            options={
                "db_table": "django_migrations_code_verification",
                "unique_together": {("app_label", "migration_name")},
            },
        ),
        migrations.AlterModelManagers(
            name="migrationverification",
            managers=[("not_dumped", models.Manager())],
        ),
        migrations.AlterModelOptions(
            name="migrationverification",
            options=options(
                managed=False,
                ordering=["app_label", "migration_name"],
                verbose_name="verification",
                verbose_name_plural="verifications",
            ),
        ),
    ]
