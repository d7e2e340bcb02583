"""Whole timelines of small hand-made graphs, as text that a person can check."""

from __future__ import annotations

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.graph.event_graph import GraphBuilder
from simulator.timeline import Timeline
from simulator.units import FULL_RATE


def text_of(graph: GraphBuilder) -> str:
    built = graph.build()
    return Timeline.of(built, run(built)).to_text()


def test_one_forward_one_backward_on_two_stages(golden):
    """1F1B, 2 stages, 3 microbatches, forward 10, backward 20, transfers 1: (3 + 2 - 1) * 30 + 4 exposed transfers."""
    graph = GraphBuilder()
    sent: dict[str, int] = {}
    meetings = {f"{of}{k}": graph.meeting(2) for k in range(3) for of in "FB"}

    def compute(stage: int, of: str, k: int, after: list[int]) -> int:
        return graph.op(stage, "compute", 10 if of == "F" else 20, after=after, action=f"{stage}{of}{k}")

    def transfer(of: str, k: int, source: int, after: int) -> int:
        target = 1 - source
        given = {"kind": kinds.PIPELINE, "meeting": meetings[f"{of}{k}"]}
        text = f"{target if of == 'F' else source}{of}{k}"
        graph.op(source, f"send {of}", 1, after=[after], action=f"send {source}{of}{k} >p{target} 1KiB", **given)
        return graph.op(target, f"recv {of}", 1, action=f"recv {text} <p{source} 1KiB", **given)

    def first_stage(of: str, k: int) -> None:
        done = compute(0, of, k, [sent[f"B{k}"]] if of == "B" else [])
        if of == "F":
            sent[f"F{k}"] = transfer("F", k, 0, done)

    def last_stage(k: int) -> None:
        compute(1, "F", k, [sent[f"F{k}"]])
        sent[f"B{k}"] = transfer("B", k, 1, compute(1, "B", k, []))

    first_stage("F", 0)
    first_stage("F", 1)
    last_stage(0)
    first_stage("B", 0)
    first_stage("F", 2)
    last_stage(1)
    first_stage("B", 1)
    last_stage(2)
    first_stage("B", 2)
    golden("one_f_one_b", text_of(graph))


def test_a_gradient_bucket_that_overlaps_the_backward_pass(golden):
    """Two ranks, the second 10 ns late; the reduction halves kernels and itself runs at three quarters beside them."""
    graph = GraphBuilder()
    rates = {"compute_rate": FULL_RATE // 2, "own_rate": FULL_RATE * 3 // 4, "kind": kinds.DATA}
    meetings = [graph.meeting(2), graph.meeting(2)]
    for rank, late_ns in ((0, 0), (1, 10)):
        segments = [graph.op(rank, "compute", 40 + late_ns, action="0B0.0")]
        segments.append(graph.op(rank, "compute", 40, action="0B0.1"))
        for bucket, (meeting, segment) in enumerate(zip(meetings, segments, strict=True)):
            text = f"reduce b{bucket} 4KiB none"
            last = graph.op(rank, "data", 30, after=[segment], meeting=meeting, action=text, **rates)
        graph.op(rank, "compute", 5, after=[last], kind=kinds.OPTIMIZER, action="optimizer")
    golden("overlapped_buckets", text_of(graph))
