"""The options that several commands share, and how a migration is named in a call: `shop 0002` or `shop.0002`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Optional, Union

from django.apps import apps
from django.core.management.base import CommandError

from django_rewind.utils.matching import matching
from django_rewind.utils.types import Key

# How help texts show the name of a migration, and what tells the options that take one.
_NAME = "APP.NAME"


def add_plan(parser: Any, help: str) -> None:
    parser.add_argument("--plan", "--dry-run", action="store_true", dest="plan", help=help)


def add_noinput(parser: Any, help: str = "Do not ask.") -> None:
    parser.add_argument("--noinput", "--no-input", action="store_false", dest="interactive", help=help)


def add_migration(parser: Any, option: str, help: str, **more: Any) -> None:
    """Add an option that names one migration."""
    parser.add_argument(option, metavar=_NAME, help=help, **more)


def add_choice(parser: Any) -> None:
    """Add apps and migrations of them, as `chosen()` reads them."""
    help = "Apps, or migrations by name or prefix; all of them without one."
    parser.add_argument("app_label", nargs="*", help=help)


def add_target(parser: Any, app_help: str, name_help: str) -> None:
    """Add an app, and a migration of it, as `target()` reads them."""
    parser.add_argument("app_label", nargs="?", help=app_help)
    parser.add_argument("migration_name", nargs="?", help=name_help)


def target(options: dict[str, Any]) -> tuple[Optional[str], Optional[str]]:  # noqa: UP045 (Python 3.9)
    """Return the app and the name that were given, in two words or in one."""
    app_label, name = options["app_label"], options["migration_name"]
    if name is None and app_label and "." in app_label:
        app_label, _, name = app_label.partition(".")
    return app_label, name or None


def named(words: Union[str, Iterable[str]], option: str) -> Key:  # noqa: UP007 (Python 3.9)
    """Return the app and the name, or the beginning of the name, that an option was given."""
    text = words if isinstance(words, str) else ".".join(words)
    app_label, _, name = text.partition(".")
    if not (app_label and name) or "." in name:
        raise CommandError(f"{option} takes a migration as APP NAME or APP.NAME, not '{text}'.", returncode=2)
    return app_label, name


def with_joined_names(parser: Any, words: Iterable[str]) -> list[str]:
    """Return the words of a call, with the name that follows an option in one word: argparse takes no one-or-two."""
    options = {
        option for action in parser._actions if action.metavar == _NAME for option in action.option_strings
    }
    left, joined = list(words), []
    while left:
        joined.append(left.pop(0))
        is_named = joined[-1] in options and len(left) > 1 and "." not in left[0]
        if is_named and not any(word.startswith("-") for word in left[:2]):
            joined.append(f"{left.pop(0)}.{left.pop(0)}")
    return joined


def chosen(words: Sequence[str], keys: Collection[Key], nothing: str) -> set[Key]:
    """
    Return the migrations that the apps and names of a call choose; all of them without any.

    A word that is no app is the name, or the beginning of the name, of a migration of the app before it.
    """
    labels = {app_label for app_label, _ in keys} | {config.label for config in apps.get_app_configs()}
    asked: list[tuple[str, str]] = []
    for word in words:
        app_label, _, name = word.partition(".")
        if name or app_label in labels or not asked or asked[-1][1]:
            asked.append((app_label, name))
        else:
            asked[-1] = (asked[-1][0], word)
    found: set[Key] = set() if words else set(keys)
    for app_label, name in asked:
        matches = matching(keys, app_label, name)
        if not matches:
            what = f"matches '{name}'" if name else f"is {nothing}"
            raise CommandError(f"No migration of an app '{app_label}' {what}.")
        found.update(matches)
    return found
