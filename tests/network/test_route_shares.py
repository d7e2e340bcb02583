"""Rates that follow flows as they come and go: those of a full solve, of which only what a change reaches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_shares import traffic

from simulator.errors import ScenarioError
from simulator.network import RouteShares, fair_share

cap = st.sampled_from([0.5, 2.0, 1e9])


@given(traffic(max_links=10, max_flows=14), st.data(), st.sampled_from(["plain", "capped", "weighted"]))
def test_after_every_change_the_rates_are_those_of_a_full_solve(case, data, kind):
    flows, capacities = case
    per_flow = st.lists(cap if kind == "capped" else st.sampled_from([0.3, 1.0, 2.5]), min_size=len(flows),
                        max_size=len(flows))  # fmt: skip
    keywords = {} if kind == "plain" else {"rate_caps" if kind == "capped" else "weights": data.draw(per_flow)}
    shares = RouteShares(flows, capacities, **keywords)
    flowing: list[int] = []
    for _ in range(data.draw(st.integers(1, 8))):
        waiting = [flow for flow in range(len(flows)) if flow not in flowing]
        starts = data.draw(st.lists(st.sampled_from(waiting), unique=True, max_size=4)) if waiting else []
        stops = data.draw(st.lists(st.sampled_from(flowing), unique=True, max_size=2)) if flowing else []
        shares.start(starts)
        shares.stop(stops)
        flowing = sorted({*flowing, *starts} - {*stops})
        before = shares.rates
        changed = shares.solve()
        full = fair_share(
            [flows[flow] for flow in flowing], capacities,
            **{key: [values[flow] for flow in flowing] for key, values in keywords.items()},
        )  # fmt: skip
        assert shares.rates[shares.route_of_flow[flowing]].tolist() == pytest.approx(full, rel=1e-13, abs=0)
        assert changed.tolist() == np.flatnonzero(shares.rates != before).tolist()


@given(traffic(max_links=5, max_flows=6), traffic(max_links=5, max_flows=6))
def test_two_networks_side_by_side_get_what_each_gets_alone(left, right):
    """Component-wise equals full: no bit of one component depends on the other."""
    moved = [tuple(link + len(left[1]) for link in path) for path in right[0]]
    both = fair_share([*left[0], *moved], [*left[1], *right[1]])
    alone = [fair_share(*case) for case in (left, right)]
    assert both == alone[0] + alone[1]


def test_only_the_component_that_changed_is_solved_again():
    """A hundred pairs of flows, each on a link of its own: one that starts or stops costs its own link only."""
    flows = [(0 + 2 * pair, 1 + 2 * pair) for pair in range(100)] + [(2 * pair,) for pair in range(100)]
    shares = RouteShares(flows, [8.0] * 200)
    shares.start(range(100))
    shares.solve()
    assert shares.solved_routes == 100
    shares.start([107])
    assert shares.solve().tolist() == sorted(shares.route_of_flow[[7, 107]].tolist())
    assert shares.solved_routes == 102
    shares.stop([107])
    shares.solve()
    assert shares.solved_routes == 103
    assert shares.rates[shares.route_of_flow[7]] == 8.0


def test_components_fall_apart_again_when_what_joined_them_has_left():
    pairs = [(2 * pair, 2 * pair + 1) for pair in range(100)]
    shares = RouteShares([*pairs, *[(pair,) for pair in range(200)], tuple(range(200))], [8.0] * 200)
    bridge = 300
    shares.start([*range(100), bridge])
    shares.solve()
    for _ in range(2):
        shares.stop([bridge])
        shares.solve()
        shares.start([bridge])
        shares.solve()
    shares.stop([bridge])
    shares.solve()
    for flow in range(100, 300):
        shares.start([flow])
        shares.solve()
        shares.stop([flow])
        shares.solve()
    solved = shares.solved_routes
    shares.start([100])
    shares.solve()
    assert shares.solved_routes == solved + 2


def test_what_was_filled_below_a_leaving_flow_is_left_alone():
    """Three flows on a narrow link, one of them on the wide one too: when a fast flow leaves, the slow ones stay."""
    shares = RouteShares([(0,), (0,), (0, 1), (1,), (1,)], [3.0, 11.0])
    shares.start(range(5))
    shares.solve()
    assert shares.rates[shares.route_of_flow].tolist() == pytest.approx([1.0, 1.0, 1.0, 5.0, 5.0])
    solved = shares.solved_routes
    shares.stop([4])
    shares.solve()
    assert shares.rates[shares.route_of_flow[:4]].tolist() == pytest.approx([1.0, 1.0, 1.0, 10.0])
    assert shares.solved_routes == solved + 1


def test_a_flow_that_has_not_started_cannot_stop():
    shares = RouteShares([(0,), (0, 1)], [1.0, 1.0])
    shares.start([0])
    with pytest.raises(ScenarioError, match="has not started"):
        shares.stop([1])
    shares.solve()
    assert shares.rates[shares.route_of_flow].tolist() == [1.0, 0.0]
