"""Steps on top of what is missing: they go together, or it is said why not. The database itself is asked."""

from __future__ import annotations

import django
import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from django_rewind.engine import preflight
from django_rewind.engine.conflicts import check_branches
from django_rewind.exceptions import ConflictsWithMissing
from django_rewind.schema.effects import effects_of
from django_rewind.utils.types import key_of
from tests.support.fixtures import add, clean_up, create, in_memory

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

NUMBER = models.IntegerField(default=1)


def link(to="shop.Tag", **options):
    return models.ForeignKey(to, models.CASCADE, null=True, related_name="+", **options)


def child(name, parent, *fields):
    key = models.OneToOneField(f"shop.{parent}", models.CASCADE, parent_link=True, primary_key=True)
    return migrations.CreateModel(
        name, [(f"{parent.lower()}_ptr", key), *fields], bases=(f"shop.{parent.lower()}",)
    )


BASE = in_memory(
    "shop.0001",
    create("Tag", ("word", models.CharField(max_length=20)), ("code", models.CharField(max_length=20, unique=True))),
    create("Product", ("name", models.CharField(max_length=50)), ("size", NUMBER), ("tag", link())),
    create("Place", ("name", models.CharField(max_length=50))),
    child("Store", "Place", ("floor", NUMBER)),
    migrations.AddIndex("Product", models.Index(fields=["size"], name="base_size")),
)  # fmt: skip


def index(name, *args, model="Product", **options):
    return migrations.AddIndex(model, models.Index(*args, name=name, **options))


def unique(name, *fields, model="Product", **options):
    return migrations.AddConstraint(model, models.UniqueConstraint(fields=fields, name=name, **options))


def together(*names):
    return migrations.AlterUniqueTogether("Product", {names})


def ordered(by="tag"):
    return migrations.AlterOrderWithRespectTo("Product", by)


def altered(model, name, field):
    return migrations.AlterField(model, name, field)


def renamed(model, old, new):
    return migrations.RenameField(model, old, new)


def code(backwards):
    return migrations.RunPython(migrations.RunPython.noop, backwards)


def of_products(apps, schema_editor):
    """Read the tags of products."""
    for product in apps.get_model("shop", "Product").objects.filter(tag__word="a"):
        product.name = product.name.lower()


def of_stores(apps, schema_editor):
    """Ask for an inherited field."""
    list(apps.get_model("shop.Store").objects.order_by("name"))


def columns(expected):
    return models.CharField(max_length=expected)


HIDES = {
    # What one uses and the other takes away
    "condition": (index("mine", fields=["size"], condition=models.Q(name="a")), migrations.RemoveField("Product", "name")),
    "unique": (unique("mine", "name", "size"), migrations.RemoveField("Product", "name")),
    "together": (together("name", "size"), renamed("Product", "name", "title")),
    "order": (ordered(), renamed("Product", "tag", "label")),
    "to_field": (add("Store", "tag", link(to_field="code")), renamed("Tag", "code", "number")),
    "dropped index": (migrations.RemoveIndex("Product", "base_size"), renamed("Product", "size", "length")),
    "code": (code(of_products), renamed("Product", "name", "title")),
    "code by a relation": (code(of_products), renamed("Tag", "word", "text")),
    "code of a child": (code(of_stores), renamed("Place", "name", "title")),
    "code of a model": (code(of_products), migrations.RenameModel("Product", "Item")),
    # What both make, or take away
    "renamed model": (create("Cart"), migrations.RenameModel("Store", "Cart")),
    "renamed field": (add("Tag", "text"), renamed("Tag", "word", "text")),
    "both rename": (renamed("Tag", "code", "text"), renamed("Tag", "word", "text")),
    "table": (create("Cart", db_table="things"), create("Basket", db_table="things")),
    "table of another": (create("Cart", db_table="things"), migrations.AlterModelTable("Tag", "things")),
    "two tables": (migrations.AlterModelTable("Tag", "bees"), migrations.AlterModelTable("Tag", "wasps")),
    "column": (add("Tag", "a", models.IntegerField(null=True, db_column="c")), add("Tag", "b", models.IntegerField(null=True, db_column="c"))),
    "b and b_id": (add("Tag", "b", link("shop.Place")), add("Tag", "b_id", models.IntegerField(null=True))),
    "join table": (add("Product", "tags", models.ManyToManyField("shop.Tag")), create("Product_tags")),
    "index": (index("mine", fields=["name"]), index("mine", fields=["size"])),
    "constraint": (unique("mine", "name", "id"), unique("mine", "size", "id")),
    "both together": (together("name", "size"), together("name", "tag")),
    "both drop an index": (migrations.RemoveIndex("Product", "base_size"), migrations.RemoveIndex("Product", "base_size")),
    "both drop": (migrations.RemoveField("Product", "name"), migrations.RemoveField("Product", "name")),
    # What cannot be rendered
    "parent": (child("Kiosk", "Place", ("color", NUMBER)), add("Place", "color", NUMBER)),
}  # fmt: skip

# What has to go through, forwards and back.
TOGETHER = {
    "index beside a field": (index("mine", fields=["name"]), renamed("Product", "tag", "label")),
    "two indexes": (index("mine", fields=["name"]), index("other", fields=["name"])),
    "two fields": (add("Product", "a", NUMBER), add("Product", "b", NUMBER)),
    "one column": (altered("Product", "name", columns(70)), altered("Product", "name", columns(90))),
    "one order": (ordered(), ordered()),
    "a model that points to another": (create("Cart", ("tag", link())), renamed("Tag", "word", "text")),
    "table and field": (migrations.AlterModelTable("Tag", "labels"), migrations.RemoveField("Tag", "word")),
    "model and field": (add("Tag", "a", NUMBER), migrations.RenameModel("Product", "Item")),
    "a grandchild has such a field": (child("Kiosk", "Store", ("color", NUMBER)), add("Place", "color", NUMBER)),
    "a grandchild has a field of the new name": (child("Kiosk", "Store", ("name2", NUMBER)), migrations.RenameField("Place", "name", "name2")),
    "code of another model": (code(of_stores), renamed("Product", "name", "title")),
    "names of constraints": (
        migrations.AddConstraint("Product", models.CheckConstraint(**{"condition" if django.VERSION >= (5, 1) else "check": models.Q(size__gt=0)}, name="mine")),
        index("mine2", fields=["word"], model="Tag"),
    ),
}  # fmt: skip


