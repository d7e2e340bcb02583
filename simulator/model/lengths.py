"""Lengths: how long each sample of a step is, and how a microbatch of them lies in memory.

A step's global batch is a function of (seed, step) alone: replicas take consecutive samples of it, so that every plan
trains on the same samples. Draws are raw Philox integers; samples longer than `trunk.seq` are cut to it.

    packed   samples lie one behind the other and padding does no work: HSTU's jagged kernels, variable-length attention
    padded   the samples of a microbatch are as long as its longest one (the collators of transformers, by default)

Either way tables look up real ids only. Over a context group a sample's positions (the padded ones) are a multiple of
its chunks, as TransformerEngine demands, unless packed samples go by heads, which are sliced as one row (`slices.py`);
under sequence parallelism those of a microbatch are one of the tensor degree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import accumulate, zip_longest
from math import lcm

import numpy as np

from simulator.draws import raw_integers
from simulator.model.blocks.cut import Cut

PACKED, PADDED = "packed", "padded"
PACKS = ("hstu",)
"""Blocks whose kernels are jagged (Zhai et al., arXiv 2402.17152, section 4.1); others pad unless told otherwise."""

LONGEST = 2**24
"""Above it a zipf's thresholds would not fit in memory."""

_UNIT = 2**53
_EXACT = 1000


@dataclass(frozen=True, slots=True)
class Samples:
    """One microbatch of one data rank. lengths: real ones. mean: positions of this microbatch on a mean data rank,
    rounded up: what the members of the table group ask for is the same however it is dealt out."""

    lengths: tuple[int, ...]
    mean: int

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def text(self) -> str:
        return f"{' '.join(map(str, self.lengths))} mean {self.mean}"

    @classmethod
    def from_text(cls, text: str) -> Samples:
        lengths, _, mean = text.partition(" mean ")
        return cls(tuple(map(int, lengths.split())), int(mean))


def draw(spec, observed: Sequence[int], seq: int, *, seed: int, step: int, count: int) -> tuple[int, ...]:
    """Lengths of the first `count` samples of a step. spec: `data.lengths`. observed: the lengths of its data set or
    file, of which each sample takes one, whichever others took."""
    if spec.kind == "fixed":
        return (seq,) * count
    raw = raw_integers(seed, "data", "lengths", step, count)
    if spec.kind == "zipf":
        drawn = 1 + np.searchsorted(zipf_thresholds(spec.alpha, min(spec.max, seq)), raw >> np.uint64(11), side="right")
    else:
        drawn = np.array(observed, dtype=np.int64)[(raw % np.uint64(len(observed))).astype(np.int64)]
    return tuple(np.minimum(drawn, seq).tolist())


@lru_cache(maxsize=32)
def zipf_thresholds(alpha: float, longest: int) -> np.ndarray:
    """uint64[longest - 1]: a 53-bit integer below the n-th means a length of at most n; P(n) ~ n^-alpha for all n >= 1,
    and what is above `longest` counts as it. Probabilities keep 9 digits, so that they are the same everywhere."""
    total = zeta(alpha)
    mass = np.cumsum([rank**-alpha for rank in map(float, range(1, longest))])
    return np.array([round(float(f"{share:.8e}") * _UNIT) for share in (mass / total).tolist()], dtype=np.uint64)


def zeta(alpha: float) -> float:
    """Riemann's zeta above 1: the first terms, and Euler and Maclaurin's formula for the rest."""
    n = float(_EXACT)
    head = sum(rank**-alpha for rank in map(float, range(1, _EXACT)))
    tail = n ** (1 - alpha) / (alpha - 1) + n**-alpha / 2 + alpha * n ** (-alpha - 1) / 12
    return head + tail


def deal(
    lengths: Sequence[int], data: int, microbatches: int, size: int, counts: Sequence[int] = ()
) -> tuple[tuple[Samples, ...], ...]:
    """[data_rank][microbatch]: consecutive samples to each data rank, and of those to each of its microbatches.

    counts: microbatches of each data rank, where they differ.
    """
    counts = counts or (microbatches,) * data
    grid = np.array(lengths, dtype=np.int64).reshape(-1, size).tolist()
    ends = accumulate(counts)
    dealt = [grid[end - count : end] for end, count in zip(ends, counts, strict=True)]
    positions = [sum(sum(own) for own in column if own) for column in zip_longest(*dealt)]
    means = [-(-total // data) for total in positions]
    return tuple(tuple(Samples(tuple(own), mean) for own, mean in zip(rank, means, strict=False)) for rank in dealt)


def over_the_step(samples: Sequence[Samples]) -> Samples | None:
    """What stands for each microbatch where only all of them together matter; None where lengths are fixed."""
    return Samples((), -(-sum(one.mean for one in samples) // len(samples))) if samples else None


def laid_out(cut: Cut, lengths: Sequence[int], layout: str, *, causal: bool) -> Cut:
    """The cut of a microbatch with these lengths. cut: with `seq` positions each. causal: of the model."""
    if not lengths:
        return cut
    chunk = chunks(cut, causal=causal)
    if layout == PACKED:
        each = chunk if cut.is_ring else 1
        return replace(cut, batch=len(lengths), lengths=tuple(_up(length, each) for length in lengths))
    shares = cut.tensor * cut.context if cut.sequence_parallel else 1
    return replace(cut, batch=len(lengths), seq=_up(max(lengths), lcm(chunk, shares)))


def cuts_of(scenario, base: Cut) -> Callable[[Samples | None], Cut]:
    """What a rank works on for these samples; `base` for None. Equal samples give the very same cut."""
    layout, causal = scenario.data.lengths.layout, bool(scenario.model.trunk.causal)
    by_lengths = cache(lambda lengths: laid_out(base, lengths, layout, causal=causal))
    return lambda samples: base if samples is None else by_lengths(samples.lengths)


def chunks(cut: Cut, *, causal: bool) -> int:
    """Equal pieces in which a sample's positions are dealt out over a context group."""
    return 2 * cut.context if cut.is_ring and causal else cut.context


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
