"""The points that every calibration measures, whatever is asked later: sizes of models of 1 to 30 million parameters.

Shapes spread evenly over each family's box of log sizes, so that whatever lies between is interpolated. The order is
the order of measuring: what a short budget must not miss comes first.
"""

from __future__ import annotations

from itertools import product

from calibration.points import (
    COLLECTIVE,
    FORWARD,
    INPUT_GRADIENT,
    KERNEL,
    OVERLAP,
    ROW_PASSES,
    WEIGHT_GRADIENT,
    Point,
)
from simulator.model.memory_rules import MASTER_BYTES, UPDATE_BYTES
from simulator.units import DTYPE_BYTES, KIB, MIB

TOKENS = (256, 1024, 4096)
WIDTHS = (64, 128, 256, 512)
ITEMS = (1024, 4096)
"""Rows of an item table that logits are computed for."""

LENGTHS = (16, 64, 200)
HEAD_DIMS = (32, 64)
ELEMENTS = tuple(4**k for k in range(5, 12))
"""1,024 to 4 million elements."""

OPTIMIZER_ELEMENTS = (4096, 65_536, 524_288, 2_097_152, 8_388_608)
COMPRESSED_ELEMENTS = (16_384, 65_536, 262_144, 1_048_576, 4_194_304)
CODEC_BYTES = {
    "quantize": 5 + 1 / 64, "dequantize": 9 + 1 / 64, "pack_signs": 4 + 1 / 8, "unpack_signs": 8 + 1 / 8,
    "threshold": 6,
}  # fmt: skip
"""Bytes that compressors' kernels move for an fp32 entry (`simulator/policies`), with a scale for 256 of them."""

KEPT_ELEMENTS = (256, 1024, 4096, 16_384, 65_536)

PASSES: dict[str, tuple[int, ...]] = {
    "elementwise": (1, 2, 3, 5),
    "copy": (2,),
    "layernorm": (2, 5),
    "softmax": (2, 3),
    "cross_entropy": (1, 2, 4),
}
"""Memory-bound family -> how often its kernels move an element, in units of the element's size."""

SMALLEST_BYTES = 1 * KIB
COLLECTIVE_BYTES = tuple(KIB * 4**k for k in range(9))
"""1 KiB to 64 MiB."""

OVERLAP_BYTES = (64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB)
COLLECTIVE_OPS = ("all_reduce", "send", "all_gather", "all_to_all", "reduce_scatter", "broadcast")


def kernel_points(dtype: str) -> list[Point]:
    """Kernels of every family at one dtype."""
    usual = [*_memory_bound(dtype), *_gemms(dtype), *_attention(dtype), *_batched_gemms(dtype), *_rest(dtype)]
    return [*usual, *_other_attention(dtype), *_other_optimizers(), *_bags()]


def collective_points(worlds: tuple[int, ...]) -> list[Point]:
    """Collectives of every size, small groups first; a send is one pair's, whatever the world."""
    found = []
    for world, op in product(worlds, COLLECTIVE_OPS):
        if op != "send" or world == 2:
            found += [Point(COLLECTIVE, op, "fp32", (world, size)) for size in COLLECTIVE_BYTES]
    return found


def overlap_points(worlds: tuple[int, ...]) -> list[Point]:
    """All-reduces of several sizes beside matrix products, in the smallest group."""
    return [Point(OVERLAP, "all_reduce", "fp32", (world, size)) for world in worlds[:1] for size in OVERLAP_BYTES]


