"""What of stored code is in reach of a plan, and in which order it runs; without a database."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db.migrations.graph import MigrationGraph

from django_rewind.engine import planner
from django_rewind.engine.planner import Preparation, survey
from django_rewind.exceptions import NotRecoverable
from django_rewind.inventory.snapshot import FileStatus
from django_rewind.sources.recovered import RecoveredMigration
from tests.support.fixtures import add, create, in_memory, stored


def recovered(migration):
    """Return a migration as it is before its stored source is executed."""
    return RecoveredMigration(stored(migration), None, None)


def loader(*migrations, applied=None, unknown=()):
    """Return what the planner asks of a loader, for these in the order of their records."""
    graph = MigrationGraph()
    nodes = {(one.app_label, one.name): one for one in migrations}
    for key, node in nodes.items():
        graph.add_node(key, node)
    for key, node in nodes.items():
        for parent in node.dependencies:
            graph.add_dependency(node, key, parent)
    lost = {key: node for key, node in nodes.items() if isinstance(node, RecoveredMigration)}
    return SimpleNamespace(
        graph=graph,
        recovered=lost,
        skipped=(),
        record_ids={key: at for at, key in enumerate(nodes if applied is None else applied)},
        applied_migrations=dict.fromkeys(nodes if applied is None else applied),
        has_missing=bool(lost or unknown),
        snapshot=SimpleNamespace(of=lambda *wanted: [key for key, status in unknown if status in wanted]),
        replace_migrations=True,
        # Whether files were modified is asked of the store; here they never were.
        store_is_ready=False,
        disk_migrations={key: node for key, node in nodes.items() if key not in lost},
    )


def refuse(line):
    raise AssertionError(line)


INITIAL = in_memory("shop.0001_initial", create("Product"))
PRICE = in_memory("shop.0002_price", add("product", "price"), after="shop.0001_initial")
STOCK = in_memory("shop.0002_stock", add("product", "stock"), after="shop.0001_initial")
CART = in_memory("cart.0001_initial", create("Cart"), after="shop.0002_price")
BLOG = in_memory("blog.0001_initial", create("Post"))


def names(steps):
    return [f"{migration.app_label}.{migration.name}" for migration, _ in steps]


def test_files_alone():
    """With nothing stored in play it is Django's plan, the very list."""
    steps = [(PRICE, True), (INITIAL, True)]

    plan = survey(loader(INITIAL, PRICE), steps, refuse)

    assert plan.migrations is steps
    assert not plan.needs_states_of_its_own
    assert not plan.has_stored_steps


def test_exactly_in_reverse_of_how_they_were_applied():
    """Of parallel branches, the one that was applied last goes first, whatever Django's graph says."""
    price, stock = recovered(PRICE), recovered(STOCK)
    known = loader(INITIAL, stock, price)

    plan = survey(known, [(stock, True), (price, True)], refuse)

    assert names(plan.migrations) == ["shop.0002_price", "shop.0002_stock"]
    assert plan.keys == [("shop", "0002_price"), ("shop", "0002_stock")]
    assert plan.unapplied == set(plan.keys)


def test_a_plan_forwards_keeps_its_order():
    """Going forward it is Django who knows."""
    steps = [(STOCK, False)]

    plan = survey(loader(INITIAL, recovered(PRICE), STOCK, applied=[("shop", "0001_initial")]), steps, refuse)

    assert plan.migrations is steps
    assert not plan.is_backwards


@pytest.mark.parametrize(
    "app, in_reach",
    [("shop", True), ("cart", True), ("blog", False)],
)
def test_in_reach(app, in_reach):
    """A missing migration matters to its app and to those one dependency away, and to no other."""
    steps = {"shop": (INITIAL, True), "cart": (CART, True), "blog": (BLOG, True)}
    known = loader(INITIAL, recovered(PRICE), CART, BLOG)
    # Without this a file depends on it, and no state can do without.
    if app == "blog":
        known = loader(INITIAL, recovered(PRICE), BLOG)

    plan = survey(known, [steps[app]], refuse)

    assert (("shop", "0002_price") in plan.recovered) is in_reach


def test_what_a_file_depends_on_is_needed_everywhere():
    """Its file was deleted from the middle of the chain."""
    known = loader(INITIAL, recovered(PRICE), CART, BLOG)

    plan = survey(known, [(BLOG, True)], refuse)

    assert plan.recovered.keys() == {("shop", "0002_price")}


def test_what_no_state_knows():
    """Missing ones without usable source, of the apps in reach."""
    unknown = [
        (("shop", "0003_lost"), FileStatus.MISSING),
        (("shop", "0004_known"), FileStatus.SQUASHED),
        (("blog", "0002_lost"), FileStatus.MISSING),
    ]

    plan = survey(loader(INITIAL, BLOG, unknown=unknown), [(INITIAL, True)], refuse)

    assert plan.not_in_state == {("shop", "0003_lost")}
    assert plan.needs_states_of_its_own


def test_by_its_file(monkeypatch):
    """A modified migration is unapplied as it was applied, unless somebody wants its file."""
    monkeypatch.setattr(planner, "rows_that_differ", lambda *args: [stored(PRICE)])
    monkeypatch.setattr(planner, "Store", lambda connection: None)
    known = loader(INITIAL, PRICE)
    known.connection = known.importer = None
    key = ("shop", "0002_price")

    (step,) = survey(known, [(PRICE, True)], refuse).steps
    (by_file,) = survey(known, [(PRICE, True)], refuse, {key}).steps

    assert step.origin == "stored"
    assert by_file.origin == "file"


def preparation(known, steps, warn=refuse):
    executor = SimpleNamespace(loader=known, connection=None)
    return Preparation(executor, survey(known, steps, warn), warn)


def test_what_cannot_be_used_takes_along_what_hangs_on_it():
    """It is said what is done without, and the plan itself must not hang on it."""
    said = []
    price = recovered(PRICE)
    after = recovered(in_memory("shop.0003_tax", add("product", "tax"), after="shop.0002_price"))
    prepared = preparation(loader(INITIAL, price, after, STOCK), [(STOCK, False)], said.append)
    error = NotRecoverable(price.key, "it is gone.")

    prepared._leave_out([price.key], error)

    assert prepared.plan.recovered == {}
    assert prepared.plan.not_in_state == {price.key, after.key}
    assert said == [f"{error.problem} It goes on without shop.0002_price, shop.0003_tax."]

    prepared = preparation(loader(INITIAL, price, after), [(after, True)])
    with pytest.raises(NotRecoverable, match="it is gone"):
        prepared._leave_out([price.key], error)
    assert prepared.plan.recovered


def test_a_squash_and_its_originals():
    """Without replacements the graph holds both; one of them belongs to the states."""
    squash = in_memory("shop.0001_squashed", create("Product"), replaces=[("shop", "0001_initial")])
    known = loader(INITIAL, squash, recovered(PRICE))
    known.replace_migrations = False
    known.originals = {("shop", "0001_squashed"): squash.replaces}
    prepared = preparation(known, [(INITIAL, True)])

    order = prepared._in_order([(migration, False) for migration in (squash, *known.graph.nodes.values())])

    assert order == [("shop", "0002_price"), ("shop", "0001_initial")]
