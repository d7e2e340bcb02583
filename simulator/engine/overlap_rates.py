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
        # activities of ops that meet
        self._meeting = dict(zip(meets.tolist(), work.of_op[meets].tolist(), strict=True))
        self._compute_rate = graph.compute_rate.tolist()
        self._own_rate = graph.own_rate.tolist()

        rank, computes, interacts = interacting_ops(work)
        self.takes_part = work.combined(np.maximum, interacts)
        self._rank = np.where(interacts, rank, NOTHING).tolist()
        self._computes = computes.tolist()
        # What runs now on each rank: a rank has one compute stream, and any number of those that communicate.
        num_ranks = int(rank.max(initial=-1)) + 1
        self._kernel = [NOTHING] * num_ranks
        self._collectives: list[list[int]] = [[] for _ in range(num_ranks)]
        self.changed: list[int] = []
        """Ranks that `settle` has to look at."""

    def start(self, activity: int) -> None:
        """`activity` runs from now on, at FULL_RATE unless `settle` says otherwise."""
        for op in self._members[activity]:
            rank = self._rank[op]
            if rank == NOTHING:
                continue
            if self._computes[op]:
                self._kernel[rank] = op
                if self._collectives[rank]:
                    self.changed.append(rank)
            else:
                self._collectives[rank].append(op)
                if self._kernel[rank] != NOTHING:
                    self.changed.append(rank)

    def end(self, activity: int) -> None:
        """`activity` no longer runs."""
        for op in self._members[activity]:
            rank = self._rank[op]
            if rank == NOTHING:
                continue
            if self._computes[op]:
                self._kernel[rank] = NOTHING
                if self._collectives[rank]:
                    self.changed.append(rank)
            else:
                self._collectives[rank].remove(op)
                if self._kernel[rank] != NOTHING:
                    self.changed.append(rank)

    def settle(self) -> None:
        """Allows what runs on ranks where something started or ended what it may have now."""
        running, meeting, change_rate = self._running, self._meeting, self._change_rate
        compute_rate, own_rate = self._compute_rate, self._own_rate
        together: list[int] = []
        for rank in self.changed:
            kernel, lowest = self._kernel[rank], FULL_RATE
            for op in self._collectives[rank]:
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
        rank = self._rank[op]
        if rank == NOTHING:
            return FULL_RATE
        if self._computes[op]:
            return min([self._compute_rate[other] for other in self._collectives[rank]], default=FULL_RATE)
        return FULL_RATE if self._kernel[rank] == NOTHING else self._own_rate[op]


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
