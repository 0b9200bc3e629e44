from __future__ import annotations

import os

from tests.settings.base import *  # noqa: F403
from tests.settings.base import database_name

DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database_name(alias),
        "HOST": os.environ.get("REWIND_PG_HOST", "127.0.0.1"),
        "PORT": os.environ.get("REWIND_PG_PORT", "5432"),
        "USER": os.environ.get("REWIND_PG_USER", "postgres"),
        "PASSWORD": os.environ.get("REWIND_PG_PASSWORD", ""),
    }
    for alias in ("default", "other")
}
