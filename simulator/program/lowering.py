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
from math import prod

from simulator.model import blocks, tables
from simulator.model.blocks import Cut, head
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.lengths import cuts_of
from simulator.model.memory_rules import part
from simulator.model.software import facts_of
from simulator.model.stacks import TORCH, Stack
from simulator.policies.compression import compressor_of, method_of
from simulator.policies.compressor import Compressor
from simulator.policies.decisions import Decision
from simulator.program.actions import Action
from simulator.program.compression import Compressing, compress_reductions
from simulator.program.data_parallel import (
    Sharing,
    gather_parameters,
    make_buckets,
    reduce_gradients,
    reduce_tied_embedding,
    update_parameters,
)
from simulator.program.embedding import MESSAGES, add_tables, message_bytes, update_tables
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
from simulator.program.pipeline import schedule_named, schedule_order
from simulator.program.placement import carries_rows, ends_meet, holder, place_units
from simulator.program.priority import carried_buckets, carry_reductions
from simulator.program.program import Bucket, Chunk, Launch, Program, RankProgram
from simulator.program.segments import compute_launches, cut_at_buckets, cut_at_seams
from simulator.program.sharded import gather_each, gather_once, make_blocks, scatter_each
from simulator.program.transfers import add_transfers
from simulator.units import DTYPE_BYTES, MIB


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
    boundary = cache(lambda samples: _boundary_bytes(scenario, cuts(samples), last=0))

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


def local_shapes(scenario, first: int, last: int, *, frozen: bool = False) -> tuple[tuple[int, ...], ...]:
    """Shapes of the dense parameters of units [first, last] that one rank trains; frozen: of those that it only holds.

    Where first and last stage share a token embedding and are not on one rank, the last holds a copy of it.
    """
    held = _held(scenario, first, last)
    return tuple(parameter.local_shape(scenario.layout.tensor) for parameter in held if parameter.frozen == frozen)


def _held(scenario, first: int, last: int) -> list[blocks.Parameter]:
    units = blocks.units(scenario.model)[first : last + 1]
    held = [parameter for unit in units for parameter in blocks.parameters(scenario.model, unit)]
    tied = blocks.tied_parameter(scenario.model)
    if tied and not ends_meet(scenario.plan) and units[-1].kind == "head":
        held.append(tied)
    return held


def local_numel(scenario, unit: int, *, frozen: bool = False) -> int:
    """Dense parameters of a unit on one rank: those that are trained, or those that are not."""
    return sum(prod(shape) for shape in local_shapes(scenario, unit, unit, frozen=frozen))


def _lower_rank(
    scenario, pipeline_rank: int, members: Sequence[int], chunks: tuple[Chunk, ...], order, handed_on: list[int]
) -> RankProgram:
    layout, plan = scenario.layout, scenario.plan
    last = max(action.microbatch for action in order)
    tied = tied_bytes(scenario) if pipeline_rank in (0, layout.pipeline - 1) else 0
    traffic = tables.traffic(scenario) if pipeline_rank == 0 else None
    enters = blocks.vectors_enter(scenario.model)
    seams = (enters,) if enters and traffic else ()
    buckets = _buckets(scenario, chunks, seams)
    carried = _carried(scenario, buckets, tied=bool(tied))
    cut = _cuts(plan, last, carries=bool(carried), seams=bool(seams))
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
        launches = _reduce(scenario, pipeline_rank, last, launches, chunks, buckets)
        launches = carry_reductions(launches, chunks, carried, starts_late=pipeline_rank > 0)
    if tied:
        launches = reduce_tied_embedding(launches, tied)
    if traffic and tables.updates_last(scenario):
        launches = update_tables(launches, traffic)
    launches = update_parameters(launches)
    if plan.shards > 1:
        launches = _gather(scenario, launches, chunks, buckets)
    if balances(scenario):
        launches = shuffle_samples(launches, shuffle_stream(plan))
    return RankProgram(members[0], members, chunks, buckets, tuple(launches))


