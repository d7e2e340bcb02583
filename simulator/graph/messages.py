"""What a launch on a stream of messages runs: which collective, in which group, how large and by which algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulator import kinds
from simulator.graph.steps import StepSource
from simulator.program.actions import SHUFFLE_VERBS
from simulator.program.embedding import MESSAGES
from simulator.program.program import Launch
from simulator.program.standing import GROUP_OF_STREAM

KIND_OF_STREAM = dict.fromkeys(("data", "shard", "replica", "samples", "tied"), kinds.DATA) | {
    "embedding": kinds.EMBEDDING
}
OP_OF_VERB = {"reduce": "all_reduce", "reduce_scatter": "reduce_scatter", "all_gather": "all_gather",
              "gather lengths": "all_gather", "shuffle samples": "all_to_all"}  # fmt: skip
SUMMED = ("data", "shard", "replica")
"""The groups that sum gradients, by the plan's own algorithm."""


class Message(NamedTuple):
    """A collective as `Pricer.collective` takes it, and its group."""

    op: str
    group: str
    size_bytes: int
    algorithm: str


def collective_of(launch: Launch, steps: StepSource, members: Callable[[str], int]) -> Message:
    """The collective of a launch that neither computes nor sends or receives. members: of the rank's group of a kind.

    What a balancer shuffles on the stream of gradients follows no algorithm of `plan.aggregation`.
    """
    action = launch.action
    op, group = MESSAGES.get(action.verb) or (OP_OF_VERB[action.verb], GROUP_OF_STREAM[launch.stream])
    size = action.size_bytes
    if action.method not in (None, "none"):
        op, size = steps.wire(action, members(group))
    sums = group in SUMMED and action.verb not in SHUFFLE_VERBS
    return Message(op, group, size, steps.plan.aggregation.algorithm if sums else "auto")
