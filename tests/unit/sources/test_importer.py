"""Stored modules, which stored code can import and nobody else can."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import pytest

from django_rewind.sources.bundle.importer import StoredImporter, imports_that_fail
from tests.support.fixtures import Kept, Tree

pytestmark = pytest.mark.deep


@pytest.fixture
def temporary(tree: Tree, monkeypatch) -> Path:
    """The folder for temporary folders, which holds nothing else."""
    folder = tree.path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def recovered(tree: Tree, text: str, files: dict[str, str], *, here: dict[str, str] | None = None):
    """Store a migration with these files, have others in their place, and execute it."""
    for name, content in files.items():
        tree.write(name, content)
    kept = tree.collect(text)
    for name in files:
        tree.delete(name)
    for name, content in (here or {}).items():
        tree.write(name, content)
    return kept.execute()


# Imports

TONES = {
    "oven/tones.py": "from oven.marks import MARK\ndef louder(text): return text + MARK\n",
    "oven/marks.py": "MARK = '!'\n",
}


@pytest.mark.parametrize(
    "text",
    [
        "from oven.tones import louder",
        "from oven import tones\nlouder = tones.louder",
        "import oven.tones\nlouder = oven.tones.louder",
        "import oven.tones as t\nlouder = t.louder",
        "import oven.marks, oven.tones as t\nlouder = t.louder\nassert oven.marks.MARK",
        "from oven.tones import *",
        "from oven import *\nfrom oven import tones\nlouder = tones.louder",
        "import importlib\nlouder = importlib.import_module('oven.tones').louder",
        "import importlib as i\nlouder = i.import_module('.tones', 'oven').louder",
        "from importlib import import_module\nlouder = import_module(name='oven.tones').louder",
        "from importlib import import_module as i\nlouder = i('.tones', package='oven').louder",
        "import importlib.util\nlouder = importlib.import_module('oven.tones').louder\nimportlib.util.find_spec",
        "louder = __import__('oven.tones').tones.louder",
        "louder = __import__('oven.tones', fromlist=['x']).louder",
        "from django.utils.module_loading import import_string\nlouder = import_string('oven.tones.louder')",
        "from django.utils import module_loading as m\nlouder = m.import_string('oven.tones.louder')",
        "def louder(text):\n    from oven.tones import louder\n    return louder(text)",
        "def louder(text):\n    import oven.tones\n    return oven.tones.louder(text)",
        (
            "async def speak():\n    from oven.tones import louder\n    return louder\n"
            "def louder(text):\n    import asyncio\n    return asyncio.run(speak())(text)"
        ),
        "try:\n    from oven.tones import louder\nexcept ImportError:\n    louder = None",
        "class A:\n    from oven.tones import louder\nlouder = A.louder",
        "louder = (lambda: __import__('oven.tones').tones)().louder",
        "import functools, oven.tones\nlouder = functools.partial(oven.tones.louder)",
    ],
)
@pytest.mark.parametrize(
    "here", [{}, {"oven/tones.py": "", "oven/marks.py": "MARK = '?'"}, {"oven/__init__.py": ""}]
)
def test_what_it_imports_is_what_it_ran_with(tree: Tree, text, here):
    """However it imports, where its helper is gone, and where another is here."""
    module = recovered(tree, text, TONES, here=here)
    assert module.louder("Tea") == "Tea!"


def test_what_is_here_and_unchanged_is_used(tree: Tree):
    """As the very module."""
    tree.write("oven/marks.py", "MARK = '!'\n")
    tree.write("oven/tones.py", "from oven import marks\n")
    kept = tree.collect("from oven import tones\n")
    tree.write("oven/tones.py", "")
    live = tree.imported("oven.marks")
    assert kept.execute().tones.marks is live
    tree.write("oven/tones.py", "from oven import marks\n")
    live = tree.imported("oven.tones")
    assert kept.execute().tones is live


def test_what_was_not_imported_yet_is_imported_from_here(tree: Tree):
    """The rest of the project, also of a package that has stored modules."""
    tree.write("oven/fire.py", "FIRE = 1\n")
    module = recovered(
        tree,
        "from oven.tones import louder\ndef fire():\n    from oven import fire\n    return fire\n",
        TONES,
    )
    with_fire = module.fire()
    assert with_fire is sys.modules["oven.fire"]


def test_relative_imports(tree: Tree):
    """From the folder of the migrations and from above it."""
    module = recovered(
        tree,
        "from ._help import here\nfrom . import _help\nfrom .. import tones\nfrom ..tones import tone",
        {
            "bakery/migrations/_help.py": "from . import _more\nhere = _more.HERE\n",
            "bakery/migrations/_more.py": "HERE = 1\n",
            "bakery/tones.py": "from .migrations._more import HERE as tone\n",
        },
    )
    assert (module.here, module.tone, module.tones.tone, module._help.here) == (1, 1, 1, 1)


def test_beyond_the_top(tree: Tree):
    """That is the error that Python has for it."""
    with pytest.raises(ImportError, match="beyond top-level"):
        recovered(tree, "from oven import tones\nfrom .... import x", TONES)


@pytest.mark.parametrize(
    "text, name",
    [
        ("import oven.gone", "oven.gone"),
        ("from oven.gone import x", "oven.gone"),
        ("import gone.away", "gone.away"),
        ("from oven.tones.more import x", "oven.tones.more"),
        ("from .gone import x", "bakery.migrations.gone"),
    ],
)
def test_a_module_that_is_nowhere_is_named(tree: Tree, text, name):
    """By its full name, also where the package above it is gone."""
    with pytest.raises(ModuleNotFoundError) as caught:
        recovered(tree, f"import oven.tones\n{text}", TONES)
    assert caught.value.name == name


@pytest.mark.parametrize("text", ["from oven import gone", "from oven.tones import gone"])
def test_a_name_that_is_nowhere_is_an_import_error(tree: Tree, text):
    """As ever."""
    with pytest.raises(ImportError, match="gone"):
        recovered(tree, f"import oven.tones\n{text}", TONES)


def test_cycles(tree: Tree):
    """Among modules, through packages, and in the order that Python has."""
    module = recovered(
        tree,
        "import oven.tones\nfrom oven import louder, mark\n",
        {
            "oven/__init__.py": "NAME = 'x'\nfrom .tones import louder\nfrom .marks import mark\n",
            "oven/tones.py": "from . import NAME\nfrom oven import marks\ndef louder(): return NAME + marks.mark()\n",
            "oven/marks.py": "import oven.tones\ndef mark(): return oven.tones.NAME\n",
        },
    )
    assert (module.louder(), module.mark()) == ("xx", "x")


def test_packages_come_before_what_is_in_them(tree: Tree):
    """As Python has it, also above a folder without `__init__.py`."""
    files = {
        "oven/__init__.py": "import oven.marks\noven.marks.SEEN.append(1)\nNAME = 1\n",
        "oven/marks.py": "SEEN = []\n",
        "oven/deep/down.py": "from oven.marks import SEEN\nassert SEEN\n",
    }
    assert recovered(tree, "import oven.deep.down\nfrom oven import NAME\nS = oven.marks.SEEN", files).S == [
        1
    ]


def test_an_attribute_of_a_package_and_a_module_of_one_name(tree: Tree):
    """The name means what the package made of it."""
    files = {"oven/__init__.py": "from .heat import heat\n", "oven/heat.py": "def heat(): return 1\n"}
    module = recovered(tree, "from oven import heat\nfrom oven.heat import heat as same\n", files)
    assert module.heat() == 1
    assert module.heat is module.same


@pytest.mark.parametrize(
    "text", ["import oven.heat\nHEAT = oven.heat.HEAT", "from oven import heat\nHEAT = heat.HEAT"]
)
def test_a_package_that_changed_and_its_module_that_did_not(tree: Tree, text):
    """The stored package has the module of this checkout."""
    tree.write("oven/heat.py", "HEAT = 1\n")
    tree.write("oven/__init__.py", "NAME = 'then'\n")
    kept = tree.collect(f"import oven\nNAME = oven.NAME\n{text}")
    tree.write("oven/__init__.py", "NAME = 'now'\n")
    tree.imported("oven.heat")
    module = kept.execute()
    assert (module.NAME, module.HEAT) == ("then", 1)


def test_a_package_that_imports_its_modules(tree: Tree):
    """What it re-exports, and with a star."""
    module = recovered(
        tree,
        "from oven import *\nfrom oven import _private\nimport oven.deep.down\nD = oven.deep.down.D\n",
        {
            "oven/__init__.py": "from .tones import *\nfrom .deep.down import D\n_private = 1\n__all__ = ['louder', 'D', 'deep']\n",
            "oven/tones.py": "def louder(): return 1\nhidden = 1\n",
            "oven/deep/__init__.py": "from . import down\n",
            "oven/deep/down.py": "D = 4\n",
        },
    )
    assert (module.louder(), module.D, module._private, module.deep.down.D) == (1, 4, 1, 4)
    assert not hasattr(module, "hidden")


def test_a_star_of_a_package_that_is_here(tree: Tree):
    """Its public names, though modules below it come from the store."""
    tree.write("oven/__init__.py", "HEAT = 1\n_private = 2\n")
    module = recovered(tree, "from oven import *\nfrom oven import tones\n", TONES)
    assert module.HEAT == 1
    assert not hasattr(module, "_private")


@pytest.mark.parametrize(
    "text, value",
    [
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n    a: int = 1\nV = A().a", 1),
        (
            (
                "from __future__ import annotations\nfrom dataclasses import dataclass, field\nfrom typing import ClassVar\n"
                "@dataclass\nclass A:\n    a: ClassVar[int] = 1\n    b: list[int] = field(default_factory=list)\nV = A.a"
            ),
            1,
        ),
        ("from enum import Enum, auto\nclass A(Enum):\n    a = auto()\nV = A['a'].value", 1),
        ("from typing import NamedTuple\nclass A(NamedTuple):\n    a: int = 1\nV = A().a", 1),
        ("from collections import namedtuple\nA = namedtuple('A', 'a')\nV = A(1).a", 1),
        (
            (
                "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def a(self): ...\n"
                "class B(A):\n    def a(self): return 1\nV = B().a()"
            ),
            1,
        ),
        (
            "class A:\n    def a(self): return 1\nclass B(A):\n    def a(self): return super().a()\nV = B().a()",
            1,
        ),
        ("class M(type):\n    def __getattr__(cls, name): return 1\nclass A(metaclass=M): pass\nV = A.a", 1),
        ("def d(c):\n    c.a = 1\n    return c\n@d\nclass A: pass\nV = A.a", 1),
        (
            "import functools\ndef d(f):\n    @functools.wraps(f)\n    def w(): return f()\n    return w\n@d\ndef a(): return 1\nV = a()",
            1,
        ),
        ("def g():\n    yield 1\nV = next(g())", 1),
        ("import asyncio\nasync def a(): return 1\nV = asyncio.run(a())", 1),
        ("def __getattr__(name):\n    if name == 'V': return 1\n    raise AttributeError(name)", 1),
        ("import sys\nclass A:\n    V = 1\nsys.modules[__name__] = A()", 1),
        ("from django.conf import settings\nV = settings.OVEN", 1),
        ("V = 1 if __name__ == 'oven.tones' and __package__ == 'oven' else 0", 1),
        ("from pathlib import Path\nV = Path(__file__).parts[-2:]", ("oven", "tones.py")),
        ("import inspect\ndef f(): pass\nV = inspect.getsource(f)", "def f(): pass\n"),
        ("import typing\nif typing.TYPE_CHECKING:\n    from gone import T\nV = 1", 1),
        ("from string import Template\nV = eval('1')", 1),
        ("import warnings\nV = 1\nassert __spec__.name == __name__ and __spec__.parent == 'oven'", 1),
    ],
)
def test_what_a_helper_may_be_made_of(tree: Tree, settings, text, value):
    """Whatever Python allows in a module."""
    settings.OVEN = 1
    module = recovered(
        tree, "from oven.tones import V\nimport oven.marks\n", {**TONES, "oven/tones.py": text}
    )
    assert value == module.V


def test_a_helper_that_is_at_the_top(tree: Tree):
    """It has a place too, though nobody knows where that was."""
    files = {"oven.py": "from pathlib import Path\nNAME = Path(__file__).name\n"}
    assert recovered(tree, "from oven import NAME", files).NAME == "oven.py"


@pytest.mark.parametrize(
    "text, error",
    [
        ("raise ValueError('no')", ValueError),
        ("import sys\nsys.exit(3)", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
        ("a = (", SyntaxError),
        ("import gone.away", ModuleNotFoundError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_a_helper_that_fails(tree: Tree, text, error):
    """The error is its own, with its text in the traceback, and nothing is left behind."""
    importer = StoredImporter()
    files = {"oven/tones.py": f"import oven.marks\n{text}\n", "oven/marks.py": "MARK = 1\n"}
    for name, content in files.items():
        tree.write(name, content)
    kept = tree.collect("import oven.tones")
    tree.delete("oven")
    with pytest.raises(error) as caught:
        kept.execute(importer)
    assert text.splitlines()[-1] in "".join(traceback.format_exception(error, caught.value, caught.tb))
    with pytest.raises(error):
        kept.execute(importer)


@pytest.mark.parametrize("change", ["insert(0, 'elsewhere')", "append('elsewhere')", "clear()"])
def test_a_helper_that_changes_the_path(tree: Tree, change):
    """The running project keeps its own."""
    tree.write("oven/tones.py", f"import sys\nsys.path.{change}\nMARK = 1\n")
    kept = tree.collect("from oven.tones import MARK")
    tree.delete("oven")
    before = list(sys.path)
    assert kept.execute().MARK == 1
    kept.importer.close()
    assert sys.path == before


def test_other_threads(tree: Tree):
    """What they import meanwhile they import from this checkout."""
    # The stored module waits for a thread that imports the one of the same name.
    tree.write("oven/marks.py", "MARK = 'then'\n")
    kept = tree.collect("from oven.marks import MARK\n")
    tree.write("oven/marks.py", "MARK = 'now'\n")
    seen = []
    importer = StoredImporter()
    kept.execute(importer)
    thread = threading.Thread(target=lambda: seen.append(tree.imported("oven.marks").MARK))
    thread.start()
    thread.join()
    assert seen == ["now"]


def test_a_function_that_runs_later(tree: Tree):
    """In another thread, or as a generator, it still imports what it ran with."""
    module = recovered(
        tree,
        """
        def later():
            from oven.marks import MARK
            yield MARK

        async def at_last():
            from oven.marks import MARK
            return MARK
        """,
        TONES,
        here={"oven/marks.py": "MARK = 'now'\n"},
    )
    found = []
    thread = threading.Thread(target=lambda: found.extend(module.later()))
    thread.start()
    thread.join()
    assert found == ["!"]
    assert asyncio.run(module.at_last()) == "!"
    assert tree.imported("oven.marks").MARK == "now"


def test_deep_nesting(tree: Tree):
    """A chain of helpers as long as imports of Python's own may be."""
    files = {f"oven/m{n}.py": f"from oven.m{n + 1} import A\n" for n in range(60)}
    files["oven/m60.py"] = "A = 1\n"
    assert recovered(tree, "from oven.m0 import A", files).A == 1


