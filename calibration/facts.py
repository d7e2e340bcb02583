"""Facts of a CUDA device beside its kernels: launches and copies over its host link, and the constants they make.

`launch_s` is what the host takes for a kernel, `kernel_startup_s` what the device does (the same in a graph),
`host_link_efficiency` the share of the link's datasheet rate that a pinned copy reaches, `sustained_slowdown` how much
longer a product takes after half a second of products than by itself. On a CPU kernels run on the host, which has one
memory: none of it applies.
"""

from __future__ import annotations

from calibration.checks import SUSTAINED
from calibration.points import FACT, GRAPH_KERNELS, KERNEL, Point
from simulator.cluster import Device
from simulator.units import MIB

PINNED = ("copy_in_pinned", "copy_out_pinned")
PAGEABLE = ("copy_in_pageable", "copy_out_pageable")
COPY_BYTES = (MIB, 16 * MIB, 256 * MIB)
NOT_ON_A_CPU = "a CPU has no host link, no launches and no graphs: kernels run on the host, copies are `copy`"


def points() -> list[Point]:
    """Of a CUDA device."""
    found = [Point(FACT, op, "fp32", (1,)) for op in ("launch_eager", "launch_graph")]
    return found + [Point(FACT, op, "fp32", (size,)) for size in COPY_BYTES for op in (*PINNED, *PAGEABLE)]


def constants(median_ns: dict[Point, float], device: Device) -> dict[str, tuple[float, str, str]]:
    """{name: (value, unit, what it was taken from)} of what was measured. median_ns: of every point."""
    facts = {(point.op, point.shape): ns for point, ns in median_ns.items() if point.what == FACT}
    found = {}
    if ("launch_eager", (1,)) in facts:
        found["launch_s"] = (facts["launch_eager", (1,)] * 1e-9, "s", "a kernel of one element, launched one by one")
    if ("launch_graph", (1,)) in facts:
        each = facts["launch_graph", (1,)] / GRAPH_KERNELS
        found["kernel_startup_s"] = (each * 1e-9, "s", f"a kernel of one element, {GRAPH_KERNELS} in a graph")
    rates = [shape[0] / (ns * 1e-9) for (op, shape), ns in facts.items() if op in PINNED]
    if rates and device.host_link_bytes_per_s:
        share = min(1.0, max(rates) / device.host_link_bytes_per_s)
        found["host_link_efficiency"] = (share, "1", "the fastest pinned copy over the link's datasheet rate")
    if slowdown := _sustained(median_ns):
        found["sustained_slowdown"] = (slowdown, "1", "a product after half a second of products over the same alone")
    return found


def _sustained(median_ns: dict[Point, float]) -> float | None:
    loaded = next(((point, ns) for point, ns in median_ns.items() if point.op == SUSTAINED), None)
    if loaded is None:
        return None
    point, after_ns = loaded
    alone = [ns for one, ns in median_ns.items()
             if (one.what, one.op, one.dtype, one.shape) == (KERNEL, "gemm", point.dtype, point.shape)]  # fmt: skip
    return max(1.0, after_ns / alone[0]) if alone else None
