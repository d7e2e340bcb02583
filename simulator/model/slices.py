"""Slices: which positions of its samples each rank of a context group has, and how many of them are no padding.

    ring, causal       a sample is cut into 2c chunks, of which rank r has r and 2c - 1 - r (`blocks/context.py`)
    ring               into c, of which rank r has the r-th
    all_to_all         so too where samples are padded; packed ones are sliced as the one long row that they are,
                       whichever sample ends where (as Ulysses does behind flash attention's unpadding)

A packed row is filled up to equal shares at its end; what fills it up belongs to no sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np

from simulator.model.blocks.cut import Cut

Run = tuple[int, int]
"""(first, count) of positions of one sample that follow each other."""


def runs_of_slice(positions: int, rank: int, context: int, *, zigzag: bool) -> tuple[Run, ...]:
    """What a rank has of a sample of which every rank has so many positions. zigzag: of a causal ring."""
    if context > 1 and zigzag:
        chunk = positions // 2
        return (rank * chunk, chunk), ((2 * context - 1 - rank) * chunk, chunk)
    return ((rank * positions, positions),)


def packed_runs(cut: Cut, rank: int, *, causal: bool) -> tuple[tuple[Run, ...], ...]:
    """Of each packed sample, in the order of a rank's rows; the last one is what fills them up. cut: of the microbatch
    as it is laid out."""
    if cut.is_ring:
        found = [runs_of_slice(length // cut.context, rank, cut.context, zigzag=causal) for length in cut.lengths]
        filler = cut.tokens - sum(cut.lengths) // cut.context
        return (*found, ((0, filler),) if filler else ())
    first, found = rank * cut.tokens, []
    whole = (*cut.lengths, cut.tokens * cut.context - sum(cut.lengths))
    for start, length in zip(accumulate(whole, initial=0), whole, strict=False):
        here, there = max(start, first), min(start + length, first + cut.tokens)
        found.append(((here - start, there - here),) if here < there else ())
    return tuple(found)


def real_rows(cut: Cut, lengths: Sequence[int], rank: int, *, causal: bool) -> np.ndarray:
    """bool[rows of a rank]: which are no padding. lengths: of the samples; cut: of them as they are laid out."""
    if cut.lengths:
        *runs, filler = packed_runs(cut, rank, causal=causal)
        parts = [_places(own) < length for own, length in zip(runs, lengths, strict=True)]
        return np.concatenate([*parts, np.zeros(sum(count for _, count in filler), bool)])
    places = _places(runs_of_slice(cut.seq // cut.context, rank, cut.context, zigzag=cut.is_ring and causal))
    return (places[:, None] < np.array(lengths)).reshape(-1)  # position p of sample b is row p * batch + b


@lru_cache(maxsize=4096)
def most_real_rows(cut: Cut, lengths: tuple[int, ...], *, causal: bool) -> int:
    """Of the ranks of a context group, the most that one has; under sequence parallelism, of their tensor ranks too."""
    shards = cut.tensor if cut.sequence_parallel else 1
    counts = [
        real_rows(cut, lengths, rank, causal=causal).reshape(shards, -1).sum(1).max() for rank in range(cut.context)
    ]
    return int(max(counts))


def _places(runs: Sequence[Run]) -> np.ndarray:
    return np.concatenate([np.arange(0), *(np.arange(first, first + count) for first, count in runs)])
