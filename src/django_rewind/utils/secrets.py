"""Values that must not be written into a database, where what a migration does is written down."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

HIDDEN = "********"

# As Django hides them in its own reports (django/views/debug.py), but for what only sounds like it.
_NAMES = re.compile(r"(API|TOKEN|KEY|SECRET|PASS|SIGNATURE)(?!.*(_PREFIX|_NAME|_MODEL|_CLASS)$)")

# In characters. Shorter ones are words that stand for other things as well.
_SHORTEST = 6


def without_secrets(text: str) -> str:
    """Return a text without the values of settings and variables whose names say that they are secret."""
    for secret in sorted({value for value in _secrets() if value in text}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets() -> Iterator[str]:
    for name, value in _named():
        if isinstance(value, str) and len(value) >= _SHORTEST and _NAMES.search(name.upper()):
            yield value


def _named() -> Iterator[tuple[str, Any]]:
    yield from os.environ.items()
    for database in settings.DATABASES.values():
        yield from database.items()
    for name in filter(_NAMES.search, dir(settings)):
        # Without a SECRET_KEY there is none to be hidden; and to ask for some is deprecated.
        with suppress(ImproperlyConfigured), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield name, getattr(settings, name, None)