# Several versions

FIELD = "from django.db import models\n\nclass Code(models.TextField):\n    LEVEL = {}\n"


def test_one_class_for_one_content(tree: Tree):
    """Two migrations of a run that ran with the same field have the same class."""
    tree.write("oven/fields.py", FIELD.format(1))
    one, other = (
        tree.collect("from oven.fields import Code\n"),
        tree.collect("import oven.fields as f\nCode = f.Code\n"),
    )
    tree.delete("oven")
    importer = StoredImporter()
    classes = [kept.execute(importer).Code for kept in (one, other)]
    assert classes[0] is classes[1]
    assert isinstance(classes[0]().clone(), classes[1])
    assert classes[0]().deconstruct()[1] == "oven.fields.Code"
    assert one.execute(StoredImporter()).Code is not classes[0]


def test_each_has_the_version_that_it_ran_with(tree: Tree):
    """Three in one run: two stored, and the one of this checkout."""
    kept = []
    for level in (1, 2, 3):
        tree.write("oven/fields.py", FIELD.format(level))
        kept.append(tree.collect("from oven.fields import Code\n"))
    importer = StoredImporter()
    assert [one.execute(importer).Code.LEVEL for one in kept] == [1, 2, 3]
    assert kept[2].execute(importer).Code is tree.imported("oven.fields").Code


