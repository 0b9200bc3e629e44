"""
The projects that are made for the benchmarks: real files in a folder.

One has some hundred migrations of every kind in three apps, and is migrated; the other has thousands of small
ones in many apps, which are only recorded and stored. What differs from one run to another, the database and
what is installed, their settings read from the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent, indent

__all__ = ["LargeProject", "MixedProject", "record_and_store"]

SETTINGS = """
import json
import os

SECRET_KEY = "a key of the benchmark"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {{"default": json.loads(os.environ["BENCHMARK_DATABASE"])}}
INSTALLED_APPS = [*os.environ["BENCHMARK_APPS"].split(), *{apps!r}]
DJANGO_REWIND_ENABLED = os.environ["BENCHMARK_ENABLED"] == "1"
# That it is switched off, where it is.
SILENCED_SYSTEM_CHECKS = ["django_rewind.W002"]
"""


class Folder:
    """Where a project is written."""

    def __init__(self, folder: Path, apps: Iterable[str]) -> None:
        self.folder = folder
        self.apps = tuple(apps)

    def write(self) -> None:
        self.file("settings.py", SETTINGS.format(apps=self.apps))
        for app in self.apps:
            self.file(f"{app}/__init__.py", "")
            self.file(f"{app}/migrations/__init__.py", "")

    def add_settings(self, text: str) -> None:
        with (self.folder / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(text)

    def file(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")


# A project that is migrated

MIGRATION = """
from django.db import migrations, models
{header}

class Migration(migrations.Migration):
    dependencies = {dependencies!r}
    operations = [
{operations}
    ]
"""

FIELDS = '''
"""Fields of our own, with what they are checked with."""

from django.db import models

from shop.checks import is_code


class CodeField(models.CharField):
    """A code that is checked."""

    default_validators = [is_code]

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_length", 20)
        super().__init__(*args, **kwargs)
'''

CHECKS = '''
"""What codes have to look like."""

from django.core.exceptions import ValidationError


def is_code(value):
    if not value.isalnum():
        raise ValidationError("%(value)s is no code", params={"value": value})
'''

HELPERS = '''
"""What migrations do to rows."""

from shop.checks import is_code


def tidy(apps, schema_editor, model):
    for row in apps.get_model(model).objects.all():
        is_code(row.name)
        row.save()


def leave(apps, schema_editor):
    pass
'''

ITEM = '''
class Item{number}(models.Model):
    """One of many, as long as models are."""

    class Status(models.TextChoices):
        NEW = "new"
        SENT = "sent"

    name = models.CharField(max_length=20, default=name_of_{number})
    file = models.CharField(max_length=200, default=place_of_{number})
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.NEW)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return f"{{self.name}} ({{self.status}})"

    def is_sent(self):
        return self.status == self.Status.SENT


def name_of_{number}():
    return PREFIX + "{number}"


def place_of_{number}():
    return f"{{PREFIX}}/{number}/{{date.today():%Y}}"
'''


class MixedProject(Folder):
    """
    A project with some hundred migrations in three apps.

    A third import nothing but Django, a third import helper modules and custom fields, and a third import
    `models.py` for callables; one in ten reads a file that lies beside it.
    """

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(folder, ("shop", "stock", "staff"))
        self.size = size
        # app -> the names of its migrations.
        self.names: dict[str, list[str]] = {app: [] for app in self.apps}

    def write(self) -> None:
        super().write()
        for app in self.apps:
            self.file(f"{app}/models.py", "".join(_models(self._kinds)))
        self.file("shop/fields.py", FIELDS)
        self.file("shop/checks.py", CHECKS)
        for number in range(self._kinds):
            self.file(f"shop/helpers{number}.py", HELPERS + f"\n\nNUMBER = {number}\n")
        for number in range(self.size):
            self._write_migration(self.apps[number // 3 % len(self.apps)], number)

    def delete_all_but_the_first(self) -> None:
        """Delete the migrations of each app, as if all came from other branches."""
        for app, (_, *names) in self.names.items():
            for name in names:
                (self.folder / app / "migrations" / f"{name}.py").unlink()

    @property
    def _kinds(self) -> int:
        return max(self.size // 10, 1)

    def _write_migration(self, app: str, number: int) -> None:
        kind = (self._plain, self._with_helpers, self._with_models)[number % 3]
        name = f"{number:04}_{kind.__name__.strip('_')}"
        header, operations = kind(app, number)
        if number % 10 == 0:
            self.file(f"{app}/migrations/{name}.sql", f"SELECT {number} -- read by {name}\n")
            header += "from pathlib import Path\nSQL = Path(__file__).with_suffix('.sql').read_text()\n"
            operations.append("migrations.RunSQL(SQL, migrations.RunSQL.noop)")
        lines = indent(",\n".join(operations) + ",", " " * 8)
        dependencies = [(app, before) for before in self.names[app][-1:]]
        text = MIGRATION.format(header=header, dependencies=dependencies, operations=lines)
        self.file(f"{app}/migrations/{name}.py", text)
        self.names[app].append(name)

    def _plain(self, app: str, number: int) -> tuple[str, list[str]]:
        fields = "('id', models.AutoField(primary_key=True)), ('name', models.CharField(max_length=20))"
        return "", [
            f"migrations.CreateModel('Thing{number}', [{fields}])",
            f"migrations.AddField('thing{number}', 'price', models.IntegerField(default=0))",
        ]

    def _with_helpers(self, app: str, number: int) -> tuple[str, list[str]]:
        helpers = f"shop.helpers{number // 3 % self._kinds}"
        header = f"""
            import shop.fields
            from {helpers} import leave, tidy

            def forwards(apps, schema_editor):
                tidy(apps, schema_editor, "{app}.Thing{number - 1}")
        """
        return dedent(header), [
            f"migrations.AddField('thing{number - 1}', 'code', shop.fields.CodeField(null=True))",
            "migrations.RunPython(forwards, leave)",
        ]

    def _with_models(self, app: str, number: int) -> tuple[str, list[str]]:
        item = number // 3 % self._kinds
        field = f"models.CharField(max_length=200, null=True, default={app}.models.place_of_{item})"
        return f"import {app}.models\n", [
            f"migrations.AddField('thing{number - 2}', 'place', {field})",
        ]


def _models(number: int) -> Iterator[str]:
    yield 'from datetime import date\n\nfrom django.db import models\n\nPREFIX = "item"\n'
    for one in range(number):
        # What a default names stands above it.
        model, *functions = ITEM.format(number=one).split("\n\n\n")
        yield "\n\n" + "\n\n\n".join([*functions, model.strip()]).strip() + "\n"


# A project that is large

STEP = '''
"""What {app} did in its {number}. step."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = {dependencies!r}

    operations = [
        {operation},
    ]
