"""Django's loader, plus what is applied and has no file."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.exceptions import AmbiguityError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from django_rewind.engine.loader import DiskMigrations, RewindLoader
from django_rewind.exceptions import NotRecoverable
from django_rewind.models import MigrationCode
from django_rewind.sources.recovered import RecoveredMigration
from django_rewind.utils.types import APP_LABEL
from tests.support.fixtures import applied, chain_of_three, columns, in_memory, migrate, store_anew
from tests.support.helpers import create

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def shop(app):
    """A chain of three, applied; tests delete files of it."""
    return chain_of_three(app)


def loader() -> RewindLoader:
    return MigrationExecutor(connection).loader


def test_with_nothing_missing_it_is_djangos(shop, django_assert_num_queries):
    """Nothing is recovered, and the store is not asked."""
    with django_assert_num_queries(2):
        found = loader()
    assert found.recovered == {}
    assert not found.has_missing
    assert type(found.disk_migrations) is dict


def test_what_is_missing_is_a_node(shop):
    """With its parents and children, and not loaded."""
    shop.delete("0002_a", "0003_b")
    found = loader()
    assert set(found.recovered) == {shop.key("0002_a"), shop.key("0003_b")}
    node = found.graph.nodes[shop.key("0003_b")]
    assert isinstance(node, RecoveredMigration)
    assert not node.is_loaded
    assert [one.key for one in found.graph.node_map[shop.key("0003_b")].parents] == [shop.key("0002_a")]


def test_an_app_without_any_file_can_be_migrated_back(shop):
    """It still counts as one with migrations."""
    shop.delete("0001_initial", "0002_a", "0003_b")
    assert "shop" in loader().migrated_apps


def test_a_prefix_finds_files_first(shop):
    """A missing one with the same number does not make it ambiguous."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0002_other", after="0001_initial")
    assert loader().get_migration_by_prefix("shop", "0002").name == "0002_other"
    assert loader().get_migration_by_prefix("shop", "0002_a").name == "0002_a"
    assert loader().get_migration_by_prefix("shop", "0003").name == "0003_b"


def test_a_prefix_of_two_missing_ones_is_ambiguous(shop):
    """In Django's words."""
    shop.delete("0003_b")
    shop.migration("0003_c", after="0002_a")
    migrate("shop", "0003_c")
    shop.delete("0003_c")
    found = loader()
    with pytest.raises(AmbiguityError, match="more than one migration for 'shop' with the prefix '0003'"):
        found.get_migration_by_prefix("shop", "0003")


def test_a_prefix_of_nothing_is_djangos_error(shop):
    """Whoever asks for it knows what to do with it."""
    shop.delete("0003_b")
    with pytest.raises(KeyError):
        loader().get_migration_by_prefix("shop", "0009")


def test_a_prefix_of_what_cannot_be_recovered_says_why(shop):
    """Rather than that it does not exist."""
    shop.delete("0003_b")
    MigrationCode.objects.filter(app_label="shop", migration_name="0003_b").delete()
    with pytest.raises(NotRecoverable, match=r"shop\.0003_b.* is not stored"):
        loader().get_migration_by_prefix("shop", "0003")


