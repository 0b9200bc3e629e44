from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Control", [("id", models.BigAutoField(primary_key=True))]),
        # As ours: TransactionTestCase empties the tables of managed models.
        migrations.AlterModelOptions("Control", {"managed": False}),
    ]
