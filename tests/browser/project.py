"""
A project with a few branches and mishaps, served with a policy that allows nothing inline.

It is a process of its own, for it is a Django of its own: `Served` starts it, and it ends with
whoever started it. What looks at its pages are the tests beside it, and `scripts/screenshots.py`.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Served", "served"]

LIST = "/admin/django_rewind/migrationcode/"

SETTINGS = """
    from pathlib import Path

    from tests.settings.base import DEFAULT_AUTO_FIELD, PASSWORD_HASHERS, STATIC_URL, TEMPLATES, USE_TZ

    HERE = Path(__file__).parent
    SECRET_KEY = "not-a-secret"
    DEBUG = True
    ALLOWED_HOSTS = ["*"]
    INSTALLED_APPS = [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "django.contrib.admin",
        "django_rewind",
        "shop",
        "billing",
    ]
    MIDDLEWARE = [
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    SECURE_CSP = {"default-src": ["'self'"], "img-src": ["'self'", "data:"]}
    ROOT_URLCONF = "urls"
    DATABASES = {
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(HERE / f"{alias}.sqlite3")}
        for alias in ("default", "replica")
    }
"""

URLS = """
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("admin/", admin.site.urls)]
"""

MIGRATION = '''
    """{name}"""

    from django.db import migrations, models


    class Migration(migrations.Migration):
        dependencies = {dependencies}

        operations = [
            {operation},
        ]
'''


class Project:
    """A project in a folder, whose migrations come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("project_settings.py", SETTINGS)
        self.write("urls.py", URLS)
        for app in ("shop", "billing"):
            self.write(f"{app}/__init__.py", "")
            self.write(f"{app}/migrations/__init__.py", "")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip(), encoding="utf-8")

    def migration(self, app: str, name: str, operation: str, *after: str) -> None:
        dependencies = [tuple(one.split(".")) if "." in one else (app, one) for one in after]
        text = MIGRATION.format(name=name, dependencies=dependencies, operation=operation)
        self.write(f"{app}/migrations/{name}.py", text)

    def delete(self, app: str, *names: str) -> None:
        for name in names:
            (self.folder / app / "migrations" / f"{name}.py").unlink()

    def fill(self) -> None:
        """Have a history with branches."""
        fields = "[('id', models.BigAutoField(primary_key=True)), ('name', models.CharField(max_length=80))]"
        self.migration("shop", "0001_initial", f"migrations.CreateModel('Product', {fields})")
        self.migration("billing", "0001_initial", f"migrations.CreateModel('Invoice', {fields})")
        self.migration(
            "shop", "0002_price", _add("product", "price", "IntegerField(null=True)"), "0001_initial"
        )
        self.migration(
            "shop", "0002_stock", _add("product", "stock", "IntegerField(null=True)"), "0001_initial"
        )
        self.migration(
            "shop", "0003_merge", "migrations.RunSQL('SELECT 1', 'SELECT 1')", "0002_price", "0002_stock"
        )
        self.migration("shop", "0004_refund", _add("product", "refund", "TextField(null=True)"), "0003_merge")
        self.migration(
            "billing",
            "0002_total",
            _add("invoice", "total", "IntegerField(null=True)"),
            "0001_initial",
            "shop.0002_price",
        )

    def switch(self) -> None:
        """Check out another branch."""
        self.delete("shop", "0004_refund")
        self.migration(
            "shop", "0004_discount", _add("product", "discount", "TextField(null=True)"), "0003_merge"
        )
        importlib.invalidate_caches()

    def spoil(self) -> None:
        """Edit a file, and add another."""
        self.migration(
            "shop", "0002_price", _add("product", "price", "DecimalField(null=True)"), "0001_initial"
        )
        self.migration(
            "shop", "0005_gift", _add("product", "gift", "BooleanField(null=True)"), "0004_discount"
        )


def _add(model: str, name: str, field: str) -> str:
    return f"migrations.AddField('{model}', '{name}', models.{field})"


# Within its process


def prepare(project: Project) -> None:
    """Apply all of it, spoil it, and make somebody who may look."""
    import django
    from django.core.management import call_command

    sys.path.insert(0, str(project.folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
    sys.dont_write_bytecode = True
    # The pictures show nothing of the machine that they are made on: the audit log notes it.
    os.environ["LOGNAME"] = "ada"
    socket.gethostname = lambda: "laptop"
    os.chdir(project.folder)
    project.fill()
    django.setup()
    from django.contrib.auth import get_user_model

    call_command("migrate", verbosity=0)
    call_command("migrate", verbosity=0, database="replica")
    get_user_model().objects.create_superuser("reader", password="reader")
    project.switch()
    call_command("migrate", verbosity=0)
    project.spoil()


def pages() -> dict[str, str]:
    """Return the pages to look at, by name."""
    from django_rewind.models import MigrationCode

    pks = dict(MigrationCode.objects.filter(app_label="shop").values_list("migration_name", "pk"))
    return {
        "list": f"{LIST}?app_label=shop",
        "detail": f"{LIST}{pks['0004_refund']}/change/",
        "diff": f"{LIST}{pks['0002_price']}/change/",
        "graph": f"{LIST}graph/shop/",
        "overview": f"{LIST}graph/",
    }


def main(folder: str) -> None:
    """Serve a new project in a folder until standard input ends."""
    from threading import Thread

    prepare(Project(Path(folder)))
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    # A browser opens connections that it may use later: one at a time would wait for those.
    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    sys.stdout.write(json.dumps({"address": address, "pages": pages()}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


# From without


@dataclass(frozen=True)
class Served:
    """Where the project is served, and its pages by name."""

    address: str
    pages: dict[str, str]


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Serve a new project in a folder; what this process imports, it imports too."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # The module that pytest has set is of another Django.
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    with (folder / "server.log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environ,
        )
        with process:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                log.seek(0)
                raise RuntimeError(f"The project is not served:\n{log.read()}")
            try:
                yield Served(**json.loads(line))
            finally:
                # Its standard input ends, and so does it.
                process.communicate()


if __name__ == "__main__":
    main(sys.argv[1])
