"""StageWork: what the stages of a pipeline have to do, how long a partition of it takes, and which one is best.

A pipeline of p ranks and m microbatches takes the sum of its ranks' times and m - 1 times the slowest one's: exact for
GPipe and 1F1B where messages cost nothing and F and B of all stages stand in one ratio (Narayanan et al. 2019, section
3.1, for m that goes to infinity). Other schedules fill and drain in a part of that (`filling`).
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


def filling(schedule: str, chunks: int) -> float:
    """What filling and draining a pipeline of this schedule takes, of what it takes under 1F1B.

    v chunks on each rank take 1/v of it (Narayanan et al. 2021, arXiv 2104.04473, section 2.2); ZB-H1 a third, ZB-H2
    and ZB-V none, where F, I and W take as long (Qi et al. 2023, arXiv 2401.10241, tables 1 and 2; 2405.15362).
    """
    return {"zb_h1": 1 / 3, "zb_h2": 0.0, "zb_v": 0.0}.get(schedule, 1 / chunks)


def pipeline_time(times: Sequence[float], microbatches: int, fill: float = 1.0) -> float:
    """How long a step of a pipeline takes whose ranks take these times for a microbatch. fill: see `filling`."""
    return fill * (sum(times) - max(times)) + microbatches * max(times)


def predicted_gain(before: Sequence[float], after: Sequence[float], microbatches: int, fill: float = 1.0) -> float:
    """throughput(after) / throughput(before) - 1 of two partitions' times of ranks."""
    return pipeline_time(before, microbatches, fill) / pipeline_time(after, microbatches, fill) - 1


def by_rank(stages: Sequence[float], holder: Sequence[int]) -> tuple[float, ...]:
    """Of each pipeline rank: all its stages together. holder: of each stage; empty: each has a rank of its own."""
    found = [0] * (max(holder, default=len(stages) - 1) + 1)
    for stage, value in enumerate(stages):
        found[holder[stage] if holder else stage] += value
    return tuple(found)
