"""The reference engine: SimPy, one callback event per activity, an integer clock in nanoseconds.

The laws. An op is ready when all its predecessors have ended; program order is edges like any other. A plain op starts
when it is ready; the members of a meeting start when the last of them is ready and end together after the longest of
their durations (engine/activities.py). Where compute and communication of a rank slow each other down, an activity is
work done at a rate (engine/overlap_rates.py).

Work and rates. An activity of d ns is d * FULL_RATE units of work. What remains is an integer, brought up to date
only when the activity's own rate changes; it ends at the first whole nanosecond by which all of it is done. Its
completion is first set for the time it takes alone. One that comes too early is set again, for when the activity is due
at its present rate; where that rate rises later, an earlier completion is set and supersedes this one. So an op that is
slowed and let go again costs one event more, not two.

Ties. An instant has two phases: first all completions at that time with everything they release, activities without
duration included; then, once, the rates, by (time, op id). Nothing in the first phase depends on the order in which it
is handled: an op is ready at the latest end of its predecessors, whoever tells it first.

Rejected: a SimPy process per op or per stream (15 and 2 times as slow), SimPy's own Resources for streams (edges say
the same), private queue tricks (no gain).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import simpy

from simulator.engine.activities import Activities, activities
from simulator.engine.deadlock import deadlock
from simulator.engine.overlap_rates import OverlapRates
from simulator.engine.times import Times
from simulator.graph.event_graph import EventGraph
from simulator.units import FULL_RATE

NEVER = -1


def run(graph: EventGraph) -> Times:
    """When every op is ready, starts and ends. Raises Deadlock, which names who waits for whom."""
    work = activities(graph)
    with _garbage_collection_paused():
        end = _run_fixed(work) if graph.is_fixed else _run_fluid(work, OverlapRates(work))
    end_ns = np.array(end, dtype=np.int64)
    if (end_ns == NEVER).any():
        raise deadlock(graph, (end_ns != NEVER)[work.of_op])
    return work.times(end_ns)


def _run_fixed(work: Activities) -> list[int]:
    """Ends of all activities when every duration is known from the start."""
    env = simpy.Environment()
    timeout = env.timeout
    duration, waits = work.duration_ns.tolist(), work.num_waits.tolist()
    first, successor = work.first_successor.tolist(), work.successor.tolist()
    end = [NEVER] * len(work)

    def start(activity: int) -> None:
        timeout(duration[activity], activity).callbacks.append(finish)

    def finish(event: simpy.Event) -> None:
        activity = event.value
        end[activity] = env.now
        for other in successor[first[activity] : first[activity + 1]]:
            waits[other] -= 1
            if not waits[other]:
                start(other)

    for activity in np.flatnonzero(work.num_waits == 0).tolist():
        start(activity)
    env.run()
    return end


class Progress:
    """A fluid activity on its way: `remaining` units of work at `since_ns`, done at `rate` from then on.

    due_ns: when it ends at this rate. completion_ns: when its completion is set for, which may be too early and is
    never too late; NEVER once it has ended.
    """

    __slots__ = ("activity", "completion_ns", "due_ns", "rate", "remaining", "since_ns")

    def __init__(self, activity: int, duration_ns: int, now_ns: int) -> None:
        self.activity = activity
        self.remaining = duration_ns * FULL_RATE
        self.rate = FULL_RATE
        self.since_ns = now_ns
        self.due_ns = self.completion_ns = now_ns + duration_ns

    def change_rate(self, rate: int, now_ns: int) -> None:
        """Goes on at `rate`; ends at the first whole nanosecond by which all work is done."""
        self.remaining -= (now_ns - self.since_ns) * self.rate
        self.rate, self.since_ns = rate, now_ns
        self.due_ns = now_ns - (-self.remaining // rate)


def _run_fluid(work: Activities, rates: OverlapRates) -> list[int]:
    """Ends of all activities when some slow each other down."""
    env = simpy.Environment()
    timeout, peek, step = env.timeout, env.peek, env.step
    duration, waits = work.duration_ns.tolist(), work.num_waits.tolist()
    first, successor = work.first_successor.tolist(), work.successor.tolist()
    is_fluid = rates.is_fluid
    end = [NEVER] * len(work)
    instant = 0

    def start(activity: int) -> None:
        if is_fluid[activity]:
            progress = Progress(activity, duration[activity], instant)
            rates.start(activity, progress)
            set_completion(progress)
        else:
            timeout(duration[activity], activity).callbacks.append(finish)

    def set_completion(progress: Progress) -> None:
        progress.completion_ns = progress.due_ns
        timeout(progress.due_ns - instant, progress).callbacks.append(complete)

    def complete(event: simpy.Event) -> None:
        progress = event.value
        if progress.completion_ns != instant:
            return  # superseded by an earlier one: sped up since
        if progress.due_ns > instant:
            set_completion(progress)  # too early: slowed since
            return
        activity = progress.activity
        progress.completion_ns = NEVER
        rates.end(activity)
        release(activity)

    def finish(event: simpy.Event) -> None:
        release(event.value)

    def release(activity: int) -> None:
        end[activity] = instant
        for other in successor[first[activity] : first[activity + 1]]:
            waits[other] -= 1
            if not waits[other]:
                start(other)

    for activity in np.flatnonzero(work.num_waits == 0).tolist():
        start(activity)
    while instant != simpy.core.Infinity:
        while peek() == instant:
            step()
        for progress in rates.settle(instant):
            if progress.due_ns < progress.completion_ns:
                set_completion(progress)
        instant = peek()
    return end


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Millions of events die by reference counting; scanning them for cycles would only cost time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
