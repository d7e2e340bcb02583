"""What charts and traces read of a result: its ops with their times, and the names people know them by.

A result has a `timeline` (`graph`, `ready_ns`, `start_ns`, `end_ns`) and a `scenario` (`layout`, `cluster`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from simulator import kinds
from simulator.graph.event_graph import EventGraph
from simulator.program.actions import COMPUTE_VERBS, Action

STREAM_ORDER = ("compute", "tensor", "context", "table", "recv", "send", "pipeline", "data", "tied", "host")
"""Streams from top to bottom, by how their names begin; others follow by name."""

FORWARD, BACKWARD = "forward", "backward"


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One stream of one simulated rank: its op ids in launch order, which is also the order of their times."""

    rank: int
    stream: str
    ops: np.ndarray


def lanes(graph: EventGraph) -> tuple[Lane, ...]:
    """Every stream that runs an op, by rank, then in `STREAM_ORDER`."""
    order = np.argsort(graph.stream, kind="stable")
    bounds = np.searchsorted(graph.stream[order], np.arange(len(graph.streams) + 1))
    found = [
        Lane(stream.rank, stream.name, order[bounds[index] : bounds[index + 1]])
        for index, stream in enumerate(graph.streams)
        if bounds[index] < bounds[index + 1]
    ]
    return tuple(sorted(found, key=lambda lane: (lane.rank, _stream_place(lane.stream), lane.stream)))


def _stream_place(name: str) -> int:
    for place, known in enumerate(STREAM_ORDER):
        if name.startswith(known):
            return place
    return len(STREAM_ORDER)


@dataclass(frozen=True, slots=True)
class ActionLabel:
    """What an action's text says, for people: verb, stage, microbatch and message size where it has them."""

    text: str = ""
    name: str = ""
    verb: str = ""
    stage: int | None = None
    microbatch: int | None = None
    size_bytes: int | None = None

    @property
    def direction(self) -> str:
        """forward or backward for an action that computes, else empty."""
        if self.verb == "F":
            return FORWARD
        return BACKWARD if self.verb in COMPUTE_VERBS else ""


NO_ACTION = ActionLabel()
_RANK_PREFIX = re.compile(r"r\d+(\.\w+)? ")


def action_labels(graph: EventGraph) -> tuple[ActionLabel, ...]:
    """One label for each of `graph.actions`, read by the action's own grammar; other texts are kept as they are."""
    labels = []
    for text in graph.actions:
        try:
            action = Action.from_text(_RANK_PREFIX.sub("", text))
        except ValueError:
            labels.append(ActionLabel(text, text))
            continue
        labels.append(ActionLabel(text, action.name, action.verb, action.stage, action.microbatch, action.size_bytes))
    return tuple(labels)


def op_parts(graph: EventGraph, op: int) -> list[tuple[str, int]]:
    """(kind, ns) of each part of a contracted op, in order; empty for a plain one."""
    first, last = int(graph.part_first[op]), int(graph.part_first[op + 1])
    return [(kinds.KINDS[graph.part_kind[part]], int(graph.part_ns[part])) for part in range(first, last)]


def rank_place(result, rank: int) -> str:
    """Where a rank is, in the words of the field: "rank 12 | node 1 gpu 4 | dp3 pp0 tp4" (cp where context > 1)."""
    words = [f"rank {rank}"]
    scenario = getattr(result, "scenario", None)
    cluster, layout = getattr(scenario, "cluster", None), getattr(scenario, "layout", None)
    if cluster is not None:
        _, node, local_rank = cluster.place(rank)
        words.append(f"node {node} gpu {local_rank}")
    if layout is not None:
        words.append(coordinates_text(layout, rank))
    return " | ".join(words)


def coordinates_text(layout, rank: int) -> str:
    """dp3 pp0 tp4: a rank's place in the plan."""
    pipeline_rank, data_rank, context_rank, tensor_rank = layout.coordinates(rank)
    context = f" cp{context_rank}" if layout.context > 1 else ""
    return f"dp{data_rank} pp{pipeline_rank}{context} tp{tensor_rank}"


def stands_for(graph: EventGraph) -> dict[int, int]:
    """How many real ranks each simulated one stands for."""
    return dict(zip(graph.ranks, graph.multiplicity, strict=True))
