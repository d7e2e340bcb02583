"""StageWork: what the stages of a pipeline have to do, how long a partition of it takes, and which one is best.

A pipeline of p stages and m microbatches takes the sum of its stages' times and m - 1 times the slowest one's: exact
for GPipe and 1F1B where messages cost nothing and F and B of all stages stand in one ratio (Narayanan et al. 2019,
section 3.1, for m that goes to infinity).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulator.policies.partition import balanced_partition

Partition = tuple[int, ...]
"""Layers of each stage."""

Fits = Callable[[int, int, int], bool]
"""(stage, begin, end): whether layers [begin, end) fit in the stage's memory."""


@dataclass(frozen=True, slots=True)
class StageWork:
    """layers: what each layer costs for one microbatch, forward and backward. first, last: what the first and the last
    stage run besides. All in one whole unit, such as FLOPs."""

    layers: tuple[int, ...]
    first: int = 0
    last: int = 0

    def loads(self, partition: Sequence[int]) -> tuple[int, ...]:
        """Cost of each stage."""
        found, at = [], 0
        for count in partition:
            found.append(sum(self.layers[at : at + count]))
            at += count
        found[0] += self.first
        found[-1] += self.last
        return tuple(found)

    def times(self, partition: Sequence[int], paces: Sequence[int]) -> tuple[int, ...]:
        """How long each stage takes for a microbatch. paces: how long for one unit of cost, in whole numbers."""
        return tuple(load * pace for load, pace in zip(self.loads(partition), paces, strict=True))

    def best(self, paces: Sequence[int], fits: Fits | None = None) -> Partition:
        """The partition whose slowest stage is fastest. Raises ValueError where none fits."""
        return balanced_partition(self.layers, len(paces), self.first, self.last, paces, fits)


def pipeline_time(times: Sequence[float], microbatches: int) -> float:
    """How long a step of a pipeline takes whose stages take these times for a microbatch."""
    return sum(times) + (microbatches - 1) * max(times)


def predicted_gain(before: Sequence[float], after: Sequence[float], microbatches: int) -> float:
    """throughput(after) / throughput(before) - 1 of two partitions' stage times."""
    return pipeline_time(before, microbatches) / pipeline_time(after, microbatches) - 1
