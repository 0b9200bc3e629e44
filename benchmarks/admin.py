"""
Measure the pages of the admin on a large project: how long they take, and what they ask and read.

The project is made for the purpose: many apps, whose migrations are real files and are all stored; of some
the file is gone, of others it was edited, and one app has a long history with branches. Each page is asked
for three times: by a process that has read no file yet, and twice again. Seconds are those of the processor,
queries those that Django counts, files those that the process opens. It needs Django and django-rewind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databases import SQLite
from process import Side, execute, table, versions
from project import LargeProject, record_and_store

if TYPE_CHECKING:
    from django.test import Client

LIST = "/admin/django_rewind/migrationcode/"

# What the pages need beside the settings of every project.
SETTINGS = """
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    *INSTALLED_APPS,
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
"""

URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""

# Within the project


def store() -> None:
    """Have everything recorded and stored, and make somebody to look at it."""
    from django.contrib.auth import get_user_model

    record_and_store("contenttypes", "auth", "sessions", "admin", "django_rewind")
    get_user_model().objects.create_superuser("reader")


@contextmanager
def counted(folder: Path) -> Iterator[Counter[str]]:
    """Count which files of the project are opened."""
    found: Counter[str] = Counter()
    is_on = True

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if is_on and event == "open" and str(args[0]).startswith(str(folder)):
            found[Path(args[0]).suffix] += 1

    # It stays for as long as the process, and hears nothing any more.
    sys.addaudithook(hear)
    yield found
    is_on = False


def measure(client: Client, address: str) -> dict[str, float]:
    """Ask for a page and return what it took."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with counted(Path.cwd()) as found, CaptureQueriesContext(connection) as queries:
        started = time.process_time()
        answer = client.get(address)
        seconds = time.process_time() - started
    assert answer.status_code == 200, address
    return {
        "seconds": seconds,
        "queries": len(queries),
        "files": found[".py"],
        "kilobytes": len(answer.content) / 1000,
    }


def pages() -> dict[str, str]:
    from django_rewind.models import MigrationCode

    def page(app: str, number: int) -> str:
        stored = MigrationCode.objects.get(app_label=app, migration_name=LargeProject.name(number))
        return f"{LIST}{stored.pk}/change/"

    last = MigrationCode.objects.filter(app_label="app010").count() - 1
    return {
        "the list": LIST,
        "its last page": f"{LIST}?p={(MigrationCode.objects.count() + 99) // 100}",
        "one app": f"{LIST}?app_label=app010",
        "applied": f"{LIST}?applied=yes",
        "not applied": f"{LIST}?applied=no",
        "missing": f"{LIST}?file=missing",
        "origin": f"{LIST}?origin=backfilled",
        "search": f"{LIST}?q=field17",
        "modified": f"{LIST}?file=modified",
        "on disk": f"{LIST}?file=on_disk",
        "all apps, the graph": f"{LIST}graph/",
        "one app, the graph": f"{LIST}graph/app010/",
        "the long app, the graph": f"{LIST}graph/long/",
        "a migration on disk": page("app011", 3),
        "a missing migration": page("app010", last),
        "an edited migration": page("app010", last - 1),
    }


def look() -> None:
    """Print what each page took: at first, and again."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from django_rewind.inventory import reading

    client = Client()
    client.force_login(get_user_model().objects.get(username="reader"))
    # Templates and translations are loaded by whoever comes first.
    client.get("/admin/")
    client.get(f"{LIST}?app_label=auth")
    found = {}
    for name, address in pages().items():
        reading.forget()
        found[name] = [measure(client, address) for _ in range(3)]
    print(json.dumps(found))


# What a process of its own does in the folder of the project.
INSIDE = """
import django
django.setup()
import admin
admin.{step}()
"""


def run(folder: Path, step: str) -> str:
    database = SQLite(folder).settings("db")
    return execute(Side("django-rewind"), folder, database, code=INSIDE.format(step=step)).output


def report(found: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    print(
        f"{versions()}; {options.apps} apps with {options.each} migrations each, and one with {options.long}\n"
    )
    rows = []
    for name, (first, *others) in found.items():
        again = min(others, key=lambda one: one["seconds"])
        cells = [
            f"{first['seconds']:.2f}",
            f"{again['seconds']:.2f}",
            f"{max(first['queries'], again['queries']):.0f}",
            f"{first['files']:.0f}",
            f"{again['files']:.0f}",
            f"{again['kilobytes']:.0f}",
        ]
        rows.append([name, *cells])
    head = ["page", "seconds at first", "again", "queries", "files at first", "again", "kilobytes"]
    print(table(head, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--apps", type=int, default=500, help="how many")
    parser.add_argument("--each", type=int, default=20, help="how many migrations in each")
    parser.add_argument("--long", type=int, default=301, help="how many in one more")
    parser.add_argument("--folder", type=Path, help="keep the project there, or take the one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rewind_benchmark_") as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        if not (folder / "db.sqlite3").exists():
            project = LargeProject(folder, options.apps, options.each, options.long)
            project.write()
            project.file("urls.py", URLS)
            project.add_settings(SETTINGS)
            run(folder, "store")
            project.spoil()
        report(json.loads(run(folder, "look")), options)


if __name__ == "__main__":
    main()