def test_a_version_is_that_of_what_it_imports_too(tree: Tree):
    """The same text with another helper is another module."""
    kept = []
    for mark in "!?":
        tree.write("oven/tones.py", TONES["oven/tones.py"])
        tree.write("oven/marks.py", f"MARK = '{mark}'\n")
        kept.append(tree.collect("from oven.tones import louder\n"))
    tree.delete("oven")
    importer = StoredImporter()
    assert [one.execute(importer).louder("") for one in kept] == ["!", "?"]


# Models

MODELS = """
from django.db import models
from django.db.models.signals import post_save
from oven.marks import MARK

def path(instance, name):
    return MARK

def count():
    return Bread.objects.model

class Bread(models.Model):
    class Kind(models.TextChoices):
        RYE = "r"

    KINDS = [("r", "Rye")]
    cover = models.TextField()

    class Meta:
        app_label = "bakery"

    def scan(self, name):
        return self.KINDS

class Loaf(Bread):
    class Meta:
        proxy = True
        app_label = "bakery"

def saved(**kwargs):
    saved.times += 1
saved.times = 0
post_save.connect(saved, sender=Bread)
"""


def test_models_are_those_of_this_checkout(tree: Tree):
    """And what hangs on them, and functions beside them, are those that it ran with."""
    tree.write("oven/marks.py", "MARK = '!'\n")
    tree.write("bakery/models.py", MODELS)
    kept = tree.collect(
        "from bakery import models\nfrom bakery.models import Bread, Loaf, path, count, saved\nBread.Kind.RYE\nBread.scan\n",
        importing=["bakery.models"],
    )
    tree.delete("oven")
    tree.write(
        "bakery/models.py", MODELS.replace("RYE", "OAT").replace("from oven.marks import MARK", "MARK = 2")
    )
    module = kept.execute(importing=["bakery.models"])
    live = tree.imported("bakery.models")
    assert module.path(None, None) == "!"
    assert module.Bread.Kind.RYE == "r"
    assert module.Bread.scan(module.Bread, "") == [("r", "Rye")]
    assert module.count() is live.Bread
    assert module.Loaf is live.Loaf
    assert module.models.Loaf is live.Loaf
    assert isinstance(live.Bread(), module.Bread)
    assert issubclass(live.Loaf, module.Bread)


