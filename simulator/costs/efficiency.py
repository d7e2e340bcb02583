"""Efficiencies of tabulated kernels: what a published time is a share of, and the grid it is read from."""

from __future__ import annotations

import numpy as np

from simulator.costs.profile import Profile
from simulator.costs.profile_entries import KernelTable
from simulator.costs.tables import LogGrid
from simulator.costs.waves import waves_s
from simulator.units import DTYPE_BYTES

MULTIPROCESSORS = "gemm_multiprocessors"
"""Constant of a profile whose products come in waves of tiles: how many tiles run at a time."""
SUSTAINED = "gemm_sustained_share"
"""Constant beside it: the share of the peak that the whole chip reaches at best, when no multiprocessor idles."""
TABLE_AXES = {"gemm": ("m", "n", "k"), "attention_forward": ("batch", "seq", "heads", "kv_heads", "head_dim")}
"""Axes of the tables that are interpolated over a grid; what a calibration measures has its own (`measured.py`)."""


def efficiency_grid(profile: Profile, table: KernelTable, rows: np.ndarray | None = None) -> LogGrid:
    """The efficiencies bound / time of a gemm or attention table (all its points, or the chosen rows)."""
    chosen = slice(None) if rows is None else rows
    columns = {axis: values[chosen] for axis, values in table.columns.items()}
    bound = table_bound_s(profile, table.op, table.dtype, columns)
    return LogGrid(grid_columns(table.op, columns), bound / table.median_s[chosen])


def grid_columns(op: str, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The axes that a table is interpolated over: a GEMM's own; of attention, batch * heads counts, not each."""
    if op == "gemm":
        return {axis: columns[axis] for axis in ("m", "n", "k")}
    return {
        "batch_heads": columns["batch"] * columns["heads"],
        "seq": columns["seq"],
        "head_dim": columns["head_dim"],
        "queries_per_kv": columns["heads"] / columns["kv_heads"],
    }


def table_bound_s(profile: Profile, op: str, dtype: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """The bound (start-up included, seconds) of each point of a table on the profile's own device."""
    device, size = profile.device, DTYPE_BYTES[dtype]
    peak, bandwidth = device.peak_flops_per_s[dtype], device.memory_bandwidth_bytes_per_s
    startup_s = profile.constant("kernel_startup_s")
    if op == "gemm":
        m, n, k = (columns[axis] for axis in ("m", "n", "k"))
        bytes_s = size * (m * k + k * n + m * n) / bandwidth
        return product_bound_s(profile, m, n, k, dtype, peak, bandwidth, bytes_s) + startup_s
    batch, seq, heads, kv_heads, head_dim = (
        columns[axis] for axis in ("batch", "seq", "heads", "kv_heads", "head_dim")
    )
    flops, num_bytes = 2 * batch * heads * seq**2 * head_dim, size * 2 * batch * seq * head_dim * (heads + kv_heads)
    return np.maximum(flops / peak, num_bytes / bandwidth) + startup_s


def product_bound_s(profile: Profile, m, n, k, dtype: str, flops_per_s: float, bytes_per_s: float, bytes_s):
    """Seconds that a product's efficiency is measured against, start-up apart: its roofline, or, where the profile
    knows of waves, those or what the whole chip sustains, whichever is longer, and its bytes (which overlap in part:
    the root of the sum of squares)."""
    flops_s = 2.0 * m * n * k / flops_per_s
    multiprocessors = profile.optional(MULTIPROCESSORS, 0.0)
    if not multiprocessors:
        return np.maximum(flops_s, bytes_s)
    reused = profile.device.peak_flops_per_s["bf16"] * DTYPE_BYTES["bf16"] / DTYPE_BYTES[dtype]
    tiled_s = waves_s(m, n, k, flops_per_s, bytes_per_s, multiprocessors, reused)
    return np.hypot(np.maximum(tiled_s, flops_s / profile.constant(SUSTAINED)), bytes_s)
