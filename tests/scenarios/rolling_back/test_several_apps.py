"""Chains across apps, holes in the chain, and apps that were removed from the project."""

from __future__ import annotations

import pytest

from tests.support.helpers import Project, add, alter, create, drop, python, remove, rename_model

pytestmark = pytest.mark.deep

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
LINK = "ForeignKey('shop.Product', models.CASCADE)"


@pytest.fixture
def cart(shop):
    """The app cart beside the app shop, applied, with a model that points there."""
    shop.app("cart")
    shop.migration("cart.0001_initial", create("Line", product=LINK), after="shop.0001_initial")
    shop.commit("Cart")
    shop.manage("migrate")
    return shop


def test_chain_across_two_apps(cart):
    """What depends on an undone migration in another app is undone before it."""
    before = cart.schema()
    with cart.on_branch("feature"):
        cart.migration("shop.0002_price", PRICE, after="0001_initial")
        cart.migration(
            "cart.0002_gift", create("Gift", product=LINK), after=["0001_initial", "shop.0002_price"]
        )
        cart.migration("shop.0003_stock", STOCK, after=["0002_price", "cart.0002_gift"])
        cart.manage("migrate")

    cart.manage("migrate", "shop", "0001")

    assert cart.schema() == before
    assert cart.applied("shop") == cart.applied("cart") == ["0001_initial"]


def test_only_one_app_of_the_chain(cart):
    """Undoing the upper app leaves the missing migration of the lower one applied."""
    with cart.on_branch("feature"):
        cart.migration("shop.0002_price", PRICE, after="0001_initial")
        cart.migration("cart.0002_gift", create("Gift"), after=["0001_initial", "shop.0002_price"])
        cart.manage("migrate")

    cart.manage("migrate", "cart", "0001")

    assert "cart_gift" not in cart.tables()
    assert "price" in cart.columns("shop_product")
    assert cart.applied("shop") == ["0001_initial", "0002_price"]


def test_rewind_over_two_apps(cart):
    """`rewind` undoes the missing ones of all installed apps."""
    before = cart.schema()
    with cart.on_branch("feature"):
        cart.migration("shop.0002_price", PRICE, after="0001_initial")
        cart.migration(
            "cart.0002_gift", create("Gift", product=LINK), after=["0001_initial", "shop.0002_price"]
        )
        cart.manage("migrate")

    cart.manage("rewind", "--noinput")

    assert cart.schema() == before


def test_file_above_a_missing_migration(cart):
    """A file that depends on an undone missing migration is undone with it, by `rewind` too."""
    cart.migration("shop.0002_price", PRICE, after="0001_initial")
    cart.migration("cart.0002_gift", create("Gift"), after=["0001_initial", "shop.0002_price"])
    cart.manage("migrate")
    cart.delete("shop/migrations/0002_price.py")

    cart.manage("rewind", "--noinput")

    assert "cart_gift" not in cart.tables()
    assert cart.columns("shop_product") == {"id", "name"}
    assert cart.applied("shop") == cart.applied("cart") == ["0001_initial"]


def test_run_before(cart):
    """`run_before` of a missing migration counts: what had to run after it goes first."""
    with cart.on_branch("feature"):
        cart.migration("cart.0002_first", create("First"), after="0001_initial", run_before="shop.0002_price")
        cart.migration("shop.0002_price", PRICE, after="0001_initial")
        cart.manage("migrate")
        assert cart.rows("SELECT name FROM django_migrations ORDER BY id DESC")[:2] == [
            ("0002_price",),
            ("0002_first",),
        ]
    cart.migration("shop.0002_price", PRICE, after="0001_initial")

    cart.manage("migrate", "cart", "0001")

    assert cart.applied("cart") == cart.applied("shop") == ["0001_initial"]
    assert cart.columns("shop_product") == {"id", "name"}


