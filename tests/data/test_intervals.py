"""Interval sets against sets of positions."""

import numpy as np
import pytest

from diffbio_eqx.data.intervals import Intervals


def draw(rng):
    start = rng.integers(0, 90, rng.integers(0, 9))
    return Intervals.of(start, start + rng.integers(0, 12, len(start)))


def positions(intervals):
    pairs = zip(intervals.start.tolist(), intervals.end.tolist())
    return {at for low, high in pairs for at in range(low, high)}


def test_of_sorts_and_merges():
    found = Intervals.of(np.array([30, 5, 8, 20, 40]), np.array([35, 9, 20, 20, 41]))
    assert found.start.tolist() == [5, 30, 40] and found.end.tolist() == [20, 35, 41]
    assert (len(found), found.size) == (3, 21)
    touching = Intervals.of(np.array([1, 3]), np.array([3, 5]))
    assert touching.start.tolist() == [1] and touching.end.tolist() == [5]


def test_an_end_before_its_start_is_an_error():
    with pytest.raises(ValueError, match=r"got \[7, 6\) at entry 1"):
        Intervals.of(np.array([1, 7]), np.array([2, 6]))


@pytest.mark.parametrize("seed", range(8))
def test_everything_equals_sets_of_positions(seed):
    rng = np.random.default_rng(seed)
    one, two = draw(rng), draw(rng)
    mine, other = positions(one), positions(two)
    at = np.arange(-2, 110)
    assert one.contains(at).tolist() == [p in mine for p in at.tolist()]
    assert one.size == len(mine)
    low = rng.integers(0, 100, 200)
    high = low + rng.integers(1, 9, 200)
    ranges = [set(range(a, b)) for a, b in zip(low.tolist(), high.tolist())]
    assert one.contains_ranges(low, high).tolist() == [r <= mine for r in ranges]
    assert one.overlaps(low, high).tolist() == [bool(r & mine) for r in ranges]
    assert positions(one.intersect(two)) == mine & other
    assert positions(one.clipped(20, 60)) == {p for p in mine if 20 <= p < 60}


def test_empty_sets():
    none = Intervals.of(np.zeros(0, np.int64), np.zeros(0, np.int64))
    some = Intervals.of(np.array([3]), np.array([9]))
    assert len(none) == none.size == 0
    assert not none.contains(np.arange(5)).any()
    assert not none.overlaps(np.array([1]), np.array([5])).any()
    assert len(none.intersect(some)) == len(some.intersect(none)) == 0
