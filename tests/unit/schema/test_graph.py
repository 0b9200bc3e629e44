"""What has to go, and in which order: keys in, keys out."""

from __future__ import annotations

import random

from django_rewind.schema.graph import closure, in_applied_order

A, B, C, D = [("shop", f"000{number}") for number in (1, 2, 3, 4)]
OTHER = ("stock", "0001")


def test_closure_holds_the_start_and_everything_that_can_be_reached():
    """A key is part of its own closure, and edges are followed however far."""
    assert closure([A], {A: [B], B: [C], D: [OTHER]}) == {A, B, C}


def test_closure_of_nothing_is_empty():
    """Without a start nothing is reached."""
    assert closure([], {A: [B]}) == set()


def test_closure_ends_on_a_circle():
    """A circle is walked once."""
    assert closure([A], {A: [B], B: [A]}) == {A, B}


def test_closure_keeps_keys_without_edges():
    """A key of which the graph knows nothing stands for itself."""
    assert closure([OTHER], {A: [B]}) == {OTHER}


def test_closure_takes_any_iterable():
    """Start and edges may be generators."""
    assert closure((key for key in [A]), {A: (key for key in [B])}) == {A, B}


def test_order_is_that_of_the_records():
    """Names and apps do not count, the ids do."""
    assert in_applied_order([A, B, OTHER], {}, {A: 3, B: 1, OTHER: 2}) == [B, OTHER, A]


def test_parents_come_first_whatever_the_records_say():
    """A parent that was recorded later, as a faked one may be, still comes first."""
    assert in_applied_order([A, B], {B: [A]}, {A: 9, B: 1}) == [A, B]


def test_order_is_taken_up_again_behind_a_late_parent():
    """What waits for a late parent follows at once; what does not wait stays in its place."""
    assert in_applied_order([A, B, C], {B: [A]}, {A: 9, B: 1, C: 10}) == [A, B, C]
    assert in_applied_order([A, B, C], {B: [A]}, {A: 9, B: 1, C: 2}) == [C, A, B]


def test_parallel_branches_keep_the_order_in_which_they_were_applied():
    """Two branches from one root come out as they were interleaved."""
    parents = {B: [A], C: [A], D: [B, C]}
    assert in_applied_order([D, C, B, A], parents, {A: 1, C: 2, B: 3, D: 4}) == [A, C, B, D]


def test_edges_out_of_the_keys_do_not_count():
    """A parent that is not asked for neither appears nor blocks."""
    assert in_applied_order([B], {B: [A]}, {A: 1, B: 2}) == [B]


def test_what_has_no_record_counts_as_the_newest():
    """Without an id a key comes after all that have one."""
    assert in_applied_order([A, B, C], {}, {B: 1, C: 500}) == [B, C, A]


def test_equal_ids_are_sorted_by_key():
    """A squashed migration and its original share an id: the order is still one and the same."""
    assert in_applied_order([B, A], {}, {A: 1, B: 1}) == [A, B]
    assert in_applied_order([B, A], {}, {}) == [A, B]


def test_order_of_nothing_is_empty():
    """Without keys there is nothing to sort."""
    assert in_applied_order([], {A: [B]}, {A: 1}) == []


def test_the_order_does_not_depend_on_how_the_keys_come_in():
    """Any order of the same keys leads to the same result, with every key once and parents first."""
    chance = random.Random(1)
    keys = [("shop", f"{number:04}") for number in range(40)]
    parents = {key: chance.sample(keys[:index], min(index, 2)) for index, key in enumerate(keys)}
    ids = {key: chance.randrange(1000) for key in keys}
    expected = in_applied_order(keys, parents, ids)
    chance.shuffle(keys)
    assert in_applied_order(keys, parents, ids) == expected
    assert sorted(expected) == sorted(keys)
    assert all(expected.index(one) < expected.index(key) for key in keys for one in parents[key])
