"""Max-min fair rates of flows that share links, by progressive filling.

All rates rise together; where a link is full its flows keep what they have and the others rise on (Bertsekas and
Gallager, Data Networks, 1992, section 6.5.2). Links are not filled one after another: a round fills every link that no
link beside it undercuts, ties included. On a 64-host fat-tree with 10,000 flows that is 20 rounds instead of 166.

What a link has given is summed in ascending order, so neither the order of the flows nor the names of the links change
a bit and ties need no rule of ids; a round looks only at links that flows join, so components solved apart give the
bits of the whole.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Sequence

import numpy as np

from simulator.errors import ScenarioError


def fair_share(
    flows: Sequence[Iterable[int]],
    capacities: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    rate_caps: Sequence[float] | None = None,
) -> list[float]:
    """Max-min rates, in the unit of the capacities, one a flow and in their order.

    flows: for each the indices of the links it crosses; one that crosses none is bound by its cap only (inf without).
    weights: a flow of weight w gets w times what its neighbour of weight 1 gets. Default 1.
    rate_caps: the most a flow takes; inf: no bound.
    Exact to the rounding of float64: a link may be over-full by some parts in 10^16.
    Raises ScenarioError for a link that is not there or that a flow crosses twice, and for capacities, weights or caps
    that are not above 0.
    """
    capacity = checked_capacities(capacities)
    paths, route_of_flow, route_weights, caps = distinct_routes(flows, len(capacity), weights, rate_caps)
    members = np.bincount(route_of_flow, minlength=paths.shape[1]).astype(float)
    return fill(paths, members, capacity, route_weights, caps)[route_of_flow].tolist()


def checked_capacities(capacities: Sequence[float]) -> np.ndarray:
    """The capacities as float64. Raises ScenarioError when one is not a finite rate above 0."""
    values = np.asarray(list(capacities), dtype=float)
    refuse_where(~(np.isfinite(values) & (values > 0)), values, "capacity of link {i} is {v}", "a rate above 0")
    return values


def distinct_routes(
    flows: Sequence[Iterable[int]],
    num_links: int,
    weights: Sequence[float] | None = None,
    rate_caps: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(paths, route of each flow, weights, caps): flows of one path, weight and cap have one rate and are one column.

    paths: (longest path, routes) link indices, ascending; a shorter path is filled up with num_links, a link that is
    never full. Columns are sorted, so they do not depend on the order of the flows.
    """
    ascending = [_checked_path(number, path, num_links) for number, path in enumerate(flows)]
    weight = _per_flow("weight", weights, len(ascending))
    cap = _per_flow("rate cap", rate_caps, len(ascending))
    keys = list(zip(ascending, weight or [1.0] * len(ascending), cap or [math.inf] * len(ascending), strict=True))
    routes = {key: column for column, key in enumerate(sorted(set(keys)))}
    paths = np.full((max((len(path) for path in ascending), default=0), len(routes)), num_links, dtype=np.intp)
    for (path, _, _), column in routes.items():
        paths[: len(path), column] = path
    return (
        paths,
        np.array([routes[key] for key in keys], dtype=np.intp),
        np.array([key[1] for key in routes]) if weight else None,
        np.array([key[2] for key in routes]) if cap else None,
    )


