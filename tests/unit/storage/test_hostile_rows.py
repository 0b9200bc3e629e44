"""Bad input in our own tables: whatever stands there, it is read or refused, and nothing else happens."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import pytest
from django.core.management.base import CommandError
from django.test import override_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_rewind.exceptions import NotRecoverable
from django_rewind.inventory.renames import program
from django_rewind.inventory.snapshot import FileStatus, ImportedFile, Snapshot
from django_rewind.inventory.status import Status
from django_rewind.sources import signing
from django_rewind.sources.bundle.importer import StoredImporter
from django_rewind.sources.compare import same_text
from django_rewind.sources.description import Metadata, describe
from django_rewind.sources.recovered import RecoveredMigration, StoredOperation
from django_rewind.sources.static import parse
from django_rewind.sources.stored import StoredMigration, binding_of, payload, why_unusable
from django_rewind.utils.printable import printable, printable_name, why
from django_rewind.utils.types import label
from tests.support import hostile
from tests.support.fixtures import IDENTITY, add, create, in_memory

pytestmark = [pytest.mark.alone, pytest.mark.deep]

KEY = ("shop", "0002_price")
FIRST = in_memory("shop.0001_initial", create("Product"))
PRICE = in_memory("shop.0002_price", add("Product", "price"), after="shop.0001_initial")
GOOD = describe(PRICE).as_text()

# The same inputs in every run: `scripts/fuzz.py` looks for new ones.
few = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

any_text = st.text(st.characters(), max_size=60)
any_json = st.recursive(
    st.sampled_from([one for one in hostile.VALUES if not isinstance(one, (list, dict))]) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
any_effect = st.sampled_from(hostile.EFFECTS).flatmap(
    lambda effect: st.dictionaries(st.sampled_from([*effect, "field", "to", "model", "table"]), any_json).map(
        lambda more: {**effect, **more}
    )
)


@pytest.fixture(autouse=True)
def soon():
    """Nothing here takes long, whatever it is given."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 30


def row(
    text: str = "", key: tuple[str, str] = KEY, *, metadata: str = GOOD, module: str = "", **columns: object
):
    """Return a row that was signed with our key, as git could have had it signed."""
    module = module or f"{key[0]}.migrations.{key[1]}"
    digest = signing.digest(text)
    signed = payload(IDENTITY, key, module=module, metadata=metadata, source_digest=digest, origin="git")
    signature, fingerprint = signing.sign(signed)
    record = columns.pop("record_id", 2)
    values = {
        "record_id": record,
        "binding": binding_of(IDENTITY, key, signature, fingerprint, record),
        "signed_for": IDENTITY,
        "here": IDENTITY,
        **columns,
    }
    return StoredMigration(key, module, metadata, "git", digest, signature, fingerprint, **values)


