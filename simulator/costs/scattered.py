"""Scattered: positive values at scattered points of log space, read between them; for tables that are not a grid.

Ordinary kriging with a linear variogram (Matheron 1963; the same interpolant as a linear radial basis function with a
constant): exact up to the noise that `NUGGET` allows, no trend beyond the points (coordinates are clamped to their
box), and the error of leaving each point out comes in closed form.
"""

from __future__ import annotations

import numpy as np

from simulator.costs.tables import INSIDE, OUTSIDE

NUGGET = 0.01
"""Variance of one measurement's noise, in units of the variance that log values gain over a factor of two in size."""


class Scattered:
    """points: float64[n, d] in log2 units, values float64[n] > 0. `at` answers as `tables.LogGrid` does."""

    def __init__(self, points: np.ndarray, values: np.ndarray):
        self._points, logs = points, np.log(values)
        self._low, self._high = points.min(axis=0), points.max(axis=0)
        n = len(points)
        system = np.zeros((n + 1, n + 1))
        system[:n, :n] = -_distances(points, points)
        system[np.arange(n), np.arange(n)] += NUGGET
        system[n, :n] = system[:n, n] = 1.0
        inverse = np.linalg.inv(system)
        solution = inverse @ np.append(logs, 0.0)
        self._weights, self._level = solution[:n], solution[n]
        self._diagonal = inverse.diagonal()[:n]

    def at(self, point: tuple[float, ...]) -> tuple[float, int]:
        """(value, INSIDE | OUTSIDE) at a point."""
        asked = np.array(point)
        clamped = np.clip(asked, self._low, self._high)
        log = self._level - self._weights @ _distances(self._points, clamped[None, :])[:, 0]
        return float(np.exp(log)), INSIDE if (clamped == asked).all() else OUTSIDE

    def left_out(self) -> np.ndarray:
        """log(true / predicted) of each point, predicted from all others. float64[n]; empty for a single point."""
        if len(self._points) == 1:
            return np.empty(0)
        return self._weights / self._diagonal


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.sqrt(((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2))
