"""When flows over shared links arrive: a fluid model in float64 seconds.

A flow moves at its max-min fair rate, which changes only when another starts or ends; all of one instant are taken
together and followed by one solve. Latency is added at the end: the last byte leaves at the shared rate and travels the
path's latencies, so messages are not stored and forwarded. Not modelled: packets, slow start, buffers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from simulator.errors import ScenarioError
from simulator.network.max_min import refuse_where
from simulator.network.route_shares import RouteShares
from simulator.network.under_way import UnderWay


def simulate_flows(
    flows: Sequence[tuple[float, float, Iterable[int]]],
    capacities: Sequence[float],
    latencies: Sequence[float] | None = None,
    *,
    weights: Sequence[float] | None = None,
    rate_caps: Sequence[float] | None = None,
) -> list[float]:
    """Seconds at which each flow's last byte arrives, in the order of the flows.

    flows: (bytes, start_s, path), a path being the link indices it crosses. capacities: bytes/s of each link.
    latencies: seconds of each link, default 0. weights, rate_caps: as in `fair_share`.
    A flow of no bytes, or over no link and without a cap, arrives when it starts (plus latency).
    Raises ScenarioError for bytes, times or latencies that are negative or not finite, and as `fair_share` does.
    """
    checked = [_checked_flow(number, flow) for number, flow in enumerate(flows)]
    num_bytes = np.array([flow[0] for flow in checked], dtype=float)
    start_s = np.array([flow[1] for flow in checked], dtype=float)
    paths = [flow[2] for flow in checked]
    refuse_where(~(np.isfinite(num_bytes) & (num_bytes >= 0)), num_bytes, "flow {i} has {v} bytes", "0 or more")
    refuse_where(~np.isfinite(start_s), start_s, "flow {i} starts at {v}", "a time in seconds")
    shares = RouteShares(paths, capacities, weights=weights, rate_caps=rate_caps)
    latency_s = path_latencies(paths, len(capacities), latencies)
    return (_finish_times(num_bytes, start_s, shares) + latency_s).tolist()


def _finish_times(num_bytes: np.ndarray, start_s: np.ndarray, shares: RouteShares) -> np.ndarray:
    """Seconds at which each flow's last byte leaves."""
    finish_s = start_s.copy()
    to_start = np.flatnonzero(num_bytes > 0)
    to_start = to_start[np.argsort(start_s[to_start], kind="stable")]
    begins, next_start = start_s[to_start], 0
    under_way = UnderWay(shares.route_of_flow)
    while True:
        now = min(under_way.next_end_s(), begins[next_start] if next_start < len(begins) else math.inf)
        if now == math.inf:
            return finish_s
        ended = under_way.end(now)
        if len(ended):
            finish_s[ended] = now
            shares.stop(ended)
        if next_start < len(begins) and begins[next_start] == now:
            after = int(np.searchsorted(begins, now, side="right"))
            fresh, next_start = to_start[next_start:after], after
            under_way.add(fresh, num_bytes[fresh], now)
            shares.start(fresh)
        shares.solve()
        under_way.take_rates(shares.rates, now)


def _checked_flow(number: int, flow: tuple[float, float, Iterable[int]]) -> tuple[float, float, tuple[int, ...]]:
    try:
        num_bytes, start_s, path = flow
        return float(num_bytes), float(start_s), tuple(path)
    except (TypeError, ValueError):
        raise ScenarioError(f"flow {number} is {flow!r}; give (bytes, start_s, path)") from None


def path_latencies(paths: list[tuple[int, ...]], num_links: int, latencies: Sequence[float] | None) -> np.ndarray:
    """Seconds that each path adds, summed in its own order."""
    if latencies is None:
        return np.zeros(len(paths))
    of_link = np.asarray(list(latencies), dtype=float)
    if len(of_link) != num_links:
        raise ScenarioError(f"{len(of_link)} latencies for {num_links} links; give one a link")
    refuse_where(~(np.isfinite(of_link) & (of_link >= 0)), of_link, "latency of link {i} is {v}", "seconds from 0")
    seconds = of_link.tolist()
    return np.array([math.fsum(seconds[link] for link in path) for path in paths])
