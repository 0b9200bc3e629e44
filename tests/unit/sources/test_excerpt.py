"""What is taken out of a module with models, without the models."""

from __future__ import annotations

from textwrap import dedent

import pytest

from django_rewind.sources.bundle.excerpt import Excerpts, models_by_name

MODELS = """
import os
from datetime import date
from django.db import models
from django.utils.translation import gettext_lazy as _

PREFIX = "up"
LEVELS = [1]
LEVELS.append(2)
LEVELS[0] = 3
UNUSED = os.sep


def folder():
    # Where it goes.
    return PREFIX


def path(instance, name):
    return os.path.join(folder(), name)


class Base(models.Field):
    pass


class Money(Base):
    levels = LEVELS


class Product(models.Model):
    class Kind(models.TextChoices):
        GOOD = "g", "Good"

    KINDS = [("a", _("A"))]
    LEVEL = 1
    NEXT = LEVEL + 1
    name = models.CharField(max_length=5)
    objects = models.Manager()

    class Meta:
        abstract = True

    @staticmethod
    def scan(instance, name):
        return path(instance, name)

    def image(self, name):
        return PREFIX


def count():
    return Product.objects.count()
"""
ARE_MODELS = {"Product", "Order"}


def take(text: str, *wanted: str) -> str:
    taken = Excerpts(dedent(text), ARE_MODELS.__contains__).of([tuple(one.split(".")) for one in wanted])
    compile(taken, "excerpt", "exec")
    return taken


def run(text: str, *wanted: str, **given: object) -> dict[str, object]:
    """Execute an excerpt in which a model is a stand-in."""
    namespace = {"Product": object(), **given}
    exec(take(text, *wanted), namespace)
    return namespace


@pytest.mark.parametrize(
    "wanted, inside, outside",
    [
        ("path", {"import os", "def path", "def folder", "PREFIX"}, {"LEVELS", "class", "UNUSED", "date"}),
        ("folder", {"# Where it goes.", "PREFIX"}, {"import"}),
        ("Money", {"class Base", "from django.db import models", "append(2)", "LEVELS[0] = 3"}, {"Product"}),
        ("count", {"def count"}, {"class", "import"}),
        ("Product", set(), {"class", "import", "def"}),
        (
            "Product.Kind",
            {"class Product():", "GOOD", "import models"},
            {"Meta", "scan", "objects", "PREFIX"},
        ),
        ("Product.scan", {"@staticmethod", "def path", "import os", "PREFIX"}, {"GOOD", "image"}),
        ("Product.image", {"def image", "PREFIX"}, {"scan"}),
        ("Product.NEXT", {"NEXT", "LEVEL = 1"}, {"Meta", "Kind"}),
        ("Product.KINDS", {"gettext_lazy", "KINDS"}, {"Meta", "Kind:"}),
        ("Product.Meta", set(), {"class"}),
        ("Product.objects", set(), {"class"}),
        ("Product.name", set(), {"class"}),
        ("Product.gone", set(), {"class"}),
        ("gone", set(), {"class", "import"}),
        ("", set(), {"class", "import"}),
    ],
)
def test_a_name_with_what_it_needs(wanted, inside, outside):
    """Nothing that it does not need, and of a model what hangs on its name."""
    taken = take(MODELS, wanted)
    assert {one for one in inside if one not in taken} == set()
    assert {one for one in outside if one in taken} == set()


def test_everything_but_the_models():
    """Where nobody knows what is used."""
    taken = take(MODELS, "*")
    assert "Product(" not in taken
    for name in ("path", "folder", "count", "UNUSED", "Money", "date", "LEVELS"):
        assert name in taken


def test_nothing_of_nothing():
    """A module with models may only have to be there."""
    assert Excerpts(MODELS, ARE_MODELS.__contains__).of([()]) == ""
    assert Excerpts("", ARE_MODELS.__contains__).of([("a",)]) == ""


@pytest.mark.parametrize("text", ["a = (", "a\0"])
def test_what_cannot_be_parsed_is_an_error(text):
    """Of the kind that is expected."""
    with pytest.raises(ValueError, match="parsed"):
        Excerpts(text, ARE_MODELS.__contains__).of([("a",)])


