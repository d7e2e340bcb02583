"""Kernel -> time from a profile that `rehearse calibrate` measured: tables of scattered shapes, kept as whole samples.

A shape that was measured costs its median. Any other: efficiency = bound / time, interpolated in log space between the
measured shapes (`scattered.Scattered`), where bound = overhead + slowness * max(FLOPs / peak, bytes / bandwidth) with
the best rates that were measured on this machine, and overhead and slowness are the table's own. A measured time holds
the host's dispatch where kernels run on the host.

Tables come in two conditions: `op` was measured on all ranks of the machine at once, `op` + ALONE on one rank while the
others were idle: processes of one CPU share its memory, and a cluster of one rank has nobody to share with.

A third, `op` + IMPORTED, holds what a user timed elsewhere on the same device (`calibration/imports`): such a shape
costs what it took there; shapes between them are read from it where the profile has no table of the op that is more
than assumed, and never those beyond.
"""

from __future__ import annotations

from dataclasses import replace
from math import log, log2, sqrt

import numpy as np

from simulator.costs.profile import Profile
from simulator.costs.profile_entries import CollectiveCurve, KernelTable
from simulator.costs.scattered import Scattered
from simulator.costs.tables import OUTSIDE
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES

ALONE = "@1"
"""Suffix of an op's table that was measured on one rank while the others were idle."""
IMPORTED = "@imported"
"""Suffix of an op's table that was read from a user's own file."""

ATTENTION = ("batch", "heads", "kv_heads", "seq_q", "seq_kv", "head_dim", "causal")
BAG_AXES = ("ids", "width", "bags")
AXES: dict[str, tuple[str, ...]] = {
    "gemm": ("m", "n", "k"),
    "batched_gemm": ("batch", "m", "n", "k"),
    "attention_forward": ATTENTION,
    "attention_backward": ATTENTION,
    "hstu_attention_forward": ATTENTION,
    "hstu_attention_backward": ATTENTION,
    "embedding_bag": BAG_AXES,
    "embedding_bag_zipf": BAG_AXES,
}
MEMORY_AXES = ("elements", "bytes")
"""Every other op: its elements and the bytes that it moves."""

LOOKUPS, BAGS = ("embedding_lookup", "embedding_lookup_zipf"), ("embedding_bag", "embedding_bag_zipf")
ID_BYTES = 8
ROW_UPDATES = ("row_update_sgd", "row_update_adagrad", "row_update_rowwise_adagrad", "row_update_adam")
STANDS_IN = {LOOKUPS[1]: LOOKUPS[0], BAGS[1]: BAGS[0], **dict.fromkeys(ROW_UPDATES, "embedding_update")}
"""Op that a profile may have no table of -> the one that is nearest to it by what it reads and writes."""
MESH = 24
"""Overheads, and twice as many slownesses, that a table's line is chosen from."""

ATTENTION_PASSES = {"attention_forward": 1.0, "attention_backward": 2.5,
                    "hstu_attention_forward": 1.0, "hstu_attention_backward": 2.5}  # fmt: skip
"""Matrix products of an attention kernel in units of its forward's two (arXiv 2205.14135, appendix B)."""


def bare(op: str) -> str:
    """The op of a table, without its condition."""
    return op.partition("@")[0]


def op_class(op: str, dtype: str) -> str:
    """The class of the fit that a table has."""
    return f"imported.{bare(op)}.{dtype}" if op.endswith(IMPORTED) else f"{bare(op)}.{dtype}"


def axes(op: str) -> tuple[str, ...]:
    """Columns of an op's table."""
    return AXES.get(bare(op), MEMORY_AXES)


def point_of(kernel: Kernel) -> tuple[int, ...]:
    """Where a kernel stands in its op's table."""
    return kernel.shape if kernel.op in AXES else (kernel.shape[0], max(kernel.bytes_moved, 1))


