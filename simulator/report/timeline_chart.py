"""The timeline: a band for each rank, compute on top and its communication streams as thinner bars below.

At most `MAX_BANDS` ranks and `SLICE_BUDGET` slices are drawn; `heat_map.py` shows all ranks of a large result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator import kinds
from simulator.report import format
from simulator.report.ops import BACKWARD, FORWARD, Lane, direction, lanes, rank_tick
from simulator.report.palette import BLUE, SKY, Look, time_look
from simulator.report.slices import Slices, merge_lanes
from simulator.timeline import Timeline
from simulator.units import NS_PER_S

if TYPE_CHECKING:
    import plotly.graph_objects as go

SLICE_BUDGET = 8_000
MAX_BANDS = 16
"""Ranks drawn as bars; more would be thinner than a reader can follow."""
BAND_PX = 58
TALL_BAND_PX = 120
"""Height of a band where there are only one or two."""
DEEP_BLUE = "#004B76"
EDGED_SHARE = 1 / 400
"""Slices longer than this share of the step get a white edge; a shorter one would be all edge."""
BAND = "#F1F1F1"
"""Ground of a band: yellow and sky blue are hard to see on white."""
COMPUTE_SHARE = 0.5
"""Share of a band's height that the compute stream takes when others run beside it."""

DIRECTIONS = {
    FORWARD: Look("forward", SKY, "", "forward passes"),
    BACKWARD: Look("backward", BLUE, "", "backward passes"),
}
CATEGORIES = (FORWARD, BACKWARD, *kinds.KINDS)
"""What a slice is coloured by: compute is parted into forward and backward, all else by its kind."""


def category_look(category: str) -> Look:
    """The look of a slice; compute outside forward and backward (encoders, lookups) has the breakdown's."""
    if category == kinds.COMPUTE:
        return Look("other compute", DEEP_BLUE, "", "")
    return DIRECTIONS.get(category) or time_look(category)


@dataclass(frozen=True)
class Drawing:
    """The slices of a timeline and where they go: slices[i] in lane[i], of the band of lane[i].rank."""

    lanes: tuple[Lane, ...]
    slices: list[Slices]
    pixel_ns: int
    ranks: tuple[int, ...]

    @property
    def num_slices(self) -> int:
        return sum(map(len, self.slices))


def op_categories(timeline: Timeline) -> np.ndarray:
    """int64[n]: for each op, its place in `CATEGORIES`; a contracted one outside F and B counts as its largest part."""
    kind = timeline.kind.astype(np.int64)
    owner = np.repeat(np.arange(len(timeline)), np.diff(timeline.part_first))
    by_size = np.lexsort((timeline.part_ns, owner))
    kind[owner[by_size]] = timeline.part_kind[by_size]  # of one op's parts the last written is the largest
    found = [direction(action) for action in timeline.parsed_actions]
    of_action = np.array([CATEGORIES.index(word) if word else -1 for word in found] + [-1])[timeline.action]
    whole = (timeline.kind == kinds.CODE[kinds.COMPUTE]) & (of_action >= 0)
    return np.where(whole, of_action, kind + len(DIRECTIONS))


