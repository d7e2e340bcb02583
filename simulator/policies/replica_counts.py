"""Microbatches of unequal replicas: how many each one runs, so that the slowest is done as early as can be.

A replica's step grows with every microbatch that it is given. So the next one always goes to the replica that would be
done first with one more: no deal of as many has an earlier last end (exchange argument; a test tries them all).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from simulator.model.blocks import sparse_tables

REPLICAS = "replicas"
"""The policy's name in a `--decisions` file."""

Counts = tuple[int, ...]
"""Microbatches of each replica."""


def in_lockstep(model, plan) -> bool:
    """Whether replicas wait for each other in every microbatch, so that all of them run equally many: they look up
    each other's tables, or gather or scatter each other's blocks."""
    return plan.scatters_each or plan.gathers_each or bool(sparse_tables(model))


def deal_microbatches(times: Sequence[Callable[[int], float]], total: int, most: Sequence[int]) -> Counts | None:
    """The counts, at least 1 and at most `most` of each replica, whose slowest replica is fastest.

    times: of each replica, how long it takes for so many; none takes less for more. total: of all replicas. Ties by the
    lower replica. None where so many cannot be dealt out.
    """
    counts = [1] * len(times)
    if total < len(times) or sum(most) < total or min(most) < 1:
        return None
    queue = [(time(2), place) for place, time in enumerate(times) if most[place] > 1]
    heapq.heapify(queue)
    for _ in range(total - len(times)):
        _, place = heapq.heappop(queue)
        counts[place] += 1
        if counts[place] < most[place]:
            heapq.heappush(queue, (times[place](counts[place] + 1), place))
    return tuple(counts)
