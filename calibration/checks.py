"""Held-out checks: what a calibration times although no price comes of it, to see how its prices would have done.

A check has a point (`points.CHECK`) that is measured like any other, and the kernels or the message that the cost model
takes it for. The profile keeps both times; `rehearse calibrate` prints them at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from calibration.points import CHECK, ROW_PASSES, ROW_UPDATE_WIDTH, Point
from calibration.sizes import CPU, Sizes
from simulator.cluster import Cluster
from simulator.costs.price import Price
from simulator.costs.pricer import Pricer
from simulator.costs.profile import Profile
from simulator.model.memory_rules import MASTER_BYTES, UPDATE_BYTES
from simulator.model.tables import ID_BYTES
from simulator.model.work import Kernel
from simulator.units import DTYPE_BYTES, MIB

Kernels = tuple[Kernel, ...]

UNEVEN, BURST = "all_to_all_uneven", "all_reduce_burst"
BURST_LENGTH = 4
"""Messages of a burst, all launched before the first is waited for."""
SUSTAINED = "sustained_gemm"
BUSIEST = 1.5
"""What the first member of an uneven exchange sends, over the mean."""

ROW_OPTIMIZERS = ("sgd", "adagrad", "rowwise_adagrad", "adam")


def points(dtype: str, worlds: tuple[int, ...], sizes: Sizes = CPU) -> list[Point]:
    """Every check, in the order of measuring."""

    def check(op: str, *shape: int, dtype: str = "fp32") -> Point:
        return Point(CHECK, op, dtype, shape)

    found = [check(f"update_{name}", 2048, ROW_UPDATE_WIDTH) for name in ROW_OPTIMIZERS]
    found += [check("zipf_lookup", 8192, 64), check("zipf_bag", 4096, 64, 256)]
    for way in ("forward", "backward"):
        found += [check(f"jagged_attention_{way}", 16, 4, 200, 32, dtype=dtype),
                  check(f"sampled_softmax_{way}", 1024, 33, 64, dtype=dtype)]  # fmt: skip
    found += [
        check("adam_foreach", 16, 32_768),
        check("small_step", 4, 32),
        check(SUSTAINED, *(sizes.side,) * 3, dtype=dtype),
    ]
    return found + [check(op, world, size) for op in MESSAGES for world in worlds for size in (MIB // 4, 4 * MIB)]


def jagged_lengths(samples: int, longest: int) -> list[int]:
    """Evenly spread from the shortest to the longest: mean square a third of the longest's, as of a uniform draw."""
    return [max(1, round(longest * (place + 1) / samples)) for place in range(samples)]


def _row_update(optimizer: str) -> Callable[[Point], Kernels]:
    def kernels(point: Point) -> Kernels:
        elements = point.shape[0] * point.shape[1]
        moved = round(ROW_PASSES[optimizer] * elements)
        return (Kernel(f"row_update_{optimizer}", (elements,), point.dtype, bytes_moved=moved),)

    return kernels


def _lookup(point: Point) -> Kernels:
    ids, width = point.shape
    moved = ids * (ID_BYTES + 2 * width * DTYPE_BYTES[point.dtype])
    return (Kernel("embedding_lookup_zipf", (ids * width,), point.dtype, bytes_moved=moved),)


def _bag(point: Point) -> Kernels:
    return (Kernel("embedding_bag_zipf", point.shape, point.dtype),)


