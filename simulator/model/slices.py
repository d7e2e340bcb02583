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
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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


def places_of_rows(cut: Cut, rank: int, *, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """(sample, position in it) of every row of a rank; what fills packed rows up is of sample -1. cut: of the
    microbatch as it is laid out. Unpacked, position p of sample b is row p * batch + b."""
    if cut.lengths:
        *runs, filler = packed_runs(cut, rank, causal=causal)
        own = [_places(sample) for sample in runs]
        empty = np.full(sum(count for _, count in filler), -1)
        samples = np.repeat(np.arange(len(own)), [len(places) for places in own])
        return np.concatenate([samples, empty]), np.concatenate([*own, empty])
    places = _places(runs_of_slice(cut.seq // cut.context, rank, cut.context, zigzag=cut.is_ring and causal))
    return np.tile(np.arange(cut.batch), len(places)), np.repeat(places, cut.batch)


def real_rows(cut: Cut, lengths: Sequence[int], rank: int, *, causal: bool) -> np.ndarray:
    """bool[rows of a rank]: which are no padding. lengths: of the samples."""
    samples, places = places_of_rows(cut, rank, causal=causal)
    return (samples >= 0) & (places < np.array(lengths)[samples])


def ids_at_rows(cut: Cut, lengths: Sequence[int], each: int | None, rank: int, *, causal: bool) -> np.ndarray:
    """int[rows of a rank]: how many of a sample's `each` ids (None: one for each position) stand there. The k-th one
    stands at position k modulo the sample's length: in front of it, or several at each position."""
    if each is None:
        return real_rows(cut, lengths, rank, causal=causal).astype(np.int64)
    samples, places = places_of_rows(cut, rank, causal=causal)
    own = np.array(lengths)[samples]
    return np.where((samples >= 0) & (places < own), each // own + (places < each % own), 0)


def shares_of(rows: np.ndarray, cut: Cut) -> np.ndarray:
    """[tensor ranks, their rows] of a context rank's: all of them where the sequence is whole."""
    return rows.reshape(cut.tensor if cut.sequence_parallel else 1, -1)


@lru_cache(maxsize=4096)
def ids_by_slice(
    cut: Cut, lengths: tuple[int, ...], each: int | None, scored: int = 0, *, causal: bool
) -> tuple[int, ...]:  # fmt: skip
    """Ids at the rows of every context rank (under sequence parallelism, of each of its tensor ranks): of each sample
    as for `ids_at_rows`, and `scored` more at each position that is no padding."""
    found: list[int] = []
    for rank in range(cut.context):
        ids = ids_at_rows(cut, lengths, each, rank, causal=causal)
        if scored:
            ids = ids + scored * real_rows(cut, lengths, rank, causal=causal)
        found += shares_of(ids, cut).sum(1).tolist()
    return tuple(found)


def _places(runs: Sequence[Run]) -> np.ndarray:
    return np.concatenate([np.arange(0), *(np.arange(first, first + count) for first, count in runs)])
