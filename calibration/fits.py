"""Held-out errors of a calibrated profile: what its `fits` carry, and so what `--samples` draws from.

error: standard deviation of log(true / predicted) where each point is predicted from all others. outside_error: the
same for the largest sixth of the points, predicted from the smaller ones. No point is ever judged on itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from simulator.cluster import Cluster
from simulator.costs import measured, pieces
from simulator.costs.between_nodes import TIMED
from simulator.costs.kernels import KernelCosts
from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile import MACHINE, Profile
from simulator.costs.profile_entries import INTRA_NODE, CollectiveCurve, KernelTable, MeasuredPiece
from simulator.errors import ProfileError

LARGEST_SHARE = 1 / 6
FEW_POINTS_ERROR = 0.15
"""Assumed where a table has too few points to hold any out."""


DEVIATION_PER_MAD = 1.4826
"""Of a normal distribution."""

IN_STEP_ERROR = 0.05
"""Assumed: what a piece takes inside a step against the same piece by itself (whole steps of 2 ranks on 2 cores came
out 3 to 10 % off when composed of such measurements)."""


def fits(profile: Profile, cluster: Cluster) -> dict[str, dict]:
    """op class -> FitError record of everything measured. cluster: whose ranks were measured."""
    found = {}
    for (op, dtype), table in profile.kernels.items():
        if table.source.kind == "measured" and not op.endswith(measured.ALONE):
            found[measured.op_class(op, dtype)] = kernel_fit(profile, table)
    timed = [curve for curve in profile.collectives.values() if curve.source.kind == "measured"]
    return found | _curve_fits(profile, timed) | _piece_fits(profile, cluster)


def of_machine(sentinel_ns: list[int]) -> dict[str, dict]:
    """How far the machine's own speed strays from visit to visit of the sentinel: a run of another minute has one
    speed, which no table knows. None before the second visit.

    Standard deviation of the log, from the median absolute deviation: a visit in which something else ran says nothing
    of a run's median step, and one such in forty would make every interval five times as wide.
    """
    logs = np.log(sentinel_ns)
    if len(logs) < 2:
        return {}
    error = _digits(DEVIATION_PER_MAD * float(np.median(np.abs(logs - np.median(logs)))))
    return {MACHINE: {"error": error, "outside_error": error, "points": len(logs), "figures": {}}}


def imported(profile: Profile, citations: set[str]) -> dict[str, dict]:
    """The same of what was imported alone. citations: of the sources that imports have written."""
    tables = {key: table for key, table in profile.kernels.items() if key[0].endswith(measured.IMPORTED)}
    found = {measured.op_class(*key): kernel_fit(profile, table) for key, table in tables.items()}
    timed = [curve for curve in profile.collectives.values() if curve.source.citation in citations]
    return found | _curve_fits(profile, timed)


def _curve_fits(profile: Profile, timed: Iterable[CollectiveCurve]) -> dict[str, dict]:
    """timed: what was timed anew; all curves of its op and tier are judged with it."""
    found = {}
    for op, tier in dict.fromkeys((curve.op, curve.tier) for curve in timed):
        curves = [curve for curve in profile.collectives.values() if (curve.op, curve.tier) == (op, tier)]
        op_class = f"transfer.{tier}" if op == "send" else f"collective.{tier}.{op}"
        found[op_class if tier == INTRA_NODE else f"{TIMED}{op_class}"] = _collective_fit(op, curves)
    return found


def _piece_fits(profile: Profile, cluster: Cluster) -> dict[str, dict]:
    """Of a piece that was measured: an assumed error. Of one like it: each factor predicted from the others'."""
    prices = KernelCosts(profile, cluster.node_type.device)
    likes: dict[tuple[str, ...], list[MeasuredPiece]] = {}
    for piece in profile.pieces:
        if piece.source_key == pieces.TOGETHER and _has_prices(prices, piece):
            likes.setdefault(pieces.structure(piece.kernels), []).append(piece)
    found: dict[str, dict] = {}
    for group in likes.values():
        for name in dict.fromkeys(piece.name for piece in group):
            found |= _fits_of_name(pieces.likes_of(group, name), name, prices)
    return found


