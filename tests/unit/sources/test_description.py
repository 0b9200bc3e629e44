"""From a migration to its text, and to what is written down beside it."""

from __future__ import annotations

import codecs
import compileall
import importlib
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.test import override_settings

from django_rewind.sources.bundle.modules import SourceUnavailable
from django_rewind.sources.description import Metadata, describe, module_of, read_text
from django_rewind.sources.static import parse
from django_rewind.sources.stored import payload
from tests.support.fixtures import IDENTITY, forget_modules, in_memory


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose modules are written and imported by `read`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "of_texts"
    folder.mkdir()
    (folder / "__init__.py").touch()
    yield folder
    forget_modules("of_texts")
    sys.modules.pop("of_texts", None)


def read(package: Path, data: bytes, name: str = "one") -> str:
    (package / f"{name}.py").write_bytes(data)
    importlib.invalidate_caches()
    importlib.import_module(f"of_texts.{name}")
    return read_text(f"of_texts.{name}")


# Texts


@pytest.mark.parametrize(
    "data, text",
    [
        ("name = 'Käse'\n".encode(), "name = 'Käse'\n"),
        ("# coding: latin-1\nname = 'Käse'\n".encode("latin-1"), "# coding: latin-1\nname = 'Käse'\n"),
        ("#!/bin/sh\n# -*- coding: cp1251 -*-\nname = 'сыр'\n".encode("cp1251"), None),
        (codecs.BOM_UTF8 + "name = 'Käse'\n".encode(), "name = 'Käse'\n"),
        (b"a = 1\r\nb = 2\r\n", "a = 1\r\nb = 2\r\n"),
        (b"a = 1\nb = 2\r\nc = 3", "a = 1\nb = 2\r\nc = 3"),
        (b"", ""),
    ],
)
def test_the_text_is_decoded_and_otherwise_as_it_was(package, data, text):
    """The encoding is found as Python finds it, a mark of it is dropped, and line ends are kept."""
    assert read(package, data) == (data.decode("cp1251") if text is None else text)


def test_a_module_in_an_archive_is_read_from_there(tmp_path, monkeypatch):
    """What the loader of the module can read, it reads."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("of_texts/__init__.py", "")
        file.writestr("of_texts/one.py", "a = 1\r\n")
    monkeypatch.syspath_prepend(str(archive))
    try:
        importlib.import_module("of_texts.one")
        assert read_text("of_texts.one") == "a = 1\r\n"
    finally:
        forget_modules("of_texts")
        del sys.modules["of_texts"]


def test_a_module_that_is_not_imported_has_no_text():
    """Nothing is imported to be read."""
    with pytest.raises(SourceUnavailable, match="of_nothing has not been imported"):
        read_text("of_nothing")


def test_bytecode_alone_has_no_text(package):
    """That is said, with the file that is there instead."""
    (package / "one.py").write_text("a = 1\n")
    compileall.compile_dir(package, quiet=2, legacy=True)
    (package / "one.py").unlink()
    importlib.invalidate_caches()
    importlib.import_module("of_texts.one")
    with pytest.raises(SourceUnavailable, match=r"has no source file, only .*one\.pyc"):
        read_text("of_texts.one")


def test_a_file_that_is_gone_since_it_was_imported_has_no_text(package):
    """That is said too."""
    read(package, b"a = 1\n")
    (package / "one.py").unlink()
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        read_text("of_texts.one")


def test_a_file_that_cannot_be_decoded_any_more_has_no_text(package):
    """It was edited since it was imported."""
    read(package, b"a = 1\n")
    (package / "one.py").write_bytes(b"a = '\xff'\n")
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        read_text("of_texts.one")


def test_a_module_without_file_has_no_text():
    """A built-in module is an example."""
    with pytest.raises(SourceUnavailable, match="has no source file"):
        read_text("sys")


def test_the_module_is_where_django_loads_from():
    """`MIGRATION_MODULES` is asked, the class is not: it may be imported."""
    assert module_of(("auth", "0001_initial")) == "django.contrib.auth.migrations.0001_initial"
    with override_settings(MIGRATION_MODULES={"auth": "elsewhere.of_auth"}):
        assert module_of(("auth", "0001_initial")) == "elsewhere.of_auth.0001_initial"


# Metadata


def fill(apps, schema_editor):
    """Fill in what is missing, in as many words as it takes to come to an end somewhere"""


@pytest.fixture
def metadata() -> Metadata:
    """Of a migration with every attribute and several kinds of operation."""
    return describe(
        in_memory(
            "shop.0002",
            migrations.RunPython(fill, migrations.RunPython.noop),
            migrations.RunPython(fill),
            migrations.RunSQL("SELECT 1"),
            migrations.AddField("product", "name", models.TextField(null=True)),
            after="shop.0001",
            run_before=[("stock", "0001")],
            replaces=[("shop", "0002_a")],
            initial=True,
            atomic=False,
        )
    )


def test_what_the_graph_needs_is_written_down(metadata):
    """Each attribute as data."""
    assert metadata.dependencies == [("shop", "0001")]
    assert metadata.run_before == [("stock", "0001")]
    assert metadata.replaces == [("shop", "0002_a")]
    assert metadata.initial is True
    assert metadata.atomic is False


def test_what_a_plan_prints_is_written_down(metadata):
    """The words of an operation, whether it can be undone, and the beginning of what it executes."""
    with_reverse, without, sql, add = metadata.operations
    assert add == {"text": "Add field name to product", "reversible": True}
    assert with_reverse["reversible"] is True
    assert with_reverse["actions"][0].startswith("Fill in what is missing")
    assert len(with_reverse["actions"][0]) < 100
    assert without["reversible"] is False
    assert without["actions"][1] is None
    assert sql["actions"] == ("SELECT 1", None)


class Mine(Operation):
    """An operation of somebody's own that Django runs without trouble."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Silent(Mine):
    """Django calls these for a plan, or on the way back, and never on the way forward."""

    def describe(self) -> str:
        raise RuntimeError("no words")

    @property
    def reversible(self) -> bool:
        raise RuntimeError("no answer")


