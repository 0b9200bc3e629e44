"""What a text imports, and what of that it uses."""

from __future__ import annotations

import ast
import importlib.util
import sys
from textwrap import dedent

import pytest

from django_rewind.sources.bundle.imports import EVERYTHING, Reference, imported_by, references, what_will_run
from django_rewind.utils.syntax import dotted, function_node, parse_text

#: What the texts below may find.
MODULES = {
    "shop",
    "shop.tones",
    "shop.models",
    "shop.text",
    "shop.text.marks",
    "shop.migrations",
    "shop.migrations.x",
}


def refers(text: str, package: str = "shop.migrations") -> set[str]:
    """Return the references of a text, written as `module: path`."""
    tree = parse_text(dedent(text))
    found = references(tree, package, MODULES.__contains__)
    return {": ".join(filter(None, [one.module, ".".join(one.path)])) for one in found}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("import shop.tones", {"shop.tones"}),
        ("import shop.tones\nshop.tones.louder(1)", {"shop.tones", "shop.tones: louder"}),
        ("import shop.tones as t\nt.louder(1)", {"shop.tones", "shop.tones: louder"}),
        ("import shop.tones as t\nf = t", {"shop.tones", "shop.tones: *"}),
        ("import shop.tones, shop.text.marks", {"shop.tones", "shop.text.marks"}),
        ("import shop.text\nshop.text.marks.M", {"shop.text", "shop.text.marks: M"}),
        ("from shop.tones import louder", {"shop.tones: louder"}),
        ("from shop.tones import louder as l\nl.x.y", {"shop.tones: louder", "shop.tones: louder.x.y"}),
        ("from shop import tones", {"shop: tones", "shop.tones"}),
        ("from shop import tones\ntones.louder", {"shop: tones", "shop.tones", "shop.tones: louder"}),
        ("from shop import VERSION", {"shop: VERSION"}),
        ("from shop.tones import *", {"shop.tones: *"}),
        (
            "from shop.tones import (\n    louder,  # one\n    quieter,\n)",
            {"shop.tones: louder", "shop.tones: quieter"},
        ),
        ("if 1:\n  import shop.tones; import shop.models", {"shop.tones", "shop.models"}),
        ("import os.path\nos.path.join", {"os.path", "os: path.join"}),
        ("import gone.away", {"gone.away"}),
        ("from gone import away", {"gone: away"}),
        ("shop.tones.louder", set()),
        ("", set()),
    ],
)
def test_absolute_imports(text, expected):
    """The deepest module of a name, and what is asked of it."""
    assert refers(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("from . import x", {"shop.migrations: x", "shop.migrations.x"}),
        ("from .x import f", {"shop.migrations.x: f"}),
        ("from .. import tones", {"shop: tones", "shop.tones"}),
        ("from ..text import marks", {"shop.text: marks", "shop.text.marks"}),
        ("from ..text.marks import *", {"shop.text.marks: *"}),
        ("from ... import shop", set()),
        ("from ....gone import x", set()),
    ],
)
def test_relative_imports(text, expected):
    """They start from the package; beyond the top there is nothing."""
    assert refers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    from shop.tones import louder",
        "async def f():\n    from shop.tones import louder",
        "class A:\n    def f(self):\n        from shop.tones import louder",
        "class A:\n    from shop.tones import louder",
        "try:\n    from shop.tones import louder\nexcept ImportError:\n    louder = None",
        "try:\n    pass\nexcept ImportError:\n    from shop.tones import louder",
        "with a:\n    for b in c:\n        while d:\n            from shop.tones import louder",
        "if TYPE_CHECKING:\n    import shop.models\nelse:\n    from shop.tones import louder",
        "if not TYPE_CHECKING:\n    from shop.tones import louder",
        "\x0cfrom shop.tones import louder",
        "a = 1; from shop.tones import louder",
        "from shop.tones \\\n    import louder",
    ],
)
def test_imports_are_found_wherever_they_stand(text):
    """In functions, classes, blocks and branches."""
    assert "shop.tones: louder" in refers(text)


@pytest.mark.parametrize("condition", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING"])
def test_imports_for_type_checkers_do_not_count(condition):
    """No migration runs with them."""
    assert refers(f"if {condition}:\n    import shop.models\n") == set()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("import_module('shop.tones')", {"shop.tones: *"}),
        ("importlib.import_module('shop.tones').louder", {"shop.tones: *"}),
        ("import_module('..tones', 'shop.migrations')", {"shop.tones: *"}),
        ("import_module('..tones', __package__)", {"shop.tones: *"}),
        ("import_module('.tones', package='shop')", {"shop.tones: *"}),
        ("import_module(name='shop.tones')", {"shop.tones: *"}),
        ("__import__('shop.tones')", {"shop.tones: *"}),
        ("import_string('shop.tones.louder')", {"shop.tones: louder"}),
        ("django.utils.module_loading.import_string('shop.models.P.Q')", {"shop.models: P.Q"}),
        ("import_module('shop.' + name)", set()),
        ("import_module(b'shop.tones')", set()),
        ("import_module('')", set()),
        ("import_module()", set()),
        ("import_module(*args, **kwargs)", set()),
        ("import_string('')", set()),
        ("f()('shop.tones')", set()),
    ],
)
def test_imports_by_name(text, expected):
    """A name that is written down is found; one that is put together is not."""
    assert refers(text) == expected


