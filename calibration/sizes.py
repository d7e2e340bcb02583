"""Sizes of the points that every calibration measures: a CPU's, for models of 1 to 30 million parameters, and a GPU's.

A GPU's span what its users train: a quarter of a thousand to 128 thousand tokens, widths of 256 to 4,096 and the shards
of tensor parallelism, sequences of 64 to 4,096, tables of two million rows, buffers up to a gigabyte. About as many
points, of which each takes about as long, so that the same budgets do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from simulator.units import KIB, MIB

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Sizes:
    """tokens: rows of products. pairs: (out, in) of linear layers. items: rows of a table that logits are computed for,
    over item_width columns. small_sides: of square products that dispatch bounds. low_rank: of PowerSGD's factors.

    lengths, head_dims: of attention, with batch_heads samples times heads; unfused: (batch, length, head_dim) of the
    two products of an attention that is not one kernel; scored: (positions, scores, width) of a sampled softmax;
    unmasked: (length, head_dim) without a causal mask; wide: with one, of heads that are wider. elements: of kernels
    that move memory; the others of updates, of codecs and of what they keep. bags: of a pooled lookup.
    overlap_bytes, copied_bytes: of messages and of copies beside products.
    side: of the square product that is measured again and again; beside_side: of that beside messages.
    """

    tokens: tuple[int, ...]
    pairs: Pairs
    items: tuple[int, ...]
    item_width: int
    small_sides: tuple[int, ...]
    low_rank: Pairs
    lengths: tuple[int, ...]
    head_dims: tuple[int, ...]
    batch_heads: tuple[int, ...]
    unfused: tuple[tuple[int, int, int], ...]
    scored: tuple[tuple[int, int, int], ...]
    unmasked: Pairs
    wide: Pairs
    elements: tuple[int, ...]
    optimizer_elements: tuple[int, ...]
    compressed_elements: tuple[int, ...]
    kept_elements: tuple[int, ...]
    orthogonal_rows: tuple[int, ...]
    bags: tuple[int, ...]
    collective_bytes: tuple[int, ...]
    overlap_bytes: tuple[int, ...]
    copied_bytes: tuple[int, ...]
    side: int


def _layers(width: int, shards: int = 1) -> Pairs:
    """QKV, output, up and down projection of a layer, each cut over a tensor group."""
    return ((3 * width // shards, width), (width, width // shards), (4 * width // shards, width),
            (width, 4 * width // shards))  # fmt: skip


CPU = Sizes(
    tokens=(256, 1024, 4096),
    pairs=((64, 64), (256, 128), (128, 256), (256, 256), (768, 256), (512, 128), (128, 512), (512, 512)),
    items=(1024, 4096),
    item_width=128,
    small_sides=(16, 64),
    low_rank=((128, 512), (512, 512), (4096, 128)),
    lengths=(16, 64, 200),
    head_dims=(32, 64),
    batch_heads=(16, 128),
    unfused=((32, 16, 32), (128, 64, 32), (32, 64, 64), (64, 200, 64), (16, 200, 32)),
    scored=((256, 33, 64), (1024, 17, 128), (2048, 129, 64)),
    unmasked=((16, 64), (64, 64), (200, 64)),
    wide=((64, 128), (200, 128), (64, 256)),
    elements=tuple(4**k for k in range(5, 12)),
    optimizer_elements=(4096, 65_536, 524_288, 2_097_152, 8_388_608),
    compressed_elements=(16_384, 65_536, 262_144, 1_048_576, 4_194_304),
    kept_elements=(256, 1024, 4096, 16_384, 65_536),
    orthogonal_rows=(64, 256, 1024, 4096),
    bags=(64, 1024),
    collective_bytes=tuple(KIB * 4**k for k in range(9)),
    overlap_bytes=(64 * KIB, 256 * KIB, 1 * MIB, 4 * MIB, 16 * MIB),
    copied_bytes=(256 * KIB, 2 * MIB, 16 * MIB),
    side=512,
)

CUDA = Sizes(
    tokens=(512, 4096, 32_768, 131_072),
    pairs=tuple(dict.fromkeys(
        pair for width, shards in (*product((256, 1024, 4096), (1,)), (1024, 4), *product((4096,), (2, 8)))
        for pair in _layers(width, shards)
    )),
    items=(32_768, 131_072),
    item_width=1024,
    small_sides=(32, 128),
    low_rank=((1024, 4096), (4096, 4096), (16_384, 1024)),
    lengths=(64, 256, 1024, 4096),
    head_dims=(64, 128),
    batch_heads=(32, 256),
    unfused=((64, 256, 64), (256, 1024, 64), (64, 2048, 128)),
    scored=((4096, 129, 128), (16_384, 65, 256)),
    unmasked=((256, 64), (1024, 128), (4096, 128)),
    wide=((256, 256), (1024, 256), (4096, 256)),
    elements=tuple(4**k for k in range(8, 15)),
    optimizer_elements=(2**20, 2**23, 2**26, 2**28, 2**29),
    compressed_elements=(2**18, 2**20, 2**23, 2**26, 2**28),
    kept_elements=(2**12, 2**15, 2**18, 2**21),
    orthogonal_rows=(256, 1024, 4096, 16_384),
    bags=(1024, 65_536),
    collective_bytes=tuple(KIB * 4**k for k in range(11)),
    overlap_bytes=(256 * KIB, 4 * MIB, 32 * MIB, 256 * MIB),
    copied_bytes=(1 * MIB, 16 * MIB, 256 * MIB),
    side=4096,
)  # fmt: skip

OF_DEVICE = {"cpu": CPU, "cuda": CUDA}