def _buckets(scenario, chunks: tuple[Chunk, ...], seams: tuple[int, ...]) -> tuple[Bucket, ...]:
    """What is reduced together: buckets of a size, or blocks under ZeRO 3; none where nothing is reduced. seams: units
    at which a new one begins."""
    plan = scenario.plan
    if plan.replicas == 1:
        return ()

    def numel(unit: int) -> int:
        return local_numel(scenario, unit)

    if plan.gathers_blocks:
        return make_blocks(
            chunks, blocks.units(scenario.model), numel, seams, lambda unit: local_numel(scenario, unit, frozen=True)
        )
    return make_buckets(chunks, numel, round(plan.bucket_mib * MIB), DTYPE_BYTES[scenario.precision.reduce], seams)


def _carried(scenario, buckets: tuple[Bucket, ...], *, tied: bool) -> tuple[Bucket, ...]:
    """The buckets that are reduced in the next step."""
    plan = scenario.plan
    if plan.aggregation.order != "priority":
        return ()
    return carried_buckets(buckets, overlap=plan.overlap.grad_reduce, recomputes=plan.recompute == "full", tied=tied)


def _cuts(plan, last: int, *, carries: bool, seams: bool) -> Callable[[Action], bool]:
    """Which F, B and W are cut at the buckets' boundaries. last: microbatch of the rank. carries: some are reduced in
    the next step's forward. seams: every F and B is cut, for looked-up vectors enter in its middle."""
    first_forward = carries or plan.gathers_blocks or (plan.shards > 1 and plan.overlap.param_gather)
    last_backward = plan.replicas > 1 and plan.overlap.grad_reduce

    def cut(action: Action) -> bool:
        if seams and action.verb in "FB":
            return True
        if action.verb == "F":
            return (plan.gathers_blocks and plan.scatters_each) or (first_forward and action.microbatch == 0)
        return action.verb in "BW" and (plan.scatters_each or (last_backward and action.microbatch == last))

    return cut


