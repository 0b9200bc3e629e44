"""What disk, record and store say of one another."""

from __future__ import annotations

import dataclasses

import pytest
from django.db import migrations, models

from django_rewind.inventory.snapshot import FileStatus, ImportedFile, Snapshot
from tests.support.fixtures import add, create, in_memory, stored

FIRST = in_memory("shop.0001", create("Product"))
SECOND = in_memory("shop.0002", add("Product", "a"), after="shop.0001")
THIRD = in_memory("shop.0003", add("Product", "b"), after="shop.0002")


def key(migration) -> tuple[str, str]:
    return (migration.app_label, migration.name)


def history(disk=(), applied=(), kept=None, **values) -> Snapshot:
    """Return the history of migrations that were applied in this order, all stored but for `kept`."""
    ids = {key(one): number for number, one in enumerate(applied, 1)}
    rows = {key(one): stored(one, record_id=ids.get(key(one))) for one in (applied if kept is None else kept)}
    values = {"installed_apps": frozenset({"shop", "stock"}), **values}
    return Snapshot(files={key(one): ImportedFile(one) for one in disk}, applied=ids, stored=rows, **values)


# FileStatus


def test_what_is_on_disk_has_no_standing():
    """Nor has what is only stored."""
    found = history(disk=[FIRST], applied=[FIRST], kept=[FIRST, SECOND])
    assert found.absent == []
    assert found.without_file == {}


def test_applied_and_without_file_is_missing():
    """In the order in which it was applied, where the ids of the records do not contradict the graph."""
    found = history(disk=[FIRST], applied=[FIRST, THIRD, SECOND])
    assert found.absent == [key(SECOND), key(THIRD)]
    assert found.of(FileStatus.MISSING) == [key(SECOND), key(THIRD)]
    assert found.of(FileStatus.MISSING_BEFORE_INSTALL, FileStatus.SQUASHED) == []


def test_without_a_stored_source_it_is_missing_too():
    """Whether it can be recovered is another question."""
    assert history(applied=[FIRST], kept=[]).without_file == {key(FIRST): FileStatus.MISSING}


def test_an_app_that_is_not_installed():
    """Its migrations stand apart."""
    found = history(applied=[FIRST], installed_apps=frozenset({"stock"}))
    assert found.without_file == {key(FIRST): FileStatus.STALE_APP}


def test_an_app_whose_migrations_are_disabled_is_left_alone():
    """Installed or not, stored or not, baseline or not."""
    for installed in (frozenset(), frozenset({"shop"})):
        found = history(
            applied=[FIRST],
            disabled_apps=frozenset({"shop"}),
            installed_apps=installed,
            missing_before_install={key(FIRST): 1},
        )
        assert found.without_file == {key(FIRST): FileStatus.DISABLED}


def test_baseline_is_what_was_without_file_already():
    """Of an installed app or of another."""
    for installed in (frozenset(), frozenset({"shop"})):
        found = history(applied=[FIRST], missing_before_install={key(FIRST): 1}, installed_apps=installed)
        assert found.without_file == {key(FIRST): FileStatus.MISSING_BEFORE_INSTALL}


def test_applied_again_it_is_no_baseline_any_more():
    """The record has another id then."""
    assert history(applied=[FIRST], missing_before_install={key(FIRST): 99}).without_file == {
        key(FIRST): FileStatus.MISSING
    }


@pytest.mark.parametrize(
    "kept, standing", [([], FileStatus.MISSING_BEFORE_INSTALL), ([SECOND], FileStatus.RECREATED)]
)
def test_baseline_whose_work_a_remade_file_has_taken_over(kept, standing):
    """Once its source is stored after all, it is known that undoing it would take what a file made."""
    remade = in_memory("shop.0001", create("Product", ("a", models.IntegerField(null=True))))
    found = history(
        disk=[remade], applied=[remade, SECOND], kept=kept, missing_before_install={key(SECOND): 2}
    )
    assert found.without_file == {key(SECOND): standing}


def test_baseline_whose_source_was_stored_after_all():
    """It is the baseline still, and can be recovered."""
    found = history(disk=[FIRST], applied=[FIRST, SECOND], missing_before_install={key(SECOND): 2})
    assert found.without_file == {key(SECOND): FileStatus.MISSING_BEFORE_INSTALL}
    assert found.reason_against(key(SECOND)) is None


# Why not


def test_a_stored_and_proven_one_can_be_recovered():
    """There is no reason against it."""
    assert history(applied=[FIRST]).reason_against(key(FIRST)) is None


