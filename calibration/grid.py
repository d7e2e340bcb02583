"""The points that every calibration measures, whatever is asked later, in the sizes of a device (`sizes.py`).

Shapes spread evenly over each family's box of log sizes, so that whatever lies between is interpolated. The order is
the order of measuring: what a short budget must not miss comes first.
"""

from __future__ import annotations

from itertools import product

from calibration.measure.groups import lies
from calibration.points import (
    COLLECTIVE,
    FORWARD,
    FUSED_PASSES,
    INPUT_GRADIENT,
    KERNEL,
    ROW_PASSES,
    SUM_PASSES,
    WEIGHT_GRADIENT,
    Point,
)
from calibration.sizes import CPU, Sizes
from simulator.costs.measured import BAGS, LOOKUPS
from simulator.model.memory_rules import MASTER_BYTES, UPDATE_BYTES
from simulator.units import DTYPE_BYTES, KIB

CODEC_BYTES = {
    "quantize": 5 + 1 / 64, "dequantize": 9 + 1 / 64, "pack_signs": 4 + 1 / 8, "unpack_signs": 8 + 1 / 8,
    "threshold": 6,
}  # fmt: skip
"""Bytes that compressors' kernels move for an fp32 entry (`simulator/policies`), with a scale for 256 of them."""

PASSES: dict[str, tuple[int, ...]] = {
    "elementwise": (1, 2, 3, 5),
    "copy": (2,),
    "layernorm": (2, 5),
    "softmax": (2, 3),
    "cross_entropy": (1, 2, 4),
}
"""Memory-bound family -> how often its kernels move an element, in units of the element's size."""

SMALLEST_BYTES = 1 * KIB
MOST_SCORES = 2**30
COLLECTIVE_OPS = ("all_reduce", "send", "all_gather", "all_to_all", "reduce_scatter", "broadcast")


def kernel_points(dtype: str, sizes: Sizes = CPU) -> list[Point]:
    """Kernels of every family at one dtype."""
    families = (_memory_bound, _gemms, _attention, _batched_gemms, _rest, _other_attention, _other_optimizers, _bags)
    return [point for family in families for point in family(dtype, sizes)]


def collective_points(worlds: tuple[int, ...], sizes: Sizes = CPU) -> list[Point]:
    """Collectives of every size, small groups first; a send is one pair's, whatever the world."""
    found = []
    for world, op in product(worlds, COLLECTIVE_OPS):
        if op != "send" or world == 2:
            found += [Point(COLLECTIVE, op, "fp32", (world, size)) for size in sizes.collective_bytes]
    return found


def between_points(world: int, per_node: int, sizes: Sizes = CPU) -> list[Point]:
    """The same between nodes, (ranks, bytes, nodes), for every group that is made there; a send is a pair's."""
    found = []
    for (ranks, nodes), op in product([lie for lie in lies(world, per_node) if lie[1] > 1], COLLECTIVE_OPS):
        if op != "send" or ranks == 2:
            found += [Point(COLLECTIVE, op, "fp32", (ranks, size, nodes)) for size in sizes.collective_bytes]
    return found


