"""Jagged programs: where samples differ in length, one rank's program becomes one for each data rank's own samples.

Reads a program whose microbatches are all alike; writes for each pipeline rank a program for every list of samples that
some data ranks share, with messages as long as these samples make them. Launches keep their order and names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from simulator.model.lengths import Samples
from simulator.program.actions import Action
from simulator.program.program import Launch, Program, RankProgram

Dealt = Sequence[tuple[Samples, ...]]
"""[data_rank][microbatch]."""

Sizes = Callable[[Action, Samples], int | None]
"""Bytes of an action's message for the samples of its microbatch; None where they do not matter."""


def spread_over_samples(program: Program, dealt: Dealt, sizes: Sizes) -> Program:
    """Replicas that have the same samples, microbatch for microbatch, share a program."""
    sharing: dict[tuple[Samples, ...], list[int]] = {}
    for data_rank, samples in enumerate(dealt):
        sharing.setdefault(samples, []).append(data_rank)
    return Program(
        program.layout,
        tuple(
            _with_samples(own, program, samples, data_ranks, sizes)
            for own in program.ranks
            for samples, data_ranks in sharing.items()
        ),
    )


def _with_samples(
    own: RankProgram, program: Program, samples: tuple[Samples, ...], data_ranks: Sequence[int], sizes: Sizes
) -> RankProgram:
    layout = program.layout
    each = layout.tensor * layout.context
    members: Sequence[int] = own.members
    if len(data_ranks) < layout.data:
        firsts = [own.members[0] + data_rank * each for data_rank in data_ranks]
        members = tuple(first + place for first in firsts for place in range(each))

    def sized(launch: Launch) -> Launch:
        action = launch.action
        if action.of is None or action.microbatch is None or action.bucket is not None:
            return launch
        size = sizes(action, samples[action.microbatch])
        return launch if size is None else Launch(launch.stream, action._replace(size_bytes=size))

    return replace(
        own, rank=members[0], members=members, launches=tuple(map(sized, own.launches)), samples=samples
    )  # fmt: skip
