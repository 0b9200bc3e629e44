"""Make the table for bundled modules and files; it ends up unmanaged, as the others do."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0003_take_over")]

    operations = [
        migrations.CreateModel(
            name="StoredContent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("content", models.BinaryField()),
                ("stored_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"db_table": "django_migrations_code_content"},
        ),
        migrations.AlterModelManagers(
            name="storedcontent",
            managers=[("not_dumped", models.Manager())],
        ),
        migrations.AlterModelOptions(
            name="storedcontent",
            options={
                "managed": False,
                "base_manager_name": "not_dumped",
                "default_manager_name": "not_dumped",
                "ordering": ["digest"],
                "verbose_name": "bundled content",
                "verbose_name_plural": "bundled contents",
            },
        ),
    ]
