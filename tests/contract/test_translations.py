"""The pages are translated; what the commands say is in one language."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils import translation

import django_rewind
from django_rewind.admin.states import Knowledge
from django_rewind.inventory.snapshot import FileStatus
from tests.support.fixtures import migrate, row
from tests.support.helpers import create

LOCALE = Path(django_rewind.__file__).parent / "locale"
LIST = "/admin/django_rewind/migrationcode/"
LANGUAGES = ["de", "es", "fr"]
ENTRY = re.compile(
    r'^msgid ((?:".*"\n)+)(?:msgid_plural (?:".*"\n)+)?((?:msgstr(?:\[\d\])? (?:".*"\n?)+)+)', re.MULTILINE
)


def entries(language: str) -> dict[str, list[str]]:
    """Return the translations of a language by what they translate, as they are written."""
    text = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    return {
        _joined(found[1]): [
            _joined(one) for one in re.split(r"^msgstr(?:\[\d\])? ", found[2], flags=re.MULTILINE)[1:]
        ]
        for found in ENTRY.finditer(text)
        if found[1] != '""\n'
    }


def _joined(quoted: str) -> str:
    return "".join(ast.literal_eval(line) for line in quoted.strip().splitlines())


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language):
    """The package has what was made of it: `scripts/messages.py` was run after the last edit."""
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    found = entries(language)
    assert len(found) > 100
    for text, words in found.items():
        if len(words) == 1:
            assert compiled.gettext(text) == words[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_fit(language):
    """They fill in the same things, and each language has the same texts."""
    found = entries(language)
    assert set(found) == set(entries("de"))
    for text, words in found.items():
        for one in words:
            assert one
            assert sorted(re.findall(r"%\(\w+\)[.\d]*\w", one)) == sorted(
                re.findall(r"%\(\w+\)[.\d]*\w", text)
            )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_is_translated(language):
    """Their words are those of the commands, where no tool that collects texts looks for them."""
    with translation.override("en"):
        words = {str(word) for word in Knowledge.labels}
    assert words | {status.value for status in FileStatus} <= set(entries(language))


@pytest.fixture
def shop(app):
    app.migration("0001_initial", create("Product"))
    migrate("shop")
    app.delete("0001_initial")
    return app


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.parametrize(
    "language, word", [("de", "fehlt"), ("fr", "manquant"), ("es", "falta"), ("en", "missing")]
)
def test_the_pages_are_translated(client, shop, settings, language, word):
    """All of them."""
    settings.LANGUAGE_CODE = language
    client.force_login(get_user_model().objects.create_superuser("somebody", password="x"))
    pk = row(shop.key("0001_initial")).pk
    with translation.override(language):
        for address in (LIST, f"{LIST}{pk}/change/", f"{LIST}graph/", f"{LIST}graph/shop/"):
            assert word in client.get(address).content.decode()


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_commands_speak_one_language(shop, capsys):
    """Words in between that are translated would be read by nobody."""
    with translation.override("de"):
        call_command("show_stored_migrations", history=["shop", "0001_initial"])
    assert "source captured" in capsys.readouterr().out
