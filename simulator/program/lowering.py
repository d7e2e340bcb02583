"""lower: Scenario -> Program, as a short list of passes.

pass                      reads                        writes
place_units               model, plan                  chunks: which units each stage holds
make_buckets, make_blocks chunks, parameters           gradient buckets; segments at their boundaries
compute_launches          schedule, segments           F and B (or F, I and W) of each rank, in order
add_transfers             F, B, I                      send, recv
add_tables                F, B, I of stage 0           exchanges and lookups
reduce_gradients          the last B's or W's segments reduce or reduce_scatter
scatter_each              every B's segments           reduce_scatter (ZeRO 2 and 3)
compress_reductions       reduce, reduce_scatter       encode, smaller reduce, decode
carry_reductions          reduce, first F's segments   reduce of the step before, optimizer of single buckets
reduce_tied_embedding     reduce                       reduce tied
update_tables             -                            table_optimizer
update_parameters         every reduction              optimizer
gather_parameters         optimizer, first F           all_gather
gather_each, gather_once  F, B                         all_gather ahead of each block (ZeRO 3)
shuffle_samples           first launches               gather lengths, shuffle samples (length balancer)
spread_over_samples       sends, exchanges, samples    a program for each data rank, where lengths differ
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from simulator.model import blocks, tables
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.lengths import cuts_of
from simulator.policies.decisions import Decision
from simulator.program.actions import Action
from simulator.program.cuts import boundary_bytes, cut_boundary_bytes, cut_of
from simulator.program.data_parallel import reduce_tied_embedding, update_parameters
from simulator.program.embedding import MESSAGES, add_tables, message_bytes, update_tables
from simulator.program.gradients import add_gathers, add_reductions, buckets_of, carried_of, passes_cut
from simulator.program.jagged import (
    LENGTH_BYTES,
    Dealt,
    Sizes,
    balances,
    deal_out,
    shuffle_samples,
    shuffle_stream,
    shuffled_bytes,
    spread_over_samples,
)
from simulator.program.parameters import tied_bytes
from simulator.program.pipeline import schedule_order
from simulator.program.placement import holder, place_units
from simulator.program.priority import carry_reductions
from simulator.program.program import Chunk, Program, RankProgram
from simulator.program.segments import compute_launches, cut_at_buckets, cut_at_seams
from simulator.program.transfers import add_transfers


def lower(scenario, step: int = 0, replayed: Decision | None = None) -> Program:
    """The program of one steady training step of a scenario, one representative for each pipeline rank (and for each
    number of microbatches, where replicas run unequally many).

    step: which of the run; steps differ where samples differ in length, and so do data ranks then. replayed: what the
    length balancer decided for it before; None: it decides here.
    """
    layout, plan = scenario.layout, scenario.plan
    chunks = place_units(scenario)
    handed_on = [boundary_bytes(scenario, chunk.last) for chunk in chunks]
    replicas = _replicas_by_count(plan)
    orders = {
        count: schedule_order(plan.schedule, layout.pipeline, count, plan.virtual_stages) for count in replicas
    }  # fmt: skip
    ranks = []
    for pipeline_rank in range(layout.pipeline):
        own = tuple(chunk for chunk in chunks if holder(plan, chunk.stage) == pipeline_rank)
        for count, data_ranks in replicas.items():
            members = layout.of_replicas(pipeline_rank, data_ranks)
            order = orders[count][pipeline_rank]
            ranks += _apart(scenario, _lower_rank(scenario, pipeline_rank, members, own, order, handed_on))
    traffic = tables.traffic(scenario)
    if traffic and traffic.node_members:
        layout = replace(layout, node=traffic.node_members)
    if plan.hop:
        layout = replace(layout, shard=plan.hop)
    program = Program(layout, tuple(ranks))
    dealt = deal_out(scenario, step, replayed)
    return spread_over_samples(program, dealt, _sizes(scenario)) if dealt else program


def _replicas_by_count(plan) -> dict[int, Sequence[int]]:
    """{microbatches: the data ranks that run so many}."""
    if not plan.counts:
        return {plan.microbatches: range(plan.data)}
    found: dict[int, list[int]] = {}
    for data_rank, count in enumerate(plan.counts):
        found.setdefault(count, []).append(data_rank)
    return found


def _sizes(scenario) -> Callable[[RankProgram], Sizes]:
    """How long messages are that depend on samples: between stages, of the tables, of a shuffle."""
    cuts = cuts_of(scenario, cut_of(scenario))
    traffic = cache(lambda samples: tables.traffic(scenario, samples))
    # every unit of a sequence model hands on as much
    boundary = cache(lambda samples: cut_boundary_bytes(scenario, cuts(samples), last=0))

    def of_rank(own: RankProgram) -> Sizes:
        def sizes(action: Action, dealt: Dealt) -> int | None:
            if action.verb in ("send", "recv"):
                return boundary(dealt.samples[action.microbatch])
            if action.verb in MESSAGES:
                return message_bytes(action.verb, traffic(dealt.samples[action.microbatch]))
            if action.verb == "gather lengths":
                return scenario.plan.global_batch * LENGTH_BYTES
            return shuffled_bytes(scenario, dealt, own.chunks) if action.verb == "shuffle samples" else None

        return sizes

    return of_rank


def _apart(scenario, own: RankProgram) -> list[RankProgram]:
    """The rank with a bottom MLP launches what others do, and runs something else where they look up tables."""
    if not on_one_rank(scenario):
        return [own]
    first, *others = own.members
    return [replace(own, members=(first,)), replace(own, rank=others[0], members=tuple(others))]


def _lower_rank(
    scenario, pipeline_rank: int, members: Sequence[int], chunks: tuple[Chunk, ...], order, handed_on: list[int]
) -> RankProgram:
    layout, plan = scenario.layout, scenario.plan
    last = max(action.microbatch for action in order)
    tied = tied_bytes(scenario) if pipeline_rank in (0, layout.pipeline - 1) else 0
    traffic = tables.traffic(scenario) if pipeline_rank == 0 else None
    enters = blocks.vectors_enter(scenario.model)
    seams = (enters,) if enters and traffic else ()
    buckets = buckets_of(scenario, chunks, seams)
    carried = carried_of(scenario, buckets, tied=bool(tied))
    cut = passes_cut(plan, last, carries=bool(carried), seams=bool(seams))
    if any(cut(action) for action in order):
        chunks = tuple(cut_at_seams(cut_at_buckets(chunk, buckets), seams) for chunk in chunks)
    launches = compute_launches(order, chunks, cut)
    launches = add_transfers(
        launches, chunks, pipeline_rank, len(handed_on), lambda stage: holder(plan, stage), handed_on.__getitem__,
        overlap=plan.overlap.pipeline,
    )  # fmt: skip
    if traffic:
        launches = add_tables(launches, chunks, traffic, enters)
    if buckets:
        launches = add_reductions(scenario, pipeline_rank, last, launches, chunks, buckets)
        launches = carry_reductions(launches, chunks, carried, starts_late=pipeline_rank > 0)
    if tied:
        launches = reduce_tied_embedding(launches, tied)
    if traffic and tables.updates_last(scenario):
        launches = update_tables(launches, traffic)
    launches = update_parameters(launches)
    if plan.shards > 1:
        launches = add_gathers(scenario, launches, chunks, buckets)
    if balances(scenario):
        launches = shuffle_samples(launches, shuffle_stream(plan))
    return RankProgram(members[0], members, chunks, buckets, tuple(launches))
