"""The databases of the benchmarks: made, copied and dropped, on SQLite or PostgreSQL."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

__all__ = ["KINDS", "Databases", "PostgreSQL", "SQLite"]


class Databases(Protocol):
    """Databases by name; `settings` is what a project puts in `DATABASES`."""

    def settings(self, name: str) -> dict[str, object]: ...

    def make(self, name: str, template: str | None = None) -> dict[str, object]:
        """Make a database, empty or as another one is, in the place of what was there, and return its settings."""

    def drop_all(self) -> None: ...


class SQLite:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self, name: str) -> dict[str, object]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self._path(name))}

    def make(self, name: str, template: str | None = None) -> dict[str, object]:
        self._path(name).unlink(missing_ok=True)
        if template is not None:
            shutil.copyfile(self._path(template), self._path(name))
        return self.settings(name)

    def drop_all(self) -> None:
        """Leave it to whoever made the folder."""

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.sqlite3"


class PostgreSQL:
    """Databases on a server that the environment names as it does for the tests, with names that nobody else has."""

    def __init__(self, folder: Path) -> None:
        self.server = {
            "HOST": os.environ.get("REWIND_PG_HOST", "127.0.0.1"),
            "PORT": os.environ.get("REWIND_PG_PORT", "5432"),
            "USER": os.environ.get("REWIND_PG_USER", "postgres"),
            "PASSWORD": os.environ.get("REWIND_PG_PASSWORD", ""),
        }
        self.prefix = f"benchmark_{uuid.uuid4().hex[:12]}"
        self._made: set[str] = set()

    def settings(self, name: str) -> dict[str, object]:
        return {"ENGINE": "django.db.backends.postgresql", "NAME": f"{self.prefix}_{name}", **self.server}

    def make(self, name: str, template: str | None = None) -> dict[str, object]:
        made = self.settings(name)
        self._drop(str(made["NAME"]))
        self._made.add(str(made["NAME"]))
        like = "" if template is None else f' TEMPLATE "{self.settings(template)["NAME"]}"'
        self._execute(f'CREATE DATABASE "{made["NAME"]}"{like}')
        return made

    def drop_all(self) -> None:
        for name in self._made:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{name}"')

    def _execute(self, statement: str) -> None:
        import psycopg

        server = {key.lower(): value for key, value in self.server.items()}
        with psycopg.connect(dbname="postgres", autocommit=True, **server) as connection:  # type: ignore[arg-type]
            connection.execute(statement.encode())


KINDS: dict[str, type[SQLite | PostgreSQL]] = {"sqlite": SQLite, "postgresql": PostgreSQL}
