"""Journals as a machine of known speed would have filled them: no clock and no torch in these tests."""

from calibration.build import Context
from calibration.journal import ALONE, TOGETHER, Journal
from calibration.points import COLLECTIVE, KERNEL, Point
from simulator.costs import measured
from simulator.registry import topology

PEAK, BANDWIDTH, STARTUP_S = 100e9, 20e9, 2e-6
NOISE = (0.98, 1.0, 1.0, 1.01, 1.2)
"""Repeats lean to the right; the median is exact."""


def true_seconds(op: str, shape: tuple[int, ...]) -> float:
    """A machine of one roofline."""
    flops, moved = measured.work(op, "fp32", shape)
    return STARTUP_S + max(flops / PEAK, moved / BANDWIDTH)


def kernel(op: str, *shape: int) -> Point:
    return Point(KERNEL, op, "fp32", shape, ("forward",) if op == "gemm" else ())


POINTS = [kernel("gemm", m, n, k) for m in (64, 256, 1024) for n in (64, 256) for k in (64, 256)]
POINTS += [kernel("elementwise", count, 4 * passes * count) for count in (1024, 16384, 262144) for passes in (1, 2, 3)]
SIZES = [2**k for k in range(10, 26, 2)]


def collective_seconds(op: str, ranks: int, size_bytes: int) -> float:
    return 200e-6 * ranks + size_bytes / 1e9


def journal(points=POINTS, *, alone_factor: float = 0.5) -> Journal:
    made = Journal()
    for point in points:
        ns = true_seconds(point.op, point.shape) * 1e9
        made.add(point, TOGETHER, [[round(ns * factor), 0] for factor in NOISE])
        made.add(point, ALONE, [[round(alone_factor * ns * factor), 0] for factor in NOISE])
    for op in ("all_reduce", "send"):
        for ranks in (2,) if op == "send" else (2, 4):
            for size in SIZES:
                ns = collective_seconds(op, ranks, size) * 1e9
                made.add(Point(COLLECTIVE, op, "fp32", (ranks, size)), TOGETHER, [[round(ns * f), 0] for f in NOISE])
    made.sentinel = [1000, 1010]
    return made


def context(ranks: int = 2) -> Context:
    machine = {"processor": "a processor", "cores": 2, "torch": "2.13.0", "load_before": 0.1}
    cluster = topology("cpu_host", gpus_per_node=ranks)
    return Context("cpu_rank_measured", cluster, "fp32", machine, "2026-11-22", "rehearse calibrate", True)