@pytest.fixture
def hole(shop):
    """Three migrations are applied, and the file of the one in the middle was deleted."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.migration("shop.0003_stock", STOCK, after="0002_price")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_price.py")
    return shop


def test_hole_is_no_conflict(hole):
    """With a file missing in the middle, `migrate` has nothing to do and no conflict."""
    before = hole.snapshot()

    result = hole.manage("migrate")

    assert "No migrations to apply." in result.stdout
    assert hole.snapshot() == before


def test_back_across_a_hole(hole):
    """The file above the hole is undone from disk, the hole from stored code."""
    result = hole.manage("migrate", "shop", "0001")

    assert hole.columns("shop_product") == {"id", "name"}
    assert hole.applied("shop") == ["0001_initial"]
    assert "Loading shop.0002_price from stored code" in result.stdout
    assert "Loading shop.0003_stock" not in result.stdout


def test_forward_above_a_hole(hole):
    """A new migration is applied above the hole."""
    hole.migration("shop.0004_name", alter("product", "name", "CharField(max_length=70)"), after="0003_stock")
    hole.execute("INSERT INTO shop_product (name, price, stock) VALUES ('Tea', 4, 2)")

    hole.manage("migrate")

    assert hole.rows("SELECT name, price, stock FROM shop_product") == [("Tea", 4, 2)]


@pytest.mark.parametrize(
    "sql, reason",
    [
        ("UPDATE django_migrations_code SET module = 'other' WHERE {}", "changed after it was signed"),
        ("DELETE FROM django_migrations_code WHERE {}", "is not stored"),
    ],
)
def test_hole_that_cannot_be_recovered(hole, sql, reason):
    """Without its source there is no graph: why that is so is said by name, and what shows still shows."""
    hole.execute(sql.format("migration_name = '0002_price'"))

    for command in (["migrate"], ["migrate", "shop", "0001"], ["rewind"], ["rewind", "--check"]):
        hole.refused(*command, naming=("shop.0002_price", reason, "shop.0003_stock"))
    assert "0002_price" in hole.manage("show_stored_migrations", "shop").stdout
    hole.attempt("verify_migrations")
    hole.migration("shop.0002_price", PRICE, after="0001_initial")
    hole.manage("migrate", "shop", "0001")


def test_hole_beside_another_that_cannot_be_recovered(hole):
    """The one that stands in the way is named, not the first one that has no file."""
    hole.app("cart")
    hole.migration("cart.0001_initial", create("Line"))
    hole.migration("cart.0002_gift", create("Gift"), after="0001_initial")
    hole.migration("cart.0003_bag", create("Bag"), after="0002_gift")
    hole.migration("shop.0002_price", PRICE, after="0001_initial")
    hole.manage("migrate")
    hole.delete("cart/migrations/0002_gift.py")
    hole.delete("shop/migrations/0002_price.py")
    hole.execute("DELETE FROM django_migrations_code WHERE migration_name = '0002_price'")

    result = hole.refused("migrate", "cart", "0001", naming=("shop.0002_price", "is not stored"))

    assert "cart.0002_gift" not in result.stderr


def test_hole_of_which_nothing_is_known(shop):
    """That a file depends on a migration that there never was is Django's to say."""
    shop.migration("shop.0003_stock", STOCK, after="0002_price")

    result = shop.attempt("migrate")

    assert "NodeNotFoundError" in result.stderr


def test_hole_bridged_on_disk(hole):
    """Where the file above was made to depend on the one below, only the hole is undone."""
    hole.migration("shop.0003_stock", STOCK, after="0001_initial")
    hole.execute("INSERT INTO shop_product (name, price, stock) VALUES ('Tea', 4, 2)")

    hole.manage("rewind", "--noinput", "--allow-data-loss")

    assert hole.rows("SELECT name, stock FROM shop_product") == [("Tea", 2)]
    assert hole.columns("shop_product") == {"id", "name", "stock"}
    assert hole.applied("shop") == ["0001_initial", "0003_stock"]


def test_makemigrations_sees_the_disk(shop):
    """A missing migration is not there for `makemigrations`, neither as state nor as a leaf."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")

    assert "No changes detected" in shop.manage("makemigrations", "--check", "--dry-run").stdout
    shop.models("shop", "class Product(models.Model):\n    name = models.CharField(max_length=60)\n")
    shop.manage("makemigrations", "shop", "--name", "longer")
    assert "0001_initial" in shop.read("shop/migrations/0002_longer.py")


def test_parent_is_not_applied(shop):
    """A missing migration whose parent is not applied trips neither `migrate` nor its state."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_cart", create("Cart"), after="0001_initial")
        shop.migration("shop.0003_cart", add("cart", "code", "IntegerField(default=1)"), after="0002_cart")
        shop.manage("migrate")
    shop.execute("DELETE FROM django_migrations WHERE name = '0002_cart'")
    shop.migration("shop.0002_price", PRICE, after="0001_initial")

    shop.manage("migrate")

    assert shop.columns("shop_product") == {"id", "name", "price"}


@pytest.fixture(params=["importable", "deleted"])
def removed(cart, request):
    """The app cart left INSTALLED_APPS; its package is still there, or is deleted."""
    cart.migration(
        "cart.0002_names",
        python("migrations.RunPython.noop", "migrations.RunPython.noop"),
        after="0001_initial",
    )
    cart.manage("migrate")
    cart.install("django_rewind", "shop")
    if request.param == "deleted":
        cart.delete("cart")
    return cart


