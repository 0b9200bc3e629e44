"""What differs from one kind of database to the next: one class for each vendor."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import Backend

__all__ = ["Backend", "backend_for"]

# A module by the name of the vendor, as Django names it, and its class.
_CLASSES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL"}


def backend_for(connection: Any) -> Backend:
    """Return what answers for the database of a connection: `Backend` itself for an unknown vendor."""
    vendor = connection.vendor
    if vendor not in _CLASSES:
        return Backend(connection)
    # Other vendors' modules are not imported, as Django does not import theirs.
    backend: Backend = getattr(import_module(f".{vendor}", __name__), _CLASSES[vendor])(connection)
    return backend
