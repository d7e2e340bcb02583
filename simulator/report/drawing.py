"""What of a timeline is drawn, and where: which ranks, which slices, at which height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import kinds
from simulator.report.ops import BACKWARD, FORWARD, Lane, direction, lanes
from simulator.report.slices import Slices, merge_lanes
from simulator.timeline import Timeline

MAX_BANDS = 16
"""Ranks drawn as bars; more would be thinner than a reader can follow."""
COMPUTE_BUDGET = 0.6
"""Share of the budget of slices that compute streams may take."""
BAND_SHARE = 0.9
"""Share of the distance between two bands that a band fills."""
COMPUTE_SHARE = 0.5
"""Share of a band that the compute stream takes when others run beside it."""

CATEGORIES = (FORWARD, BACKWARD, *kinds.KINDS)
"""What a slice is coloured by: passes are parted into forward and backward, all else by its kind."""


@dataclass(frozen=True)
class Drawing:
    """slices[i] belong to lanes[i]. pixel_ns: what was merged is shorter than this; 0 where nothing was."""

    lanes: tuple[Lane, ...]
    slices: list[Slices]
    pixel_ns: int
    ranks: tuple[int, ...]

    @property
    def num_slices(self) -> int:
        return sum(map(len, self.slices))


def drawn_ranks(ranks: tuple[int, ...], most: int = MAX_BANDS) -> tuple[int, ...]:
    """At most so many ranks, the first and the last among them and the others evenly between."""
    if len(ranks) <= most:
        return ranks
    return tuple(ranks[place * (len(ranks) - 1) // (most - 1)] for place in range(most))


def draw(timeline: Timeline, budget: int) -> Drawing:
    """What to draw of a timeline within a budget of slices; compute comes first, the other streams share the rest."""
    ranks = drawn_ranks(timeline.ranks)
    found = [lane for lane in lanes(timeline) if lane.rank in ranks]
    category = op_categories(timeline)
    shown: list[Lane] = []
    slices: list[Slices] = []
    pixel_ns = 0
    for compute in (True, False):
        mine = [lane for lane in found if (lane.stream == "compute") == compute]
        columns = [
            (timeline.start_ns[lane.ops], timeline.end_ns[lane.ops], category[lane.ops], lane.ops) for lane in mine
        ]
        allowed = int(budget * COMPUTE_BUDGET) if compute else budget - sum(map(len, slices))
        merged, pixel = merge_lanes(columns, timeline.step_ns, allowed)
        shown, slices, pixel_ns = shown + mine, slices + merged, max(pixel_ns, pixel)
    return Drawing(tuple(shown), slices, pixel_ns, ranks)


def op_categories(timeline: Timeline) -> np.ndarray:
    """int64[n]: for each op, its place in `CATEGORIES`; a contracted one outside F and B counts as its largest part."""
    kind = timeline.kind.astype(np.int64)
    owner = np.repeat(np.arange(len(timeline)), np.diff(timeline.part_first))
    by_size = np.lexsort((timeline.part_ns, owner))
    kind[owner[by_size]] = timeline.part_kind[by_size]  # of one op's parts the last written is the largest
    found = [direction(action) for action in timeline.parsed_actions]
    of_action = np.array([CATEGORIES.index(word) if word else -1 for word in found] + [-1])[timeline.action]
    whole = (timeline.kind == kinds.CODE[kinds.COMPUTE]) & (of_action >= 0)
    return np.where(whole, of_action, kind + CATEGORIES.index(kinds.KINDS[0]))


def lane_places(drawing: Drawing) -> dict[Lane, tuple[float, float]]:
    """(middle, height) of each lane; the bands are one apart and the first is at 0."""
    found: dict[Lane, tuple[float, float]] = {}
    for band, rank in enumerate(drawing.ranks):
        mine = [lane for lane in drawing.lanes if lane.rank == rank]
        others = [lane for lane in mine if lane.stream != "compute"]
        compute_height = BAND_SHARE * (COMPUTE_SHARE if others else 1)
        top = band - BAND_SHARE / 2
        for lane in mine:
            if lane.stream == "compute":
                found[lane] = (top + compute_height / 2, compute_height)
        if len(others) < len(mine):
            top += compute_height
            height = (BAND_SHARE - compute_height) / max(1, len(others))
        else:
            height = BAND_SHARE / len(others)
        for place, lane in enumerate(others):
            found[lane] = (top + height * (place + 0.5), height * 0.9)
    return found