@pytest.mark.parametrize(
    "change, reason",
    [
        (None, "is not stored in this database"),
        ({"record_id": 99}, "changed after it was signed"),
        ({"binding": ""}, "changed after it was signed"),
        ({"newest": 1}, "put back in the place of a newer"),
        ({"record_id": None}, "not proven to be what ran"),
        ({"signature": ""}, "not signed"),
        ({"signature": "0" * 64}, "changed after it was signed"),
        ({"signature": "0" * 64, "key_fingerprint": "0" * 16}, "signed with another key"),
        ({"metadata_text": "{}"}, "changed after it was signed"),
    ],
)
def test_the_reason_against_it_is_named(change, reason):
    """With the migration, and what to do."""
    found = history(applied=[FIRST])
    rows = {key(FIRST): dataclasses.replace(found.stored[key(FIRST)], **change)} if change else {}
    error = dataclasses.replace(found, stored=rows).reason_against(key(FIRST))
    assert reason in error.problem
    assert "shop.0001" in error.problem
    assert error.next_step


def test_proven_for_another_record_it_is_from_an_earlier_time():
    """A process without us has applied it again since."""
    rows = {key(FIRST): stored(FIRST, record_id=99)}
    error = dataclasses.replace(history(applied=[FIRST]), stored=rows).reason_against(key(FIRST))
    assert "applied again by a process without django-rewind" in error.problem


# Squashes


SQUASH = in_memory(
    "shop.0001_squashed", create("Product"), add("Product", "a"), replaces=[key(FIRST), key(SECOND)]
)
PLAIN = in_memory("shop.0001_squashed", create("Product"), add("Product", "a"))


def test_what_a_squash_on_disk_replaces():
    """Django says which of them count."""
    found = history(disk=[SQUASH], applied=[FIRST, SECOND, SQUASH], squashes=[key(SQUASH)])
    assert found.without_file == {key(FIRST): FileStatus.SQUASHED, key(SECOND): FileStatus.SQUASHED}


def test_originals_of_a_squash_that_does_not_count_are_missing():
    """It is only partly applied: Django keeps it out of its graph."""
    found = history(disk=[SQUASH], applied=[FIRST], kept=[FIRST])
    assert found.without_file == {key(FIRST): FileStatus.MISSING}


def test_a_stored_squash_remembers_what_it_replaced():
    """People delete `replaces` from the file later."""
    found = history(disk=[PLAIN], applied=[FIRST, SECOND, SQUASH])
    assert set(found.without_file.values()) == {FileStatus.SQUASHED}
    assert found.followers[key(SQUASH)] == {key(FIRST), key(SECOND)}


def test_a_stored_squash_stands_where_its_originals_stood():
    """In the order of application, whenever it was recorded, and for what depends on those."""
    found = history(disk=[PLAIN], applied=[FIRST, SECOND, THIRD, SQUASH])
    assert found.ids == {key(FIRST): 1, key(SECOND): 2, key(THIRD): 3, key(SQUASH): 2}
    assert found.squashed_by.in_place_of(key(SECOND)) == {key(SECOND), key(SQUASH)}
    assert found.dependents_in_stale_apps([key(SQUASH)]) == []


def test_a_squash_of_a_squash_stands_there_too():
    """The first one may be gone."""
    again = in_memory("shop.0001_again", create("Product"), add("Product", "a"), replaces=[key(SQUASH)])
    found = history(disk=[again], applied=[FIRST, SECOND, THIRD, SQUASH, again], squashes=[key(again)])
    assert found.ids[key(again)] == 2
    assert key(again) in found.squashed_by.in_place_of(key(FIRST))
    assert found.of(FileStatus.MISSING) == [key(THIRD)]


def test_originals_stand_for_the_squash_that_follows_them():
    """On an old checkout, what depends on it depends on them."""
    found = history(disk=[FIRST, SECOND], applied=[FIRST, SECOND, SQUASH])
    assert found.squashed_by.in_place_of(key(SQUASH)) == {key(SQUASH), key(FIRST), key(SECOND)}


def test_a_stored_squash_that_is_not_applied_replaces_nothing():
    """It never took their place."""
    found = history(applied=[FIRST, SECOND], kept=[FIRST, SECOND, SQUASH])
    assert set(found.without_file.values()) == {FileStatus.MISSING}


