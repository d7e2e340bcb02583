"""Balanced stages against every possible partition."""

from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policies.partition import balanced_partition

COST = st.integers(0, 20)


def loads(partition, costs, first, last):
    found, at = [], 0
    for count in partition:
        found.append(sum(costs[at : at + count]))
        at += count
    found[0] += first
    found[-1] += last
    return found


def every_partition(layers, stages):
    for cuts in combinations_with_replacement(range(layers + 1), stages - 1):
        yield tuple(end - begin for begin, end in zip((0, *cuts), (*cuts, layers), strict=True))


@given(st.lists(COST, min_size=1, max_size=8), st.integers(1, 5), COST, COST)
def test_no_partition_has_a_faster_slowest_stage_and_evener_others(costs, stages, first, last):
    stages = min(stages, len(costs))
    found = balanced_partition(costs, stages, first, last)
    assert len(found) == stages and sum(found) == len(costs)
    assert all(found[1:-1]) and (found[0] or first) and (found[-1] or last)

    def price(partition):
        each = loads(partition, costs, first, last)
        return max(each), sum(load * load for load in each)

    allowed = [
        other for other in every_partition(len(costs), stages)
        if all(other[1:-1]) and ((other[0] or first) and (other[-1] or last) if stages > 1 else True)
    ]  # fmt: skip
    assert price(found) == min(map(price, allowed))


def test_a_dear_head_takes_layers_off_its_stage():
    assert balanced_partition([10] * 16, 4) == (4, 4, 4, 4)
    assert balanced_partition([10] * 16, 4, last=25) == (5, 5, 4, 2)
    assert balanced_partition([10] * 16, 4, last=60) == (6, 5, 5, 0)


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(ValueError, match="2 layers cannot fill 3 stages"):
        balanced_partition([1, 1], 3)