OF_ALL_KINDS = """
import datetime
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
try:
    from gone import fancy
except ImportError:
    fancy = 0

validate = RegexValidator("a")
CHOICES = (("a", _("A")),)

class Mixin:
    def hello(self): return fancy

class StampedModel(models.Model):
    def folder(self, name): return "stamped/" + name
    class Meta:
        abstract = True
        app_label = "bakery"

class Bread(Mixin, StampedModel):
    class Kind(models.IntegerChoices):
        RYE = 1, _("Rye")
    class Status(models.TextChoices):
        A = "a"
        @classmethod
        def default(cls): return cls.A
    STATUS = Status.choices
    def _default(): return Bread.Status.default()
    class Meta:
        app_label = "bakery"
"""


@pytest.mark.parametrize(
    "text, value",
    [
        ("validate.regex.pattern", "a"),
        ("CHOICES[0][0]", "a"),
        ("Mixin().hello()", 0),
        ("Bread.Status.default()", "a"),
        ("Bread.Kind['RYE']", 1),
        ("Bread.STATUS", [("a", "A")]),
        ("Bread._default()", "a"),
        ("Bread.hello(None)", 0),
        ("Bread.folder(None, 'x')", "stamped/x"),
        ("StampedModel.folder(None, 'x')", "stamped/x"),
    ],
)
@pytest.mark.parametrize("are_gone", [True, False])
def test_what_hangs_on_models(tree: Tree, text, value, are_gone):
    """Enumerations, choices, validators, what is inherited: as it was, whatever is here."""
    tree.write("bakery/models.py", OF_ALL_KINDS)
    kept = tree.collect(f"import bakery.models as m\nV = m.{text}", importing=["bakery.models"])
    if are_gone:
        tree.delete("bakery/models.py")
    else:
        other = (
            OF_ALL_KINDS.replace("stamped/", "")
            .replace('"a"', '"b"')
            .replace("= 0", "= 1")
            .replace("1,", "2,")
        )
        tree.write("bakery/models.py", other)
    assert value == kept.execute(importing=[] if are_gone else ["bakery.models"]).V


