"""A file was edited, renamed or replaced after it was applied."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, apart, python

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
COST = add("product", "cost", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")


def apply_price(shop: Project) -> None:
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")


def without_us(shop: Project, *commands: tuple[str, ...]) -> None:
    shop.configure(DJANGO_REWIND_ENABLED=False)
    for command in commands:
        shop.manage(*command)
    shop.configure(DJANGO_REWIND_ENABLED=True)


def test_edited_file_is_undone_by_what_ran(shop):
    """The column that was added goes, not the one that the file now speaks of."""
    before = shop.schema()
    apply_price(shop)
    shop.migration("shop.0002_price", COST, after="0001_initial")

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]
    assert "Loading shop.0002_price from stored code" in result.stdout


def test_cosmetic_edit_does_not_count(shop):
    """Comments, layout and names of functions are no difference: the file is used."""
    before = shop.schema()
    header = "def nothing(apps, schema_editor):\n    pass\n"
    shop.migration(
        "shop.0002_price", PRICE, python("nothing", "nothing"), after="0001_initial", header=header
    )
    shop.manage("migrate")
    header = '# Why.\ndef no_op(apps, schema_editor):\n    """Do nothing."""\n    pass\n'
    edited = PRICE.replace("default=7", "  default = 7  ")
    shop.migration("shop.0002_price", edited, python("no_op", "no_op"), after="0001_initial", header=header)

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert "from stored code" not in result.output


@pytest.mark.parametrize("fake", [[], ["--fake"]])
@pytest.mark.parametrize("command", [["migrate"], ["rewind", "--noinput"]])
def test_edit_that_does_the_same_does_not_count(shop, command, fake):
    """Another program with the same operations is no difference: the file is used."""
    apply_price(shop)
    shop.migration("shop.0002_price", PRICE.replace("7", "3 + 4"), after="0001_initial")

    result = shop.manage(*command, "shop", "0001", *fake)

    assert shop.applied("shop") == ["0001_initial"]
    assert "from stored code" not in result.output


def renamed_model(shop: Project, old: str) -> str:
    """Write 0002, which renames the model and adds a column, with its old name in a variable."""
    shop.models("shop", "class Item(models.Model):\n    name = models.CharField(max_length=50)\n")
    shop.migration(
        "shop.0002_item",
        "migrations.RenameModel(OLD, 'Item')",
        add("item", "price", "IntegerField(default=7)"),
        after="0001_initial",
        header=f"OLD = {old}\n",
    )
    return "SELECT id, model FROM django_content_type WHERE app_label = 'shop'"


def test_content_type_of_a_cosmetic_edit(shop):
    """What contenttypes adds to a planned migration runs, whoever had to look at its source first."""
    shop.install("django.contrib.contenttypes", *shop.installed)
    shop.manage("migrate")
    content_types = renamed_model(shop, "'Product'")
    shop.manage("migrate")
    ((number, name),) = shop.rows(content_types)
    assert name == "item"
    renamed_model(shop, "'Prod' + 'uct'")

    result = shop.manage("migrate", "shop", "0001")

    assert shop.rows(content_types) == [(number, "product")]
    assert "from stored code" not in result.output


@pytest.mark.parametrize("edit", ["'Prod' + 'uct'", "'Product'; STEP = 1"])
@pytest.mark.parametrize("really", [False, True])
def test_content_type_in_a_plan_that_was_trimmed(shop, edit, really):
    """Taking a step out of the plan in pre_migrate loses nothing that was added to the others."""
    shop.install("django.contrib.contenttypes", *shop.installed)
    shop.manage("migrate")
    content_types = renamed_model(shop, "'Product'")
    shop.migration("shop.0003_stock", add("item", "stock", "IntegerField(default=3)"), after="0002_item")
    shop.migration("shop.0003_beside", apart(), after="0002_item")
    shop.migration("shop.0004_both", apart(), after=["0003_stock", "0003_beside"])
    shop.manage("migrate")
    ((number, _),) = shop.rows(content_types)
    renamed_model(shop, edit)
    if really:
        text = shop.read("shop/migrations/0002_item.py").replace("default=7", "default=8")
        shop.write("shop/migrations/0002_item.py", text)
    shop.write(
        "shop/apps.py",
        """
        from django.apps import AppConfig
        from django.db.models.signals import pre_migrate


        def trim(plan, **kwargs):
            plan[:] = [(step, backwards) for step, backwards in plan if step.name != "0003_beside"]


        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                pre_migrate.connect(trim, sender=self)
        """,
    )

    result = shop.manage("migrate", "shop", "0001")

    assert shop.rows(content_types) == [(number, "product")]
    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial", "0003_beside"]
    assert ("Loading shop.0002_item from stored code" in result.output) is really


@pytest.mark.parametrize("edited", [PRICE.replace("7", "3 + 4"), COST])
def test_plan_of_an_edited_file(shop, edited):
    """As long as nothing stored may be executed, nobody knows whether the file does the same."""
    apply_price(shop)
    shop.migration("shop.0002_price", edited, after="0001_initial")

    result = shop.manage("migrate", "shop", "0001", "--plan")

    assert "shop.0002_price (edited since it was applied)" in result.stdout
    assert "from stored code" not in result.output


def test_edited_function_counts(shop):
    """A reverse function with another body runs as it was when it was applied."""
    header = """
    def leave(apps, schema_editor):
        schema_editor.connection.cursor().execute("UPDATE shop_product SET name = '{}'")
    """
    operation = python("migrations.RunPython.noop", "leave")
    shop.migration("shop.0002_names", operation, after="0001_initial", header=header.format("then"))
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    shop.migration("shop.0002_names", operation, after="0001_initial", header=header.format("now"))

    shop.manage("migrate", "shop", "0001")

    assert shop.rows("SELECT name FROM shop_product") == [("then",)]


def test_edited_one_stays_while_a_later_one_is_undone(shop):
    """The state below the undone step holds what ran, so that no column is lost."""
    apply_price(shop)
    shop.migration("shop.0003_name", alter("product", "name", "CharField(max_length=90)"), after="0002_price")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.migration("shop.0002_price", COST, after="0001_initial")

    shop.manage("migrate", "shop", "0002")

    assert shop.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert shop.applied("shop") == ["0001_initial", "0002_price"]


def test_edited_one_stays_while_a_later_one_is_applied(shop):
    """A forward run builds its state from what ran, so that no column is lost."""
    apply_price(shop)
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    shop.migration("shop.0002_price", COST, after="0001_initial")
    shop.migration("shop.0003_name", alter("product", "name", "CharField(max_length=90)"), after="0002_price")

    shop.manage("migrate")

    assert shop.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert shop.columns("shop_product") == {"id", "name", "price"}


def test_edited_dependencies(shop):
    """What ran is undone in the order in which it ran, whatever the files now depend on."""
    before = shop.schema()
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stock", STOCK, after="0002_price")
    shop.manage("migrate")
    shop.migration("shop.0003_stock", STOCK, after="0001_initial")
    shop.migration("shop.0002_price", COST, after="0003_stock")

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert shop.applied("shop") == ["0001_initial"]


def test_plain_migrate_leaves_an_edited_file_alone(shop):
    """Nothing happens to an applied migration because its file has changed."""
    apply_price(shop)
    shop.migration("shop.0002_price", COST, after="0001_initial")
    before = shop.snapshot()

    result = shop.manage("migrate")

    assert "No migrations to apply." in result.stdout
    assert shop.snapshot() == before


@pytest.fixture
def rebased(shop):
    """Feature's 0002 was applied, and came back from a rebase as 0003 behind main's 0002."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0002_stock", STOCK, after="0001_initial")
    shop.migration("shop.0003_price", PRICE, after="0002_stock")
    return shop


