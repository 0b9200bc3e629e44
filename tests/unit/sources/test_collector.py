"""What a migration needs, found without importing anything."""

from __future__ import annotations

import os
import sys
import zipfile
from importlib.machinery import ModuleSpec
from io import BytesIO
from types import ModuleType

import pytest

from django_rewind.sources.bundle.changes import BundleChanges
from django_rewind.sources.bundle.collector import Collector
from django_rewind.sources.signing import digest_of
from tests.support.fixtures import Kept, Tree

TONES = "from bakery.marks import MARK\n\ndef louder(text):\n    return text + MARK\n"


@pytest.fixture
def tones(tree: Tree) -> Tree:
    """The helper `bakery.tones`, which needs `bakery.marks`; `bakery.other` is there too."""
    tree.write("bakery/tones.py", TONES)
    tree.write("bakery/marks.py", "MARK = '!'\n")
    tree.write("bakery/other.py", "OTHER = 1\n")
    return tree


# Modules

BOTH = {"bakery.tones", "bakery.marks"}


@pytest.mark.parametrize(
    "text",
    [
        "import bakery.tones",
        "import bakery.tones as t",
        "from bakery import tones",
        "from bakery.tones import louder",
        "from bakery.tones import *",
        "from ..tones import louder",
        "from .. import tones",
        "from\t..tones\timport louder",
        "from ..tones import(louder)",
        "from..tones import louder",
        "import json, bakery.tones",
        "import json; import bakery.tones",
        "import json\rimport bakery.tones",
        "import json\\\n, bakery.tones",
        "\x0cimport bakery.tones",
        "if True: import bakery.tones",
        "def f():\n    from bakery.tones import louder",
        "async def f():\n    import bakery.tones",
        "class A:\n    def f(self):\n        from ..tones import louder",
        "try:\n    from bakery.tones import louder\nexcept ImportError:\n    louder = str",
        "from importlib import import_module\nimport_module('bakery.tones')",
        "from importlib import import_module\nimport_module('..tones', __package__)",
        "louder = __import__('bakery.tones').tones.louder",
        "from django.utils.module_loading import import_string\nimport_string('bakery.tones.louder')",
    ],
)
def test_what_is_imported_goes_with_it(tones: Tree, text):
    """However that is written, with what it imports in turn, and nothing else."""
    assert tones.collect(text).names == BOTH
    assert not any(name.startswith("bakery") for name in sys.modules)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "from django.db import migrations, models",
        "import json\nimport os.path",
        "from __future__ import annotations",
        "'''import bakery.tones'''",
        "# import bakery.tones",
        "if TYPE_CHECKING:\n    import bakery.tones",
        "import gone",
        "from gone.away import x",
        "from ....gone import x",
        "import_module('bakery.' + 'tones')",
        "import pytest",
        "import django_rewind.conf",
        "a = (",
    ],
)
def test_what_does_not_go_with_it(tones: Tree, text):
    """Python, Django, what is installed, and what is not there."""
    kept = tones.collect(text)
    assert kept.names == set()
    assert kept.collected.missed == {}


def test_versions_of_what_is_installed_are_written_down(tones: Tree):
    """Also of what a helper imports."""
    tones.write("bakery/tones.py", "import pytest, json, django\n")
    packages = tones.collect("import bakery.tones").bundle.packages
    assert list(packages) == ["pytest"]
    assert packages["pytest"].startswith("pytest ")
    assert list(tones.collect("import pytest").bundle.packages) == ["pytest"]


def test_helpers_may_import_each_other(tree: Tree):
    """Also through the package that holds them, and the migration itself."""
    tree.write("oven/__init__.py", "from .heat import HEAT\n")
    tree.write("oven/heat.py", "from . import cold\nHEAT = 1\n")
    tree.write("oven/cold.py", "import oven\n__import__('bakery.migrations.0002_bread')\n")
    assert tree.collect("from oven import HEAT").names == {"oven", "oven.heat", "oven.cold"}


def test_a_function_of_another_migration(tree: Tree):
    """It can only be imported by its name, and goes with this one."""
    tree.write("bakery/migrations/0001_flour.py", "def mill(): pass\n")
    kept = tree.collect(
        "from importlib import import_module\nmill = import_module('bakery.migrations.0001_flour').mill"
    )
    assert kept.names == {"bakery.migrations.0001_flour"}


