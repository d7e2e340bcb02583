"""Memory of each rank by kind, at the instant in the step when it holds most.

Parameters, gradients, optimizer states and tables stay; activations come with each F and go with its B, in the order
that the program launches them. Of a backward pass in halves, I lets go of all but what W reads. Limit = the device's
bytes less what the driver and the libraries take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

from simulator.model import blocks, memory_rules, tables
from simulator.model.blocks import Cut
from simulator.program.actions import COMPUTE_VERBS
from simulator.program.lowering import local_shapes
from simulator.program.program import Program, RankProgram
from simulator.units import DTYPE_BYTES, GIB

KINDS = ("parameters", "gradients", "optimizer", "activations", "embeddings", "buffers")

CONTEXT_RESERVE_BYTES = 3 * GIB // 2
"""Assumed: CUDA context, cuBLAS workspace and NCCL's channel buffers of a training process take about 1.5 GiB of an
accelerator that no allocator can hand out. A CPU has no such reserve."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Bytes by kind of one representative rank at its peak; `limit` is what its device can hold."""

    rank: int
    by_kind: tuple[tuple[str, int], ...]
    limit: int

    @property
    def peak(self) -> int:
        """All kinds together."""
        return sum(size for _, size in self.by_kind)


@dataclass(frozen=True, slots=True)
class Memory:
    """Every representative rank's peak."""

    per_rank: tuple[RankMemory, ...]

    @property
    def tightest(self) -> RankMemory:
        """The rank with the highest peak, the lowest on ties."""
        return max(self.per_rank, key=lambda own: (own.peak, -own.rank))

    @property
    def over(self) -> RankMemory | None:
        """The rank that exceeds its limit by most, None where everything fits."""
        worst = max(self.per_rank, key=lambda own: (own.peak - own.limit, -own.rank))
        return worst if worst.peak > worst.limit else None

    def to_dict(self) -> dict:
        """`memory_bytes` of the JSON."""
        return {"peak_max": self.tightest.peak, "limit": self.tightest.limit, "by_kind": dict(self.tightest.by_kind)}


def measure_memory(program: Program, scenario, cut: Cut) -> Memory:
    """The peak of each representative rank. cut: what one rank works on in one microbatch."""
    return Memory(tuple(_rank_memory(own, scenario, cut) for own in program.ranks))


def memory_limit(device) -> int:
    """Bytes that training may use on a device."""
    reserve = 0 if device.name.startswith("cpu") else CONTEXT_RESERVE_BYTES
    return device.memory_bytes - reserve


def _rank_memory(own: RankProgram, scenario, cut: Cut) -> RankMemory:
    plan = scenario.plan
    shapes = [shape for chunk in own.chunks for shape in local_shapes(scenario, chunk.first, chunk.last)]
    count = sum(prod(shape) for shape in shapes)
    replicas = plan.data * plan.context
    holds_tables = own.chunks[0].stage == 0 and bool(blocks.sparse_tables(scenario.model))
    sizes = memory_rules.dense_bytes(count, scenario.precision, scenario.optimizer, plan.zero, replicas)
    sizes["activations"] = peak_activations(own, scenario, cut)
    sizes["embeddings"] = tables.storage_bytes(scenario) + tables.gradient_bytes(scenario) if holds_tables else 0
    sizes["buffers"] = _buffers(own, scenario, count, holds_tables)
    return RankMemory(own.rank, tuple(sizes.items()), min(map(memory_limit, _devices(scenario.cluster, own))))


def _devices(cluster, own: RankProgram) -> tuple:
    """The kinds of devices that a representative stands for."""
    if not cluster.is_mixed:
        return (cluster.device_of(own.rank),)
    return tuple(dict.fromkeys(cluster.device_of(rank) for rank in own.members))


def peak_activations(own: RankProgram, scenario, cut: Cut) -> int:
    """Most activation bytes alive at once.

    Held: what started microbatches keep. A backward pass goes through its units in reverse: beside what is still held
    it needs the rest of the layer that was run again, and the unit's own gradients of activations.
    """
    mode, model, units = scenario.plan.recompute, scenario.model, blocks.units(scenario.model)

    def kept(index: int) -> int:
        return blocks.kept_bytes(model, units[index], cut, mode)

    def rerun(index: int) -> int:
        """What a layer's recomputation holds while the backward pass is at this unit."""
        layer = units[index].layer
        same = [unit for unit in units[: index + 1] if unit.layer == layer >= 0]
        return sum(blocks.transient_bytes(model, unit, cut, mode) for unit in same)

    @cache
    def forward_bytes(span: tuple[int, int]) -> int:
        return sum(kept(index) for index in range(span[0], span[1] + 1))

    @cache
    def weight_bytes(span: tuple[int, int]) -> int:
        return sum(blocks.weight_bytes(model, units[index], cut) for index in range(span[0], span[1] + 1))

    @cache
    def backward_peak(span: tuple[int, int], split: bool) -> int:
        """Most bytes above what is held when this backward pass begins. split: it leaves something for W."""
        freed, most = 0, 0
        for index in range(span[1], span[0] - 1, -1):
            most = max(most, rerun(index) + blocks.working_bytes(model, units[index], cut) - freed)
            freed += kept(index)
            if split:
                freed -= weight_bytes((index, index))
        return max(most, -freed)

    alive = peak = 0
    for action in own.stream("compute"):
        if action.verb not in COMPUTE_VERBS:
            continue
        span = own.chunk(action.stage).span(action.verb, action.segment)
        if action.verb == "F":
            alive += forward_bytes(span)
            peak = max(peak, alive)
        elif action.verb == "W":
            alive -= weight_bytes(span)
        else:
            peak = max(peak, alive + backward_peak(span, action.verb == "I"))
            alive -= forward_bytes(span)
            if action.verb == "I":
                alive += weight_bytes(span)
    return peak


def _buffers(own: RankProgram, scenario, count: int, holds_tables: bool) -> int:
    """Receive buffers of the pipeline, exchanged vectors of the tables, what a compressor keeps between steps."""
    receives = {launch.stream: launch.action.size_bytes for launch in own.launches if launch.action.verb == "recv"}
    total = sum(receives.values())
    if holds_tables:
        total += tables.buffer_bytes(scenario)
    if scenario.plan.compression.error_feedback and own.buckets:
        total += count * DTYPE_BYTES[scenario.precision.reduce]
    return total