@pytest.mark.parametrize("operation", [Mine(sql="SELECT 1"), Mine(code=print)])
def test_an_operation_without_a_reverse_action_has_no_actions(operation):
    """What Django does not need to run it, we do not need to describe it."""
    (described,) = describe(in_memory("shop.0001", operation)).operations
    assert described == {"text": operation.describe(), "reversible": True}


def test_an_operation_that_cannot_describe_itself_is_described_by_its_class():
    """And counts as irreversible, since nobody can say that it is not."""
    (described,) = describe(in_memory("shop.0001", Silent())).operations
    assert described == {"text": "Silent", "reversible": False}


def test_flags_are_written_down_as_flags():
    """Django asks whether they are true, not whether they are `True`."""
    metadata = describe(in_memory("shop.0001", atomic=0, initial=1))
    assert (metadata.atomic, metadata.initial) == (False, True)
    assert Metadata.from_text(metadata.as_text()).atomic is False


def test_what_others_add_in_memory_is_not_written_down():
    """contenttypes adds operations to planned migrations; they belong to no file."""
    migration = in_memory("shop.0001", migrations.RunSQL("SELECT 1"))
    migration.operations = [*migration.operations, migrations.RunSQL("SELECT 2")]
    assert len(describe(migration).operations) == 1


def test_a_swappable_dependency_is_written_down_as_what_it_stands_for():
    """A stored key is a plain pair of words."""
    migration = in_memory("shop.0001", dependencies=[migrations.swappable_dependency("auth.User")])
    (dependency,) = describe(migration).dependencies
    assert dependency == ("auth", "__first__")
    assert type(dependency) is tuple


def test_metadata_comes_back_as_it_was(metadata):
    """Written and read again, only that JSON has lists for tuples."""
    again = Metadata.from_text(metadata.as_text())
    assert again.as_text() == metadata.as_text()
    assert again.dependencies == metadata.dependencies
    assert again.effects == metadata.effects


def test_metadata_is_written_in_one_way(metadata):
    """The text is signed: the same data give the same text."""
    fields = dict(reversed(list(vars(metadata).items())))
    assert Metadata(**fields).as_text() == metadata.as_text()


def changed(**values: object) -> str:
    return json.dumps({**json.loads(describe(in_memory("shop.0001")).as_text()), **values})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "5",
        "[]",
        '"text"',
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 10_000,
        changed(dependencies=None),
        changed(dependencies=5),
        changed(dependencies=[5]),
        changed(dependencies=[["shop"]]),
        changed(dependencies=[["shop", "0001", "more"]]),
        changed(replaces=[[]]),
        changed(unheard_of=1),
    ],
)
def test_metadata_of_another_form_is_refused(text):
    """Whatever stands there, the error is one that is expected."""
    with pytest.raises(ValueError, match="metadata cannot be read"):
        Metadata.from_text(text)


@pytest.mark.parametrize("field", ["module", "metadata", "source_digest", "origin"])
def test_the_payload_holds_each_part(field):
    """Whatever decides what a stored migration does is signed."""
    parts = {"module": "m", "metadata": "{}", "source_digest": "d", "origin": "captured"}
    one = payload(IDENTITY, ("shop", "0001"), **parts)
    assert payload(IDENTITY, ("shop", "0001"), **{**parts, field: "other"}) != one
    assert payload(IDENTITY, ("shop", "0002"), **parts) != one
    assert payload(IDENTITY, ("stock", "0001"), **parts) != one
    assert payload(IDENTITY[::-1], ("shop", "0001"), **parts) != one


# Parsing


CLASS = "class Migration(migrations.Migration):\n    {}\n"