def test_a_squash_whose_originals_are_back_on_disk_follows_them():
    """On an old checkout; its record goes with theirs."""
    found = history(disk=[FIRST, SECOND], applied=[FIRST, SECOND, SQUASH])
    assert found.without_file == {key(SQUASH): FileStatus.SQUASHED}
    assert key(SQUASH) in found.followers[key(FIRST)] & found.followers[key(SECOND)]


def test_a_squash_with_only_some_originals_on_disk_follows_them():
    """What came after those is missing, and undone by itself."""
    found = history(disk=[FIRST], applied=[FIRST, SECOND, SQUASH])
    assert found.without_file == {key(SECOND): FileStatus.MISSING, key(SQUASH): FileStatus.SQUASHED}
    assert key(SQUASH) in found.followers[key(FIRST)] & found.followers[key(SECOND)]


def test_a_forged_squash_replaces_nothing():
    """Its metadata is looked at when its signature is good."""
    found = history(disk=[PLAIN], applied=[FIRST, SECOND, SQUASH])
    rows = {**found.stored, key(SQUASH): dataclasses.replace(found.stored[key(SQUASH)], signature="")}
    forged = dataclasses.replace(found, stored=rows)
    assert FileStatus.SQUASHED not in forged.without_file.values()


# Superseded


REMADE = in_memory("shop.0001_remade", create("Product"), add("Product", "a"), add("Product", "b"))


def test_what_made_a_table_that_a_file_needs_is_superseded():
    """People remake 0001 and leave old rows behind; undoing those would drop live data."""
    found = history(disk=[REMADE], applied=[FIRST, SECOND, REMADE])
    assert found.without_file == {key(FIRST): FileStatus.RECREATED, key(SECOND): FileStatus.RECREATED}
    assert found.recreated.by == {key(FIRST): key(REMADE), key(SECOND): key(REMADE)}
    assert found.followers == {key(REMADE): {key(FIRST), key(SECOND)}}


def test_what_hangs_together_with_a_superseded_one_is_as_old():
    """It spreads along the chain in both directions, within the app."""
    other = in_memory("shop.0003", migrations.RunSQL("SELECT 1"), after="shop.0002")
    found = history(disk=[REMADE], applied=[FIRST, SECOND, other, REMADE])
    assert found.without_file[key(other)] is FileStatus.RECREATED
    assert key(other) not in found.recreated.by
    assert found.followers[key(REMADE)] == {key(FIRST), key(SECOND), key(other)}


def test_being_superseded_does_not_spread_to_another_app():
    """A missing migration of the stock that depends on it is simply missing."""
    other = in_memory("stock.0001", create("Item"), after="shop.0001")
    found = history(disk=[REMADE], applied=[FIRST, other, REMADE])
    assert found.without_file == {key(FIRST): FileStatus.RECREATED, key(other): FileStatus.MISSING}


def test_a_descendant_on_disk_does_not_supersede_its_ancestor():
    """What would be undone with it does not stay."""
    child = in_memory("shop.0002_child", migrations.AlterModelOptions("Product", {}), after="shop.0001")
    found = history(disk=[child], applied=[FIRST, child])
    assert found.without_file == {key(FIRST): FileStatus.MISSING}


def test_a_column_of_its_own_is_simply_missing():
    """The table is on disk, the column is not."""
    found = history(disk=[FIRST], applied=[FIRST, SECOND])
    assert found.without_file == {key(SECOND): FileStatus.MISSING}
    assert found.followers == {}


def test_a_column_that_a_renumbered_file_makes_is_superseded():
    """Renamed by a rebase: the same content under another number."""
    again = in_memory("shop.0005_again", add("Product", "a"), after="shop.0001")
    found = history(disk=[FIRST, again], applied=[FIRST, SECOND, again])
    assert found.without_file == {key(SECOND): FileStatus.RECREATED}
    assert found.recreated.by == {key(SECOND): key(again)}


def test_a_file_that_is_not_applied_supersedes_nothing():
    """What it would make is not there."""
    found = history(disk=[REMADE], applied=[FIRST, SECOND])
    assert set(found.without_file.values()) == {FileStatus.MISSING}


def test_an_unusable_row_supersedes_and_is_superseded_by_nothing():
    """Of what it does, nothing is known."""
    assert history(disk=[REMADE], applied=[FIRST, REMADE], kept=[]).without_file == {
        key(FIRST): FileStatus.MISSING
    }


NOTE = in_memory("shop.0001", create("Product", ("note", models.IntegerField())), create("Item"))


