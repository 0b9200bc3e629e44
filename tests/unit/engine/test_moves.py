"""In which order the states of a run know a model that was moved to another app in the state alone."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.engine.states import with_movers_later
from tests.support.fixtures import add, create, in_memory


def to(model: str) -> models.ForeignKey:
    return models.ForeignKey(model, models.CASCADE, null=True)


def in_state(*operations: object) -> migrations.SeparateDatabaseAndState:
    return migrations.SeparateDatabaseAndState(state_operations=list(operations))


DEPOT = in_memory("depot.0001", create("Item"), create("Bin"))
STOCK = in_memory("stock.0001", in_state(create("Item", db_table="depot_item")))
MOVER = in_memory("depot.0002", in_state(migrations.DeleteModel("Item")))
LINE = in_memory("cart.0001", create("Line", ("item", to("depot.Item"))))
FOLLOWS = in_memory("cart.0002", migrations.AlterField("Line", "item", to("stock.Item")))
LATER = in_memory("cart.0003", add("Line", "note"))
UNDONE = [LINE, FOLLOWS, LATER]


AGAIN = in_memory("depot.0003", create("Item", db_table="depot_again"))
TAKEN = {("cart", "0002"): {("depot", "item")}}


def order(kept: list[object], undone: list[object], others: object = {}) -> list[str] | None:
    found = with_movers_later(ProjectState, kept, undone, others)
    return None if found is None else [f"{one.app_label}.{one.name}" for one in found]


def test_the_mover_stands_behind_the_last_that_points_there():
    """Behind that the model has one name, and every other migration stays where it was."""
    assert order([DEPOT, MOVER, STOCK], UNDONE) == [
        "depot.0001",
        "stock.0001",
        "cart.0001",
        "cart.0002",
        "depot.0002",
        "cart.0003",
    ]


def test_what_is_kept_above_the_mover_stays_in_front():
    """What it made is in the database, so that the states have to know it."""
    above = in_memory("depot.0003", add("Bin", "size"))
    assert order([DEPOT, STOCK, MOVER, above], [LINE, FOLLOWS]) == [
        "depot.0001",
        "stock.0001",
        "depot.0003",
        "cart.0001",
        "cart.0002",
        "depot.0002",
    ]


def test_each_mover_has_a_place_of_its_own():
    """Two that are needed until different steps do not stand side by side."""
    loft = in_memory("loft.0001", create("Tag"))
    tags = in_memory("stock.0002", in_state(create("Tag", db_table="loft_tag")))
    tag_mover = in_memory("loft.0002", in_state(migrations.DeleteModel("Tag")))
    tag = in_memory("cart.0003", add("Line", "tag", to("loft.Tag")))
    tag_follows = in_memory("cart.0004", migrations.AlterField("Line", "tag", to("stock.Tag")))
    kept = [DEPOT, loft, STOCK, tags, tag_mover, MOVER]
    found = order(kept, [LINE, FOLLOWS, tag, tag_follows])
    assert found is not None
    assert found[4:] == ["cart.0001", "cart.0002", "depot.0002", "cart.0003", "cart.0004", "loft.0002"]


def test_nothing_was_moved():
    """There is no other order then."""
    assert order([DEPOT, STOCK], UNDONE) is None
    assert order([DEPOT, STOCK, MOVER], [LATER]) is None


@pytest.mark.parametrize(
    "stock",
    [
        [],
        [in_memory("stock.0001", create("Item"))],
        [STOCK, in_memory("stock.0002", migrations.AlterModelTable("Item", "goods"))],
        [
            STOCK,
            in_memory(
                "stock.0002", migrations.AlterField("Item", "id", models.BigAutoField(primary_key=True))
            ),
        ],
        [
            in_memory(
                "stock.0001",
                in_state(
                    migrations.CreateModel(
                        "Item", [("code", models.IntegerField(primary_key=True))], {"db_table": "depot_item"}
                    )
                ),
            )
        ],
    ],
    ids=["dropped", "another-table", "table-renamed", "key-changed", "another-key"],
)
def test_no_model_has_the_table_as_it_was(stock):
    """What the old app would say of it is not true."""
    assert order([DEPOT, *stock, MOVER], UNDONE) is None


def test_a_unique_column_is_another():
    """What can be pointed to has to have its column under both names."""
    code = models.IntegerField(unique=True)
    depot = in_memory("depot.0001", create("Item", ("code", code)), create("Bin"))
    for column, is_same in ((None, True), ("number", False)):
        field = models.IntegerField(unique=True, db_column=column)
        stock = in_memory("stock.0001", in_state(create("Item", ("code", field), db_table="depot_item")))
        assert (order([depot, stock, MOVER], UNDONE) is not None) is is_same


def test_columns_that_came_later_do_no_harm():
    """A column that only the new app knows stays; one that only the old one knows is not there."""
    more = in_memory("stock.0002", add("Item", "size"))
    assert order([DEPOT, STOCK, more, MOVER], UNDONE)
    sized = in_memory("depot.0001", create("Item", ("size", models.IntegerField())))
    assert order([sized, STOCK, MOVER], UNDONE) is None


def test_a_key_of_which_no_operation_tells():
    """Django gives a model one by itself, and that need not be the one that is there."""
    implicit = in_memory("depot.0001", migrations.CreateModel("Item", []))
    assert order([implicit, STOCK, MOVER], UNDONE) is None


def test_the_mover_does_more():
    """A column that it has made is in the database: it cannot be missing in a state."""
    more = in_memory("depot.0002", *MOVER.operations, add("Bin", "size"))
    assert order([DEPOT, STOCK, more], UNDONE) is None


def test_a_name_was_taken_again():
    """A mover that stands behind would take away the new one."""
    both = in_memory("depot.0002", *MOVER.operations, in_state(migrations.DeleteModel("Bin")))
    again = in_memory("depot.0003", create("Bin", db_table="depot_new"))
    assert order([DEPOT, STOCK, both, again], [LINE, FOLLOWS]) is None


def test_the_new_one_comes_later_too():
    """With all that was done to it, behind the last step that takes it for the old one."""
    size = in_memory("depot.0004", add("Item", "size"))
    place = in_memory("depot.0005", add("Bin", "place"))
    found = order([DEPOT, STOCK, MOVER, AGAIN, size, place], UNDONE, TAKEN)
    assert found is not None
    assert found[2:] == [
        "depot.0005",
        "cart.0001",
        "cart.0002",
        "depot.0002",
        "depot.0003",
        "depot.0004",
        "cart.0003",
    ]


@pytest.mark.parametrize(
    "again",
    [
        in_memory("depot.0004", create("Box", ("item", to("depot.Item")))),
        in_memory("depot.0004", add("Item", "size"), create("Box")),
    ],
    ids=["pointed-to", "does-more"],
)
def test_the_new_one_is_needed(again):
    """What would be missing with it in the states is in the database."""
    assert order([DEPOT, STOCK, MOVER, AGAIN, again], UNDONE, TAKEN) is None


def test_the_new_one_points_to_what_a_step_changes():
    """Its table would have to follow."""
    bigger = migrations.AlterField("Bin", "id", models.BigAutoField(primary_key=True))
    changes = in_memory("depot.0000", bigger)
    points = in_memory("depot.0003", create("Item", ("bin", to("depot.Bin")), db_table="depot_again"))
    undone = [LINE, changes, FOLLOWS, LATER]
    assert order([DEPOT, STOCK, MOVER, AGAIN], undone, TAKEN)
    assert order([DEPOT, STOCK, MOVER, points], undone, TAKEN) is None


def test_the_table_is_that_of_no_other_model():
    """It was renamed or dropped before the new one got the name."""
    renamed = in_memory("depot.0002", migrations.RenameModel("Item", "Good"))
    assert order([DEPOT, STOCK, renamed, AGAIN], UNDONE, TAKEN) is None
    assert order([DEPOT, MOVER, AGAIN], UNDONE[:2], TAKEN) is None


def test_a_step_takes_the_name_again():
    """So it would to the one of a step, to which something points from there on."""
    anew = in_memory("depot.0003", in_state(create("Item", db_table="depot_new")))
    assert order([DEPOT, STOCK, MOVER], [LINE, anew]) is None


def test_what_stays_would_be_another():
    """Also where the steps hide it, what is there without them has to be the same."""

    def sort(*by: str) -> migrations.AlterModelOptions:
        return migrations.AlterModelOptions("Bin", {"ordering": by})

    both = in_memory("depot.0002", *MOVER.operations, sort("id"))
    kept = [DEPOT, STOCK, both, in_memory("depot.0003", sort("-id"))]
    assert order(kept, [LINE, in_memory("depot.0004", sort("id")), FOLLOWS]) is None


def test_a_step_makes_the_name_anew():
    """It is the one of the step from there on."""
    anew = in_memory("depot.0003", create("Item", db_table="depot_new"))
    found = order([DEPOT, STOCK, MOVER], [LINE, FOLLOWS, anew])
    assert found is not None
    assert found[-2:] == ["depot.0002", "depot.0003"]


def test_a_step_changes_what_the_model_points_to():
    """The table would be changed once under each name."""
    shelf = in_memory("cart.0000", create("Shelf"))
    depot = in_memory("depot.0001", create("Item", ("shelf", to("cart.Shelf"))))
    stock = in_memory(
        "stock.0001", in_state(create("Item", ("shelf", to("cart.Shelf")), db_table="depot_item"))
    )
    bigger = migrations.AlterField("Shelf", "id", models.BigAutoField(primary_key=True))
    changes = in_memory("cart.0002", migrations.AlterField("Line", "item", to("stock.Item")), bigger)
    kept = [shelf, depot, stock, MOVER]
    assert order(kept, [LINE, FOLLOWS])
    assert order(kept, [LINE, changes]) is None
    assert order(kept, [LINE, FOLLOWS, in_memory("cart.0003", bigger)])


def test_a_model_that_lies_between():
    """The key that is changed may be that of the one that it points to, too."""
    shelf = in_memory("cart.0000", create("Shelf"))
    label = migrations.CreateModel(
        "Label", [("shelf", models.OneToOneField("cart.Shelf", models.CASCADE, primary_key=True))]
    )
    depot = in_memory("depot.0001", label, create("Item", ("label", to("depot.Label"))))
    stock = in_memory(
        "stock.0001", in_state(create("Item", ("label", to("depot.Label")), db_table="depot_item"))
    )
    bigger = migrations.AlterField("Shelf", "id", models.BigAutoField(primary_key=True))
    changes = in_memory("cart.0002", migrations.AlterField("Line", "item", to("stock.Item")), bigger)
    assert order([shelf, depot, stock, MOVER], [LINE, FOLLOWS])
    assert order([shelf, depot, stock, MOVER], [LINE, changes]) is None


def test_an_operation_that_fails():
    """Whatever it raises, there is no order then."""
    wrong = in_memory("cart.0003", migrations.RemoveField("Nothing", "there"))
    assert order([DEPOT, STOCK, MOVER], [LINE, FOLLOWS, wrong]) is None