def fill(
    paths: np.ndarray,
    members: np.ndarray,
    capacity: np.ndarray,
    weights: np.ndarray | None = None,
    caps: np.ndarray | None = None,
) -> np.ndarray:
    """The rate of one member of each route: `paths`, `weights` and `caps` as in `distinct_routes`.

    members: flows on each route; one without any keeps its cap (inf). capacity: what each link has to give.
    """
    num_links, num_routes = len(capacity), paths.shape[1]
    rate = np.full(num_routes, math.inf) if caps is None else caps.copy()
    if not len(paths):
        return rate
    still_open = ((members > 0) & (paths[0] < num_links)).nonzero()[0]
    paths, members = paths.take(still_open, axis=1), members.take(still_open)
    mass = members if weights is None else members * weights[still_open]
    cap_levels = None
    if caps is not None:
        cap_levels = caps[still_open] if weights is None else caps[still_open] / weights[still_open]
    left = np.append(capacity, math.inf)
    load = sum_on_links(paths, mass, num_links, any_order=weights is None)
    share = np.empty(num_links + 1)
    while len(still_open):
        share.fill(math.inf)
        np.divide(left, load, out=share, where=load > 0)
        offers = share.take(paths)
        lowest = np.minimum.reduce(offers, axis=0)
        if cap_levels is not None:
            np.minimum(lowest, cap_levels, out=lowest)
        undercut = np.zeros(num_links + 1, dtype=bool)  # links one of whose routes is offered less elsewhere
        undercut[paths[offers > lowest]] = True
        waiting = np.logical_and.reduce(undercut.take(paths), axis=0)
        if cap_levels is not None:
            waiting &= lowest < cap_levels
        filled = (~waiting).nonzero()[0]
        rates = lowest.take(filled)
        if weights is not None:
            rates = rates * weights[still_open[filled]]
        if cap_levels is not None:
            at_cap = cap_levels[filled] <= lowest[filled]
            rates[at_cap] = caps[still_open[filled[at_cap]]]
        rate[still_open.take(filled)] = rates
        if len(filled) == len(still_open):
            break
        gone = paths.take(filled, axis=1)
        left -= sum_on_links(gone, rates * members.take(filled), num_links)
        load -= sum_on_links(gone, mass.take(filled), num_links, any_order=weights is None)
        keep = waiting.nonzero()[0]
        still_open, paths, members = still_open.take(keep), paths.take(keep, axis=1), members.take(keep)
        mass = members if weights is None else mass.take(keep)
        cap_levels = None if cap_levels is None else cap_levels.take(keep)
    return rate


def sum_on_links(paths: np.ndarray, values: np.ndarray, num_links: int, any_order: bool = False) -> np.ndarray:
    """Sum of the values of the routes that cross each link; the last entry is the filler's.

    Added up in ascending order, whatever the order of the routes and the names of the links; any_order: in that of the
    routes (for whole numbers, whose sums are exact).
    """
    if any_order:
        on_path = np.empty(paths.shape)
        on_path[:] = values
        return np.bincount(paths.ravel(), on_path.ravel(), num_links + 1)
    order = values.argsort(kind="stable")
    return np.bincount(paths.T.take(order, axis=0).ravel(), values.take(order).repeat(len(paths)), num_links + 1)


def refuse_where(bad: np.ndarray, values: np.ndarray, what: str, remedy: str) -> None:
    """Raises ScenarioError about the first bad value, if there is one."""
    for index in np.flatnonzero(bad)[:1]:
        raise ScenarioError(f"{what.format(i=index, v=float(values[index]))}; give {remedy}")


def _checked_path(number: int, path: Iterable[int], num_links: int) -> tuple[int, ...]:
    try:
        links = sorted(operator.index(link) for link in path)
    except TypeError:
        raise ScenarioError(f"flow {number} has the path {path!r}; give a tuple of link indices") from None
    if links and not 0 <= links[0] <= links[-1] < num_links:
        stray = links[0] if links[0] < 0 else links[-1]
        raise ScenarioError(f"flow {number} crosses link {stray}, and links are numbered from 0 to {num_links - 1}")
    if any(first == second for first, second in itertools.pairwise(links)):
        raise ScenarioError(f"flow {number} crosses one link twice ({path!r}); give each link once")
    return tuple(links)


def _per_flow(what: str, values: Sequence[float] | None, num_flows: int) -> list[float] | None:
    if values is None:
        return None
    given = np.asarray(list(values), dtype=float)
    if len(given) != num_flows:
        raise ScenarioError(f"{len(given)} values of {what} for {num_flows} flows; give one a flow")
    finite = np.isfinite(given) | (what == "rate cap")
    refuse_where(~(finite & (given > 0)), given, f"{what} of flow {{i}} is {{v}}", "a number above 0")
    return given.tolist()
