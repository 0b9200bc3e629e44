"""What a rewind would do, as data."""

from __future__ import annotations

import pytest
from django.db import migrations

from django_rewind.engine.losses import Lost
from django_rewind.engine.outline import Outline, left_alone, steps_of
from django_rewind.inventory.snapshot import FileStatus
from tests.support.fixtures import add, create, in_memory

PRICE = ("shop", "0002_price")
IRREVERSIBLE = migrations.RunPython(migrations.RunPython.noop)
REVERSIBLE = migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)


def step(*operations, losses=()):
    (found,) = steps_of([(in_memory("shop.0002_price", *operations), True)], losses)
    return found


def test_of_a_file():
    """Operations in the words of `migrate --plan`, and what goes with this step alone."""
    mine, other = Lost(PRICE, "shop_product", "price", 2), Lost(("shop", "0001"), "shop_product", None, 2)

    found = step(create("Cart"), add("Product", "price"), losses=[mine, other])

    assert found.as_data() == {
        "app": "shop",
        "name": "0002_price",
        "source": "file",
        "operations": ["Undo Create model Cart", "Undo Add field price to Product"],
        "reversible": True,
        "losses": [{"table": "shop_product", "column": "price", "rows": 2, "more": False}],
    }


@pytest.mark.parametrize(
    "operation",
    [IRREVERSIBLE, migrations.RunSQL("SELECT 1"), migrations.SeparateDatabaseAndState([IRREVERSIBLE])],
    ids=["python", "sql", "apart"],
)
def test_irreversible(operation):
    """What cannot be undone says so, wherever it hides."""
    found = step(operation)

    assert not found.reversible
    assert found.operations[0][0].endswith("IRREVERSIBLE")
    assert found.operations[0][1]


@pytest.mark.parametrize(
    "operation, is_opaque",
    [
        (add("Product", "price"), False),
        (REVERSIBLE, True),
        (migrations.RunSQL("SELECT 1", "SELECT 2"), True),
        (migrations.SeparateDatabaseAndState([REVERSIBLE]), True),
        (migrations.SeparateDatabaseAndState([], [add("Product", "price")]), False),
    ],
)
def test_opaque(operation, is_opaque):
    """Of what functions and statements do to data nobody knows."""
    assert step(operation).is_opaque is is_opaque


def test_anything_to_do():
    """Steps or files to be applied are something to do, what is left alone is not."""
    nothing = Outline(
        steps=[], left_alone=left_alone([(PRICE, FileStatus.MISSING_BEFORE_INSTALL)], [], {}), edited=[PRICE]
    )

    assert not nothing
    assert Outline(steps=[step(create("Cart"))], left_alone=[], edited=[])
    assert Outline(steps=[], left_alone=[], edited=[], applies=[PRICE])
    assert [one["name"] for one in nothing.as_data()["left_alone"]] == ["0002_price"] * 2


@pytest.mark.parametrize("standing", [one for one in FileStatus if one is not FileStatus.SQUASHED])
def test_every_standing_has_a_reason(standing):
    """What is left alone says why."""
    ((_, why),) = left_alone([(PRICE, standing)], [], {})
    assert why
