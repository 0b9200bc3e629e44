"""How a migration is named in a call, and what several commands share."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, load_command_class

from django_rewind.management.options import chosen, named, target

KEYS = [("shop", "0001_initial"), ("shop", "0002_price"), ("cart", "0001_initial")]


def parsed(command: str, *words: str) -> dict[str, object]:
    return vars(
        load_command_class("django_rewind", command).create_parser("manage.py", command).parse_args([*words])
    )


@pytest.mark.parametrize(
    "command, option",
    [
        ("show_stored_migrations", "--source"),
        ("show_stored_migrations", "--history"),
        ("verify_migrations", "--accept"),
        ("verify_migrations", "--acknowledge"),
    ],
)
@pytest.mark.parametrize("words", [("shop", "0002"), ("shop.0002",)])
def test_an_option_takes_two_words_or_one(command, option, words):
    """The name of the option tells where to find them."""
    options = parsed(command, option, *words, "--database", "other")

    assert named(options[option[2:]], option) == ("shop", "0002")
    assert options["database"] == "other"


def test_an_option_that_is_repeated_leaves_the_target():
    """What comes after a name in one word is the target of the command."""
    options = parsed("rewind", "--use-file", "cart", "0002", "--use-file", "shop.0002_price", "shop", "0001")

    assert [named(words, "--use-file") for words in options["use_file"]] == [
        ("cart", "0002"),
        ("shop", "0002_price"),
    ]
    assert target(options) == ("shop", "0001")


@pytest.mark.parametrize("words", ["shop", "shop.", ".0002", "shop.0002.py", ["shop"], ["shop", "0002", "x"]])
def test_a_name_that_is_none(words):
    """Status 2 tells a call that makes no sense."""
    with pytest.raises(CommandError, match="--source takes a migration as APP NAME") as refused:
        named(words, "--source")
    assert refused.value.returncode == 2


def test_code_names_it_as_it_likes():
    """`call_command` hands over what it is given."""
    assert named("shop.0002", "--source") == named(["shop", "0002"], "--source") == ("shop", "0002")


@pytest.mark.parametrize("command", ["rewind", "restore_migrations"])
@pytest.mark.parametrize(
    "words, meant",
    [((), (None, None)), (("shop",), ("shop", None)), (("shop.0001",), ("shop", "0001"))],
)
def test_a_target_in_one_word(command, words, meant):
    """In two, it is Django's."""
    assert target(parsed(command, *words)) == meant
    assert target(parsed(command, "shop", "zero")) == ("shop", "zero")


@pytest.mark.parametrize("option", ["--plan", "--dry-run"])
@pytest.mark.parametrize(
    "command, more",
    [
        ("rewind", ()),
        ("restore_migrations", ()),
        ("backfill_migration_code", ()),
        ("prune_migration_code", ("--before", "2024-01-01")),
    ],
)
def test_showing_has_two_names(command, more, option):
    """Wherever there is one of them."""
    assert parsed(command, *more)["plan"] is False
    assert parsed(command, option, *more)["plan"] is True


@pytest.mark.parametrize(
    "words, found",
    [
        ((), KEYS),
        (("shop",), KEYS[:2]),
        (("shop", "cart"), KEYS),
        (("shop", "0002"), KEYS[1:2]),
        (("shop.0002", "cart"), KEYS[1:]),
        (("shop", "0002", "cart", "0001"), KEYS[1:]),
    ],
)
def test_apps_and_names_choose(words, found):
    """A word that is no app belongs to the one before it."""
    assert chosen(words, KEYS, "applied") == set(found)


@pytest.mark.parametrize(
    "words, why",
    [
        (("sho",), "No migration of an app 'sho' is applied"),
        (("shop", "0009"), "No migration of an app 'shop' matches '0009'"),
        (("shop", "contenttypes"), "No migration of an app 'contenttypes' is applied"),
    ],
)
def test_what_chooses_nothing_is_refused(words, why):
    """An app that is installed is an app, whatever it has."""
    with pytest.raises(CommandError, match=why):
        chosen(words, KEYS, "applied")
