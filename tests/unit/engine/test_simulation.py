"""In which order the states of a run are built, and what is found out by building them."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.engine.states import Simulation, in_order_of_states
from django_rewind.exceptions import NameReused, StateNotBuilt
from django_rewind.utils.types import key_of
from tests.support.fixtures import add, create, in_memory

ITEM = in_memory("depot.0001", create("Item", ("price", models.IntegerField())))
SALE = in_memory("depot.0002_sale", migrations.AlterField("Item", "price", models.BigIntegerField()))
SIZE = in_memory("depot.0002_size", add("Item", "size"))
TAKEN = in_memory("depot.0002_taken", migrations.RenameField("Item", "price", "amount"), add("Item", "price"))


def simulation(*applied: object, **options: object) -> Simulation:
    """Return one of migrations that were applied in this order, on the first of which all others depend."""
    ids = {key_of(migration): number for number, migration in enumerate(applied)}
    parents = {key_of(migration): [key_of(applied[0])] for migration in applied[1:]}
    return Simulation(ProjectState, parents, ids, rebuilds=True, **options)


def test_what_stays_comes_first():
    """Then what is unapplied in the order of its records, and at last what is not applied, as it is."""
    keys = [("a", name) for name in ("0003", "0001", "0002", "0005", "0004")]
    ids = {("a", "0001"): 1, ("a", "0002"): 2, ("a", "0003"): 3, ("a", "0004"): 4}
    order = in_order_of_states(keys, {}, ids, {("a", "0003"), ("a", "0001")})
    assert [name for _, name in order] == ["0002", "0004", "0001", "0003", "0005"]


def test_two_branches():
    """The state before what is unapplied knows what stays, also where that was applied later."""
    order, before = simulation(ITEM, SALE, SIZE).backwards([ITEM, SIZE], [SALE])
    assert order == [ITEM, SIZE, SALE]
    assert list(before.models["depot", "item"].fields) == ["id", "price", "size"]
    assert isinstance(before.models["depot", "item"].fields["price"], models.IntegerField)


def test_the_name_of_a_column_was_given_again():
    """What took it is to be rolled back first, and how."""
    with pytest.raises(NameReused, match=r"'depot\.item\.price' to another column") as refused:
        simulation(ITEM, SALE, TAKEN).backwards([ITEM, TAKEN], [SALE])
    assert "depot.0002_taken first" in str(refused.value)


def test_a_step_that_does_not_fit_what_stays():
    """It is named with what took away what it works on, and else with what is from stored code."""
    gone = in_memory("depot.0002_gone", migrations.RemoveField("Item", "price"))
    with pytest.raises(
        StateNotBuilt, match=r"depot\.0002_sale fails .*with depot\.0002_gone taken"
    ) as refused:
        simulation(ITEM, SALE, gone).backwards([ITEM, gone], [SALE])
    assert refused.value.culprit == ("depot", "0002_sale")

    wrong = in_memory("depot.0002_wrong", migrations.RemoveField("Item", "nothing"))
    with pytest.raises(StateNotBuilt, match=r"with depot\.0002_size taken"):
        simulation(ITEM, suspects=[key_of(SIZE)]).run([ITEM], [SIZE, wrong])


LINE = in_memory("cart.0001", create("Line", ("item", models.ForeignKey("depot.Gone", models.CASCADE))))


def test_what_points_to_nothing():
    """As far as the database will ask for it: a table is dropped without that."""
    simulation(ITEM).run([ITEM], [LINE], backwards=True)
    with pytest.raises(StateNotBuilt, match=r"depot\.gone"):
        simulation(ITEM).run([ITEM], [LINE], backwards=False)


def test_what_can_be_rendered_at_once():
    """So that receivers of signals can be given it."""
    assert simulation(ITEM).renders([ITEM])
    assert not simulation(ITEM).renders([ITEM, LINE])


def test_a_simulation_leaves_operations_as_they_are():
    """Django renames what a field points to in the field of the operation that made it."""
    code = in_memory("depot.0001", create("Item", ("code", models.CharField(max_length=9, unique=True))))
    pointer = models.ForeignKey("depot.Item", models.CASCADE, to_field="code")
    line = in_memory("depot.0002", create("Line", ("item", pointer)), after="depot.0001")
    rename = in_memory("depot.0003", migrations.RenameField("Item", "code", "number"), after="depot.0002")

    simulation(code).run([code, line], [rename], backwards=False)

    assert pointer.remote_field.field_name == "code"