def coordinates(op: str, dtype: str, point: tuple[float, ...]) -> tuple[float, ...]:
    """The point in the log2 units that distances are measured in."""
    op = bare(op)
    if op in ATTENTION_PASSES:
        batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal = point
        return (log2(batch * heads), log2(seq_q), log2(seq_kv), log2(head_dim), 2 * log2(heads / kv_heads), 4 * causal)
    if op in AXES:
        return tuple(log2(value) for value in point)
    elements, moved = point
    if op in LOOKUPS:
        return (log2(moved), log2(row_width(dtype, point)))
    return (log2(moved), 8 * log2(moved / elements))  # bytes an element tell one kernel of a family from another


def row_width(dtype: str, point: tuple[float, ...]) -> float:
    """Width of a looked-up row, from what the lookup moves: each element twice, and an id for each row."""
    elements, moved = point
    ids_bytes = moved / elements - 2 * DTYPE_BYTES[dtype]
    return min(elements, ID_BYTES / ids_bytes) if ids_bytes > 0 else elements


def work(op: str, dtype: str, point: tuple[float, ...]) -> tuple[float, float]:
    """(FLOPs, bytes) that bound this kernel from below."""
    op, size = bare(op), DTYPE_BYTES[dtype]
    if op in ATTENTION_PASSES:
        batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal = point
        flops = 4.0 * batch * heads * seq_q * seq_kv * head_dim * (0.5 if causal else 1.0)
        elements = 2 * batch * head_dim * (heads * seq_q + kv_heads * seq_kv)
        return ATTENTION_PASSES[op] * flops, ATTENTION_PASSES[op] * size * elements
    if op in BAGS:
        ids, width, bags = point
        return 0.0, float(ID_BYTES * ids + size * width * (ids + bags))
    if op in AXES:
        batch, m, n, k = point if op == "batched_gemm" else (1, *point)
        return 2.0 * batch * m * n * k, size * batch * (m * k + k * n + m * n)
    return 0.0, float(point[1])


class MeasuredTable:
    """One op and dtype: medians of the shapes that were measured, efficiencies between them."""

    def __init__(self, profile: Profile, table: KernelTable):
        self.op, self.dtype = table.op, table.dtype
        self._peak = profile.device.peak_flops_per_s.get(table.dtype, 0.0)
        self._bandwidth = profile.device.memory_bandwidth_bytes_per_s
        points = list(zip(*(table.columns[axis].tolist() for axis in axes(table.op)), strict=True))
        repeats = repeat_errors(table)
        self._exact = {
            point: (time, repeat)
            for point, time, repeat in zip(points, table.median_s.tolist(), repeats.tolist(), strict=True)
        }
        self._repeat_error = float(np.median(repeats))
        self._overhead_s, self._slowness = overhead_and_slowness(
            np.array([self._roofline_s(point) for point in points]), table.median_s
        )
        efficiency = np.array([self._bound_s(point) for point in points]) / table.median_s
        self.grid = Scattered(np.array([coordinates(table.op, table.dtype, point) for point in points]), efficiency)

    def time_s(self, point: tuple[float, ...]) -> tuple[float, str, float]:
        """(seconds, source, repeat error) of a shape."""
        if point in self._exact:
            seconds, repeat = self._exact[point]
            return seconds, "measured", repeat
        efficiency, place = self.grid.at(coordinates(self.op, self.dtype, point))
        source = "extrapolated" if place == OUTSIDE else "interpolated"
        return self._bound_s(point) / efficiency, source, self._repeat_error

    def _bound_s(self, point: tuple[float, ...]) -> float:
        return self._overhead_s + self._slowness * self._roofline_s(point)

    def _roofline_s(self, point: tuple[float, ...]) -> float:
        flops, moved = work(self.op, self.dtype, point)
        return max(flops / self._peak if self._peak else 0.0, moved / self._bandwidth)


def overhead_and_slowness(roofline_s: np.ndarray, median_s: np.ndarray) -> tuple[float, float]:
    """(overhead seconds, slowness) of the line overhead + slowness * roofline that is nearest to a table's times.

    Nearest in the square of logs, over a fixed mesh of both: what a family costs at least (dispatch, set-up), and how
    far it stays below the machine's best rates. What is left of the times is interpolated.
    """
    ratios = median_s / roofline_s
    overheads = np.append(0.0, np.geomspace(median_s.min() / 64, median_s.min(), MESH))
    slownesses = np.geomspace(ratios.min() / 4, ratios.max(), 2 * MESH)
    lines = overheads[:, None, None] + slownesses[None, :, None] * roofline_s
    misfit = (np.log(lines / median_s) ** 2).sum(axis=2)
    best = np.unravel_index(np.argmin(misfit), misfit.shape)
    return float(overheads[best[0]]), float(slownesses[best[1]])


