"""Make the table that version 0.1.0 made, under the name that it gave the migration."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="MigrationCode",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("app_label", models.CharField(db_index=True, max_length=100)),
                ("migration_name", models.CharField(db_index=True, max_length=255)),
                ("source_code", models.TextField()),
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