def test_missing_ones_are_no_conflict(shop):
    """A branch with its own 0002 can migrate."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0002_other", after="0001_initial")
    assert loader().detect_conflicts() == {}


def test_files_in_conflict_are_in_conflict(shop):
    """As without us, whatever is missing."""
    shop.delete("0002_a", "0003_b")
    shop.migration("0002_other", after="0001_initial")
    shop.migration("0002_another", after="0001_initial")
    assert loader().detect_conflicts() == {"shop": ["0002_another", "0002_other"]}


def test_a_file_that_is_gone_from_the_middle_is_no_conflict(shop):
    """The last one is reached through what was recovered."""
    shop.delete("0002_a")
    found = loader()
    assert set(found.recovered) == {shop.key("0002_a")}
    assert found.detect_conflicts() == {}


def test_the_state_of_everything_is_that_of_the_disk(shop):
    """`migrate` compares it with the models."""
    shop.delete("0003_b")
    assert set(loader().project_state().models["shop", "product"].fields) == {"id", "a"}


def test_prune_sees_what_has_a_file(shop):
    """Going through the migrations on disk shows no recovered one."""
    shop.delete("0003_b")
    found = loader()
    assert shop.key("0003_b") not in found.disk_migrations
    assert shop.key("0003_b") not in set(found.disk_migrations)
    assert found.disk_migrations[shop.key("0003_b")] is found.recovered[shop.key("0003_b")]


def test_the_mapping_shows_the_disk_and_finds_both():
    """Its iteration, length and membership are those of the disk, its look-ups are not."""
    one, other = in_memory("shop.0001"), in_memory("shop.0002")
    found = DiskMigrations({("shop", "0001"): one}, {("shop", "0002"): other})
    assert (list(found), len(found), list(found.values())) == ([("shop", "0001")], 1, [one])
    assert found[("shop", "0001")] is found.get(("shop", "0001")) is one
    assert found[("shop", "0002")] is found.get(("shop", "0002")) is other
    assert found.get(("shop", "0003")) is None
    assert found.get(("shop", "0003"), 5) == 5
    with pytest.raises(KeyError):
        found[("shop", "0003")]


def test_what_depends_on_the_unapplied_stays_out(shop):
    """It would break states and trip `check_consistent_history`."""
    shop.delete("0003_b")
    MigrationRecorder(connection).record_unapplied("shop", "0002_a")
    found = loader()
    assert found.recovered == {}
    assert "depends on shop.0002_a, which is not applied" in found.unusable[shop.key("0003_b")].reason
    found.check_consistent_history(connection)


def test_what_does_not_verify_stays_out(shop):
    """With the reason, and without what hangs on it."""
    shop.delete("0002_a", "0003_b")
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").update(signature="0" * 64)
    found = loader()
    assert found.recovered == {}
    assert "changed after it was signed" in found.unusable[shop.key("0002_a")].reason
    assert "cannot be recovered" in found.unusable[shop.key("0003_b")].reason


def test_one_that_does_not_fit_takes_no_other_with_it(shop):
    """It alone is left out, with what hangs on it, and it is the one that is blamed."""
    shop.migration("0004_c", after="0003_b", run_before=[shop.key("0005_d")])
    shop.migration("0005_d", after="0003_b")
    shop.migration("0006_e", after="0004_c")
    shop.migration("0007_f", after="0005_d")
    shop.migration("0008_g", dependencies=[shop.key("0006_e"), shop.key("0007_f")])
    migrate("shop")
    shop.delete("0004_c", "0006_e", "0007_f", "0008_g")
    shop.migration("0001_initial", create("Product"), dependencies=[shop.key("0005_d")])
    shop.migration("0005_d")
    found = loader()
    assert set(found.recovered) == {shop.key("0007_f")}
    assert set(found.unusable) == {shop.key(name) for name in ("0004_c", "0006_e", "0008_g")}
    assert "does not fit into the graph" in found.unusable[shop.key("0004_c")].reason
    assert "depends on shop.0004_c" in found.unusable[shop.key("0006_e")].reason
    assert set(found.disk_migrations) >= {shop.key("0003_b"), shop.key("0005_d")}
    assert shop.key("0004_c") not in found.graph.nodes


def test_what_fits_nowhere_is_left_out_as_a_whole(shop):
    """Where no single one is to blame."""
    for name in ("0004_c", "0005_d"):
        shop.migration(name, after="0003_b", run_before=[shop.key("0006_e")])
    shop.migration("0006_e", after="0003_b")
    migrate("shop")
    shop.delete("0004_c", "0005_d")
    shop.migration("0001_initial", create("Product"), dependencies=[shop.key("0006_e")])
    shop.migration("0006_e")
    found = loader()
    assert found.recovered == {}
    assert set(found.unusable) == {shop.key("0004_c"), shop.key("0005_d")}
    assert shop.key("0003_b") in found.graph.nodes


def test_nothing_stored_is_executed(shop):
    """Graph, plan, conflicts and prefixes need no code."""
    shop.delete("0002_a", "0003_b")
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan([shop.key("0001_initial")])
    assert [(one.name, backwards) for one, backwards in plan] == [("0003_b", True), ("0002_a", True)]
    assert not [one for one, _ in plan if one.is_loaded]


def test_what_is_missing_can_be_gone_back_over(shop):
    """The columns go and the records with them."""
    shop.delete("0002_a", "0003_b")
    migrate("shop", "0001")
    assert applied("shop") == ["0001_initial"]
    assert columns("shop_product") == {"id"}


def test_what_is_undone_is_read_in_one_query(shop):
    """However many there are: their texts are asked for together."""
    shop.delete("0002_a", "0003_b")
    with CaptureQueriesContext(connection) as queries:
        migrate("shop", "0001")
    texts = [one for one in queries if "source_code" in one["sql"] and one["sql"].startswith("SELECT")]
    assert len(texts) == 1
    assert applied("shop") == ["0001_initial"]


def test_the_highest_id_stands_for_a_squash(shop):
    """In the order of application it is as late as the last that it replaces."""
    shop.migration(
        "0001_squashed",
        create("Product", a="TextField(null=True)", b="TextField(null=True)"),
        replaces=[shop.key(name) for name in ("0001_initial", "0002_a", "0003_b")],
    )
    ids = loader().record_ids
    assert ids[shop.key("0001_squashed")] == ids[shop.key("0003_b")]


def test_while_ours_are_not_applied_the_rest_waits_for_them():
    """So that whatever comes next is captured; what is applied already does not wait."""
    MigrationRecorder(connection).record_unapplied("auth", "0012_alter_user_first_name_max_length")
    records = MigrationRecorder.Migration.objects.filter(app=APP_LABEL)
    ours = list(records.order_by("id").values())
    records.delete()
    try:
        found = loader()
        newest = found.graph.leaf_nodes(APP_LABEL)[0]
        waiting = {child.key for child in found.graph.node_map[newest].children}
        assert waiting == {("auth", "0012_alter_user_first_name_max_length")}
        assert not found.has_all_of_ours
    finally:
        MigrationRecorder(connection).record_applied("auth", "0012_alter_user_first_name_max_length")
        for values in ours:
            MigrationRecorder.Migration.objects.create(**values)
        store_anew()
    assert {child.key for child in loader().graph.node_map[newest].children} == set()


def test_an_unrecoverable_one_matters_when_it_lies_after_the_target(shop):
    """Asked to go back over it, we say so and change nothing."""
    shop.delete("0003_b")
    MigrationCode.objects.filter(app_label="shop", migration_name="0003_b").delete()
    with pytest.raises(CommandError, match=r"Cannot recover shop\.0003_b"):
        migrate("shop", "0001")
    assert applied("shop") == ["0001_initial", "0002_a", "0003_b"]
