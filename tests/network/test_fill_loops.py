"""Progressive filling through numba: the bits of numpy's, and only where there is enough to do."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_shares import traffic

from simulator.network import RouteShares, fill_loops, simulate_flows
from simulator.network.max_min import distinct_routes, fill

cap = st.one_of(st.just(math.inf), st.floats(0.1, 10.0))


@given(traffic(max_links=10, max_flows=14), st.data())
def test_plain_loops_give_the_bits_of_numpy(case, data):
    """Whether or not numba is installed: the loops as Python runs them."""
    flows, capacities = case
    caps = data.draw(st.none() | st.lists(cap, min_size=len(flows), max_size=len(flows)))
    paths, route_of_flow, _, route_caps = distinct_routes(flows, len(capacities), None, caps)
    members = np.bincount(route_of_flow).astype(float)
    members[data.draw(st.integers(0, len(members) - 1))] = data.draw(st.integers(0, 3))
    rate = np.full(len(members), math.inf) if route_caps is None else route_caps.copy()
    fill_loops._fill_loops(paths, members, np.append(capacities, math.inf), rate)
    assert rate.tolist() == fill(paths, members, np.array(capacities), None, route_caps).tolist()


def test_compiled_flows_end_at_the_same_bits(monkeypatch):
    pytest.importorskip("numba")
    rng = random.Random(2)
    capacities = [rng.uniform(1e9, 50e9) for _ in range(40)]
    flows = [(rng.uniform(1e6, 1e9), rng.choice([0.0, 0.1]), tuple(rng.sample(range(40), rng.choice([0, 1, 2, 4]))))
             for _ in range(400)]  # fmt: skip
    caps = [rng.choice([math.inf, 1e9]) for _ in flows]
    assert RouteShares([flow[2] for flow in flows], capacities)._fill is fill
    by_numpy = simulate_flows(flows, capacities), simulate_flows(flows, capacities, rate_caps=caps)
    monkeypatch.setattr(fill_loops, "COMPILED_FROM_FLOWS", 1)
    assert RouteShares([flow[2] for flow in flows], capacities)._fill is fill_loops.compiled_fill()
    assert RouteShares([(0,)], [1.0], weights=[2.0])._fill is fill
    assert (simulate_flows(flows, capacities), simulate_flows(flows, capacities, rate_caps=caps)) == by_numpy


def test_without_numba_numpy_fills(monkeypatch):
    monkeypatch.setattr(fill_loops, "find_spec", lambda name: None)
    assert fill_loops.quickest_fill(10**6) is fill
