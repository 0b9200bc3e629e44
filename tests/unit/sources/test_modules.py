"""Where the source of a module lies and whose it is, without importing it."""

from __future__ import annotations

import codecs
import json
import os
import py_compile
import sys
import zipfile

import django
import pytest

import django_rewind
from django_rewind.sources.bundle.modules import (
    Modules,
    Owner,
    SourceUnavailable,
    decode,
    installed_version,
    root_of,
)
from tests.support.fixtures import Tree

# Finding


def test_nothing_is_imported_to_be_found(tree: Tree):
    """Neither the module nor the packages above it."""
    tree.write("oven/__init__.py", "raise ValueError")
    tree.write("oven/deep/__init__.py", "raise ValueError")
    tree.write("oven/deep/heat.py", "raise ValueError")
    modules = Modules()
    assert modules.exists("oven.deep.heat")
    assert modules.is_package("oven.deep")
    assert not modules.is_package("oven.deep.heat")
    assert modules.folder("oven.deep") == tree.path / "oven/deep"
    assert not any(name.startswith("oven") for name in sys.modules)


@pytest.mark.parametrize(
    "name",
    [
        "oven.cold",
        "oven.heat.more",
        "gone",
        "gone.more",
        "oven.",
        ".oven",
        "oven..heat",
        "",
        "a\0b",
        "oven.a\0b",
    ],
)
def test_what_is_not_there_is_not_found(tree: Tree, name):
    """Whatever a text may have asked for, with no error."""
    tree.write("oven/__init__.py", "")
    tree.write("oven/heat.py", "")
    modules = Modules()
    assert not modules.exists(name)
    assert not modules.is_package(name)
    assert modules.folder(name) is None
    with pytest.raises(SourceUnavailable, match="there is no module"):
        modules.text(name)


def test_folders_without_init_are_packages(tree: Tree):
    """As deep as they go, and though nobody has imported them."""
    tree.write("oven/deep/down/heat.py", "HEAT = 1\n")
    modules = Modules()
    assert modules.text("oven.deep.down.heat") == "HEAT = 1\n"
    assert modules.text("oven.deep") == ""
    assert modules.folder("oven.deep.down") == tree.path / "oven/deep/down"
    assert not modules.exists("oven.deep.up")
    assert not any(name.startswith("oven") for name in sys.modules)


def test_what_is_loaded_is_found_as_it_was_loaded(tree: Tree, monkeypatch):
    """Also when nobody could find it on the path any more."""
    tree.write("oven.py", "HEAT = 1\n")
    tree.imported("oven")
    monkeypatch.setattr(sys, "path", [])
    assert Modules().text("oven") == "HEAT = 1\n"


def test_a_module_that_was_made_in_memory_has_no_place(monkeypatch):
    """There is nothing to store of it."""
    monkeypatch.setitem(sys.modules, "oven", type(sys)("oven"))
    assert not Modules().exists("oven")
    assert Modules().owner("oven") is Owner.PROJECT


def test_a_blocked_module_is_looked_for(monkeypatch):
    """None in `sys.modules` keeps Python from importing it, and says nothing of its file."""
    monkeypatch.setitem(sys.modules, "oven", None)
    assert not Modules().exists("oven")


def test_what_was_found_is_kept(tree: Tree):
    """For one piece of work a module is what it was at the beginning."""
    path = tree.write("oven.py", "HEAT = 1\n")
    modules = Modules()
    assert modules.text("oven") == "HEAT = 1\n"
    path.unlink()
    assert modules.text("oven") == "HEAT = 1\n"
    with pytest.raises(SourceUnavailable):
        Modules().text("oven")


# Texts


@pytest.mark.parametrize(
    "data, text",
    [
        ("name = 'Käse'\n".encode(), "name = 'Käse'\n"),
        (codecs.BOM_UTF8 + "name = 'Käse'\n".encode(), "name = 'Käse'\n"),
        ("# coding: latin-1\nname = 'Käse'\n".encode("latin-1"), "# coding: latin-1\nname = 'Käse'\n"),
        (b"a = 1\r\nb = 2\rc = 3\n\x0cd = 4", "a = 1\r\nb = 2\rc = 3\n\x0cd = 4"),
        (b"", ""),
    ],
)
def test_a_text_is_decoded_and_otherwise_as_it_was(tree: Tree, data, text):
    """As Python would read it, with line ends as they were."""
    tree.write("oven.py", data)
    assert Modules().text("oven") == text


@pytest.mark.parametrize(
    "data",
    [b"a = '\xff'\n", b"# coding: nothing\n", b"# coding: rot13\n", codecs.BOM_UTF8 + b"# coding: latin-1\n"],
)
def test_what_python_could_not_read_has_no_text(tree: Tree, data):
    """The error names the file."""
    tree.write("oven.py", data)
    with pytest.raises(SourceUnavailable, match=r"oven\.py cannot be read"):
        Modules().text("oven")


def test_bytecode_alone_has_no_text(tree: Tree):
    """That is said, with the file that is there instead."""
    path = tree.write("oven.py", "a = 1\n")
    py_compile.compile(str(path), str(path.with_suffix(".pyc")))
    tree.delete("oven.py")
    with pytest.raises(SourceUnavailable, match=r"has no source file, only .*oven\.pyc"):
        Modules().text("oven")


