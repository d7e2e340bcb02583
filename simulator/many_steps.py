"""Many steps as one: where samples differ in length a run's steps do too, and the answer is their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from simulator import kinds
from simulator.metrics import Utilization, breakdown_ns, utilization
from simulator.timeline import Timeline


@dataclass(frozen=True)
class StepAnswer:
    """What is kept of each step's timeline."""

    step_ns: int
    breakdown: dict[str, int]
    utilization: Utilization

    @classmethod
    def of(cls, timeline: Timeline, move_ns: int = 0) -> StepAnswer:
        """move_ns: what moving layers to other stages has taken ahead of the step."""
        breakdown, used = breakdown_ns(timeline), utilization(timeline)
        if not move_ns:
            return cls(timeline.step_ns, breakdown, used)
        whole = timeline.step_ns + move_ns
        share = timeline.step_ns / whole
        return cls(
            whole, {**breakdown, kinds.PIPELINE: breakdown[kinds.PIPELINE] + move_ns},
            Utilization(used.busy * share, used.compute * share),
        )  # fmt: skip


def mean_ns(steps_ns: Sequence[int]) -> int:
    """The mean, rounded down."""
    return sum(steps_ns) // len(steps_ns)


def lower_median(values: Sequence[int]) -> int:
    """The place of the lower median (by value, then place)."""
    return sorted(range(len(values)), key=lambda place: (values[place], place))[(len(values) - 1) // 2]


def mean_breakdown(steps: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Each label's mean. Sums to `mean_ns` of the steps: labels are rounded where their running sum is."""
    totals = {label: sum(step[label] for step in steps) for label in steps[0]}
    ends = [total // len(steps) for total in accumulate(totals.values())]
    return {label: end - begin for label, begin, end in zip(totals, [0, *ends], ends, strict=False)}


def mean_utilization(steps: Sequence[Utilization]) -> Utilization:
    """The mean of the steps' shares, however long each of them is."""
    return Utilization(
        sum(step.busy for step in steps) / len(steps), sum(step.compute for step in steps) / len(steps)
    )  # fmt: skip