def _fits_of_name(alike: list[MeasuredPiece], name: str, prices: KernelCosts) -> dict[str, dict]:
    """alike: what a piece of this name that was not measured would be priced by."""
    sums, factors = pieces.factor_line(alike, lambda kernel: prices.price(kernel).seconds)
    residuals = [
        factors[place] - np.interp(sums[place], np.delete(sums, place), np.delete(factors, place))
        for place in range(len(sums))
        if len(sums) > 1
    ]
    record = _record(np.array(residuals), np.array(residuals), "left_out_median_abs_pct", "")
    record["figures"]["over_kernels_sum_pct"] = _digits(100 * float(np.median(np.exp(factors) - 1)))
    exact = {"error": IN_STEP_ERROR, "outside_error": IN_STEP_ERROR, "points": 0, "figures": {}}
    return {f"{pieces.LIKE}{name}": record, f"{pieces.EXACT}{name}": exact}


def _has_prices(prices: KernelCosts, piece: MeasuredPiece) -> bool:
    """False where a calibration that was cut short has measured the piece, but nothing like one of its kernels."""
    try:
        for kernel in piece.kernels:
            prices.price(kernel)
    except ProfileError:
        return False
    return True


def kernel_fit(profile: Profile, table: KernelTable) -> dict:
    """FitError record of one table of kernels."""
    inside, outside = measured.left_out_errors(profile, table), _largest(profile, table)
    return _record(inside, outside, "left_out_median_abs_pct", "largest_median_abs_pct")


def _largest(profile: Profile, table: KernelTable) -> np.ndarray:
    """log(true / predicted) of the points that take longest, predicted from the others."""
    order = np.argsort(table.median_s, kind="stable")
    held = order[len(order) - round(LARGEST_SHARE * len(order)) :]
    rest = np.setdiff1d(order, held)
    if not len(held) or len(rest) < 2:
        return np.empty(0)
    smaller = replace(
        table,
        columns={axis: values[rest] for axis, values in table.columns.items()},
        median_s=table.median_s[rest],
        quantiles_s=None,
    )
    model = measured.MeasuredTable(profile, smaller)
    points = list(zip(*(table.columns[axis][held].tolist() for axis in measured.axes(table.op)), strict=True))
    return np.log(table.median_s[held] / np.array([model.time_s(point)[0] for point in points]))


def _collective_fit(op: str, curves: list[CollectiveCurve]) -> dict:
    """Between sizes: every other size from its neighbours. Outside: the largest group from the smaller ones."""
    between = []
    for curve in curves:
        size, time = np.log(curve.size_bytes), np.log(curve.median_s)
        if len(size) >= 3:
            held = time[1:-1:2]
            between.append(held - np.interp(size[1:-1:2], size[::2], time[::2])[: len(held)])
    inside = np.concatenate(between) if between else np.empty(0)
    outside = np.empty(0)
    if len(curves) > 1 and op != "send" and curves[0].tier == INTRA_NODE:
        *smaller, target = sorted(curves, key=lambda one: one.group_size)
        model = NodeCurves(op, smaller)
        predicted = [model.time_s(target.group_size, size)[0] for size in target.size_bytes.tolist()]
        outside = np.log(target.median_s / np.array(predicted))
    return _record(inside, outside, "between_sizes_median_abs_pct", "larger_group_median_abs_pct")


def _record(inside: np.ndarray, outside: np.ndarray, inside_name: str, outside_name: str) -> dict:
    figures = {
        name: _digits(100 * float(np.median(np.abs(np.exp(-logs) - 1))))
        for name, logs in ((inside_name, inside), (outside_name, outside))
        if len(logs) and name
    }
    error = _rms(inside)
    return {"error": error, "outside_error": max(error, _rms(outside)), "points": len(inside), "figures": figures}


def _rms(logs: np.ndarray) -> float:
    return _digits(float(np.sqrt(np.mean(logs**2)))) if len(logs) else FEW_POINTS_ERROR


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
