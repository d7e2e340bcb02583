"""Kernel -> time on one device: an efficiency from the profile's tables under the roofline of the device.

bound = max(FLOPs / peak, bytes / memory bandwidth) + start-up; time = bound / efficiency, where the efficiency is read
from a table in log space (`tables.LogGrid`) and clamped at its edges. Where a profile's products show waves of tiles,
their bound knows waves (`waves.py`). No price is below the roofline. What has no table
(memory-bound families, the backward of attention) is a table or the memory bandwidth times a named curve or constant.

A GEMM's input and weight gradients go through the same table with their own (m, n, k): layouts are not told apart,
because no published table does. fp16 is priced as bf16 (same tensor-core rate on these chips); tf32, fp32 and an fp8
without a table take bf16's efficiency under their own peak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

from simulator.cluster import Device
from simulator.costs.efficiency import TABLE_AXES, efficiency_grid, product_bound_s
from simulator.costs.measured import BAGS, LOOKUPS, ROW_UPDATES, MeasuredKernels
from simulator.costs.profile import Profile
from simulator.costs.profile_entries import Curve, KernelTable, SourceGroup
from simulator.costs.tables import EXACT, OUTSIDE, LogGrid
from simulator.errors import ProfileError, ScenarioError
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES, ns_to_seconds

MEMORY_FAMILIES: dict[str, str] = {
    "elementwise": "elementwise",
    "residual": "elementwise",
    "copy": "elementwise",
    "reduction": "elementwise",
    "cast": "elementwise",
    "optimizer": "elementwise",
    "layernorm": "layernorm",
    "softmax": "softmax",
    "cross_entropy": "softmax",
}
"""Memory-bound op -> the bandwidth curve `memory_efficiency.<curve>` that prices it."""

PASSES: dict[str, str] = {
    "topk": "topk_passes",
    "scatter_add": "scatter_add_passes",
    "orthogonalize": "orthogonalize_passes",
    **dict.fromkeys(
        ("quantize", "dequantize", "pack_signs", "unpack_signs", "threshold", "random_places"), "quantize_passes"
    ),
}
"""Op -> the constant that says how often its bytes really cross the memory bus."""

EMBEDDING_EFFICIENCY: dict[str, str] = {
    **dict.fromkeys((*LOOKUPS, *BAGS), "embedding_lookup_efficiency"),
    "embedding_backward": "embedding_update_efficiency",
    "embedding_update": "embedding_update_efficiency",
    **dict.fromkeys(ROW_UPDATES, "embedding_update_efficiency"),
}
COMPUTE_BOUND = ("gemm", "batched_gemm", "attention_forward", "attention_backward", "hstu_attention_forward",
                 "hstu_attention_backward")  # fmt: skip
"""Ops that a device's clock holds back: where a calibration timed them by themselves, `sustained_slowdown` says how
much longer they take in a row of others."""
HOST_SUFFIX = "_host"
STATED = "profiled"
"""Op of a kernel whose shape is its time in ns: what the scenario states, on whatever device."""
LAYERNORM_WIDE = "layernorm_wide_rows"
"""Curve: bandwidth of a norm over wide rows, over that of rows of 4,096 elements. 1 where a profile has none."""
ATTENTION_SLOWDOWN = "attention_slowdown"
"""Constant of a stack whose flash attention is not the one that the profile's tables were measured with."""
FLASH_BACKWARD_FLOPS_RATIO = 2.5
"""Backward over forward FLOPs of a flash kernel: five matrix products instead of two (arXiv 2205.14135, appendix B)."""


class KernelTime(NamedTuple):
    """seconds, where the number came from (a name of `price.SOURCES`), the class of the fit it came from, and the
    standard deviation of the log of repeats (0 where the profile holds no samples)."""

    seconds: float
    source: str
    op_class: str
    repeat_error: float = 0.0