def drawn_ranks(ranks: tuple[int, ...], most: int = MAX_BANDS) -> tuple[int, ...]:
    """At most so many ranks, the first and the last among them and the others evenly between."""
    if len(ranks) <= most:
        return ranks
    return tuple(ranks[place * (len(ranks) - 1) // (most - 1)] for place in range(most))


def draw(timeline: Timeline, budget: int = SLICE_BUDGET) -> Drawing:
    """What to draw of a timeline within a budget of slices."""
    ranks = drawn_ranks(timeline.ranks)
    shown = tuple(lane for lane in lanes(timeline) if lane.rank in ranks)
    category = op_categories(timeline)
    columns = [(timeline.start_ns[lane.ops], timeline.end_ns[lane.ops], category[lane.ops], lane.ops) for lane in shown]
    merged, pixel_ns = merge_lanes(columns, timeline.step_ns, budget)
    return Drawing(shown, merged, pixel_ns, ranks)


def timeline_figure(result, budget: int = SLICE_BUDGET) -> go.Figure:
    """Bars over time; zoom by dragging. Hover tells the action, its extent and what it waited for."""
    import plotly.graph_objects as go

    from simulator.report.charts import layout, marker, value_axis

    timeline = result.timeline
    drawing = draw(timeline, budget)
    span_s = timeline.step_ns / NS_PER_S
    factor, unit = format.time_axis(span_s)
    scale = factor / NS_PER_S
    edged_ns = span_s * NS_PER_S * EDGED_SHARE
    places = _places(drawing)
    columns: dict[int, list[tuple]] = {}
    for lane, slices in zip(drawing.lanes, drawing.slices, strict=True):
        middle, height = places[lane]
        for code in np.unique(slices.category).tolist():
            mine = np.flatnonzero(slices.category == code)
            columns.setdefault(code, []).append((lane, slices, mine, middle, height))
    figure = go.Figure(
        layout=layout(
            110 + (BAND_PX if len(drawing.ranks) > 2 else TALL_BAND_PX) * len(drawing.ranks),
            barmode="overlay",
            bargap=0,
            showlegend=True,
            legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
            margin={"l": 10, "r": 10, "t": 50, "b": 40},
        )
    )
    for code, groups in sorted(columns.items()):
        look = category_look(CATEGORIES[code])
        start = np.concatenate([slices.start_ns[mine] for _, slices, mine, _, _ in groups])
        end = np.concatenate([slices.end_ns[mine] for _, slices, mine, _, _ in groups])
        figure.add_bar(
            name=look.words,
            orientation="h",
            base=start * scale,
            x=(end - start) * scale,
            y=np.concatenate([np.full(len(mine), middle) for _, _, mine, middle, _ in groups]),
            width=np.concatenate([np.full(len(mine), height) for _, _, mine, _, height in groups]),
            marker=marker(look) | {"line": {"color": "#FFFFFF", "width": (end - start > edged_ns) * 0.5}},
            hovertext=[
                _hover(timeline, lane, slices, one) for lane, slices, mine, *_ in groups for one in mine.tolist()
            ],
            hoverinfo="text",
        )
    for band in range(len(drawing.ranks)):
        shade = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": band - 0.45, "y1": band + 0.45}
        figure.add_shape(**shade, fillcolor=BAND, line={"width": 0}, layer="below")
    figure.update_xaxes(value_axis(f"time ({unit})", range=[0, span_s * factor], minallowed=0))
    figure.update_yaxes(
        tickvals=list(range(len(drawing.ranks))),
        ticktext=[rank_tick(result, rank) for rank in drawing.ranks],
        range=[len(drawing.ranks) - 0.5, -0.5],
        fixedrange=True,
        automargin=True,
        zeroline=False,
    )
    return figure


def _places(drawing: Drawing) -> dict[Lane, tuple[float, float]]:
    """(middle, height) of each lane; the bands are one apart and the first is at 0."""
    found: dict[Lane, tuple[float, float]] = {}
    for band, rank in enumerate(drawing.ranks):
        mine = [lane for lane in drawing.lanes if lane.rank == rank]
        others = [lane for lane in mine if lane.stream != "compute"]
        compute_height = 0.9 if not others else 0.9 * COMPUTE_SHARE
        top = band - 0.45
        for lane in mine:
            if lane.stream == "compute":
                found[lane] = (top + compute_height / 2, compute_height)
        if len(others) < len(mine):
            top += compute_height
            height = (0.9 - compute_height) / max(1, len(others))
        else:
            height = 0.9 / len(others)
        for place, lane in enumerate(others):
            found[lane] = (top + height * (place + 0.5), height * 0.9)
    return found


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
