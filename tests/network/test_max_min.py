"""Max-min fair shares: hand-worked cases, then what makes an allocation max-min, on random links and flows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_shares import exact_shares, traffic

from simulator.errors import ScenarioError
from simulator.network import fair_share

weight = st.sampled_from([0.25, 1.0, 2.0, 3.0, 0.7])
cap = st.one_of(st.just(math.inf), st.floats(0.1, 10.0))


def test_flows_on_one_link_share_it_evenly():
    assert fair_share([(0,)] * 4, [100.0]) == [25.0] * 4


def test_what_one_flow_cannot_use_the_others_get():
    """A line of two links, 10 and 4: the long flow and the short one on the narrow link get 2, the other the rest."""
    assert fair_share([(0, 1), (1,), (0,)], [10.0, 4.0]) == [2.0, 2.0, 8.0]


def test_a_nodes_simultaneous_sends_share_its_nic():
    """Seven sends out of one host of a star of 8: each takes a seventh of the host's way up, not a link of its own."""
    flows = [(0, 2 * target + 1) for target in range(1, 8)]
    assert fair_share(flows, [50e9] * 16) == pytest.approx([50e9 / 7] * 7, rel=1e-14)


def test_a_weight_counts_as_so_many_flows():
    assert fair_share([(0,), (0,)], [9.0], weights=[2.0, 1.0]) == [6.0, 3.0]


def test_what_a_capped_flow_leaves_the_others_get():
    assert fair_share([(0,), (0,), (0,)], [9.0], rate_caps=[1.0, math.inf, 100.0]) == [1.0, 4.0, 4.0]


def test_a_flow_over_no_link_is_bound_by_its_cap_only():
    assert fair_share([(), (0,)], [5.0]) == [math.inf, 5.0]
    assert fair_share([(), (0,)], [5.0], rate_caps=[3.0, 1.0]) == [3.0, 1.0]
    assert fair_share([()], []) == [math.inf]
    assert fair_share([], [5.0]) == []


def test_links_far_apart_in_rate_are_each_exact():
    assert fair_share([(0,), (0, 1), (0, 1), (0, 1)], [1e15, 1.0]) == [1e15 - 1, *[1 / 3] * 3]


def test_a_link_that_carries_no_flow_binds_nobody():
    assert fair_share([(1,)], [1.0, 7.0]) == [7.0]


@given(traffic())
def test_no_link_carries_more_than_it_can(case):
    flows, capacities = case
    rates = fair_share(flows, capacities)
    for link, capacity in enumerate(capacities):
        assert math.fsum(rate for rate, path in zip(rates, flows, strict=True) if link in path) <= capacity * (
            1 + 1e-14
        )


@given(traffic())
def test_every_flow_has_a_full_link_where_none_is_faster(case):
    """The bottleneck condition: necessary and sufficient for an allocation to be max-min fair."""
    flows, capacities = case
    rates = fair_share(flows, capacities)
    for rate, path in zip(rates, flows, strict=True):
        bottlenecks = 0
        for link in path:
            there = [other for other, crossed in zip(rates, flows, strict=True) if link in crossed]
            full = math.fsum(there) == pytest.approx(capacities[link], rel=1e-9)
            bottlenecks += full and rate >= max(there) * (1 - 1e-9)
        assert bottlenecks > 0


@given(traffic(), st.data())
def test_rates_are_those_of_filling_in_exact_numbers(case, data):
    flows, capacities = case
    weights = data.draw(st.none() | st.lists(weight, min_size=len(flows), max_size=len(flows)))
    caps = data.draw(st.none() | st.lists(st.floats(0.1, 10.0), min_size=len(flows), max_size=len(flows)))
    rates = fair_share(flows, capacities, weights=weights, rate_caps=caps)
    exact = [float(rate) for rate in exact_shares(flows, capacities, weights, caps)]
    assert rates == pytest.approx(exact, rel=1e-13, abs=0)