@pytest.fixture
def database():
    yield
    clean_up("shop", "things", "bees", "wasps", "labels")
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in {"things", "bees", "wasps", "labels"} & set(
            connection.introspection.table_names(cursor)
        ):
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}")


def branches(*operations):
    """Return a missing migration and a step of another branch."""
    return [
        in_memory(f"shop.{name}", operation, after="shop.0001")
        for name, operation in zip(("0002_lost", "0002_step"), operations)
    ]


def refuse(missing, step, *more, depends=()):
    """Ask all that is asked before the step is applied."""
    children = {key_of(BASE): [key_of(missing), key_of(step)], key_of(missing): depends}
    preflight.check_conflicts([step], {key_of(missing): effects_of(missing)}, {})
    check_branches(
        connection,
        ProjectState,
        [BASE, missing],
        children,
        steps=[step, *more],
        missing=[key_of(missing)],
        way_out=lambda key: "manage.py rewind",
    )


def apply(migration, state):
    with connection.schema_editor(atomic=True) as editor:
        return migration.apply(state, editor)


def there_and_back(missing, step):
    """Apply all, roll back the missing one, and return the tables and columns that are left."""
    state = apply(missing, apply(BASE, ProjectState()))
    apply(step, state)
    kept = step.mutate_state(BASE.mutate_state(ProjectState()))
    with connection.schema_editor(atomic=True) as editor:
        missing.unapply(kept, editor)
    return contents()


def contents():
    with connection.cursor() as cursor:
        return {
            table: {
                *(column.name for column in connection.introspection.get_table_description(cursor, table)),
                *map(str, (one["columns"] for one in connection.introspection.get_constraints(cursor, table).values())),
            }
            for table in connection.introspection.table_names(cursor)
            if table.startswith(("shop_", "labels"))
        }  # fmt: skip


@pytest.mark.parametrize("name", HIDES)
@pytest.mark.parametrize("is_reversed", [False, True], ids=["there", "reversed"])
def test_refused(name, is_reversed):
    """Both are named, whichever of the two is applied first."""
    operations = HIDES[name][::-1] if is_reversed else HIDES[name]
    if is_reversed and ("code" in name or name == "dropped index"):
        pytest.skip("Nothing is taken away from code that is not executed forwards.")

    with pytest.raises(ConflictsWithMissing) as refused:
        refuse(*branches(*operations))

    assert "shop.0002_step" in str(refused.value)
    assert "shop.0002_lost" in str(refused.value)


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("is_reversed", [False, True], ids=["there", "reversed"])
def test_goes_through(database, name, is_reversed):
    """The database agrees, and what is left is what the step alone makes."""
    missing, step = branches(*(TOGETHER[name][::-1] if is_reversed else TOGETHER[name]))
    refuse(missing, step)

    left = there_and_back(missing, step)

    clean_up("shop", "labels")
    apply(step, apply(BASE, ProjectState()))
    assert left == contents()


def test_who_is_named():
    """It is the first step, and the first missing one, that do not go together."""
    missing, step = branches(index("mine", fields=["name"]), add("Product", "a", NUMBER))
    second = in_memory("shop.0003_step", index("mine", fields=["size"]), after="shop.0002_step")
    with pytest.raises(
        ConflictsWithMissing, match=r"shop\.0003_step makes the index 'mine' again.*0002_lost"
    ):
        refuse(missing, step, second)


def test_what_depends_on_a_missing_one_knows_of_it():
    """It is rolled back before that."""
    missing, step = branches(add("Tag", "text"), renamed("Tag", "text", "more"))
    children = {key_of(BASE): [key_of(missing)], key_of(missing): [key_of(step)]}
    check_branches(
        connection,
        ProjectState,
        [BASE, missing],
        children,
        steps=[step],
        missing=[key_of(missing)],
        way_out=str,
    )


def test_what_is_left_of_nothing():
    """What a missing one has made and removed again is in nobody's way."""
    made = in_memory("shop.0002_lost", add("Tag", "a"), after="shop.0001")
    gone = in_memory("shop.0003_lost", migrations.RemoveField("Tag", "a"), after="shop.0002_lost")
    step = in_memory("shop.0002_step", add("Tag", "a"), after="shop.0001")
    children = {key_of(BASE): [key_of(made), key_of(step)], key_of(made): [key_of(gone)]}
    check_branches(
        connection,
        ProjectState,
        [BASE, made, gone],
        children,
        steps=[step],
        missing=[key_of(made), key_of(gone)],
        way_out=str,
    )


@pytest.mark.parametrize("is_same_table", [False, True])
def test_names_of_indexes(is_same_table):
    """They are those of the whole database, or of a table."""
    other = index(
        "mine", fields=["size" if is_same_table else "word"], model="Product" if is_same_table else "Tag"
    )
    missing, step = branches(index("mine", fields=["name"]), other)
    if is_same_table or connection.vendor != "mysql":
        with pytest.raises(ConflictsWithMissing):
            refuse(missing, step)
    else:
        refuse(missing, step)
