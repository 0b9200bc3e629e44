"""What goes with a migration, as data."""

from __future__ import annotations

import json

import pytest

from django_rewind.sources.bundle.manifest import EMPTY_BUNDLE, Bundle, BundleMember
from django_rewind.sources.description import Metadata, describe
from tests.support.fixtures import in_memory

DIGEST = "0" * 64
ENTRY = {"kind": "module", "name": "bakery.tones", "digest": DIGEST, "size": 3}


def bundle(*member: BundleMember) -> Bundle:
    return Bundle(list(member), {"money": "money-eu 1.4"}, {"bakery.rates": "too large"})


def test_it_comes_back_as_it_went():
    """Through JSON, with everything that was written down."""
    whole = bundle(
        BundleMember("module", "bakery.tones", DIGEST, 3, is_package=True),
        BundleMember("models", "bakery.models", DIGEST, 4, paths=[["Product", "Kind"]], models=["Product"]),
        BundleMember("file", "sql/up.sql", DIGEST, 5),
        BundleMember("file", "sql/\udcff.sql", DIGEST, 5),
    )
    assert Bundle.from_data(json.loads(json.dumps(whole.as_data()))) == whole


def test_nothing_is_no_data():
    """Most migrations need nothing, and hold nothing for that."""
    assert EMPTY_BUNDLE.as_data() == {}
    assert Bundle.from_data({}) == EMPTY_BUNDLE


def test_modules_and_files_are_told_apart():
    """An excerpt is a module; the size is that of all together."""
    module, models = BundleMember("module", "a", DIGEST, 1), BundleMember("models", "b", DIGEST, 2)
    file = BundleMember("file", "c.sql", DIGEST, 4)
    whole = bundle(module, file, models)
    assert whole.modules == [module, models]
    assert whole.files == [file]
    assert whole.size == 7


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "carried",
        {"carried": None},
        {"carried": 5},
        {"carried": {"a": 1}},
        {"carried": [None]},
        {"carried": ["module"]},
        {"carried": [{}]},
        {"carried": [{**ENTRY, "more": 1}]},
        {"carried": [{**ENTRY, "kind": "script"}]},
        {"carried": [{**ENTRY, "kind": []}]},
        {"carried": [{**ENTRY, "name": None}]},
        {"carried": [{**ENTRY, "digest": 5}]},
        {"carried": [{**ENTRY, "size": "3"}]},
        {"carried": [{**ENTRY, "paths": 5}]},
        {"carried": [{**ENTRY, "paths": [5]}]},
        {"carried": [{**ENTRY, "paths": [[]]}]},
        {"carried": [{**ENTRY, "models": [[]]}]},
        {"carried": [{**ENTRY, "is_package": "no"}]},
        {"packages": []},
        {"packages": "money"},
        {"packages": {"money": 1}},
        {"left_out": {"bakery": None}},
        {"left_out": ["bakery"]},
    ],
)
def test_other_data_is_refused(data):
    """Whatever JSON can hold: it is an error of the kind that is expected, and no other."""
    with pytest.raises((TypeError, ValueError)):
        Bundle.from_data(data)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up.sql", "sql/../../up.sql", "sql//up.sql", "./up.sql", "sql/", "a\0b"]
)
def test_a_file_that_would_be_written_elsewhere_is_refused(name):
    """It belongs below the folder of the migrations."""
    with pytest.raises(ValueError, match="needs"):
        Bundle.from_data({"carried": [{**ENTRY, "kind": "file", "name": name}]})


@pytest.mark.parametrize("bundle", [[], {"carried": [None]}, {"packages": {"money": 1}}])
def test_metadata_with_other_needs_cannot_be_read(bundle):
    """It is an error by name, like any other damage of metadata."""
    data = json.loads(describe(in_memory("bakery.0001")).as_text())
    with pytest.raises(ValueError, match="metadata cannot be read"):
        Metadata.from_text(json.dumps({**data, "needs": bundle}))
