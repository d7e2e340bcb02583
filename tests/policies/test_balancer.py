"""The length balancer: even deals of samples, against brute force, and what it may never do."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.policies.balancer import LengthBalancer, even_deal
from simulator.policies.decisions import Decision

some_costs = st.lists(st.integers(0, 50), min_size=12, max_size=12)


def balancer(replicas=3, microbatches=2, size=2, **how):
    return LengthBalancer(replicas, microbatches, size, square=3, linear=40, **how)


def loads(costs, deal):
    return sorted(sum(costs[item] for item in own) for own in deal)


@given(some_costs, st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_a_deal_gives_every_item_to_one_bin_and_equally_many_to_each(costs, bins):
    deal = even_deal(costs, range(12), bins)
    assert sorted(item for own in deal for item in own) == list(range(12))
    assert {len(own) for own in deal} == {12 // bins}


@given(st.lists(st.integers(0, 50), min_size=8, max_size=8))
def test_two_bins_are_near_the_best_that_any_deal_reaches(costs):
    """Against all 70 deals: differencing is no exact method; its spread is never above the largest item's."""
    best = min(abs(sum(costs) - 2 * sum(costs[item] for item in half)) for half in combinations(range(8), 4))
    low, high = loads(costs, even_deal(costs, range(8), 2))
    assert best <= high - low <= max(costs) - min(costs)


def test_a_deal_by_hand():
    """8 7 | 6 5 | 4 3: three partial deals of spread 1, joined dearest to cheapest: 8+5 and 7+6, then with 4 and 3."""
    costs = [8, 7, 6, 5, 4, 3]
    assert loads(costs, even_deal(costs, range(6), 2)) == [16, 17]
    assert loads([1, 9, 1, 9], even_deal([1, 9, 1, 9], range(4), 2)) == [10, 10]


@settings(max_examples=settings.default.max_examples * 2)
@given(st.lists(st.integers(1, 4096), min_size=12, max_size=12), st.booleans(), st.booleans())
def test_it_is_never_worse_than_the_loaders_own_order(lengths, padded, lockstep):
    policy = balancer(padded=padded, lockstep=lockstep)
    order = policy.decide(lengths)
    assert policy.check(order, 0) == order
    assert policy.cost(lengths, order) <= policy.cost(lengths, policy.unbalanced)
    assert policy.decision(0, lengths, order).predicted_gain >= 0
    even = -(-sum(3 * n * n + 40 * n for n in lengths) // 3)
    assert policy.cost(lengths, order) >= even  # nothing beats a perfect deal


def test_equal_samples_stay_where_they_are():
    policy = balancer()
    assert policy.decide([7] * 12) == policy.unbalanced == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
    assert policy.decision(0, [7] * 12, policy.unbalanced).predicted_gain == 0


def test_padded_samples_of_like_length_share_a_microbatch():
    policy = balancer(replicas=2, microbatches=2, size=2, padded=True)
    lengths = [100, 1, 1, 100, 2, 101, 101, 2]
    order = policy.decide(lengths)
    for own in order:
        for first in (0, 2):
            assert abs(lengths[own[first]] - lengths[own[first + 1]]) <= 1
    assert policy.cost(lengths, order) < policy.cost(lengths, policy.unbalanced)


def test_its_decisions_are_lines_that_can_be_replayed():
    policy, lengths = balancer(), [100, 90, 80, 70, 60, 50, 1, 2, 3, 4, 5, 6]
    decision = policy.decision(4, lengths, policy.decide(lengths))
    again = Decision.from_text(decision.text)
    assert (again.step, again.policy, again.before) == (4, "length", policy.unbalanced)
    assert policy.check(again.after, 4) == policy.decide(lengths)
    gain = policy.cost(lengths, again.before) / policy.cost(lengths, again.after) - 1
    assert again.predicted_gain == pytest.approx(gain, rel=1e-8)


@pytest.mark.parametrize("order", [
    ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 10)),
    ((0, 1, 2), (3, 4, 5, 6, 7), (8, 9, 10, 11)),
    ((0, 1, 2, 3), (4, 5, 6, 7)),
    (("0", 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)),
    "all",
])  # fmt: skip
def test_an_order_that_deals_otherwise_is_refused(order):
    with pytest.raises(ScenarioError, match="step 4 does not deal 12 samples out to 3 replicas, each once"):
        balancer().check(order, 4)
