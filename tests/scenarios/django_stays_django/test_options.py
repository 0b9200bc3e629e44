"""The options of Django's `migrate` with a missing migration in play."""

from __future__ import annotations

import pytest

from tests.support.helpers import add, create

pytestmark = [pytest.mark.deep, pytest.mark.once]


def test_fake_backwards(left):
    """`--fake` forgets the record and leaves the schema."""
    before = left.schema()

    left.manage("migrate", "shop", "0001", "--fake")

    assert left.schema() == before
    assert left.applied("shop") == ["0001_initial"]
    assert "shop.0002_price" in left.stored()


def test_fake_forwards_is_stored(left):
    """What is recorded with `--fake` is stored too, and can be undone when it is gone."""
    left.execute(
        f"ALTER TABLE shop_product ADD COLUMN stock integer{'' if left.db().vendor == 'sqlite' else ' NULL'}"
    )
    file = left.migration(
        "shop.0003_stock", add("product", "stock", "IntegerField(null=True)"), after="0001_initial"
    )
    left.manage("migrate", "--fake")
    assert left.applied("shop") == ["0001_initial", "0002_price", "0003_stock"]
    assert "shop.0003_stock" in left.stored()
    file.unlink()

    left.manage("migrate", "shop", "0001")

    assert left.columns("shop_product") == {"id", "name"}


def test_fake_initial(left):
    """`--fake-initial` records a first migration whose table is there."""
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))
    left.execute("CREATE TABLE cart_line (id integer NOT NULL PRIMARY KEY)")
    before = left.schema()

    left.manage("migrate", "--fake-initial")

    assert left.schema() == before
    assert left.applied("cart") == ["0001_initial"]
    assert left.applied("shop") == ["0001_initial", "0002_price"]


@pytest.fixture
def unmigrated(shop):
    """The app depot has migrations on feature, which are applied, and none on main, where it has models."""
    shop.commit()
    with shop.on_branch("feature"):
        shop.app("depot", "class Box(models.Model):\n    note = models.CharField(max_length=9)\n")
        shop.migration("depot.0001_initial", create("Box"))
        shop.migration("depot.0002_note", add("box", "note", "CharField(max_length=9)"), after="0001_initial")
        shop.migration("depot.0003_bag", create("Bag"), after="0002_note")
        shop.manage("migrate")
    shop.write("depot/__init__.py", "")
    shop.models("depot", "class Box(models.Model):\n    pass\n\nclass Crate(models.Model):\n    pass\n")
    return shop


@pytest.mark.parametrize("args", [("--run-syncdb",), ("depot", "--run-syncdb")])
def test_run_syncdb(unmigrated, args):
    """An app without migrations here is one, whatever is applied of it: its tables are made."""
    result = unmigrated.manage("migrate", *args)

    assert "depot_crate" in unmigrated.tables()
    assert "Creating table depot_crate" in result.stdout
    assert unmigrated.applied("depot") == ["0001_initial", "0002_note", "0003_bag"]


@pytest.mark.parametrize("args", [(), ("depot", "0001"), ("--migrate", "--adopt", "--allow-data-loss")])
def test_rewind_of_an_app_without_migrations_here(unmigrated, args):
    """What its models do not use is rolled back with the models that its migrations had."""
    unmigrated.execute("INSERT INTO depot_box (note) VALUES ('new')")

    unmigrated.manage(
        "rewind", *args, "--noinput", *([] if "--allow-data-loss" in args else ["--allow-data-loss"])
    )

    assert unmigrated.columns("depot_box") == {"id"}
    assert "depot_bag" not in unmigrated.tables()
    assert unmigrated.applied("depot") == ["0001_initial"]
    unmigrated.manage("migrate", "--run-syncdb")
    assert "depot_crate" in unmigrated.tables()


def test_plan(left):
    """`--plan` tells the step and where its code comes from, and does nothing."""
    before = left.snapshot()

    result = left.manage("migrate", "shop", "0001", "--plan")

    line = next(line for line in result.stdout.splitlines() if "shop.0002_price" in line)
    assert "stored" in line
    assert "Loading" not in result.stdout
    assert left.snapshot() == before


def test_plan_of_nothing(left):
    """`migrate --plan` has nothing to say about a missing migration that stays."""
    assert "No planned migration operations." in left.manage("migrate", "--plan").stdout


def test_check(left):
    """`--check` is content with the leaf on disk, and exits 1 where a target asks for an undoing."""
    before = left.snapshot()

    assert left.attempt("migrate", "--check").returncode == 0
    assert left.attempt("migrate", "shop", "0001", "--check").returncode == 1

    assert left.snapshot() == before


def test_showmigrations(left):
    """`showmigrations` shows the disk, as Django does."""
    result = left.manage("showmigrations", "shop")

    assert "[X] 0001_initial" in result.stdout
    assert "0002_price" not in result.stdout


def test_sqlmigrate(left):
    """`sqlmigrate` works on what is on disk."""
    assert "shop_product" in left.manage("sqlmigrate", "shop", "0001").stdout


def test_verbosity_zero(left):
    """A quiet run says nothing and does the same."""
    result = left.manage("migrate", "shop", "0001", "--verbosity", "0")

    assert result.stdout == ""
    assert left.columns("shop_product") == {"id", "name"}


def test_output_of_an_actual_run(left):
    """The step is printed as Django prints one, behind the line that tells where it comes from."""
    result = left.manage("migrate", "shop", "0001")

    lines = [line.strip() for line in result.stdout.splitlines()]
    at = lines.index("Loading shop.0002_price from stored code")
    assert any(line.startswith("Unapplying shop.0002_price") and line.endswith("OK") for line in lines[at:])
