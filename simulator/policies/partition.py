"""Partition: consecutive layers dealt to pipeline stages so that the slowest stage is as fast as it can be.

A pipeline's steady state runs at the pace of its slowest stage (Narayanan et al. 2019, PipeDream, SOSP, section 3.1,
whose partitioner is this dynamic programme for equal stages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise


def balanced_partition(
    costs: Sequence[int], stages: int, first: int = 0, last: int = 0, paces: Sequence[int] | None = None,
    fits: Callable[[int, int, int], bool] | None = None,
) -> tuple[int, ...]:  # fmt: skip
    """Numbers of layers of each stage.

    costs: of each layer, in order, in any one unit. first, last: what the first and the last stage run besides; an end
    stage that has something of its own may hold no layer. paces: how long each stage takes for one unit of cost, in
    whole numbers; default: all alike. fits(stage, begin, end): whether layers [begin, end) fit in a stage; what
    holds more layers does not fit better. Of all partitions whose slowest stage is fastest, one with the smallest sum
    of squares, so that the other stages are even too. Raises ValueError where no partition is left.
    """
    if len(costs) < stages:
        raise ValueError(f"{len(costs)} layers cannot fill {stages} stages")
    paces = paces or (1,) * stages
    fits = fits or (lambda stage, begin, end: True)
    before = [0, *accumulate(costs)]
    own = [0] * stages
    own[0] += first
    own[-1] += last
    fewest = [0 if stages > 1 and own[stage] else 1 for stage in range(stages)]

    def load(stage: int, begin: int, end: int) -> int:
        return paces[stage] * (before[end] - before[begin] + own[stage])

    most = max(paces) * (before[-1] + first + last)
    slowest, _ = _cheapest(len(costs), fewest, load, fits, max, lambda one: one, limit=most)
    _, cuts = _cheapest(
        len(costs), fewest, load, fits, lambda one, other: one + other, lambda one: one * one, limit=slowest
    )  # fmt: skip
    return tuple(end - begin for begin, end in pairwise(cuts))


def _cheapest(
    num_layers: int, fewest: Sequence[int], load: Callable[[int, int, int], int],
    fits: Callable[[int, int, int], bool], joined: Callable[[int, int], int], priced: Callable[[int], int], limit: int,
) -> tuple[int, tuple[int, ...]]:  # fmt: skip
    """(price, cuts) of the cheapest partition in which every stage fits and no load exceeds the limit; stage s holds
    the layers from cuts[s] up to cuts[s + 1]. A stage's price is `priced` of its load, two stages' `joined` of theirs.

    Loads grow as a stage begins earlier, and prices with loads: a stage that alone costs as much as the best partition
    found so far need not begin earlier.
    """
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, (0,))}
    for stage, least in enumerate(fewest):
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for end in range(num_layers + 1):
            for begin in range(end - least, -1, -1):
                price = priced(weight := load(stage, begin, end))
                if weight > limit or (end in found and price >= found[end][0]) or not fits(stage, begin, end):
                    break
                if begin in best and (end not in found or joined(best[begin][0], price) < found[end][0]):
                    found[end] = joined(best[begin][0], price), (*best[begin][1], end)
        best = found
    if num_layers not in best:
        raise ValueError(f"no way to deal {num_layers} layers to {len(fewest)} stages fits in memory")
    return best[num_layers]
