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


def child(name, *fields):
    key = models.OneToOneField("depot.Item", models.CASCADE, parent_link=True, primary_key=True)
    return migrations.CreateModel(name, [("item_ptr", key), *fields], bases=("depot.item",))


PART = in_memory("depot.0002_part", child("Part", ("size", models.IntegerField())))


def test_models_that_exclude_each_other():
    """What stays comes later, as if it were not there yet."""
    found = simulation(ITEM, PART, SIZE)
    for kept, unapplied in ([ITEM, SIZE], [PART]), ([ITEM, PART], [SIZE]):
        order, before = found.backwards(kept, unapplied)
        assert order == [ITEM, *unapplied, kept[1]]
        assert set(before.models) == {("depot", "item")}


def test_what_depends_on_what_excludes_a_step_comes_later_too():
    """Others stay where they are."""
    more = in_memory("depot.0003_more", add("Item", "more"))
    other = in_memory("depot.0002_other", create("Other"))
    found = simulation(ITEM, PART, SIZE, other, more)
    found.parents[key_of(more)] = [key_of(SIZE)]
    order, _ = found.backwards([ITEM, SIZE, other, more], [PART])
    assert order == [ITEM, other, PART, SIZE, more]


def test_models_that_exclude_each_other_and_share_a_table():
    """A table would lose a column of which the state does not know."""
    both = in_memory("depot.0002_part", *PART.operations, add("Item", "note"))
    with pytest.raises(StateNotBuilt, match="clashes"):
        simulation(ITEM, both, SIZE).backwards([ITEM, SIZE], [both])


@pytest.mark.parametrize(
    "operations",
    [
        [child("Part", ("price", models.IntegerField()))],
        [child("Part"), migrations.CreateModel("Whole", [], bases=("depot.item", "depot.part"))],
    ],
    ids=["clash", "bases"],
)  # fmt: skip
def test_what_no_model_can_be_made_of(operations):
    """It is found without rendering all others."""
    with pytest.raises(StateNotBuilt):
        simulation(ITEM).run([ITEM], [in_memory("depot.0002_part", *operations)])
