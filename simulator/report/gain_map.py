"""A map of gains: settings down, settings across, blue where something is faster, vermilion where it is slower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2
from typing import TYPE_CHECKING

from simulator.report.palette import BLUE, VERMILION

if TYPE_CHECKING:
    import plotly.graph_objects as go

FULL = 2.0
"""Doublings (or halvings) at which a colour is full."""


def gain_map(rows: Sequence[str], columns: Sequence[str], gains: Mapping[tuple[str, str], float]) -> go.Figure:
    """gains: (row, column) -> relative change of a rate, above -1; 0.3 is 30 % faster. What has none stays empty."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout

    cells = [[gains.get((row, column)) for column in columns] for row in rows]
    shades = [[None if one is None else max(-FULL, min(FULL, log2(1 + one))) for one in line] for line in cells]
    figure = go.Figure(
        go.Heatmap(
            z=shades, x=list(columns), y=list(rows), zmin=-FULL, zmax=FULL, xgap=2, ygap=2,
            colorscale=[[0, VERMILION], [0.5, "#FFFFFF"], [1, BLUE]],
            hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
            text=[["" if one is None else f"{100 * one:+,.0f} %" for one in line] for line in cells],
            colorbar={"title": {"text": "times as fast", "side": "right"}, "thickness": 14,
                      "tickvals": [-2, -1, 0, 1, 2], "ticktext": ["1/4 or less", "1/2", "1", "2", "4 or more"]},
        ),
        layout=layout(110 + 30 * len(rows), margin={"l": 10, "r": 10, "t": 10, "b": 40}),
    )  # fmt: skip
    for row, line in zip(rows, shades, strict=True):
        for column, shade in zip(columns, line, strict=True):
            if shade is not None:
                figure.add_annotation(
                    x=column, y=row, text=f"{100 * gains[row, column]:+,.0f} %", showarrow=False,
                    font={"color": "#FFFFFF" if abs(shade) > 0.6 * FULL else "#1A1A1A"},
                )  # fmt: skip
    figure.update_xaxes(side="bottom", type="category", ticks="", automargin=True)
    figure.update_yaxes(autorange="reversed", type="category", ticks="", automargin=True)
    return figure
