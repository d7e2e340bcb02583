"""What must hold for every graph, whatever it simulates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import graphs, relisted
from slow_oracles import longest_path, one_nanosecond_at_a_time

from simulator.engine.activities import activities
from simulator.engine.checks import check_graph, check_timeline
from simulator.engine.simpy_engine import run
from simulator.engine.times import Times
from simulator.graph.event_graph import EventGraph
from simulator.timeline import Timeline
from simulator.units import FULL_RATE


def listed(times: Times) -> list[tuple[int, int, int]]:
    return list(zip(times.ready_ns.tolist(), times.start_ns.tolist(), times.end_ns.tolist(), strict=True))


@given(graphs())
def test_a_fixed_graph_takes_its_longest_path(graph):
    assert listed(run(graph)) == longest_path(graph)


@given(graphs(fluid=True))
def test_a_fluid_graph_does_what_one_nanosecond_at_a_time_does(graph):
    assert listed(run(graph)) == one_nanosecond_at_a_time(graph)


@given(graphs(), st.data())
def test_the_short_path_for_fixed_graphs_changes_nothing(graph, data):
    """One communication op that slows nobody but itself, beside nothing: the fluid path runs a fixed graph."""
    communication = [
        op for op, lane in enumerate(graph.stream.tolist()) if graph.streams[lane].name not in ("compute", "host")
    ]
    alone = [op for op in communication if not any(stream.name == "compute" for stream in graph.streams)]
    if not alone:
        return
    own_rate = graph.own_rate.copy()
    own_rate[data.draw(st.sampled_from(alone))] = FULL_RATE // 2
    fluid = replace(graph, own_rate=own_rate)
    assert not fluid.is_fixed
    assert listed(run(fluid)) == listed(run(graph))


@given(graphs(), st.data(), st.integers(1, 50))
def test_a_slower_op_never_speeds_anything_up(graph, data, more_ns):
    if not len(graph):
        return
    slower = graph.duration_ns.copy()
    slower[data.draw(st.integers(0, len(graph) - 1))] += more_ns
    before, after = run(graph), run(replace(graph, duration_ns=slower))
    for column in ("ready_ns", "start_ns", "end_ns"):
        assert (getattr(after, column) >= getattr(before, column)).all()
    assert before.step_ns <= after.step_ns <= before.step_ns + more_ns


@given(graphs(), st.integers(0, 1000))
def test_scaling_all_costs_scales_all_times(graph, factor):
    before, after = run(graph), run(replace(graph, duration_ns=graph.duration_ns * factor))
    for column in ("ready_ns", "start_ns", "end_ns"):
        assert (getattr(after, column) == factor * getattr(before, column)).all()


@given(graphs(fluid=True), st.integers(0, 2**32))
def test_the_order_of_listing_changes_nothing(graph, seed):
    """Not that of streams, not that of op ids: ties have no effect that anyone could see."""
    other = relisted(graph, seed)
    check_graph(other)
    assert Timeline.of(graph, run(graph)).digest() == Timeline.of(other, run(other)).digest()


@given(graphs(fluid=True))
def test_the_same_graph_gives_the_same_bytes(graph):
    first, second = run(graph), run(graph)
    for column in ("ready_ns", "start_ns", "end_ns"):
        assert getattr(first, column).tobytes() == getattr(second, column).tobytes()


@given(graphs(fluid=True))
def test_every_result_passes_the_checks(graph):
    check_graph(graph)
    check_timeline(graph, run(graph))


@given(graphs(fluid=True))
def test_work_is_conserved(graph):
    """Rates from the timeline's own overlaps, summed over an op's life, are its work; one ns less would not be."""
    times, work = run(graph), activities(graph)
    for activity, members in enumerate(work.members()):
        start, end = int(times.start_ns[members[0]]), int(times.end_ns[members[0]])
        needed = int(work.duration_ns[activity]) * FULL_RATE
        if start == end:
            assert needed == 0
            continue
        done = 0
        for now in range(start, end):
            rate = min(rate_at(graph, times, op, now) for op in members)
            assert done < needed
            done += rate
        assert done >= needed


def rate_at(graph: EventGraph, times: Times, op: int, now: int) -> int:
    """The rate of a running op in [now, now + 1), from who else the timeline says is running."""
    lane = graph.streams[graph.stream[op]]
    running = np.flatnonzero((times.start_ns <= now) & (now < times.end_ns)).tolist()
    beside = [(graph.streams[graph.stream[other]], other) for other in running if other != op]
    names = {stream.name: other for stream, other in beside if stream.rank == lane.rank}
    if lane.name == "compute":
        return min(
            (int(graph.compute_rate[other]) for name, other in names.items() if name != "host"), default=FULL_RATE
        )
    return int(graph.own_rate[op]) if lane.name != "host" and "compute" in names else FULL_RATE
