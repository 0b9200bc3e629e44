"""What stops a run before its first statement; without a database."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import migrations

from django_rewind.engine import preflight
from django_rewind.exceptions import (
    BlockedRewind,
    ConflictsWithMissing,
    IrreversibleRewind,
    NotRecoverable,
    RewindError,
)
from django_rewind.inventory.snapshot import FileStatus
from django_rewind.inventory.squashes import Squashes
from django_rewind.schema.effects import effects_of
from tests.support.fixtures import add, in_memory

INITIAL, PRICE, LOST = ("shop", "0001_initial"), ("shop", "0002_price"), ("shop", "0003_lost")
IRREVERSIBLE = migrations.RunPython(migrations.RunPython.noop)


@pytest.mark.parametrize(
    "after, target",
    [
        ([], ["zero"]),
        (["shop.0001_initial"], ["0001_initial"]),
        (["shop.0001_initial", "auth.0001_initial"], ["0001_initial"]),
        (["shop.0001_a", "shop.0001_b"], []),
    ],
)
def test_the_target_before(after, target):
    """What depends on nothing of its app goes to zero, and of two parents none is the target."""
    assert preflight.target_before(in_memory("shop.0002_price", after=after)) == target


@pytest.mark.parametrize(
    "operation",
    [IRREVERSIBLE, migrations.SeparateDatabaseAndState([IRREVERSIBLE], [])],
    ids=["plain", "apart"],
)
def test_irreversible(operation):
    """The step is named, and the target that would keep it."""
    step = in_memory("shop.0002_price", operation, after="shop.0001_initial")
    with pytest.raises(IrreversibleRewind, match=r"shop\.0002_price") as refused:
        preflight.check_reversible([in_memory("shop.0003_more", add("product", "more")), step])
    assert refused.value.key == PRICE
    assert "rewind shop 0001_initial --fake" in refused.value.next_step


def test_conflicts():
    """A step must not take away what a missing migration uses, unless it knows of that."""
    step = in_memory("shop.0004_away", migrations.DeleteModel("Product"))
    missing = {LOST: effects_of(in_memory("shop.0003_lost", add("product", "price")))}

    with pytest.raises(ConflictsWithMissing, match=r"shop\.0004_away(.|\n)*shop\.0003_lost"):
        preflight.check_conflicts([step], missing, {})
    preflight.check_conflicts([step], missing, {("shop", "0004_away"): {LOST}})


# In the way -------------------------------------------------------------------


def loader(**attributes):
    """Return a loader that knows of nothing unusable, but for what is given."""
    nodes = {INITIAL: None, PRICE: None}
    default = {
        "unusable": {},
        "recovered": {},
        "skipped": (),
        "asked": frozenset(),
        "record_ids": {INITIAL: 1, PRICE: 2, LOST: 3},
        "recorded_ids": {INITIAL: 1, PRICE: 2, LOST: 3},
        "applied_migrations": dict.fromkeys([INITIAL, PRICE, LOST]),
        "graph": SimpleNamespace(nodes=nodes, node_map={}),
    }
    return SimpleNamespace(**{**default, **attributes})


def snapshot(*, dependents=(), left_behind=(), **statuses):
    """Return a snapshot in which keys have these statuses, by the names of those."""

    def of(*wanted):
        return [key for name, keys in statuses.items() if FileStatus[name] in wanted for key in keys]

    return SimpleNamespace(
        of=of,
        stored={LOST: None},
        applied={},
        squashed_by=Squashes({}, {}, ()),
        earliest_ids={INITIAL: 1, PRICE: 2, LOST: 3},
        dependents_in_stale_apps=lambda unapplied: list(dependents),
        left_behind=lambda unapplied: list(left_behind),
    )


LOST_FOR_GOOD = NotRecoverable(LOST, "it is gone.")


def test_nothing_in_the_way():
    """Then there is no error, not even for a run that is no fake."""
    assert preflight.what_is_in_the_way(loader(), snapshot(), [INITIAL], [PRICE]) is None


@pytest.mark.parametrize(
    "targets, unapplied, asked, is_refused",
    [
        ([("shop", None)], [PRICE, INITIAL], [], True),
        ([INITIAL], [], [INITIAL], True),
        # The last file is Django's target where nobody has asked for it by name.
        ([INITIAL], [], [], False),
        ([INITIAL], [PRICE], [], True),
        ([("blog", None)], [], [], False),
    ],
)
def test_what_cannot_be_recovered(targets, unapplied, asked, is_refused):
    """It stops a run that goes back below it, a fake one too, and no other."""
    known = loader(unusable={LOST: LOST_FOR_GOOD}, asked=frozenset(asked))

    def look():
        return preflight.what_is_in_the_way(known, snapshot(), targets, unapplied)

    if is_refused:
        with pytest.raises(NotRecoverable, match="it is gone"):
            look()
    else:
        assert look() is None


def test_a_stale_app_that_depends_on_a_step():
    """It would be left behind, and nobody could roll it back any more."""
    with pytest.raises(BlockedRewind, match=r"till\.0001_initial depends on it"):
        preflight.what_is_in_the_way(
            loader(), snapshot(dependents=[(("till", "0001_initial"), PRICE)]), [INITIAL], [PRICE]
        )


def test_what_was_missing_before_install():
    """Of what it made nobody knows: an app is not emptied below it, but for its records."""
    before = snapshot(MISSING_BEFORE_INSTALL=[LOST])
    known = loader(applied_migrations=dict.fromkeys([INITIAL, PRICE]))

    error = preflight.what_is_in_the_way(known, before, [("shop", None)], [PRICE, INITIAL])

    assert isinstance(error, BlockedRewind)
    assert "shop.0003_lost had no file already when django-rewind was installed" in error.problem
    assert preflight.what_is_in_the_way(known, before, [INITIAL], [PRICE]) is None


def test_the_only_copies():
    """django-rewind's tables stay while they hold what no file has."""
    ours = ("django_rewind", "0001_initial")

    error = preflight.what_is_in_the_way(
        loader(), snapshot(MISSING=[LOST]), [("django_rewind", None)], [ours]
    )

    assert isinstance(error, RewindError)
    assert "shop.0003_lost would have no source any more" in error.problem
    assert preflight.what_is_in_the_way(loader(), snapshot(), [("django_rewind", None)], [ours]) is None
