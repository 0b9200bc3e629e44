"""What can stay applied in another place of the graph, told from the states of files."""

from __future__ import annotations

from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.engine.order import Order, differing
from django_rewind.engine.states import Simulation
from django_rewind.utils.types import key_of
from tests.support.fixtures import add, create, in_memory

FIRST = in_memory("depot.0001", create("Item", ("price", models.IntegerField())))
WASPS = in_memory("depot.0002_wasps", migrations.AlterModelTable("Item", "wasps"))
BEES = in_memory("depot.0003_bees", migrations.AlterModelTable("Item", "bees"))
SIZE = in_memory("depot.0004_size", add("Item", "size"))


def order(applied: list[object], renamed: list[object] = ()) -> Order:
    """Return the order of these four, one after the other, some of which are applied, in this order."""
    files = {key_of(migration): migration for migration in (FIRST, WASPS, BEES, SIZE)}
    keys = list(files)
    parents = {key: keys[:place][-1:] for place, key in enumerate(keys)}
    simulation = Simulation(ProjectState, parents, {}, rebuilds=True)
    return Order(
        files, parents, [key_of(one) for one in applied], [key_of(one) for one in renamed], simulation
    )


def test_nothing_is_early():
    """Then nothing has to be applied again."""
    assert order([FIRST, WASPS]).early() == []
    assert order([FIRST, WASPS]).to_apply_again(()) == set()


def test_only_what_differs_is_applied_again():
    """The table has the name of the last one; the column is what it is in any order."""
    found = order([FIRST, BEES, SIZE], renamed=[BEES, SIZE])

    assert found.early() == [key_of(BEES), key_of(SIZE)]
    assert found.to_apply_again(()) == {key_of(BEES)}
    assert found.to_apply_again([key_of(BEES)]) == set()


def test_the_other_way_round():
    """What gets its name now was applied in another order than the files have."""
    assert order([FIRST, BEES, WASPS, SIZE], renamed=[WASPS, BEES]).to_apply_again(()) == {key_of(BEES)}
    # What was recorded so and keeps its name is not called in question.
    assert order([FIRST, BEES, WASPS, SIZE]).early() == []


def test_what_a_database_does_not_know():
    """The names for people differ, and the table does not."""
    one, other = ProjectState(), ProjectState()
    for state, name in ((one, "thing"), (other, "Ding")):
        FIRST.mutate_state(state, preserve=False)
        migrations.AlterModelOptions("Item", {"verbose_name": name}).state_forwards("depot", state)

    assert differing(one.models, other.models) == set()
    SIZE.mutate_state(other, preserve=False)
    assert differing(one.models, other.models) == {("depot", "item")}
