"""Rounds of messages that meet on links: from instant to instant, all that happens at one of them taken together."""

from __future__ import annotations

import heapq
import math
from itertools import count

import numpy as np

from simulator.network.max_min import fill
from simulator.network.route_shares import Components
from simulator.network.under_way import UnderWay
from simulator.network.wire import Wire

REMEMBERED = 1 << 22
"""Rates, at most, that are kept of sets of flows met before; past that all are forgotten (about 50 MB)."""


def round_by_instants(wire: Wire, ready_s: np.ndarray) -> np.ndarray:
    """Seconds by rank, of messages that share links; see `simulate_rounds`."""
    ranks, shares, under_way = _Ranks(wire), RecurringShares(wire.paths, wire.capacity), UnderWay(wire.route)
    end_s = ready_s.copy()
    starts = [(float(at), np.flatnonzero(ready_s == at)) for at in np.unique(ready_s)[::-1]]
    arrivals: list[tuple[float, int, np.ndarray, np.ndarray]] = []
    tick = count()
    while True:
        now = min(
            under_way.next_end_s(), arrivals[0][0] if arrivals else math.inf, starts[-1][0] if starts else math.inf
        )
        if now == math.inf:
            return end_s
        left = under_way.end(now)
        rounds = ranks.at[wire.source[left]]
        for latency_s in distinct(wire.latency_s[left]):
            late = wire.latency_s[left] == latency_s
            heapq.heappush(arrivals, (now + float(latency_s), next(tick), wire.target[left[late]], rounds[late]))
        done = [ranks.count_down(wire.source[left], rounds)]
        while arrivals and arrivals[0][0] <= now:
            done.append(ranks.count_down(*heapq.heappop(arrivals)[2:]))
        if starts and starts[-1][0] == now:
            done.append(starts.pop()[1])
        begun, through = ranks.go_on(distinct(np.concatenate(done)))
        end_s[through] = now
        under_way.add(begun, wire.num_bytes[begun], now)
        shares.update(under_way.routes(), wire.route[np.append(left, begun)])
        under_way.take_rates(shares.rates, now)


class _Ranks:
    """Which round each rank is in (`at`, -1 before it starts), and how much each still has to wait for in it."""

    def __init__(self, wire: Wire):
        self._wire = wire
        self.at = np.full(wire.num_ranks, -1)
        kinds = range(len(wire.first) - 1)
        sent = [self._count(wire.source, kind) for kind in kinds]
        self._to_wait_for = [sent[kind] + self._count(wire.target, kind) for kind in kinds]
        self._first_sent = [wire.first[kind] + np.append(0, np.cumsum(sent[kind])) for kind in kinds]
        self._missing: dict[int, np.ndarray] = {}
        self._total: dict[int, int] = {}
        self._nothing = np.zeros(wire.num_ranks, np.int64)

    def count_down(self, ranks: np.ndarray, rounds: np.ndarray) -> np.ndarray:
        """One message less to wait for at each of `ranks` in its round; returns those that may be through with it."""
        for number in distinct(rounds).tolist():
            fewer = ranks[rounds == number]
            np.subtract.at(self._missing_in(number), fewer, 1)
            self._total[number] -= len(fewer)
            if not self._total[number]:
                self._missing[number] = self._nothing
        return ranks[self.at[ranks] >= 0]

    def go_on(self, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(messages that begin, ranks that are through with all): each of `ranks` as many rounds on as it can go.

        Ranks that have not started yet start.
        """
        begun, num_rounds = [np.zeros(0, np.intp)], len(self._wire.kinds)
        moving = ranks[self.at[ranks] < num_rounds]
        through = [np.zeros(0, np.intp)]
        while len(moving):
            moving = moving[self._is_through(moving)]
            self.at[moving] += 1
            begun.extend(self._messages(moving, number) for number in distinct(self.at[moving]).tolist())
            through.append(moving[self.at[moving] == num_rounds])
            moving = moving[self.at[moving] < num_rounds]
        return np.concatenate(begun), np.concatenate(through)

    def _is_through(self, ranks: np.ndarray) -> np.ndarray:
        through = self.at[ranks] < 0
        for number in distinct(self.at[ranks[~through]]).tolist():
            here = self.at[ranks] == number
            through[here] = self._missing_in(number)[ranks[here]] == 0
        return through

    def _messages(self, ranks: np.ndarray, number: int) -> np.ndarray:
        """What those of `ranks` that are in round `number` send there."""
        if number == len(self._wire.kinds):
            return np.zeros(0, np.intp)
        ranks = ranks[self.at[ranks] == number]
        first = self._first_sent[self._wire.kinds[number]]
        sends = first[ranks + 1] - first[ranks]
        within = np.arange(sends.sum()) - np.repeat(np.cumsum(sends) - sends, sends)
        return np.repeat(first[ranks], sends) + within

    def _missing_in(self, number: int) -> np.ndarray:
        if number not in self._missing:
            self._missing[number] = self._to_wait_for[self._wire.kinds[number]].copy()
            self._total[number] = int(self._missing[number].sum())
        return self._missing[number]

    def _count(self, ranks: np.ndarray, kind: int) -> np.ndarray:
        these = slice(self._wire.first[kind], self._wire.first[kind + 1])
        return np.bincount(ranks[these], minlength=self._wire.num_ranks)


class RecurringShares:
    """Max-min rates of sets of flows that come back: each set is solved once, and only where something changed.

    paths: as in `distinct_routes`. `rates` are those of the routes, as of the last `update`; of one that nothing flows
    on, what it was when something did.
    """

    def __init__(self, paths: np.ndarray, capacity: np.ndarray):
        self._paths, self._capacity = paths, capacity
        components = Components(paths, len(capacity))
        components.join(np.arange(paths.shape[1]))
        self._component = components.of_routes()
        self._known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self._num_known = 0
        self.rates = np.zeros(paths.shape[1])
        self.num_solves = 0
        """Sets of flows that had to be solved so far."""

    def update(self, flowing: np.ndarray, changed: np.ndarray) -> None:
        """Flows move on the routes `flowing`, one entry a flow, and what happened since was on the routes `changed`."""
        reached = np.zeros(len(self._capacity) + 1, bool)
        reached[self._component[changed]] = True
        there = np.sort(flowing[reached[self._component[flowing]]])
        key = there.tobytes()
        if key not in self._known:
            routes, members = np.unique(there, return_counts=True)
            rates = fill(self._paths[:, routes], members.astype(float), self._capacity)
            self.num_solves += 1
            self._num_known += len(there)
            if self._num_known > REMEMBERED:
                self._known.clear()
                self._num_known = len(there)
            self._known[key] = routes, rates
        routes, rates = self._known[key]
        self.rates[routes] = rates


def distinct(values: np.ndarray) -> np.ndarray:
    """The values, ascending, each once; on a few thousand numbers ten times as fast as numpy's `unique`."""
    ascending = np.sort(values)
    return ascending[np.append(True, ascending[1:] != ascending[:-1])] if len(ascending) else ascending
