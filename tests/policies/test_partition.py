"""Balanced stages against every possible partition."""

from itertools import combinations_with_replacement

import pytest
from hypothesis import given, settings
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


@st.composite
def unequal(draw):
    """Unequal layers on stages of unequal speed and memory, the ends with work of their own."""
    costs = draw(st.lists(COST, min_size=1, max_size=8))
    stages = draw(st.integers(1, min(4, len(costs))))
    paces = draw(st.lists(st.integers(1, 9), min_size=stages, max_size=stages))
    sizes = draw(st.lists(COST, min_size=len(costs), max_size=len(costs)))
    limits = draw(st.lists(st.integers(0, sum(sizes)), min_size=stages, max_size=stages))
    return costs, paces, sizes, limits, draw(COST), draw(COST)


@settings(max_examples=500)
@given(unequal())
def test_on_unequal_stages_with_little_memory_it_is_what_trying_all_finds(case):
    costs, paces, sizes, limits, first, last = case
    stages = len(paces)

    def price(partition):
        each = [load * pace for load, pace in zip(loads(partition, costs, first, last), paces, strict=True)]
        return max(each), sum(load * load for load in each)

    def fits(stage, begin, end):
        return sum(sizes[begin:end]) <= limits[stage]

    def allowed(partition):
        ends = [sum(partition[:stage]) for stage in range(stages + 1)]
        held = all(partition[1:-1]) and (stages == 1 or ((partition[0] or first) and (partition[-1] or last)))
        return held and all(fits(stage, ends[stage], ends[stage + 1]) for stage in range(stages))

    prices = [price(other) for other in every_partition(len(costs), stages) if allowed(other)]
    if not prices:
        with pytest.raises(ValueError, match="fits in memory"):
            balanced_partition(costs, stages, first, last, paces, fits)
        return
    found = balanced_partition(costs, stages, first, last, paces, fits)
    assert allowed(found) and price(found) == min(prices)


def test_a_slow_stage_gets_fewer_layers_and_a_small_one_no_more_than_it_holds():
    assert balanced_partition([10] * 12, 2, paces=(2, 3)) == (7, 5)
    assert balanced_partition([10] * 12, 2, fits=lambda stage, begin, end: end - begin <= (4, 12)[stage]) == (4, 8)


def test_a_dear_head_takes_layers_off_its_stage():
    assert balanced_partition([10] * 16, 4) == (4, 4, 4, 4)
    assert balanced_partition([10] * 16, 4, last=25) == (5, 5, 4, 2)
    assert balanced_partition([10] * 16, 4, last=60) == (6, 5, 5, 0)


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(ValueError, match="2 layers cannot fill 3 stages"):
        balanced_partition([1, 1], 3)
