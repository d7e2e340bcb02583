"""The reference engine: SimPy, callback events, an integer clock in nanoseconds.

The laws. An op is ready when all its predecessors have ended; program order is edges like any other. A plain op starts
when it is ready; the members of a meeting start when the last of them is ready and end together after the longest of
their durations (engine/activities.py). Where compute and communication of a rank slow each other down
(engine/overlap_rates.py) or links are short (engine/link_shares.py), an activity is work done at a rate.

Work and rates. An activity of d ns is d * FULL_RATE units of work. What remains is an integer, brought up to date only
when the activity's own rate changes; it ends at the first whole nanosecond by which all of it is done. One that shares
links has two parts: its latency, then its transfer, which begins at the first whole nanosecond by which the latency is
done and keeps what that nanosecond did beyond it. An event is first set for when a part is over at full speed. One that
comes too early is set again, for when the part is over at its present rate; where that rate rises later, an earlier one
is set and supersedes it. So an op that is slowed and let go again costs one event more, not two.

Ties. An instant has two phases: first all events at that time with everything they release, activities without duration
included; then, once, the rates: what overlap allows, then the shares of links. Nothing in the first phase depends on
the order in which it is handled: an op is ready at the latest end of its predecessors, whoever tells it first.

Rejected: a SimPy process per op or per stream (15 and 2 times as slow), SimPy's own Resources for streams (edges say
the same), a new event whenever something is due at another time (a third slower than setting a stream's own again),
private queue tricks (no gain).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import simpy
from simpy.events import NORMAL

from simulator.engine.activities import Activities, activities
from simulator.engine.deadlock import deadlock
from simulator.engine.link_loads import LinkLoads, link_loads
from simulator.engine.link_shares import LinkShares
from simulator.engine.overlap_rates import OverlapRates
from simulator.engine.times import Times
from simulator.graph.event_graph import EventGraph
from simulator.units import FULL_RATE

NEVER = -1


def run(graph: EventGraph) -> Times:
    """When every op is ready, starts and ends. Raises Deadlock, which names who waits for whom."""
    work = activities(graph)
    with _garbage_collection_paused():
        end = _run_fixed(work) if graph.is_fixed else _run_fluid(work, link_loads(work))
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


class Running(simpy.Timeout):
    """What runs on a stream now, and the event that it is due: one a stream, set again and again.

    remaining: units of work at `since_ns`, done at `rate` from then on. until: what remains when the part it is in is
    over: nothing, or the transfer where that is a part by itself and a latency comes first. due_ns: when the event is
    set for, which may be too early and is never too late; NEVER while nothing runs. allowed: the rate that overlap
    allows. transfers: whether it is in a transfer over links that can be short.
    """

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env, 0)
        self.activity = self.due_ns = NEVER
        self.remaining = self.until = self.since_ns = 0
        self.rate = self.allowed = FULL_RATE
        self.transfers = False


def _run_fluid(work: Activities, loads: LinkLoads) -> list[int]:
    """Ends of all activities when some slow each other down."""
    env = simpy.Environment()
    timeout, schedule, peek, step = env.timeout, env.schedule, env.peek, env.step
    streams = [Running(env) for _ in work.graph.streams]
    env.run()  # all are due once, unseen: from here on `schedule` sets them
    carrier = [streams[lane] for lane in work.graph.stream[work.op[work.first_op[:-1]]].tolist()]
    duration, waits = work.duration_ns.tolist(), work.num_waits.tolist()
    first, successor = work.first_successor.tolist(), work.successor.tolist()
    shared = np.flatnonzero(loads.is_shared)
    transfer_ns = dict(zip(shared.tolist(), loads.transfer_ns[shared].tolist(), strict=True))
    end = [NEVER] * len(work)
    instant = 0

    def start(activity: int) -> None:
        part_ns = duration[activity]
        if not is_fluid[activity]:
            timeout(part_ns, activity).callbacks.append(finish)
            return
        running = carrier[activity]
        running.activity, running.since_ns = activity, instant
        running.remaining = part_ns * FULL_RATE
        running.rate = running.allowed = FULL_RATE
        if activity in transfer_ns:
            running.until = transfer_ns[activity] * FULL_RATE
            part_ns -= transfer_ns[activity]
        running.due_ns = instant + part_ns
        running.callbacks = on_due
        schedule(running, NORMAL, part_ns)
        overlap.start(activity)

    def due(running: Running) -> None:
        running.callbacks = on_due  # it may be set for another time too
        if running.due_ns != instant:
            return  # superseded by an earlier one: sped up since
        activity = running.activity
        remaining = running.remaining - (instant - running.since_ns) * running.rate
        if remaining <= running.until:
            if not running.until:
                running.due_ns = NEVER
                overlap.end(activity)
                if running.transfers:
                    running.transfers = False
                    shares.end(activity)
                release(activity)
                return
            running.until, running.transfers = 0, True
            shares.begin(activity)
        # Its transfer begins, or it was slowed and this is too early.
        running.remaining, running.since_ns = remaining, instant
        left_ns = -((running.until - remaining) // running.rate)
        running.due_ns = instant + left_ns
        schedule(running, NORMAL, left_ns)

    on_due = [due]

    def finish(event: simpy.Event) -> None:
        release(event.value)

    def release(activity: int) -> None:
        end[activity] = instant
        for other in successor[first[activity] : first[activity + 1]]:
            waits[other] = left = waits[other] - 1
            if not left:
                start(other)

    def change_rate(running: Running, rate: int) -> None:
        running.remaining = remaining = running.remaining - (instant - running.since_ns) * running.rate
        rises = rate > running.rate
        running.rate, running.since_ns = rate, instant
        if rises:
            due_ns = instant - (running.until - remaining) // rate
            if due_ns < running.due_ns:
                running.due_ns = due_ns
                schedule(running, NORMAL, due_ns - instant)

    def change_allowed_rate(running: Running, rate: int) -> None:
        if running.transfers:
            shares.allow(running.activity)
        else:
            change_rate(running, rate)

    of_op = carrier if len(work) == len(work.graph) else [carrier[activity] for activity in work.of_op.tolist()]
    overlap = OverlapRates(work, of_op, change_allowed_rate if transfer_ns else change_rate)
    shares = LinkShares(loads, carrier)
    is_fluid = (overlap.takes_part | loads.is_shared).tolist()
    for activity in np.flatnonzero(work.num_waits == 0).tolist():
        start(activity)
    while instant != simpy.core.Infinity:
        while peek() == instant:
            step()
        if overlap.changed:
            overlap.settle()
        if shares.changed:
            for activity, rate in shares.settle():
                if rate != carrier[activity].rate:
                    change_rate(carrier[activity], rate)
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
