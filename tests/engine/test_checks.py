"""Each law of graphs and of time, broken once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator import kinds
from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.simpy_engine import run
from simulator.engine.times import Times
from simulator.errors import BrokenLaw
from simulator.graph.event_graph import EventGraph, GraphBuilder, Stream
from simulator.units import FULL_RATE

HALF = FULL_RATE // 2


def small_graph() -> EventGraph:
    """Two ranks; 0, 1 and 4 compute, 2 and 3 meet, overlap 4 and load a link that has room, 5 is contracted."""
    graph = GraphBuilder()
    wire = graph.link("port", 90)
    load = {"latency_ns": 10, "flow_bytes_per_s": 20, "demands": ((wire, 30), (wire, 10))}
    meeting = graph.meeting(2)
    first = graph.op(0, "compute", 100, action="0F0")
    other = graph.op(1, "compute", 60, action="1F0")
    graph.op(0, "data", 50, after=[first], kind=kinds.DATA, meeting=meeting, compute_rate=HALF, own_rate=HALF, **load)
    graph.op(1, "data", 50, after=[other], kind=kinds.DATA, meeting=meeting, action="reduce b0 1KiB none", **load)
    graph.op(0, "compute", 80, action="0B0")
    graph.op(1, "compute", 30, action="1B0", parts=((kinds.COMPUTE, 20), (kinds.TENSOR, 10)))
    return graph.build()


def changed(array: np.ndarray, *edits: tuple[int, int]) -> np.ndarray:
    copy = array.copy()
    for place, value in edits:
        copy[place] = value
    return copy


def test_the_small_graph_and_its_timeline_pass():
    check_graph(small_graph())
    check_timeline(small_graph(), run(small_graph()))
    check_graph(GraphBuilder().build())
    check_timeline(GraphBuilder().build(), run(GraphBuilder().build()))


GRAPH_MUTATIONS = {
    "kind has 5 entries": lambda g: {"kind": g.kind[:-1]},
    "multiplicity has 1 entries": lambda g: {"multiplicity": (1,)},
    "has a stream that does not exist": lambda g: {"stream": changed(g.stream, (2, 9))},
    "has a kind that does not exist": lambda g: {"kind": changed(g.kind, (2, len(kinds.KINDS)))},
    "has a source that does not exist": lambda g: {"source": changed(g.source, (2, 77))},
    "has an action that does not exist": lambda g: {"action": changed(g.action, (2, 17))},
    "has a negative duration": lambda g: {"duration_ns": changed(g.duration_ns, (0, -1))},
    "stream is listed twice": lambda g: {"streams": (g.streams[0], g.streams[0], *g.streams[2:])},
    "rank that is not listed": lambda g: {"streams": (Stream(7, "compute"), *g.streams[1:])},
    "stands for less than one": lambda g: {"multiplicity": (1, 0)},
    "first_successor does not run": lambda g: {"first_successor": changed(g.first_successor, (-1, 2))},
    "leads to an op that does not exist": lambda g: {"successor": changed(g.successor, (0, 6))},
    "id that is not higher": lambda g: {"successor": changed(g.successor, (0, 0))},
    "not sorted, or one is listed twice": lambda g: {"successor": changed(g.successor, (0, 4))},
    "no edge from the op ahead": lambda g: {"successor": changed(g.successor, (1, 5))},
    "second op of its rank in one meeting": lambda g: {"meeting": changed(g.meeting, (4, 0))},
    "in a meeting of 2 with 1 members": lambda g: {"meeting": changed(g.meeting, (3, -1))},
    "meeting 1 has no declared size": lambda g: {"meeting": changed(g.meeting, (4, 1))},
    "compute_rate outside": lambda g: {"compute_rate": changed(g.compute_rate, (2, 0))},
    "own_rate outside": lambda g: {"own_rate": changed(g.own_rate, (2, FULL_RATE + 1))},
    "no communication op but has a own_rate": lambda g: {"own_rate": changed(g.own_rate, (0, HALF))},
    "part_first does not run": lambda g: {"part_first": changed(g.part_first, (0, 1))},
    "parts have no kind": lambda g: {"part_kind": g.part_kind[:-1]},
    "part has a negative duration": lambda g: {"part_ns": changed(g.part_ns, (0, -5))},
    "not as long as its parts": lambda g: {"part_ns": changed(g.part_ns, (0, 21))},
    "latency_ns has 5 entries": lambda g: {"latency_ns": g.latency_ns[:-1]},
    "link_names has 2 entries": lambda g: {"link_names": ("port", "switch")},
    "link is listed twice": lambda g: {"link_names": ("port", "port"), "link_capacity": np.array([90, 90])},
    "link port has a capacity of 0": lambda g: {"link_capacity": np.array([0])},
    "latency that is not a part of it": lambda g: {"latency_ns": changed(g.latency_ns, (2, 51))},
    "has a negative flow": lambda g: {"flow_bytes_per_s": changed(g.flow_bytes_per_s, (0, -1))},
    "demand_first does not run": lambda g: {"demand_first": changed(g.demand_first, (0, 1))},
    "on a link that does not exist": lambda g: {"demand_link": changed(g.demand_link, (3, 1))},
    "below 1 byte/s": lambda g: {"demand_bytes_per_s": changed(g.demand_bytes_per_s, (2, 0))},
    "loads a link but has no flow": lambda g: {"flow_bytes_per_s": changed(g.flow_bytes_per_s, (3, 0))},
    "no communication op but loads a link": lambda g: {
        "demand_first": np.array([0, 0, 0, 0, 2, 4, 4]),
        "flow_bytes_per_s": changed(g.flow_bytes_per_s, (4, 5)),
    },
}


@pytest.mark.parametrize("message", GRAPH_MUTATIONS)
def test_a_broken_law_of_graphs_is_found(message):
    graph = small_graph()
    with pytest.raises(BrokenLaw, match=message):
        check_graph(replace(graph, **GRAPH_MUTATIONS[message](graph)))


TIME_MUTATIONS = {
    "ready before the step begins": lambda t: {"ready_ns": changed(t.ready_ns, (0, -1))},
    "starts before it is ready": lambda t: {"start_ns": changed(t.start_ns, (4, 99))},
    "ends before it starts": lambda t: {"end_ns": changed(t.end_ns, (1, -1))},
    "before the op ahead of it on its stream": lambda t: {
        "ready_ns": changed(t.ready_ns, (4, 90)),
        "start_ns": changed(t.start_ns, (4, 90)),
    },
    "is ready before what it waits for": lambda t: {"ready_ns": changed(t.ready_ns, (3, 50))},
    "is not ready although": lambda t: {"ready_ns": changed(t.ready_ns, (2, 101)), "start_ns": t.start_ns + 9},
    "before the last member of its meeting": lambda t: {"start_ns": changed(t.start_ns, (3, 70))},
    "ends after another member": lambda t: {"end_ns": changed(t.end_ns, (3, 201))},
    "starts late": lambda t: {"start_ns": changed(t.start_ns, (0, 1))},
    "as long as its price": lambda t: {"end_ns": changed(t.end_ns, (5, 91))},
    "faster than alone": lambda t: {"end_ns": changed(t.end_ns, (2, 140), (3, 140))},
    "of its slowest rate": lambda t: {"end_ns": changed(t.end_ns, (4, 261))},
    "entries for a graph": lambda t: {"end_ns": t.end_ns[:-1]},
}


@pytest.mark.parametrize("message", TIME_MUTATIONS)
def test_a_broken_law_of_time_is_found(message):
    graph, times = small_graph(), run(small_graph())
    assert (times.start_ns.tolist(), times.end_ns.tolist()) == ([0, 0, 100, 100, 100, 60], [100, 60, 200, 200, 230, 90])
    broken = Times(**{**vars(times), **TIME_MUTATIONS[message](times)})
    with pytest.raises(BrokenLaw, match=message):
        check_timeline(graph, broken)


def test_every_end_that_is_one_nanosecond_off_is_found():
    graph, times = small_graph(), run(small_graph())
    fixed = [op for op in range(len(graph)) if op not in (2, 3, 4)]
    for op in fixed:
        for shift in (-1, 1):
            with pytest.raises(BrokenLaw):
                check_timeline(graph, replace(times, end_ns=changed(times.end_ns, (op, times.end_ns[op] + shift))))


def test_measured_clocks_may_disagree_within_the_tolerance():
    graph, times = small_graph(), run(small_graph())
    measured = replace(
        times,
        start_ns=times.start_ns + np.array([0, 0, 3, 0, 40, 0]),
        end_ns=times.end_ns + np.array([0, 5, 3, 0, 60, 0]),
    )
    with pytest.raises(BrokenLaw):
        check_timeline(graph, measured)
    check_timeline(graph, measured, tolerance_ns=5)
    with pytest.raises(BrokenLaw):
        check_timeline(graph, replace(measured, end_ns=changed(measured.end_ns, (1, 66))), tolerance_ns=5)


def test_the_story_names_rank_stream_action_and_numbers():
    graph, times = small_graph(), run(small_graph())
    with pytest.raises(BrokenLaw) as caught:
        check_timeline(graph, replace(times, start_ns=changed(times.start_ns, (3, 70))))
    assert str(caught.value) == (
        "rank 1 data 'reduce b0 1KiB none' (op 3) starts before the last member of its meeting is ready "
        "(start 70, last_ready 100)"
    )
