"""OverlapRates: how fast what runs now goes on, when compute and communication of a rank slow each other down.

The rule, and the only place that knows it:

    a compute op        runs at the lowest `compute_rate` of the communication ops that run on its rank, else FULL_RATE;
    a communication op  runs at its own `own_rate` while the compute stream of its rank runs an op, else at FULL_RATE;
    a meeting           runs at the lowest of its members' rates.

The host stream neither slows nor is slowed; an op without duration never runs. An engine tells what starts and what
ends, and asks once per instant, after all of that instant's ends and starts, for the rates that differ.
"""

from __future__ import annotations

import numpy as np

from simulator.engine.activities import Activities
from simulator.graph.event_graph import COMPUTE_STREAM, FULL_RATE, HOST_STREAM

NOT_RUNNING = -1


class RankNow:
    """What runs on a rank: the op of its compute stream, and all interacting ops of its other streams."""

    __slots__ = ("communication", "compute")

    def __init__(self) -> None:
        self.compute: list[int] = []
        self.communication: list[int] = []


class OverlapRates:
    """is_fluid[a]: whether an activity takes part at all; only such may be passed to `start` and `end`."""

    def __init__(self, activities: Activities) -> None:
        graph = activities.graph
        lane_rank = np.unique([stream.rank for stream in graph.streams], return_inverse=True)[1]
        rank = lane_rank[graph.stream]
        computes = np.array([stream.name == COMPUTE_STREAM for stream in graph.streams])[graph.stream]
        on_host = np.array([stream.name == HOST_STREAM for stream in graph.streams])[graph.stream]
        slows_or_is_slowed = (graph.compute_rate < FULL_RATE) | (graph.own_rate < FULL_RATE)
        interacts = slows_or_is_slowed & ~computes & ~on_host
        rank_interacts = np.zeros(lane_rank.max(initial=-1) + 1, dtype=bool)
        rank_interacts[rank[interacts]] = True
        takes_part = interacts | (computes & rank_interacts[rank])
        is_fluid = np.logical_or.reduceat(takes_part[activities.op], activities.first_op[:-1])

        self.is_fluid: list[bool] = (is_fluid & (activities.duration_ns > 0)).tolist()
        self._members = activities.members()
        self._activity = activities.of_op.tolist()
        ranks_now = [RankNow() for _ in rank_interacts]
        self._rank_now = [ranks_now[r] for r in rank.tolist()]
        self._computes = computes.tolist()
        self._compute_rate = np.where(interacts, graph.compute_rate, FULL_RATE).tolist()
        self._own_rate = np.where(interacts, graph.own_rate, FULL_RATE).tolist()

        self._rate = [NOT_RUNNING] * len(activities)
        self._touched: list[int] = []

    def start(self, activity: int) -> None:
        """`activity` runs from now on, at FULL_RATE unless `settle` says otherwise."""
        self._rate[activity] = FULL_RATE
        for op in self._members[activity]:
            here = self._rank_now[op]
            self._touched.append(op)
            if self._computes[op]:
                here.compute.append(op)
                self._touched += here.communication
            else:
                here.communication.append(op)
                self._touched += here.compute

    def end(self, activity: int) -> None:
        """`activity` no longer runs."""
        self._rate[activity] = NOT_RUNNING
        for op in self._members[activity]:
            here = self._rank_now[op]
            if self._computes[op]:
                here.compute.remove(op)
                self._touched += here.communication
            else:
                here.communication.remove(op)
                self._touched += here.compute

    def settle(self) -> list[tuple[int, int]]:
        """(activity, new rate) of everything that runs and whose rate is no longer what it was, by op id."""
        changes = []
        touched, self._touched = self._touched, []
        touched.sort()
        for touched_op in touched:
            activity = self._activity[touched_op]
            before = self._rate[activity]
            if before != NOT_RUNNING:
                rate = FULL_RATE
                for op in self._members[activity]:
                    here = self._rank_now[op]
                    if self._computes[op]:
                        for other in here.communication:
                            if self._compute_rate[other] < rate:
                                rate = self._compute_rate[other]
                    elif here.compute and self._own_rate[op] < rate:
                        rate = self._own_rate[op]
                if rate != before:
                    self._rate[activity] = rate
                    changes.append((activity, rate))
        return changes
