"""The timeline: a band for each rank, compute on top and its communication streams as thinner bars below.

At most `MAX_BANDS` ranks and `SLICE_BUDGET` slices are drawn; `heat_map.py` shows all ranks of a large result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simulator import kinds
from simulator.report import format
from simulator.report.drawing import BAND_SHARE, CATEGORIES, Drawing, draw, lane_places
from simulator.report.ops import BACKWARD, FORWARD, Lane, rank_tick
from simulator.report.palette import BLUE, SKY, Look, time_look
from simulator.report.slices import Slices
from simulator.timeline import Timeline
from simulator.units import NS_PER_S

if TYPE_CHECKING:
    import plotly.graph_objects as go

SLICE_BUDGET = 8_000
BAND_PX, TALL_BAND_PX = 58, 120
"""Height of a band, and of one that has the figure to itself or shares it with one other."""
EDGED_SHARE = 1 / 400
"""Slices longer than this share of the step get a white edge; a shorter one would be all edge."""
GROUND = "#F1F1F1"
"""Ground of a band: yellow and sky blue are hard to see on white."""

LOOKS = {
    FORWARD: Look("forward", SKY, "", "forward passes"),
    BACKWARD: Look("backward", BLUE, "", "backward passes"),
    kinds.COMPUTE: Look("other compute", "#004B76", "", "lookups, encoders"),
}
PATTERNED = (kinds.RECOMPUTE, kinds.CONTEXT, kinds.COMPRESSION)
"""Kinds whose colour is another's too; on the others a pattern would only blur thin slices."""


def slice_look(category: str) -> Look:
    """The look of a slice: the breakdown's, but for the passes and for patterns that are not needed."""
    look = LOOKS.get(category) or time_look(category)
    return look if category in PATTERNED else replace(look, pattern="")


def timeline_figure(result, budget: int = SLICE_BUDGET) -> go.Figure:
    """Bars over time; zoom by dragging. Hover tells the action, its extent and what it waited for."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout, marker, value_axis

    timeline = result.timeline
    drawing = draw(timeline, budget)
    bands = len(drawing.ranks)
    span_s = timeline.step_ns / NS_PER_S
    factor, unit = format.time_axis(span_s)
    figure = go.Figure(
        layout=layout(
            110 + (BAND_PX if bands > 2 else TALL_BAND_PX) * bands,
            barmode="overlay",
            bargap=0,
            showlegend=True,
            legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
            margin={"l": 10, "r": 10, "t": 50, "b": 40},
        )
    )
    bars = _Bars.of(timeline, drawing)
    for code in np.unique(bars.category).tolist():
        mine = np.flatnonzero(bars.category == code)
        look = slice_look(CATEGORIES[code])
        edges = (bars.length_ns[mine] > timeline.step_ns * EDGED_SHARE) * 0.5
        figure.add_bar(
            name=look.words,
            orientation="h",
            base=bars.start_ns[mine] * (factor / NS_PER_S),
            x=bars.length_ns[mine] * (factor / NS_PER_S),
            y=bars.middle[mine],
            width=bars.height[mine],
            marker=marker(look) | {"line": {"color": "#FFFFFF", "width": edges}},
            hovertext=[bars.hover[place] for place in mine.tolist()],
            hoverinfo="text",
        )
    for band in range(bands):
        edge = BAND_SHARE / 2
        shade = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": band - edge, "y1": band + edge}
        figure.add_shape(**shade, fillcolor=GROUND, line={"width": 0}, layer="below")
    figure.update_xaxes(value_axis(f"time ({unit})", range=[0, span_s * factor], minallowed=0))
    figure.update_yaxes(
        tickvals=list(range(bands)),
        ticktext=[rank_tick(result, rank) for rank in drawing.ranks],
        range=[bands - 0.5, -0.5],
        fixedrange=True,
        automargin=True,
        zeroline=False,
    )
    return figure


@dataclass(frozen=True)
class _Bars:
    """All slices of a drawing in columns. length_ns: how long the ops of a slice ran; a merged one that spanned its
    gaps would show work where there was none."""

    start_ns: np.ndarray
    length_ns: np.ndarray
    category: np.ndarray
    middle: np.ndarray
    height: np.ndarray
    hover: list[str]

    @classmethod
    def of(cls, timeline: Timeline, drawing: Drawing) -> _Bars:
        columns, places = ("start_ns", "busy_ns", "category"), lane_places(drawing)
        sizes = [len(slices) for slices in drawing.slices]
        return cls(
            *(np.concatenate([getattr(one, key) for one in drawing.slices]) for key in columns),
            *(np.repeat([places[lane][index] for lane in drawing.lanes], sizes) for index in (0, 1)),
            [
                _hover(timeline, lane, slices, place)
                for lane, slices in zip(drawing.lanes, drawing.slices, strict=True)
                for place in range(len(slices))
            ],
        )


def _hover(timeline: Timeline, lane: Lane, slices: Slices, one: int) -> str:
    """One short line for a slice: a page holds thousands of them."""
    start, end, op = int(slices.start_ns[one]), int(slices.end_ns[one]), int(slices.op[one])
    extent = f"{format.duration((end - start) / NS_PER_S)} from {format.duration(start / NS_PER_S)}"
    where = f"rank {lane.rank} {lane.stream}"
    count = int(slices.count[one])
    if count > 1:
        share = format.percent(int(slices.busy_ns[one]) / max(1, end - start))
        return f"{where}: {count} ops, {extent}, {share} busy"
    action = int(timeline.action[op])
    name = timeline.parsed_actions[action].name if action >= 0 else kinds.KINDS[timeline.kind[op]]
    wait = int(timeline.start_ns[op] - timeline.ready_ns[op])
    waited = f", waited {format.duration(wait / NS_PER_S)}" if wait else ""
    return f"{where}: {name}, {extent}{waited}"
