"""Two engines that are too slow to use and too simple to be wrong; the reference engine must agree with both."""

from __future__ import annotations

from collections import Counter

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


def fair_rates(graph: EventGraph, groups: list[list[int]], allowed: list[int]) -> list[int]:
    """Rates of groups of ops that transfer at once, by the law of sharing as it is told: all levels rise together over
    all of them, one level after another. A link on which all would fit at full speed holds nobody back."""
    flow = [max(int(graph.flow_bytes_per_s[op]) for op in group) for group in groups]
    cap = [-(-own * rate // FULL_RATE) for own, rate in zip(flow, allowed, strict=True)]
    asked, weight = Counter(), Counter()
    for place, group in enumerate(groups):
        for op in group:
            for entry in range(graph.demand_first[op], graph.demand_first[op + 1]):
                link, demand = int(graph.demand_link[entry]), int(graph.demand_bytes_per_s[entry])
                asked[link] += demand
                weight[place, link] += -(-demand * FULL_RATE // flow[place])
    left = {link: int(graph.link_capacity[link]) * FULL_RATE for link in asked}
    short = [link for link in asked if asked[link] > graph.link_capacity[link]]
    level: dict[int, int] = {}
    while len(level) < len(groups):
        rising = [place for place in range(len(groups)) if place not in level]
        total = {link: sum(weight[place, link] for place in rising) for link in short}
        offer = {link: left[link] // total[link] for link in short if total[link]}
        lowest = min([*offer.values(), *(cap[place] for place in rising)])
        for place in rising:
            full = any(weight[place, link] and offer[link] == lowest for link in offer)
            if full or cap[place] == lowest:
                level[place] = lowest
                for link in short:
                    left[link] -= weight[place, link] * lowest
    return [
        allowed[place] if level[place] == cap[place] else max(level[place] * FULL_RATE // flow[place], 1)
        for place in range(len(groups))
    ]


def one_nanosecond_at_a_time(graph: EventGraph) -> OpTimes:
    """Fluid graphs: rates by their definition, of overlap and of links, applied for one nanosecond, again and again.

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
    transfer: Counter[int] = Counter()

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
                        latency = max(int(graph.latency_ns[op]) for op in group)
                        if any(graph.flow_bytes_per_s[op] for op in group):
                            transfer[group[0]] = (work - latency) * FULL_RATE
                    else:
                        end.update(dict.fromkeys(group, now))
        if waiting and not running:
            raise RuntimeError(f"{waiting} never start; meetings {meeting}")
        rates = [min(rate_of(op) for op in group) for group in running]
        transferring = [place for place, group in enumerate(running) if left[group[0]] <= transfer[group[0]]]
        shares = fair_rates(graph, [running[place] for place in transferring], [rates[place] for place in transferring])
        for place, rate in zip(transferring, shares, strict=True):
            rates[place] = rate
        now += 1
        for group, rate in zip(list(running), rates, strict=True):
            left[group[0]] -= rate
            if left[group[0]] <= 0:
                running.remove(group)
                end.update(dict.fromkeys(group, now))
    return [(ready[op], start[op], end[op]) for op in range(len(graph))]
