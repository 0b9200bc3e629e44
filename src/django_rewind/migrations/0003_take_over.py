"""
Describe the rows of version 0.1.0. Nothing is signed.

In a migration of its own: PostgreSQL does not alter a table in a transaction
that has changed its rows.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations


def take_over(apps: Any, schema_editor: Any) -> None:
    """Describe what version 0.1.0 stored"""
    # Imported here: a migration is imported by every command, this is run once.
    from django_rewind.storage.upgrade import describe_imported

    describe_imported(apps, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0002_signed_source")]

    operations = [migrations.RunPython(take_over, migrations.RunPython.noop, elidable=False)]
