"""
Migrations that another file, or Django's own, makes the same table as: recreated. What stands on them does not.

A recreated migration is never rolled back by itself, and it can be the target.
"""

from __future__ import annotations

import pytest

from tests.support.helpers import add, alter, create, python, rename_field

PRICE = add("product", "price", "IntegerField(default=7)")
STOCK = add("product", "stock", "IntegerField(default=3)")
NOTE = "CharField(max_length=9, default='')"
NAME = {"name": "CharField(max_length=50)"}


def back(*target: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "args",
        [
            ("rewind", "--noinput", "--allow-data-loss"),
            ("rewind", *target, "--noinput", "--allow-data-loss"),
            ("migrate", *target),
            ("rewind", "--migrate", "--adopt", "--noinput", "--allow-data-loss"),
        ],
    )


@pytest.fixture
def remade(shop):
    """Main made its first migration anew; feature's migrations stand on the old one, and on its second."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.migration("shop.0003_stock", STOCK, after="0002_price")
        shop.migration("shop.0004_box", create("Box"), after="0003_stock")
        shop.migration(
            "shop.0005_noop",
            python("migrations.RunPython.noop", "migrations.RunPython.noop"),
            after="0004_box",
        )
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (name, price, stock) VALUES ('Tea', 42, 4)")
    for name in ("0001_initial", "0002_price"):
        shop.delete(f"shop/migrations/{name}.py")
    shop.migration(
        "shop.0001_again", create("Product", **NAME, price="IntegerField(default=7)"), initial=True
    )
    shop.manage("migrate", "--fake-initial")
    assert "0001_again" in shop.applied("shop")
    return shop


@back("shop", "0002_price")
def test_what_stands_on_an_app_that_was_remade(remade, args):
    """Its column and its table go; the table that the new file stands for keeps its rows."""
    shop = remade
    assert shop.attempt("rewind", "--check").returncode == 1

    shop.manage(*args)

    assert shop.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert shop.columns("shop_product") == {"id", "name", "price"}
    assert "shop_box" not in shop.tables()
    assert shop.applied("shop") == ["0001_initial", "0002_price", "0001_again"]
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("migrate", "shop", "zero")
    assert shop.applied("shop") == []


def test_all_of_an_app_that_was_remade(remade):
    """What stands on the old migrations goes before the new one, and the old records go with that."""
    remade.manage("migrate", "shop", "zero")

    assert not {table for table in remade.tables() if table.startswith("shop_")}
    assert remade.applied("shop") == []


def test_forward_on_an_app_that_was_remade(remade):
    """A rebuilt table keeps the columns of what stands on the old migrations."""
    remade.migration(
        "shop.0002_name", alter("product", "name", "CharField(max_length=70)"), after="0001_again"
    )

    remade.manage("migrate")

    assert remade.rows("SELECT name, price, stock FROM shop_product") == [("Tea", 42, 4)]
    remade.manage("rewind", "--noinput", "--allow-data-loss")
    assert remade.rows("SELECT name, price FROM shop_product") == [("Tea", 42)]
    assert remade.columns("shop_product") == {"id", "name", "price"}


@pytest.fixture
def own_user(project):
    """Feature has a user model of its own, over the table of Django's, with a column and a profile of its own."""
    project.install("django_rewind", "django.contrib.contenttypes", "django.contrib.auth")
    project.manage("migrate")
    project.commit()
    project.branch("feature")
    project.app("accounts")
    fields = {
        "password": "CharField(max_length=128)",
        "last_login": "DateTimeField(null=True)",
        "is_superuser": "BooleanField(default=False)",
        "username": "CharField(max_length=150, unique=True)",
        "first_name": "CharField(max_length=150)",
        "last_name": "CharField(max_length=150)",
        "email": "CharField(max_length=254)",
        "is_staff": "BooleanField(default=False)",
        "is_active": "BooleanField(default=True)",
        "date_joined": "DateTimeField()",
    }
    columns = ", ".join(f"('{name}', models.{field})" for name, field in fields.items())
    user = f"migrations.CreateModel('User', [('id', models.AutoField(primary_key=True)), {columns}], {{'db_table': 'auth_user'}})"
    project.migration("accounts.0001_initial", user, after="auth.0012_alter_user_first_name_max_length")
    project.manage("migrate", "--fake")
    project.migration("accounts.0002_phone", add("user", "phone", NOTE), after="0001_initial")
    profile = create("Profile", user="ForeignKey('accounts.User', models.CASCADE)")
    project.migration("accounts.0003_profile", profile, after="0002_phone")
    project.manage("migrate")
    project.execute(
        "INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined, phone)"
        " VALUES ('x', false, 'ann', 'A', 'B', 'c', false, true, '2026-01-01 00:00:00', '1')"
    )
    project.commit()
    project.switch("main")
    return project