def _gemms(dtype: str) -> list[Point]:
    """Linear layers of every pair of neighbouring widths: forward, input gradient and weight gradient."""
    found = []
    for tokens, (out, into) in product(TOKENS, _pairs()):
        found += [
            Point(KERNEL, "gemm", dtype, (tokens, out, into), (FORWARD, INPUT_GRADIENT)),
            Point(KERNEL, "gemm", dtype, (out, into, tokens), (WEIGHT_GRADIENT,)),
        ]
    for tokens, items in product(TOKENS[:2], ITEMS):
        found += [
            Point(KERNEL, "gemm", dtype, (tokens, items, 128), (FORWARD,)),
            Point(KERNEL, "gemm", dtype, (tokens, 128, items), (INPUT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (items, 128, tokens), (WEIGHT_GRADIENT,)),
        ]
    for rows, columns in ((128, 512), (512, 512), (4096, 128)):  # PowerSGD's factors, rank 4
        found += [
            Point(KERNEL, "gemm", dtype, (rows, 4, columns), (INPUT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (columns, 4, rows), (WEIGHT_GRADIENT,)),
            Point(KERNEL, "gemm", dtype, (rows, columns, 4), (FORWARD,)),
        ]
    return found


def _pairs() -> list[tuple[int, int]]:
    """(out, in) of linear layers: square, and between widths a factor of 2 to 4 apart."""
    return [(64, 64), (256, 128), (128, 256), (256, 256), (768, 256), (512, 128), (128, 512), (512, 512)]


def _batched_gemms(dtype: str) -> list[Point]:
    found = []
    for batch, seq, head_dim in ((32, 16, 32), (128, 64, 32), (32, 64, 64), (64, 200, 64), (16, 200, 32)):
        found += [Point(KERNEL, "batched_gemm", dtype, (batch, seq, seq, head_dim)),
                  Point(KERNEL, "batched_gemm", dtype, (batch, seq, head_dim, seq))]  # fmt: skip
    for positions, scored, width in ((256, 33, 64), (1024, 17, 128), (2048, 129, 64)):  # a sampled softmax's scores
        found += [Point(KERNEL, "batched_gemm", dtype, (positions, 1, scored, width)),
                  Point(KERNEL, "batched_gemm", dtype, (positions, 1, width, scored)),
                  Point(KERNEL, "batched_gemm", dtype, (positions, scored, width, 1))]  # fmt: skip
    return found


def _attention(dtype: str) -> list[Point]:
    found = []
    for seq, head_dim in product(LENGTHS, HEAD_DIMS):
        for batch_heads in (16, 128):
            shape = (batch_heads // 4, 4, 4, seq, seq, head_dim, 1)
            found += [Point(KERNEL, f"attention_{way}", dtype, shape) for way in ("forward", "backward")]
            if head_dim == HEAD_DIMS[-1]:
                found += [Point(KERNEL, f"hstu_attention_{way}", dtype, shape) for way in ("forward", "backward")]
    return found


def _other_attention(dtype: str) -> list[Point]:
    """Without a mask, and with wide heads."""
    found = []
    for seq, head_dim, causal in ((16, 64, 0), (64, 64, 0), (200, 64, 0), (64, 128, 1), (200, 128, 1), (64, 256, 1)):
        shape = (32, 4, 4, seq, seq, head_dim, causal)
        found += [Point(KERNEL, f"attention_{way}", dtype, shape) for way in ("forward", "backward")]
        if head_dim > HEAD_DIMS[-1]:
            found += [Point(KERNEL, f"hstu_attention_{way}", dtype, shape) for way in ("forward", "backward")]
    return found


def _other_optimizers() -> list[Point]:
    """Updates of SGD, Adagrad and LAMB: the gradient's read, and what they move."""
    return [
        Point(KERNEL, "optimizer", "fp32", (elements, (MASTER_BYTES + UPDATE_BYTES[name]) * elements))
        for elements, name in product(OPTIMIZER_ELEMENTS[::2], ("sgd", "adagrad", "lamb"))
    ]


def _bags() -> list[Point]:
    """Pooled lookups, one id and 20 ids a bag."""
    return [
        Point(KERNEL, "embedding_bag", "fp32", (20 * bags if many else bags, width, bags))
        for bags, width, many in product((64, 1024), (32, 128), (False, True))
    ]


def _memory_bound(dtype: str) -> list[Point]:
    size, found = DTYPE_BYTES[dtype], []
    for op, passes in PASSES.items():
        found += [
            Point(KERNEL, op, dtype, (elements, each * elements * size))
            for each, elements in product(passes, ELEMENTS)
            if each * elements * size >= SMALLEST_BYTES
        ]
    for elements, each in product(ELEMENTS[1:6], ROW_PASSES.values()):
        found.append(Point(KERNEL, "embedding_update", "fp32", (elements, round(each * elements))))
    # of tokens in the activations' dtype, of tables in fp32; 8 bytes of id for each row
    for own, elements, width in product(dict.fromkeys((dtype, "fp32")), ELEMENTS[1:6], (32, 128)):
        moved = 2 * elements * DTYPE_BYTES[own] + 8 * elements // width
        found.append(Point(KERNEL, "embedding_lookup", own, (elements, moved)))
    return found


def _rest(dtype: str) -> list[Point]:
    """The optimizer and the compressors work in fp32, whatever the activations are."""
    found = [
        Point(KERNEL, "optimizer", "fp32", (elements, each * elements))
        for elements, each in product(OPTIMIZER_ELEMENTS, (4, 8, 28))
    ]
    for elements in COMPRESSED_ELEMENTS:
        found += [
            Point(KERNEL, "cast", "fp32", (elements, 6 * elements)),
            Point(KERNEL, "topk", "fp32", (elements, 4 * elements)),
            *(Point(KERNEL, op, "fp32", (elements, round(each * elements))) for op, each in CODEC_BYTES.items()),
        ]
    found += [Point(KERNEL, "scatter_add", "fp32", (kept, 16 * kept)) for kept in KEPT_ELEMENTS]
    found += [Point(KERNEL, "random_places", "fp32", (kept, 8 * kept)) for kept in KEPT_ELEMENTS]
    found += [Point(KERNEL, "orthogonalize", "fp32", (rows * 4, rows * 32)) for rows in (64, 256, 1024, 4096)]
    return found


def sentinel(dtype: str) -> Point:
    """A product that is measured again and again, to see the machine drift."""
    return Point(KERNEL, "gemm", dtype, (512, 512, 512), (FORWARD,))
