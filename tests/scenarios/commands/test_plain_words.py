"""What keeps a command from its work is said in plain words: no such database, no tables, no such migration."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.deep

COMMANDS = [
    ["show_stored_migrations", "--source", "shop.0001"],
    ["show_stored_migrations", "--history", "shop.0001"],
    ["verify_migrations"],
    ["verify_migrations", "--sign"],
    ["restore_migrations"],
    ["backfill_migration_code"],
    ["prune_migration_code", "--before", "2020-01-01"],
    ["rewind", "--plan"],
    ["rewind", "--check"],
    ["rewind", "--noinput"],
    ["rewind", "--redo", "shop.0001"],
]


def test_unknown_database(shop):
    """Those that there are, are named."""
    for command in COMMANDS:
        shop.refused(
            *command, "--database", "elsewhere", naming="no database 'elsewhere'. Configured: default"
        )


def test_no_tables_yet(new_shop):
    """The command that makes them is named."""
    for command in COMMANDS:
        new_shop.refused(*command, naming="run 'manage.py migrate --database default' first")
    new_shop.manage("migrate")


def test_kept_out_by_a_router(new_shop):
    """There `migrate` makes no tables, and is not all that is named."""
    new_shop.write(
        "routers.py",
        "class Router:\n    def allow_migrate(self, db, app_label, **hints):\n        return app_label != 'django_rewind'\n",
    )
    new_shop.configure(DATABASE_ROUTERS=["routers.Router"])
    new_shop.manage("migrate")

    for command in COMMANDS:
        new_shop.refused(*command, naming="router keeps the table")
    new_shop.manage("show_stored_migrations")


def test_every_way_to_name_a_migration(left):
    """In one word or two, as a whole or by its beginning."""
    for name in (["shop.0002"], ["shop", "0002"], ["shop.0002_price"], ["shop", "0002_price"]):
        assert "0002_price" in left.manage("show_stored_migrations", *name).stdout
        left.manage("verify_migrations", *name)
        assert "0002_price" in left.manage("restore_migrations", "--plan", *name).stdout
        left.manage("backfill_migration_code", *name)
        left.manage("prune_migration_code", *name, "--before", "2020-01-01", "--noinput")
        left.manage("rewind", "--plan", *name)
    left.refused("backfill_migration_code", "shop.9", naming="shop")
    assert "Undo Add field price" in left.manage("rewind", "--plan", "shop.0001").stdout


def test_changed_source_without_a_file(left):
    """There is no file to be taken: git is what is left, and need not hold what was applied."""
    changed = (
        "UPDATE django_migrations_code SET source_code = source_code || '# more' WHERE migration_name = %s"
    )
    if left.db().vendor == "mysql":
        changed = changed.replace("source_code || '# more'", "CONCAT(source_code, '# more')")
    left.execute(changed, "0002_price")
    command = "manage.py backfill_migration_code shop 0002_price"

    result = left.refused("rewind", "--noinput", naming=f"'{command} --from-git'")
    assert "takes the file" not in result.stderr

    left.manage(*command.split()[1:], "--from-git", answer="yes")
    left.manage("rewind", "shop", "0001", "--noinput")
    assert left.applied("shop") == ["0001_initial"]
