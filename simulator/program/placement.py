"""Placement: which units of the model each stage holds, and which pipeline rank holds a stage."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from itertools import accumulate
from math import lcm

from simulator.errors import ScenarioError
from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.lookups import samples_rows
from simulator.model.work import forward_flops
from simulator.policies.partition import balanced_partition
from simulator.program.pipeline import schedule_named
from simulator.program.program import Chunk
from simulator.units import seconds_to_ns


def num_stages(plan) -> int:
    """Global stages: model chunks of all pipeline ranks."""
    return plan.pipeline * plan.virtual_stages


def holder(plan, stage: int) -> int:
    """The pipeline rank that holds a global stage."""
    return schedule_named(plan.schedule).holder(stage, plan.pipeline)


def ends_meet(plan) -> bool:
    """Whether first and last stage are on one pipeline rank, which then holds a shared embedding once."""
    return holder(plan, 0) == holder(plan, num_stages(plan) - 1)


def carries_rows(scenario) -> bool:
    """Whether stages hand on the rows that the head scores: they are looked up on the first stage, and the last is on
    another rank. Between them they pass through every stage, as tensors do that torch.distributed.pipelining's stages
    hand on beside their output."""
    return samples_rows(scenario.model) and not ends_meet(scenario.plan)


def place_units(scenario) -> tuple[Chunk, ...]:
    """The units of each stage: whole layers by `stage_layers`; embedding and head join the first and the last stage."""
    units = blocks.units(scenario.model)
    layers = stage_layers(scenario)
    ends = list(accumulate(layers))
    last = len(layers) - 1
    members: list[list[int]] = [[] for _ in layers]
    for index, unit in enumerate(units):
        if unit.kind == "bottom" and on_one_rank(scenario):
            continue  # it runs where tables are looked up
        if unit.layer >= 0:
            members[bisect_right(ends, unit.layer)].append(index)
        else:
            members[0 if unit.kind == "embedding" else last].append(index)
    return tuple(Chunk(stage, ((own[0], own[-1]),)) for stage, own in enumerate(members))


def stage_layers(scenario) -> tuple[int, ...]:
    """Layers of each global stage, by `plan.partition`: as many each, the stated numbers, or balanced; by the static
    balancer, balanced on ranks of different speeds.

    Balanced counts FLOPs, of forward, backward and recomputation: a program must not depend on what a profile says.
    Lookups and other kernels that only move memory weigh nothing.
    """
    plan, num_layers, stages = scenario.plan, scenario.model.trunk.num_layers, num_stages(scenario.plan)
    if isinstance(plan.partition, tuple):
        return plan.partition
    if not num_layers:  # a DLRM: one stage holds all of it
        return (0,) * stages
    if plan.balancer.kind == "static":
        return balanced_partition(*work_of(scenario), paces=stage_paces(scenario))
    if plan.partition == "balanced":
        return balanced_partition(*work_of(scenario))
    if num_layers % stages:
        raise ScenarioError(
            f"{num_layers} layers do not divide into pipeline * virtual_stages = {stages} equal stages; use "
            "--set plan.partition=balanced",
            key="plan.pipeline",
        )
    return (num_layers // stages,) * stages


def work_of(scenario) -> tuple[list[int], int, int, int]:
    """(FLOPs of each layer, stages, FLOPs of the embedding, FLOPs of the head) of one microbatch; ns where those are
    what the model states."""
    model, plan = scenario.model, scenario.plan
    num_layers, stages = model.trunk.num_layers, num_stages(plan)
    cut = Cut(plan.microbatch, model.trunk.seq, attention=scenario.software.attention or "unfused")
    if model.trunk.block == "profiled":  # its times are the model's own words, not a profile's
        return [seconds_to_ns(one.forward_s + one.backward_s) for one in model.trunk.layers], stages, 0, 0
    layers, ends = [0] * num_layers, {"embedding": 0, "head": 0}
    for unit in blocks.units(model):
        flops = forward_flops(blocks.forward(model, unit, cut)) + forward_flops(blocks.backward(model, unit, cut))
        if unit.layer < 0:
            ends[unit.kind] += flops
        else:
            layers[unit.layer] += flops + forward_flops(blocks.recompute(model, unit, cut, plan.recompute))
    # a frozen embedding weighs nothing: a first stage of it alone would have nothing to train
    first = ends["embedding"] if blocks.training(model, blocks.units(model)[0]).runs else 0
    return layers, stages, first, ends["head"]


def stage_paces(scenario, *, slowest: bool = True) -> tuple[int, ...]:
    """How long each global stage takes for a FLOP, in one whole unit: by the dense peak of its slowest rank, and by
    `faults.stragglers`. A device without a known peak counts as fast as the others. slowest False: of the replica that
    is fastest there."""
    layout, cluster = scenario.layout, scenario.cluster
    peaks = {device: device.peak(scenario.dtype) for device in {node.device for node, _ in cluster.groups}}
    known = all(peaks.values()) and len(peaks) > 1

    def pace(rank: int) -> Fraction:
        factor = Fraction(scenario.pace.get(rank, 1.0))
        return factor / Fraction(peaks[cluster.device_of(rank)]) if known else factor

    per_stage = layout.ranks // layout.pipeline
    found = []
    for stage in range(num_stages(scenario.plan)):
        first = per_stage * holder(scenario.plan, stage)
        ranks = range(first, first + per_stage)
        if slowest:
            seen = ranks if known else [first, *(rank for rank in scenario.pace if rank in ranks)]
            found.append(max(map(pace, seen)))
        else:
            each = per_stage // layout.data
            found.append(min(max(map(pace, ranks[at : at + each])) for at in range(0, per_stage, each)))
    scale = lcm(*(one.denominator for one in found))
    return tuple(int(one * scale) for one in found)
