"""Slices: a timeline made coarse enough to draw, without hiding what is in it.

What is shorter than a pixel is merged with its neighbours of the same pixel; the pixel grows until everything fits the
budget of a browser (bars stay fluent up to about 10,000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PIXELS = 2400
"""Width of the drawing at first: two to a pixel of a screen, for a reader who zooms in."""


@dataclass(frozen=True)
class Slices:
    """One lane's slices, in time order, as arrays of one length.

    start_ns, end_ns: extent. category: the code with the most time inside. op: the first op inside. count: ops inside.
    busy_ns: time that those ops ran (less than the extent where idle time was merged in).
    """

    start_ns: np.ndarray
    end_ns: np.ndarray
    category: np.ndarray
    op: np.ndarray
    count: np.ndarray
    busy_ns: np.ndarray

    def __len__(self) -> int:
        return len(self.start_ns)


def merge_lane(
    start_ns: np.ndarray, end_ns: np.ndarray, category: np.ndarray, ops: np.ndarray, pixel_ns: int
) -> Slices:
    """The slices of one lane (ordered, not overlapping); those below `pixel_ns` are merged by the pixel they start in.

    At most two slices for each pixel of the span, plus one. Ops of no length are counted in what surrounds them and
    vanish where nothing does.
    """
    length = end_ns - start_ns
    short = length < max(1, pixel_ns)
    pixel = start_ns // max(1, pixel_ns)
    starts_group = np.ones(len(ops), dtype=bool)
    starts_group[1:] = ~(short[1:] & short[:-1] & (pixel[1:] == pixel[:-1]))
    first = np.flatnonzero(starts_group)
    group = np.cumsum(starts_group) - 1
    num_categories = int(category.max(initial=0)) + 1
    busy = np.bincount(
        group * num_categories + category, weights=length, minlength=len(first) * num_categories
    ).reshape(len(first), num_categories)
    last = np.append(first[1:], len(ops)) - 1
    slices = Slices(
        start_ns=start_ns[first],
        end_ns=end_ns[last],
        category=busy.argmax(axis=1),
        op=ops[first],
        count=last - first + 1,
        busy_ns=busy.sum(axis=1).astype(np.int64),
    )
    kept = slices.busy_ns > 0
    return Slices(*(getattr(slices, name)[kept] for name in slices.__dataclass_fields__))


def merge_lanes(lanes: list[tuple[np.ndarray, ...]], span_ns: int, budget: int) -> tuple[list[Slices], int]:
    """Merges lanes, each (start_ns, end_ns, category, ops), until they hold at most `budget` slices together.

    Returns the slices of each lane and the pixel that it took, in ns (0: nothing had to be merged).
    """
    total = sum(len(lane[0]) for lane in lanes)
    if total <= budget:
        return [merge_lane(*lane, 0) for lane in lanes], 0
    pixels = PIXELS
    while True:
        pixel_ns = max(1, -(-span_ns // pixels))
        merged = [merge_lane(*lane, pixel_ns) for lane in lanes]
        if sum(map(len, merged)) <= budget or pixels == 1:
            return merged, pixel_ns
        pixels = max(1, pixels * 3 // 4)


def occupancy(start_ns: np.ndarray, end_ns: np.ndarray, span_ns: int, bins: int) -> np.ndarray:
    """Share of each of `bins` equal parts of [0, span_ns) that the (not overlapping) intervals cover: float64[bins].

    Exact: the covered time up to a moment is piecewise linear in the moment.
    """
    if not len(start_ns) or not span_ns:
        return np.zeros(bins)
    edges = np.linspace(0, span_ns, bins + 1)
    order = np.argsort(start_ns, kind="stable")
    start, end = start_ns[order], end_ns[order]
    covered = np.concatenate([[0], np.cumsum(end - start)])
    moments = np.empty(2 * len(start))
    moments[0::2], moments[1::2] = start, end
    values = np.empty(2 * len(start))
    values[0::2], values[1::2] = covered[:-1], covered[1:]
    return np.diff(np.interp(edges, moments, values)) / (span_ns / bins)
