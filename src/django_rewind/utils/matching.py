"""Which migration is meant by a name, or by how it begins: an exact name comes first, as in Django."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management.base import CommandError

from .types import Key, names_of


def matching(keys: Iterable[Key], app_label: str, prefix: str) -> list[Key]:
    """Return the migration of an app that has this name, or else those that begin with it."""
    of_app = {key for key in keys if key[0] == app_label}
    exact = (app_label, prefix)
    return [exact] if exact in of_app else sorted(key for key in of_app if key[1].startswith(prefix))


def the_one(keys: Iterable[Key], app_label: str, prefix: str, *, otherwise: str) -> Key:
    """Return the one migration that is meant; without one, raise a CommandError that says *otherwise*."""
    found = matching(keys, app_label, prefix)
    if not found:
        raise CommandError(otherwise)
    if len(found) > 1:
        raise CommandError(
            f"More than one migration matches '{prefix}': {names_of(found)}. Please be more specific."
        )
    return found[0]