@pytest.mark.parametrize(
    "line, name, value",
    [
        ("dependencies = [('shop', '0001')]", "dependencies", [("shop", "0001")]),
        ("dependencies = (('shop', '0001'),)", "dependencies", [("shop", "0001")]),
        ("dependencies = [['shop', '00' '01']]", "dependencies", [("shop", "0001")]),
        ("run_before = [('stock', '0001')]", "run_before", [("stock", "0001")]),
        ("replaces = [('shop', '0001'), ('shop', '0002')]", "replaces", [("shop", "0001"), ("shop", "0002")]),
        ("initial = True", "initial", True),
        ("atomic = False", "atomic", False),
        ("pass", "dependencies", []),
        ("pass", "initial", None),
        ("pass", "atomic", True),
    ],
)
def test_literals_are_read(line, name, value):
    """What is missing is what Django would take for it."""
    assert getattr(parse(CLASS.format(line)), name) == value


@pytest.mark.parametrize("call", ["migrations.swappable_dependency", "swappable_dependency"])
@override_settings(AUTH_USER_MODEL="people.Person")
def test_a_swappable_dependency_is_read_from_the_settings(call):
    """The one call that Django itself writes there."""
    text = CLASS.format(f"dependencies = [('shop', '0001'), {call}(settings.AUTH_USER_MODEL)]")
    assert parse(text).dependencies == [("shop", "0001"), ("people", "__first__")]


def test_nothing_is_executed():
    """Neither the module nor what stands in the class."""
    text = "raise SystemExit\nimport of_nothing\n" + CLASS.format("boom = 1 / 0\n    initial = True")
    assert parse(text).initial is True


def test_operations_are_described_as_far_as_the_text_spells_them_out():
    """What a drop would take is known without executing anything."""
    line = "operations = [migrations.RemoveField('product', 'price'), make()]"
    metadata = parse("from django.db import migrations\n" + CLASS.format(line))
    assert [one["text"] for one in metadata.operations] == [
        "Remove field price from product",
        "Operation make",
    ]
    assert [one["effect"] for one in metadata.effects] == ["remove_field", "opaque"]


def test_nothing_is_known_of_operations_that_are_put_together():
    """They would have to be executed."""
    metadata = parse(CLASS.format("operations = make_them()"))
    assert metadata.operations == []
    assert metadata.effects == [{"effect": "opaque", "database": True, "state": True}]


def test_where_it_was_found_is_written_down_only_where_it_was_found_in_git():
    """What earlier versions wrote and what they can read stays as it is."""
    metadata = parse(CLASS.format("initial = True"))
    assert "commit" not in metadata.as_text()
    found = replace(metadata, commit="1a2b3c", committed="2026-01-02T03:04:05+00:00")
    assert Metadata.from_text(found.as_text()) == found
    assert Metadata.from_text(metadata.as_text()).commit == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "class Other: pass",
        "class Migration(:",
        "a = 1\x00",
        CLASS.format("dependencies = make()"),
        CLASS.format("dependencies = [('shop', LATEST)]"),
        CLASS.format("dependencies = __import__('os').system('false')"),
        CLASS.format("dependencies = [('shop',)]"),
        CLASS.format("initial = not True"),
        "(" * 10_000,
    ],
)
def test_what_is_no_literal_is_refused(text):
    """Nobody guesses."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize(
    "line",
    [
        "dependencies = 5",
        "dependencies = [5]",
        "dependencies = [{[]: 1}]",
        "dependencies = [migrations.swappable_dependency()]",
        "dependencies = [migrations.swappable_dependency(settings.GONE_MODEL)]",
    ],
)
def test_parse_refuses_every_other_form_with_a_value_error(line):
    """The take-over goes on with the next row."""
    with pytest.raises(ValueError, match=r".+"):
        parse(CLASS.format(line))


def test_parse_reads_a_swappable_dependency_on_a_literal():
    """`swappable_dependency("auth.User")` is as good as the setting."""
    text = CLASS.format("dependencies = [migrations.swappable_dependency('auth.User')]")
    assert parse(text).dependencies == [("auth", "__first__")]


@pytest.mark.parametrize(
    "line", ["dependencies: list = [('shop', '0001')]", "dependencies += [('shop', '0001')]"]
)
def test_parse_does_not_overlook_other_assignments(line):
    """It reads them or refuses; a dependency is never just left out."""
    try:
        assert parse(CLASS.format(line)).dependencies == [("shop", "0001")]
    except ValueError:
        pass


@pytest.mark.parametrize(
    "values", [{"operations": 5}, {"operations": [5]}, {"effects": None}, {"effects": [{}]}, {"atomic": "no"}]
)
def test_metadata_of_a_wrong_type_is_refused(values):
    """`from_text` says that it raises when the text does not have that form."""
    with pytest.raises(ValueError, match="metadata cannot be read"):
        Metadata.from_text(changed(**values))
