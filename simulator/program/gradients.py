"""What the plan says of dense gradients and sharded parameters: buckets or blocks, which passes are cut at their
boundaries, and the launches that reduce, compress and gather them."""

from __future__ import annotations

from collections.abc import Callable

from simulator.model import blocks
from simulator.policies.compression import compressor_of, method_of
from simulator.policies.compressor import Compressor
from simulator.program.actions import Action
from simulator.program.compression import Compressing, compress_reductions
from simulator.program.data_parallel import Sharing, gather_parameters, make_buckets, reduce_gradients
from simulator.program.parameters import codec_shapes, local_numel
from simulator.program.pipeline import schedule_named
from simulator.program.placement import ends_meet
from simulator.program.priority import carried_buckets
from simulator.program.program import Bucket, Chunk, Launch
from simulator.program.sharded import gather_each, gather_once, make_blocks, scatter_each
from simulator.units import DTYPE_BYTES, MIB


def buckets_of(scenario, chunks: tuple[Chunk, ...], seams: tuple[int, ...]) -> tuple[Bucket, ...]:
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


def carried_of(scenario, buckets: tuple[Bucket, ...], *, tied: bool) -> tuple[Bucket, ...]:
    """The buckets that are reduced in the next step."""
    plan = scenario.plan
    if plan.aggregation.order != "priority":
        return ()
    return carried_buckets(buckets, overlap=plan.overlap.grad_reduce, recomputes=plan.recompute == "full", tied=tied)


def passes_cut(plan, last: int, *, carries: bool, seams: bool) -> Callable[[Action], bool]:
    """Which F, B and W are cut at the buckets' boundaries. last: microbatch of the rank. carries: some are reduced in
    the next step's forward. seams: every F and B is cut, for looked-up vectors enter in its middle."""
    first_forward = carries or plan.gathers_blocks or (plan.shards > 1 and plan.overlap.param_gather)
    last_backward = plan.replicas > 1 and plan.overlap.grad_reduce

    def cut(action: Action) -> bool:
        if seams and action.verb in "FB":
            return True
        if action.verb == "F":
            return plan.gathers_each or (first_forward and action.microbatch == 0)
        if plan.gathers_each and action.verb in "BI":
            return True
        return action.verb in "BW" and (plan.scatters_each or (last_backward and action.microbatch == last))

    return cut


def _sharing(scenario) -> Sharing:
    plan, precision = scenario.plan, scenario.precision
    return Sharing(precision.reduce, precision.parameters, plan.shards, plan.replicas // plan.shards)


def add_reductions(
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


def add_gathers(scenario, launches: list[Launch], chunks, buckets: tuple[Bucket, ...]) -> list[Launch]:
    """The launches with the gathers of sharded parameters."""
    plan, sharing, overlap = scenario.plan, _sharing(scenario), scenario.plan.overlap.param_gather
    if not plan.gathers_blocks:
        return gather_parameters(launches, chunks, buckets, sharing, overlap=overlap)
    if not plan.gathers_each:
        return gather_once(launches, chunks, buckets, sharing, overlap=overlap)
    shared, units = read_by_head(scenario), blocks.units(scenario.model)
    ends = [chunk.last for chunk in chunks] if plan.pipeline == 1 else []

    def needs(bucket: Bucket, verb: str, microbatch: int) -> bool:
        whole = shared and bucket.first == 0
        if verb == "F":
            return not (whole and plan.pipeline > 1 and microbatch)
        if not plan.reshard_after_forward or bucket.last in ends or whole:
            return False
        return any(blocks.training(scenario.model, unit).runs for unit in units[bucket.first : bucket.last + 1])

    return gather_each(launches, chunks, buckets, sharing, needs=needs, overlap=overlap)


def read_by_head(scenario) -> bool:
    """Whether the head reads the embedding's block too, which then stays whole for it."""
    beside = scenario.plan.pipeline == 1 or ends_meet(scenario.plan)
    return beside and blocks.tied_parameter(scenario.model) is not None
