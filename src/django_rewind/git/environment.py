"""The environment in which something is done: the versions, the machine, the commit."""

from __future__ import annotations

import getpass
import os
import platform
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import django
from django.conf import settings

from .head import head_of


@dataclass(frozen=True)
class Environment:
    """What there is to be known of this process; what cannot be known is empty."""

    django: str
    python: str
    os_user: str
    host: str
    pid: int
    commit: str = ""
    branch: str = ""


def current_environment() -> Environment:
    """Return the environment of this process, with the commit that is checked out now."""
    head = head_of(_folders())
    return Environment(
        django=django.get_version(),
        python=platform.python_version(),
        os_user=_os_user()[:255],
        host=_host()[:255],
        pid=os.getpid(),
        commit=head.commit if head else "",
        branch=head.branch[:255] if head else "",
    )


def _folders() -> list[Path]:
    """Return where the project may lie, the likeliest first."""
    folders: list[Path] = []
    # The working directory may have been deleted under us, and BASE_DIR may be anything.
    with suppress(OSError):
        folders.append(Path.cwd())
    with suppress(TypeError):
        base = getattr(settings, "BASE_DIR", None)
        folders += [Path(base)] if base else []
    return folders


@cache
def _host() -> str:
    return socket.gethostname()


@cache
def _os_user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        # A container may run under a user id that has no name.
        return str(os.getuid()) if hasattr(os, "getuid") else ""
