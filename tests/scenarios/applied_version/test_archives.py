"""Apps in an archive, whose migrations read data files that lie beside them there."""

from __future__ import annotations

import zipfile

import pytest

from tests.support.helpers import MIGRATION, Project, create

pytestmark = pytest.mark.deep

READERS = {
    "pkgutil": "import pkgutil\ndef read(name):\n    return pkgutil.get_data(__package__, f'sql/{name}').decode()\n",
    "resources": (
        "from importlib import resources\n"
        "def read(name):\n    return resources.files(__package__).joinpath(f'sql/{name}').read_text()\n"
    ),
    "loader": (
        "import os\n"
        "def read(name):\n"
        "    return __loader__.get_data(os.path.join(os.path.dirname(__file__), 'sql', name)).decode()\n"
    ),
}
RUN_SQL = (
    "migrations.RunPython(lambda apps, editor: editor.connection.cursor().execute(read('up.sql')),"
    " lambda apps, editor: editor.connection.cursor().execute(read('down.sql')))"
)
FILES = {
    "cellar/migrations/sql/up.sql": "UPDATE cellar_wine SET name = 'RED'",
    "cellar/migrations/sql/down.sql": "UPDATE cellar_wine SET name = 'red'",
}


def pack(project: Project, **migrations: str) -> None:
    with zipfile.ZipFile(project.path / "cellar.zip", "w") as archive:
        for name in ("cellar/__init__.py", "cellar/migrations/__init__.py"):
            archive.writestr(name, "")
        for name, text in migrations.items():
            archive.writestr(f"cellar/migrations/m{name}.py", text)
            for path, content in FILES.items() if "read(" in text else ():
                archive.writestr(path, content)


def migration(operation: str, after: str = "", header: str = "") -> str:
    attributes = f"    dependencies = [('cellar', '{after}')]" if after else "    dependencies = []"
    return MIGRATION.format(header=header, attributes=attributes, operations=f"        {operation},")


@pytest.mark.parametrize("reader", READERS)
def test_data_files_in_an_archive(project, reader):
    """They are bundled, are no difference as long as they are there, and come back when they are gone."""
    first = migration(create("Wine", name="CharField(max_length=9)"))
    pack(project, _1=first)
    project.configure(raw="import sys\nsys.path.insert(0, 'cellar.zip')")
    project.install("django_rewind", "cellar")
    project.manage("migrate")
    project.execute("INSERT INTO cellar_wine (name) VALUES ('red')")
    pack(project, _1=first, _2=migration(RUN_SQL, after="m_1", header=READERS[reader]))
    result = project.manage("migrate")
    assert "not stored" not in result.output
    assert project.rows("SELECT name FROM cellar_wine") == [("RED",)]
    shown = project.manage("show_stored_migrations", "cellar").stdout
    assert "with sql/down.sql, sql/up.sql" in shown
    assert "modified" not in shown
    project.manage("verify_migrations")

    pack(project, _1=first)
    project.manage("rewind", "--noinput", "--allow-data-loss")

    assert project.rows("SELECT name FROM cellar_wine") == [("red",)]
    assert project.applied("cellar") == ["m_1"]