def test_renamed_by_a_rebase(rebased):
    """The same content under a new number is not applied a second time."""
    rebased.refused("migrate", naming=("shop.0002_price", "shop.0003_price"))


def test_rewind_after_a_rebase(rebased):
    """`rewind --migrate` undoes the old number and applies the new one, when that is said."""
    rebased.manage("rewind", "--noinput", "--migrate", "--include-renamed")

    assert rebased.applied("shop") == ["0001_initial", "0002_stock", "0003_price"]
    assert rebased.columns("shop_product") == {"id", "name", "stock", "price"}


def test_rebased_one_is_faked(rebased):
    """Told with --fake that the new number is the old one, the file stands for both."""
    rebased.manage("migrate", "shop", "0002_stock")
    rebased.manage("migrate", "shop", "0003_price", "--fake")
    assert rebased.columns("shop_product") == {"id", "name", "price", "stock"}
    before = rebased.snapshot()

    assert rebased.attempt("rewind", "--check").returncode == 0
    rebased.manage("rewind", "--noinput")

    assert rebased.snapshot() == before
    rebased.manage("migrate", "shop", "0002_stock")
    assert rebased.columns("shop_product") == {"id", "name", "stock"}
    assert rebased.applied("shop") == ["0001_initial", "0002_stock"]


