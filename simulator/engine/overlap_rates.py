"""OverlapRates: how fast what runs now goes on, when compute and communication of a rank slow each other down.

The rule, and the only place that knows it:

    a compute op        runs at the lowest `compute_rate` of the communication ops that run on its rank, else FULL_RATE;
    a communication op  runs at its own `own_rate` while the compute stream of its rank runs an op, else at FULL_RATE;
    a meeting           runs at the lowest of its members' rates.

The host stream neither slows nor is slowed; an op without duration never runs. An engine tells what starts and what
ends, and settles the rates once per instant, after all of that instant's ends and starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from simulator.engine.activities import Activities
from simulator.graph.event_graph import COMPUTE_STREAM, HOST_STREAM
from simulator.units import FULL_RATE

NOTHING = -1


class Running(Protocol):
    """What an engine keeps of an activity that runs: the rate that overlap allows it, FULL_RATE at the start."""

    allowed: int


class OnRank:
    """What runs on a rank now: an op of its one compute stream, or NOTHING, and those that communicate."""

    __slots__ = ("collectives", "kernel")

    def __init__(self) -> None:
        self.kernel = NOTHING
        self.collectives: list[int] = []


class OverlapRates:
    """takes_part[a]: whether an activity ever slows another or is slowed; only such may be passed to `start`, `end`.

    running: for each op, what the engine keeps of its activity while it runs. change_rate: called with that and a rate
    when what is allowed is no longer what it was.
    """

    def __init__(
        self, work: Activities, running: Sequence[Running], change_rate: Callable[[Running, int], None]
    ) -> None:
        graph = work.graph
        self._running, self._change_rate = running, change_rate
        self._members = work.members()
        meets = np.flatnonzero((np.diff(work.first_op) > 1)[work.of_op])
        self._meeting = dict(zip(meets.tolist(), work.of_op[meets].tolist(), strict=True))
        """The activity of each op that meets others."""
        self._compute_rate = graph.compute_rate.tolist()
        self._own_rate = graph.own_rate.tolist()

        rank, computes, interacts = interacting_ops(work)
        self.takes_part = work.combined(np.maximum, interacts)
        self._computes = computes.tolist()
        on_rank = [*(OnRank() for _ in range(int(rank.max(initial=-1)) + 1)), None]
        self._on_rank = [on_rank[place] for place in np.where(interacts, rank, -1).tolist()]
        """Where each op runs; None: it takes no part, whatever the others of its meeting do."""
        self.changed: list[OnRank] = []
        """What `settle` has to look at."""

    def start(self, activity: int) -> None:
        """`activity` runs from now on, at FULL_RATE unless `settle` says otherwise."""
        for op in self._members[activity]:
            here = self._on_rank[op]
            if here is None:
                continue
            if self._computes[op]:
                here.kernel = op
                if here.collectives:
                    self.changed.append(here)
            else:
                here.collectives.append(op)
                if here.kernel != NOTHING:
                    self.changed.append(here)

    def end(self, activity: int) -> None:
        """`activity` no longer runs."""
        for op in self._members[activity]:
            here = self._on_rank[op]
            if here is None:
                continue
            if self._computes[op]:
                here.kernel = NOTHING
                if here.collectives:
                    self.changed.append(here)
            else:
                here.collectives.remove(op)
                if here.kernel != NOTHING:
                    self.changed.append(here)

    def settle(self) -> None:
        """Allows what runs where something started or ended what it may have now."""
        running, meeting, change_rate = self._running, self._meeting, self._change_rate
        compute_rate, own_rate = self._compute_rate, self._own_rate
        together: list[int] = []
        for here in self.changed:
            kernel, lowest = here.kernel, FULL_RATE
            for op in here.collectives:
                if compute_rate[op] < lowest:
                    lowest = compute_rate[op]
                if op in meeting:
                    together.append(meeting[op])
                    continue
                rate = FULL_RATE if kernel == NOTHING else own_rate[op]
                one = running[op]
                if one.allowed != rate:
                    one.allowed = rate
                    change_rate(one, rate)
            if kernel in meeting:
                together.append(meeting[kernel])
            elif kernel != NOTHING:
                one = running[kernel]
                if one.allowed != lowest:
                    one.allowed = lowest
                    change_rate(one, lowest)
        self.changed.clear()
        for activity in dict.fromkeys(together):
            members = self._members[activity]
            rate = min([self._rate(op) for op in members])
            one = running[members[0]]
            if one.allowed != rate:
                one.allowed = rate
                change_rate(one, rate)

    def _rate(self, op: int) -> int:
        """What its rank allows an op that runs."""
        here = self._on_rank[op]
        if here is None:
            return FULL_RATE
        if self._computes[op]:
            return min([self._compute_rate[other] for other in here.collectives], default=FULL_RATE)
        return FULL_RATE if here.kernel == NOTHING else self._own_rate[op]


def interacting_ops(work: Activities) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rank, computes, interacts), each [n]: the number of each op's rank, whether it is a kernel, and whether it ever
    slows another or is slowed: a collective with a rate below FULL_RATE, and every kernel of a rank that has one."""
    graph = work.graph
    lane_rank = np.unique([stream.rank for stream in graph.streams], return_inverse=True)[1]
    rank = lane_rank[graph.stream]
    computes = np.array([stream.name == COMPUTE_STREAM for stream in graph.streams], dtype=bool)[graph.stream]
    on_host = np.array([stream.name == HOST_STREAM for stream in graph.streams], dtype=bool)[graph.stream]
    lasts = work.duration_ns[work.of_op] > 0
    slows = (graph.compute_rate < FULL_RATE) | (graph.own_rate < FULL_RATE)
    collective = slows & ~computes & ~on_host & lasts
    rank_has_one = np.zeros(int(lane_rank.max(initial=-1)) + 1, dtype=bool)
    rank_has_one[rank[collective]] = True
    return rank, computes, collective | (computes & rank_has_one[rank] & lasts)
