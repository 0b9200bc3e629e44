"""
Have the tables take any name and any text, whatever the encoding and the collation of the database.

Schema operations on an unmanaged model are silent no-ops: `managed` is set around
what changes a table of ours.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

from django_rewind.backends.fields import AnyTextField


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


def of_any_length(model: str, names: dict[str, Any]) -> list[Any]:
    return [
        migrations.AlterModelOptions(name=model, options=options(managed=True, **names)),
        # With the package before it, it is longer than the name of a migration.
        migrations.AlterField(model_name=model, name="module", field=AnyTextField(default="")),
        migrations.AlterModelOptions(name=model, options=options(managed=False, **names)),
    ]


def tell_names_apart(apps: Any, schema_editor: Any) -> None:
    """Compare names to the letter"""
    # Imported here: a migration is imported by every command, this is run once.
    from django_rewind.storage.upgrade import alter_name_columns, set_own_aside

    alter_name_columns(apps, schema_editor.connection)
    set_own_aside(apps, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("django_rewind", "0006_ledger")]

    operations = [
        *of_any_length("migrationcode", CODE),
        *of_any_length("migrationcodehistory", HISTORY),
        migrations.RunPython(tell_names_apart, migrations.RunPython.noop, elidable=False),
    ]
