"""Progressive filling as plain loops, which numba compiles: the sums of `max_min.fill` in its order, so its bits too.

10,000 flows over a 64-host fat-tree take 1.9 s of CPU instead of 2.7 once it is loaded. Importing numba and loading
what it compiled before takes 0.45 s a process, compiling it the first time 1.3 s: only large problems ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np

from simulator.network.max_min import fill

COMPILED_FROM_FLOWS = 8_000
"""From about here on, loading numba costs less than it saves."""


def quickest_fill(num_flows: int) -> Callable[..., np.ndarray]:
    """`fill`, compiled where there is enough to do and numba is installed; without weights only."""
    return compiled_fill() if num_flows >= COMPILED_FROM_FLOWS and find_spec("numba") else fill


@cache
def compiled_fill() -> Callable[..., np.ndarray]:
    """`fill` of unweighted routes through numba."""
    import numba

    try:
        loops = numba.njit(cache=True)(_fill_loops)
    except RuntimeError:  # nowhere to keep what was compiled: compile in every process
        loops = numba.njit(_fill_loops)

    def through_loops(
        paths: np.ndarray,
        members: np.ndarray,
        capacity: np.ndarray,
        weights: None = None,
        caps: np.ndarray | None = None,
    ) -> np.ndarray:
        rate = np.full(paths.shape[1], math.inf) if caps is None else caps.copy()
        if len(paths):
            loops(np.ascontiguousarray(paths), members, np.append(capacity, math.inf), rate)
        return rate

    return through_loops


def _fill_loops(paths: np.ndarray, members: np.ndarray, left: np.ndarray, rate: np.ndarray) -> None:
    """Fills `rate`, which holds the caps, for the routes that flow over a link; uses up `left`."""
    longest, num_routes = paths.shape
    filler = len(left) - 1
    load, share = np.zeros(filler + 1), np.empty(filler + 1)
    gone_rate, gone_members = np.empty(filler + 1), np.empty(filler + 1)
    undercut = np.empty(filler + 1, np.bool_)
    still_open, filled = np.empty(num_routes, np.int64), np.empty(num_routes, np.int64)
    lowest, given = np.empty(num_routes), np.empty(num_routes)
    num_open = 0
    for route in range(num_routes):
        if members[route] > 0 and paths[0, route] < filler:
            still_open[num_open] = route
            num_open += 1
            for hop in range(longest):
                load[paths[hop, route]] += members[route]
    while num_open:
        for link in range(filler + 1):
            share[link] = left[link] / load[link] if load[link] > 0 else math.inf
            undercut[link] = False
            gone_rate[link] = gone_members[link] = 0.0
        for place in range(num_open):
            route = still_open[place]
            low = rate[route]
            for hop in range(longest):
                low = min(low, share[paths[hop, route]])
            lowest[route] = low
            for hop in range(longest):
                if share[paths[hop, route]] > low:
                    undercut[paths[hop, route]] = True
        num_filled = num_kept = 0
        for place in range(num_open):
            route = still_open[place]
            waits = lowest[route] < rate[route]
            for hop in range(longest):
                waits = waits and undercut[paths[hop, route]]
            if waits:
                still_open[num_kept] = route
                num_kept += 1
            else:
                rate[route] = lowest[route]
                filled[num_filled] = route
                given[num_filled] = rate[route] * members[route]
                num_filled += 1
        num_open = num_kept
        step = 1  # shell sort, so that what a link gives is added up in ascending order
        while step < num_filled // 3:
            step = 3 * step + 1
        while step > 0:
            for place in range(step, num_filled):
                value, route, to = given[place], filled[place], place
                while to >= step and given[to - step] > value:
                    given[to], filled[to] = given[to - step], filled[to - step]
                    to -= step
                given[to], filled[to] = value, route
            step //= 3
        for place in range(num_filled):
            route = filled[place]
            for hop in range(longest):
                gone_rate[paths[hop, route]] += given[place]
                gone_members[paths[hop, route]] += members[route]
        for link in range(filler + 1):
            left[link] -= gone_rate[link]
            load[link] -= gone_members[link]