@pytest.mark.parametrize("name", ["sys", "_thread"])
def test_what_is_compiled_into_python_has_no_text(name):
    """Nor a place."""
    with pytest.raises(SourceUnavailable, match="has no source file"):
        Modules().text(name)
    assert Modules().folder(name) is None


def test_a_folder_in_the_place_of_a_file_has_no_text(tmp_path):
    """What cannot be read is an error by name."""
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        decode(str(tmp_path))


def test_an_archive_is_read(tree: Tree, monkeypatch):
    """A module in it is the project's like any other."""
    with zipfile.ZipFile(tree.path / "archive.zip", "w") as archive:
        archive.writestr("oven/__init__.py", "")
        archive.writestr("oven/heat.py", "HEAT = 1\r\n")
    monkeypatch.syspath_prepend(str(tree.path / "archive.zip"))
    modules = Modules()
    assert modules.text("oven.heat") == "HEAT = 1\r\n"
    assert modules.owner("oven.heat") is Owner.PROJECT


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_a_link_is_followed(tree: Tree):
    """Some projects link a package into their tree."""
    tree.write("elsewhere/heat.py", "HEAT = 1\n")
    (tree.path / "oven").symlink_to(tree.path / "elsewhere", target_is_directory=True)
    assert Modules().text("oven.heat") == "HEAT = 1\n"


# Owners


@pytest.mark.parametrize(
    "name", ["json", "os", "os.path", "sys", "encodings.utf_8", "_json", "zipimport", "this"]
)
def test_python_owns_its_own(name):
    """What is frozen or compiled into it included."""
    assert Modules().owner(name) is Owner.PYTHON


@pytest.mark.parametrize(
    "name", ["django", "django.db.models", "django.gone", "django_rewind.conf", "pytest"]
)
def test_what_is_installed_is_owned_by_nobody_here(name):
    """Django and we count as installed, wherever we lie."""
    assert Modules().owner(name) is Owner.INSTALLED


@pytest.mark.parametrize("name", ["bakery", "bakery.migrations", "bakery.gone", "gone"])
def test_the_rest_is_the_projects(tree: Tree, name):
    """Also what cannot be found: it was perhaps deleted."""
    assert Modules().owner(name) is Owner.PROJECT


def test_a_folder_of_pip_holds_what_is_installed(tree: Tree):
    """`pip install --target` leaves a record beside what it installs."""
    tree.write("vendor/money/__init__.py", "")
    tree.write("vendor/cash.py", "")
    tree.write(
        "vendor/money_eu-1.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: money-eu\nVersion: 1.4\n"
    )
    tree.write("vendor/money_eu-1.4.dist-info/RECORD", "money/__init__.py,,\ncash.py,,\n")
    sys.path.insert(0, str(tree.path / "vendor"))
    try:
        assert Modules().owner("money") is Owner.INSTALLED
        assert Modules().owner("cash.gone") is Owner.INSTALLED
        assert installed_version("money") == installed_version("cash") == "money-eu 1.4"
    finally:
        sys.path.remove(str(tree.path / "vendor"))


def test_the_project_may_lie_beside_what_is_installed(tree: Tree):
    """Where everything is put into one folder, the record tells them apart."""
    tree.write("money/__init__.py", "")
    tree.write("money_eu-1.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: money-eu\nVersion: 1.4\n")
    tree.write("money_eu-1.4.dist-info/RECORD", "money/__init__.py,,\n")
    assert Modules().owner("money") is Owner.INSTALLED
    assert Modules().owner("bakery") is Owner.PROJECT


@pytest.mark.parametrize("first", ["corp", "site-packages/corp"])
def test_a_name_that_project_and_packages_share(tree: Tree, monkeypatch, first):
    """Below a folder without `__init__.py` each part has its own owner."""
    tree.write("corp/own/__init__.py", "")
    tree.write("corp/tones.py", "")
    tree.write("site-packages/corp/money/__init__.py", "")
    monkeypatch.syspath_prepend(str(tree.path / "site-packages"))
    if first == "corp":
        monkeypatch.syspath_prepend(str(tree.path))
    modules = Modules()
    assert modules.owner("corp.own.deep") is Owner.PROJECT
    assert modules.owner("corp.tones") is Owner.PROJECT
    assert modules.owner("corp.money") is Owner.INSTALLED


def test_the_root_of_a_name():
    """It is what comes before the first dot."""
    assert root_of("a.b.c") == root_of("a") == "a"


# Versions


def test_the_version_of_what_is_installed():
    """By the name of the distribution or of a module that it brings."""
    assert installed_version("django") == f"Django {django.__version__}"
    assert installed_version("_pytest").startswith("pytest ")
    assert django_rewind.__name__ == "django_rewind"


@pytest.mark.parametrize("name", ["json", "gone", "", "a b", "(", "bakery"])
def test_there_is_no_version_of_the_rest(name):
    """Nobody has installed it."""
    assert installed_version(name) == ""


def test_versions_are_text_that_can_be_stored():
    """They go into the metadata."""
    assert json.dumps(installed_version("pytest"))
