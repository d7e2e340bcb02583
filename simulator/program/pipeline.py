"""Pipeline schedules: for each pipeline rank, the order of its F and B (or F, I and W) actions.

A schedule is a function (stages, microbatches, virtual_stages) -> one action list per rank, and a line in `SCHEDULES`.
The stage in an action is the global chunk: chunk * stages + rank, or what the schedule's `holder` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

from simulator.errors import ScenarioError
from simulator.program.actions import Action
from simulator.program.zero_bubble import Order, zb_h1, zb_h2, zb_v

MAX_ACTIONS = 10_000_000
"""Forward passes of one schedule: what is still written out within a minute."""


def gpipe(stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """All forwards, then all backwards (Huang et al. 2019, arXiv 1811.06965)."""
    return tuple(
        tuple(Action(verb, stage=rank, microbatch=index) for verb in "FB" for index in range(microbatches))
        for rank in range(stages)
    )


def one_forward_one_backward(stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """PipeDream-flush (Narayanan et al. 2021, arXiv 2104.04473): rank r runs p-1-r forwards ahead, then one of each."""
    return interleaved(stages, microbatches, 1)


def interleaved(stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """Megatron-LM's interleaved 1F1B: each rank holds `virtual_stages` chunks, microbatches run in groups of `stages`.

    Rank r warms up with 2 (p-1-r) + (v-1) p forwards (p-1-r where v is 1), then alternates, then drains. Microbatches
    that are no multiple of p run in m // p groups (at least one) whose sizes differ by one at most, the larger ones
    first: torch.distributed.pipelining's rounds, which it wants equal. Megatron-LM wants multiples.
    """
    total = microbatches * virtual_stages
    groups = max(1, microbatches // stages)
    places = []  # (chunk, microbatch) of each forward, in order
    for group in range(groups):
        first = group * (microbatches // groups) + min(group, microbatches % groups)
        size = microbatches // groups + (group < microbatches % groups)
        places += [(chunk, first + offset) for chunk in range(virtual_stages) for offset in range(size)]

    def forward(rank: int, index: int) -> Action:
        chunk, microbatch = places[index]
        return Action("F", stage=chunk * stages + rank, microbatch=microbatch)

    def backward(rank: int, index: int) -> Action:
        chunk, microbatch = places[index]
        return Action("B", stage=(virtual_stages - 1 - chunk) * stages + rank, microbatch=microbatch)

    order = []
    for rank in range(stages):
        ahead = stages - 1 - rank
        warmup = ahead if virtual_stages == 1 else 2 * ahead + (virtual_stages - 1) * -(-microbatches // groups)
        warmup = min(total, warmup)
        actions = [forward(rank, index) for index in range(warmup)]
        for index in range(warmup, total):
            actions += [forward(rank, index), backward(rank, index - warmup)]
        actions += [backward(rank, index) for index in range(total - warmup, total)]
        order.append(tuple(actions))
    return tuple(order)


def in_turn(stage: int, stages: int) -> int:
    """The pipeline rank of a global stage where chunk after chunk goes around all ranks."""
    return stage % stages


def in_a_v(stage: int, stages: int) -> int:
    """The pipeline rank of a global stage where the second chunk comes back the way the first has gone."""
    return min(stage, 2 * stages - 1 - stage)


@dataclass(frozen=True, slots=True)
class Schedule:
    """chunks: how many each rank holds, None where the plan says. holder: pipeline rank of a global stage.
    splits: the backward pass runs as I and W."""

    order: Callable[[int, int, int], Order]
    chunks: int | None = 1
    holder: Callable[[int, int], int] = in_turn
    splits: bool = False


SCHEDULES: dict[str, Schedule] = {
    "gpipe": Schedule(gpipe),
    "1f1b": Schedule(one_forward_one_backward),
    "interleaved_1f1b": Schedule(interleaved, chunks=None),
    "zb_h1": Schedule(zb_h1, splits=True),
    "zb_h2": Schedule(zb_h2, splits=True),
    "zb_v": Schedule(zb_v, chunks=2, holder=in_a_v, splits=True),
}


def schedule_named(name: str) -> Schedule:
    """The line of `SCHEDULES`. Raises ScenarioError for any other name."""
    if name not in SCHEDULES:
        raise ScenarioError(f"unknown schedule {name!r}; one of {', '.join(SCHEDULES)}", key="plan.schedule")
    return SCHEDULES[name]


def chunks_per_rank(name: str, virtual_stages: int) -> int:
    """Model chunks that each rank holds. A schedule that can only hold two takes the default of one for "not said".

    Raises ScenarioError for a number that the schedule cannot hold.
    """
    chunks = schedule_named(name).chunks
    if chunks is None:
        return virtual_stages
    if virtual_stages not in (1, chunks):
        held = "one chunk" if chunks == 1 else f"{chunks} chunks"
        raise ScenarioError(
            f"{name} holds {held} per rank, and virtual_stages is {virtual_stages}; use interleaved_1f1b",
            key="plan.virtual_stages",
        )
    return chunks


def schedule_order(name: str, stages: int, microbatches: int, virtual_stages: int = 1) -> Order:
    """The action list of each pipeline rank. Raises ScenarioError for a name or a count that cannot be scheduled."""
    schedule = schedule_named(name)
    counts = {"stages": stages, "microbatches": microbatches, "virtual_stages": virtual_stages}
    for what, count in counts.items():
        if not isinstance(count, Integral) or isinstance(count, bool):
            raise ScenarioError(f"{count!r} is not a whole number", key=what)
    if min(counts.values()) < 1:
        raise ScenarioError("stages, microbatches and virtual_stages must be at least 1", key="plan.schedule")
    if stages * microbatches * virtual_stages > MAX_ACTIONS:
        raise ScenarioError(
            f"stages {stages} * microbatches {microbatches} * virtual_stages {virtual_stages} are more than the "
            f"{MAX_ACTIONS:,} forward passes of one step; use fewer",
            key="plan.schedule",
        )
    return schedule.order(stages, microbatches, chunks_per_rank(name, virtual_stages))


def pipeline_schedule(name: str, stages: int, microbatches: int, virtual_stages: int = 1) -> list[list[str]]:
    """The schedule as text, one list per pipeline rank.

    >>> pipeline_schedule("1f1b", 2, 2)
    [['0F0', '0F1', '0B0', '0B1'], ['1F0', '1B0', '1F1', '1B1']]
    >>> pipeline_schedule("zb_h1", 2, 2)
    [['0F0', '0F1', '0I0', '0W0', '0I1', '0W1'], ['1F0', '1I0', '1F1', '1I1', '1W0', '1W1']]
    """
    order = schedule_order(name, stages, microbatches, virtual_stages)
    return [[action.text for action in actions] for actions in order]
