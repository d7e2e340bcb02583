"""How busy each rank is: computing, communicating with nothing computing beside it, or idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.metrics import busy_ns, compute_ns
from simulator.report import format
from simulator.report.ops import rank_tick
from simulator.report.palette import BLUE, ORANGE, PALE, Look

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
    """The use of every simulated rank; what counts is `metrics.busy_ns` and `compute_ns`'s business."""
    timeline = result.timeline
    step_ns = timeline.step_ns or 1
    columns = (timeline.ranks, timeline.multiplicity, compute_ns(timeline).tolist(), busy_ns(timeline).tolist())
    return tuple(
        RankUse(rank, weight, computing / step_ns, busy / step_ns)
        for rank, weight, computing, busy in zip(*columns, strict=True)
    )


def utilization_figure(result) -> go.Figure:
    """One bar for each simulated rank: computing, communicating only, idle; they add up to the step."""
    from simulator.report.charts import Series, stacked_bars

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
        margin={"l": 10, "r": 25, "t": 40, "b": 40},
    )
    figure.update_xaxes(range=[0, 100])
    return figure
