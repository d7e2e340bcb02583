"""How charts and traces name what they draw: streams, actions, ranks and where those are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import kinds
from simulator.layout import Layout
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.timeline import Timeline

STREAM_ORDER = ("compute", "tensor", "context", "embedding", "recv", "send", "data", "shard", "replica", "samples",
                "tied", "host")  # fmt: skip
"""Streams from top to bottom, by how their names begin; others follow by name."""

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One stream of one simulated rank: its op ids in launch order, which is also the order of their times."""

    rank: int
    stream: str
    ops: np.ndarray


def lanes(timeline: Timeline) -> tuple[Lane, ...]:
    """Every stream that runs an op, by rank, then in `STREAM_ORDER`."""
    order = np.argsort(timeline.stream, kind="stable")
    bounds = np.searchsorted(timeline.stream[order], np.arange(len(timeline.streams) + 1))
    found = [
        Lane(stream.rank, stream.name, order[bounds[index] : bounds[index + 1]])
        for index, stream in enumerate(timeline.streams)
        if bounds[index] < bounds[index + 1]
    ]
    return tuple(sorted(found, key=lambda lane: (lane.rank, _stream_place(lane.stream), lane.stream)))


def _stream_place(name: str) -> int:
    for place, known in enumerate(STREAM_ORDER):
        if name.startswith(known):
            return place
    return len(STREAM_ORDER)


def direction(action: Action) -> str:
    """forward or backward for an action that computes a stage, else empty."""
    if action.verb == "F":
        return FORWARD
    return BACKWARD if action.verb in COMPUTE_VERBS else ""


def op_parts(timeline: Timeline, op: int) -> list[tuple[str, int]]:
    """(kind, ns) of each part of a contracted op, in order; empty for a plain one."""
    first, last = int(timeline.part_first[op]), int(timeline.part_first[op + 1])
    return [(kinds.KINDS[timeline.part_kind[part]], int(timeline.part_ns[part])) for part in range(first, last)]


def rank_place(scenario, rank: int) -> str:
    """Where a rank is, in the words of the field: "rank 12 | node 1 gpu 4 | dp3 pp0 tp4" (cp where context > 1)."""
    _, node, local_rank = scenario.cluster.place(rank)
    return f"rank {rank} | node {node} gpu {local_rank} | {coordinates_text(scenario.layout, rank)}"


def coordinates_text(layout: Layout, rank: int) -> str:
    """dp3 pp0 tp4: a rank's place in the plan."""
    pipeline_rank, data_rank, context_rank, tensor_rank = layout.coordinates(rank)
    context = f" cp{context_rank}" if layout.context > 1 else ""
    return f"dp{data_rank} pp{pipeline_rank}{context} tp{tensor_rank}"


def stands_for(timeline: Timeline) -> dict[int, int]:
    """How many real ranks each simulated one stands for."""
    return dict(zip(timeline.ranks, timeline.multiplicity, strict=True))


def rank_tick(result, rank: int) -> str:
    """A rank's name on an axis: its stage where there is a pipeline, its rank, and how many it stands for."""
    layout, weight = result.scenario.layout, stands_for(result.timeline)[rank]
    words = f"rank {rank}"
    if layout.pipeline > 1:
        words = f"stage {layout.coordinates(rank)[0]} · {words}"
    return words + (f" · ×{weight}" if weight > 1 else "")
