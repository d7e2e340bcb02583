"""Drawing less than everything without hiding anything."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.report.slices import merge_lane, merge_lanes, occupancy


def lane(lengths, gaps):
    """start, end, category, ops of a lane with these lengths and gaps before each."""
    lengths, gaps = np.array(lengths, dtype=np.int64), np.array(gaps, dtype=np.int64)
    end = np.cumsum(lengths + gaps)
    return end - lengths, end, np.arange(len(lengths)) % 3, np.arange(len(lengths))


lanes_of_ops = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60)


@given(lanes_of_ops, st.integers(1, 200))
def test_merging_keeps_every_nanosecond_of_work_and_every_op(pairs, pixel_ns):
    start, end, category, ops = lane(*zip(*pairs, strict=True))
    merged = merge_lane(start, end, category, ops, pixel_ns)
    assert merged.busy_ns.sum() == (end - start).sum()
    assert (merged.start_ns[1:] >= merged.end_ns[:-1]).all()
    assert (merged.busy_ns <= merged.end_ns - merged.start_ns).all()
    # two for each pixel the lane touches (its short ones, and a long one that starts in it), and their neighbours
    assert len(merged) <= 2 * (int(end[-1]) // pixel_ns + 1) + 1
    alone = merged.count == 1
    assert (merged.busy_ns[alone] == (end - start)[merged.op[alone]]).all()


@given(lanes_of_ops, st.integers(3, 40))
def test_the_budget_is_kept(pairs, budget):
    made = [lane(*zip(*pairs, strict=True)) for _ in range(1)]
    span = int(made[0][1].max())
    merged, pixel_ns = merge_lanes(made, span, budget)
    assert sum(map(len, merged)) <= budget
    if len(pairs) <= budget:
        assert pixel_ns == 0


def test_slices_of_a_pixel_and_more_are_never_merged():
    start, end, category, ops = lane([100, 1, 1, 50, 1], [0, 0, 0, 0, 0])
    merged = merge_lane(start, end, category, ops, 50)
    assert merged.count.tolist() == [1, 2, 1, 1]
    assert merged.start_ns.tolist() == [0, 100, 102, 152]


def test_a_merged_slice_shows_what_it_holds_most_of():
    start, end = np.array([0, 3, 4]), np.array([3, 4, 5])
    merged = merge_lane(start, end, np.array([2, 0, 0]), np.arange(3), 100)
    assert merged.category.tolist() == [2]


@given(lanes_of_ops, st.integers(1, 17))
def test_occupancy_is_the_covered_share(pairs, bins):
    start, end, _, _ = lane(*zip(*pairs, strict=True))
    span = int(end[-1]) or 1
    share = occupancy(start, end, span, bins)
    assert np.isclose(share.sum() * span / bins, (end - start).sum())
    assert (share >= -1e-9).all() and (share <= 1 + 1e-9).all()
    busy = np.zeros(span, dtype=bool)
    for one, other in zip(start, end, strict=True):
        busy[one:other] = True
    if span % bins == 0:
        assert np.allclose(share, busy.reshape(bins, -1).mean(axis=1))