def test_removed_app_is_left_alone(removed):
    """A bare `rewind` lists the migrations of a removed app and undoes none."""
    before = removed.snapshot()

    assert removed.attempt("rewind", "--check").returncode == 0
    result = removed.manage("rewind", "--noinput")

    assert "cart" in result.output
    assert removed.snapshot() == before


@pytest.mark.parametrize("args", [("cart", "zero"), ("--include-stale-apps",)])
def test_removed_app_is_undone_when_it_is_meant(removed, args):
    """Named, or with the option, the removed app is undone; it may be one of another project."""
    said = "Not installed here: cart. If another project uses this database, these are its tables"
    assert said in removed.manage("rewind", *args, "--plan").stdout
    assert said in removed.manage("rewind", *args, "--noinput").stdout

    assert "cart_line" not in removed.tables()
    assert removed.applied("cart") == []
    assert removed.applied("shop") == ["0001_initial"]


def test_removed_app_to_a_target(removed):
    """`rewind app name` goes to a target within a removed app."""
    removed.manage("rewind", "cart", "0001_initial", "--noinput")

    assert removed.applied("cart") == ["0001_initial"]
    assert "cart_line" in removed.tables()


def test_removed_app_above_what_is_undone(removed):
    """Tables of a removed app that hang on what is undone are undone first, or it is refused by name."""
    result = removed.attempt("migrate", "shop", "zero")

    assert "Traceback" not in result.output
    if result.returncode:
        assert "cart.0001_initial" in result.stderr
        assert "shop_product" in removed.tables()
    else:
        assert not {"cart_line", "shop_product"} & removed.tables()
        assert removed.applied("cart") == removed.applied("shop") == []


def test_removed_app_above_a_swappable_model(project):
    """It depends on the first migration of another app, whatever that is called, and is named."""
    project.configure(AUTH_USER_MODEL="accounts.User")
    project.app("accounts", "class User(models.Model):\n    pass\n")
    project.migration("accounts.0001_users", create("User"), initial=True)
    project.app("blog")
    project.migration(
        "blog.0001_initial",
        create("Post", author="ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)"),
    )
    text = project.read("blog/migrations/0001_initial.py")
    swappable = "dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"
    project.write("blog/migrations/0001_initial.py", text.replace("dependencies = []", swappable))
    project.manage("migrate")
    project.install("django_rewind", "accounts")
    project.delete("blog")

    project.refused("migrate", "accounts", "zero", naming=("accounts.0001_users", "blog.0001_initial"))
    project.refused("rewind", "accounts", "zero", "--noinput", naming="blog.0001_initial")
    project.manage("rewind", "blog", "zero", "--noinput")
    project.manage("migrate", "accounts", "zero")

    assert not {"accounts_user", "blog_post"} & project.tables()


def test_removed_app_whose_migration_imports_its_models(cart):
    """Models of an app that left INSTALLED_APPS do not stop its undoing."""
    cart.models(
        "cart", "class Line(models.Model):\n    product = models.ForeignKey('shop.Product', models.CASCADE)\n"
    )
    cart.migration(
        "cart.0002_note",
        add("line", "note", "CharField(max_length=9, default='')"),
        after="0001_initial",
        header="from cart.models import Line",
    )
    cart.manage("migrate")
    cart.install("django_rewind", "shop")

    result = cart.attempt("rewind", "cart", "zero", "--noinput")

    assert "Traceback" not in result.output
    if result.returncode:
        assert "cart.0002_note" in result.stderr
        assert cart.applied("cart") == ["0001_initial", "0002_note"]
    else:
        assert "cart_line" not in cart.tables()


