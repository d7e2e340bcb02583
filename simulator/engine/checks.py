"""The laws of time: whoever made a timeline, simulated or measured, it must pass here.

A graph must pass `check_graph` (graph/checks.py) before it is run; it is named here too, so that one import has both.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from simulator.engine.activities import Activities, activities
from simulator.engine.link_loads import link_loads
from simulator.errors import BrokenLaw
from simulator.graph.checks import check_graph, law, stream_predecessors
from simulator.graph.event_graph import COMPUTE_STREAM, HOST_STREAM, EventGraph
from simulator.units import FULL_RATE

__all__ = ["check_graph", "check_timeline", "slowest_rates"]


class HasTimes(Protocol):
    """A `Times` or a `Timeline`: int64[n] each."""

    ready_ns: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray


def check_timeline(graph: EventGraph, timeline: HasTimes, tolerance_ns: int = 0) -> None:
    """The laws of time.

    Order: an op is ready before it starts and starts before it ends; ops of one stream run in launch order, one at a
    time. Dependencies: an op is ready when the last of its predecessors has ended. Rendezvous: an op starts when it,
    and every other member of its meeting, is ready; members end together. Durations: a fixed op lasts as long as its
    price (a meeting, as its longest member); a fluid one that long at least, and at most that long at its slowest rate,
    everything that can meet on its links being there.

    tolerance_ns: how far clocks may disagree, 0 for a simulated timeline. With a tolerance both "when" mean "not
    before" and durations are not compared with prices: a measured op starts and ends as late as it likes.
    Raises BrokenLaw with the story of the first op that breaks a law.
    """
    count = len(graph)
    for column in ("ready_ns", "start_ns", "end_ns"):
        if getattr(timeline, column).shape != (count,):
            raise BrokenLaw(f"{column} has {getattr(timeline, column).size} entries for a graph of {count} ops")
    if not count:
        return
    ready, start, end = timeline.ready_ns, timeline.start_ns, timeline.end_ns
    exact = tolerance_ns == 0
    law(graph, ready < 0, "is ready before the step begins", ready=ready)
    law(graph, start < ready - tolerance_ns, "starts before it is ready", ready=ready, start=start)
    law(graph, end < start, "ends before it starts", start=start, end=end)

    before = stream_predecessors(graph)
    follows = before >= 0
    overlap = follows & (start < end[before] - tolerance_ns)
    law(graph, overlap, "starts before the op ahead of it on its stream has ended", start=start, ahead_end=end[before])

    work = activities(graph)
    awaited = np.zeros(count, dtype=np.int64)
    np.maximum.at(awaited, graph.successor, end[work.edge_sources])
    law(graph, ready < awaited - tolerance_ns, "is ready before what it waits for", ready=ready, awaited=awaited)
    if exact:
        law(graph, ready > awaited, "is not ready although all it waits for ended", ready=ready, awaited=awaited)

    latest_ready, first_end = _of_activity(work, np.maximum, ready), _of_activity(work, np.minimum, end)
    early = start < latest_ready - tolerance_ns
    law(graph, early, "starts before the last member of its meeting is ready", start=start, last_ready=latest_ready)
    law(graph, end > first_end + tolerance_ns, "ends after another member of its meeting", end=end, first=first_end)
    if exact:
        law(graph, start > latest_ready, "starts late: all members are ready", start=start, last_ready=latest_ready)
        _check_durations(graph, work, end - start)


def slowest_rates(graph: EventGraph, work: Activities) -> np.ndarray:
    """int64[n]: the lowest rate each op can ever run at: FULL_RATE for a fixed one.

    A compute op meets at worst the dearest communication op of its rank; a communication op has its own `own_rate`; a
    meeting the worst of its members.
    """
    rank = np.unique([stream.rank for stream in graph.streams], return_inverse=True)[1][graph.stream]
    names = np.array([stream.name for stream in graph.streams])[graph.stream]
    communicates = (names != COMPUTE_STREAM) & (names != HOST_STREAM)
    worst = np.full(rank.max(initial=-1) + 1, FULL_RATE, dtype=np.int64)
    np.minimum.at(worst, rank[communicates], graph.compute_rate[communicates])
    rate = np.where(communicates, graph.own_rate, FULL_RATE)
    rate = np.where(names == COMPUTE_STREAM, worst[rank], rate)
    return _of_activity(work, np.minimum, rate)


def _check_durations(graph: EventGraph, work: Activities, lasted: np.ndarray) -> None:
    duration = work.duration_ns[work.of_op]
    rate, loads = slowest_rates(graph, work), link_loads(work)
    shared_rate = np.minimum(rate, loads.least_rate()[work.of_op])
    transfer = np.where(loads.is_shared, loads.transfer_ns, 0)[work.of_op]
    fixed = (rate == FULL_RATE) & (shared_rate == FULL_RATE)
    law(graph, fixed & (lasted != duration), "does not last as long as its price", lasted=lasted, price=duration)
    law(graph, lasted < duration, "is faster than alone", lasted=lasted, price=duration)
    for op in np.flatnonzero(~fixed).tolist():
        parts = ((int(duration[op] - transfer[op]), int(rate[op])), (int(transfer[op]), int(shared_rate[op])))
        at_most = sum(-(-ns * FULL_RATE // slowest) for ns, slowest in parts)
        if lasted[op] > at_most:
            raise BrokenLaw(
                f"{graph.op_story(op)} lasts {lasted[op]} ns, more than the {at_most} ns of its slowest rate"
            )


def _of_activity(work: Activities, function: np.ufunc, values: np.ndarray) -> np.ndarray:
    """For each op, `function` over the values of all members of its activity."""
    return work.combined(function, values)[work.of_op]
