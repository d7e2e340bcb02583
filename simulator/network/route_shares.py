"""Max-min rates that follow flows as they come and go: only what a change can reach is solved again.

Two things bound the work:
- links that share no flow, directly or through others, do not feel one another: only the component of the changed flows
  is solved, with the bits that a solve of the whole would give;
- when flows of equal weight only leave, all that was filled below the lowest rate among them was filled before any of
  their links were, so it stays and the filling goes on from there (equal to a full solve up to float64's rounding).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from simulator.errors import ScenarioError
from simulator.network.fill_loops import quickest_fill
from simulator.network.max_min import checked_capacities, distinct_routes, fill, sum_on_links

CLEARLY_BELOW = 1 - 1e-9
"""A route is left alone when its rate is this much below the leaving ones': links that tie may differ by a rounding."""

REDRAW_AFTER = 64
"""Departures, at least, before components are drawn anew (only then do they fall apart; larger ones are right too)."""


class RouteShares:
    """The rates of flows that start and stop on known routes over known links.

    flows: the path of every flow there will ever be; weights and rate_caps as in `fair_share`. `route_of_flow` says
    which entry of `rates` is a flow's: flows of one path, weight and cap share one.

        shares = RouteShares([(0, 1), (0,)], [10.0, 4.0])
        shares.start([0, 1])
        shares.solve()               # the entries of `rates` that changed
        shares.rates[shares.route_of_flow]
    """

    def __init__(
        self,
        flows: Sequence[Iterable[int]],
        capacities: Sequence[float],
        *,
        weights: Sequence[float] | None = None,
        rate_caps: Sequence[float] | None = None,
    ):
        self._capacity = checked_capacities(capacities)
        self._paths, self.route_of_flow, self._weights, self._caps = distinct_routes(
            flows, len(self._capacity), weights, rate_caps
        )
        self._fill = fill if weights is not None else quickest_fill(len(self.route_of_flow))
        num_routes = self._paths.shape[1]
        self._local = self._paths[0] == len(self._capacity) if len(self._paths) else np.ones(num_routes, bool)
        self._members = np.zeros(num_routes)
        self._rates = np.zeros(num_routes)
        self._components = Components(self._paths, len(self._capacity))
        self._started = np.zeros(num_routes, bool)
        self._stopped = np.zeros(num_routes, bool)
        self.solved_routes = 0
        """Routes that were filled so far, over all solves: the work done."""

    @property
    def rates(self) -> np.ndarray:
        """Rate of one flow on each route, as of the last `solve`, in the unit of the capacities; 0 where none flows."""
        return self._rates.copy()

    def start(self, flows: Sequence[int]) -> None:
        """These flows begin."""
        self._change(flows, 1.0, self._started)

    def stop(self, flows: Sequence[int]) -> None:
        """These flows end. Raises ScenarioError when one had not begun."""
        self._change(flows, -1.0, self._stopped)

    def solve(self) -> np.ndarray:
        """Brings the rates up to date; returns the routes whose rate changed, ascending."""
        touched = self._started | self._stopped
        if not touched.any():
            return np.zeros(0, np.intp)
        self._components.join((self._started & ~self._local).nonzero()[0])
        flowing = self._members > 0
        reached = flowing & (touched | self._components.reached_from((touched & ~self._local).nonzero()[0]))
        before = self._rates.copy()
        kept_below = 0.0
        if self._weights is None and not self._started.any():
            kept_below = before[self._stopped].min() * CLEARLY_BELOW
        self._rates[touched & ~flowing] = 0.0
        kept = reached & (before < kept_below)
        redo = (reached & ~kept).nonzero()[0]
        self._rates[redo] = self._filled(redo, kept.nonzero()[0])
        self.solved_routes += len(redo)
        self._components.left(np.count_nonzero(self._stopped), flowing)
        self._started[:] = self._stopped[:] = False
        return np.flatnonzero(self._rates != before)

    def _filled(self, redo: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Rates of `redo` in what the routes of `kept` leave."""
        left = self._capacity
        if len(kept):
            used = self._rates.take(kept) * self._members.take(kept)
            left = left - sum_on_links(self._paths.take(kept, axis=1), used, len(left), any_order=True)[:-1]
        return self._fill(
            self._paths.take(redo, axis=1),
            self._members.take(redo),
            left,
            None if self._weights is None else self._weights[redo],
            None if self._caps is None else self._caps[redo],
        )

    def _change(self, flows: Sequence[int], by: float, mark: np.ndarray) -> None:
        routes = self.route_of_flow[np.asarray(flows, dtype=np.intp)]
        np.add.at(self._members, routes, by)
        if (self._members[routes] < 0).any():
            np.add.at(self._members, routes, -by)
            raise ScenarioError(f"flows {list(flows)} cannot stop, one of them has not started; start it first")
        mark[routes] = True


class Components:
    """Which links are joined by flows: a label a link. Labels join at once and fall apart only when drawn anew."""

    def __init__(self, paths: np.ndarray, num_links: int):
        self._paths, self._num_links = paths, num_links
        self._label = np.arange(num_links + 1)
        self._gone = 0

    def join(self, routes: np.ndarray) -> None:
        """The links of each of these routes become one component, with all that hangs on them."""
        paths = self._paths[:, routes]
        if not paths.size:
            return
        label = self._label
        label[-1] = self._num_links  # the filler joins nothing: it is above every label and never the lowest
        while True:
            lowest = label.take(paths).min(axis=0)
            joined = label.copy()
            for links in paths:
                np.minimum.at(joined, label.take(links), lowest)  # the component that the link is in, by its label
            joined[-1] = self._num_links
            relabelled = joined.take(label)  # follow the labels' own labels
            relabelled[-1] = self._num_links
            if np.array_equal(relabelled, label):
                return
            label = self._label = relabelled

    def reached_from(self, routes: np.ndarray) -> np.ndarray:
        """For every route, whether it is in a component of one of these."""
        reached = np.zeros(self._num_links + 1, bool)
        if not len(routes):
            return np.zeros(self._paths.shape[1], bool)
        reached[self._label[self._paths[0, routes]]] = True
        reached[-1] = False
        return reached.take(self._label).take(self._paths[0])

    def of_routes(self) -> np.ndarray:
        """The label of each route's component; the highest is that of routes without a link."""
        if not len(self._paths):
            return np.full(self._paths.shape[1], self._num_links)
        return self._label.take(self._paths[0])

    def left(self, num_routes: int, flowing: np.ndarray) -> None:
        """Flows left on so many routes; now and then the components are drawn anew."""
        self._gone += num_routes
        if self._gone > max(REDRAW_AFTER, np.count_nonzero(flowing)):
            self._gone = 0
            self._label = np.arange(self._num_links + 1)
            self.join(np.flatnonzero(flowing & (self._paths[0] < self._num_links)))
