"""The worst that can stand in our tables: texts, metadata and names, for the tests and for `scripts/fuzz.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

#: What a terminal must never be sent of stored text: everything but a line feed and a tab.
CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"

HEAD = "from django.db import migrations, models\n"
TAIL = "    dependencies = [('shop', '0001_initial')]\n    operations = [{}]\n"
MIGRATION = HEAD + "class Migration(migrations.Migration):\n" + TAIL
PRICE = "migrations.AddField('product', 'price', models.IntegerField(default=7))"

DEEP = 10_000


def migration(operation: str = PRICE, *, head: str = "", attribute: str = "") -> str:
    """Return the text of a migration with one operation."""
    line = f"    {attribute}\n" if attribute else ""
    return head + MIGRATION.format(operation) + line


def _field(value: str) -> str:
    return f"migrations.AddField('product', 'price', models.IntegerField(default={value}))"


#: What grows when it is evaluated, or takes a parser to its limits.
EXPRESSIONS: dict[str, str] = {
    "brackets": "(" * DEEP + ")" * DEEP,
    "lists": "[" * 150 + "]" * 150,
    "unary": "-" * DEEP + "1",
    "not": "not " * DEEP + "1",
    "attributes": "a" + ".a" * DEEP,
    "calls": "f" + "()" * DEEP,
    "subscripts": "a" + "[0]" * DEEP,
    "comparisons": "1" + " < 1" * DEEP,
    "sums": "1" + "+1" * DEEP,
    "strings": "'a' " * DEEP,
    "lambdas": "lambda: " * 5_000 + "0",
    "ternaries": "1 if 1 else " * 5_000 + "1",
    "f-strings": "f'{" * 10 + "1" + "}'" * 10,
    "many f-strings": "f'{1}' " * 2_000,
    "growing text": '"a" * 10**9',
    "growing number": "10 ** 10 ** 10",
    "shifted number": "1 << 10**12",
    "growing list": "[0] * 10**10",
    "joined": '"".join(["a" * 10**6] * 10**6)',
    "digits": "9" * 5_000,
    "hexadecimal": "0x" + "f" * 20_000,
    "float": "1e" + "9" * 4_000,
    "secret": "settings.SECRET_KEY",
    "comprehension": "[x for x in range(10**10)]",
    "walrus": "(x := 10**9)",
    "await": "await x",
    "star": "*[1]",
    "ellipsis": "...",
    "bytes": "b'\\xff\\x00'",
}

MARK = "open('executed', 'a').close()\n"

TEXTS: dict[str, str] = {
    "empty": "",
    "no python": "Dear diary,\nthis is no Python at all.",
    "no class": "x = 1\n",
    "class of somebody's": "class Migration:\n    dependencies = []\n    operations = []\n",
    "function instead": "def Migration(name, app_label):\n    return 5\n",
    "operations are none": HEAD + "class Migration(migrations.Migration):\n    operations = None\n",
    "operations are numbers": HEAD + "class Migration(migrations.Migration):\n    operations = [1, 2]\n",
    "nul": migration() + "\0",
    "bom": "\ufeff" + migration(),
    "coding": "# -*- coding: utf-16 -*-\n" + migration(),
    "escapes": "# \x1b]0;title\x07\x1b[2J\x1b[31mred\r\u202eodd\n" + migration(),
    "surrogate": "# \ud800\n" + migration(),
    "long line": "x = '" + "a" * 1_000_000 + "'\n" + migration(),
    "many lines": "x = 1\n" * 20_000 + migration(),
    "only comments": "#\n" * 50_000,
    "null bytes": "\0" * 10_000,
    "tabs": "\tx = 1\n    y = 2\n",
    "endless dedent": "".join(" " * n + "if 1:\n" for n in range(90)) + " " * 90 + "pass\n",
    "too many indents": "".join(" " * n + "if 1:\n" for n in range(200)) + " " * 200 + "pass\n",
    "nested classes": "".join("    " * n + f"class C{n}:\n" for n in range(60)) + "    " * 60 + "pass\n",
    "backslashes": "\\\n" * 10_000,
    "exit": "raise SystemExit(0)\n",
    "interrupt": "class Out(BaseException):\n    pass\nraise Out('out\x1b[31m')\n",
    "error": "raise ValueError('\x1b[31m\\x1b[31m\\ud800' * 3)\n",
    "long error": "raise ValueError('a' * 10**7)\n",
    "odd error": "class Odd(Exception):\n    def __str__(self):\n        raise self\nraise Odd\n",
    "recursion": "def f():\n    f()\nf()\n",
    "foreign import": "import \u202emodule\n",
    "import of nothing": "import nothing_of_this_name.\x41\n",
    "relative import": "from .......... import x\n",
    "lambda operations": migration("(lambda: 1)()"),
    "computed dependencies": migration(attribute="dependencies = [('a', 'b')] * 10**9"),
    "swappable": migration(
        attribute="dependencies = [migrations.swappable_dependency(settings.SECRET_KEY)]",
        head="from django.conf import settings\n",
    ),
    "swappable of nothing": migration(attribute="dependencies = [migrations.swappable_dependency()]"),
    "odd dependencies": migration(attribute="dependencies = [1, (2,), ('a', 'b', 'c'), None]"),
    "deep dependencies": migration(attribute="dependencies = " + "[" * 150 + "]" * 150),
    "dictionary of dependencies": migration(attribute="dependencies = {'ab': 1}"),
    "dependencies are text": migration(attribute="dependencies = 'ab'"),
    "duplicated keyword": migration("migrations.RunPython(code=1, code=2)"),
    **{f"default {name}": migration(_field(value)) for name, value in EXPRESSIONS.items()},
    **{f"dependencies {name}": migration(attribute=f"dependencies = {v}") for name, v in EXPRESSIONS.items()},
    **{f"sql {name}": migration(f"migrations.RunSQL({value})") for name, value in EXPRESSIONS.items()},
    **{f"statement {name}": f"x = {value}\n" for name, value in EXPRESSIONS.items()},
}

#: Too long to be read by every test: a function that makes each.
GIGANTIC: dict[str, Callable[[], str]] = {
    "comment": lambda: "#" * 20_000_000 + "\n" + migration(),
    "statements": lambda: "x=1\n" * 5_000_000,
    "literals": lambda: migration(_field("[" + "1," * 10_000_000 + "]")),
    "operations": lambda: migration((PRICE + ",") * 250_000),
    "text": lambda: migration(_field("'" + "a" * 20_000_000 + "'")),
    "nul": lambda: "\0" * 20_000_000,
}

#: Values that JSON can hold where another was expected.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**63, -(2**63), 10**30, float("nan"), float("inf"), "", "x", "\0",
    "\ud800", "\x1b[31mred", "../../etc", "a" * 300, "a.b", "a'b\"c`", "\n\r\u2028", "__first__", "__latest__",
    [], {}, [[]], [{}], [None], ["ab"], [["a"]], [["a", "b", "c"]], [[1, 2]], [["shop", "0002_price"]],
    [["shop", "0001_initial"]], [["shop", "9999_none"]], [["nowhere", "__first__"]], [["depot", "0001_initial"]],
    {"a": {"b": [1]}}, {"effect": 1}, [{"effect": "create_model"}], [{"effect": []}],
    [{"effect": "add_field", "model": 5, "field": None}], [{"text": 1, "reversible": "x"}],
    [{"text": "\x1b[31m", "reversible": True, "actions": "abc"}], [{"text": "a", "reversible": True, "more": 1}],
]  # fmt: skip

EFFECTS: list[dict[str, Any]] = [
    {"effect": "create_model"},
    {"effect": "create_model", "model": "a", "table": 5, "without_table": 1, "fields": [], "refers": []},
    {"effect": "create_model", "model": "a", "table": None, "without_table": False, "fields": {"a": 1}},
    {"effect": "create_model", "model": "a", "table": None, "without_table": False, "fields": {"a": {}}},
    {"effect": "add_field", "model": "product", "database": True, "state": True},
    {"effect": "add_field", "model": "product", "field": "price", "column": 5, "database": True, "state": True},
    {"effect": "rename_model", "model": "product", "database": True, "state": True},
    {"effect": "rename_model", "model": "product", "to": None, "database": True, "state": True},
    {"effect": "rename_field", "model": "product", "field": "a", "to": 1, "database": True, "state": True},
    {"effect": "remove_field", "model": "product", "database": True, "state": True},
    {"effect": "delete_model", "model": None, "database": True, "state": True},
    {"effect": "delete_model", "model": "nobody", "database": True, "state": True},
    {"effect": "alter_table", "model": "product", "database": True, "state": True},
    {"effect": "alter_table", "model": "product", "table": ["x"], "database": True, "state": True},
    {"effect": "alter_field", "model": "product", "field": "x", "refers": [[1]], "database": True, "state": True},
    {"effect": "alter_field", "model": "p", "field": "x", "refers": "abc", "database": True, "state": True},
    {"effect": "unheard_of", "database": True, "state": True},
    {"effect": "unheard_of", "model": "product", "database": True, "state": True},
    {"effect": ["opaque"]},
    {"effect": "opaque"},
    {"effect": "opaque", "database": "yes", "state": {}},
]  # fmt: skip

#: Metadata that is no JSON, or JSON of another shape.
METADATA: dict[str, str] = {
    "empty": "",
    "no json": "Dear diary",
    "null": "null",
    "number": "1",
    "list": "[]",
    "object": "{}",
    "text": '"metadata"',
    "not a number": "NaN",
    "nested lists": "[" * 100_000,
    "closed lists": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "huge number": "9" * 1_000_000,
    "bom": "\ufeff{}",
    "nul": "\0",
}


def altered(metadata: str, **values: Any) -> str:
    """Return metadata with some values put in."""
    return json.dumps({**json.loads(metadata), **values}, sort_keys=True)


def with_raw(metadata: str, name: str, value: str) -> str:
    """Return metadata that end with one more key, which may be there already."""
    return f'{metadata.rstrip()[:-1]}, "{name}": {value}}}'


def variants(metadata: str) -> dict[str, str]:
    """Return what could be put into the place of good metadata."""
    found = dict(METADATA)
    for name in json.loads(metadata):
        for number, value in enumerate(VALUES):
            found[f"{name} {number}"] = altered(metadata, **{name: value})
        found[f"without {name}"] = json.dumps({k: v for k, v in json.loads(metadata).items() if k != name})
        found[f"{name} nested"] = with_raw(metadata, name, "[" * 90_000 + "]" * 90_000)
        found[f"{name} digits"] = with_raw(metadata, name, "1" * 400_000)
        found[f"{name} twice"] = with_raw(metadata, name, "[]")
    for number, effect in enumerate(EFFECTS):
        found[f"effect {number}"] = altered(metadata, effects=[effect])
    found["many dependencies"] = altered(metadata, dependencies=[["shop", f"{n:04}"] for n in range(5_000)])
    found["many apps"] = altered(metadata, dependencies=[[f"app{n}", "__first__"] for n in range(2_000)])
    found["replaces many"] = altered(metadata, replaces=[["shop", f"{n:04}"] for n in range(5_000)])
    found["replaces itself"] = altered(metadata, replaces=[["shop", "0002_price"]])
    found["after itself"] = altered(metadata, dependencies=[["shop", "0002_price"]])
    found["before its parent"] = altered(metadata, run_before=[["shop", "0001_initial"]])
    found["another key"] = altered(metadata, surprise=1)
    member = {"kind": "file", "name": "x.csv", "digest": "0" * 64, "size": 1}
    for name, value in {
        "kind": "what", "name": "../../x", "digest": 5, "size": -1, "is_package": 1, "paths": [[]], "models": 5,
    }.items():  # fmt: skip
        found[f"carried {name}"] = altered(metadata, needs={"carried": [{**member, name: value}]})
    for number, path in enumerate(PATHS):
        for kind in ("file", "module", "models"):
            one = {**member, "kind": kind, "name": path, "paths": [["x"]]}
            found[f"carried {kind} {number}"] = altered(metadata, needs={"carried": [one]})
    return found


#: Where a name must not lead.
PATHS = [
    "../escaped.py", "/tmp/escaped.py", "a/../../escaped.py", "..", ".", "", "a//b", "a\\..\\b", "a\0b",
    "x\x1b[31m", "a\nb", "a" * 300, "....", "~/x", "\ud800", "os", "shop.models", "django_rewind.sources.signing",
    "shop.migrations.__init__", "con", "a b", "x/" * 2_000 + "y",
]  # fmt: skip

#: Of at most 255 characters, as the column has it; none of them is empty.
NAMES = [
    "0002.price", "0002/price", "../../escaped", "/tmp/escaped", "0002\\price", "0002'price", '0002"price',
    "0002`price", "0002\nprice", "0002\r\nprice", "0002\tprice", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
    "0002\x08\x08\x08\x08", "\u202eecirp", "0002\u2028x", "\x9b31m", "0002_prïce_日本", "n" * 255, "%s%d%(a)s", "{0}{a}",
    "{key.__class__}", "zero", "__first__", "__latest__", "__init__", "-", "--plan", " ", ".", "..", "_0002",
    "~0002", "0002_price ", "0002_PRICE", "\ufeff0002", "\u200f0002", "0002;DROP TABLE x;--",
]  # fmt: skip
