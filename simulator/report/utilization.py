"""How busy each rank is: computing, communicating with nothing computing beside it, or idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator import kinds
from simulator.report import format
from simulator.report.ops import lanes, stands_for
from simulator.report.palette import BLUE, ORANGE, PALE, Look
from simulator.report.slices import union

if TYPE_CHECKING:
    import plotly.graph_objects as go

COMPUTES = Look("computing", BLUE, "", "a compute kernel runs")
COMMUNICATES = Look("communicating only", ORANGE, "", "a transfer or collective runs and no compute kernel")
IDLE = Look("idle or waiting", PALE, "/", "no device stream runs an op")


@dataclass(frozen=True, slots=True)
class RankUse:
    """Shares of the step: compute (kernels run), busy (any device stream runs); the rest is idle."""

    rank: int
    stands_for: int
    compute: float
    busy: float


def rank_uses(result) -> tuple[RankUse, ...]:
    """The use of every simulated rank, by the contract's definition: unions of intervals, host and waiting excluded."""
    timeline = result.timeline
    graph = timeline.graph
    span_ns = int(timeline.end_ns.max(initial=0)) or 1
    weights = stands_for(graph)
    on_device = graph.kind != kinds.CODE[kinds.HOST]
    computing = np.isin(graph.kind, [kinds.CODE[kind] for kind in kinds.COMPUTE_KINDS])
    by_rank: dict[int, list[np.ndarray]] = {rank: [] for rank in graph.ranks}
    for lane in lanes(graph):
        by_rank[lane.rank].append(lane.ops)
    uses = []
    for rank, ops in by_rank.items():
        mine = np.concatenate(ops) if ops else np.array([], dtype=np.int64)
        shares = [_covered(timeline, mine[mask[mine]]) / span_ns for mask in (computing, on_device)]
        uses.append(RankUse(rank, weights[rank], *shares))
    return tuple(uses)


def _covered(timeline, ops: np.ndarray) -> int:
    start, end = union(timeline.start_ns[ops], timeline.end_ns[ops])
    return int((end - start).sum())


def utilization_figure(result) -> go.Figure:
    """One bar for each simulated rank: computing, communicating only, idle; they add up to the step."""
    from simulator.report.charts import Series, stacked_bars
    from simulator.report.timeline_chart import rank_tick

    uses = rank_uses(result)
    rows = [rank_tick(result, use.rank) for use in uses]
    columns = (
        (COMPUTES, [use.compute for use in uses]),
        (COMMUNICATES, [use.busy - use.compute for use in uses]),
        (IDLE, [1 - use.busy for use in uses]),
    )
    few = len(uses) <= 40
    series = [
        Series(
            look,
            [share * 100 for share in shares],
            [f"{row}: {look.words} {format.percent(share)}" for row, share in zip(rows, shares, strict=True)],
            [format.percent(share) if few and share >= 0.08 else "" for share in shares],
        )
        for look, shares in columns
    ]
    row_px = 26 if few else max(3, 900 // len(uses))
    figure = stacked_bars(rows, series, title="share of the step (%)", height=100 + row_px * len(rows))
    figure.update_layout(
        showlegend=True,
        bargap=0.25 if few else 0.0,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 10, "r": 10, "t": 40, "b": 40},
    )
    figure.update_xaxes(range=[0, 100])
    return figure
