"""A run that cannot go on says who waits for whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.engine.deadlock import MAX_LINKS
from simulator.engine.simpy_engine import run
from simulator.errors import Deadlock
from simulator.graph.event_graph import GraphBuilder
from simulator.units import FULL_RATE


def story(graph: GraphBuilder) -> str:
    with pytest.raises(Deadlock) as caught:
        run(graph.build())
    return str(caught.value)


@pytest.mark.parametrize("own_rate", [FULL_RATE, FULL_RATE // 2])
def test_a_crossed_collective_names_the_cycle(own_rate):
    graph = GraphBuilder()
    first, second = graph.meeting(2), graph.meeting(2)
    graph.op(0, "compute", 9, action="0B0")
    graph.op(0, "data", 5, meeting=first, own_rate=own_rate, action="reduce b0 4KiB none")
    graph.op(0, "data", 5, meeting=second, own_rate=own_rate, action="reduce b1 4KiB none")
    graph.op(1, "data", 5, meeting=second, own_rate=own_rate, action="reduce b1 4KiB none")
    graph.op(1, "data", 5, meeting=first, own_rate=own_rate, action="reduce b0 4KiB none")
    assert story(graph) == (
        "4 of 5 ops never end: "
        "rank 0 data 'reduce b0 4KiB none' (op 1) meets rank 1 data 'reduce b0 4KiB none' (op 4); "
        "rank 1 data 'reduce b0 4KiB none' (op 4) is launched after rank 1 data 'reduce b1 4KiB none' (op 3); "
        "rank 1 data 'reduce b1 4KiB none' (op 3) meets rank 0 data 'reduce b1 4KiB none' (op 2); "
        "rank 0 data 'reduce b1 4KiB none' (op 2) is launched after rank 0 data 'reduce b0 4KiB none' (op 1), "
        "which closes the cycle"
    )


def test_a_missing_member_is_named_with_what_waits_for_it():
    graph = GraphBuilder()
    meeting = graph.meeting(3)
    graph.op(0, "data", 5, meeting=meeting, action="reduce b0 4KiB none")
    graph.op(1, "data", 5, meeting=meeting, action="reduce b0 4KiB none")
    graph.op(1, "data", 5, action="reduce b1 4KiB none")
    text = story(graph)
    assert text.startswith("3 of 3 ops never end: rank 0 data 'reduce b0 4KiB none' (op 0) is 2 of the 3 members")
    assert "cycle" not in text


def test_the_story_starts_at_the_first_op_but_tells_only_the_cycle():
    graph = GraphBuilder()
    one, two = graph.meeting(2), graph.meeting(3)
    outside = graph.op(2, "data", 1, meeting=two, action="reduce b1")
    graph.op(2, "compute", 1, after=[outside], action="optimizer")
    graph.op(0, "data", 1, meeting=one)
    graph.op(0, "data", 1, meeting=two)
    graph.op(1, "data", 1, meeting=two)
    graph.op(1, "data", 1, meeting=one)
    text = story(graph)
    assert text.startswith("6 of 6 ops never end: rank 0 data 'compute' (op 3) is launched after")
    assert text.count("meets") == 2
    assert "(op 0)" not in text and "optimizer" not in text


def test_a_member_that_waits_for_a_member_of_its_own_meeting():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    first = graph.op(0, "data", 1, meeting=meeting)
    graph.op(1, "data", 1, meeting=meeting, after=[first])
    text = story(graph)
    assert "rank 1 data 'compute' (op 1) waits for rank 0 data 'compute' (op 0)" in text
    assert text.endswith("which closes the cycle")


def test_an_op_that_waits_for_itself_through_edges_alone():
    graph = GraphBuilder()
    graph.op(0, "compute", 1)
    graph.op(0, "compute", 1)
    built = graph.build()
    looped = replace(built, first_successor=np.array([0, 1, 2]), successor=np.array([1, 0], dtype=np.int32))
    with pytest.raises(Deadlock, match="which closes the cycle"):
        run(looped)


def test_a_long_story_is_cut_in_the_middle():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    last = graph.op(0, "data", 1, meeting=meeting)
    for rank in range(1, 60):
        last = graph.op(rank, "compute", 1, after=[last])
    graph.op(99, "data", 1, meeting=meeting, after=[last])
    text = story(graph)
    assert text.count(";") == MAX_LINKS
    assert "more" in text


def test_a_deadlock_leaves_what_ended_out_of_its_count():
    graph = GraphBuilder()
    meeting = graph.meeting(2)
    for _ in range(10):
        graph.op(0, "compute", 1)
    graph.op(0, "data", 1, meeting=meeting)
    assert story(graph).startswith("1 of 11 ops")
