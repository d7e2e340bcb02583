"""Memory of each rank by kind, against the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.report import format
from simulator.report.drawing import drawn_ranks
from simulator.report.ops import rank_tick
from simulator.report.palette import memory_look
from simulator.units import GIB, MIB

if TYPE_CHECKING:
    import plotly.graph_objects as go

WRITTEN_INSIDE = 0.07
"""Smallest share of the axis whose size is written into the bar."""
MAX_ROWS = 16


def memory_figure(result) -> go.Figure:
    """A bar for each simulated rank (at most `MAX_ROWS`, the fullest among them) and a line for each device's limit."""
    from simulator.report.charts import Series, stacked_bars

    memory = result.memory
    fullest, limits = memory.tightest, sorted({own.limit for own in memory.per_rank if own.limit})
    chosen = {fullest.rank, *drawn_ranks(tuple(own.rank for own in memory.per_rank), MAX_ROWS - 1)}
    shown = [own for own in memory.per_rank if own.rank in chosen]
    span = max(fullest.peak, *limits, 0) * 1.04 or 1
    size, unit = (GIB, "GiB") if span >= GIB else (MIB, "MiB")
    rows = [rank_tick(result, own.rank) for own in shown]
    tables = [dict(own.by_kind) for own in shown]
    series = [
        Series(
            memory_look(kind),
            [table[kind] / size for table in tables],
            [
                f"{row}<br>{memory_look(kind).words}: {format.bytes_text(table[kind])} of {format.bytes_text(own.peak)}"
                for row, table, own in zip(rows, tables, shown, strict=True)
            ],
            [format.bytes_text(table[kind]) if table[kind] >= WRITTEN_INSIDE * span else "" for table in tables],
        )
        for kind in tables[0]
        if any(table[kind] for table in tables)
    ]
    row_px = 60 if len(rows) == 1 else 28
    figure = stacked_bars(rows, series, title=f"peak memory ({unit})", height=90 + row_px * len(rows))
    figure.update_layout(bargap=0.15, margin={"l": 10, "r": 10, "t": 26, "b": 40})
    figure.update_xaxes(range=[0, span / size])
    for limit in limits:
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
