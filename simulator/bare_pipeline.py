"""A pipeline schedule alone: given times of each stage and a latency on each edge, how long a step takes.

The same schedules, transfers and engine as a whole simulation, without a model or a profile; this is what published
bubble rates are checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from numbers import Integral, Real

import numpy as np

from simulator import kinds
from simulator.engine.simpy_engine import run
from simulator.errors import ScenarioError
from simulator.graph.event_graph import GraphBuilder
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.pipeline import chunks_per_rank, schedule_named, schedule_order
from simulator.program.program import Chunk, Launch
from simulator.program.segments import compute_launches
from simulator.program.transfers import add_transfers

Times = float | Sequence[float]
_MAX_TICKS = 2**40
"""Times that are not whole numbers, or larger than this, are counted in ticks, the longest being about this many:
exact to 12 digits."""


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """total: from the first start to the last end, in the caller's unit. span: longest stage span, its last end minus
    its first start. bubble_rate: (span - m (F + I + W)) / span, with the times of the stage of that span."""

    total: float
    span: float
    bubble_rate: float


def pipeline_step(
    name: str, stages: int, microbatches: int, forward: Times, backward_input: Times, backward_weight: Times,
    comm: float, virtual_stages: int = 1,
) -> PipelineStep:  # fmt: skip
    """Runs one step of a schedule.

    forward, backward_input, backward_weight: time of one microbatch on one rank, all its chunks together, as one number
    or one for each rank, in any one unit; each of a rank's chunks (zb_v: two) takes its part. Schedules that do not
    split the backward pass run both halves as one. comm: latency of each transfer between different ranks; it occupies
    nothing.
    """
    order = schedule_order(name, stages, microbatches, virtual_stages)
    num_chunks = chunks_per_rank(name, virtual_stages)

    def holder(stage: int) -> int:
        return schedule_named(name).holder(stage, stages)

    given = {"forward": forward, "backward_input": backward_input, "backward_weight": backward_weight}
    rows = [_per_rank(times, stages, what) for what, times in given.items()]
    if not _is_time(comm):
        raise ScenarioError(f"{comm!r} is not a latency; give a number of at least 0", key="comm")
    tick = _tick([time / num_chunks for row in rows for time in row] + [comm])
    f, i, w = ([round(Fraction(time) / num_chunks / tick) for time in row] for row in rows)
    lasts = {"F": f, "B": [a + b for a, b in zip(i, w, strict=True)], "I": i, "W": w}

    graph, edges, spans = GraphBuilder(), {}, []
    for rank in range(stages):
        chunks = tuple(Chunk(stage, ((0, 0),)) for stage in range(stages * num_chunks) if holder(stage) == rank)
        launches = compute_launches(order[rank], chunks)
        launches = add_transfers(launches, chunks, rank, stages * num_chunks, holder, lambda stage: 0, overlap=True)
        spans.append(_add_rank(graph, edges, rank, launches, lasts, round(Fraction(comm) / tick)))
    times = run(graph.build())
    widths = [int(times.end_ns[last] - times.start_ns[first]) for first, last in spans]
    longest = max(range(stages), key=lambda rank: (widths[rank], -rank))
    busy = microbatches * num_chunks * (f[longest] + lasts["B"][longest])
    return PipelineStep(
        total=float(int(times.end_ns.max()) * tick),
        span=float(widths[longest] * tick),
        bubble_rate=(widths[longest] - busy) / widths[longest] if widths[longest] else 0.0,
    )


def _add_rank(
    graph: GraphBuilder, edges: dict[tuple, int], rank: int, launches: list[Launch], lasts: dict[str, list[int]],
    latency: int,
) -> tuple[int, int]:  # fmt: skip
    """Adds one rank's ops; returns its first and its last compute op. edges: the meeting of each transfer so far."""
    ops: dict[str, int] = {}
    for launch in launches:
        action = launch.action
        after = [ops[name] for name in action.after]
        if action.verb in COMPUTE_VERBS:
            ops[action.name] = graph.op(rank, "compute", lasts[action.verb][rank], after=after, action=action.name)
        else:  # a stream of its own: a latency, not a transfer that others queue behind
            ops[action.name] = graph.op(
                rank, action.name, latency, after=after, kind=kinds.PIPELINE, action=action.name,
                meeting=edges.setdefault(_edge(action), len(edges)),
            )  # fmt: skip
    compute = [ops[launch.action.name] for launch in launches if launch.stream == "compute"]
    return compute[0], compute[-1]


def _edge(action: Action) -> tuple:
    step = {"F": 1, "B": -1}[action.of] if action.verb == "send" else 0
    return action.stage + step, action.of, action.microbatch


def _per_rank(times: Times, stages: int, what: str) -> list[float]:
    row = list(times) if isinstance(times, Sequence | np.ndarray) else [times] * stages
    if len(row) != stages or not all(map(_is_time, row)):
        raise ScenarioError(f"{what} needs one time of at least 0, or {stages} of them; got {times!r}", key=what)
    return [int(time) if isinstance(time, Integral) else float(time) for time in row]


def _is_time(value: object) -> bool:
    return isinstance(value, Real) and 0 <= value < inf


def _tick(times: list[float]) -> Fraction:
    """The unit of the integer clock: 1 where all times are whole numbers, so that closed forms hold exactly."""
    if all(float(time).is_integer() for time in times) and max(times) <= _MAX_TICKS:
        return Fraction(1)
    return Fraction(max(times)) / _MAX_TICKS
