"""Held-out errors of every fit: what the profile carries as `fits`.

error: standard deviation of log(true / predicted) over a random tenth of the points, each predicted from the other nine
tenths. outside_error: the same over the largest sizes, predicted from the smaller ones. figures: the same as percent.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from calibration.published import fits as derived
from simulator.cluster import GroupSpan
from simulator.costs.collectives import CollectiveCosts
from simulator.costs.efficiency import efficiency_grid, grid_columns, table_bound_s
from simulator.costs.node_curves import NodeCurves
from simulator.costs.profile import Profile
from simulator.costs.profile_entries import INTRA_NODE, KernelTable
from simulator.costs.sampling import raw_integers

SEED = 20211
ASSUMED_ERROR = 0.15
"""What an assumed or transferred efficiency may be off by: the spread between memory-bound families of one chip."""


def fits(profile: Profile) -> dict[str, dict]:
    """op class -> FitError record, for every fit of a profile."""
    found = {}
    for (op, dtype), table in profile.kernels.items():
        found[f"{op}.{dtype}"] = _table_fit(profile, table)
    if "gemm.bf16" in found:
        found["batched_gemm.bf16"] = _assumed()
    found["attention_backward"] = _assumed()
    for op in sorted({op for op, tier, _ in profile.collectives if tier == INTRA_NODE}):
        found[f"collective.intra_node.{op}"] = _collective_fit(profile, op)
    found["collective.inter_node.all_reduce"] = _inter_node_fit(profile)
    return found


def tenth(points: int) -> np.ndarray:
    """Which points are held out: those with the smallest tenth of keyed random integers (the same on every machine)."""
    order = np.argsort(raw_integers(SEED, "held out", "points", 0, points), kind="stable")
    return np.sort(order[: points // 10])


def held_out_tenth(profile: Profile, table: KernelTable) -> np.ndarray:
    """log(true / predicted) of a random tenth, predicted from the rest."""
    return held_out(profile, table, tenth(len(table.median_s)))


def held_out_largest(profile: Profile, table: KernelTable) -> np.ndarray:
    """log(true / predicted) of the points at the largest m (gemm) or sequence length (attention)."""
    axis = table.columns["m" if table.op == "gemm" else "seq"]
    return held_out(profile, table, np.flatnonzero(axis == axis.max()))


def held_out(profile: Profile, table: KernelTable, held: np.ndarray) -> np.ndarray:
    """log(true / predicted) of these points, predicted from the rest."""
    rest = np.setdiff1d(np.arange(len(table.median_s)), held)
    grid = efficiency_grid(profile, table, rest)
    columns = {axis: values[held] for axis, values in table.columns.items()}
    bound = table_bound_s(profile, table.op, table.dtype, columns)
    points = np.stack(list(grid_columns(table.op, columns).values()), axis=1)
    predicted = np.array([limit / grid.at(tuple(point))[0] for limit, point in zip(bound, points, strict=True)])
    return np.log(table.median_s[held] / predicted)


def group_of_eight(profile: Profile, op: str) -> np.ndarray:
    """log(true / predicted) of the curve over 8 ranks, predicted from those over 2 and 4."""
    curves = [profile.collectives[op, INTRA_NODE, ranks] for ranks in (2, 4)]
    target = profile.collectives[op, INTRA_NODE, 8]
    model = NodeCurves(op, curves)
    predicted = np.array([model.time_s(8, size)[0] for size in target.size_bytes.tolist()])
    return np.log(target.median_s / predicted)


def between_sizes(profile: Profile, op: str) -> np.ndarray:
    """log(true / predicted) of every other message size of all curves, predicted from the sizes beside it."""
    found = []
    for ranks in (2, 4, 8):
        curve = profile.collectives[op, INTRA_NODE, ranks]
        log_size, log_time = np.log(curve.size_bytes), np.log(curve.median_s)
        found.append(log_time[1:-1:2] - np.interp(log_size[1:-1:2], log_size[::2], log_time[::2]))
    return np.concatenate(found)


def inter_node(profile: Profile) -> np.ndarray:
    """log(true / predicted) of the two-node log at the sizes that no constant was fitted on, on that fabric."""
    constants = profile.constants
    fabric = replace(profile, constants={**constants, "fabric_efficiency": constants["efa_fabric_efficiency"]})
    costs, known = CollectiveCosts(fabric), {size for size, _ in derived.fit_rows()}
    span = GroupSpan(derived.LOG_RANKS, derived.LOG_NODES, derived.LOG_RANKS // derived.LOG_NODES, 300 * 10**9, 0.0,
                     int(derived.LOG_NODE_BYTES_PER_S), profile.constant("efa_latency_s"))  # fmt: skip
    checks = [point for point in derived.inter_node_log() if point[0] not in known]
    return np.array([np.log(true / costs.collective("all_reduce", size, span).time.seconds) for size, true in checks])


def _table_fit(profile: Profile, table: KernelTable) -> dict:
    random, largest = held_out_tenth(profile, table), held_out_largest(profile, table)
    record = _fit(random, largest, {"held_out_tenth_mean_abs_pct": random, "held_out_largest_mean_abs_pct": largest})
    weights = table.median_s[tenth(len(table.median_s))]
    weighted = float(np.sum(_relative(random) * weights) / np.sum(weights))
    record["figures"]["held_out_tenth_time_weighted_pct"] = _percent(weighted)
    return record


def _collective_fit(profile: Profile, op: str) -> dict:
    sizes, eight = between_sizes(profile, op), group_of_eight(profile, op)
    record = _fit(sizes, eight, {"between_sizes_mean_abs_pct": sizes})
    record["figures"]["eight_from_two_and_four_median_abs_pct"] = _percent(float(np.median(_relative(eight))))
    return record


def _inter_node_fit(profile: Profile) -> dict:
    residuals = inter_node(profile)
    record = _fit(residuals, residuals, {"other_sizes_mean_abs_pct": residuals})
    record["figures"]["other_sizes_median_abs_pct"] = _percent(float(np.median(_relative(residuals))))
    return record


def _fit(inside: np.ndarray, outside: np.ndarray, figures: dict[str, np.ndarray]) -> dict:
    return {
        "error": derived.digits(float(np.sqrt(np.mean(inside**2))), 4),
        "outside_error": derived.digits(float(np.sqrt(np.mean(outside**2))), 4),
        "points": len(inside),
        "figures": {name: _percent(float(np.mean(_relative(logs)))) for name, logs in figures.items()},
    }


def _relative(logs: np.ndarray) -> np.ndarray:
    """|predicted / true - 1| from log(true / predicted)."""
    return np.abs(np.exp(-logs) - 1)


def _percent(share: float) -> float:
    return derived.digits(100 * share, 4)


def _assumed() -> dict:
    return {"error": ASSUMED_ERROR, "outside_error": ASSUMED_ERROR, "points": 0, "figures": {}}
