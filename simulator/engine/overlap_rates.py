"""OverlapRates: how fast what runs now goes on, when compute and communication of a rank slow each other down.

The rule, and the only place that knows it:

    a compute op        runs at the lowest `compute_rate` of the communication ops that run on its rank, else FULL_RATE;
    a communication op  runs at its own `own_rate` while the compute stream of its rank runs an op, else at FULL_RATE;
    a meeting           runs at the lowest of its members' rates.

The host stream neither slows nor is slowed; an op without duration never runs. An engine tells what starts and what
ends, and settles the rates once per instant, after all of that instant's ends and starts.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from simulator.engine.activities import Activities
from simulator.graph.event_graph import COMPUTE_STREAM, HOST_STREAM
from simulator.units import FULL_RATE


class Running(Protocol):
    """What an engine keeps of an activity that runs: its rate (FULL_RATE at the start), and how to change it."""

    rate: int

    def change_rate(self, rate: int, now_ns: int) -> None: ...


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
        num_ranks = int(lane_rank.max(initial=-1)) + 1
        rank_interacts = np.zeros(num_ranks, dtype=bool)
        rank_interacts[rank[interacts]] = True
        takes_part = interacts | (computes & rank_interacts[rank])
        is_fluid = np.logical_or.reduceat(takes_part[activities.op], activities.first_op[:-1])

        self.is_fluid: list[bool] = is_fluid.tolist()
        self._members = activities.members()
        self._activity = activities.of_op.tolist()
        self._computes = computes.tolist()
        self._compute_rate = graph.compute_rate.tolist()
        self._own_rate = graph.own_rate.tolist()
        # What runs now, two lists a rank: kernels, and communication that interacts. `_beside` is the list that an op
        # which takes part is in while it runs and `_across` the other one; other members of its meeting are nowhere.
        sides: list[list[int]] = [[] for _ in range(2 * num_ranks)]
        nowhere: list[int] = []
        side = np.where(takes_part, 2 * rank + computes, -1).tolist()
        self._beside = [sides[place] if place >= 0 else nowhere for place in side]
        self._across = [sides[place ^ 1] if place >= 0 else () for place in side]

        self._running: list[Running | None] = [None] * len(activities)
        self._touched: list[int] = []

    def start(self, activity: int, running: Running) -> None:
        """`activity` runs from now on, at FULL_RATE unless `settle` says otherwise."""
        self._running[activity] = running
        for op in self._members[activity]:
            self._beside[op].append(op)
            across = self._across[op]
            if across:
                self._touched.append(op)
                self._touched += across

    def end(self, activity: int) -> None:
        """`activity` no longer runs."""
        self._running[activity] = None
        for op in self._members[activity]:
            self._beside[op].remove(op)
            self._touched += self._across[op]

    def settle(self, now_ns: int) -> list[Running]:
        """Changes the rate of everything that runs and whose rate is no longer what it was; returns it, by op id."""
        changed = []
        touched = [self._activity[op] for op in self._touched]
        self._touched.clear()
        touched.sort()
        settled = None
        for activity in touched:
            running = self._running[activity]
            if running is None or activity == settled:
                continue
            settled, rate = activity, FULL_RATE
            for op in self._members[activity]:
                across = self._across[op]
                if across and not self._computes[op]:
                    if self._own_rate[op] < rate:
                        rate = self._own_rate[op]
                    continue
                for other in across:
                    if self._compute_rate[other] < rate:
                        rate = self._compute_rate[other]
            if rate != running.rate:
                running.change_rate(rate, now_ns)
                changed.append(running)
        return changed