@pytest.mark.parametrize("text", ["from oven import heat", "import oven.heat", "from oven.heat import heat"])
def test_an_attribute_of_a_package_and_a_module_of_one_name(tree: Tree, text):
    """The package decides which of them is meant, and goes along where it is asked."""
    tree.write("oven/__init__.py", "from .heat import heat\n")
    tree.write("oven/heat.py", "def heat(): pass\n")
    expected = {"oven", "oven.heat"} if text == "from oven import heat" else {"oven.heat"}
    assert tree.collect(text).names == expected


def test_a_package_does_not_go_with_its_modules(tree: Tree):
    """What is in it, and nobody refers to, is not stored."""
    tree.write("oven/__init__.py", "from .cold import COLD\nfrom . import heat\n")
    tree.write("oven/heat.py", "HEAT = 1\n")
    tree.write("oven/cold.py", "COLD = 1\n")
    assert tree.collect("from oven import heat\nheat.HEAT").names == {"oven.heat"}


def test_texts_are_stored_as_they_were(tree: Tree):
    """Decoded, with their line ends; and once, however many modules have them."""
    tree.write("bakery/one.py", "# coding: latin-1\r\nNAME = 'Käse'\r\n".encode("latin-1"))
    tree.write("bakery/two.py", "# coding: latin-1\r\nNAME = 'Käse'\r\n".encode())
    tree.write("bakery/three.py", "\ufeffNAME = 1\n")
    tree.write("bakery/four.py", "NAME = 1\n")
    kept = tree.collect("from bakery import one, three, four")
    assert kept.members["bakery.one"] == "# coding: latin-1\r\nNAME = 'Käse'\r\n"
    assert kept.members["bakery.three"] == kept.members["bakery.four"] == "NAME = 1\n"
    assert len(kept.collected.contents) == 2
    assert all(digest_of(content) == digest for digest, content in kept.collected.contents.items())


def test_folders_without_init_and_archives(tree: Tree, monkeypatch):
    """They are the project's like any other."""
    with zipfile.ZipFile(tree.path / "archive.zip", "w") as archive:
        archive.writestr("oven/__init__.py", "")
        archive.writestr("oven/heat.py", "import hall.deep.down\n")
    monkeypatch.syspath_prepend(str(tree.path / "archive.zip"))
    tree.write("hall/deep/down.py", "DOWN = 1\n")
    assert tree.collect("import oven.heat").names == {"oven.heat", "hall.deep.down"}


def test_helpers_of_an_installed_app_go_with_its_migrations(tree: Tree, monkeypatch):
    """Of its own package alone; they may go with the next version."""
    for package in ("hall", "cellar"):
        tree.write(f"site-packages/{package}/__init__.py", "")
        tree.write(f"site-packages/{package}/help.py", "")
    monkeypatch.syspath_prepend(str(tree.path / "site-packages"))
    collected = Collector().collect("hall.migrations.0001", "import hall.help, cellar.help\n")
    assert [one.name for one in collected.bundle.members] == ["hall.help"]


# Limits


def test_what_is_too_large_is_left_out_and_named(tones: Tree, settings):
    """As a whole, never truncated; what is smaller has its place."""
    settings.DJANGO_REWIND_SIZE_LIMIT = 100
    tones.write("bakery/tones.py", f"MARK = {'!' * 100!r}\n")
    kept = tones.collect("import bakery.tones, bakery.marks")
    assert kept.names == {"bakery.marks"}
    assert list(kept.collected.missed) == list(kept.bundle.left_out) == ["bakery.tones"]
    assert "DJANGO_REWIND_SIZE_LIMIT" in kept.collected.missed["bakery.tones"]


def test_the_limit_counts_bytes_of_all_together(tones: Tree, settings):
    """Each content fits, and the last of them does not fit any more."""
    size = len(TONES) + len("MARK = '!'\n")
    settings.DJANGO_REWIND_SIZE_LIMIT = size
    assert tones.collect("import bakery.tones").names == BOTH
    assert tones.collect("import bakery.tones").bundle.size == size
    settings.DJANGO_REWIND_SIZE_LIMIT = size - 1
    assert tones.collect("import bakery.tones").names == {"bakery.tones"}
    settings.DJANGO_REWIND_SIZE_LIMIT = 0
    assert tones.collect("import bakery.tones").names == set()