def test_models_that_are_gone(tree: Tree):
    """What was taken is there, and the error of the rest names the model."""
    tree.write("oven/marks.py", "MARK = '!'\n")
    tree.write("bakery/models.py", MODELS)
    kept = tree.collect("from bakery.models import *\n", importing=["bakery.models"])
    tree.delete("oven", "bakery/models.py")
    module = kept.execute()
    assert module.path(None, None) == "!"
    with pytest.raises(AttributeError, match=r"bakery\.models\.Bread is not in this checkout"):
        module.count()
    with pytest.raises(LookupError, match=r"bakery\.models\.Bread is not in this checkout"):
        module.Bread()


def test_a_package_of_models(tree: Tree):
    """Models come from the modules that define them."""
    tree.write("oven/marks.py", "MARK = '!'\n")
    tree.write(
        "bakery/models/__init__.py",
        "from .bread import *\nfrom .bread import Bread, path\n__all__ = ['Bread', 'path']\n",
    )
    tree.write("bakery/models/bread.py", MODELS)
    kept = tree.collect(
        "from bakery.models import *\nimport bakery.models as m\n", importing=["bakery.models"]
    )
    tree.delete("oven")
    tree.write("bakery/models/bread.py", MODELS.replace("from oven.marks import MARK", "MARK = 2"))
    module = kept.execute(importing=["bakery.models"])
    assert module.path(None, None) == module.m.path(None, None) == "!"
    assert module.Bread is tree.imported("bakery.models").Bread


