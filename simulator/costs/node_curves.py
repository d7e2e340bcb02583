"""Measured curves of one collective inside a node, by group size.

time = start-up(n) + volume(n) * size * seconds_per_byte(n, size): start-up is the curve at its smallest message, a
straight line in n (so much for each member); seconds per byte of bus traffic interpolate in log size, linearly between
group sizes, and stay as they are above the largest.
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log

import numpy as np

from simulator.costs.algorithms import ring_volume
from simulator.costs.measured import repeat_errors, rising
from simulator.costs.profile_entries import CollectiveCurve

SEND = "send"
"""The curve of one message between a pair, where a profile has it."""


class NodeCurves:
    """The measured curves of one collective inside a node."""

    def __init__(self, op: str, curves: list[CollectiveCurve]):
        self.op = op
        self.curves = {curve.group_size: _Curve(curve) for curve in sorted(curves, key=lambda one: one.group_size)}
        self.sizes = tuple(self.curves)
        self._kinds = {curve.group_size: curve.source.kind for curve in curves}

    @property
    def best_bytes_per_s(self) -> float:
        """The highest rate at which a member sends on any of the curves: the start-up counted where a message is short,
        left out where it is long (it takes twice the start-up)."""
        rates = [
            _sent(self.op, ranks) * size / (time - (curve.startup_s if time >= 2 * curve.startup_s else 0.0))
            for ranks, curve in self.curves.items()
            for size, time in zip(curve.sizes, curve.times, strict=True)
        ]
        return max(rates)

    def source(self, ranks: int, exact: bool, outside: bool) -> str:
        """The word of `price.SOURCES` for a time that `time_s` gave."""
        kind = self._kinds[self._nearest(ranks)]
        known = kind if exact else "interpolated"
        return "datasheet" if kind == "assumed" else "extrapolated" if outside else known

    def repeat_error(self, ranks: int, size_bytes: float) -> float:
        """Spread of repeats at the measured message size nearest to this one, in the group size nearest to this one."""
        curve = self.curves[self._nearest(ranks)]
        return curve.repeats[bisect_left(curve.middles, size_bytes)]

    def startup_s(self, ranks: int) -> float:
        """Time of the smallest message: a line in the number of ranks, through the two nearest group sizes."""
        if ranks in self.curves:
            return self.curves[ranks].startup_s
        if len(self.sizes) == 1:
            return self.curves[self.sizes[0]].startup_s
        low, high = self._bracket(ranks)
        first, second = self.curves[low].startup_s, self.curves[high].startup_s
        return max(first + (second - first) * (ranks - low) / (high - low), min(first, second))

    def traffic_s(self, ranks: int, size_bytes: float, slower_s: float = 0.0) -> float:
        """Seconds beyond the start-up for one byte of bus traffic (ring volume), at this message size. slower_s: what a
        byte takes longer than on the links that were measured (`Tiers.slower_s`)."""
        return max(0.0, self._measured_s(ranks, size_bytes) + slower_s)

    def _measured_s(self, ranks: int, size_bytes: float) -> float:
        if ranks in self.curves:
            return self._per_byte(ranks, size_bytes)
        if ranks > self.sizes[-1] or ranks < self.sizes[0] or len(self.sizes) == 1:
            return self._per_byte(self.sizes[-1] if ranks > self.sizes[-1] else self.sizes[0], size_bytes)
        low, high = self._bracket(ranks)
        share = (ranks - low) / (high - low)
        return self._per_byte(low, size_bytes) * (1 - share) + self._per_byte(high, size_bytes) * share

    def time_s(self, ranks: int, size_bytes: float, slower_s: float = 0.0) -> tuple[float, bool, bool]:
        """(seconds, whether this very point was measured, whether it lies outside what was measured)."""
        if ranks in self.curves and not slower_s:
            return self.curves[ranks].time_s(size_bytes)
        traffic = self.traffic_s(ranks, size_bytes, slower_s) * ring_volume(self.op, ranks) * size_bytes
        outside = not self.sizes[0] <= ranks <= self.sizes[-1] or slower_s != 0.0
        return self.startup_s(ranks) + traffic, False, outside

    def _nearest(self, ranks: int) -> int:
        return min(self.sizes, key=lambda size: (abs(size - ranks), size))

    def _per_byte(self, ranks: int, size_bytes: float) -> float:
        curve = self.curves[ranks]
        seconds = curve.time_s(size_bytes)[0] - curve.startup_s
        return seconds / (ring_volume(self.op, ranks) * size_bytes)

    def _bracket(self, ranks: int) -> tuple[int, int]:
        for low, high in zip(self.sizes, self.sizes[1:], strict=False):
            if ranks <= high:
                return low, high
        return self.sizes[-2], self.sizes[-1]


class _Curve:
    """One curve, made to rise with the message size. A published dip below an earlier point is raised to it; measured
    points scatter both ways, so where they fall they are averaged."""

    def __init__(self, curve: CollectiveCurve):
        if curve.source.kind == "measured":
            times = rising(curve.median_s, np.ones(len(curve.median_s)) if curve.count is None else curve.count)
        else:
            times = np.maximum.accumulate(curve.median_s)
        self.kept = (times == curve.median_s).tolist()
        self.sizes, self.times = curve.size_bytes.tolist(), times.tolist()
        self.log_sizes, self.log_times = np.log(curve.size_bytes), np.log(times)
        self.middles = np.sqrt(curve.size_bytes[1:] * curve.size_bytes[:-1]).tolist()
        self.repeats = repeat_errors(curve).tolist()
        self.startup_s = self.times[0]

    def time_s(self, size_bytes: float) -> tuple[float, bool, bool]:
        """(seconds, exact, outside): flat below the curve, at its last bandwidth above it."""
        if size_bytes <= self.sizes[0]:
            return self.startup_s, size_bytes == self.sizes[0], False
        if size_bytes > self.sizes[-1]:
            return self.times[-1] * size_bytes / self.sizes[-1], False, True
        if size_bytes in self.sizes:
            place = self.sizes.index(size_bytes)
            return self.times[place], self.kept[place], False
        return exp(float(np.interp(log(size_bytes), self.log_sizes, self.log_times))), False, False


def _sent(op: str, ranks: int) -> float:
    """How often the message leaves a member."""
    return 1.0 if op == SEND else ring_volume(op, ranks)