'''

CREATE = "migrations.CreateModel('Thing', [('id', models.BigAutoField(primary_key=True))])"
ADD = "migrations.AddField('thing', 'field{number}', models.CharField(max_length={length}, null=True))"


class LargeProject(Folder):
    """
    A project with many apps.

    Args:
        apps: how many.
        each: how many migrations in each.
        long: how many in one more app, in which each fifth begins a branch; without any there is none.
    """

    def __init__(self, folder: Path, apps: int, each: int, long: int = 0) -> None:
        self.sizes = {f"app{number:03}": each for number in range(apps)}
        if long:
            self.sizes["long"] = long
        super().__init__(folder, self.sizes)

    def write(self) -> None:
        super().write()
        for app, size in self.sizes.items():
            for number in range(size):
                self.migration(app, number)

    def migration(self, app: str, number: int, length: int = 50) -> None:
        operation = ADD.format(number=number, length=length) if number else CREATE
        dependencies = [(app, self.name(one)) for one in self._parents(app, number)]
        text = STEP.format(app=app, number=number, dependencies=dependencies, operation=operation)
        self.file(f"{app}/migrations/{self.name(number)}.py", text)

    @staticmethod
    def name(number: int) -> str:
        return f"{number + 1:04}_step"

    @staticmethod
    def _parents(app: str, number: int) -> list[int]:
        if app != "long" or number < 5:
            return [number - 1] if number else []
        # Beside each other, and together again.
        return {0: [number - 2, number - 1], 1: [number - 1], 4: [number - 2]}.get(number % 5, [number - 1])

    def spoil(self) -> None:
        """Delete some files and edit others, in one app of ten."""
        for app in list(self.sizes)[::10]:
            last = self.sizes[app] - 1
            (self.folder / app / "migrations" / f"{self.name(last)}.py").unlink()
            self.migration(app, last - 1, length=60)


def record_and_store(*apps: str) -> None:
    """
    Record all migrations of the project as applied, within it, and have their files stored.

    Args:
        apps: of which the migrations are applied in earnest.
    """
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.recorder import MigrationRecorder

    from django_rewind.engine.reconcile import reconcile

    for app in apps:
        call_command("migrate", app, verbosity=0)
    recorder = MigrationRecorder(connection)
    applied = set(recorder.applied_migrations())
    keys = [key for key in sorted(MigrationLoader(None).disk_migrations) if key not in applied]
    model = recorder.Migration
    model.objects.bulk_create([model(app=app, name=name) for app, name in keys], batch_size=200)
    reconcile(connection)