def _jagged(op: str) -> Callable[[Point], Kernels]:
    """What the cost model takes samples of differing length for: as many of one length that are as much work."""

    def kernels(point: Point) -> Kernels:
        samples, heads, longest, head_dim = point.shape
        seq = isqrt(sum(length**2 for length in jagged_lengths(samples, longest)) // samples)
        return (Kernel(op, (samples, heads, heads, seq, seq, head_dim, 1), point.dtype),)

    return kernels


def _sampled_forward(point: Point) -> Kernels:
    """As `blocks/head.py` lists it."""
    positions, scored, width = point.shape
    return (Kernel("batched_gemm", (positions, 1, scored, width), point.dtype), _loss(point))


def _sampled_backward(point: Point) -> Kernels:
    positions, scored, width = point.shape
    return (
        _loss(point),
        Kernel("batched_gemm", (positions, 1, width, scored), point.dtype),
        Kernel("batched_gemm", (positions, scored, width, 1), point.dtype),
    )


def _loss(point: Point) -> Kernel:
    scores = point.shape[0] * point.shape[1]
    return Kernel("cross_entropy", (scores,), point.dtype, bytes_moved=8 * scores)


def _adam(point: Point) -> Kernels:
    """The fused update of as many elements."""
    elements = point.shape[0] * point.shape[1]
    return (Kernel("optimizer", (elements,), "fp32", bytes_moved=(MASTER_BYTES + UPDATE_BYTES["adam"]) * elements),)


def _small_step(point: Point) -> Kernels:
    """Products, ReLUs and updates of a few layers that are hardly more than their dispatch. No input gradient below."""
    layers, width = point.shape
    size, found = width * width, []
    for layer in range(layers):
        product = Kernel("gemm", (width, width, width), point.dtype)
        found += [product] * (3 if layer else 2)
        found += [Kernel("elementwise", (size,), point.dtype, bytes_moved=passes * 4 * size) for passes in (2, 3, 3)]
    return tuple(found)


def _sustained(point: Point) -> Kernels:
    return (Kernel("gemm", point.shape, point.dtype),)


KERNELS: dict[str, Callable[[Point], Kernels]] = {
    **{f"update_{name}": _row_update(name) for name in ROW_OPTIMIZERS},
    "zipf_lookup": _lookup,
    "zipf_bag": _bag,
    "jagged_attention_forward": _jagged("attention_forward"),
    "jagged_attention_backward": _jagged("attention_backward"),
    "sampled_softmax_forward": _sampled_forward,
    "sampled_softmax_backward": _sampled_backward,
    "adam_foreach": _adam,
    "small_step": _small_step,
    SUSTAINED: _sustained,
}
"""What each check is priced as."""

MESSAGES: dict[str, tuple[str, Callable[[int], list[int]]]] = {
    UNEVEN: ("all_to_all", lambda size_bytes: [round(BUSIEST * size_bytes)]),
    BURST: ("all_reduce", lambda size_bytes: [size_bytes] * BURST_LENGTH),
}
"""A check of messages -> the collective and the sizes that it is priced as."""

WORDS = {
    **{f"update_{name}": f"rows of a table, updated by {name}, between sizes" for name in ROW_OPTIMIZERS},
    "zipf_lookup": "rows of Zipf ids, between sizes",
    "zipf_bag": "bags of Zipf ids, between sizes",
    "jagged_attention_forward": "samples of 16 lengths, as of one length of equal work",
    "jagged_attention_backward": "the same, backward",
    "sampled_softmax_forward": "scores and loss, as the sum of kernels",
    "sampled_softmax_backward": "the same, backward",
    "adam_foreach": "Adam by torch's foreach operators, as the fused one",
    "small_step": "a step that dispatch bounds, as the sum of kernels",
    SUSTAINED: "a product after half a second of products, as by itself",
    BURST: "four messages launched at once, as one after another",
    UNEVEN: "a member sends half as much again as the mean, as an even exchange of that",
}


def judged(profile: Profile, cluster: Cluster, measured_ns: dict[Point, float]) -> list[dict]:
    """{name, shape, what, predicted_ns, measured_ns, error_pct} of each check that could be priced."""
    prices, found = Pricer(profile, cluster, under_load=False), []
    for point, measured in measured_ns.items():
        if not _is_known(profile, point):  # a calibration that was cut short lacks the family
            continue
        predicted = sum(price.duration_ns for price in _prices(prices, cluster, point))
        error = 100.0 * (predicted / measured - 1.0)
        found.append({"name": point.op, "shape": list(point.shape), "what": WORDS[point.op],
                      "predicted_ns": predicted, "measured_ns": round(measured),
                      "error_pct": float(f"{error:.3g}")})  # fmt: skip
    return found


def _is_known(profile: Profile, point: Point) -> bool:
    """Whether what prices the check was measured itself."""
    if point.op in MESSAGES:
        op, _ = MESSAGES[point.op]
        curves = [curve for (name, *_), curve in profile.collectives.items() if name == op]
        return any(curve.source.kind == "measured" for curve in curves)
    tables = [profile.kernels.get((kernel.op, kernel.dtype)) for kernel in KERNELS[point.op](point)]
    return all(table is not None and table.source.kind == "measured" for table in tables)


def _prices(prices: Pricer, cluster: Cluster, point: Point) -> list[Price]:
    if point.op in MESSAGES:
        (ranks, size_bytes), (op, sizes) = point.shape, MESSAGES[point.op]
        return [prices.collective(op, size, cluster.span(tuple(range(ranks)))) for size in sizes(size_bytes)]
    return [prices.kernel(kernel) for kernel in KERNELS[point.op](point)]
