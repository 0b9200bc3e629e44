"""Columns that hold any text: it is spelled out where the database or the connection cannot hold it."""

from __future__ import annotations

import random

import pytest
from django.db import connection
from django.db.models import Value

from django_rewind.backends import Backend
from django_rewind.backends.fields import read_out, spell_out
from django_rewind.models import MigrationCode, MigrationVerification

PIECES = [
    "\\",
    "\0",
    "\ud83d",
    "\udc0d",
    "\U0001f40d",
    "é",
    "日",
    "\n",
    "\r",
    "a",
    "u",
    "x",
    "N{",
    "0",
    '"',
    " ",
]


def texts(count: int = 2000) -> list[str]:
    numbers = random.Random(7)
    return ["".join(numbers.choices(PIECES, k=numbers.randrange(12))) for _ in range(count)]


@pytest.mark.once
def test_any_text_comes_back():
    """From ASCII, to the letter."""
    for text in texts():
        spelled = spell_out(text)
        assert spelled.isascii()
        assert "\0" not in spelled
        assert read_out(spelled) == text


@pytest.mark.once
@pytest.mark.parametrize(
    "value", [None, b"x", "", "plain", "\\ascii", "\\ascii:\\q \\x0 \\u12", "\\ascii:\\Uffffffff"]
)
def test_what_somebody_else_has_written(value):
    """Nothing is raised for it."""
    read_out(value)


@pytest.mark.django_db
@pytest.mark.parametrize("holds", [True, False])
def test_a_column_gives_back_what_it_was_given(monkeypatch, holds):
    """Whatever the database holds, and also what looks as if it were spelled out."""
    if not holds:
        monkeypatch.setattr(Backend, "keeps", lambda *args: False)
        monkeypatch.setattr(type(connection_backend()), "keeps", lambda *args: False)
    for number, text in enumerate([*texts(50), "\\ascii:x", spell_out("é")]):
        MigrationVerification.objects.create(
            app_label="shop", migration_name=f"{number:04}_ж", problem=text, verified_at="2020-01-01T00:00Z"
        )
        found = MigrationVerification.objects.values_list("problem", flat=True)
        assert found.get(app_label="shop", migration_name=f"{number:04}_ж") == text


def connection_backend() -> Backend:
    from django_rewind.backends import backend_for

    return backend_for(connection)


@pytest.mark.django_db
def test_names_are_told_apart():
    """By case, by accents and by blanks at their ends, in each table."""
    names = ["0002_price", "0002_Price", "0002_pricé", "0002_price ", "0002_price  "]
    for name in names:
        MigrationCode.objects.create(app_label="shop", migration_name=name, source_code=name)
    for name in names:
        (row,) = MigrationCode.objects.filter(app_label="shop", migration_name=name)
        assert (row.migration_name, row.source_code) == (name, name)


@pytest.mark.django_db
def test_an_expression_is_left_as_it_is():
    """What is no text is none of our business."""
    MigrationCode.objects.create(app_label="shop", migration_name="0002", source_code=Value("é"))
    assert MigrationCode.objects.get(app_label="shop", migration_name="0002").source_code == "é"