def _gemms(dtype: str, sizes: Sizes) -> list[Point]:
    """Linear layers of every pair of neighbouring widths: forward, input gradient and weight gradient. Before them
    products that are hardly more than their dispatch."""
    found = [Point(KERNEL, "gemm", dtype, (side,) * 3, (FORWARD, INPUT_GRADIENT)) for side in sizes.small_sides]
    for tokens, (out, into) in product(sizes.tokens, sizes.pairs):
        found += [
            Point(KERNEL, "gemm", dtype, (tokens, out, into), (FORWARD, INPUT_GRADIENT)),
            Point(KERNEL, "gemm", dtype, (out, into, tokens), (WEIGHT_GRADIENT,)),
        ]
    for tokens, items in product(sizes.tokens[:2], sizes.items):
        found += [
            Point(KERNEL, "gemm", dtype, (tokens, items, sizes.item_width), (FORWARD,)),
            Point(KERNEL, "gemm", dtype, (tokens, sizes.item_width, items), (INPUT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (items, sizes.item_width, tokens), (WEIGHT_GRADIENT,)),
        ]
    for rows, columns in sizes.low_rank:  # PowerSGD's factors, rank 4
        found += [
            Point(KERNEL, "gemm", dtype, (rows, 4, columns), (INPUT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (columns, 4, rows), (WEIGHT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (rows, columns, 4), (FORWARD,)),
        ]
    return found


def _batched_gemms(dtype: str, sizes: Sizes) -> list[Point]:
    found = []
    for batch, seq, head_dim in sizes.unfused:
        found += [Point(KERNEL, "batched_gemm", dtype, (batch, seq, seq, head_dim)),
                  Point(KERNEL, "batched_gemm", dtype, (batch, seq, head_dim, seq))]  # fmt: skip
    for positions, scored, width in sizes.scored:  # a sampled softmax's scores
        found += [Point(KERNEL, "batched_gemm", dtype, (positions, 1, scored, width)),
                  Point(KERNEL, "batched_gemm", dtype, (positions, 1, width, scored)),
                  Point(KERNEL, "batched_gemm", dtype, (positions, scored, width, 1))]  # fmt: skip
    return found


def _attention(dtype: str, sizes: Sizes) -> list[Point]:
    found = []
    for seq, head_dim in product(sizes.lengths, sizes.head_dims):
        for batch_heads in sizes.batch_heads:
            shape = (batch_heads // 4, 4, 4, seq, seq, head_dim, 1)
            found += [Point(KERNEL, f"attention_{way}", dtype, shape) for way in ("forward", "backward")]
            # plain torch keeps its s^2 matrices, so that many heads of long sequences do not fit
            if head_dim == sizes.head_dims[-1] and batch_heads * seq**2 <= MOST_SCORES:
                found += [Point(KERNEL, f"hstu_attention_{way}", dtype, shape) for way in ("forward", "backward")]
    return found


def _other_attention(dtype: str, sizes: Sizes) -> list[Point]:
    """Without a mask, and with wide heads."""
    found = []
    for (seq, head_dim), causal in (*((pair, 0) for pair in sizes.unmasked), *((pair, 1) for pair in sizes.wide)):
        shape = (32, 4, 4, seq, seq, head_dim, causal)
        found += [Point(KERNEL, f"attention_{way}", dtype, shape) for way in ("forward", "backward")]
        if head_dim > sizes.head_dims[-1] and 128 * seq**2 <= MOST_SCORES:
            found += [Point(KERNEL, f"hstu_attention_{way}", dtype, shape) for way in ("forward", "backward")]
    return found


def _other_optimizers(dtype: str, sizes: Sizes) -> list[Point]:
    """Updates of SGD, Adagrad and LAMB: the gradient's read, and what they move."""
    return [
        Point(KERNEL, "optimizer", "fp32", (elements, (MASTER_BYTES + UPDATE_BYTES[name]) * elements))
        for elements, name in product(sizes.optimizer_elements[::2], ("sgd", "adagrad", "lamb"))
    ]


def _bags(dtype: str, sizes: Sizes) -> list[Point]:
    """Pooled lookups, one id and 20 ids a bag."""
    return [
        Point(KERNEL, op, "fp32", (20 * bags if many else bags, width, bags))
        for op, bags, width, many in product(BAGS, sizes.bags, (32, 128), (False, True))
    ]


def _memory_bound(dtype: str, sizes: Sizes) -> list[Point]:
    size, found = DTYPE_BYTES[dtype], []
    for op, passes in PASSES.items():
        found += [
            Point(KERNEL, op, dtype, (elements, each * elements * size))
            for each, elements in product(passes, sizes.elements)
            if each * elements * size >= SMALLEST_BYTES
        ]
    for elements in sizes.elements[1:6]:
        for op, each in (*((f"row_update_{name}", passes) for name, passes in ROW_PASSES.items()),
                         ("embedding_update", SUM_PASSES), ("embedding_update", FUSED_PASSES)):  # fmt: skip
            found.append(Point(KERNEL, op, "fp32", (elements, round(each * elements))))
    # of tokens in the activations' dtype, of tables in fp32; 8 bytes of id for each row
    for own, elements, width in product(dict.fromkeys((dtype, "fp32")), sizes.elements[1:6], (32, 128)):
        moved = 2 * elements * DTYPE_BYTES[own] + 8 * elements // width
        found += [Point(KERNEL, op, own, (elements, moved)) for op in (LOOKUPS if own == "fp32" else LOOKUPS[:1])]
    return found


def _rest(dtype: str, sizes: Sizes) -> list[Point]:
    """The optimizer and the compressors work in fp32, whatever the activations are."""
    found = [
        Point(KERNEL, "optimizer", "fp32", (elements, each * elements))
        for elements, each in product(sizes.optimizer_elements, (4, 8, 28))
    ]
    for elements in sizes.compressed_elements:
        found += [
            Point(KERNEL, "cast", "fp32", (elements, 6 * elements)),
            Point(KERNEL, "topk", "fp32", (elements, 4 * elements)),
            *(Point(KERNEL, op, "fp32", (elements, round(each * elements))) for op, each in CODEC_BYTES.items()),
        ]
    found += [Point(KERNEL, "scatter_add", "fp32", (kept, 16 * kept)) for kept in sizes.kept_elements]
    found += [Point(KERNEL, "random_places", "fp32", (kept, 8 * kept)) for kept in sizes.kept_elements]
    found += [Point(KERNEL, "orthogonalize", "fp32", (rows * 4, rows * 32)) for rows in sizes.orthogonal_rows]
    return found


def sentinel(dtype: str, sizes: Sizes = CPU) -> Point:
    """A product that is measured again and again, to see the machine drift."""
    return Point(KERNEL, "gemm", dtype, (sizes.side,) * 3, (FORWARD,))