@pytest.mark.parametrize(
    "first, second",
    [
        ([migrations.RemoveField("Product", "note"), add("Product", "note")], []),
        ([migrations.RemoveField("Product", "note")], [add("Product", "note")]),
        ([migrations.RenameField("Product", "note", "old_note")], [add("Product", "note")]),
        ([migrations.DeleteModel("Item")], [create("Item")]),
        ([migrations.RenameModel("Item", "OldItem"), create("Item")], []),
        ([migrations.AlterModelTable("Item", "old"), create("New", db_table="shop_item")], []),
        (
            [
                migrations.RemoveField("Product", "note"),
                add("Product", "note"),
                migrations.RemoveField("Product", "note"),
            ],
            [add("Product", "note")],
        ),
    ],
)
def test_a_name_that_was_taken_away_and_made_anew_is_simply_missing(first, second):
    """What the file made comes back with the undoing; the table of a model counts in the same way."""
    two = in_memory("shop.0002", *first, after="shop.0001")
    three = in_memory("shop.0003", *second, after="shop.0002")
    found = history(
        disk=[NOTE], applied=[NOTE, two, three], tables_in_use=frozenset({"shop_product", "shop_item"})
    )
    assert found.without_file == {key(two): FileStatus.MISSING, key(three): FileStatus.MISSING}


AGAIN = in_memory(
    "shop.0002", migrations.RemoveField("Product", "note"), add("Product", "note"), after="shop.0001"
)


def test_an_app_remade_behind_a_name_made_anew_is_superseded():
    """The file came last, and the column is its own."""
    remade = in_memory("shop.0001_remade", create("Product", ("note", models.IntegerField())))
    found = history(disk=[remade], applied=[NOTE, AGAIN, remade])
    assert set(found.without_file.values()) == {FileStatus.RECREATED}


def test_an_app_remade_in_place_behind_a_name_made_anew_is_superseded():
    """What ran as the first migration did not make the table that its file makes now."""
    two = in_memory("shop.0002", migrations.DeleteModel("Item"), after="shop.0001")
    three = in_memory("shop.0003", create("Item", ("code", models.IntegerField())), after="shop.0002")
    remade = in_memory("shop.0001", create("Product"), create("Item", ("code", models.IntegerField())))
    found = history(disk=[remade], applied=[NOTE, two, three])
    assert found.without_file == {key(two): FileStatus.RECREATED, key(three): FileStatus.RECREATED}


def test_a_file_that_makes_a_name_once_more_supersedes():
    """Whatever was in its place before."""
    later = in_memory("shop.0002_main", add("Product", "note"), after="shop.0001")
    found = history(disk=[NOTE, later], applied=[NOTE, AGAIN, later])
    assert found.recreated.by == {key(AGAIN): key(NOTE)}


# In use


def test_a_missing_one_whose_table_an_installed_model_uses():
    """And what that depends on; what comes after it is simply missing."""
    found = history(applied=[FIRST, SECOND, THIRD], tables_in_use=frozenset({"shop_product"}))
    assert found.without_file == {
        key(FIRST): FileStatus.TABLE_IN_USE,
        key(SECOND): FileStatus.MISSING,
        key(THIRD): FileStatus.MISSING,
    }


def test_what_a_kept_table_depends_on_is_kept():
    """Its parents cannot go without it."""
    later = in_memory("shop.0002_order", create("Order"), after="shop.0001")
    found = history(applied=[FIRST, later], tables_in_use=frozenset({"shop_order"}))
    assert set(found.without_file.values()) == {FileStatus.TABLE_IN_USE}


def test_a_table_of_another_name_keeps_nothing():
    """The name of the table counts, not that of the model."""
    goods = in_memory("shop.0001", create("Product", db_table="goods"))
    assert history(applied=[goods], tables_in_use=frozenset({"shop_product"})).of(FileStatus.MISSING)
    assert history(applied=[goods], tables_in_use=frozenset({"goods"})).of(FileStatus.TABLE_IN_USE)


@pytest.mark.parametrize(
    "operations, status",
    [
        ([create("Product")], FileStatus.MISSING),
        ([create("Thing"), migrations.RenameModel("Thing", "Product")], FileStatus.MISSING),
        ([create("Thing"), migrations.AlterModelTable("Thing", "shop_product")], FileStatus.MISSING),
        ([migrations.SeparateDatabaseAndState([], [create("Product")])], FileStatus.TABLE_IN_USE),
        ([add("Product", "a")], FileStatus.TABLE_IN_USE),
    ],
)
def test_a_table_that_a_file_has_still_to_make_is_not_in_use(operations, status):
    """What a file says to the state alone makes nothing."""
    file = in_memory("shop.0001_other", *operations)
    found = history(disk=[file], applied=[FIRST], tables_in_use=frozenset({"shop_product"}))
    assert found.without_file == {key(FIRST): status}


