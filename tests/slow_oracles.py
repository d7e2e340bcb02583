"""Two engines that are too slow to use and too simple to be wrong; the reference engine must agree with both."""

from __future__ import annotations

from simulator.graph.event_graph import EventGraph, predecessors
from simulator.units import FULL_RATE

OpTimes = list[tuple[int, int, int]]
"""(ready, start, end) of each op."""


def _groups(graph: EventGraph) -> list[list[int]]:
    """Ops that start and end together."""
    groups: dict[object, list[int]] = {}
    for op, meeting in enumerate(graph.meeting.tolist()):
        groups.setdefault(("meeting", meeting) if meeting >= 0 else op, []).append(op)
    return list(groups.values())


def longest_path(graph: EventGraph) -> OpTimes:
    """Fixed graphs: raises ready, start and end to what they must be at least until nothing moves any more."""
    before = [ops.tolist() for ops in predecessors(graph)]
    duration = graph.duration_ns.tolist()
    times = [(0, 0, 0)] * len(graph)
    while True:
        moved = list(times)
        for group in _groups(graph):
            ready = {op: max((times[other][2] for other in before[op]), default=0) for op in group}
            start = max(ready.values())
            end = start + max(duration[op] for op in group)
            for op in group:
                moved[op] = (ready[op], start, end)
        if moved == times:
            return times
        times = moved


def one_nanosecond_at_a_time(graph: EventGraph) -> OpTimes:
    """Fluid graphs: rates by their definition, applied for one nanosecond, again and again.

    Exact, because everything that changes a rate happens at a whole nanosecond. None of what never ends is returned:
    raises RuntimeError where nothing runs and something is left.
    """
    before = [ops.tolist() for ops in predecessors(graph)]
    duration, meeting = graph.duration_ns.tolist(), graph.meeting.tolist()
    rank = [graph.streams[lane].rank for lane in graph.stream.tolist()]
    name = [graph.streams[lane].name for lane in graph.stream.tolist()]
    waiting, running, now = _groups(graph), [], 0
    ready: dict[int, int] = {}
    start: dict[int, int] = {}
    end: dict[int, int] = {}
    left: dict[int, int] = {}

    def rate_of(op: int) -> int:
        here = [other for group in running for other in group if rank[other] == rank[op] and other != op]
        if name[op] == "compute":
            others = [other for other in here if name[other] not in ("compute", "host")]
            return min((int(graph.compute_rate[other]) for other in others), default=FULL_RATE)
        if name[op] != "host" and any(name[other] == "compute" for other in here):
            return int(graph.own_rate[op])
        return FULL_RATE

    while waiting or running:
        moving = True
        while moving:  # everything that happens at this instant
            moving = False
            for group in list(waiting):
                for op in group:
                    if op not in ready and all(other in end for other in before[op]):
                        ready[op] = now
                if all(op in ready for op in group):
                    waiting.remove(group)
                    moving = True
                    start.update(dict.fromkeys(group, now))
                    work = max(duration[op] for op in group)
                    if work:
                        running.append(group)
                        left[group[0]] = work * FULL_RATE
                    else:
                        end.update(dict.fromkeys(group, now))
        if waiting and not running:
            raise RuntimeError(f"{waiting} never start; meetings {meeting}")
        rates = [min(rate_of(op) for op in group) for group in running]
        now += 1
        for group, rate in zip(list(running), rates, strict=True):
            left[group[0]] -= rate
            if left[group[0]] <= 0:
                running.remove(group)
                end.update(dict.fromkeys(group, now))
    return [(ready[op], start[op], end[op]) for op in range(len(graph))]