def test_applied_again_with_other_content(shop):
    """The later source is what undoes; what ran before is kept as history."""
    before = shop.schema()
    first = shop.migration("shop.0002_price", PRICE, after="0001_initial").read_text()
    shop.manage("migrate")
    shop.manage("migrate", "shop", "0001")
    file = shop.migration("shop.0002_price", COST, after="0001_initial")
    shop.manage("migrate")
    assert shop.stored()["shop.0002_price"] == file.read_text()
    file.unlink()

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    history = shop.rows("SELECT source_code FROM django_migrations_code_history")
    assert (first,) in history


def test_applied_again_by_a_process_without_us(shop):
    """An unproven source is never preferred to a file."""
    before = shop.schema()
    apply_price(shop)
    shop.migration("shop.0002_price", COST, after="0001_initial")
    shop.execute("DELETE FROM django_migrations WHERE name = '0002_price'")
    shop.execute("ALTER TABLE shop_product DROP COLUMN price")
    without_us(shop, ("migrate",))
    assert shop.columns("shop_product") == {"id", "name", "cost"}

    result = shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before
    assert "from stored code" not in result.output


def test_applied_again_without_us_then_seen_by_us(shop):
    """A `migrate` with us puts the file that ran in place of the outdated source."""
    before = shop.schema()
    apply_price(shop)
    without_us(shop, ("migrate", "shop", "0001"))
    file = shop.migration("shop.0002_price", COST, after="0001_initial")
    without_us(shop, ("migrate",))
    shop.manage("migrate")
    file.unlink()

    shop.manage("migrate", "shop", "0001")

    assert shop.schema() == before


def test_applied_again_without_us_and_gone(shop):
    """A source that is known to be of an earlier run does not undo a later one."""
    apply_price(shop)
    without_us(shop, ("migrate", "shop", "0001"))
    file = shop.migration("shop.0002_price", COST, after="0001_initial")
    without_us(shop, ("migrate",))
    file.unlink()

    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    shop.refused("rewind", "--noinput", naming="shop.0002_price")


def test_edited_file_whose_stored_source_does_not_load(shop):
    """The file serves for the state of a step that stays, not for one that is undone."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["gone"])
    file = shop.migration("shop.0002_price", PRICE, after="0001_initial", header="import gone")
    shop.write("gone.py", "")
    shop.migration("shop.0003_stock", STOCK, after="0002_price")
    shop.manage("migrate")
    shop.delete("gone.py")
    shop.migration("shop.0002_price", PRICE, apart(), after="0001_initial")

    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")
    result = shop.manage("migrate", "shop", "0002")

    assert "shop.0002_price" in result.stderr
    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert file.exists()


def test_edited_files_are_loaded_in_applied_order(shop):
    """The lines that say so come in the same order every time."""
    names = [f"000{number}_more" for number in range(2, 7)]
    for before, name in zip(["0001_initial", *names], names):
        shop.migration(f"shop.{name}", add("product", f"c{name}", "IntegerField(null=True)"), after=before)
    shop.manage("migrate")
    for before, name in zip(["0001_initial", *names], names):
        shop.migration(f"shop.{name}", add("product", f"d{name}", "IntegerField(null=True)"), after=before)

    result = shop.manage("migrate", "shop", "0001")

    lines = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("  Loading")]
    assert lines == [f"shop.{name}" for name in names]
