"""Tiling with numpy gives the graph that is built op by op, on random templates and placements."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator import kinds
from simulator.costs.price import SOURCE_CODE, Price
from simulator.engine.simpy_engine import run
from simulator.graph.assemble import Tiling
from simulator.graph.checks import check_graph
from simulator.graph.event_graph import FULL_RATE, GraphBuilder
from simulator.graph.templates import Op, Template

STREAMS = ("compute", "tensor", "host")


@st.composite
def templates(draw):
    """1-5 ops on three streams, chained on each stream, with random edges to earlier ops."""
    ops, last = [], {}
    for index in range(draw(st.integers(1, 5))):
        stream = draw(st.sampled_from(STREAMS))
        after = set(draw(st.lists(st.integers(0, index - 1), max_size=2))) if index else set()
        if stream in last:
            after.add(last[stream])
        last[stream] = index
        price = Price(draw(st.integers(0, 100)), draw(st.sampled_from(sorted(SOURCE_CODE))), "any")
        rate = draw(st.sampled_from([FULL_RATE, FULL_RATE // 2])) if stream == "tensor" else FULL_RATE
        kind = {"compute": kinds.COMPUTE, "tensor": kinds.TENSOR, "host": kinds.HOST}[stream]
        parts = ((kinds.COMPUTE, price.duration_ns),) if stream == "compute" and draw(st.booleans()) else ()
        ops.append(Op(stream, kind, price, f"op{index}", tuple(sorted(after)), compute_rate=rate, parts=parts))
    return Template(tuple(ops))


@st.composite
def plans(draw):
    """(templates, placements): a placement is (template, rank, which earlier placements precede it)."""
    known = draw(st.lists(templates(), min_size=1, max_size=4))
    placements = []
    for index in range(draw(st.integers(1, 8))):
        before = draw(st.lists(st.integers(0, index - 1), max_size=2, unique=True)) if index else []
        placements.append((draw(st.integers(0, len(known) - 1)), draw(st.integers(0, 2)), before))
    return known, placements


def tiled(known, placements):
    tiling, exits = Tiling(), []
    for number, (which, rank, before) in enumerate(placements):
        _, ends = tiling.place(known[which], rank, number, [exits[other] for other in before])
        exits.append(ends)
    ranks = sorted({rank for _, rank, _ in placements})
    return tiling.build(dict.fromkeys(ranks, 1), tuple(f"0F{number}" for number in range(len(placements))))


def built(known, placements):
    builder, exits = GraphBuilder(), []
    for number, (which, rank, before) in enumerate(placements):
        template, ids = known[which], []
        for local, op in enumerate(template.ops):
            after = [ids[other] for other in op.after]
            if local in template.entries:
                after += [end for other in before for end in exits[other]]
            ids.append(
                builder.op(rank, op.stream, op.price.duration_ns, after=sorted(after), kind=op.kind, name=op.name,
                           compute_rate=op.compute_rate, own_rate=op.own_rate, parts=op.parts,
                           source=SOURCE_CODE[op.price.source], action=f"0F{number}")
            )  # fmt: skip
        exits.append([ids[local] for local in template.exits])
    return builder.build()


@given(plans())
def test_a_tiled_graph_is_the_graph_built_op_by_op(plan):
    fast, slow = tiled(*plan), built(*plan)
    check_graph(fast)
    for column in ("duration_ns", "kind", "source", "action", "first_successor", "successor", "meeting",
                   "compute_rate", "own_rate", "part_first", "part_kind", "part_ns"):  # fmt: skip
        assert np.array_equal(getattr(fast, column), getattr(slow, column)), column
        assert getattr(fast, column).dtype == getattr(slow, column).dtype, column
    assert [fast.streams[lane] for lane in fast.stream] == [slow.streams[lane] for lane in slow.stream]
    assert (fast.actions, fast.op_names, fast.ranks) == (slow.actions, slow.op_names, slow.ranks)
    first, second = run(fast), run(slow)
    for column in ("ready_ns", "start_ns", "end_ns"):
        assert np.array_equal(getattr(first, column), getattr(second, column))


def one(ns, stream="data", kind=kinds.DATA):
    return Template((Op(stream, kind, Price(ns, "measured", "any"), "x"),))


def test_a_lane_names_the_stream_of_a_template_that_leaves_it_open():
    tiling = Tiling()
    tiling.place(one(5), 0, 0, [], lane="send_forward")
    tiling.place(one(5), 0, 0, [], lane="send_backward")
    tiling.place(one(5), 1, 0, [], lane="send_forward")
    graph = tiling.build({0: 1, 1: 1}, ("0F0",))
    names = [(graph.streams[lane].rank, graph.streams[lane].name) for lane in graph.stream]
    assert names == [(0, "send_forward"), (0, "send_backward"), (1, "send_forward")]
    assert run(graph).end_ns.tolist() == [5, 5, 5]


def test_ops_that_meet_start_together():
    tiling = Tiling()
    first, exits = tiling.place(one(5, "compute", kinds.COMPUTE), 0, 0, [])
    for rank, before in ((0, [exits]), (1, [])):
        op, _ = tiling.place(one(7), rank, 0, before)
        tiling.meet(op, ("data", 0, "reduce b0"))
    graph = tiling.build({0: 1, 1: 1}, ("reduce b0",))
    assert graph.meeting.tolist() == [-1, 0, 0]
    assert run(graph).start_ns.tolist() == [0, 5, 5] and first == 0


def test_the_same_template_twice_is_stored_once():
    tiling, template = Tiling(), one(5)
    for _ in range(3):
        tiling.place(template, 0, 0, [])
    assert len(tiling.templates) == 1
    assert run(tiling.build({0: 1}, ("reduce b0",))).end_ns.tolist() == [5, 10, 15]