@given(traffic(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_flows_changes_no_bit(case, rng, weighted):
    flows, capacities = case
    weights = [rng.choice([0.1, 0.7, 1.0, 3.0]) for _ in flows] if weighted else None
    order = rng.sample(range(len(flows)), len(flows))
    rates = fair_share(flows, capacities, weights=weights)
    shuffled = fair_share(
        [flows[i][::-1] for i in order], capacities, weights=[weights[i] for i in order] if weighted else None
    )
    assert shuffled == [rates[i] for i in order]


@given(traffic(), st.randoms(use_true_random=False), st.booleans())
def test_the_names_of_links_change_no_bit(case, rng, weighted):
    flows, capacities = case
    weights = [rng.choice([0.1, 0.7, 1.0, 3.0]) for _ in flows] if weighted else None
    name = rng.sample(range(len(capacities)), len(capacities))
    renamed = [tuple(name[link] for link in path) for path in flows]
    moved = np.empty(len(capacities))
    moved[name] = capacities
    assert fair_share(renamed, moved, weights=weights) == fair_share(flows, capacities, weights=weights)


@given(traffic(), st.data())
def test_another_flow_never_helps_the_slowest(case, data):
    flows, capacities = case
    extra = data.draw(st.sampled_from(flows))
    slowest = min(fair_share(flows, capacities))
    assert min(fair_share([*flows, extra], capacities)) <= slowest * (1 + 1e-12)


@settings(max_examples=30)
@given(traffic(max_links=5, max_flows=6, capacity=st.integers(1, 20).map(float)))
def test_no_other_allocation_is_lexicographically_better(case):
    """Against a linear-programming solver: raise the least rate as far as it goes, fix who cannot rise, and again."""
    linprog = pytest.importorskip("scipy.optimize").linprog
    flows, capacities = case
    on_link = np.array([[link in path for path in flows] for link in range(len(capacities))], dtype=float)
    fixed: dict[int, float] = {}
    while len(fixed) < len(flows):
        free = [flow for flow in range(len(flows)) if flow not in fixed]
        bounds = [(fixed.get(flow, 0), fixed.get(flow)) for flow in range(len(flows))]
        rising = np.zeros((len(free), len(flows) + 1))
        for row, flow in enumerate(free):
            rising[row, flow], rising[row, -1] = -1.0, 1.0
        least = -linprog(
            [0.0] * len(flows) + [-1.0],
            np.vstack([np.hstack([on_link, np.zeros((len(capacities), 1))]), rising]),
            [*capacities, *[0.0] * len(free)],
            bounds=[*bounds, (0, None)],
        ).fun
        for flow in free:
            floor = [(least - 1e-9, None) if other in free else bounds[other] for other in range(len(flows))]
            objective = [-float(other == flow) for other in range(len(flows))]
            if -linprog(objective, on_link, capacities, bounds=floor).fun <= least + 1e-6:
                fixed[flow] = least
    assert fair_share(flows, capacities) == pytest.approx([fixed[f] for f in range(len(flows))], rel=1e-6)


@pytest.mark.parametrize(
    ("flows", "capacities", "keywords", "words"),
    [
        ([(2,)], [1.0, 1.0], {}, "flow 0 crosses link 2, and links are numbered from 0 to 1"),
        ([(0,), (-1,)], [1.0], {}, "flow 1 crosses link -1"),
        ([(0, 0)], [1.0], {}, "flow 0 crosses one link twice"),
        ([0], [1.0], {}, "give a tuple of link indices"),
        ([(0.5,)], [1.0], {}, "give a tuple of link indices"),
        ([(0,)], [0.0], {}, "capacity of link 0 is 0.0; give a rate above 0"),
        ([(0,)], [math.inf], {}, "capacity of link 0 is inf"),
        ([(0,)], [math.nan], {}, "capacity of link 0 is nan"),
        ([(0,)], [1.0], {"weights": [1.0, 2.0]}, "2 values of weight for 1 flows"),
        ([(0,)], [1.0], {"weights": [0.0]}, "weight of flow 0 is 0.0"),
        ([(0,)], [1.0], {"weights": [math.inf]}, "weight of flow 0 is inf"),
        ([(0,)], [1.0], {"rate_caps": [-1.0]}, "rate cap of flow 0 is -1.0"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_sentence(flows, capacities, keywords, words):
    with pytest.raises(ScenarioError, match=words):
        fair_share(flows, capacities, **keywords)