def test_files_count_too(tree: Tree, settings):
    """A large one is named by its path."""
    settings.DJANGO_REWIND_SIZE_LIMIT = 10
    tree.write("bakery/migrations/sql/large.sql", b"x" * 11)
    tree.write("bakery/migrations/sql/small.sql", b"x" * 10)
    kept = tree.collect("open(__file__ + 'sql/large.sql'), open(__file__ + 'sql/small.sql')")
    assert kept.names == {"sql/small.sql"}
    assert list(kept.collected.missed) == ["sql/large.sql"]


@pytest.mark.parametrize("excluded", ["bakery.marks", "bakery"])
def test_excluded_modules_stay_where_they_are(tones: Tree, settings, excluded):
    """With what is below a package; and nobody is warned of what they asked for."""
    settings.DJANGO_REWIND_EXCLUDE_MODULES = [excluded]
    kept = tones.collect("import bakery.tones")
    assert "bakery.marks" not in kept.names
    assert kept.collected.missed == {}
    assert all("DJANGO_REWIND_EXCLUDE_MODULES" in reason for reason in kept.bundle.left_out.values())


def test_a_name_that_begins_like_an_excluded_one(tones: Tree, settings):
    """`bakery.ton` is another module than `bakery.tones`."""
    settings.DJANGO_REWIND_EXCLUDE_MODULES = ["bakery.ton", "bak"]
    assert tones.collect("import bakery.tones").names == BOTH


def test_what_cannot_be_read_is_left_out_and_named(tones: Tree):
    """The rest goes along."""
    tones.write("bakery/marks.py", b"MARK = '\xff'\n")
    kept = tones.collect("import bakery.tones")
    assert kept.names == {"bakery.tones"}
    assert "cannot be read" in kept.collected.missed["bakery.marks"]


# Models

MODELS = """
from django.db import models
from bakery.marks import MARK

def path(instance, name):
    return MARK

class Bread(models.Model):
    class Kind(models.TextChoices):
        RYE = "r"

    class Meta:
        app_label = "bakery"
"""


@pytest.mark.parametrize(
    "text, inside, outside",
    [
        ("import bakery.models\nbakery.models.path", "def path", "class"),
        ("from bakery.models import path", "def path", "class"),
        ("from bakery import models\nmodels.Bread.Kind", "class Kind", "path"),
        ("from bakery.models import Bread\nBread.Kind", "class Kind", "path"),
        ("from bakery.models import *", "def path", "class"),
        ("from bakery import models\ngetattr(models, 'path')", "def path", "class"),
    ],
)
@pytest.mark.parametrize("importing", [["bakery.models"], []])
def test_of_models_an_excerpt(tones: Tree, text, inside, outside, importing):
    """What is used, with what it needs, and no model; whether or not they are imported."""
    tones.write("bakery/models.py", MODELS)
    kept = tones.collect(text, importing=importing)
    taken = kept.members["bakery.models"]
    assert inside in taken
    assert outside not in taken
    assert ("bakery.marks" in kept.names) == ("path" in taken)


def test_of_a_model_nothing_but_its_name(tones: Tree):
    """Models are left alone."""
    tones.write("bakery/models.py", MODELS)
    kept = tones.collect("from bakery.models import Bread", importing=["bakery.models"])
    (member,) = kept.bundle.members
    assert (member.kind, member.size, member.models, member.paths) == (
        "models",
        0,
        ["Bread"],
        [["Bread"]],
    )


def test_a_package_of_models(tones: Tree):
    """Its `__init__` goes as it is, and of what it imports an excerpt."""
    tones.write("bakery/models/__init__.py", "from .bread import *\nfrom .bread import Bread, path\n")
    tones.write("bakery/models/bread.py", MODELS)
    kept = tones.collect("import bakery.models\nbakery.models.path", importing=["bakery.models"])
    kinds = {one.name: one.kind for one in kept.bundle.members}
    assert kinds == {"bakery.models": "module", "bakery.models.bread": "models", "bakery.marks": "module"}


