"""A knob: one key, two settings, what is looked at, and how the first compares with the second."""

from __future__ import annotations

import operator
from dataclasses import dataclass

from simulator.graph.steps import StepSource
from simulator.program.cuts import cut_of
from simulator.simulation import Result


def step(result: Result) -> int:
    return result.timeline.step_ns


def step_mean(result: Result) -> float:
    """Over the run's steps."""
    return result.step_time_s


def memory(kind: str):
    """Bytes of a kind on the fullest rank."""
    return lambda result: dict(result.memory.tightest.by_kind)[kind]


def peak(result: Result) -> int:
    return result.memory.tightest.peak


def time_of(*labels: str):
    """ns of the step under these labels of the breakdown."""
    return lambda result: sum(result.breakdown[label] for label in labels)


def running(*kinds: str):
    """ns that ops of these kinds run on the first rank, overlapped or not."""

    def total(result: Result) -> int:
        from simulator import kinds as all_kinds

        timeline, wanted = result.timeline, [all_kinds.CODE[kind] for kind in kinds]
        chosen = (timeline.rank_index == 0) & [kind in wanted for kind in timeline.kind.tolist()]
        return int((timeline.end_ns - timeline.start_ns)[chosen].sum())

    return total


def launches(verb: str):
    """How often rank 0 launches it."""
    return lambda result: sum(launch.action.verb == verb for launch in result.program.ranks[0].launches)


def sent(verb: str):
    """Bytes of all its messages on rank 0."""
    return lambda result: sum(
        launch.action.size_bytes for launch in result.program.ranks[0].launches if launch.action.verb == verb
    )


def inside(group: str):
    """Bytes of the messages inside rank 0's compute actions, of this group."""

    def total(result: Result) -> int:
        own, steps = result.program.ranks[0], StepSource(result.scenario, cut_of(result.scenario))
        actions = [launch.action for launch in own.launches if launch.stream == "compute"]
        pieces = [piece for action in actions for piece in steps.steps(own, action)]
        return sum(step.size_bytes for piece in pieces for step in piece.steps if getattr(step, "group", "") == group)

    return total


def model_flops(result: Result) -> int:
    return result.flops.model


def hardware_flops(result: Result) -> int:
    return result.flops.hardware


def busy(result: Result) -> float:
    return result.utilization.busy


def samples_per_s(result: Result) -> float:
    return result.to_dict()["samples_per_s"]


def timeline(result: Result) -> str:
    return result.timeline.digest()


SIGNS = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Knob:
    """`text` is "<key>: <first> <sign> <second>"."""

    base: str
    key: str
    first: str
    second: str
    look: object
    sign: str
    both: str = ""

    def __str__(self) -> str:
        what = getattr(self.look, "__qualname__", "").split(".")[0]
        return f"{self.base}-{self.key}: {what} {self.first} {self.sign} {self.second} {self.both}".strip()


def sets(key: str, value: str, both: str) -> tuple[str, ...]:
    """`--set` lines. A value may bring others with it: "2; plan.data=4"; "-" leaves the key as it is."""
    head, *more = [part.strip() for part in value.split(";")]
    own = [] if head == "-" else [f"{key}={head}"]
    return (*filter(None, (part.strip() for part in both.split(";"))), *own, *more)
