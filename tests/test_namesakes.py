"""Which steps would be undone on another table than they were applied to."""

from __future__ import annotations

import pytest
from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.namesakes import namesakes
from django_rewind.types import key_of
from tests.fixtures import add, create, in_memory


def to(model: str) -> models.ForeignKey:
    return models.ForeignKey(model, models.CASCADE, null=True)


def in_state(*operations: object) -> migrations.SeparateDatabaseAndState:
    return migrations.SeparateDatabaseAndState(state_operations=list(operations))


def in_database(*operations: object) -> migrations.SeparateDatabaseAndState:
    return migrations.SeparateDatabaseAndState(database_operations=list(operations))


def nothing(apps: object, schema_editor: object) -> None:
    pass


class Shouts(migrations.operations.base.Operation):
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass


ITEM, LINE = in_memory("depot.0001", create("Item")), in_memory("cart.0001", create("Line"))
GONE = in_memory("depot.0002", in_state(migrations.DeleteModel("Item")))
AGAIN = in_memory("depot.0003", create("Item", db_table="depot_again"))
RUNS = in_memory("cart.0002", migrations.RunPython(nothing, nothing))


def found(undone: list[object], *kept: object, below: tuple[object, ...] = ()) -> list[str]:
    """Apply steps between what is below and the rest of what is kept, and say who gave names away."""
    first = [ITEM, LINE, *below]
    as_applied, order = [*first, *undone, *kept], [*first, *kept, *undone]
    known = {key_of(one) for one in as_applied}
    others = namesakes(ProjectState, as_applied, order, undone, lambda key: known)
    return [f"{'.'.join(step)}: {'.'.join(by)}" for step, models in others.items() for by in models.values()]


@pytest.mark.parametrize(
    "kept",
    [
        [GONE, AGAIN],
        [in_memory("depot.0003", migrations.RenameModel("Item", "Good"), create("Item"))],
        [
            in_memory("depot.0002", create("Good")),
            in_memory("depot.0003", migrations.DeleteModel("Item"), migrations.RenameModel("Good", "Item")),
        ],
        [
            in_memory("depot.0002", migrations.AlterModelTable("Item", "goods")),
            in_memory("depot.0003", in_state(migrations.DeleteModel("Item")), create("Item")),
        ],
        [
            in_memory(
                "depot.0002", in_database(migrations.AlterModelTable("Item", "goods")), *GONE.operations
            ),
            in_memory("depot.0003", create("Item")),
        ],
        [in_memory("depot.0003", migrations.DeleteModel("Item"), *AGAIN.operations)],
    ],
    ids=["moved", "renamed", "of-another", "table-renamed", "table-renamed-apart", "dropped"],
)
def test_another_table_has_the_name(kept):
    """Whatever was done to the old one, the new one is named by what gave it the name."""
    assert found([RUNS], *kept) == ["cart.0002: depot.0003"]


@pytest.mark.parametrize(
    "kept",
    [
        [GONE],
        [GONE, in_memory("depot.0003", in_state(create("Item")))],
        [in_memory("depot.0002", migrations.AlterModelTable("Item", "goods"))],
        [in_memory("depot.0002", migrations.DeleteModel("Item")), in_memory("depot.0003", create("Item"))],
        [GONE, in_memory("depot.0003", create("Item", managed=False, db_table="view"))],
    ],
    ids=["moved", "moved-back", "table-renamed", "made-in-its-place", "without-table"],
)
def test_the_table_is_the_same(kept):
    """So it is to Django where one was made in the place of one that was dropped, and of a view nothing is known."""
    assert found([RUNS], *kept) == []


def test_the_step_was_applied_later():
    """It knows the new one."""
    assert found([RUNS], below=(GONE, AGAIN)) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AlterField("Line", "item", models.IntegerField()),
        migrations.AlterField("Line", "item", to("cart.Line")),
        migrations.RemoveField("Line", "item"),
        migrations.RenameField("Line", "item", "thing"),
        migrations.DeleteModel("Line"),
        migrations.RunPython(nothing, nothing),
        Shouts(),
        in_database(migrations.RunPython(nothing, nothing)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_acts_on_it(operation):
    """What points to it is made or changed, or somebody is given the models."""
    below = in_memory("cart.0002", add("Line", "item", to("depot.Item")))
    step = in_memory("cart.0003", operation)
    assert found([below, step], GONE, AGAIN) == ["cart.0003: depot.0003"]


@pytest.mark.parametrize(
    "operation",
    [
        add("Line", "item", to("depot.Item")),
        create("Box", ("item", to("depot.Item"))),
        add("Line", "size"),
        in_state(add("Line", "item", to("depot.Item"))),
        migrations.RunPython(nothing, migrations.RunPython.noop),
        migrations.RunSQL("SELECT 1", "SELECT 1"),
    ],
    ids=["drops-a-column", "drops-a-table", "elsewhere", "in-state", "noop", "sql"],
)
def test_what_does_not(operation):
    """What is dropped, in whatever state, has no table to be mistaken."""
    assert found([in_memory("cart.0002", operation)], GONE, AGAIN) == []


def test_a_field_of_it():
    """A step of the app itself changes the table."""
    assert found([in_memory("depot.0004", add("Item", "size"))], GONE, AGAIN) == ["depot.0004: depot.0003"]


def test_what_it_does_not_depend_on():
    """What nobody can look into uses what it depends on, and nothing else."""
    as_applied, order = [ITEM, LINE, RUNS, GONE, AGAIN], [ITEM, LINE, GONE, AGAIN, RUNS]
    assert namesakes(ProjectState, as_applied, order, [RUNS], lambda key: {key, key_of(LINE)}) == {}
