"""Runs without processes: a simulated step written down as the ranks' spans, as if it had been measured."""

from __future__ import annotations

import numpy as np

from simulator.executor.execution import Execution
from simulator.executor.job import RankRecord
from simulator.executor.spans import Span
from simulator.scenario.loader import scenario_from

START_NS = 10**9
LOST_NS = 1000


def scenario(name="small", sets=(), **plan):
    """A small gpt on as many GPUs of an A100 node as the plan's degrees say."""
    gpus = int(np.prod([plan.get(key, 1) for key in ("tensor", "pipeline", "data")]))
    return scenario_from(
        {
            "schema_version": 1,
            "name": name,
            "model": {"trunk": {"block": "gpt", "layers": 4, "hidden": 512, "heads": 8, "vocab": 8192, "seq": 256}},
            "cluster": {"preset": "dgx_a100", "nodes": 1, "gpus_per_node": gpus},
            "plan": {"data": 1, "microbatch": 1, "global_batch": 8, **plan},
        },
        sets,
    )


def replay(result, stretch=(1.0,)) -> Execution:
    """One measured step for each factor of `stretch`, in which everything took that much longer than predicted."""
    timeline = result.timeline
    owner = {real: rank for rank, reals in zip(timeline.ranks, timeline.members, strict=True) for real in reals}
    records = []
    for own in result.program.unfolded().ranks:
        record = RankRecord(own.rank)
        for factor in stretch:
            spans = []
            for launch in own.launches:
                ops = _ops(timeline, owner[own.rank], launch)
                ready = timeline.ready_ns[ops].min(initial=timeline.step_ns)
                start, end = timeline.start_ns[ops].min(initial=timeline.step_ns), timeline.end_ns[ops].max(initial=0)
                spans.append(Span(*(START_NS + round(factor * int(ns)) for ns in (ready, start, end))))
            record.begin_ns.append(START_NS)
            record.lost_ns.append(round(LOST_NS * factor))
            record.spans.append(spans)
            record.losses.append(1.0 / len(owner))
        records.append(record)
    return Execution(result.scenario, result.program, "gloo", 0, tuple(records))


def _ops(timeline, rank: int, launch) -> np.ndarray:
    words = timeline.actions.index(launch.action.words) if launch.action.words in timeline.actions else -2
    of_rank = np.array([stream.rank == rank and stream.name != "host" for stream in timeline.streams])
    return np.flatnonzero((timeline.action == words) & of_rank[timeline.stream])