def remake(shop: Project, name: str) -> None:
    """Make the app anew with one first migration, of the given name, for the same table."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")
    for old in ("0001_initial", "0002_price"):
        shop.delete(f"shop/migrations/{old}.py")
    shop.migration(
        f"shop.{name}",
        create("Product", name="CharField(max_length=50)", price="IntegerField(default=7)"),
        initial=True,
    )


def test_app_remade_under_the_same_name(shop):
    """An old row behind a remade 0001 is never undone by itself: its column is live."""
    remake(shop, "0001_initial")
    shop.manage("migrate")
    before = shop.snapshot()

    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("rewind", "--noinput")

    assert shop.snapshot() == before


def test_app_remade_under_a_new_name(shop):
    """Rows of the old 0001 and 0002 are never undone by themselves: their table is live."""
    remake(shop, "0001_again")
    shop.manage("migrate", "--fake-initial")
    assert "0001_again" in shop.applied("shop")
    before = shop.snapshot()

    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("rewind", "--noinput")
    shop.manage("migrate")

    assert shop.snapshot() == before


@pytest.mark.parametrize("name", ["0001_initial", "0001_again"])
def test_remade_app_to_zero(shop, name):
    """`zero` reverses the file once, and the records that it superseded go with it."""
    remake(shop, name)
    shop.manage("migrate", "--fake-initial")

    shop.manage("migrate", "shop", "zero")

    assert "shop_product" not in shop.tables()
    assert shop.applied("shop") == []


@pytest.fixture
def dangling(shop):
    """A missing migration made a model that points to one which main, without us, has taken away since."""

    def make(*operations: str, main: str) -> None:
        shop.migration("shop.0002_item", create("Item"), after="0001_initial")
        shop.commit()
        shop.manage("migrate")
        with shop.on_branch("feature"):
            for number, operation in enumerate(operations, 3):
                after = "0002_item" if number == 3 else f"000{number - 1}_refund"
                shop.migration(f"shop.000{number}_refund", operation, after=after)
            shop.manage("migrate")
        shop.migration("shop.0003_main", main, after="0002_item")
        shop.configure(DJANGO_REWIND_ENABLED=False)
        shop.manage("migrate")
        shop.configure(DJANGO_REWIND_ENABLED=True)

    return make


REFUND = create("Refund", item="ForeignKey('shop.Item', models.CASCADE, db_constraint=False)")


@pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0002")])
@pytest.mark.parametrize("main", [rename_model("Item", "Thing"), drop("Item")])
def test_model_that_main_took_away_from_a_missing_one(shop, dangling, main, args):
    """That the models as a whole contradict each other does not keep the missing one from being undone."""
    dangling(REFUND, main=main)

    shop.manage(*args)

    assert "shop_refund" not in shop.tables()
    kept = ["0003_main"] if args[0] == "rewind" else []
    assert shop.applied("shop") == ["0001_initial", "0002_item", *kept]
    assert ("shop_item" in shop.tables()) is not kept


@pytest.mark.parametrize(
    "later",
    [
        add("refund", "other", "ForeignKey('shop.Item', models.CASCADE, null=True, db_constraint=False)"),
        add("refund", "items", "ManyToManyField('shop.Item', related_name='+')"),
        create("Basket", items="ManyToManyField('shop.Item', related_name='+')"),
        remove("refund", "item"),
        drop("Refund"),
    ],
)
def test_field_that_points_to_what_main_took_away(shop, dangling, later):
    """What the database could not undo alone is refused before the step behind it is undone."""
    dangling(REFUND, later, create("Last"), main=rename_model("Item", "Thing"))

    takes_away = "Remove" in later or "Delete" in later
    shop.refused(
        "rewind",
        "--noinput",
        naming=("shop.0004_refund", "shop.0003_refund" if takes_away else "shop.0003_main"),
    )
    if "ManyToMany" not in later:
        # A renaming with us away has left the columns of a many-to-many table alone.
        shop.manage("migrate", "shop", "0002")
        assert shop.applied("shop") == ["0001_initial", "0002_item"]


def test_removed_app_whose_model_points_to_a_renamed_one(cart):
    """What is recommended when the rest of the project stands in the way works."""
    cart.manage("migrate")
    cart.delete("cart")
    cart.install("django_rewind", "shop")
    cart.models("shop", "class Item(models.Model):\n    name = models.CharField(max_length=50)\n")
    cart.migration("shop.0002_item", rename_model("Product", "Item"), after="0001_initial")
    cart.manage("migrate")
    cart.refused("migrate", "shop", "zero", naming="rewind cart zero")

    cart.manage("rewind", "cart", "zero", "--noinput")

    assert "cart_line" not in cart.tables()
    cart.manage("migrate", "shop", "zero")
    assert not {"shop_item", "shop_product"} & cart.tables()


def test_a_model_that_is_swapped_in_late(project):
    """No order of migrations makes its table below what is applied: Django says so, and `rewind` refuses by name."""
    project.install("django.contrib.contenttypes", "django.contrib.auth", *project.installed)
    project.app("blog")
    project.migration(
        "blog.0001_initial", create("Post", author="ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)")
    )
    text = project.read("blog/migrations/0001_initial.py")
    swappable = "dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"
    project.write("blog/migrations/0001_initial.py", text.replace("dependencies = []", swappable))
    project.manage("migrate")
    user = "from django.contrib.auth.models import AbstractUser\n\nclass User(AbstractUser):\n    pass\n"
    project.app("accounts", user)
    project.migration("accounts.0001_initial", create("User"), initial=True)
    project.configure(AUTH_USER_MODEL="accounts.User")

    assert "InconsistentMigrationHistory" in project.attempt("migrate").stderr
    for options in ((), ("--plan",)):
        project.refused(
            *("rewind", "--adopt", "--migrate", "--noinput", *options),
            naming=("blog.0001_initial", "accounts.0001_initial", "AUTH_USER_MODEL"),
        )


@pytest.fixture
def excluding(shop):
    """Main, without us, has given a base the field that a missing migration gave its child."""
    parent = "models.OneToOneField('shop.Product', models.CASCADE, parent_link=True, primary_key=True)"
    book = f"migrations.CreateModel('Book', [('product_ptr', {parent})], bases=('shop.product',))"
    shop.migration("shop.0002_book", book, after="0001_initial")
    shop.commit()
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_price", add("book", "price", "IntegerField(default=7)"), after="0002_book")
        shop.manage("migrate")
    shop.migration("shop.0003_main", add("product", "price", "IntegerField(default=9)"), after="0002_book")
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.manage("migrate")
    shop.configure(DJANGO_REWIND_ENABLED=True)
    return shop


def test_model_that_cannot_be_rendered_on_the_way(excluding):
    """Where both go, their states meet, and Django could not render that: it is said by name, and nothing is changed."""
    before = excluding.schema(), excluding.applied("shop")

    result = excluding.refused("migrate", "shop", "0002", naming="shop.0003_main fails with FieldError")

    assert "Nothing has been changed." in result.stderr
    assert (excluding.schema(), excluding.applied("shop")) == before


def test_model_that_clashes_with_what_stays(excluding):
    """What stays and cannot be rendered beside it shares no table with it."""
    excluding.manage("rewind", "--noinput")

    assert excluding.applied("shop") == ["0001_initial", "0002_book", "0003_main"]
    assert "price" not in excluding.columns("shop_book")
    assert "price" in excluding.columns("shop_product")


BOTH_MAKE = create("Return")


@pytest.fixture
def half_taken_over(shop):
    """Main has made one of feature's two models by itself, and somebody has faked that away."""
    shop.commit()
    with shop.on_branch("feature"):
        price = add("product", "price", "IntegerField(default=7)")
        shop.migration("shop.0002_feature", BOTH_MAKE, create("Extra"), price, after="0001_initial")
        shop.migration("shop.0003_more", create("Cart"), after="0002_feature")
        shop.manage("migrate")
    shop.migration("shop.0002_main", BOTH_MAKE, after="0001_initial")
    shop.manage("migrate", "--fake")
    return shop