def _sharing(scenario) -> Sharing:
    plan, precision = scenario.plan, scenario.precision
    return Sharing(precision.reduce, precision.parameters, plan.shards, plan.replicas // plan.shards)


def _reduce(
    scenario, pipeline_rank: int, last: int, launches: list[Launch], chunks, buckets: tuple[Bucket, ...]
) -> list[Launch]:
    """The launches with the reduction of dense gradients, compressed where the plan says. last: microbatch."""
    plan, sharing, overlap = scenario.plan, _sharing(scenario), scenario.plan.overlap.grad_reduce
    compressing = _compressing(scenario, pipeline_rank, buckets)
    if plan.scatters_each:
        return scatter_each(launches, chunks, buckets, sharing, overlap=overlap, compressing=compressing)
    completes = "W" if schedule_named(plan.schedule).splits else "B"
    launches = reduce_gradients(launches, chunks, buckets, last, sharing, overlap=overlap, completes=completes)
    return compress_reductions(launches, compressing) if compressing else launches


def _compressing(scenario, pipeline_rank: int, buckets: tuple[Bucket, ...]) -> Compressing | None:
    """How a rank's buckets are compressed; None where none is."""
    plan, named = scenario.plan, {bucket.name: bucket for bucket in buckets}
    if plan.compression.method == "none":
        return None

    def compressor(action: Action) -> Compressor | None:
        method = method_of(plan, pipeline_rank, action.bucket, action.size_bytes)
        return None if method == "none" else compressor_of(plan, method)

    return Compressing(
        compressor, lambda name, compressor: codec_shapes(scenario, named[name], compressor), scenario.precision.reduce
    )


def codec_shapes(scenario, bucket: Bucket, compressor: Compressor) -> tuple[tuple[int, ...], ...]:
    """Shapes of what a compressor works on in a bucket: its parameters', or the parts of all owners in one."""
    if compressor.to_owners:
        return ((scenario.plan.shards * owned_numel(scenario, bucket),),)
    return local_shapes(scenario, bucket.first, bucket.last)


def owned_numel(scenario, bucket: Bucket) -> int:
    """Entries of a bucket that one rank owns under ZeRO, with the zeros that its parts are filled up with.

    A token embedding that another stage holds too is divided on its own (`executor/flat.py`), so that both own the same
    rows of it.
    """
    tied = None if ends_meet(scenario.plan) else blocks.tied_parameter(scenario.model)
    lengths, joins = [], False
    for parameter in _held(scenario, bucket.first, bucket.last):
        if parameter.frozen:
            continue
        is_tied, count = tied is not None and parameter.name == tied.name, parameter.local_count(scenario.plan.tensor)
        if joins and not is_tied:
            lengths[-1] += count
        else:
            lengths.append(count)
        joins = not is_tied
    return sum(part(length, scenario.plan.shards) for length in lengths)


def _gather(scenario, launches: list[Launch], chunks, buckets: tuple[Bucket, ...]) -> list[Launch]:
    """The launches with the gathers of sharded parameters."""
    plan, sharing, overlap = scenario.plan, _sharing(scenario), scenario.plan.overlap.param_gather
    if not plan.gathers_blocks:
        return gather_parameters(launches, chunks, buckets, sharing, overlap=overlap)
    if not plan.scatters_each:
        return gather_once(launches, chunks, buckets, sharing, overlap=overlap)
    shared = blocks.tied_parameter(scenario.model) is not None
    ends, units = [chunk.last for chunk in chunks], blocks.units(scenario.model)

    def again(bucket: Bucket) -> bool:
        if not plan.reshard_after_forward or bucket.last in ends or (shared and bucket.first == 0):
            return False
        return any(blocks.training(scenario.model, unit).runs for unit in units[bucket.first : bucket.last + 1])

    return gather_each(launches, chunks, buckets, sharing, again=again, overlap=overlap)


def tied_bytes(scenario) -> int:
    """Bytes of the token embedding's gradient that first and last stage must share; 0 where there is nothing to tie."""
    tied = blocks.tied_parameter(scenario.model)
    if not tied or tied.frozen or ends_meet(scenario.plan):
        return 0
    return tied.local_count(scenario.layout.tensor) * DTYPE_BYTES[scenario.precision.gradients]


def boundary_bytes(scenario, last: int) -> int:
    """What one rank sends to the next stage, whose own ends with unit `last`.

    Under sequence parallelism its slice; without it, its 1/tensor share of the activation, which the receivers gather
    (Megatron-LM's scatter/gather, Narayanan et al. 2021, arXiv 2104.04473, section 4.1).
    """
    return _boundary_bytes(scenario, cut_of(scenario), last)


def handed_on_bytes(scenario, cut: Cut, last: int = 0) -> int:
    """What tensor ranks together hand on: the output of unit `last`, and rows for a head on the last stage. Without
    sequence parallelism each has the whole of it."""
    whole = blocks.boundary_bytes(scenario.model, cut, blocks.units(scenario.model)[last])
    if carries_rows(scenario):
        whole += cut.shard_tokens * head.scored_width(scenario.model) * cut.bytes
    return whole


def _boundary_bytes(scenario, cut: Cut, last: int) -> int:
    whole = handed_on_bytes(scenario, cut, last)
    return whole if scenario.plan.sequence_parallel else -(-whole // scenario.plan.tensor)


def recut(scenario, cut: Cut) -> Cut:
    """The cut of a scenario whose software is that of another one's cut."""
    return replace(cut_of(scenario), **facts_of(cut))


def cut_of(scenario, attention: str | None = None, stack: Stack = TORCH) -> Cut:
    """What one rank works on in one microbatch. attention: flash or unfused, where it is not the stack's own.

    No message depends on the stack.
    """
    plan = scenario.plan
    software = facts_of(stack)
    software["attention"] = attention or stack.attention
    software["autocast"] &= DTYPE_BYTES[scenario.precision.parameters] > max(2, DTYPE_BYTES[scenario.dtype])
    return Cut(
        batch=plan.microbatch,
        seq=scenario.model.trunk.seq,
        tensor=plan.tensor,
        context=plan.context,
        context_kind=plan.context_kind,
        overlap_tensor=plan.overlap.tensor,
        sequence_parallel=plan.sequence_parallel,
        dtype=scenario.dtype,
        compiled=scenario.software.compile,
        gradient_bytes=DTYPE_BYTES[scenario.precision.gradients],
        vectors=scenario.precision.vectors,
        lone_bottom=on_one_rank(scenario),
        fresh_gradients=plan.scatters_each,
        **software,
    )
