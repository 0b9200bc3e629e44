"""System checks, one function for each subject. None executes stored code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.db import OperationalError, connections

from . import conf
from .sources import signing
from .sources.signing import Verdict
from .utils.frames import ask_callers
from .utils.types import APP_LABEL, Key, some_names_of

__all__ = [
    "check_databases",
    "check_excluded_apps",
    "check_is_enabled",
    "check_keys",
    "check_signatures_are_required",
    "check_signing_keys",
]

# More names than these are not printed; `show_stored_migrations` has them all.
_NAMED = 5


@register()
def check_is_enabled(**kwargs: Any) -> list[CheckMessage]:
    """Say that nothing is captured where it was switched off."""
    if conf.enabled():
        return []
    return [
        Warning(
            "django_rewind is installed and switched off: no migration is captured or recovered.",
            hint="Remove DJANGO_REWIND_ENABLED = False, or 'django_rewind' from INSTALLED_APPS.",
            id="django_rewind.W002",
        )
    ]


@register()
def check_excluded_apps(**kwargs: Any) -> list[CheckMessage]:
    """Say what it means that apps are excluded."""
    excluded = conf.excluded_apps()
    if not excluded or not conf.enabled():
        return []
    return [
        Info(
            f"Migrations of {', '.join(sorted(excluded))} are not captured: they can only be undone "
            "while their files are there.",
            hint="That is what DJANGO_REWIND_EXCLUDE says.",
            id="django_rewind.I001",
        )
    ]


@register(Tags.security, deploy=True)
def check_signing_keys(**kwargs: Any) -> list[CheckMessage]:
    """Say that every process that knows SECRET_KEY can sign code that will be executed."""
    if not conf.enabled() or getattr(settings, "DJANGO_REWIND_SIGNING_KEYS", None):
        return []
    return [
        Warning(
            "Stored migrations are signed with SECRET_KEY.",
            hint=(
                "Set DJANGO_REWIND_SIGNING_KEYS to a list with a key of its own, which only "
                "processes that migrate have to know."
            ),
            id="django_rewind.W003",
        )
    ]


@register(Tags.security)
def check_signatures_are_required(**kwargs: Any) -> list[CheckMessage]:
    """Say that whoever can write to a database can have code executed."""
    if conf.requires_signatures() or not conf.enabled():
        return []
    return [
        Warning(
            "Stored migrations are used whoever has signed them: who can write to a database can have "
            "code of their choice executed.",
            hint=(
                "Remove DJANGO_REWIND_REQUIRE_SIGNATURES = False, and give every process that migrates "
                "the same key in DJANGO_REWIND_SIGNING_KEYS."
            ),
            id="django_rewind.W010",
        )
    ]


@register(Tags.database)
def check_databases(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Say what stands between the given databases and their way back."""
    if not conf.in_force() or _within_migrate():
        return []
    return [message for alias in databases or () for message in _on_database(alias)]


def _within_migrate() -> bool:
    """
    Say whether `migrate` has these checks run, which is about to change the answers.

    It runs all checks with a database (django/core/management/commands/migrate.py),
    and must not cost a query more than it does.
    """
    # Not imported for the purpose: every process that checks would pay for it.
    module = sys.modules.get("django.core.management.commands.migrate")
    if module is None:
        return False
    command = module.Command
    return bool(ask_callers(lambda names: isinstance(names.get("self"), command) or None))


def _on_database(alias: str) -> Iterator[CheckMessage]:
    from .utils.advice import on_database

    for message in _check_database(connections[alias]):
        message.hint = on_database(message.hint or "", alias)
        yield message


def _check_database(connection: Any) -> Iterator[CheckMessage]:
    # Only where a database is checked: every process registers the checks.
    from .storage.store import Store

    if not Store(connection).is_allowed:
        yield Warning(
            f"Migrations of the database '{connection.alias}' are not captured: a router keeps the "
            "table of django_rewind out of it.",
            hint=(
                "Let allow_migrate() of your DATABASE_ROUTERS answer True for the app "
                "'django_rewind' on every database that is migrated."
            ),
            id="django_rewind.W001",
        )
        return
    try:
        yield from _check_migrations(connection)
    except OperationalError:
        # The database cannot be reached: whatever wants to use it says so.
        return


def _check_migrations(connection: Any) -> Iterator[CheckMessage]:
    from .inventory.status import statuses_of

    found = statuses_of(connection)
    alias = connection.alias
    if any(one.key[0] == APP_LABEL and one.on_disk and not one.is_applied for one in found):
        yield Warning(
            f"The tables of django_rewind are not in the database '{alias}' yet: no migration is captured.",
            hint=f"Run 'manage.py migrate --database {alias}'.",
            id="django_rewind.W004",
        )
        return
    settled = [one for one in found if not one.is_settled]
    yield from _warn(
        (one.key for one in settled if one.is_missing and one.renamed_to is None),
        f"The database '{alias}' has migrations that have no file in this checkout: {{names}}.",
        "Run 'manage.py rewind --plan' to see what undoing them means.",
        "django_rewind.W005",
    )
    yield from _warn(
        (one.key for one in settled if one.is_modified),
        f"Files were edited after they were applied to the database '{alias}': {{names}}.",
        "Run 'manage.py verify_migrations --diff' to see how; what ran is what will be reversed.",
        "django_rewind.W006",
    )
    foreign = {one.key for one in settled if one.stored and one.stored.verdict is Verdict.UNKNOWN_KEY}
    yield from _warn(
        foreign,
        f"Stored migrations of the database '{alias}' were signed with another key: {{names}}.",
        "Add that key to DJANGO_REWIND_SIGNING_KEYS, or look at them and agree: "
        "'manage.py verify_migrations --sign'.",
        "django_rewind.W007",
    )
    yield from _warn(
        (one.key for one in settled if one.problem and one.key not in foreign),
        f"Migrations of the database '{alias}' could not be undone without their files: {{names}}.",
        "Run 'manage.py verify_migrations' to see why and what helps.",
        "django_rewind.W008",
    )
    yield from _warn(
        (one.key for one in settled if one.renamed_to is not None),
        f"Migrations of the database '{alias}' are on disk under another name: {{names}}.",
        "Run 'manage.py rewind --adopt' to give them their new names.",
        "django_rewind.W009",
    )


def _warn(keys: Iterable[Key], text: str, hint: str, check_id: str) -> Iterator[CheckMessage]:
    found = sorted(keys)
    if found:
        yield Warning(text.format(names=some_names_of(found, _NAMED)), hint=hint, id=check_id)


@register(Tags.security)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """Say when our own setting is no list of keys; without it there need not be a key."""
    is_set = bool(getattr(settings, "DJANGO_REWIND_SIGNING_KEYS", None))
    problem = signing.problem_with_keys() if is_set and conf.in_force() else ""
    if not problem:
        return []
    return [
        Error(
            "DJANGO_REWIND_SIGNING_KEYS holds no keys that stored migrations could be signed with.",
            hint=problem,
            id="django_rewind.E001",
        )
    ]
