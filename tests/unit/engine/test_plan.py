"""What a run does, as data."""

from __future__ import annotations

import pytest
from django.db import migrations

from django_rewind.engine.plan import Lost, Plan
from tests.support.fixtures import add, create, in_memory

PRICE = ("shop", "0002_price")
IRREVERSIBLE = migrations.RunPython(migrations.RunPython.noop)
REVERSIBLE = migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)


def step(*operations, losses=()):
    (found,) = Plan([(in_memory("shop.0002_price", *operations), True)], losses=losses).steps
    return found


def test_of_a_file():
    """Operations in the words of `migrate --plan`, and what goes with this step alone."""
    mine, other = Lost(PRICE, "shop_product", "price", 2), Lost(("shop", "0001"), "shop_product", None, 2)

    found = step(create("Cart"), add("Product", "price"), losses=[mine, other])

    assert found.as_data() == {
        "app": "shop",
        "name": "0002_price",
        "origin": "file",
        "commit": "",
        "operations": ["Undo Create model Cart", "Undo Add field price to Product"],
        "reversible": True,
        "losses": [
            {"table": "shop_product", "column": "price", "rows": 2, "truncated": False, "kind": "delete"}
        ],
    }


@pytest.mark.parametrize(
    "operation",
    [IRREVERSIBLE, migrations.RunSQL("SELECT 1"), migrations.SeparateDatabaseAndState([IRREVERSIBLE])],
    ids=["python", "sql", "apart"],
)
def test_irreversible(operation):
    """What cannot be undone says so, wherever it hides."""
    found = step(operation)

    assert not found.is_reversible
    assert found.description[0][0].endswith("IRREVERSIBLE")
    assert found.description[0][1]


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


def test_of_a_step_forwards():
    """It says what it does, and nothing is irreversible about that."""
    (step,) = Plan([(in_memory("shop.0002_price", IRREVERSIBLE), False)]).steps

    assert step.description == [("Raw Python operation", False)]


def test_anything_to_do():
    """Steps or files to be applied are something to do, what is skipped is not."""
    nothing = Plan([], skipped=[(PRICE, "its app is not installed")], modified=[PRICE])

    assert not nothing
    assert Plan([(in_memory("shop.0002_price"), True)])
    assert Plan([], applies=[PRICE])
    assert [one["name"] for one in nothing.as_data()["skipped"]] == ["0002_price"] * 2