class MeasuredKernels:
    """All measured tables of a profile. alone: prices for a cluster of one rank."""

    def __init__(self, profile: Profile, *, alone: bool = False):
        self._profile = profile
        self._alone = alone
        self._rows = {key: table for key, table in profile.kernels.items() if table.source.kind == "measured"}
        self._tables: dict[tuple[str, str], MeasuredTable] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def time(self, kernel: Kernel) -> tuple[float, str, str, float] | None:
        """(seconds, source, op class, repeat error); None where no table of this op and dtype was measured."""
        if kernel.op in STANDS_IN and not any(
            (kernel.op + condition, kernel.dtype) in self._rows for condition in ("", ALONE, IMPORTED)
        ):
            kernel = replace(kernel, op=STANDS_IN[kernel.op])
        point = tuple(map(float, point_of(kernel)))
        if (kernel.op + IMPORTED, kernel.dtype) in self._rows:
            seconds, source, repeat = self._table(kernel.op + IMPORTED, kernel.dtype).time_s(point)
            if source == "measured" or (source == "interpolated" and not self._is_known(kernel)):
                return seconds, source, op_class(kernel.op + IMPORTED, kernel.dtype), repeat
        for op in (kernel.op + ALONE, kernel.op) if self._alone else (kernel.op,):
            if (op, kernel.dtype) in self._rows:
                seconds, source, repeat = self._table(op, kernel.dtype).time_s(point)
                return seconds, source, op_class(op, kernel.dtype), repeat
        return None

    def _table(self, op: str, dtype: str) -> MeasuredTable:
        key = (op, dtype)
        if key not in self._tables:
            self._tables[key] = MeasuredTable(self._profile, self._rows[key])
        return self._tables[key]

    def _is_known(self, kernel: Kernel) -> bool:
        """Whether the profile itself has timed kernels of this op and dtype."""
        table = self._profile.kernels.get((kernel.op, kernel.dtype))
        return table is not None and table.source.kind != "assumed"


def repeat_errors(table: KernelTable | CollectiveCurve) -> np.ndarray:
    """For each point, the sigma of the lognormal that has its sample's median and mean. float64[n].

    Times of a kernel lean to the right: a step of many takes the sum of their means, not of their medians. Matching the
    mean (exp(sigma^2 / 2) times the median) keeps that sum.
    """
    if table.quantiles_s is None:
        return np.zeros(len(table.median_s))
    ratio = table.quantiles_s.mean(axis=1) / table.median_s
    return np.array([_sigma(value) for value in ratio.tolist()])


def _sigma(mean_over_median: float) -> float:
    """sqrt(2 ln(mean / median)), 0 where the sample does not lean to the right."""
    return sqrt(2.0 * log(mean_over_median)) if mean_over_median > 1.0 else 0.0


def rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rising sequence nearest to positive values, in the weighted square of logs. float64[n].

    Neighbours that fall are replaced by their weighted mean until none do (pool adjacent violators: Ayer et al. 1955);
    what rises already is kept to the bit.
    """
    blocks: list[tuple[float, float, int]] = []  # (mean log, weight, how many)
    for log_value, weight in zip(np.log(values).tolist(), weights.tolist(), strict=True):
        blocks.append((log_value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (second, own, count), (first, other, before) = blocks.pop(), blocks.pop()
            total = own + other
            blocks.append(((first * other + second * own) / total, total, before + count))
    found = [level for level, _, count in blocks for _ in range(count)]
    alone = [count == 1 for _, _, count in blocks for _ in range(count)]
    return np.where(alone, values, np.exp(found))


def left_out_errors(profile: Profile, table: KernelTable) -> np.ndarray:
    """log(true / predicted) of each measured shape, predicted from the others. float64[n]."""
    return MeasuredTable(profile, table).grid.left_out() * -1.0
