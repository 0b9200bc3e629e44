from __future__ import annotations

import os

from tests.settings.base import *  # noqa: F403
from tests.settings.base import database_name

DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.mysql",
        "NAME": database_name(alias),
        "HOST": os.environ.get("REWIND_MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("REWIND_MYSQL_PORT", "3306"),
        "USER": os.environ.get("REWIND_MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("REWIND_MYSQL_PASSWORD", ""),
        "OPTIONS": {"charset": "utf8mb4"},
        "TEST": {"CHARSET": "utf8mb4"},
    }
    for alias in ("default", "other")
}
