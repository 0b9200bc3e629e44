"""Which app would have to be installed for something that an error says cannot be had."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.util import find_spec

from django.apps import apps

from ..utils.printable import why
from .bundle.modules import is_within, root_of

# What Django says of an app that is not installed (django/apps/registry.py, django/db/models/base.py,
# django/db/migrations/state.py), with the app's label or the path of a model in it.
_NAMED = (
    re.compile(r"No installed app with label '(?P<app>\w+)'"),
    re.compile(r"app '(?P<app>\w+)' isn't installed"),
    re.compile(r"Model class (?P<app>[\w.]+)\.\w+ doesn't declare an explicit app_label"),
)

# What an app has taught Django's models while it was loaded, or what it asks the settings for.
_BY_ITS_PRESENCE = re.compile(
    r"got invalid attribute|improperly configured|ImproperlyConfigured|Requested setting"
)


# What Python says of a setting that is not there (django.conf.LazySettings hands on to its Settings).
_NO_SETTING = re.compile(r"\A'(?:User)?Settings(?:Holder)?' object has no attribute '(?P<name>[A-Z]\w*)'")


def app_to_install(error: BaseException, imported: Iterable[str] = ()) -> str:
    """
    Return the app that is missing in INSTALLED_APPS, as far as an error tells; nothing where it does not.

    Args:
        imported: the modules that the migration imports.
    """
    said = why(error)
    for pattern in _NAMED:
        match = pattern.search(said)
        if match:
            return _app_of(match["app"])
    if _BY_ITS_PRESENCE.search(said):
        candidates = sorted(
            {root for root in map(root_of, imported) if _is_app(root) and not _is_installed(root)}
        )
        if len(candidates) == 1:
            return candidates[0]
    return ""


def setting_to_set(error: BaseException) -> str:
    """Return the setting that stored code asks for and that is not set here; nothing where an error tells of none."""
    match = _NO_SETTING.search(str(error)) if isinstance(error, AttributeError) else None
    return match["name"] if match else ""


def how_to_install(app: str) -> str:
    """Return the way out where an app is not installed."""
    return f"Add '{app}' to INSTALLED_APPS for this command, and try again."


def _app_of(name: str) -> str:
    """Return the package of an app, where the path of a model names more than that."""
    if "." not in name:
        return name
    return name.partition(".models")[0] if ".models" in name else name.rpartition(".")[0]


def _is_installed(root: str) -> bool:
    return any(is_within(config.name, root) for config in apps.get_app_configs())


def _is_app(root: str) -> bool:
    """Say whether a package that is here can be listed in INSTALLED_APPS."""
    try:
        return root != "django" and any(find_spec(f"{root}.{name}") for name in ("apps", "models"))
    except (ImportError, AttributeError, ValueError):
        return False
