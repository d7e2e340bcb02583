"""What a matrix product takes in whole waves of tiles: the bound that an Ampere's products are tabulated against.

A library cuts C into tiles, one for each multiprocessor at a time, and the last wave takes as long as a full one:
128 tiles of 256 x 128 take two waves of 108, which is why A100's published efficiency falls from 0.80 at n = 3,072 to
0.47 at 3,584 (m = 1,024, k = 4,096). Between tabulated shapes a bound that knows waves is right where a straight line
is not. Small tiles read more for each FLOP, and are taken to be slower in that proportion; the sum over k may be split
among multiprocessors, whose partial sums cross the memory (cuBLAS's split-k). The fastest of these is the bound. Large
products are bound by what the whole chip sustains instead: multiprocessors that idle leave the others the power.

Profiles state `gemm_multiprocessors` where their table shows waves. H100's shows none: its library keeps one resident
block for each multiprocessor and deals the work out finer; with waves its held-out errors rise.
"""

from __future__ import annotations

import numpy as np

TILES = ((256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64), (128, 32), (32, 128))
"""Of C, in the order of how much they reuse: those of cuBLAS's and CUTLASS's Ampere kernels."""
SPLITS = (1, 2, 3, 4, 6, 8)
"""In how many parts the sum over k may be."""
DEPTH = 32
"""Of k: what a tile takes up at a time."""
PARTIAL_SUM_BYTES = 2 * 4
"""A partial sum in fp32 is written and read."""

ROWS, COLUMNS, PARTS = np.array([(*tile, parts) for tile in TILES for parts in SPLITS], dtype=np.float64).T
REUSE = ROWS * COLUMNS / (ROWS + COLUMNS) / (TILES[0][0] * TILES[0][1] / sum(TILES[0]))
"""FLOPs for each element that a tile reads, over those of the largest."""


def waves_s(m, n, k, flops_per_s: float, bytes_per_s: float, multiprocessors: float, reused_flops_per_s: float):
    """Seconds of the fastest choice of tile and split; m, n, k: numbers or float64[points], the answer likewise.

    reused_flops_per_s: what the largest tile's reads allow, the tensor cores' peak at these operands' size; where
    arithmetic is far slower, as fp32's is, no tile is held up by its reads.
    """
    m, n, k = (np.asarray(size, dtype=np.float64)[..., None] for size in (m, n, k))
    tiles = np.ceil(m / ROWS) * np.ceil(n / COLUMNS)
    depth = DEPTH * np.ceil(k / (PARTS * DEPTH))
    waves = np.ceil(tiles * PARTS / multiprocessors)
    rate = np.minimum(flops_per_s, reused_flops_per_s * REUSE)
    sums_s = np.where(PARTS > 1, PARTIAL_SUM_BYTES * PARTS * m * n / bytes_per_s, 0.0)
    return np.min(2 * ROWS * COLUMNS * depth * multiprocessors * waves / rate + sums_s, axis=-1)
