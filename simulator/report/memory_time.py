"""Memory over the step: the fullest rank by kind against its limit, and all ranks at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.memory.walk import KINDS
from simulator.report import format
from simulator.report.drawing import drawn_ranks
from simulator.report.ops import rank_tick
from simulator.report.palette import SKY, memory_look
from simulator.units import GIB, MIB, NS_PER_S

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHARES = 240
"""Equal shares of the step, each drawn as full as its fullest instant."""
MAX_RANKS = 64


def memory_time_figure(result) -> go.Figure:
    """What the fullest rank holds over the step, kind upon kind, and the line of what its device can hold."""
    import plotly.graph_objects as go

    from simulator.report.charts import DARK, layout, marker, value_axis

    fullest = result.memory.tightest
    curve = result.fullest_curve
    starts, held = curve.fullest(SHARES)
    factor, unit = format.time_axis(curve.step_ns / NS_PER_S)
    times = np.append(starts, curve.step_ns) / NS_PER_S * factor
    top = max(fullest.peak, fullest.limit) * 1.08 or 1
    size, memory_unit = (GIB, "GiB") if top >= GIB else (MIB, "MiB")
    figure = go.Figure(layout=layout(300, margin={"l": 60, "r": 20, "t": 26, "b": 40}, hovermode="x"))
    for place, kind in enumerate(KINDS):
        if not held[:, place].any():
            continue
        look = memory_look(kind)
        column = np.append(held[:, place], held[-1, place])
        figure.add_scatter(
            name=look.words, x=times, y=column / size, stackgroup="held", mode="lines",
            line={"shape": "hv", "width": 0.5, "color": "#FFFFFF"}, fillcolor=look.colour,
            fillpattern=_pattern(marker(look)["pattern"], look.colour in DARK),
            hovertext=[f"{look.words}: {format.bytes_text(int(count))}" for count in column], hoverinfo="text",
        )  # fmt: skip
    _mark_peak(figure, curve.peak, factor, size)
    if fullest.limit:
        figure.add_hline(y=fullest.limit / size, line={"color": "#000000", "width": 3, "dash": "dash"})
        figure.add_annotation(x=0, y=fullest.limit / size, xref="paper", xanchor="left", yanchor="bottom",
                              showarrow=False, text=f"<b>limit {format.bytes_text(fullest.limit)}</b>")  # fmt: skip
    figure.update_xaxes(value_axis(f"time ({unit})"))
    figure.update_yaxes(value_axis(f"held ({memory_unit})"), range=[0, top / size])
    return figure


def _pattern(pattern: dict, dark: bool) -> dict:
    """The pattern of a bar as that of an area; plotly needs its colours said again."""
    if not pattern["shape"]:
        return {"shape": ""}
    return pattern | {"fgcolor": "#FFFFFF" if dark else "#000000", "fgopacity": 0.5}


def _mark_peak(figure: go.Figure, peak, factor: float, size: int) -> None:
    middle = (peak.start_ns + peak.end_ns) / 2 / NS_PER_S * factor
    text = f"peak {format.bytes_text(peak.size_bytes)}" + (f" in {peak.action}" if peak.action else "")
    figure.add_annotation(x=middle, y=peak.size_bytes / size, text=text, showarrow=True, arrowhead=2, ax=30, ay=-24,
                          bgcolor="#FFFFFF")  # fmt: skip


def memory_heat_figure(result) -> go.Figure:
    """A row for each simulated rank: how full its device is over the step, in % of what it can hold."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout, value_axis

    by_rank = {own.rank: own for own in result.memory.per_rank}
    ranks = drawn_ranks(tuple(by_rank), MAX_RANKS)
    curves = [result.memory_curve(rank) for rank in ranks]
    step_ns = curves[0].step_ns
    factor, unit = format.time_axis(step_ns / NS_PER_S)
    rows = [
        100 * curve.fullest(SHARES)[1].sum(axis=1) / max(1, by_rank[curve.rank].limit or by_rank[curve.rank].peak)
        for curve in curves
    ]
    row_px = max(8, min(28, 600 // len(ranks)))
    figure = go.Figure(
        go.Heatmap(
            z=np.round(np.array(rows), 1),
            x=(np.arange(SHARES) + 0.5) * (step_ns / NS_PER_S * factor / SHARES),
            y=list(range(len(ranks))),
            colorscale=[[0, "#FFFFFF"], [0.5, SKY], [1, "#003B5C"]],
            zmin=0,
            zmax=100,
            hovertemplate="%{y}: %{z} % full at %{x:.4g} " + unit + "<extra></extra>",
            colorbar={"title": {"text": "of the limit (%)", "side": "right"}, "thickness": 14},
        ),
        layout=layout(115 + row_px * len(ranks), margin={"l": 10, "r": 10, "t": 35, "b": 40}),
    )
    figure.update_xaxes(value_axis(f"time ({unit})"))
    every = max(1, -(-len(ranks) // 16))
    ticks = list(range(0, len(ranks), every))
    figure.update_yaxes(autorange="reversed", automargin=True, tickvals=ticks,
                        ticktext=[rank_tick(result, ranks[place]) for place in ticks])  # fmt: skip
    return figure
