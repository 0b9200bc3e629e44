"""Which steps would be undone on another table than they were applied to."""

from __future__ import annotations

import django
import pytest
from django.db import migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.engine.states import Simulation
from django_rewind.utils.types import key_of
from tests.support.fixtures import add, create, in_memory


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


def number(**options: object) -> models.Field:
    return models.IntegerField(null=True, **options)


FIELDS = {"price": number(), "cost": number(unique=True), "tags": models.ManyToManyField("depot.Tag")}
ITEM = in_memory("depot.0001", create("Tag"), create("Item", *FIELDS.items()))
LINE = in_memory("cart.0001", create("Line"))
GONE = in_memory("depot.0002", in_state(migrations.DeleteModel("Item")))
AGAIN = in_memory("depot.0003", create("Item", db_table="depot_again"))
RUNS = in_memory("cart.0002", migrations.RunPython(nothing, nothing))


def reused(as_applied: list[object], order: list[object], undone: list[object], known: object) -> object:
    ids = {key_of(migration): number for number, migration in enumerate(as_applied)}
    parents = {key_of(step): [key for key in known if ids[key] < ids[key_of(step)]] for step in undone}
    return Simulation(ProjectState, parents, ids, rebuilds=False).names_reused(order, undone)


def found(undone: list[object], *kept: object, below: tuple[object, ...] = ()) -> list[str]:
    """Apply steps between what is below and the rest of what is kept, and say who gave names away."""
    first = [ITEM, LINE, *below]
    as_applied, order = [*first, *undone, *kept], [*first, *kept, *undone]
    known = {key_of(one) for one in as_applied}
    others = reused(as_applied, order, undone, known)
    return [
        f"{'.'.join(step)}: {'.'.join(by)}" for step, names in others.items() for by, *_ in names.values()
    ]


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
    assert reused(as_applied, order, [RUNS], {key_of(RUNS), key_of(LINE)}) == {}


RENAMED = migrations.RenameField("Item", "price", "amount")
TAKEN = in_memory("depot.0002", RENAMED, add("Item", "price"))


@pytest.mark.parametrize(
    "kept",
    [
        TAKEN.operations,
        [migrations.RemoveField("Item", "price"), migrations.RenameField("Item", "cost", "price")],
        [migrations.RemoveField("Item", "price"), add("Item", "price", number(db_column="other"))],
        [
            RENAMED,
            migrations.AlterField("Item", "cost", number(db_column="price")),
            add("Item", "price", number(db_column="new")),
        ],
        [migrations.AlterField("Item", "price", number(db_column="kept")), RENAMED, add("Item", "price")],
        [
            migrations.RenameField("Item", "tags", "labels"),
            add("Item", "tags", models.ManyToManyField("depot.Tag")),
        ],
        [migrations.RunSQL("SELECT 1"), in_state(*TAKEN.operations)],
        [migrations.RunSQL("SELECT 1"), in_state(RENAMED), add("Item", "price")],
        [in_database(*TAKEN.operations), in_state(*TAKEN.operations)],
        [in_state(migrations.AlterField("Item", "price", number(db_column="cost")))],
        [
            migrations.RenameModel("Item", "Good"),
            *(migrations.RenameField("Good", *names) for names in (("price", "amount"), ("cost", "price"))),
            migrations.RenameModel("Good", "Item"),
        ],
    ],
    ids=[
        "renamed",
        "of-another",
        "column-of-its-own",
        "for-a-while",
        "name-and-column",
        "many-to-many",
        "by-sql",
        "half-by-sql",
        "apart",
        "repointed",
        "under-another-model",
    ],
)
def test_another_column_has_the_name(kept):
    """Whatever was done to the old one, the new one is named by what gave it the name."""
    assert found([RUNS], in_memory("depot.0002", *kept)) == ["cart.0002: depot.0002"]


@pytest.mark.parametrize(
    "kept",
    [
        [RENAMED],
        [migrations.RemoveField("Item", "price")],
        [migrations.RemoveField("Item", "price"), add("Item", "price")],
        [
            migrations.RunSQL("SELECT 1"),
            in_state(migrations.RemoveField("Item", "price")),
            add("Item", "price"),
        ],
        [RENAMED, migrations.RenameField("Item", "amount", "price")],
        [migrations.AlterField("Item", "price", number(db_column="amount", default=1))],
        [in_state(RENAMED, migrations.AlterField("Item", "amount", number(db_column="price")))],
        [
            migrations.AlterField("Item", "price", number(db_column="amount")),
            add("Item", "other", number(db_column="price")),
        ],
        [migrations.DeleteModel("Item"), create("Item", *FIELDS.items())],
        [migrations.RenameModel("Item", "Good"), migrations.RenameModel("Good", "Item")],
        [migrations.AlterModelTable("Item", "goods"), add("Item", "size")],
    ],
    ids=[
        "renamed",
        "removed",
        "made-in-its-place",
        "dropped-by-sql",
        "and-back",
        "altered",
        "renamed-in-state",
        "column-taken",
        "with-its-table",
        "model-and-back",
        "table-renamed",
    ],
)
def test_the_column_is_the_same(kept):
    """Or there is none of that name any more."""
    assert found([RUNS], in_memory("depot.0002", *kept)) == []