def test_a_name_may_stand_for_several():
    """Which of them, is decided when it runs."""
    text = """
    try:
        import shop.tones as t
    except ImportError:
        import shop.text.marks as t
    t.x
    """
    assert refers(text) == {"shop.tones", "shop.tones: x", "shop.text.marks", "shop.text.marks: x"}


def test_a_text_that_is_deeply_nested_is_walked():
    """As deep as this Python can parse it: 3.11 and 3.12 go less deep than the others."""
    texts = ("import shop.tones as t\na = " + " + ".join(["t.x"] * depth) for depth in (3000, 900))
    deepest = next(text for text in texts if parse_text(text) is not None)
    assert refers(deepest) == {"shop.tones", "shop.tones: x"}


@pytest.mark.parametrize("text", ["a = (", "a\0", "(" * 1000 + ")" * 1000, "\udcff ="])
def test_what_cannot_be_parsed_has_no_tree(text):
    """It may have been written for another Python."""
    assert parse_text(text) is None


def test_a_reference_has_a_name():
    """It is the first part of its path."""
    assert Reference("shop.models", ("Product", "Kind")).name == "Product"
    assert Reference("shop.models").name == ""
    assert Reference("shop.models", (EVERYTHING,)).name == "*"


@pytest.mark.parametrize(
    "text, parts", [("a", ["a"]), ("a.b.c", ["a", "b", "c"]), ("a().b", []), ("a[0].b", []), ("'a'.b", [])]
)
def test_dotted_names(text, parts):
    """Nothing but names and attributes."""
    assert dotted(ast.parse(text, mode="eval").body) == parts


# Functions


@pytest.fixture
def function(tmp_path):
    """The function `f` of a module with this text."""

    def load(text):
        path = tmp_path / "of_functions.py"
        path.write_text(dedent(text))
        spec = importlib.util.spec_from_file_location("of_functions", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.f

    return load


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    pass",
        "import functools\n\n@functools.lru_cache\n@functools.wraps(len)\ndef g():\n    pass\nf = g.__wrapped__",
        "async def f():\n    pass",
        "def g():\n    def inner():\n        pass\n    return inner\nf = g()",
        "class A:\n    def f(self):\n        pass\nf = A.f",
    ],
)
def test_the_tree_of_a_function(function, text):
    """Decorated, nested or in a class."""
    assert function_node(function(text)).name in ("f", "g", "inner")


@pytest.mark.parametrize(
    "text", ["f = lambda: 1", "exec('def f(): pass')", "from math import factorial\nf = lambda: 1"]
)
def test_a_lambda_has_no_tree_of_its_own(function, text):
    """Several may stand in one line; and what was made by `exec` has no line."""
    assert function_node(function(text)) is None


def unguarded(function, body: str) -> set[str]:
    text = f"def f(a=None):\n{dedent(body)}".replace("\n", "\n    ")
    return set(imported_by(what_will_run(function(text)), "shop.migrations"))


@pytest.mark.parametrize(
    "body, expected",
    [
        ("import a.b, c", {"a.b", "c"}),
        ("from a import b", {"a"}),
        ("from . import x\nfrom ..tones import y", {"shop.migrations", "shop.tones"}),
        ("for row in a:\n    import b", {"b"}),
        ("while a:\n    import b", {"b"}),
        ("with a:\n    import b", {"b"}),
        ("def inner():\n    import b\ninner()", {"b"}),
        ("try:\n    import b\nexcept ValueError:\n    pass", {"b"}),
        ("try:\n    import b\nfinally:\n    import c", {"b", "c"}),
    ],
)
def test_imports_that_will_run(function, body, expected):
    """A module that is missing then can be named before anything runs."""
    assert unguarded(function, body) == expected


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "try:\n    import b\nexcept ImportError:\n    pass",
        "try:\n    import b\nexcept (KeyError, ModuleNotFoundError):\n    pass",
        "try:\n    import b\nexcept:\n    pass",
        "try:\n    import os\nexcept ImportError:\n    import b",
        "if a:\n    import b",
        "if a:\n    pass\nelse:\n    import b",
        "if a:\n    return\nimport b",
        "for row in a:\n    if row:\n        continue\n    import b",
        "with suppress(ImportError):\n    import b",
        "with contextlib.suppress(ModuleNotFoundError):\n    import b",
        "try:\n    a()\nexcept ValueError:\n    import b",
        "return\nimport b",
    ],
)
def test_imports_that_perhaps_do_not_run(function, body):
    """Nothing is refused for the sake of what may never be reached or is expected to fail."""
    assert unguarded(function, body) - {"os"} == set()


@pytest.mark.skipif(sys.version_info < (3, 10), reason="match came with Python 3.10")
def test_an_import_in_a_case_perhaps_does_not_run(function):
    """It is a condition too."""
    assert unguarded(function, "match a:\n    case 1:\n        import b") == set()
