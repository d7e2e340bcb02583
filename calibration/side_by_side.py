"""Compute beside something else: how much each slows the other, by size, as a profile's `overlap` holds it.

What runs beside the products is an all_reduce of the smallest group, or copies of every rank at once: on a CPU from
memory to memory by a thread of its own, on a GPU from and to pinned memory on a stream of its own. The all_reduce's
table stands for every kind of communication; no op of a step copies beside compute so far, so that the copies' is there
to be read (`costs.pricer.Pricer.rates`).
"""

from __future__ import annotations

import numpy as np

from calibration.journal import ALONE, COMPUTE, TOGETHER, Journal, Sampled
from calibration.points import COLLECTIVE, OVERLAP, Point
from calibration.sizes import Sizes
from simulator.kinds import CONTEXT, DATA, EMBEDDING, TENSOR

PER_MILLION = 1e6
MESSAGE = "all_reduce"
COPIES = {"cpu": ("copy",), "cuda": ("copy_in", "copy_out")}
"""What a device's copies are called: in memory, or over its host link."""

KINDS = {MESSAGE: (TENSOR, CONTEXT, EMBEDDING, DATA)}
"""What runs beside compute -> the kinds of a step's ops that its table stands for; others: themselves."""


def points(device: str, worlds: tuple[int, ...], ranks: int, dtype: str, sizes: Sizes) -> list[Point]:
    """All_reduces of several sizes beside matrix products, in the smallest group; copies on all ranks that compute."""
    messages = [Point(OVERLAP, MESSAGE, dtype, (world, size)) for world in worlds[:1] for size in sizes.overlap_bytes]
    return messages + [Point(OVERLAP, op, dtype, (ranks, size)) for op in COPIES[device] for size in sizes.copied_bytes]


def tables(journal: Journal) -> dict[str, dict]:
    """{kind: row of a profile's `overlap`} of everything that was measured: the slowdown of compute and of what ran
    beside it at each size, and the medians over sizes; none below 1."""
    together, beside = journal.points(TOGETHER), journal.points(COMPUTE)
    alone = {(MESSAGE, point.shape): own for point, own in together.items()
             if point.op == MESSAGE and point.what == COLLECTIVE}  # fmt: skip
    alone |= {(point.op, point.shape): own for point, own in journal.points(ALONE).items() if point.what == OVERLAP}
    rows: dict[str, list[tuple[int, float, float]]] = {}
    for point, sampled in together.items():
        by_itself = alone.get((point.op, point.shape))
        if point.what == OVERLAP and by_itself and point in beside and beside[point].num_samples:
            own, compute = _median(sampled) / _median(by_itself), _median(beside[point]) / PER_MILLION
            rows.setdefault(point.op, []).append((point.shape[1], max(1.0, _digits(compute)), max(1.0, _digits(own))))
    return {kind: _row(found) for op, found in rows.items() for kind in KINDS.get(op, (op,))}


def _row(rows: list[tuple[int, float, float]]) -> dict:
    sizes, compute_at, own_at = zip(*sorted(rows), strict=True)
    return {"compute": _digits(float(np.median(compute_at))), "own": _digits(float(np.median(own_at))),
            "source": "together", "size_bytes": list(sizes), "compute_at": list(compute_at),
            "own_at": list(own_at)}  # fmt: skip


def _median(sampled: Sampled) -> float:
    return float(np.median(sampled.level()[0]))


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
