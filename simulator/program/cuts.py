"""What one rank works on in one microbatch, and what it hands on to the next stage."""

from __future__ import annotations

from dataclasses import replace

from simulator.model import blocks
from simulator.model.blocks import Cut, head
from simulator.model.bottom_mlp import on_one_rank
from simulator.model.software import facts_of
from simulator.model.stacks import TORCH, Stack
from simulator.program.placement import carries_rows
from simulator.units import DTYPE_BYTES


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


def boundary_bytes(scenario, last: int) -> int:
    """What one rank sends to the next stage, whose own ends with unit `last`.

    Under sequence parallelism its slice; without it, its 1/tensor share of the activation, which the receivers gather
    (Megatron-LM's scatter/gather, Narayanan et al. 2021, arXiv 2104.04473, section 4.1).
    """
    return cut_boundary_bytes(scenario, cut_of(scenario), last)


def handed_on_bytes(scenario, cut: Cut, last: int = 0) -> int:
    """What tensor ranks together hand on: the output of unit `last`, and rows for a head on the last stage. Without
    sequence parallelism each has the whole of it."""
    whole = blocks.boundary_bytes(scenario.model, cut, blocks.units(scenario.model)[last])
    if carries_rows(scenario):
        whole += cut.shard_tokens * head.scored_width(scenario.model) * cut.bytes
    return whole


def cut_boundary_bytes(scenario, cut: Cut, last: int) -> int:
    whole = handed_on_bytes(scenario, cut, last)
    return whole if scenario.plan.sequence_parallel else -(-whole // scenario.plan.tensor)