def test_a_model_that_is_bound_to_another_name(tones: Tree):
    """It is a model by whatever name."""
    tones.write(
        "bakery/models.py",
        MODELS + "\nMeta = type('Meta', (), {'app_label': 'bakery'})\n"
        "Loaf = type('Rye', (Bread,), {'__module__': __name__, 'Meta': Meta})\n",
    )
    kept = tones.collect("from bakery.models import Loaf", importing=["bakery.models"])
    assert kept.members["bakery.models"] == ""
    assert kept.bundle.members[0].models == ["Loaf"]


def test_models_that_cannot_be_parsed(tones: Tree):
    """They were edited since they were imported: it is said that nothing can be taken."""
    tones.write("bakery/models.py", MODELS)
    tones.imported("bakery.models")
    (tones.path / "bakery/models.py").write_text("a = (\n")
    kept = tones.collect("from bakery.models import path")
    assert "cannot be parsed" in kept.collected.missed["bakery.models"]


# Files


@pytest.fixture
def files(tree: Tree) -> Tree:
    """The files that lie beside the migrations."""
    for name in (
        "up.sql",
        "0002_bread.sql",
        "0002_bread.json",
        "sql/down.sql",
        "sql/more.sql",
        "data/a/x.csv",
    ):
        tree.write(f"bakery/migrations/{name}", name)
    tree.write("bakery/migrations/0001_flour.py", "")
    return tree


EVERY = {"up.sql", "0002_bread.sql", "0002_bread.json", "sql/down.sql", "sql/more.sql", "data/a/x.csv"}


@pytest.mark.parametrize(
    "text, names",
    [
        ("open(os.path.join(os.path.dirname(__file__), 'up.sql'))", {"up.sql"}),
        ("open(os.path.join(os.path.dirname(__file__), 'sql', 'down.sql'))", {"sql/down.sql"}),
        ("Path(__file__).parent / 'sql/down.sql'", {"sql/down.sql"}),
        ("Path(__file__).with_suffix('.sql')", {"0002_bread.sql"}),
        ("os.path.splitext(__file__)[0] + '.json'", {"0002_bread.json"}),
        ("Path(__file__).parent / f'{name}'", EVERY),
        ("Path(__file__).parent.glob('*')", EVERY),
        ("Path(__file__).parent.glob('*.csv')", {"data/a/x.csv"}),
        ("Path(__file__).parent / 'sql'", {"sql/down.sql", "sql/more.sql"}),
        ("Path(__file__).parent / f'{name}.csv'", {"data/a/x.csv"}),
        ("Path(__file__).parent / 'data' / f'{name}.csv', 'up.sql'", {"data/a/x.csv", "up.sql"}),
        ("Path(__file__).parent / ('%s.csv' % name)", {"data/a/x.csv"}),
        ("Path(__file__).parent / '{}.csv'.format(name)", {"data/a/x.csv"}),
        ("Path(__file__).parent / name", EVERY),
        ("resources.files(__package__).joinpath('up.sql')", {"up.sql"}),
        ("importlib.resources.read_text('bakery.migrations', 'up.sql')", {"up.sql"}),
        ("pkgutil.get_data(__package__, 'sql/down.sql')", {"sql/down.sql"}),
        ("run_file(__file__, 'up.sql')", {"up.sql"}),
        ("open('up.sql')", set()),
        ("'up.sql'", set()),
    ],
)
def test_files_that_a_migration_names(files: Tree, text, names):
    """By name, by pattern, by its own name; all of them where nothing tells."""
    assert files.collect(text).names == names


def test_files_that_a_helper_beside_the_migration_reads(files: Tree):
    """Below the migrations package alone."""
    files.write("bakery/migrations/_read.py", "open(__file__ + 'up.sql')")
    files.write("bakery/migrations/sql/read.py", "open(__file__ + 'down.sql')")
    files.write("bakery/read.py", "open(__file__ + '0002_bread.sql')")
    files.write("bakery/fixtures.json", "")
    text = "from . import _read\nfrom .sql import read\nimport bakery.read"
    modules = {"bakery.migrations._read", "bakery.migrations.sql.read", "bakery.read"}
    assert files.collect(text).names == {"up.sql", "sql/down.sql", *modules}


def test_a_file_and_a_module_of_one_name(tree: Tree):
    """Both go along."""
    tree.write("oven.py", "HEAT = 1\n")
    tree.write("bakery/migrations/oven", "heat")
    kept = tree.collect("import oven\nopen(__file__ + 'oven')")
    assert [(one.kind, one.name) for one in kept.bundle.members] == [("module", "oven"), ("file", "oven")]
    assert {kept.collected.contents[one.digest] for one in kept.bundle.members} == {b"HEAT = 1\n", b"heat"}