# Files


@pytest.fixture
def sql(tree: Tree, temporary: Path) -> Tree:
    """Two files below the migrations, of which the second is named nowhere."""
    tree.write("bakery/migrations/sql/up.sql", "then")
    tree.write("bakery/migrations/sql/other.sql", "other")
    return tree


READ = "from pathlib import Path\nimport os\ndef read():\n    return {}\n"


@pytest.mark.parametrize(
    "text",
    [
        "(Path(__file__).parent / 'sql' / 'up.sql').read_text()",
        "Path(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'sql/up.sql')).read_text()",
        "next(Path(__file__).resolve().parent.glob('sql/up.sq*')).read_text()",
        "__import__('pkgutil').get_data(__package__, 'sql/up.sql').decode()",
        "__import__('pkgutil').get_data(__name__.rpartition('.')[0], resource='sql/up.sql').decode()",
        "__import__('importlib.resources').resources.files(__package__).joinpath('sql/up.sql').read_text()",
        "__import__('importlib.resources').resources.files(package=__package__).joinpath('sql', 'up.sql').read_text()"
        if sys.version_info < (3, 12)
        else "__import__('importlib.resources').resources.files(anchor=__package__).joinpath('sql', 'up.sql').read_text()",
    ],
)
@pytest.mark.parametrize("now", [None, "now"])
def test_files_are_read_as_they_were(sql: Tree, temporary, text, now):
    """Where they are gone or different, from a temporary folder; the rest of the folder is there as well."""
    kept = sql.collect(READ.format(text))
    sql.delete("bakery/migrations/sql/up.sql")
    if now:
        sql.write("bakery/migrations/sql/up.sql", now)
    module = kept.execute()
    assert module.read() == "then"
    assert (Path(module.__file__).parent / "sql/other.sql").read_text() == "other"
    assert len(list(temporary.iterdir())) == 1
    kept.importer.close()
    assert list(temporary.iterdir()) == []
    assert (sql.path / "bakery/migrations/sql/other.sql").read_text() == "other"


