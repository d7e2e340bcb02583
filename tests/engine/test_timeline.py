"""What a timeline says of itself: text, frame, digest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import EventGraph, GraphBuilder
from simulator.timeline import FRAME_COLUMNS, Timeline


def two_stages(ranks: tuple[int, int] = (0, 1), copies: int = 1, streams_reversed: bool = False) -> GraphBuilder:
    """`copies` pipelines of two stages: forward, transfer, forward, then a reduction among the copies of each stage."""
    graph = GraphBuilder()
    meetings = {stage: graph.meeting(copies) for stage in (0, 1)} if copies > 1 else {0: -1, 1: -1}
    for copy in range(copies):
        first, second = (rank * copies + copy for rank in ranks)
        forward = graph.op(first, "compute", 30, action="0F0", name="layers")
        sent = graph.op(first, "send", 5, after=[forward], kind=kinds.PIPELINE, action="send 0F0 >p1 1KiB")
        graph.op(second, "recv", 0, after=[sent], kind=kinds.PIPELINE, action="recv 1F0 <p0 1KiB")
        later = graph.op(second, "compute", 20, after=[sent], action="1F0")
        for stage, rank, before in ((0, first, forward), (1, second, later)):
            text = f"reduce b{stage} 2KiB none"
            graph.op(rank, "data", 7, after=[before], kind=kinds.DATA, meeting=meetings[stage], action=text)
    return graph


def timeline_of(graph: EventGraph, **given) -> Timeline:
    return Timeline.of(graph, run(graph), **given)


def test_the_step_ends_with_the_last_op():
    assert timeline_of(two_stages().build()).step_ns == 30 + 5 + 20 + 7


def test_text_has_one_line_per_op_by_rank_stream_and_launch_order(golden):
    golden("two_stages", timeline_of(two_stages().build()).to_text())


def test_folded_and_unfolded_have_one_digest():
    folded = two_stages().build(multiplicity={0: 3, 1: 3})
    unfolded = two_stages(copies=3).build()
    assert len(unfolded) == 3 * len(folded)
    assert timeline_of(folded).digest() == timeline_of(unfolded).digest()
    assert timeline_of(two_stages().build(multiplicity={0: 3, 1: 2})).digest() != timeline_of(folded).digest()


def test_the_digest_holds_no_rank():
    assert timeline_of(two_stages((0, 1)).build()).digest() == timeline_of(two_stages((5, 3)).build()).digest()


@pytest.mark.parametrize("column", ["ready_ns", "start_ns", "end_ns", "kind"])
def test_the_digest_sees_every_column(column):
    timeline = timeline_of(two_stages().build())
    for op in range(len(timeline)):
        values = getattr(timeline, column).copy()
        values[op] += 1
        assert replace(timeline, **{column: values}).digest() != timeline.digest()


def test_the_digest_sees_which_action_and_which_stream():
    timeline = timeline_of(two_stages().build())
    other_action = timeline.action.copy()
    other_action[0] = timeline.actions.index("1F0")
    assert replace(timeline, action=other_action).digest() != timeline.digest()
    renamed = tuple(replace(s, name="other") if s.name == "send" else s for s in timeline.streams)
    assert replace(timeline, streams=renamed).digest() != timeline.digest()


def test_the_digest_of_an_empty_timeline_is_defined():
    assert len(timeline_of(GraphBuilder().build()).digest()) == 64


def test_frame_has_the_columns_of_the_contract():
    frame = timeline_of(two_stages().build()).to_frame()
    assert tuple(frame.columns) == FRAME_COLUMNS
    contract = ["op", "kind", "rank", "stream", "microbatch", "stage", "ready_ns", "start_ns", "end_ns"]
    assert set(contract) < set(frame.columns)
    row = frame[frame["action"] == "1F0"].iloc[0]
    assert row[["op", "kind", "rank", "stream", "microbatch", "stage", "ready_ns", "start_ns", "end_ns"]].tolist() == [
        "1F0", "compute", 1, "compute", 0, 1, 35, 35, 55
    ]  # fmt: skip
    assert frame["multiplicity"].tolist() == [1] * 6
    assert frame["op"].iloc[0] == "layers" and frame["action"].iloc[0] == "0F0"


def test_actions_without_a_stage_have_none():
    frame = timeline_of(two_stages().build()).to_frame()
    reduces = frame[frame["kind"] == "data_comm"]
    assert reduces["stage"].isna().all() and reduces["microbatch"].isna().all()
    graph = GraphBuilder()
    graph.op(0, "host", 3, kind=kinds.HOST)
    bare = timeline_of(graph.build()).to_frame()
    assert bare["stage"].isna().all() and bare["action"].tolist() == [""]


def test_expanded_frame_has_one_row_for_each_op_of_each_real_rank():
    graph = two_stages().build(multiplicity={0: 2, 1: 3})
    timeline = timeline_of(graph, members=(range(0, 4, 2), (1, 3, 5)))
    frame = timeline.to_frame(expand=True)
    assert frame["rank"].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [5] * 3
    assert (frame["multiplicity"] == 1).all()
    times = ["op", "start_ns", "end_ns"]
    assert frame[frame["rank"] == 5][times].values.tolist() == frame[frame["rank"] == 1][times].values.tolist()
    assert timeline.to_frame()["multiplicity"].tolist() == [2, 2, 3, 3, 2, 3]


def test_members_must_count_up_to_the_multiplicity():
    graph = two_stages().build(multiplicity={0: 2, 1: 2})
    with pytest.raises(ValueError, match="multiplicity"):
        timeline_of(graph, members=((0, 1), (2,)))
    with pytest.raises(ValueError, match="which real ranks"):
        timeline_of(graph).to_frame(expand=True)


def test_a_timeline_of_arrays_alone_needs_no_graph():
    simulated = timeline_of(two_stages().build())
    measured = replace(simulated, source="measured", graph=None, end_ns=simulated.end_ns + np.int64(3))
    assert measured.step_ns == simulated.step_ns + 3
    assert measured.to_text() and len(measured.to_frame()) == 6
