"""LogGrid: a table of positive values over positive axes, read between its points in log space.

Multilinear in the logarithms, clamped outside; holes of the grid are filled from their neighbours once, when the table
is built. What is tabulated is an efficiency (a ratio to a bound), never a raw time: ratios change slowly, times do not.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import product
from math import exp, log

import numpy as np

EXACT, INSIDE, OUTSIDE = 0, 1, 2
"""Where a point lies: on a tabulated one, between such, or beyond them."""


class LogGrid:
    """columns: axis -> float64[n], values float64[n]; points given twice are averaged in the log.

    >>> grid = LogGrid({"m": np.array([1.0, 4.0])}, np.array([1.0, 16.0]))
    >>> round(grid.at((2.0,))[0], 9), grid.at((2.0,))[1] == INSIDE
    (4.0, True)
    """

    def __init__(self, columns: dict[str, np.ndarray], values: np.ndarray):
        axes = [np.unique(column, return_inverse=True) for column in columns.values()]
        shape = tuple(len(points) for points, _ in axes)
        cells = np.ravel_multi_index(tuple(index for _, index in axes), shape)
        count = np.bincount(cells, minlength=int(np.prod(shape)))
        total = np.bincount(cells, weights=np.log(values), minlength=int(np.prod(shape)))
        logs = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)
        self.axes = tuple(tuple(points.tolist()) for points, _ in axes)
        self._log_axes = tuple(tuple(log(point) for point in points) for points in self.axes)
        known = ~np.isnan(logs)
        filled, bracketed = _fill(logs, [np.array(points) for points in self._log_axes])
        self._place = np.where(known, EXACT, np.where(bracketed, INSIDE, OUTSIDE)).astype(np.int8)
        self._logs = filled

    def at(self, point: tuple[float, ...]) -> tuple[float, int]:
        """(value, EXACT | INSIDE | OUTSIDE) at a point; each coordinate is clamped to its axis."""
        place = EXACT
        spans = []
        for value, points, logs in zip(point, self.axes, self._log_axes, strict=True):
            if value <= points[0] or value >= points[-1]:
                edge = 0 if value <= points[0] else len(points) - 1
                if value != points[edge]:
                    place = OUTSIDE
                spans.append(((edge, 1.0),))
                continue
            low = bisect_right(points, value) - 1
            if points[low] == value:
                spans.append(((low, 1.0),))
                continue
            share = (log(value) - logs[low]) / (logs[low + 1] - logs[low])
            spans.append(((low, 1.0 - share), (low + 1, share)))
            place = max(place, INSIDE)
        total = 0.0
        for corner in product(*spans):
            index = tuple(cell for cell, _ in corner)
            weight = 1.0
            for _, share in corner:
                weight *= share
            total += weight * float(self._logs[index])
            place = max(place, int(self._place[index]))
        return exp(total), place


def _fill(logs: np.ndarray, log_axes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Holes filled; and which cells lie between known ones.

    A hole is the mean of the straight lines between its nearest neighbours along each axis that has one on both sides,
    weighted by the inverse square of the gap; what no axis brackets takes the nearest value, last axis first.
    """
    logs = logs.copy()
    bracketed = ~np.isnan(logs)
    for _ in range(logs.ndim + 1):
        holes = np.isnan(logs)
        if not holes.any():
            return logs, bracketed
        total, weight = np.zeros(logs.shape), np.zeros(logs.shape)
        for axis, positions in enumerate(log_axes):
            below, above = _neighbours(logs, axis)
            ok = holes & (below >= 0) & (above < logs.shape[axis])
            low, high = np.where(ok, below, 0), np.where(ok, above, 0)
            gap = np.where(ok, positions[high] - positions[low], 1.0)
            here = positions.reshape([-1 if a == axis else 1 for a in range(logs.ndim)])
            share = np.where(ok, (here - positions[low]) / gap, 0.0)
            line = np.take_along_axis(logs, low, axis) * (1 - share) + np.take_along_axis(logs, high, axis) * share
            total += np.where(ok, line / gap**2, 0.0)
            weight += np.where(ok, 1 / gap**2, 0.0)
        found = holes & (weight > 0)
        if not found.any():
            break
        logs[found] = total[found] / weight[found]
        bracketed |= found
    for axis in reversed(range(logs.ndim)):
        below, above = _neighbours(logs, axis)
        for nearest, ok in ((below, below >= 0), (above, above < logs.shape[axis])):
            value = np.take_along_axis(logs, np.where(ok, nearest, 0), axis)
            logs = np.where(np.isnan(logs) & ok, value, logs)
    return logs, bracketed


def _neighbours(logs: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """For each cell, the index along the axis of the last known cell at or below it (-1: none) and above (n: none)."""
    size = logs.shape[axis]
    index = np.arange(size).reshape([-1 if a == axis else 1 for a in range(logs.ndim)])
    known = ~np.isnan(logs)
    below = np.maximum.accumulate(np.where(known, index, -1), axis=axis)
    above = np.flip(np.minimum.accumulate(np.flip(np.where(known, index, size), axis), axis=axis), axis)
    return below, above
