"""System checks, one function for each subject. None executes stored code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.management.base import CommandError
from django.db import DatabaseError, connections

from . import conf
from .sources import signing
from .sources.signing import Verdict
from .utils.frames import ask_callers
from .utils.types import APP_LABEL, Key, some_names_of

if TYPE_CHECKING:
    from .inventory.status import Status

# More names than these are not printed; `show_stored_migrations` has them all.
_NAMED = 5


@register()
def check_is_enabled(**kwargs: Any) -> list[CheckMessage]:
    """Say that nothing is captured where it was switched off."""
    text = "django_rewind is installed and switched off: no migration is captured or recovered."
    hint = "Remove DJANGO_REWIND_ENABLED = False, or 'django_rewind' from INSTALLED_APPS."
    return [] if conf.enabled() else [Warning(text, hint, id="django_rewind.W002")]


@register()
def check_excluded_apps(**kwargs: Any) -> list[CheckMessage]:
    """Say what it means that apps are excluded."""
    excluded = ", ".join(sorted(conf.excluded_apps()))
    text = f"Migrations of {excluded} are not captured: they can only be undone while their files are there."
    hint = "That is what DJANGO_REWIND_EXCLUDE says."
    return [Info(text, hint, id="django_rewind.I001")] if excluded and conf.enabled() else []


@register(Tags.security, deploy=True)
def check_signing_keys(**kwargs: Any) -> list[CheckMessage]:
    """Say that every process that knows SECRET_KEY can sign code that will be executed."""
    if not conf.enabled() or conf.has_own_keys():
        return []
    hint = (
        "Set DJANGO_REWIND_SIGNING_KEYS to a list with a key of its own, which only "
        "processes that migrate have to know."
    )
    return [Warning("Stored migrations are signed with SECRET_KEY.", hint, id="django_rewind.W003")]


@register(Tags.security)
def check_signatures_are_required(**kwargs: Any) -> list[CheckMessage]:
    """Say that whoever can write to a database can have code executed."""
    if conf.requires_signatures() or not conf.enabled():
        return []
    text = (
        "Stored migrations are used whoever has signed them: who can write to a database can have "
        "code of their choice executed."
    )
    hint = (
        "Remove DJANGO_REWIND_REQUIRE_SIGNATURES = False, and give every process that migrates "
        "the same key in DJANGO_REWIND_SIGNING_KEYS."
    )
    return [Warning(text, hint, id="django_rewind.W010")]


@register(Tags.security)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """Say when our own setting is no list of keys; without it there need not be a key."""
    problem = signing.problem_with_keys() if conf.has_own_keys() and conf.in_force() else ""
    text = "DJANGO_REWIND_SIGNING_KEYS holds no keys that stored migrations could be signed with."
    return [Error(text, problem, id="django_rewind.E001")] if problem else []


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
    from .inventory.status import statuses_of
    from .storage.store import Store
    from .utils.printable import why

    alias = connection.alias
    if not Store(connection).is_allowed:
        yield Warning(
            f"Migrations of the database '{alias}' are not captured: a router keeps the "
            "table of django_rewind out of it.",
            "Let allow_migrate() of your DATABASE_ROUTERS answer True for the app "
            "'django_rewind' on every database that is migrated.",
            id="django_rewind.W001",
        )
        return
    try:
        statuses = statuses_of(connection)
    except (CommandError, DatabaseError) as error:
        # Whoever fails on warnings must not go on because nothing could be looked at.
        yield Warning(
            f"The migrations of the database '{alias}' could not be checked: {why(error)}",
            "Check again when that is mended.",
            id="django_rewind.W012",
        )
        return
    if any(status.key[0] == APP_LABEL and status.on_disk and not status.is_applied for status in statuses):
        yield Warning(
            f"The tables of django_rewind are not in the database '{alias}' yet: no migration is captured.",
            f"Run 'manage.py migrate --database {alias}'.",
            id="django_rewind.W004",
        )
        return
    unrecorded = sorted(status.key for status in statuses if status.is_unrecorded)
    if unrecorded:
        yield Warning(
            f"Migrations have no record in the database '{alias}' any more, and what they did is still there: "
            f"{some_names_of(unrecorded, _NAMED)}.",
            "Run 'manage.py verify_migrations' to see how to record them again.",
            id="django_rewind.W011",
        )
    for check, keys, text, hint in _findings([status for status in statuses if not status.is_settled]):
        if keys:
            names = some_names_of(sorted(keys), _NAMED)
            yield Warning(text.format(alias=alias, names=names), hint, id=check)


def _findings(statuses: list[Status]) -> Iterator[tuple[str, list[Key], str, str]]:
    """Yield the id of each check of migrations, those that it is about, its text and its hint."""
    unknown = [one.key for one in statuses if one.stored and one.stored.verdict is Verdict.UNKNOWN_KEY]
    yield (
        "django_rewind.W005",
        [one.key for one in statuses if one.is_missing and one.renamed_to is None],
        "The database '{alias}' has migrations that have no file in this checkout: {names}.",
        "Run 'manage.py rewind --plan' to see what undoing them means.",
    )
    yield (
        "django_rewind.W006",
        [one.key for one in statuses if one.is_modified],
        "Files were modified after they were applied to the database '{alias}': {names}.",
        "Run 'manage.py verify_migrations --diff' to see how; what ran is what will be reversed.",
    )
    yield (
        "django_rewind.W007",
        unknown,
        "Stored migrations of the database '{alias}' were signed with another key: {names}.",
        (
            "Add that key to DJANGO_REWIND_SIGNING_KEYS, or look at them and agree: "
            "'manage.py verify_migrations --sign'."
        ),
    )
    yield (
        "django_rewind.W008",
        [one.key for one in statuses if one.problem and one.key not in unknown],
        "Migrations of the database '{alias}' could not be undone without their files: {names}.",
        "Run 'manage.py verify_migrations' to see why and what helps.",
    )
    yield (
        "django_rewind.W009",
        [one.key for one in statuses if one.renamed_to is not None],
        "Migrations of the database '{alias}' are on disk under another name: {names}.",
        "Run 'manage.py rewind --adopt --migrate' to give them their new names.",
    )