@pytest.mark.parametrize(
    "text",
    [
        "from importlib import resources\nV = resources.files(__package__).joinpath('up.sql').read_text()",
        "from importlib.resources import files\nV = files('bakery.migrations').joinpath('up.sql').read_text()",
        "import importlib.resources as r\nV = r.files(__package__).joinpath('up.sql').read_text()",
        "import importlib.resources\nV = importlib.resources.files(__package__).joinpath('up.sql').read_text()",
        (
            "from importlib import resources\nwith resources.as_file(resources.files(__package__) / 'up.sql') as p:\n"
            "    V = p.read_text()"
        ),
        "from pkgutil import get_data\nV = get_data(__package__, 'up.sql').decode()",
        "import pkgutil as p\nV = p.get_data(__package__, 'up.sql').decode()",
        "from bakery.migrations._read import V",
    ],
)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_files_are_found_by_the_package(tree: Tree, temporary, text):
    """`importlib.resources` and `pkgutil` lead to what was stored too."""
    tree.write("bakery/migrations/up.sql", "then")
    tree.write(
        "bakery/migrations/_read.py",
        "from pathlib import Path\nV = Path(__file__.replace('_read.py', 'up.sql')).read_text()\n",
    )
    kept = tree.collect(text)
    tree.write("bakery/migrations/up.sql", "now")
    assert kept.execute().V == "then"


@pytest.mark.parametrize(
    "text",
    [
        "from importlib import resources\nV = resources.files('oven').joinpath('up.sql').read_text()",
        "from pkgutil import get_data\nV = get_data('oven', 'up.sql').decode()",
    ],
)
def test_files_of_others_are_those_of_this_checkout(tree: Tree, temporary, text):
    """Only what lies below the migrations is stored."""
    tree.write("bakery/migrations/up.sql", "then")
    tree.write("oven/__init__.py", "")
    tree.write("oven/up.sql", "then")
    kept = tree.collect(text + "\n__file__\n'up.sql'")
    tree.write("bakery/migrations/up.sql", "now")
    tree.write("oven/up.sql", "now")
    assert kept.execute().V == "now"


def test_files_that_are_unchanged_are_read_where_they_are(sql: Tree, temporary):
    """No copy is made, and what lies above the folder is where it was."""
    sql.write("bakery/fixtures/x.json", "{}")
    text = "(Path(__file__).parent.parent / 'fixtures' / 'x.json').read_text() + (Path(__file__).parent / 'sql/up.sql').read_text()"
    kept = sql.collect(READ.format(text))
    assert kept.execute().read() == "{}then"
    assert list(temporary.iterdir()) == []
    sql.delete("bakery/migrations/sql/up.sql")
    assert kept.execute().read() == "{}then"


