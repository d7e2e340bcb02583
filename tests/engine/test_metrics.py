"""Where the time of a rank goes, against hand counts and against counting nanosecond by nanosecond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import graphs

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import GraphBuilder
from simulator.metrics import (
    breakdown_ns,
    busy_ns,
    compute_ns,
    critical_rank,
    utilization,
)
from simulator.timeline import Timeline
from simulator.units import FULL_RATE


def timeline_of(graph: GraphBuilder, **multiplicity) -> Timeline:
    built = graph.build(**multiplicity)
    return Timeline.of(built, run(built))


def nonzero(labels: dict[str, int]) -> dict[str, int]:
    assert tuple(labels) == kinds.BREAKDOWN
    return {label: ns for label, ns in labels.items() if ns}


def test_an_empty_timeline_has_no_time_to_label():
    timeline = timeline_of(GraphBuilder())
    assert nonzero(breakdown_ns(timeline)) == {}
    assert utilization(timeline).busy == 0.0


def test_kernels_take_the_label_of_their_kind():
    graph = GraphBuilder()
    for kind, ns in zip(kinds.COMPUTE_KINDS, (1, 20, 300, 4000), strict=True):
        graph.op(0, "compute", ns, kind=kind)
    assert nonzero(breakdown_ns(timeline_of(graph))) == {
        "compute": 1, "recompute": 20, "compression": 300, "optimizer": 4000
    }  # fmt: skip


def test_hidden_communication_has_no_label_and_exposed_communication_has():
    graph = GraphBuilder()
    first = graph.op(0, "compute", 100)
    graph.op(0, "data", 130, kind=kinds.DATA, after=[first])
    graph.op(0, "compute", 90)
    timeline = timeline_of(graph)
    assert nonzero(breakdown_ns(timeline)) == {"compute": 190, "data_comm": 40}
    assert (busy_ns(timeline) - compute_ns(timeline)).tolist() == [40]


def test_of_several_collectives_the_first_in_the_order_of_labels_names_a_nanosecond():
    graph = GraphBuilder()
    for kind, ns in (
        (kinds.DATA, 50),
        (kinds.PIPELINE, 40),
        (kinds.EMBEDDING, 30),
        (kinds.CONTEXT, 20),
        ("tensor_comm", 10),
    ):
        graph.op(0, kind, ns, kind=kind)
    assert nonzero(breakdown_ns(timeline_of(graph))) == {
        "tensor_comm": 10, "context_comm": 10, "embedding_comm": 10, "pipeline_comm": 10, "data_comm": 10
    }  # fmt: skip


def test_waiting_for_a_member_is_straggler_wait_and_for_a_receive_is_bubble():
    graph = GraphBuilder()
    transfer, reduction = graph.meeting(2), graph.meeting(2)
    forward = graph.op(0, "compute", 50, action="0F0")
    graph.op(0, "send", 10, kind=kinds.PIPELINE, meeting=transfer, after=[forward], action="send 0F0 >p1 1KiB")
    arrived = graph.op(1, "recv", 10, kind=kinds.PIPELINE, meeting=transfer, action="recv 1F0 <p0 1KiB")
    second = graph.op(1, "compute", 30, after=[arrived], action="1F0")
    graph.op(0, "data", 5, kind=kinds.DATA, meeting=reduction, after=[forward], action="reduce tied 1KiB none")
    graph.op(1, "data", 5, kind=kinds.DATA, meeting=reduction, after=[second], action="reduce tied 1KiB none")
    timeline = timeline_of(graph)
    assert nonzero(breakdown_ns(timeline, 1)) == {"bubble": 50, "pipeline_comm": 10, "compute": 30, "data_comm": 5}
    assert nonzero(breakdown_ns(timeline, 0)) == {
        "compute": 50, "pipeline_comm": 10, "straggler_wait": 30, "data_comm": 5
    }  # fmt: skip


def test_the_host_is_other_unless_a_receive_is_awaited():
    graph = GraphBuilder()
    transfer = graph.meeting(2)
    graph.op(0, "host", 70, kind=kinds.HOST)
    launch = graph.op(1, "compute", 40, action="0F0")
    graph.op(1, "send", 10, kind=kinds.PIPELINE, meeting=transfer, after=[launch], action="send 0F0 >p1 1KiB")
    graph.op(0, "recv", 10, kind=kinds.PIPELINE, meeting=transfer, action="recv 1F0 <p0 1KiB")
    timeline = timeline_of(graph)
    assert nonzero(breakdown_ns(timeline, 0)) == {"bubble": 40, "pipeline_comm": 10, "other": 20}
    assert busy_ns(timeline).tolist() == [10, 50], "the host keeps no device busy"


def test_an_idle_gap_with_nothing_awaited_is_bubble():
    graph = GraphBuilder()
    other = graph.op(1, "compute", 40)
    graph.op(0, "compute", 5, after=[other])
    assert nonzero(breakdown_ns(timeline_of(graph))) == {"bubble": 40, "compute": 5}


def test_the_critical_rank_is_the_one_that_ends_last_and_the_lowest_on_ties():
    graph = GraphBuilder()
    for rank, ns in ((4, 10), (2, 30), (7, 30)):
        graph.op(rank, "compute", ns)
    timeline = timeline_of(graph)
    assert timeline.ranks[critical_rank(timeline)] == 2


def test_a_contracted_op_counts_as_its_parts():
    graph = GraphBuilder()
    parts = ((kinds.COMPUTE, 60), (kinds.TENSOR, 25), (kinds.RECOMPUTE, 15))
    graph.op(0, "compute", 100, parts=parts, action="0B0")
    timeline = timeline_of(graph)
    assert nonzero(breakdown_ns(timeline)) == {"compute": 60, "tensor_comm": 25, "recompute": 15}
    assert busy_ns(timeline).tolist() == [100]
    assert compute_ns(timeline).tolist() == [75]


def test_a_stretched_contracted_op_still_sums_to_the_step():
    graph = GraphBuilder()
    graph.op(0, "compute", 100, parts=((kinds.COMPUTE, 60), (kinds.TENSOR, 40)))
    graph.op(0, "data", 30, kind=kinds.DATA, compute_rate=FULL_RATE // 3)
    timeline = timeline_of(graph)
    labels = breakdown_ns(timeline)
    assert timeline.step_ns == 121
    assert sum(labels.values()) == 121
    assert labels["compute"] == 121 * 60 // 100


def test_utilization_counts_every_real_rank_once():
    graph = GraphBuilder()
    graph.op(0, "compute", 100)
    graph.op(1, "compute", 20)
    graph.op(1, "data", 30, kind=kinds.DATA)
    used = utilization(timeline_of(graph, multiplicity={0: 1, 1: 3}))
    assert used.busy == (100 + 3 * 30) / 400
    assert used.compute == (100 + 3 * 20) / 400


def label_of(timeline: Timeline, rank: int, now: int) -> str:
    """The label of [now, now + 1), by the words of the definition."""
    mine = [op for op in range(len(timeline)) if timeline.streams[timeline.stream[op]].rank == rank]
    runs = [kinds.KINDS[timeline.kind[op]] for op in mine if timeline.start_ns[op] <= now < timeline.end_ns[op]]
    waits = [op for op in mine if timeline.ready_ns[op] <= now < timeline.start_ns[op]]
    waiting = [kinds.KINDS[timeline.kind[op]] for op in waits]
    for kind in (*kinds.COMPUTE_KINDS, kinds.TENSOR, kinds.CONTEXT, kinds.EMBEDDING, kinds.PIPELINE, kinds.DATA):
        if kind in runs:
            return kind
    if any(kind in (kinds.TENSOR, kinds.CONTEXT, kinds.EMBEDDING, kinds.DATA) for kind in waiting):
        return "straggler_wait"
    if any(timeline.action[op] >= 0 and timeline.actions[timeline.action[op]].startswith("recv") for op in waits):
        return "bubble"
    return "other" if "other" in runs else "bubble"


@given(graphs(fluid=True), st.data())
def test_the_breakdown_is_what_counting_nanoseconds_gives(graph, data):
    timeline = Timeline.of(graph, run(graph))
    for index, rank in enumerate(timeline.ranks):
        counted = dict.fromkeys(kinds.BREAKDOWN, 0)
        busy = compute = 0
        for now in range(timeline.step_ns):
            counted[label_of(timeline, rank, now)] += 1
        assert breakdown_ns(timeline, index) == counted
        assert sum(counted.values()) == timeline.step_ns
        compute = sum(counted[kind] for kind in kinds.COMPUTE_KINDS)
        busy = compute + sum(counted[kind] for kind in kinds.COMM_KINDS)
        assert compute_ns(timeline)[index] == compute
        assert busy_ns(timeline)[index] == busy


@given(graphs(fluid=True))
def test_metrics_do_not_ask_where_a_timeline_comes_from(graph):
    timeline = Timeline.of(graph, run(graph))
    measured = replace(timeline, source="measured", graph=None, program_digest="x")
    assert breakdown_ns(measured) == breakdown_ns(timeline)
    assert utilization(measured) == utilization(timeline)


def test_nanoseconds_of_long_runs_are_not_lost_in_floats():
    day_ns = 86_400 * 10**9
    graph = GraphBuilder()
    for _ in range(400):
        graph.op(0, "compute", day_ns + 1)
        graph.op(0, "compute", 1, kind=kinds.OPTIMIZER)
    labels = breakdown_ns(timeline_of(graph))
    assert labels["compute"] == 400 * (day_ns + 1) and labels["optimizer"] == 400
    assert busy_ns(timeline_of(graph)).tolist() == [400 * (day_ns + 2)]
    assert busy_ns(timeline_of(graph)).dtype == np.int64
