"""Receivers hear of each step, and can stop it before it is done."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection

from django_rewind import signals
from django_rewind.actions.rewind import Rewind
from django_rewind.signals import post_capture, post_rewind_step, pre_capture, pre_rewind_step
from tests.support import helpers
from tests.support.fixtures import PRICE, applied, columns, migrate, price_without_file, row

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@contextmanager
def listening(*sent, receive):
    for signal in sent:
        signal.connect(receive, weak=False)
    try:
        yield
    finally:
        for signal in sent:
            signal.disconnect(receive)


class Log(list):
    """What was heard, with what was true at that moment."""

    def __call__(self, signal, sender, migration, using, source, **kwargs):
        name = next(name for name in signals.__all__ if getattr(signals, name) is signal)
        assert sender is apps.get_app_config(migration[0])
        self.append((name, migration[1], using, source, columns("shop_product"), applied("shop")))

    @property
    def names(self):
        return [(name, migration, source) for name, migration, _, source, *_ in self]


@pytest.fixture
def shop(app):
    """Two migrations of which the second has lost its file."""
    return price_without_file(app)


def test_around_a_step_from_stored_code(shop):
    """`migrate` backwards tells of it while it is applied, and when schema and record are gone."""
    log = Log()

    with listening(pre_rewind_step, post_rewind_step, receive=log):
        migrate("shop", "0001")

    assert log == [
        (
            "pre_rewind_step",
            "0002_price",
            "default",
            "stored",
            {"id", "price"},
            ["0001_initial", "0002_price"],
        ),
        ("post_rewind_step", "0002_price", "default", "stored", {"id"}, ["0001_initial"]),
    ]


def test_every_step_of_a_run_with_stored_code(shop):
    """A file's step between stored ones is announced as well, with its source."""
    log = Log()

    with listening(pre_rewind_step, receive=log):
        migrate("shop", "zero")

    assert log.names == [
        ("pre_rewind_step", "0002_price", "stored"),
        ("pre_rewind_step", "0001_initial", "file"),
    ]


def test_nothing_of_ours_in_a_plain_run(app):
    """With nothing missing, `migrate` backwards is Django's alone; `rewind` announces files' steps."""
    app.migration("0001_initial", helpers.create("Product"))
    migrate("shop")
    log = Log()

    with listening(pre_rewind_step, receive=log):
        migrate("shop", "zero")
        assert log == []
        migrate("shop")
        rewind = Rewind(connection)
        rewind.run_steps(rewind.plan_to("shop", "zero"), verbosity=0, interactive=False, stdout=None)

    assert log.names == [("pre_rewind_step", "0001_initial", "file")]


def test_nothing_in_a_fake_run(shop):
    """What is only forgotten is not undone."""
    log = Log()

    with listening(pre_rewind_step, post_rewind_step, receive=log):
        migrate("shop", "0001", fake=True)

    assert log == []


@pytest.mark.parametrize("signal", [pre_rewind_step, pre_capture])
def test_a_receiver_can_object(app, signal):
    """What it raises before a step stops the run, with nothing of the step done."""
    app.migration("0001_initial", helpers.create("Product"))
    migrate("shop")
    app.migration("0002_price", PRICE, after="0001_initial")
    if signal is pre_rewind_step:
        migrate("shop")
        app.delete("0002_price")
    before = columns("shop_product"), applied("shop")

    def object_to(**kwargs):
        raise CommandError("Not on a Friday.")

    with listening(signal, receive=object_to), pytest.raises(CommandError, match="Friday"):
        migrate("shop", *(["0001"] if signal is pre_rewind_step else []))

    assert (columns("shop_product"), applied("shop")) == before


@pytest.mark.parametrize("signal", [post_rewind_step, post_capture])
def test_a_broken_receiver_is_logged(shop, signal, caplog):
    """After a step it is too late: the run goes on, and the log has the error."""

    def break_down(**kwargs):
        raise ValueError("too late")

    with listening(signal, receive=break_down):
        migrate("shop", "0001")
        shop.migration("0002_price", PRICE, after="0001_initial")
        migrate("shop")

    assert applied("shop") == ["0001_initial", "0002_price"]
    (record,) = [record for record in caplog.records if record.name == "django_rewind"]
    assert "break_down failed after shop.0002_price" in record.getMessage()
    assert "too late" in str(record.exc_info[1])


def test_around_a_capture(app):
    """Receivers hear of it before anything is applied; afterwards the source is stored."""
    app.migration("0001_initial", helpers.create("Product"))
    text = app.migration("0002_price", PRICE, after="0001_initial")
    log = Log()
    stored = []

    def look(migration, **kwargs):
        stored.append(row(migration).source_code)

    with listening(pre_capture, post_capture, receive=log), listening(post_capture, receive=look):
        migrate("shop")

    assert log.names == [
        ("pre_capture", "0001_initial", "file"),
        ("pre_capture", "0002_price", "file"),
        ("post_capture", "0001_initial", "file"),
        ("post_capture", "0002_price", "file"),
    ]
    assert all(entry[4:] == (set(), []) for entry in log)
    assert stored[1] == text


def test_no_capture_of_an_excluded_app(app, settings):
    """What is not stored is not announced."""
    settings.DJANGO_REWIND_EXCLUDE = ["shop"]
    app.migration("0001_initial", helpers.create("Product"))
    log = Log()

    with listening(pre_capture, post_capture, receive=log):
        migrate("shop")

    assert log == []
    assert applied("shop") == ["0001_initial"]


def test_of_an_app_that_is_not_installed(shop, settings):
    """The sender is None then, so that only receivers for all senders hear of it."""
    heard = []
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "shop"]

    with listening(pre_rewind_step, receive=lambda sender, **kwargs: heard.append(sender)):
        rewind = Rewind(connection, stale_apps=["shop"])
        rewind.run_steps(rewind.plan("shop"), verbosity=0, interactive=False, stdout=None)

    assert heard == [None, None]
    assert applied("shop") == []