@pytest.mark.parametrize("is_installed", [True, False], ids=["installed", "stale"])
@pytest.mark.parametrize(
    "args",
    [
        ("rewind", "accounts", "0001", "--noinput", "--allow-data-loss"),
        ("migrate", "accounts", "0001"),
        ("rewind", "--noinput", "--allow-data-loss"),
    ],
)
def test_a_user_model_over_the_table_of_another(own_user, args, is_installed):
    """What it added goes, and the users stay; of an app that is not installed, when it is named."""
    project = own_user
    if is_installed:
        project.app("accounts")
    else:
        project.install(*(app for app in project.installed if app != "accounts"))
        if args[0] == "migrate":
            pytest.skip("Django's migrate knows installed apps alone.")

    project.manage(*args)

    if is_installed or "accounts" in args:
        assert "phone" not in project.columns("auth_user")
        assert "accounts_profile" not in project.tables()
        assert project.applied("accounts") == ["0001_initial"]
    assert project.rows("SELECT username FROM auth_user") == [("ann",)]
    project.manage("migrate")


@back("catalog", "0001")
def test_a_model_that_was_moved_by_its_table(shop, args):
    """Feature moved a model to another app, over the same table, and gave it a column there."""
    shop.commit()
    with shop.on_branch("feature"):
        shop.app("catalog")
        moved = f"migrations.CreateModel('Product', [('id', models.AutoField(primary_key=True)), ('name', models.{NAME['name']})], {{'db_table': 'shop_product'}})"
        shop.migration("catalog.0001_initial", moved, after="shop.0001_initial")
        shop.manage("migrate", "catalog", "--fake")
        shop.migration("catalog.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.app("catalog")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 42)")

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
    assert shop.applied("catalog") == ["0001_initial"]


@back("shop", "0002_feature")
def test_what_was_made_by_both_with_more_on_each_side(shop, args):
    """The columns that main gave to a table that both have made are known while feature's go."""
    shop.commit()
    back_made = create("Return", note=NOTE)
    with shop.on_branch("feature"):
        shop.migration("shop.0002_feature", back_made, after="0001_initial")
        shop.migration(
            "shop.0003_code", add("return", "code", "IntegerField(default=1)"), after="0002_feature"
        )
        shop.commit()
    shop.migration("shop.0002_main", back_made, after="0001_initial")
    shop.migration("shop.0003_main", add("return", "count", "IntegerField(default=2)"), after="0002_main")
    shop.manage("migrate")
    with shop.on_branch("feature"):
        shop.manage("migrate", "shop", "0002_feature", "--fake")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_return (note, code, count) VALUES ('late', 1, 5)")

    shop.manage(*args)

    assert shop.rows("SELECT note, count FROM shop_return") == [("late", 5)]
    assert shop.columns("shop_return") == {"id", "note", "count"}
    assert shop.applied("shop") == ["0001_initial", "0002_main", "0003_main", "0002_feature"]


@pytest.mark.parametrize("in_one", [True, False])
def test_a_column_that_got_the_name_of_one_that_was_renamed(shop, in_one):
    """Rolled back, the file's column has its name again: neither was recreated."""
    add_and_rename = add("product", "label", NOTE), rename_field("product", "label", "name")
    with shop.on_branch("feature"):
        first = (add_and_rename[0], rename_field("product", "name", "title"))
        if in_one:
            shop.migration("shop.0002_label", *first, add_and_rename[1], after="0001_initial")
        else:
            shop.migration("shop.0002_label", *first, after="0001_initial")
            shop.migration("shop.0003_label", add_and_rename[1], after="0002_label")
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (title, name) VALUES ('Tea', 'green')")
    alter_name = alter("product", "name", "CharField(max_length=60)")
    shop.migration("shop.0002_alter", alter_name, after="0001_initial")

    shop.manage("rewind", "--migrate", "--noinput", "--allow-data-loss")

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
    assert shop.applied("shop") == ["0001_initial", "0002_alter"]
