"""The settings, one function for each, read at the moment of use."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

__all__ = [
    "enabled",
    "excluded_apps",
    "excluded_modules",
    "has_own_keys",
    "in_force",
    "lock_alias",
    "lock_migrate_timeout",
    "lock_timeout",
    "locks_migrate",
    "requires_signatures",
    "signing_keys",
    "size_limit",
]

MEBIBYTE = 1024 * 1024


def enabled() -> bool:
    """
    Say whether migrations are captured and recovered at all.

    ``DJANGO_REWIND_ENABLED``, by default ``True``.
    """
    return bool(getattr(settings, "DJANGO_REWIND_ENABLED", True))


def signing_keys() -> list[str]:
    """
    Return the keys for stored source: the first signs, all of them verify.

    ``DJANGO_REWIND_SIGNING_KEYS``, by default ``SECRET_KEY`` and then
    ``SECRET_KEY_FALLBACKS`` (which Django has since 4.1).

    Raises:
        ImproperlyConfigured: there is no key, or what is there is no list of keys.
    """
    keys = getattr(settings, "DJANGO_REWIND_SIGNING_KEYS", None)
    if keys is None:
        keys = _secret_keys()
    if not isinstance(keys, (list, tuple)):
        # A string would be taken for a list of its letters.
        raise ImproperlyConfigured(
            f"Make DJANGO_REWIND_SIGNING_KEYS a list of keys: it is a {type(keys).__name__}."
        )
    if not keys:
        # An environment variable that is not set, more often than a decision: SECRET_KEY is no substitute.
        raise ImproperlyConfigured(
            "Put a key into DJANGO_REWIND_SIGNING_KEYS: the list is empty. "
            "To sign with SECRET_KEY, remove the setting."
        )
    if not all(key and str(key).strip() for key in keys):
        raise ImproperlyConfigured("Take the empty key out of DJANGO_REWIND_SIGNING_KEYS.")
    return [str(key) for key in keys]


def has_own_keys() -> bool:
    """Say whether ``DJANGO_REWIND_SIGNING_KEYS`` is set, to whatever."""
    return getattr(settings, "DJANGO_REWIND_SIGNING_KEYS", None) is not None


def _secret_keys() -> list[str]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        # Django looks at it when it is used, and `migrate` does not use it.
        raise ImproperlyConfigured(
            "Set SECRET_KEY, or DJANGO_REWIND_SIGNING_KEYS: there is no key to sign with."
        ) from None
    return [key, *filter(None, getattr(settings, "SECRET_KEY_FALLBACKS", []))]


def requires_signatures() -> bool:
    """
    Say whether stored source has to be signed with one of our keys to be used.

    ``DJANGO_REWIND_REQUIRE_SIGNATURES``, by default ``True``. With ``False`` its digests
    have to match, which whoever can write to the database can see to.
    """
    return bool(getattr(settings, "DJANGO_REWIND_REQUIRE_SIGNATURES", True))


def size_limit() -> int:
    """
    Return how many bytes a migration may carry along.

    ``DJANGO_REWIND_SIZE_LIMIT``, by default 1 MiB. It counts the modules and data
    files that a migration needs, not its own text, which is always stored.
    """
    return int(getattr(settings, "DJANGO_REWIND_SIZE_LIMIT", MEBIBYTE))


def excluded_apps() -> list[str]:
    """
    Return the labels of the apps whose migrations are not stored.

    ``DJANGO_REWIND_EXCLUDE``, by default none. What is stored of them already stays,
    and serves; what is applied from then on can only be undone with its file.
    """
    return [str(label) for label in getattr(settings, "DJANGO_REWIND_EXCLUDE", ())]


def excluded_modules() -> list[str]:
    """
    Return the modules that no migration carries along.

    ``DJANGO_REWIND_EXCLUDE_MODULES``, by default none. A package stands for
    everything below it.
    """
    return [str(name) for name in getattr(settings, "DJANGO_REWIND_EXCLUDE_MODULES", ())]


def lock_alias() -> str | None:
    """
    Return the alias over which PostgreSQL, MySQL and MariaDB are locked.

    ``DJANGO_REWIND_LOCK_ALIAS``, by default the one that is migrated. Through a
    pooler that gives each transaction another connection a lock is void: this names
    one that goes straight to the server.
    """
    alias = getattr(settings, "DJANGO_REWIND_LOCK_ALIAS", None)
    return str(alias) if alias else None


def lock_timeout() -> float | None:
    """
    Return how many seconds a run waits for another one; None for without end.

    ``DJANGO_REWIND_LOCK_TIMEOUT``, by default ten minutes. A lock ends with the process that has it,
    so whoever waits longer waits for one that hangs.

    Raises:
        ImproperlyConfigured: it is neither None nor a number.
    """
    return _seconds("DJANGO_REWIND_LOCK_TIMEOUT", getattr(settings, "DJANGO_REWIND_LOCK_TIMEOUT", 600.0))


def _seconds(name: str, value: object, others: str = "None") -> float | None:
    if value is None:
        return None
    # Not a number is not greater than 0, either.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ImproperlyConfigured(f"Make {name} {others} or a number of seconds: it is {value!r}.")
    return float(value)


def locks_migrate() -> bool:
    """
    Say whether `migrate` waits for its turn as well.

    ``DJANGO_REWIND_LOCK_MIGRATE``, by default ``False``.
    """
    value = getattr(settings, "DJANGO_REWIND_LOCK_MIGRATE", False)
    # 0 is a number of seconds.
    return value is not False and value is not None


def lock_migrate_timeout() -> float | None:
    """
    Return how many seconds `migrate` waits; None for without end.

    ``True`` has it wait as long as a rollback does.

    Raises:
        ImproperlyConfigured: ``DJANGO_REWIND_LOCK_MIGRATE`` is neither a bool nor a number.
    """
    value = getattr(settings, "DJANGO_REWIND_LOCK_MIGRATE", False)
    if isinstance(value, bool):
        return lock_timeout()
    return _seconds("DJANGO_REWIND_LOCK_MIGRATE", value, "True, False")


def in_force() -> bool:
    """
    Say whether the hooks have anything to do.

    Installed apps are switched off and on within one process, by Django's own
    test suite and by `available_apps`; hooks on Django's classes outlive that.
    """
    return enabled() and apps.is_installed("django_rewind")
