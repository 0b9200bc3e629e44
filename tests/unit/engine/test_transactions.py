"""What cannot be one transaction is named, and what is one leaves the connection as it was."""

from __future__ import annotations

import pytest
from django.db import connection, migrations

from django_rewind.engine.transactions import Whole, check_atomic
from django_rewind.exceptions import AtomicNotPossible, RewindInterrupted
from tests.support.fixtures import add, create, in_memory


class Connection:
    alias = "default"
    vendor = "sample"
    display_name = "Sample"

    class features:
        can_rollback_ddl = True


class OldSQLite(Connection):
    class features:
        can_rollback_ddl = True
        supports_atomic_references_rename = False


class Concurrently(migrations.RunSQL):
    def _ensure_not_in_transaction(self, schema_editor):
        raise RuntimeError


REFUSES = Concurrently("SELECT 1")
RENAMES = migrations.RenameModel("Cart", "Till")


@pytest.mark.parametrize(
    "where, step",
    [
        (Connection, in_memory("shop.0002_x", add("cart", "x"), atomic=False)),
        (Connection, in_memory("shop.0002_x", REFUSES)),
        (Connection, in_memory("shop.0002_x", migrations.SeparateDatabaseAndState([REFUSES], []))),
        (OldSQLite, in_memory("shop.0002_x", RENAMES)),
        (OldSQLite, in_memory("shop.0002_x", migrations.RenameField("cart", "a", "b"))),
        (OldSQLite, in_memory("shop.0002_x", migrations.AlterModelTable("cart", "till"))),
    ],
)
def test_refused(where, step):
    """The step is named."""
    with pytest.raises(AtomicNotPossible, match=r"shop\.0002_x") as refused:
        check_atomic(where, [in_memory("shop.0001_y", create("Cart")), step])
    assert refused.value.key == ("shop", "0002_x")


@pytest.mark.parametrize(
    "where, operation",
    [(Connection, RENAMES), (OldSQLite, add("cart", "x")), (Connection, migrations.RunSQL("SELECT 1"))],
)
def test_not_refused(where, operation):
    """What goes within a transaction."""
    check_atomic(where, [in_memory("shop.0002_x", operation)])


def test_of_postgresql():
    """The operations of django.contrib.postgres that refuse a transaction are known by their mark."""
    operations = pytest.importorskip("django.contrib.postgres.operations")
    for name in ("AddIndexConcurrently", "RemoveIndexConcurrently"):
        assert hasattr(getattr(operations, name), "_ensure_not_in_transaction")


@pytest.mark.django_db(transaction=True)
def test_whole():
    """Afterwards comes after the commit, and not at all when everything was taken back."""
    if not connection.features.can_rollback_ddl:
        pytest.skip("takes back no schema change")
    told = []

    def run(error=None):
        whole = Whole(connection)
        whole.afterwards(lambda: told.append(connection.in_atomic_block))
        with whole.run("rewind"):
            assert connection.in_atomic_block
            whole.at = ("shop", "0002_x")
            if error:
                raise error

    run()
    with pytest.raises(RewindInterrupted, match=r"interrupted at shop.0002_x.\nEverything has been") as stop:
        run(KeyboardInterrupt())

    assert stop.value.returncode == 130
    assert told == [False]
    assert not connection.in_atomic_block
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            assert cursor.execute("PRAGMA foreign_keys").fetchone() == (1,)
