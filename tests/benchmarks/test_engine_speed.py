"""How fast the reference engine is. Figures, never assertions on time: `make bench` prints them.

Each figure stands beside the CPU seconds of a plain heapq loop over as many events in the same run, so that a slow or
busy machine shows in both.
"""

from __future__ import annotations

import gc
import heapq
import resource
import time

import pytest
from large_graphs import fixed_graph, fluid_graph, shared_graph

from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.overlap_rates import OverlapRates
from simulator.engine.simpy_engine import run
from simulator.engine.times import Times
from simulator.graph.event_graph import EventGraph

MILLION = 1_000_000


def heapq_loop_s(num_events: int, num_pending: int = 128) -> float:
    """CPU seconds of popping and pushing that many events, with that many pending."""
    queue = [(place, place) for place in range(num_pending)]
    started = time.process_time()
    for event in range(num_events):
        now, _ = heapq.heappop(queue)
        heapq.heappush(queue, (now + 1000 + event % 97, event))
    return time.process_time() - started


def timed(graph: EventGraph) -> tuple[float, Times]:
    gc.collect()
    started = time.process_time()
    times = run(graph)
    return time.process_time() - started, times


@pytest.mark.parametrize("make", [fixed_graph, fluid_graph])
def test_the_large_graphs_are_what_they_say(make, monkeypatch):
    """The same graphs, small: lawful, and with the number of rate changes that the figures are quoted for."""
    graph = make(20_000)
    changes = []

    class Recording(OverlapRates):
        def __init__(self, work, running, change):
            super().__init__(work, running, lambda own, rate: changes.append(rate) or change(own, rate))

    monkeypatch.setattr("simulator.engine.simpy_engine.OverlapRates", Recording)
    check_graph(graph)
    check_timeline(graph, run(graph))
    assert graph.is_fixed == (make is fixed_graph)
    changes_per_op = len(changes) / 20_000
    assert changes_per_op == 0 if graph.is_fixed else 2.9 < changes_per_op <= 3


@pytest.mark.benchmark_suite
@pytest.mark.parametrize("make", [fixed_graph, fluid_graph])
def test_cpu_seconds_of_a_million_ops(make, capsys):
    graph = make(MILLION)
    seconds, times = min((timed(graph) for _ in range(3)), key=lambda pair: pair[0])
    heap_s = min(heapq_loop_s(MILLION) for _ in range(3))
    with capsys.disabled():
        print(
            f"\n{make.__name__}: {len(graph):,} ops, {len(graph.successor):,} edges, step {times.step_ns:,} ns: "
            f"{seconds:.2f} s CPU (best of 3); "
            f"heapq loop of a million events {heap_s:.2f} s; ratio {seconds / heap_s:.1f}"
        )


def test_the_ports_of_the_shared_graph_are_short_most_of_the_time():
    """The same graph, small: lawful, and two communicators on a port slow each other down."""
    graph = shared_graph(8_000, 8)
    check_graph(graph)
    times = run(graph)
    check_timeline(graph, times)
    slowed = times.end_ns - times.start_ns > graph.duration_ns
    assert slowed[graph.flow_bytes_per_s > 0].mean() > 0.9
    assert not slowed[graph.flow_bytes_per_s == 0].any()


@pytest.mark.benchmark_suite
def test_cpu_seconds_of_a_thousand_communicators_that_share_ports(capsys):
    graph = shared_graph(300_000)
    seconds, times = min((timed(graph) for _ in range(3)), key=lambda pair: pair[0])
    heap_s = min(heapq_loop_s(len(graph)) for _ in range(3))
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(
            f"\nshared_graph: {len(graph):,} ops, {len(graph.link_names):,} links, step {times.step_ns:,} ns: "
            f"{seconds:.2f} s CPU (best of 3), {peak_gib:.2f} GiB in this process; "
            f"heapq loop of as many events {heap_s:.2f} s; ratio {seconds / heap_s:.1f}"
        )