def test_what_a_squash_would_make_is_there():
    """Its originals have made it, and it will never be applied beside them."""
    file = in_memory("shop.0001_squashed", create("Product"), replaces=[key(FIRST), key(SECOND)])
    found = history(disk=[SECOND, file], applied=[FIRST], tables_in_use=frozenset({"shop_product"}))
    assert found.without_file == {key(FIRST): FileStatus.TABLE_IN_USE}


@pytest.mark.parametrize("renames_later", [False, True])
def test_a_table_is_known_under_the_name_that_it_has_now(renames_later):
    """Whichever migration has renamed it: it is in use, or a file has remade it."""
    thing, rename = create("Thing"), migrations.RenameModel("Thing", "Product")
    first = in_memory("shop.0001", *([thing] if renames_later else [thing, rename]))
    second = in_memory("shop.0002", *([rename] if renames_later else []), after="shop.0001")
    used = history(applied=[first, second], tables_in_use=frozenset({"shop_product"}))
    assert used.without_file[key(first)] is FileStatus.TABLE_IN_USE
    remade = in_memory("shop.0001_remade", create("Product"))
    assert history(disk=[remade], applied=[first, second, remade]).recreated.by == {key(first): key(remade)}


# The rest


def test_effects_come_from_the_file_or_else_from_the_store():
    """Nothing is executed for it."""
    found = history(disk=[FIRST], applied=[FIRST, SECOND])
    assert [one["effect"] for one in found.effects(key(FIRST))] == ["create_model"]
    assert [one["effect"] for one in found.effects(key(SECOND))] == ["add_field"]
    assert found.effects(("shop", "0009")) == []


def test_dependents_in_apps_that_are_not_installed():
    """They would be left without what they stand on."""
    link = models.ForeignKey("shop.Product", models.CASCADE, null=True)
    old = in_memory("old.0001", create("Note", ("product", link)), after="shop.0001")
    found = history(disk=[FIRST], applied=[FIRST, old])
    assert found.dependents_in_stale_apps([key(FIRST)]) == [(key(old), key(FIRST))]
    assert found.dependents_in_stale_apps([key(FIRST), key(old)]) == []
    assert found.dependents_in_stale_apps([]) == []


@pytest.mark.parametrize(
    "name, undone, seen",
    [
        ("__first__", [FIRST, SECOND, THIRD], FIRST),
        ("__latest__", [FIRST, SECOND, THIRD], SECOND),
        ("__latest__", [THIRD], None),
        ("__first__", [SECOND, THIRD], None),
    ],
)
def test_dependents_on_the_first_or_the_latest_of_an_app(name, undone, seen):
    """As a swappable dependency is written; the latest is the one of that time."""
    old = in_memory("old.0001", create("Note"), after=f"shop.{name}")
    found = history(disk=[FIRST, SECOND, THIRD], applied=[FIRST, SECOND, old, THIRD])
    expected = [(key(old), key(seen))] if seen else []
    assert found.dependents_in_stale_apps(key(one) for one in undone) == expected


def test_dependents_on_the_first_see_the_squash_in_its_place():
    """It is the squashed migration that is undone."""
    old = in_memory("old.0001", create("Note"), after="shop.__first__")
    found = history(disk=[SQUASH], applied=[FIRST, SECOND, SQUASH, old], squashes=[key(SQUASH)])
    assert found.dependents_in_stale_apps([key(SQUASH)]) == [(key(old), key(SQUASH))]


def test_dependents_by_the_name_of_one_that_was_replaced_see_the_squash():
    """On disk beside it or gone."""
    old = in_memory("old.0001", create("Note"), after="shop.0002")
    for disk in ([SQUASH], [FIRST, SECOND, SQUASH]):
        found = history(disk=disk, applied=[FIRST, SECOND, SQUASH, old], squashes=[key(SQUASH)])
        assert found.dependents_in_stale_apps([key(SQUASH)]) == [(key(old), key(SQUASH))]


def test_the_first_of_its_own_app_is_nothing():
    """As to Django."""
    old = in_memory("old.0001", create("Note"), after="old.__first__")
    assert history(applied=[old]).without_file == {key(old): FileStatus.STALE_APP}
    assert history(applied=[old]).dependents_in_stale_apps([key(old)]) == []