def test_what_is_nested_too_deeply_is_an_error():
    """Of the same kind, where it has to be written anew."""
    text = "if 1:\n    class Product(models.Model):\n        pass\n    a = " + "+".join(["1"] * 2000)
    with pytest.raises(ValueError, match="deep"):
        Excerpts(text, ARE_MODELS.__contains__).of([("a",)])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_as_they_were(end):
    """With the line ends of the module, comments and form feeds."""
    text = end.join(
        ["# -*- coding: latin-1 -*-", "\x0cdef a():", "    # Käse \x85 \u2028", "    return 'ä'", "b = 1"]
    )
    taken = Excerpts(text, ARE_MODELS.__contains__).of([("a",)])
    assert taken == end.join(["\x0cdef a():", "    # Käse \x85 \u2028", "    return 'ä'\n"])


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("a = 1; b = 2", "b", 2),
        ("a = 1; b = 2; c = 3", "b", 2),
        ("ä = 1; b = 'ö;'; c = fail", "b", "ö;"),
        ("fail; b = '''1\n2;\n3'''; fail", "b", "1\n2;\n3"),
        ("b = 1;", "b", 1),
        ("b = 1", "b", 1),
        ("b = 1\\\n  + 1", "b", 2),
        ("if 1: b = 1; a = 2", "b", 1),
    ],
)
def test_several_statements_in_one_line(text, name, value):
    """Each is taken by itself."""
    assert run(text, name)[name] == value


@pytest.mark.parametrize(
    "text",
    [
        "class Product(models.Model): A = 1; B = 2",
        "class Product(models.Model):\n\tA = 1; B = 2\n",
        "class Product(\n    models.Model,\n): A = 1",
        "class Product(models.Model):\n    fail; A = 1; B = fail\n",
        "class Product(models.Model):\n    x = models.F(); A = '''1\n2'''[0] and 1\n",
        "class Product(models.Model):\n\n  # A comment.\n\n  A = (\n1\n)\n",
        "@fail\nclass Product(models.Model, metaclass=fail):\n    'Text.'\n    A = 1\n",
        "@fail(';')\nclass Product(models.Model):\n    A = 1\n",
        "class Product(models.Model):\n    A: int = 1\n",
        "class Product(models.Model):\n    if 1:\n        A = 1\n",
        "class Product(models.Model):\n    A = tuple([1])[0]\n",
        "class Product(models.Model):\n    A = int('1')\n",
    ],
)
def test_the_body_of_a_model_in_all_its_shapes(text):
    """What hangs on its name is found, and the model is not made."""
    assert run(text, "Product.A")["Product"].A == 1


@pytest.mark.parametrize("base", ["Order(models.Model)", "Order(Base)", "Mixin"])
def test_what_a_model_inherits(base):
    """From a mixin or an abstract model of the same module; the bases of others are left alone."""
    name = base.partition("(")[0]
    text = f"""
    class Base:
        pass
    class {base}:
        def a(self): return 1
        def b(self): return fail
    class Product({name}, models.Model, x.Order):
        c = 1
    """
    assert run(text, "Product.a")["Product"]().a() == 1
    assert "Product" not in take(text, "Product")


def test_the_body_of_a_model_keeps_the_text_of_its_functions():
    """Texts of several lines are what they were, with a semicolon near by too."""
    text = '''
    class Product(models.Model):
        def a(self=";"):
            """
            One;
              two.
            """
            return f"""1
    2{self}
    3"""; fail
    '''
    taken = run(text, "Product.a")["Product"]
    assert taken.a() == "1\n2;\n3"
    assert "  two." in taken.a.__doc__


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import nothing.at.all as a\nexcept ImportError:\n    a = 1",
        "if True:\n    a = 1\nelse:\n    a = 2",
        "for a in [1]:\n    pass",
        "with open(__file__) as a:\n    a = 1",
        "a = b = 1",
        "a, *b = [1]",
        "a: int = 1",
        "a = 0\na += 1",
        "def g():\n    global a\n    a = 1\na = 0\ng()",
        "from builtins import *\na = 1",
        "while True:\n    a = 1\n    break",
        "(a := 1)",
    ],
)
def test_names_are_bound_in_many_ways(text):
    """In blocks, by unpacking, and step by step."""
    assert run(text, "a", __file__=__file__)["a"] in (0, 1)