def test_a_record_goes_only_with_all_that_it_stands_for(half_taken_over):
    """What no file has taken over would be left without a record, so it is said and nothing is done."""
    shop = half_taken_over

    shop.refused("migrate", "shop", "0001", naming="shop.0002_feature")
    result = shop.refused("rewind", "shop", "0001", "--noinput", naming="shop.0002_feature")
    assert "the table 'shop_extra'" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_feature", "0003_more", "0002_main"]


def test_what_was_dropped_by_hand_is_not_waited_for(half_taken_over):
    """The advice works as it is printed, step by step."""
    shop = half_taken_over
    shop.execute("DROP TABLE shop_extra")
    shop.refused("migrate", "shop", "0001", naming="the column 'price' of 'shop_product'")
    shop.execute("ALTER TABLE shop_product DROP COLUMN price")

    # What feature built on top of it has a table of its own, and goes from stored code.
    shop.manage("migrate", "shop", "0001")

    assert shop.applied("shop") == ["0001_initial"]
    assert {table for table in shop.tables() if table.startswith("shop_")} == {"shop_product"}


def test_a_column_goes_with_its_table(half_taken_over):
    """All the way back only the tables of feature would be left."""
    shop = half_taken_over
    shop.execute("DROP TABLE shop_extra")

    shop.manage("migrate", "shop", "zero")

    assert shop.applied("shop") == []
    assert not {table for table in shop.tables() if table.startswith("shop_")}


def test_only_records_are_forgotten(half_taken_over):
    """A fake run touches no table, and is asked for by name."""
    shop = half_taken_over

    shop.manage("migrate", "shop", "0001", "--fake")

    assert shop.applied("shop") == ["0001_initial"]
    assert {"shop_extra", "shop_cart", "shop_return"} <= shop.tables()