def test_files_of_any_content(tree: Tree):
    """Bytes are bytes; an empty one is one too."""
    tree.write("bakery/migrations/a.bin", bytes(range(256)))
    tree.write("bakery/migrations/b.bin", b"")
    kept = tree.collect("open(__file__ + 'a.bin'), open(__file__ + 'b.bin')")
    assert set(kept.collected.contents.values()) == {bytes(range(256)), b""}


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_files_that_are_none(tree: Tree):
    """Links are followed once, and what is no file is not read."""
    folder = tree.path / "bakery/migrations"
    tree.write("elsewhere.sql", "SELECT 1")
    (folder / "link.sql").symlink_to(tree.path / "elsewhere.sql")
    (folder / "dangling.sql").symlink_to(tree.path / "gone.sql")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.sql")
    assert tree.collect("open(__file__)").members == {"link.sql": "SELECT 1"}


@pytest.mark.skipif(sys.platform == "win32" or not os.geteuid(), reason="may read everything")
def test_a_file_that_cannot_be_read_is_named(tree: Tree):
    """Like a module."""
    tree.write("bakery/migrations/up.sql", "SELECT 1").chmod(0)
    kept = tree.collect("open(__file__ + 'up.sql')")
    assert "cannot be read" in kept.collected.missed["up.sql"]


def test_migrations_in_a_folder_without_init(tree: Tree):
    """They lie beside their files all the same."""
    tree.delete("bakery/migrations/__init__.py", "bakery/__init__.py")
    tree.write("bakery/migrations/up.sql", "")
    assert tree.collect("open(__file__ + 'up.sql')").names == {"up.sql"}


def test_a_migration_without_a_folder(tree: Tree):
    """Its package is gone: there is nothing beside it."""
    assert Collector().collect("gone.migrations.0001", "open(__file__)\n").bundle.members == []


def test_a_module_is_read_once_for_many_migrations(tones: Tree):
    """As long as one piece of work lasts."""
    collector = Collector()
    text = "import bakery.tones\n"
    first = collector.collect(Tree.MIGRATION, text)
    tones.delete("bakery/marks.py")
    assert Kept(tones, text, collector.collect("bakery.migrations.0003", text)).names == BOTH
    assert first.contents


# Packages that are no folders


class Loader:
    """Knows a package by heart, and has no file of it anywhere."""

    FILES = {"bread.sql": b"SELECT 1", "roll.sql": b"SELECT 2"}

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        pass


class WithReader(Loader):
    def get_resource_reader(self, name):
        return self

    def contents(self):
        return [*self.FILES, "0001.py", "more"]

    def is_resource(self, name):
        return name in self.FILES

    def open_resource(self, name):
        return BytesIO(self.FILES[name])

    def resource_path(self, name):
        raise FileNotFoundError(name)


class WithData(Loader):
    def get_data(self, path):
        try:
            return self.FILES[path.rpartition("/")[2]]
        except KeyError:
            raise OSError(path) from None


@pytest.mark.parametrize("loader", [Loader, WithReader, WithData])
def test_files_of_a_loader(monkeypatch, loader):
    """They are taken as the loader knows them; where it knows none, that is said."""
    spec = ModuleSpec(
        "oven.migrations", loader(), origin="/nowhere/oven/migrations/__init__.py", is_package=True
    )
    spec.submodule_search_locations = ["/nowhere/oven/migrations"]
    spec.has_location = True
    package = ModuleType("oven.migrations")
    package.__spec__ = spec
    monkeypatch.setitem(sys.modules, "oven.migrations", package)
    text = "import pkgutil\nSQL = pkgutil.get_data(__package__, 'bread.sql')\n"

    collected = Collector().collect("oven.migrations.0001_bread", text)

    if loader is Loader:
        assert not collected.bundle.members
        assert "does not list its files" in collected.missed["oven.migrations (data files)"]
    else:
        (member,) = collected.bundle.members
        assert (member.kind, member.name) == ("file", "bread.sql")
        assert collected.contents[member.digest] == b"SELECT 1"
        assert not BundleChanges(Collector(), lambda digests: {}).has_changed(
            collected.bundle, "oven.migrations"
        )
