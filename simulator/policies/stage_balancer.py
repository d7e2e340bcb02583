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
from simulator.policies.stage_partition import Partition, StageWork, by_rank, pipeline_time

ADAPTIVE = "adaptive"
SCALE = 2**20
"""Stages' speeds are whole numbers of so many parts of the fastest one's: prices of a partition are then exact."""


Messages = dict[tuple[int, int], int]
"""{(pipeline rank that sends, one that receives): bytes from one rank to its peer}."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One step. stage_ns: what forward and backward of each pipeline rank took, on its slowest member. step_ns: all of
    it."""

    partition: Partition
    stage_ns: tuple[int, ...]
    step_ns: int


@dataclass(frozen=True, slots=True)
class MoveCost:
    """layer_bytes: what one rank holds of each layer and has to hand over (parameters and optimizer state). ns_a_byte:
    over the slowest link between two stages, alone, latency included. holder: the pipeline rank of each stage; empty:
    each has its own. crowding: how many times longer messages take that all ranks send at once than the longest of
    them alone; None: ranks share no links. gather_ns: what it takes ahead of any move."""

    layer_bytes: tuple[int, ...]
    ns_a_byte: float
    holder: tuple[int, ...] = ()
    crowding: Callable[[Messages], float] | None = None
    gather_ns: int = 0

    def messages(self, before: Partition, after: Partition) -> Messages:
        """What the ranks of a column send to each other: one message for each pair."""
        found: Messages = {}
        for layer, *stages in moved_layers(before, after):
            source, target = (self.holder[stage] if self.holder else stage for stage in stages)
            if source != target:
                found[source, target] = found.get((source, target), 0) + self.layer_bytes[layer]
        return found

    def move_ns(self, before: Partition, after: Partition) -> int:
        """How long the move lasts: all messages are under way at once, sent ones beside received ones."""
        messages = self.messages(before, after)
        if not messages:
            return 0
        crowding = 1.0 if self.crowding is None else self.crowding(messages)
        return self.gather_ns + round(max(messages.values()) * self.ns_a_byte * crowding)


@dataclass(frozen=True, slots=True)
class StageBalancer:
    """work: of the stages. window: steps that are looked at. threshold: how much slower than need be the slowest stage
    may be, relative. best: the fastest partition of those that fit, by the stages' paces; None where none fits. holder:
    the pipeline rank of each stage; empty: each has its own. fill: of the schedule (`stage_partition.filling`)."""

    work: StageWork
    microbatches: int
    window: int
    threshold: float
    cost: MoveCost
    best: Callable[[Sequence[int]], Partition | None]
    holder: tuple[int, ...] = ()
    fill: float = 1.0

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
        slowest, faster = (max(by_rank(self.work.times(one, paces), self.holder)) for one in (before, after))
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
        """Of each stage: its rank's."""
        loads = self._loads(seen[-1].partition)
        times = [_median(stage) for stage in zip(*(one.stage_ns for one in seen), strict=True)]
        paces = [max(ns, 1) / max(load, 1) for ns, load in zip(times, loads, strict=True)]
        own = tuple(round(SCALE * pace / min(paces)) for pace in paces)
        return tuple(own[rank] for rank in self.holder) if self.holder else own

    def _saved_ns(self, seen: Sequence[Observation], after: Partition) -> float:
        """What a step would take less."""
        loads = self._loads(seen[-1].partition)
        times = [_median(stage) / self.microbatches for stage in zip(*(one.stage_ns for one in seen), strict=True)]
        moved = [ns * new / max(old, 1) for ns, old, new in zip(times, loads, self._loads(after), strict=True)]
        before_ns, after_ns = (pipeline_time(one, self.microbatches, self.fill) for one in (times, moved))
        return before_ns - after_ns

    def _loads(self, partition: Partition) -> tuple[int, ...]:
        """Of each pipeline rank."""
        return by_rank(self.work.loads(partition), self.holder)


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