class KernelCosts:
    """Prices the kernels of one device from one profile.

    under_load: apply the profile's `clock_under_load` to compute-bound kernels, as in a real step; False gives isolated
    kernels, as the tables were measured. alone: the cluster has one rank (see `measured.py`).
    """

    def __init__(self, profile: Profile, device: Device, *, under_load: bool = True, alone: bool = False):
        self.profile, self.device = profile, device
        self._same_chip = device.memory_scale == 1.0 and device.profile_bandwidth_bytes_per_s is None
        self._clock = profile.constant("clock_under_load") if under_load else 1.0
        self._memory_slowdown = profile.constant("memory_under_load") if under_load else 1.0
        self._attention_slowdown = profile.optional(ATTENTION_SLOWDOWN, 1.0)
        self._sustained = profile.optional("sustained_slowdown", 1.0) if under_load else 1.0
        self._startup_s = profile.constant("kernel_startup_s")
        self._measured = MeasuredKernels(profile, alone=alone)
        self._grids: dict[tuple[str, str], tuple[LogGrid, KernelTable]] = {}
        self._curves: dict[str, LogGrid] = {}
        self._families = {
            "gemm": self._gemm,
            "batched_gemm": self._batched_gemm,
            "attention_forward": self._attention_forward,
            "attention_backward": self._attention_backward,
            "hstu_attention_forward": self._hstu_forward,
            "hstu_attention_backward": self._hstu_backward,
            **dict.fromkeys(MEMORY_FAMILIES, self._memory_bound),
            "layernorm_apex": self._layernorm_apex,
            **dict.fromkeys(PASSES, self._passes),
            **dict.fromkeys(EMBEDDING_EFFICIENCY, self._embedding),
            STATED: self._stated,
        }

    def price(self, kernel: Kernel) -> KernelTime:
        """The time of one kernel, without its launch by the host. Raises ValueError for an op that no rule knows."""
        if found := self._measured.time(kernel):
            time = KernelTime(*found)
            return time._replace(seconds=time.seconds * self._sustained) if kernel.op in COMPUTE_BOUND else time
        if kernel.op.endswith(HOST_SUFFIX):
            return self._host(kernel)
        if kernel.op not in self._families:
            raise ValueError(f"no cost for kernel {kernel.op!r}; known: {', '.join(sorted(self._families))}")
        time = self._families[kernel.op](kernel)
        if kernel.op != STATED and not self._same_chip and time.source in ("measured", "published", "interpolated"):
            return time._replace(source="extrapolated")
        return time

    def peak(self, dtype: str) -> float:
        """FLOP/s of the device at a dtype. Raises ScenarioError where it has none."""
        peak = self.device.peak(dtype) or self.device.sustained_flops_per_s
        if peak is None:
            known = ", ".join(name for name, _ in self.device.peak_flops_per_s)
            raise ScenarioError(f"{self.device.name} has no {dtype} arithmetic; use one of {known}", key="dtype")
        return peak

    # matrix products

    def _gemm(self, kernel: Kernel) -> KernelTime:
        m, n, k = kernel.shape
        return self._matrix_product(kernel, 1, m, n, k)

    def _batched_gemm(self, kernel: Kernel) -> KernelTime:
        """A batch of small products fills the chip as one product of batch * m rows would: same tiles, same depth."""
        batch, m, n, k = kernel.shape
        time = self._matrix_product(kernel, batch, m, n, k)
        return time._replace(source=_worse(time.source, "extrapolated"), op_class=f"batched_{time.op_class}")

    def _matrix_product(self, kernel: Kernel, batch: int, m: int, n: int, k: int) -> KernelTime:
        dtype = kernel.dtype
        table_dtype = dtype if ("gemm", dtype) in self.profile.kernels else "bf16"
        grid, table = self._grid("gemm", table_dtype)
        efficiency, place = grid.at((batch * m, n, k))
        # Below the table a tile stays as large as its smallest product: dimensions are padded up to it.
        m_eff, n_eff, k_eff = (max(value, axis[0]) for value, axis in zip((batch * m, n, k), grid.axes, strict=True))
        flops_s = 2.0 * m_eff * n_eff * k_eff / self.peak(dtype)
        num_bytes = kernel.bytes_moved or DTYPE_BYTES[dtype] * batch * (m * k + k * n + m * n)
        bandwidth = self.device.memory_bandwidth_bytes_per_s
        bytes_s = num_bytes / bandwidth
        bound_s = float(product_bound_s(self.profile, m_eff, n_eff, k_eff, dtype, self.peak(dtype), bandwidth, bytes_s))
        same = table_dtype == dtype or {table_dtype, dtype} == {"bf16", "fp16"}
        source = _source(table.source, place) if same else "extrapolated"
        return self._loaded(flops_s, bytes_s, efficiency, source, f"gemm.{table_dtype}", bound_s)

    # attention

    def _attention_forward(self, kernel: Kernel) -> KernelTime:
        batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal = kernel.shape
        if not causal:
            return self._unmasked(kernel, self._attention_forward)
        table_dtype = kernel.dtype if ("attention_forward", kernel.dtype) in self.profile.kernels else "bf16"
        grid, table = self._grid("attention_forward", table_dtype)
        seq = sqrt(seq_q * seq_kv)
        efficiency, place = grid.at((batch * heads, seq, head_dim, heads / kv_heads))
        flops_s, bytes_s = self._attention_bound(kernel, self.peak(kernel.dtype))
        source = _source(table.source, place) if kernel.dtype in ("bf16", "fp16") else "extrapolated"
        if seq_q != seq_kv:
            source = _worse(source, "extrapolated")
        return self._loaded(
            flops_s, bytes_s, efficiency / self._attention_slowdown, source, f"attention_forward.{table_dtype}"
        )

    def _unmasked(self, kernel: Kernel, masked: Callable[[Kernel], KernelTime]) -> KernelTime:
        """Without the causal mask: twice the products at the published ratio of FLOP/s, never faster than with it."""
        *_, seq_q, seq_kv, head_dim, _ = kernel.shape
        time = masked(replace(kernel, shape=(*kernel.shape[:-1], 1)))
        slower = max(1.0, 2.0 / self._curve("attention_full_over_causal", (sqrt(seq_q * seq_kv), head_dim)))
        seconds = max(time.seconds * slower, *self._attention_bound(kernel, self.peak(kernel.dtype)))
        return time._replace(seconds=seconds, source=_worse(time.source, "extrapolated"))

    def _attention_backward(self, kernel: Kernel) -> KernelTime:
        """Forward time x 2.5 (FLOPs) x the published ratio of forward to backward FLOP/s."""
        forward = self._attention_forward(kernel)
        *_, seq_q, seq_kv, head_dim, _ = kernel.shape
        slower = self._curve("attention_forward_over_backward", (sqrt(seq_q * seq_kv), head_dim))
        seconds = forward.seconds * FLASH_BACKWARD_FLOPS_RATIO * slower
        return KernelTime(seconds, _worse(forward.source, "extrapolated"), "attention_backward")

    def _hstu_forward(self, kernel: Kernel) -> KernelTime:
        """HSTU's pointwise attention (SiLU for softmax) at the speed that flash kernels of its generation reach."""
        *_, seq_q, seq_kv, head_dim, causal = kernel.shape
        if not causal:
            return self._unmasked(kernel, self._hstu_forward)
        efficiency = self._curve("flash_causal_efficiency", (sqrt(seq_q * seq_kv), head_dim))
        flops_s, bytes_s = self._attention_bound(kernel, self.peak(kernel.dtype))
        return self._loaded(flops_s, bytes_s, efficiency, "extrapolated", "hstu_attention_forward")

    def _hstu_backward(self, kernel: Kernel) -> KernelTime:
        forward = self._hstu_forward(kernel)
        *_, seq_q, seq_kv, head_dim, _ = kernel.shape
        slower = self._curve("attention_forward_over_backward", (sqrt(seq_q * seq_kv), head_dim))
        slower *= self.profile.constant("hstu_backward_slowdown")
        return KernelTime(
            forward.seconds * FLASH_BACKWARD_FLOPS_RATIO * slower, "extrapolated", "hstu_attention_backward"
        )

    def _attention_bound(self, kernel: Kernel, peak: float) -> tuple[float, float]:
        """Seconds of the products that a kernel must do (the causal half only) and of reading q, k, v, writing o."""
        batch, heads, kv_heads, seq_q, seq_kv, head_dim, causal = kernel.shape
        flops = 4.0 * batch * heads * seq_q * seq_kv * head_dim * (0.5 if causal else 1.0)
        elements = 2 * batch * head_dim * (heads * seq_q + kv_heads * seq_kv)
        bytes_s = DTYPE_BYTES[kernel.dtype] * elements / self.device.memory_bandwidth_bytes_per_s
        return flops / peak, bytes_s

    # memory-bound families

    def _memory_bound(self, kernel: Kernel) -> KernelTime:
        curve = f"memory_efficiency.{MEMORY_FAMILIES[kernel.op]}"
        efficiency, place = self._curve_at(curve, (max(kernel.bytes_moved, 1),))
        source = _source(self.profile.curves[curve].source, place)
        return self._bytes_time(kernel.bytes_moved, efficiency, source, f"memory.{MEMORY_FAMILIES[kernel.op]}")

    def _layernorm_apex(self, kernel: Kernel) -> KernelTime:
        """A norm whose rows do not stay on the chip: the wider, the slower (`layernorm_wide_rows`)."""
        time = self._memory_bound(replace(kernel, op="layernorm"))
        if LAYERNORM_WIDE not in self.profile.curves:
            return time
        seconds = (time.seconds - self._startup_s) / self._curve(LAYERNORM_WIDE, (kernel.shape[1],)) + self._startup_s
        return time._replace(seconds=seconds, source=_worse(time.source, "interpolated"))

    def _passes(self, kernel: Kernel) -> KernelTime:
        passes = self.profile.constant(PASSES[kernel.op])
        efficiency, _ = self._curve_at("memory_efficiency.elementwise", (max(kernel.bytes_moved, 1),))
        return self._bytes_time(passes * kernel.bytes_moved, efficiency, "datasheet", f"memory.{kernel.op}")

    def _embedding(self, kernel: Kernel) -> KernelTime:
        name = EMBEDDING_EFFICIENCY[kernel.op]
        constant = self.profile.constants[name]
        source = "interpolated" if constant.kind in ("measured", "published") else "extrapolated"
        return self._bytes_time(kernel.bytes_moved, constant.value, source, f"memory.{kernel.op}")

    def _stated(self, kernel: Kernel) -> KernelTime:
        return KernelTime(ns_to_seconds(kernel.shape[0]), "published", STATED)

    def _host(self, kernel: Kernel) -> KernelTime:
        """Rows in host memory: bytes over the host link."""
        rate = self.device.host_link_bytes_per_s * self.profile.constant("host_link_efficiency")
        seconds = kernel.bytes_moved / rate + self._startup_s
        return KernelTime(seconds, "extrapolated", "host_link")

    def _bytes_time(self, num_bytes: float, efficiency: float, source: str, op_class: str) -> KernelTime:
        seconds = num_bytes / (min(efficiency, 1.0) * self.device.memory_bandwidth_bytes_per_s)
        return KernelTime(seconds * self._memory_slowdown + self._startup_s, source, op_class)

    # tables

    def _loaded(
        self, flops_s: float, bytes_s: float, efficiency: float, source: str, op_class: str, bound_s: float = 0.0
    ) -> KernelTime:
        """The bound (the roofline's unless given) over the efficiency, no faster than the roofline, slowed by the clock
        as far as it computes."""
        roofline = max(flops_s, bytes_s)
        seconds = ((bound_s or roofline) + self._startup_s) / efficiency
        if seconds < roofline:
            # Some small products were measured with operands in the L2 cache; in a step they come from memory.
            seconds, source = roofline, _worse(source, "datasheet")
        if self._clock != 1.0:
            share = flops_s / roofline
            seconds *= 1.0 + (self._clock - 1.0) * share
            source = "interpolated" if source in ("measured", "published") else source
        return KernelTime(seconds, source, op_class)

    def _grid(self, op: str, dtype: str) -> tuple[LogGrid, KernelTable]:
        key = (op, dtype)
        if key not in self._grids:
            table = self.profile.kernels.get(key)
            if table is None or not set(TABLE_AXES[op]) <= set(table.columns):
                raise ProfileError(f"profile {self.profile.name} has no table of {op} in {dtype}; calibrate again")
            self._grids[key] = (efficiency_grid(self.profile, table), table)
        return self._grids[key]

    def _curve(self, name: str, point: tuple[float, ...]) -> float:
        return self._curve_at(name, point)[0]

    def _curve_at(self, name: str, point: tuple[float, ...]) -> tuple[float, int]:
        if name not in self._curves:
            if name not in self.profile.curves:
                raise ProfileError(f"profile {self.profile.name} has no curve {name!r}; calibrate again")
            curve: Curve = self.profile.curves[name]
            self._curves[name] = LogGrid(curve.columns, curve.value)
        return self._curves[name].at(point)


def _source(group: SourceGroup, place: int) -> str:
    """The word of `price.SOURCES` for a number read at `place` of entries from `group`."""
    if group.kind == "assumed":
        return "datasheet"
    if group.kind == "transferred" or place == OUTSIDE:
        return "extrapolated"
    return group.kind if place == EXACT else "interpolated"


_RANK = {"measured": 0, "published": 0, "interpolated": 1, "extrapolated": 2, "datasheet": 3}


def _worse(source: str, other: str) -> str:
    return max((source, other), key=_RANK.__getitem__)
