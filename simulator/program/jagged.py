"""Jagged programs: where samples differ in length, one rank's program becomes one for each data rank's own samples.

Reads a program whose microbatches are all alike; writes for each pipeline rank a program for every list of samples that
some data ranks share, with messages as long as these samples make them. Launches keep their order and names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from simulator.model.blocks import sparse_tables
from simulator.model.blocks.embedding import token_table
from simulator.model.lengths import Samples, deal
from simulator.model.lookups import ids_of
from simulator.policies.balancer import Order, balancer_of
from simulator.policies.decisions import Decision
from simulator.program.actions import Action
from simulator.program.placement import num_stages
from simulator.program.program import Chunk, Launch, Program, RankProgram

LENGTH_BYTES = 8
SAMPLE_BYTES = 8
"""Of an id, a label and a label's weight, as samples are shuffled."""


class Dealt(NamedTuple):
    """What one data rank works on. samples: of each of its microbatches. loaded: positions of the samples that its own
    loader brought, which the balancer may have given to others."""

    samples: tuple[Samples, ...]
    loaded: int

    @property
    def shuffled(self) -> int:
        """Positions of what it sends, or receives, whichever are more."""
        return max(self.loaded, sum(one.tokens for one in self.samples))


Sizes = Callable[[Action, Dealt], int | None]
"""Bytes of an action's message for what a data rank works on; None where they do not depend on it."""


@lru_cache(maxsize=256)
def order_of(scenario, step: int, replayed: Decision | None = None) -> Order:
    """Which replica takes which samples of a step. replayed: what was decided before; None: decided here."""
    balancer = balancer_of(scenario)
    if replayed is not None:
        return balancer.check(replayed.after, step)
    return balancer.decide(scenario.lengths(step))


def balances(scenario) -> bool:
    """Whether samples are shuffled before a step."""
    return scenario.plan.balancer.kind == "length" and scenario.samples_differ and scenario.plan.data > 1


def deal_out(scenario, step: int, replayed: Decision | None = None) -> tuple[Dealt, ...]:
    """What each data rank works on; empty where all samples are as long as the model's `seq`."""
    loaded = scenario.samples(step)
    positions = [sum(one.tokens for one in samples) for samples in loaded]
    if not balances(scenario):
        return tuple(map(Dealt, loaded, positions))
    plan, lengths = scenario.plan, scenario.lengths(step)
    order = order_of(scenario, step, replayed)
    taken = [lengths[place] for own in order for place in own]
    return tuple(map(Dealt, deal(taken, plan.data, plan.microbatches, plan.microbatch), positions))


def decisions_of(scenario) -> tuple[Decision, ...]:
    """What the length balancer decides in each step of the run."""
    if not balances(scenario):
        return ()
    balancer = balancer_of(scenario)
    return tuple(
        balancer.decision(step, scenario.lengths(step), order_of(scenario, step)) for step in range(scenario.num_draws)
    )


def shuffle_stream(plan) -> str:
    """Where samples change places: `data`, or `samples` where context ranks have whole ones each, to slice, so that the
    data group is not the one that deals them out."""
    return "samples" if plan.context > 1 else "data"


def shuffle_samples(launches: Sequence[Launch], stream: str) -> list[Launch]:
    """Adds the shuffle ahead of everything that reads samples, or must know how long they are: the first launches of
    the computation, of the tables and of receives. It is not hidden behind the step before, as a loader's could be."""
    gather = Action("gather lengths")
    shuffle = Action("shuffle samples")
    waiting = {launch.stream for launch in launches if launch.stream.startswith(("compute", "embedding", "recv"))}
    found = [Launch(stream, gather), Launch(stream, shuffle)]
    for launch in launches:
        action = launch.action
        if launch.stream in waiting:
            waiting.discard(launch.stream)
            action = action.waiting_for(shuffle.name)
        found.append(Launch(launch.stream, action))
    return found


def shuffled_bytes(scenario, dealt: Dealt, chunks: Sequence[Chunk]) -> int:
    """Of a rank's samples: ids and sampled rows on the first stage, labels and their weights on the last."""
    model, stages = scenario.model, [chunk.stage for chunk in chunks]
    positions, each = dealt.shuffled, scenario.plan.microbatch * scenario.plan.microbatches
    count = 0
    if 0 in stages:
        count += sum(ids_of(model, table, each, positions) for table in sparse_tables(model))
        count += positions if token_table(model) else 0
    if num_stages(scenario.plan) - 1 in stages:
        count += 2 * positions
    return count * SAMPLE_BYTES


def spread_over_samples(program: Program, dealt: Sequence[Dealt], sizes_of: Callable[[RankProgram], Sizes]) -> Program:
    """Replicas that have the same samples, microbatch for microbatch, share a program."""
    ranks = []
    for own in program.ranks:
        sharing: dict[tuple, list[int]] = {}
        for data_rank in program.layout.data_ranks(own.members):
            sharing.setdefault((dealt[data_rank].samples, dealt[data_rank].shuffled), []).append(data_rank)
        ranks += [_with_samples(own, program, dealt[one[0]], one, sizes_of(own)) for one in sharing.values()]
    return Program(program.layout, tuple(ranks))


def _with_samples(
    own: RankProgram, program: Program, dealt: Dealt, data_ranks: Sequence[int], sizes: Sizes
) -> RankProgram:
    layout, members = program.layout, own.members
    if len(data_ranks) < len(layout.data_ranks(members)):
        members = tuple(layout.of_replicas(layout.coordinates(own.rank)[0], data_ranks))

    def sized(launch: Launch) -> Launch:
        size = sizes(launch.action, dealt)
        return launch if size is None else Launch(launch.stream, launch.action._replace(size_bytes=size))

    return replace(
        own, rank=members[0], members=members, launches=tuple(map(sized, own.launches)), samples=dealt.samples
    )  # fmt: skip
