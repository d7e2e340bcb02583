"""Placement: which units of the model each stage holds, and which pipeline rank holds a stage."""

from __future__ import annotations

from simulator.errors import ScenarioError
from simulator.model import blocks
from simulator.program.pipeline import schedule_named
from simulator.program.program import Chunk


def num_stages(plan) -> int:
    """Global stages: model chunks of all pipeline ranks."""
    return plan.pipeline * plan.virtual_stages


def holder(plan, stage: int) -> int:
    """The pipeline rank that holds a global stage."""
    return schedule_named(plan.schedule).holder(stage, plan.pipeline)


def ends_meet(plan) -> bool:
    """Whether first and last stage are on one pipeline rank, which then holds a shared embedding once."""
    return holder(plan, 0) == holder(plan, num_stages(plan) - 1)


def place_units(scenario) -> tuple[Chunk, ...]:
    """The units of each stage: equal numbers of layers; embedding and head join the first and the last stage."""
    units = blocks.units(scenario.model)
    stages = num_stages(scenario.plan)
    num_layers = scenario.model.trunk.num_layers
    if num_layers % stages:
        raise ScenarioError(
            f"{num_layers} layers do not divide into pipeline * virtual_stages = {stages} equal stages",
            key="plan.pipeline",
        )
    per_stage = num_layers // stages

    def stage_of(index: int) -> int:
        if units[index].layer >= 0:
            return units[index].layer // per_stage
        return 0 if units[index].kind == "embedding" else stages - 1

    members: dict[int, list[int]] = {stage: [] for stage in range(stages)}
    for index in range(len(units)):
        members[stage_of(index)].append(index)
    return tuple(Chunk(stage, ((own[0], own[-1]),)) for stage, own in members.items())
