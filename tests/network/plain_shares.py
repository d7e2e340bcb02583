"""Progressive filling as a textbook has it, one level after another in exact numbers: what the fast one is held to."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st


def exact_shares(flows, capacities, weights=None, rate_caps=None) -> list[Fraction]:
    """Max-min rates as fractions; every flow must cross a link. A cap is a link of the flow's own."""
    weights = [Fraction(w) for w in (weights or [1] * len(flows))]
    paths = [set(path) for path in flows]
    left = {link: Fraction(capacity) for link, capacity in enumerate(capacities)}
    for flow, cap in enumerate(rate_caps or ()):
        left["cap", flow] = Fraction(cap)
        paths[flow].add(("cap", flow))
    rates: dict[int, Fraction] = {}
    while len(rates) < len(flows):
        load = {
            link: sum(weights[f] for f in range(len(flows)) if f not in rates and link in paths[f]) for link in left
        }
        shares = {link: left[link] / load[link] for link in left if load[link]}
        lowest = min(shares.values())
        full = {link for link, share in shares.items() if share == lowest}
        for flow in [f for f in range(len(flows)) if f not in rates and paths[f] & full]:
            rates[flow] = lowest * weights[flow]
            for link in paths[flow]:
                left[link] -= rates[flow]
    return [rates[flow] for flow in range(len(flows))]


@st.composite
def traffic(draw, max_links=7, max_flows=12, capacity=None):
    """(paths, capacities): few links and few distinct capacities, so that links tie often."""
    if capacity is None:
        capacity = st.one_of(st.integers(1, 6).map(float), st.floats(1.0, 1e3), st.sampled_from([25e9, 50e9, 300e9]))
    num_links = draw(st.integers(1, max_links))
    capacities = draw(st.lists(capacity, min_size=num_links, max_size=num_links))
    path = st.lists(st.integers(0, num_links - 1), min_size=1, max_size=4, unique=True).map(tuple)
    return draw(st.lists(path, min_size=1, max_size=max_flows)), capacities
