"""lower: Scenario -> Program, as a short list of passes.

pass                      reads                        writes
place_units               model, plan                  chunks: which units each stage holds
make_buckets              chunks, parameters           gradient buckets; segments at their boundaries
compute_launches          schedule, segments           F and B (or F, I and W) of each rank, in order
add_transfers             F, B, I                      send, recv
add_tables                F, B, I of stage 0           exchanges and lookups
reduce_gradients          the last B's or W's segments reduce or reduce_scatter
compress_reductions       reduce                       encode, smaller reduce, decode
carry_reductions          reduce, first F's segments   reduce of the step before, optimizer of single buckets
reduce_tied_embedding     reduce                       reduce tied
update_tables             -                            table_optimizer
update_parameters         every reduction              optimizer
gather_parameters         optimizer, first F           all_gather
"""

from __future__ import annotations

from math import prod

from simulator.model import blocks, tables
from simulator.model.blocks import Cut
from simulator.model.stacks import TORCH, Stack
from simulator.policies.compression import compressor_of
from simulator.program.compression import compress_reductions
from simulator.program.data_parallel import (
    gather_parameters,
    make_buckets,
    reduce_gradients,
    reduce_tied_embedding,
    update_parameters,
)
from simulator.program.embedding import add_tables, update_tables
from simulator.program.pipeline import schedule_named, schedule_order
from simulator.program.placement import ends_meet, holder, place_units
from simulator.program.priority import carried_buckets, carry_reductions
from simulator.program.program import Chunk, Program, RankProgram
from simulator.program.segments import compute_launches, cut_at_buckets
from simulator.program.transfers import add_transfers
from simulator.units import DTYPE_BYTES, MIB


def lower(scenario) -> Program:
    """The program of one steady training step of a scenario, one representative for each pipeline rank."""
    layout, plan = scenario.layout, scenario.plan
    chunks = place_units(scenario)
    order = schedule_order(plan.schedule, layout.pipeline, scenario.microbatches, plan.virtual_stages)
    ranks = []
    for pipeline_rank, actions in enumerate(order):
        own = tuple(chunk for chunk in chunks if holder(plan, chunk.stage) == pipeline_rank)
        ranks.append(_lower_rank(scenario, pipeline_rank, own, actions, len(chunks)))
    return Program(layout, tuple(ranks))


def local_shapes(scenario, first: int, last: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the dense parameters that one rank holds of units [first, last].

    Where first and last stage share a token embedding and are not on one rank, the last holds a copy of it.
    """
    units = blocks.units(scenario.model)[first : last + 1]
    held = [parameter for unit in units for parameter in blocks.parameters(scenario.model, unit)]
    tied = blocks.tied_parameter(scenario.model)
    if tied and not ends_meet(scenario.plan) and units[-1].kind == "head":
        held.append(tied)
    return tuple(parameter.local_shape(scenario.layout.tensor) for parameter in held)


def local_numel(scenario, unit: int) -> int:
    """Dense parameters of a unit on one rank."""
    return sum(prod(shape) for shape in local_shapes(scenario, unit, unit))


def _lower_rank(scenario, pipeline_rank: int, chunks: tuple[Chunk, ...], order, num_stages: int) -> RankProgram:
    layout, plan, precision = scenario.layout, scenario.plan, scenario.precision
    replicas = layout.data * layout.context
    reduces, zero = replicas > 1, plan.zero if replicas > 1 else 0
    overlap_reduce = plan.overlap.grad_reduce
    overlap_gather = bool(zero) and plan.overlap.param_gather
    tied = tied_bytes(scenario) if pipeline_rank in (0, layout.pipeline - 1) else 0
    buckets = carried = ()
    if reduces:
        buckets = make_buckets(
            chunks,
            lambda unit: local_numel(scenario, unit),
            round(plan.bucket_mib * MIB),
            DTYPE_BYTES[precision.reduce],
        )
        if plan.aggregation.order == "priority":
            carried = carried_buckets(
                buckets, overlap=overlap_reduce, recomputes=plan.recompute == "full", tied=bool(tied)
            )  # fmt: skip
        if overlap_reduce or overlap_gather or carried:
            chunks = tuple(cut_at_buckets(chunk, buckets) for chunk in chunks)
    last = scenario.microbatches - 1
    launches = compute_launches(
        order, chunks, cut_last_backward=overlap_reduce and reduces,
        cut_first_forward=overlap_gather or bool(carried), last=last,
    )  # fmt: skip
    launches = add_transfers(
        launches, chunks, pipeline_rank, num_stages, lambda stage: holder(plan, stage), boundary_bytes(scenario),
        overlap=plan.overlap.pipeline,
    )  # fmt: skip
    traffic = tables.traffic(scenario) if pipeline_rank == 0 else None
    if traffic:
        launches = add_tables(launches, chunks, traffic)
    if reduces:
        launches = reduce_gradients(
            launches, chunks, buckets, last, zero=zero, reduce_dtype=precision.reduce, overlap=overlap_reduce,
            completes="W" if schedule_named(plan.schedule).splits else "B",
        )  # fmt: skip
        if plan.compression.method != "none":
            spans = {bucket.name: (bucket.first, bucket.last) for bucket in buckets}
            launches = compress_reductions(
                launches,
                compressor_of(plan),
                lambda name: local_shapes(scenario, *spans[name]),
                precision.reduce,
            )
        launches = carry_reductions(launches, chunks, carried, starts_late=pipeline_rank > 0)
    if tied:
        launches = reduce_tied_embedding(launches, tied)
    if traffic:
        launches = update_tables(launches, traffic)
    launches = update_parameters(launches)
    if zero:
        launches = gather_parameters(launches, chunks, buckets, dtype=precision.parameters, overlap=overlap_gather)
    rank = layout.rank(pipeline_rank)
    return RankProgram(rank, layout.group("table", rank), chunks, buckets, tuple(launches))


def tied_bytes(scenario) -> int:
    """Bytes of the token embedding's gradient that first and last stage must share; 0 where there is nothing to tie."""
    tied = blocks.tied_parameter(scenario.model)
    if not tied or ends_meet(scenario.plan):
        return 0
    return tied.local_count(scenario.layout.tensor) * DTYPE_BYTES[scenario.precision.gradients]


def boundary_bytes(scenario) -> int:
    """What one rank sends to the next stage.

    Under sequence parallelism its slice; without it, its 1/tensor share of the activation, which the receivers gather
    (Megatron-LM's scatter/gather, Narayanan et al. 2021, arXiv 2104.04473, section 4.1).
    """
    plan = scenario.plan
    whole = blocks.boundary_bytes(scenario.model, cut_of(scenario))
    return whole if plan.sequence_parallel else -(-whole // plan.tensor)


def cut_of(scenario, attention: str | None = None, stack: Stack = TORCH) -> Cut:
    """What one rank works on in one microbatch. attention: flash or unfused, where it is not the stack's own.

    No message depends on the stack.
    """
    plan = scenario.plan
    return Cut(
        batch=plan.microbatch,
        seq=scenario.model.trunk.seq,
        tensor=plan.tensor,
        context=plan.context,
        sequence_parallel=plan.sequence_parallel,
        dtype=scenario.dtype,
        attention=attention or stack.attention,
        fused_accumulation=stack.fused_accumulation,
        async_reduction=stack.async_reduction,
        norm=stack.norm,
        elementwise_loss=stack.elementwise_loss,
        separate_kernels=stack.separate_kernels,
        gradient_bytes=DTYPE_BYTES[scenario.precision.gradients],
    )
