"""The project's own `migrate`, run by a command of ours where the command itself is at work."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command, get_commands, load_command_class


def migrate(connection: Any, *target: str, **options: Any) -> None:
    """
    Run `migrate`, whichever app's it is, on the database and in the schema of a connection.

    The `migrate` of django-tenants goes through all schemas unless it is told of one,
    and leaves its connection at another; without it there is one schema.
    """
    # A name; or the command, where somebody has loaded it already.
    app: Any = get_commands()["migrate"]
    command: Any = load_command_class(app, "migrate") if isinstance(app, str) else app
    schema, tenant = (getattr(connection, name, None) for name in ("schema_name", "tenant"))
    known = {action.dest for action in command.create_parser("", "migrate")._actions} if schema else ()
    if "schema_name" in known:
        options["schema_name"] = schema
    # What is still missing then, the command at work has said itself.
    command.says_what_is_missing = False
    try:
        call_command(command, *target, database=connection.alias, **options)
    finally:
        if tenant is not None:
            connection.set_tenant(tenant)
