"""Partition: consecutive layers dealt to pipeline stages so that the slowest stage is as fast as it can be.

A pipeline's steady state runs at the pace of its slowest stage (Narayanan et al. 2019, PipeDream, SOSP, section 3.1,
whose partitioner is this dynamic programme for equal stages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise


def balanced_partition(costs: Sequence[int], stages: int, first: int = 0, last: int = 0) -> tuple[int, ...]:
    """Numbers of layers of each stage.

    costs: of each layer, in order, in any one unit. first, last: what the first and the last stage run besides; an end
    stage that has something of its own may hold no layer. Of all partitions whose dearest stage is cheapest, one with
    the smallest sum of squares, so that the other stages are even too. Raises ValueError for fewer layers than stages.
    """
    if len(costs) < stages:
        raise ValueError(f"{len(costs)} layers cannot fill {stages} stages")
    before = [0, *accumulate(costs)]
    own = [0] * stages
    own[0] += first
    own[-1] += last
    fewest = [0 if stages > 1 and own[stage] else 1 for stage in range(stages)]

    def load(stage: int, begin: int, end: int) -> int:
        return before[end] - before[begin] + own[stage]

    slowest, _ = _cheapest(len(costs), fewest, load, max, lambda one: one, limit=before[-1] + first + last)
    _, cuts = _cheapest(len(costs), fewest, load, lambda one, other: one + other, lambda one: one * one, limit=slowest)
    return tuple(end - begin for begin, end in pairwise(cuts))


def _cheapest(
    num_layers: int, fewest: Sequence[int], load: Callable[[int, int, int], int], joined: Callable[[int, int], int],
    priced: Callable[[int], int], limit: int,
) -> tuple[int, tuple[int, ...]]:  # fmt: skip
    """(price, cuts) of the cheapest partition in which no stage's load exceeds the limit; stage s holds the layers
    from cuts[s] up to cuts[s + 1]. A stage's price is `priced` of its load, two stages' `joined` of their prices.

    Loads grow as a stage begins earlier, and prices with loads: a stage that alone costs as much as the best partition
    found so far need not begin earlier.
    """
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, (0,))}
    for stage, least in enumerate(fewest):
        found: dict[int, tuple[int, tuple[int, ...]]] = {}
        for end in range(num_layers + 1):
            for begin in range(end - least, -1, -1):
                price = priced(weight := load(stage, begin, end))
                if weight > limit or (end in found and price >= found[end][0]):
                    break
                if begin in best and (end not in found or joined(best[begin][0], price) < found[end][0]):
                    found[end] = joined(best[begin][0], price), (*best[begin][1], end)
        best = found
    return best[num_layers]
