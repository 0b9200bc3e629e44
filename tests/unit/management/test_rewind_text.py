"""The question that `rewind` asks."""

from __future__ import annotations

import pytest
from django.db import migrations

from django_rewind.engine.plan import Lost, Plan
from django_rewind.management.rewind_text import question
from tests.support.fixtures import in_memory

PRICE, REFUND = ("shop", "0002_price"), ("shop", "0003_refund")
STEPS = [(in_memory(f"{app}.{name}", migrations.RunSQL("", "")), True) for app, name in (PRICE, REFUND)]
COLUMN, TABLE = Lost(PRICE, "shop_product", "price", 2), Lost(REFUND, "shop_refund", None, 1)
CHANGE = Lost(PRICE, "shop_product", "price", 2, is_change=True)


@pytest.mark.parametrize(
    "plan, asked",
    [
        (Plan(STEPS), "Roll back 2 migrations on 'default'?"),
        (Plan(STEPS[:1]), "Roll back 1 migration on 'default'?"),
        (
            Plan(STEPS, losses=[COLUMN, COLUMN, TABLE]),
            "Roll back 2 migrations on 'default' and delete data in 2 columns and 1 table?",
        ),
        (
            Plan(STEPS, losses=[TABLE, CHANGE, CHANGE]),
            "Roll back 2 migrations on 'default', delete data in 1 table and change values in 1 column?",
        ),
        (
            Plan(STEPS, applies=[PRICE]),
            "Roll back 2 migrations on 'default' and apply 1 migration from the files?",
        ),
        (
            Plan(STEPS, applies=[PRICE, REFUND], losses=[TABLE]),
            "Roll back 2 migrations on 'default', delete data in 1 table and apply 2 migrations from the files?",
        ),
        (Plan([], applies=[PRICE]), "Apply 1 migration on 'default' from the files?"),
        (Plan([], renamed={REFUND: PRICE}), "Rename 1 migration on 'default'?"),
        (
            Plan(STEPS, renamed={REFUND: PRICE}, applies=[PRICE]),
            "Rename 1 migration on 'default', roll back 2 migrations and apply 1 migration from the files?",
        ),
        (Plan(STEPS, fake=True), "Mark 2 migrations as unapplied on 'default' and keep the schema?"),
    ],
)
def test_it_says_what_would_come_of_it(plan, asked):
    """How many migrations, where, and what is deleted with them."""
    assert question(plan, "default") == asked
