"""
A missing migration above one that is not rolled back by itself: of a stale app, disabled, recreated, found later.

What is skipped is still an applied node. The schema afterwards is the one that Django makes with the files there.
"""

from __future__ import annotations

import pytest

from tests.support.helpers import add, alter, create

TAG = create("Tag", label="CharField(max_length=20, default='')")
TO_TAG = add("product", "tag", "ForeignKey('tags.Tag', models.CASCADE, null=True)")
STAGING = ("rewind", "--migrate", "--adopt", "--noinput", "--allow-data-loss")
BACK = pytest.mark.parametrize("args", [("rewind", "--noinput"), ("migrate", "shop", "0001"), STAGING])


@pytest.fixture(params=["stale", "stale-and-deleted", "disabled"])
def tagged(shop, request):
    """Feature has the app tags, of which main knows nothing, or whose migrations it disables."""
    shop.commit()
    shop.branch("feature")
    shop.app("tags")
    shop.migration("tags.0001_initial", TAG)
    shop.migration("tags.0002_note", add("tag", "note", "IntegerField(default=1)"), after="0001_initial")
    shop.migration("shop.0002_tag", TO_TAG, after=["0001_initial", "tags.0002_note"])
    shop.manage("migrate")
    shop.execute("INSERT INTO tags_tag (label, note) VALUES ('new', 4)")
    shop.commit()
    shop.switch("main")
    if request.param == "disabled":
        shop.app("tags", "class Tag(models.Model):\n    label = models.CharField(max_length=20)\n")
        shop.configure(MIGRATION_MODULES={"tags": None})
    elif request.param == "stale":
        shop.migration("tags.0001_initial", TAG)
        shop.write("tags/__init__.py", "")
        shop.write("tags/migrations/__init__.py", "")
        shop.install("django_rewind", "shop")
    else:
        shop.install("django_rewind", "shop")
    return shop


@BACK
def test_what_it_stands_on_stays(tagged, args):
    """It alone is rolled back; tables, rows and records of the other app are as they were."""
    shop = tagged
    assert shop.attempt("rewind", "--check").returncode == 1

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.rows("SELECT label, note FROM tags_tag") == [("new", 4)]
    assert shop.applied("tags") == ["0001_initial", "0002_note"]
    assert shop.attempt("rewind", "--check").returncode == 0
    shop.manage("migrate")


def test_forward_beside_it(tagged):
    """A migration of main is applied, and what feature made stays, with its data."""
    shop = tagged
    shop.execute("INSERT INTO shop_product (name, tag_id) VALUES ('Tea', 1)")
    shop.migration(
        "shop.0002_name", alter("product", "name", "CharField(max_length=70)"), after="0001_initial"
    )

    shop.manage("migrate")

    assert shop.rows("SELECT name, tag_id FROM shop_product") == [("Tea", 1)]
    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.rows("SELECT name FROM shop_product") == [("Tea",)]
    assert shop.applied("shop") == ["0001_initial", "0002_name"]


def test_what_the_checks_say_works(tagged):
    """The command that a check or the hook names is one that goes through."""
    result = tagged.attempt("check", "--database", "default")

    assert "shop.0002_tag" in result.output
    assert "cannot be recovered" not in result.output
    assert "include-stale-apps" not in result.output


def test_what_stands_on_it_in_a_stale_app_is_not_rolled_back_unasked(shop):
    """That is said by name, with commands that work."""
    shop.commit()
    shop.branch("feature")
    shop.app("tags")
    shop.migration("tags.0001_initial", TAG)
    shop.migration("shop.0002_tag", TO_TAG, after=["0001_initial", "tags.0001_initial"])
    shop.migration(
        "tags.0002_shop",
        add("tag", "weight", "IntegerField(default=1)"),
        after=["0001_initial", "shop.0002_tag"],
    )
    shop.manage("migrate")
    shop.commit()
    shop.switch("main")
    shop.install("django_rewind", "shop")

    for command in (("rewind", "--noinput"), ("migrate", "shop", "0001")):
        shop.refused(*command, naming=("tags.0002_shop", "rewind tags zero", "--include-stale-apps"))
    shop.manage("migrate")
    shop.manage("rewind", "--include-stale-apps", "--noinput")
    assert shop.applied("tags") == []
    assert "tags_tag" not in shop.tables()
    assert shop.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize("which", ["__first__", "__latest__"])
@BACK
def test_a_parent_without_a_name(shop, which, args):
    """Django's `__first__` and `__latest__` mean what was applied, also where that app is not known any more."""
    shop.commit()
    shop.branch("feature")
    shop.app("tags")
    shop.migration("tags.0001_initial", TAG)
    shop.migration("tags.0002_note", add("tag", "note", "IntegerField(default=1)"), after="0001_initial")
    shop.manage("migrate", "tags")
    shop.migration("shop.0002_tag", TO_TAG, after=["0001_initial", f"tags.{which}"])
    shop.manage("migrate")
    shop.commit()
    shop.switch("main")
    shop.install("django_rewind", "shop")

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.applied("tags") == ["0001_initial", "0002_note"]


@BACK
def test_run_before_of_what_stays(shop, args):
    """What a migration of a stale app had to run before is still rolled back after it would be."""
    shop.commit()
    shop.branch("feature")
    shop.app("tags")
    shop.migration("tags.0001_initial", TAG, run_before="shop.0002_tag")
    shop.migration("shop.0002_tag", TO_TAG, after="0001_initial")
    shop.manage("migrate")
    shop.commit()
    shop.switch("main")
    shop.install("django_rewind", "shop")

    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("tags") == ["0001_initial"]


@BACK
def test_above_one_that_was_found_later(shop, args):
    """It was missing before install, and its source was found in Git since: a bare rewind does not execute it."""
    shop.configure(INSTALLED_APPS=["shop", "tags"])
    shop.execute("DELETE FROM django_migrations WHERE app = 'django_rewind'")
    for table in shop.tables():
        if table.startswith("django_migrations_") or table == "django_migrations_code":
            shop.execute(f"DROP TABLE {table}")
    shop.commit()
    shop.branch("feature")
    shop.app("tags")
    shop.migration("tags.0001_initial", TAG)
    shop.configure(INSTALLED_APPS=["shop", "tags"])
    shop.manage("migrate")
    shop.commit()
    for name in ("tags/migrations/0001_initial.py",):
        shop.delete(name)
    shop.commit()
    shop.configure(INSTALLED_APPS=["django_rewind", "shop", "tags"])
    shop.manage("migrate")
    shop.manage("backfill_migration_code", "--from-git")
    shop.manage("verify_migrations", "--sign", "tags", answer="yes")
    # On its branch the file is there again, and something stands on it.
    shop.migration("tags.0001_initial", TAG)
    shop.migration("shop.0002_tag", TO_TAG, after=["0001_initial", "tags.0001_initial"])
    shop.manage("migrate")
    shop.delete("tags/migrations/0001_initial.py")
    shop.delete("shop/migrations/0002_tag.py")

    if args[0] == "rewind":
        shop.refused(*args, naming=("tags.0001_initial", "found in Git"))
        args = ("rewind", "shop", "0001", "--noinput")
    shop.manage(*args)

    assert shop.columns("shop_product") == {"id", "name"}
    assert shop.applied("shop") == ["0001_initial"]
    assert shop.applied("tags") == ["0001_initial"]
