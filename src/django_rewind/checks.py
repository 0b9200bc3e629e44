"""System checks, one function for each subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections

from . import conf
from .store import Store

__all__ = ["check_routers"]


@register(Tags.database)
def check_routers(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Say on which aliases nothing is captured because a router keeps our table out."""
    if not conf.in_force():
        return []
    return [
        Warning(
            f"Migrations of the database '{alias}' are not captured: a router keeps the "
            "table of django_rewind out of it.",
            hint=(
                "Let allow_migrate() of your DATABASE_ROUTERS answer True for the app "
                "'django_rewind' on every database that is migrated."
            ),
            id="django_rewind.W001",
        )
        for alias in databases or []
        if not Store(connections[alias]).is_allowed
    ]
