"""Memory of the fullest rank by kind, against the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.report import format
from simulator.report.palette import memory_look
from simulator.units import GIB, MIB

if TYPE_CHECKING:
    import plotly.graph_objects as go

WRITTEN_INSIDE = 0.08


def memory_figure(result) -> go.Figure:
    """One bar that sums to the peak, and the limit as a line."""
    from simulator.report.charts import Series, stacked_bars

    memory = result.to_dict()["memory_bytes"]
    peak, limit = memory["peak_max"], memory["limit"]
    span = max(peak, limit or 0) * 1.12 or 1
    size, unit = (GIB, "GiB") if span >= GIB else (MIB, "MiB")
    series = [
        Series(
            memory_look(kind),
            [count / size],
            [f"{memory_look(kind).words}: {format.bytes_text(count)}, {format.percent(count / peak)} of the peak"],
            [format.bytes_text(count) if count >= WRITTEN_INSIDE * span else ""],
        )
        for kind, count in memory["by_kind"].items()
        if count > 0
    ]
    figure = stacked_bars(["peak"], series, title=f"memory of the fullest rank ({unit})", height=150)
    figure.update_layout(bargap=0.1, margin={"l": 10, "r": 10, "t": 26, "b": 40})
    figure.update_xaxes(range=[0, span / size])
    figure.update_yaxes(visible=False)
    if limit:
        figure.add_vline(x=limit / size, line={"color": "#000000", "width": 3, "dash": "dash"})
        figure.add_annotation(
            x=limit / size,
            y=1,
            xref="x",
            yref="paper",
            yanchor="bottom",
            xanchor="right" if limit > span * 0.5 else "left",
            showarrow=False,
            text=f"<b>limit {format.bytes_text(limit)}</b>",
        )
    return figure
