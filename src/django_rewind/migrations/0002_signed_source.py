"""
Add to the table of 0.1.0 what recovery needs, and its two companions.

The tables end up unmanaged, so that `flush` and `TransactionTestCase` leave
their rows alone. Schema operations on an unmanaged model are silent no-ops:
whatever changes these tables later has to set `managed` around itself.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from django_rewind.backends.fields import AnyTextField, NameField


def stored_text_fields() -> list[tuple[str, models.Field[Any, Any]]]:
    return [
        ("module", models.CharField(default="", max_length=255)),
        ("metadata", models.TextField(default="{}")),
        ("provenance", models.CharField(default="captured", max_length=16)),
        ("digest", models.CharField(default="", max_length=64)),
        ("signature", models.CharField(default="", max_length=64)),
        ("key_fingerprint", models.CharField(default="", max_length=16)),
        ("record_id", models.BigIntegerField(null=True)),
    ]


def big_auto_id() -> tuple[str, models.Field[Any, Any]]:
    return (
        "id",
        models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
    )


def unmanaged(model: str, **names: Any) -> list[Any]:
    return [
        migrations.AlterModelManagers(name=model, managers=[("not_dumped", models.Manager())]),
        migrations.AlterModelOptions(
            name=model,
            options={
                "managed": False,
                "base_manager_name": "not_dumped",
                "default_manager_name": "not_dumped",
                **names,
            },
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="migrationcode",
            name="app_label",
            # As long as django_migrations.app.
            field=NameField(db_index=True, max_length=255),
        ),
        *(
            migrations.AddField(model_name="migrationcode", name=name, field=field)
            for name, field in stored_text_fields()
        ),
        migrations.CreateModel(
            name="MigrationCodeHistory",
            fields=[
                big_auto_id(),
                *stored_text_fields(),
                ("app_label", NameField(max_length=255)),
                ("migration_name", NameField(max_length=255)),
                ("source_code", AnyTextField()),
                ("stored_at", models.DateTimeField()),
                ("replaced_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "django_migrations_code_history",
                "indexes": [
                    models.Index(
                        fields=["app_label", "migration_name"],
                        name="django_migr_code_history_idx",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BaselineMigration",
            fields=[
                big_auto_id(),
                ("app_label", NameField(max_length=255)),
                ("migration_name", NameField(max_length=255)),
                ("record_id", models.BigIntegerField()),
            ],
            options={
                "db_table": "django_migrations_baseline",
                "unique_together": {("app_label", "migration_name")},
            },
        ),
        *unmanaged(
            "migrationcode",
            ordering=["app_label", "migration_name"],
            verbose_name="stored migration",
            verbose_name_plural="stored migrations",
        ),
        *unmanaged(
            "migrationcodehistory",
            ordering=["app_label", "migration_name", "replaced_at", "id"],
            verbose_name="earlier revision",
            verbose_name_plural="earlier revisions",
        ),
        *unmanaged(
            "baselinemigration",
            ordering=["app_label", "migration_name"],
            verbose_name="migration missing before install",
            verbose_name_plural="migrations missing before install",
        ),
    ]