def test_a_file_that_was_left_out_can_be_brought_back(sql: Tree, temporary, settings):
    """It lies beside those that were stored."""
    settings.DJANGO_REWIND_SIZE_LIMIT = 10
    sql.write("bakery/migrations/sql/large.sql", "large" * 10)
    text = "[(Path(__file__).parent / 'sql' / name).read_text() for name in ('up.sql', 'large.sql')]"
    kept = sql.collect(READ.format(text))
    assert list(kept.bundle.left_out) == ["sql/large.sql"]
    sql.delete("bakery/migrations/sql/up.sql")
    assert kept.execute().read()[0] == "then"


def test_folders_go_with_the_importer(sql: Tree, temporary):
    """Also where nobody closes it."""
    kept = sql.collect(READ.format("open(__file__ + '/../sql/up.sql').read()"))
    sql.delete("bakery/migrations/sql")
    kept.execute()
    assert len(list(temporary.iterdir())) == 1
    del kept.importer
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_binary_files(tree: Tree, temporary):
    """Bytes are what they were."""
    tree.write("bakery/migrations/a.bin", bytes(range(256)))
    kept = tree.collect("from pathlib import Path\nV = Path(__file__).with_name('a.bin').read_bytes()\n")
    tree.delete("bakery/migrations/a.bin")
    assert bytes(range(256)) == kept.execute().V


# Django


@pytest.mark.parametrize(
    "text",
    [
        "class Move(migrations.RunSQL):\n    reduces_to_sql = False\n",
        "class Base(migrations.Migration):\n    operations = [migrations.RunSQL('SELECT 1')]\n",
    ],
)
def test_operations_and_migrations_of_a_helper(tree: Tree, text):
    """They are classes like any other."""
    name = text.split("(")[0].split()[1]
    module = recovered(
        tree, f"from oven.base import {name}\n", {"oven/base.py": f"from django.db import migrations\n{text}"}
    )
    assert getattr(module, name).__module__ == "oven.base"


# Imports that fail


def fails(tree: Tree, text: str, files: dict[str, str] | None = None) -> list[tuple[str, str]]:
    module = recovered(tree, text, files or {})
    return list(imports_that_fail(module.back))


def test_imports_that_will_fail_are_known(tree: Tree):
    """Of a function, and of the functions that it calls, with who imports."""
    text = """
    from oven.tones import louder
    def back(apps, schema_editor):
        import json, gone.one
        louder()
        back(apps, schema_editor)
        missing()
    """
    files = {"oven/tones.py": "def louder():\n    import oven.tones\n    from .gone import two\n"}
    expected = [("gone.one", Tree.MIGRATION), ("oven.gone", "oven.tones")]
    assert fails(tree, text, files) == expected


@pytest.mark.parametrize(
    "text",
    [
        "back = None",
        "back = len",
        "back = 'text'",
        "back = lambda a, b: __import__('gone')",
        "import functools\nback = functools.partial(print)",
        "class A:\n    def __call__(self): pass\nback = A()",
        "from django.db.migrations import RunPython\nback = RunPython.noop",
        "def back(a, b):\n    if a.vendor == 'mysql':\n        import MySQLdb.gone",
        "def back(a, b):\n    if a.vendor == 'mysql':\n        other()\ndef other():\n    import gone",
        "def back(a, b):\n    try:\n        import json\n    except ImportError:\n        import gone as json",
    ],
)
def test_no_import_fails_for_sure(tree: Tree, text):
    """What cannot be known is no reason to refuse."""
    assert fails(tree, text) == []


def test_the_source_can_be_shown(tree: Tree):
    """Debuggers and tracebacks find the text."""
    module = recovered(tree, "import oven.tones\ndef f():\n    return 1\n", TONES)
    assert inspect.getsource(module.f) == "def f():\n    return 1\n"
    assert isinstance(module.oven, type(sys))
    assert Kept.__name__
