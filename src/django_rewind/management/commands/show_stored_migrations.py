from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from django_rewind.overview import Line, overview


class Command(BaseCommand):
    help = "Show which migrations are applied, stored and missing in a database."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("app_label", nargs="*", help="App labels; all apps without one.")
        parser.add_argument(
            "--database",
            default=DEFAULT_DB_ALIAS,
            help='Nominates a database to show. Defaults to the "default" database.',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        lines = overview(connections[options["database"]])
        wanted = options["app_label"] or sorted({line.key[0] for line in lines})
        for app_label in wanted:
            of_app = [line for line in lines if line.key[0] == app_label]
            if not of_app:
                raise CommandError(f"No migration of an app '{app_label}' is on disk, applied or stored.")
            self._show(app_label, of_app)

    def _show(self, app_label: str, lines: list[Line]) -> None:
        self.stdout.write(app_label, self.style.MIGRATE_LABEL)
        width = max(len(line.key[1]) for line in lines)
        for line in lines:
            box = "[X]" if line.is_applied else "[ ]"
            self.stdout.write(f" {box} {line.key[1]:<{width}}  {', '.join(line.words)}")
