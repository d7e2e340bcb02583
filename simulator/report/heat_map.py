"""All ranks at a glance: one row each, as dark as its compute stream is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.report import format
from simulator.report.drawing import drawn_ranks
from simulator.report.ops import lanes, rank_tick
from simulator.report.palette import SKY
from simulator.report.slices import occupancy
from simulator.timeline import Timeline
from simulator.units import NS_PER_S

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEAT_BINS = 300
HEAT_ROWS = 512


def heat_rows(timeline: Timeline) -> tuple[int, ...]:
    """The ranks of the heat map: all, or `HEAT_ROWS` of them spread evenly."""
    return drawn_ranks(timeline.ranks, HEAT_ROWS)


def heat_figure(result) -> go.Figure:
    """Every rank as a row: how much of each moment its compute stream is busy, from white to dark."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout, value_axis

    timeline = result.timeline
    ranks = heat_rows(timeline)
    span_ns = timeline.step_ns
    factor, unit = format.time_axis(span_ns / NS_PER_S)
    compute = {lane.rank: lane.ops for lane in lanes(timeline) if lane.stream == "compute"}
    empty = np.array([], dtype=np.int64)
    rows = [
        occupancy(timeline.start_ns[ops], timeline.end_ns[ops], span_ns, HEAT_BINS)
        for ops in (compute.get(rank, empty) for rank in ranks)
    ]
    middles = (np.arange(HEAT_BINS) + 0.5) * (span_ns / NS_PER_S * factor / HEAT_BINS)
    row_px = max(6, 600 // max(1, len(ranks)))
    figure = go.Figure(
        go.Heatmap(
            z=(np.array(rows) * 100).round().astype(np.uint8),
            x=middles,
            y=list(range(len(ranks))),
            colorscale=[[0, "#FFFFFF"], [0.5, SKY], [1, "#003B5C"]],
            zmin=0,
            zmax=100,
            hovertemplate="%{y}: %{z} % busy at %{x:.4g} " + unit + "<extra></extra>",
            colorbar={
                "title": {"text": "compute busy (%)", "side": "right"},
                "thickness": 14,
                "tickvals": [0, 50, 100],
            },
        ),
        layout=layout(min(900, 120 + row_px * len(ranks)), margin={"l": 10, "r": 10, "t": 40, "b": 40}),
    )
    figure.update_xaxes(value_axis(f"time ({unit})"))
    every = max(1, -(-len(ranks) // 16))
    ticks = list(range(0, len(ranks), every))
    figure.update_yaxes(
        autorange="reversed",
        automargin=True,
        tickvals=ticks,
        ticktext=[rank_tick(result, ranks[place]) for place in ticks],
    )
    return figure
