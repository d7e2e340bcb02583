"""StageBalancer: moves layers between pipeline stages while training runs, by how long stages were seen to take.

It watches a window of steps, asks which partition would be best if stages went on as fast as that, and moves layers
only where that is worth it: the slowest stage is slower by more than the threshold than it need be (hysteresis: noise
within a fifth of the threshold, 0.5 at most, never moves anything, and stages of steady speed are moved once), and the
steps that are left save more than moving costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from simulator.policies.decisions import Decision
from simulator.policies.stage_partition import Partition, StageWork, pipeline_time

ADAPTIVE = "adaptive"
SCALE = 2**20
"""Stages' speeds are whole numbers of so many parts of the fastest one's: prices of a partition are then exact."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One step. stage_ns: what forward and backward of each stage took, on its slowest rank. step_ns: all of it."""

    partition: Partition
    stage_ns: tuple[int, ...]
    step_ns: int


@dataclass(frozen=True, slots=True)
class MoveCost:
    """layer_bytes: what one rank holds of each layer and has to hand over (parameters and optimizer state). ns_a_byte:
    over the slowest link between two stages, latency included."""

    layer_bytes: tuple[int, ...]
    ns_a_byte: float

    def move_ns(self, before: Partition, after: Partition) -> int:
        """How long the move lasts: until the rank that sends and receives most is done."""
        busy = [0] * len(before)
        for layer, source, target in moved_layers(before, after):
            busy[source] += self.layer_bytes[layer]
            busy[target] += self.layer_bytes[layer]
        return round(max(busy) * self.ns_a_byte)


@dataclass(frozen=True, slots=True)
class StageBalancer:
    """work: of the stages. window: steps that are looked at. threshold: how much slower than need be the slowest stage
    may be, relative. best: the fastest partition of those that fit, by the stages' paces; None where none fits."""

    work: StageWork
    microbatches: int
    window: int
    threshold: float
    cost: MoveCost
    best: Callable[[Sequence[int]], Partition | None]

    def decide(self, observations: Sequence[Observation], steps_left: int) -> Partition:
        """The partition of the next step: the last one observed, or a better one. steps_left: from the next one on."""
        before = observations[-1].partition
        seen = observations[-self.window :]
        if len(seen) < self.window or any(one.partition != before for one in seen):
            return before
        paces = self._paces(seen)
        after = self.best(paces)
        if after is None:
            return before
        slowest, faster = (max(self.work.times(one, paces)) for one in (before, after))
        if slowest <= (1 + self.threshold) * faster:
            return before
        saved_ns = self._saved_ns(seen, after) * steps_left
        return after if saved_ns > self.cost.move_ns(before, after) else before

    def decision(self, step: int, observations: Sequence[Observation], after: Partition) -> Decision:
        """What `decide` decided for a step, as a line of a `--decisions` file."""
        seen = observations[-self.window :]
        step_ns = _median([one.step_ns for one in seen])
        gain = step_ns / (step_ns - self._saved_ns(seen, after)) - 1
        return Decision(step, ADAPTIVE, observations[-1].partition, after, gain)

    def _paces(self, seen: Sequence[Observation]) -> tuple[int, ...]:
        loads = self.work.loads(seen[-1].partition)
        times = [_median(stage) for stage in zip(*(one.stage_ns for one in seen), strict=True)]
        paces = [max(ns, 1) / max(load, 1) for ns, load in zip(times, loads, strict=True)]
        return tuple(round(SCALE * pace / min(paces)) for pace in paces)

    def _saved_ns(self, seen: Sequence[Observation], after: Partition) -> float:
        """What a step would take less."""
        loads = self.work.loads(seen[-1].partition)
        times = [_median(stage) / self.microbatches for stage in zip(*(one.stage_ns for one in seen), strict=True)]
        moved = [ns * new / max(old, 1) for ns, old, new in zip(times, loads, self.work.loads(after), strict=True)]
        return pipeline_time(times, self.microbatches) - pipeline_time(moved, self.microbatches)


def moved_layers(before: Partition, after: Partition) -> tuple[tuple[int, int, int], ...]:
    """(layer, stage it leaves, stage it comes to), ascending, of every layer that changes its stage."""
    old, new = holders(before), holders(after)
    return tuple((layer, old[layer], new[layer]) for layer in range(len(old)) if old[layer] != new[layer])


def holders(partition: Partition) -> tuple[int, ...]:
    """The stage of each layer."""
    ends = list(accumulate(partition))
    return tuple(stage for stage, end in enumerate(ends) for _ in range(end - partition[stage], end))


def _median(values: Sequence[int]) -> int:
    """The lower median: of a window half of which is slow, the faster half's."""
    return sorted(values)[(len(values) - 1) // 2]
