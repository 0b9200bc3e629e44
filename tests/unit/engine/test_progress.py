"""What is known of a step that has stopped: its operations, and nothing is left behind on them."""

from __future__ import annotations

import signal

import pytest
from django.db import migrations
from django.db.migrations.state import ProjectState

from django_rewind.engine.progress import Progress
from django_rewind.exceptions import AtomicNotPossible, HowFar, RewindInterrupted
from django_rewind.management.interrupts import Terminated, heeding_termination
from tests.support.fixtures import add, create, in_memory


class Connection:
    """What the words depend on."""

    alias = "other"
    vendor = "sample"
    display_name = "Sample"

    class features:
        can_rollback_ddl = False


class Noop(migrations.RunPython):
    """Runs without a database."""

    def __init__(self, text="", error=None):
        super().__init__(migrations.RunPython.noop, migrations.RunPython.noop)
        self.text, self.error = text, error

    def describe(self):
        return self.text

    def database_backwards(self, *args):
        if self.error:
            raise self.error

    database_forwards = database_backwards


WAYS_OUT = (
    "Undo the rest by hand and mark it as unapplied with "
    "'manage.py rewind shop 0001_y --fake', or put back what was undone by hand."
)


def run(progress):
    """Undo or apply as Django does."""
    method = "database_backwards" if progress.backwards else "database_forwards"
    listed = progress.migration.operations
    with progress.watching():
        for operation in reversed(listed) if progress.backwards else listed:
            getattr(operation, method)("shop", None, ProjectState(), ProjectState())


def test_each_operation_by_itself():
    """Also what SeparateDatabaseAndState does to the database; its state does not count."""
    inner = [Noop("b"), Noop("c", ValueError("no")), Noop("d")]
    apart = migrations.SeparateDatabaseAndState(inner, [create("Till")])
    progress = Progress(
        in_memory("shop.0002_x", Noop("a"), apart, Noop("e"), after="shop.0001_y"), backwards=True
    )

    with pytest.raises(ValueError, match="no"):
        run(progress)

    assert progress.lines(Connection) == [
        "shop.0002_x is half-way, for Sample takes back no schema change:",
        "  Undone: e; d",
        "  Stopped in: c",
        "  Not undone: b; a",
        "Look what is left of the one in which it stopped.",
        WAYS_OUT,
    ]


@pytest.mark.parametrize("backwards", [True, False])
def test_the_same_operation_twice(backwards):
    """It is counted as often as it runs."""
    twice = Noop("twice")
    progress = Progress(
        in_memory("shop.0002_x", twice, Noop("stop", ValueError("no")), twice), backwards=backwards
    )

    with pytest.raises(ValueError, match="no"):
        run(progress)

    done = "Undone" if backwards else "Applied"
    assert f"  {done}: twice" in progress.lines(Connection)
    assert f"  Not {done.lower()}: twice" in progress.lines(Connection)


@pytest.mark.parametrize("error", [None, ValueError("no"), KeyboardInterrupt()])
def test_nothing_is_left_behind(error):
    """Whatever happens, the operations are what they were, also those that somebody else has wrapped."""
    plain, wrapped = Noop("plain", error), Noop("wrapped")
    wrapped.database_backwards = before = lambda *args: None

    with pytest.raises(type(error)) if error else heeding_termination():
        run(Progress(in_memory("shop.0002_x", plain, wrapped), backwards=True))

    assert "database_backwards" not in vars(plain)
    assert vars(wrapped)["database_backwards"] is before


def test_nothing_to_say():
    """A step that has not begun is not half-way."""
    assert Progress(in_memory("shop.0002_x", add("product", "x")), backwards=True).lines(Connection) == []


def test_a_target_that_nobody_can_name():
    """Where two migrations of the app come before, the target is left open; where none does, it is zero."""
    stop = Noop("a", ValueError("no"))
    for after, target in (["shop.0001_a", "shop.0001_b"], "<the one before it>"), ([], "zero"):
        progress = Progress(in_memory("shop.0002_x", stop, after=after), backwards=True)
        with pytest.raises(ValueError, match="no"):
            run(progress)
        assert f"'manage.py rewind shop {target} --fake" in progress.lines(Connection)[-1]


def test_of_an_error_that_claims_that_nothing_was_changed():
    """Its claim is not repeated where something was."""
    how_far = HowFar(undone=[("shop", "0002_x")], not_undone=[("shop", "0001_y")])

    said = str(RewindInterrupted(AtomicNotPossible("so it is."), how_far))

    assert "Nothing has been changed" not in said
    assert "so it is." in said


def test_sigterm_is_what_it_was_before():
    """It is heeded for as long as a run lasts, and only where nobody else does."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(Terminated), heeding_termination():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with heeding_termination():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
