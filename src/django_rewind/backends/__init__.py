"""What differs from one kind of database to the next: one class for each vendor."""

from __future__ import annotations

from typing import Any

from .base import Backend
from .locks import DatabaseLock
from .mysql import MySQL
from .postgresql import PostgreSQL
from .sqlite import SQLite

__all__ = ["Backend", "DatabaseLock", "backend_for"]

_BACKENDS: dict[str, type[Backend]] = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MySQL}


def backend_for(connection: Any) -> Backend:
    """Return what answers for the database of a connection: `Backend` itself for an unknown vendor."""
    return _BACKENDS.get(connection.vendor, Backend)(connection)