class OneText:
    """A store that holds one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def texts(self, keys: object) -> dict:
        return dict.fromkeys(keys, self.text)

    def contents(self, digests: object) -> dict:
        return {}


def what_is_told(stored: StoredMigration) -> None:
    """Have everything told of a row that is told without executing it."""
    if why_unusable(stored) is not None:
        RecoveredMigration.__module__  # noqa: B018 (it never becomes one)
    else:
        migration = RecoveredMigration(stored, OneText(""), StoredImporter())
        printed = [str(migration), *(operation.describe() for operation in migration.operations)]
        assert not re.search(hostile.CONTROL, "".join(printed))
    history = Snapshot(
        files={FIRST_KEY: ImportedFile(FIRST)}, applied={FIRST_KEY: 1, stored.key: 2}, stored={stored.key: stored}, installed_apps=frozenset(["shop"])
    )  # fmt: skip
    history.without_file, history.ids, history.followers  # noqa: B018 (computed here)
    history.lasting_effects([stored.key])
    reason = history.reason_against(stored.key)
    assert not re.search(hostile.CONTROL, str(reason or ""))
    status = Status(stored.key, FileStatus.MISSING, record_id=2, stored=stored, reason_against=reason)
    said = [status.of_file, status.of_store, *status.notes]
    assert not re.search(hostile.CONTROL, "".join(said))
    json.dumps(status.as_data(), default=str).encode()


FIRST_KEY = ("shop", "0001_initial")


def what_is_read(text: str) -> str:
    """Return the metadata of a text, or why there are none."""
    try:
        return parse(text).as_text()
    except ValueError as error:
        return str(error)


def what_comes_of_loading(migration: RecoveredMigration) -> str:
    """Return its name, or why it cannot be loaded."""
    try:
        migration.load()
    except NotRecoverable as error:
        return str(error)
    return str(migration)


# Metadata


@pytest.mark.parametrize("part", range(4))
def test_table_of_metadata(part):
    """Metadata of another shape are refused by name, or are read and can be used."""
    for text in list(hostile.variants(GOOD).values())[part::4]:
        what_is_told(row(metadata=text))


@few
@given(
    st.dictionaries(st.sampled_from(list(json.loads(GOOD))), any_json, max_size=3),
    st.lists(any_effect, max_size=3),
)
def test_any_metadata(values, effects):
    """That holds for any values, in any combination."""
    what_is_told(row(metadata=hostile.altered(GOOD, effects=effects)))
    what_is_told(row(metadata=hostile.altered(GOOD, **values)))


@few
@given(st.text(st.characters()))
def test_any_text_as_metadata(text):
    """And for what is no JSON at all."""
    with pytest.raises(ValueError, match="metadata cannot be read"):
        Metadata.from_text(text)


@pytest.mark.parametrize(
    "text",
    ["9" * 3_000_000, "[" * 5_000_000, '{"a": ' + "[]," * 7_000_000 + "1}", "NaN", '{"initial": Infinity}'],
    ids=["number", "deep", "long", "nan", "infinity"],
)
def test_gigantic_metadata(text):
    """What is longer than metadata ever are is not read at all, and a number is a size."""
    began = time.process_time()

    with pytest.raises(ValueError, match="metadata cannot be read"):
        Metadata.from_text(text)

    assert time.process_time() - began < 5


def test_what_we_write_is_read():
    """Metadata of every kind of operation that is known are what they should be."""
    assert Metadata.from_text(GOOD) == Metadata.from_text(Metadata.from_text(GOOD).as_text())


@pytest.mark.parametrize("chain", [1, 2, 500])
def test_squashes_that_replace_each_other(chain):
    """The order of application is told, though each says that it replaces the next, and the last the first."""
    keys = [("shop", f"{number:04}") for number in range(chain)]
    rows = {}
    for number, key in enumerate(keys):
        replaced = keys[(number + 1) % chain]
        rows[key] = row(key=key, metadata=hostile.altered(GOOD, replaces=[replaced]), record_id=number)
    applied = {key: number for number, key in enumerate(keys)}

    history = Snapshot(files={}, applied=applied, stored=rows, installed_apps=frozenset(["shop"]))

    assert set(history.ids) == set(keys)


# Texts


@pytest.mark.parametrize("name", hostile.TEXTS)
def test_table_of_texts(name):
    """A text is described or refused without being executed, and compared with any other."""
    text = hostile.TEXTS[name]
    began = time.process_time()
    try:
        metadata = parse(text)
        what_is_told(row(text, metadata=metadata.as_text()))
    except ValueError:
        pass
    assert same_text(text, text)
    assert not same_text(text, "y = 2\n")
    program(text)
    assert time.process_time() - began < 10


@few
@example("a" * 600_000)
@given(st.text(st.characters()) | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text(text):
    """That holds for any text, and for bytes that are none."""
    for whole in (
        text,
        hostile.migration() + text,
        hostile.migration(text),
        hostile.migration(attribute=f"replaces = {text}"),
    ):
        try:
            parse(whole).as_text()
        except ValueError:
            pass
        same_text(whole, "y = 2\n")


@pytest.mark.parametrize("name", hostile.GIGANTIC)
def test_gigantic_text(name):
    """A gigantic text is not parsed to be shown or compared, nor described when it was found in git."""
    text = hostile.GIGANTIC[name]()
    began = time.process_time()

    assert not same_text(text, hostile.migration())
    assert program(text) is None
    with pytest.raises(ValueError, match="characters"):
        parse(text)

    assert time.process_time() - began < 5


@override_settings(SECRET_KEY="the-secret", AUTH_USER_MODEL="people.Person")
@pytest.mark.parametrize(
    "line",
    [
        "dependencies = [migrations.swappable_dependency(settings.SECRET_KEY)]",
        "operations = [migrations.AddField('a', settings.SECRET_KEY, models.IntegerField())]",
        "operations = [migrations.RunSQL(settings.SECRET_KEY)]",
    ],
)
def test_no_secret_is_written_down(line):
    """A text that nobody has looked at can name a model of the settings, and read nothing else there."""
    text = (
        hostile.HEAD
        + f"from django.conf import settings\nclass Migration(migrations.Migration):\n    {line}\n"
    )
    assert "the-secret" not in what_is_read(text)
    swappable = text.replace("SECRET_KEY", "AUTH_USER_MODEL")
    assert "swappable" not in swappable or parse(swappable).dependencies == [("people", "__first__")]


# What takes what it takes when it is executed, which somebody has agreed to.
TAKES_LONG = re.compile("growing|comprehension|shifted|joined|computed dependencies|long error")


@pytest.mark.parametrize("name", [name for name in hostile.TEXTS if not TAKES_LONG.search(name)])
def test_loading(name, tmp_path, monkeypatch):
    """A signed text that is loaded becomes a migration, or is an error by name that can be printed."""
    monkeypatch.chdir(tmp_path)
    text = hostile.TEXTS[name]
    migration = RecoveredMigration(row(text), OneText(text), StoredImporter())
    said = what_comes_of_loading(migration)

    assert "shop.0002_price" in said
    assert not re.search(hostile.CONTROL, said)
    assert len(said) < 3_000


@pytest.mark.parametrize("module", ["/tmp/x.y.z", "a/../b.c.d", "", ".", "a..b", "a\\b.c", "a\0.b", "a\nb.c"])
def test_module_that_is_no_name(module):
    """A module whose name leads elsewhere is refused before anything is written or executed."""
    text = "raise SystemExit('executed')\n"
    migration = RecoveredMigration(row(text, module=module or "."), OneText(text), StoredImporter())

    with pytest.raises(NotRecoverable, match="cannot be one"):
        migration.load()


# Rows and names


@few
@given(any_text, any_text, any_text, any_text)
def test_any_columns(app_label, name, signature, fingerprint):
    """A row with any columns is refused, whatever its signature and its names are."""
    stored = replace(row(), key=(app_label, name), signature=signature, key_fingerprint=fingerprint)

    assert stored.verdict is not signing.Verdict.VERIFIED
    assert isinstance(why_unusable(stored), CommandError)
    what_is_told(stored)


@pytest.mark.parametrize("name", hostile.NAMES)
def test_names(name):
    """A signed row with any name is told of in one line without control characters."""
    what_is_told(row(key=("shop", name)))
    what_is_told(row(key=(name, name)))
    assert "\n" not in label((name, name))


@few
@given(st.text(st.characters()))
def test_printable(text):
    """What is printable can be written, holds no control characters, and is what it was if it had none."""
    shown = printable(text)

    shown.encode()
    assert not re.search(hostile.CONTROL, shown)
    assert printable(shown) == shown
    assert len(printable_name(text)) <= 300
    assert not re.search(hostile.CONTROL, StoredOperation(text, True, [text, text]).describe())


def test_why():
    """An error of stored code is told in bounded length, also where it cannot say what it is."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise self

    assert why(Odd()) == "Odd: it does not say why"
    assert len(why(ValueError("a" * 10**6))) < 600
    assert why(KeyError("\x1b")) == "KeyError: '\\x1b'"
