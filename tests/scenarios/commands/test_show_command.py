"""`show_stored_migrations` shows one state in one wording, to people and to scripts."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from tests.support.helpers import Project, add

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


@pytest.fixture
def busy(shop: Project) -> Project:
    """0002 is missing, 0002_stock edited, 0003 not applied."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK.replace("IntegerField", "TextField"), after="0001_initial")
    shop.migration("shop.0003_more", after="0002_stock")
    return shop


def names(shop: Project, *options: str) -> list[str]:
    result = shop.manage("show_stored_migrations", "shop", "--format", "json", *options)
    return [one["name"] for one in json.loads(result.stdout)["databases"]["default"]["migrations"]]


def test_table(busy):
    """It is aligned, and in the order of the graph."""
    lines = busy.manage("show_stored_migrations", "shop", "--no-color").stdout.splitlines()

    assert lines[0] == "shop"
    assert [line[1:4] for line in lines[1:]] == ["[X]", "[X]", "[X]", "[ ]"]
    assert [line.split("  ")[0].split()[-1] for line in lines[1:]] == names(busy)
    assert {
        line.index(word) for line, word in zip(lines[1:], ["on disk", "missing", "modified", "on disk"])
    } == {19}


def test_filters(busy):
    """Each shows what its name says, several together what any of them says."""
    assert names(busy) == ["0001_initial", "0002_price", "0002_stock", "0003_more"]
    assert names(busy, "--missing") == ["0002_price"]
    assert names(busy, "--modified") == ["0002_stock"]
    assert names(busy, "--missing", "--modified") == ["0002_price", "0002_stock"]
    assert names(busy, "--applied") == ["0001_initial", "0002_price", "0002_stock"]
    busy.execute(
        "DELETE FROM django_migrations_code WHERE migration_name = '0001_initial' AND app_label = 'shop'"
    )
    assert names(busy, "--unstored") == ["0001_initial"]


def test_source(busy):
    """The text as it is stored, by name or prefix, ready to be written to a file."""
    result = busy.manage("show_stored_migrations", "--source", "shop", "0002_p")

    assert result.stdout == busy.stored()["shop.0002_price"]
    busy.refused("show_stored_migrations", "--source", "shop", "0002", naming="More than one")
    busy.refused("show_stored_migrations", "--source", "shop", "0009", naming="0009")


def test_source_as_json(busy):
    """One document, with what is known of the text; also of one that nobody can encode."""
    busy.execute(
        "UPDATE django_migrations_code SET source_code = %s WHERE migration_name = '0002_price'",
        "# caf\u00e9",
    )
    result = busy.manage("show_stored_migrations", "--source", "shop.0002_price", "--format", "json")

    source = json.loads(result.stdout)["databases"]["default"]["source"]
    assert (source["app"], source["name"], source["source_code"]) == ("shop", "0002_price", "# caf\u00e9")
    assert source["signature"] == "signature_mismatch"
    assert datetime.fromisoformat(source["stored_at"]).tzinfo is not None
    assert "signature" in result.stderr or "signed" in result.stderr
    failed = busy.attempt("show_stored_migrations", "--source", "shop", "0009", "--format", "json")
    assert "0009" in json.loads(failed.stdout)["error"]


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_of_the_history_have_a_zone(busy, use_tz):
    """In the time of the project, to people and to scripts."""
    busy.configure(TIME_ZONE="Asia/Kolkata", USE_TZ=use_tz)
    command = ("show_stored_migrations", "--history", "shop", "0002_price")

    shown = busy.manage(*command).stdout
    document = json.loads(busy.manage(*command, "--format", "json").stdout)

    assert len(re.findall(r"\d\d:\d\d:\d\d\+05:30\b", shown)) == 3
    history = document["databases"]["default"]["history"]
    times = [event["at"] for event in history["events"]] + [history["revisions"][0]["stored_at"]]
    assert all("T" in time and datetime.fromisoformat(time).tzinfo is not None for time in times)


def test_source_that_does_not_verify(busy):
    """It is printed to be looked at, with a warning apart from it."""
    busy.execute("UPDATE django_migrations_code SET module = 'x' WHERE migration_name = '0002_price'")

    result = busy.manage("show_stored_migrations", "--source", "shop", "0002_price")

    assert "changed after it was signed" in result.stderr
    assert result.stdout == busy.stored()["shop.0002_price"]


def test_nothing_is_changed_or_executed(busy):
    """Whatever is asked for."""
    before = busy.snapshot()

    for options in (
        (),
        ("--missing",),
        ("--format", "json"),
        ("--source", "shop", "0001"),
        ("--database", "all"),
    ):
        busy.manage("show_stored_migrations", *options)

    assert busy.snapshot() == before


def test_colours(busy):
    """They are Django's, and only there when they are wanted."""
    assert "\x1b[" in busy.manage("show_stored_migrations", "shop", "--force-color").stdout
    assert "\x1b[" not in busy.manage("show_stored_migrations", "shop").stdout


def test_source_that_is_another_text_than_was_signed(busy):
    """So is one of which the text alone was changed."""
    busy.execute(
        "UPDATE django_migrations_code SET source_code = 'import os' WHERE migration_name = '0002_price'"
    )

    result = busy.manage("show_stored_migrations", "--source", "shop", "0002_price")

    assert "changed after it was signed" in result.stderr
    assert result.stdout == "import os\n"
    assert not busy.manage("show_stored_migrations", "--source", "shop", "0001").stderr