CHECK = {"check" if django.VERSION < (5, 1) else "condition": models.Q(price__gt=0)}
INDEX, CONSTRAINT = models.Index(fields=["price"], name="one"), models.CheckConstraint(name="two", **CHECK)
BELOW = in_memory(
    "depot.0002",
    migrations.AlterUniqueTogether("Item", {("price", "cost")}),
    migrations.AddIndex("Item", INDEX),
    migrations.AddConstraint("Item", CONSTRAINT),
)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AlterField("Item", "price", models.BigIntegerField(null=True)),
        migrations.RemoveField("Item", "price"),
        migrations.RenameField("Item", "price", "worth"),
        migrations.AlterUniqueTogether("Item", {("price",)}),
        migrations.RemoveIndex("Item", "one"),
        migrations.RemoveConstraint("Item", "two"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_acts_on_a_column(operation):
    """It is looked for by its name, or something is made of it again."""
    step = in_memory("depot.0003", operation)
    kept = in_memory("depot.0004", *TAKEN.operations)
    assert found([step], kept, below=(BELOW,)) == ["depot.0003: depot.0004"]


@pytest.mark.parametrize(
    "operation",
    [
        add("Item", "size"),
        migrations.AlterField("Item", "cost", models.BigIntegerField(null=True)),
        migrations.AddIndex("Item", models.Index(fields=["price"], name="three")),
        migrations.AddConstraint("Item", models.UniqueConstraint(fields=["price"], name="three")),
        migrations.AlterUniqueTogether("Item", {("cost",)}),
        migrations.AlterUniqueTogether("Item", set()),
        migrations.AlterModelTable("Item", "goods"),
        migrations.RunPython(nothing, migrations.RunPython.noop),
        migrations.RunSQL("SELECT 1", "SELECT 1"),
        in_state(migrations.AlterField("Item", "price", models.BigIntegerField(null=True))),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_does_not_act_on_a_column(operation):
    """An index is dropped by its own name, and what is unique together follows a name."""
    step = in_memory("depot.0003", operation)
    assert found([step], in_memory("depot.0004", *TAKEN.operations), below=(BELOW,)) == []


@pytest.mark.parametrize(
    "kept, is_another",
    [
        ([migrations.RemoveField("Item", "cost"), migrations.RenameField("Item", "price", "cost")], True),
        ([migrations.RenameField("Item", "cost", "amount"), add("Item", "cost", number(unique=True))], False),
    ],
    ids=["of-another", "renamed"],
)
def test_a_column_that_is_pointed_to(kept, is_another):
    """A foreign key that is put back points to a field by its name, which Django has follow when that is renamed."""
    to_cost = models.ForeignKey("depot.Item", models.CASCADE, to_field="cost", null=True)
    below = in_memory("cart.0002", add("Line", "item", to_cost))
    step = in_memory("cart.0003", migrations.RemoveField("Line", "item"))
    expected = ["cart.0003: depot.0002"] if is_another else []
    assert found([step], in_memory("depot.0002", *kept), below=(below,)) == expected


def test_a_field_that_it_does_not_know():
    """What nobody can look into uses no field of which it cannot know."""
    as_applied, order = [ITEM, LINE, RUNS, TAKEN], [ITEM, LINE, TAKEN, RUNS]
    assert reused(as_applied, order, [RUNS], {key_of(RUNS), key_of(LINE)}) == {}


def test_what_took_the_name_away():
    """It has to be undone, and not only what gave the name to another later."""
    later = in_memory("depot.0002", RENAMED), in_memory("depot.0003", add("Item", "price"))
    as_applied, order = [ITEM, LINE, RUNS, *later], [ITEM, LINE, *later, RUNS]
    others = reused(as_applied, order, [RUNS], set(map(key_of, order)))
    assert others == {
        ("cart", "0002"): {
            ("depot", "item", "price"): (("depot", "0003"), ("depot", "0002"), ("depot", "0001")),
        }
    }