def test_a_model_in_a_block_is_not_made():
    """What stands beside it in the block is taken."""
    text = """
    if True:
        class Product(fail):
            pass
        def a():
            return 1
    else:
        class Order(fail):
            pass
    """
    assert run(text, "a")["a"]() == 1


def test_a_name_of_a_star_import():
    """It may come from there, where nothing else binds it."""
    assert "from x import *" in take("from x import *\nb = a\n", "b")
    assert "import" not in take("from x import *\nb = len\n", "b")
    assert "from x import *" in take("from x import *\nb = 1\n", "*")


def test_the_future_decides_what_the_rest_means():
    """`from __future__` is taken along with anything."""
    text = "from __future__ import annotations\ndef a(x: Gone): return 1\n"
    assert run(text, "a")["a"](1) == 1
    assert take(text, "gone") == ""


@pytest.mark.parametrize(
    "text",
    [
        "from dataclasses import dataclass, field\n@dataclass\nclass a:\n    b: int = field(default=1)\n",
        "from enum import Enum\nclass Base(Enum):\n    pass\nclass a(Base):\n    b = 1\n",
        "from typing import NamedTuple\nclass a(NamedTuple):\n    b: int = 1\n",
        "from collections import namedtuple\na = namedtuple('a', 'b', defaults=[1])\n",
        "from functools import partial, wraps\ndef g(x): return x\na = partial(g, 1)\n",
        "import functools\ndef d(f):\n    @functools.wraps(f)\n    def w(): return f()\n    return w\n@d\ndef a(): return 1\n",
        "a = lambda x=1: [y for y in range(x)]\n",
        "class M(type):\n    def __call__(cls): return 1\nclass a(metaclass=M):\n    pass\n",
        "def d(c): return c\n@d\nclass a:\n    pass\n",
        "def g():\n    yield 1\ndef a(): yield from g()\n",
        "async def g(): return 1\nasync def a(): return await g()\n",
        "class B:\n    def __init__(self): self.x = 1\nclass a(B):\n    def __init__(self): super().__init__()\n",
    ],
)
def test_what_python_can_define(text):
    """Decorators, bases, metaclasses and defaults come along."""
    assert callable(run(text + "UNUSED = fail\n", "a")["a"])


def test_nothing_is_registered_a_second_time():
    """What is called on something that was imported changes the project, and not this module."""
    text = """
    from django.db.models.signals import post_save
    from django.conf import settings

    def on_save(**kwargs):
        return post_save, settings

    post_save.connect(on_save, sender=Product)
    settings.SALE = True
    """
    taken = take(text, "on_save", "post_save")
    assert "import post_save" in taken
    assert "connect" not in taken
    assert "SALE" not in taken


def test_a_model_by_another_name():
    """An assignment to the name of a model makes none."""
    text = "Product = type('Product', (fail,), {})\nOther = Product\ndef a(): return Other\n"
    assert callable(run(text, "a", "Product")["a"])


def test_a_module_that_looks_names_up():
    """A name that nothing binds may come from its `__getattr__`."""
    text = "def __getattr__(name):\n    return HELD[name]\nHELD = {'a': 1}\n"
    assert run(text, "a")["__getattr__"]("a") == 1


# Models


@pytest.mark.parametrize(
    "bases, is_model",
    [
        ("models.Model", True),
        ("Model", True),
        ("django.db.models.Model", True),
        ("Mixin, models.Model", True),
        ("TimeStampedModel", True),
        ("AbstractUser", True),
        ("AbstractBaseUser, PermissionsMixin", True),
        ("Known", True),
        ("models.Field", False),
        ("models.TextChoices", False),
        ("object", False),
        ("ModelAdmin", False),
        ("f()", False),
        ("", False),
    ],
)
def test_models_by_the_names_of_their_bases(bases, is_model):
    """A guess, for modules that nobody has imported."""
    text = (
        f"from django.db import models\nclass Known(models.Model):\n    pass\nclass A({bases}):\n    pass\n"
    )
    assert ("A" in models_by_name(text)) is is_model


@pytest.mark.parametrize(
    "text",
    ["from pydantic import BaseModel\nclass A(BaseModel):\n    pass\n", "a = (", "", "class A(Model): pass"],
)
def test_models_of_others(text):
    """Without Django there is no model of Django's."""
    assert models_by_name(text) == set()
