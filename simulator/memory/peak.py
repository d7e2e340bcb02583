"""Memory of each rank by kind, at the instant in the step when it holds most (`walk.py` walks through it).

Limit = the device's bytes less what the driver and the libraries take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from simulator.cluster import Cluster, Device
from simulator.memory.reserve import replayed
from simulator.memory.walk import KINDS, Moment, Walk
from simulator.model import blocks, memory_rules, tables
from simulator.model.blocks import Cut
from simulator.model.bottom_mlp import MEMBER, on_one_rank, reserves_member
from simulator.model.tables import bottom
from simulator.policies.compression import compressor_of, method_of
from simulator.policies.compressor import elements
from simulator.program.parameters import codec_shapes, local_shapes
from simulator.program.program import Program, RankProgram
from simulator.units import DTYPE_BYTES, GIB

CONTEXT_RESERVE_BYTES = 3 * GIB // 2
"""Assumed: CUDA context, cuBLAS workspace and NCCL's channel buffers of a training process take about 1.5 GiB of an
accelerator that no allocator can hand out. A CPU has no such reserve."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Bytes by kind of one representative rank at its peak; `limit` is what its device can hold.

    action: the name of the action during which the peak is reached first; empty where nothing is ever added.
    """

    rank: int
    by_kind: tuple[tuple[str, int], ...]
    limit: int
    action: str = ""

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
    """The peak of each representative rank, and of the first rank that it stands for on any other device.

    cut: what one rank works on in one microbatch whose samples are all as long as the model's `seq`.
    """
    return Memory(tuple(memory for own in program.ranks for memory in _rank_memory(own, scenario, cut)))


def memory_limit(device) -> int:
    """Bytes that training may use on a device."""
    return device.memory_bytes - context_reserve(device)


def context_reserve(device) -> int:
    """Bytes of a device that no allocator can hand out."""
    return 0 if device.name.startswith("cpu") else CONTEXT_RESERVE_BYTES


def allocator_reserve(own: RankProgram, scenario, cut: Cut) -> int:
    """Bytes that PyTorch's caching allocator keeps beyond a representative rank's tensors; 0 on a CPU."""
    if not context_reserve(scenario.cluster.device_of(own.rank)):
        return 0
    return replayed(own, scenario, cut, at_rest(own, scenario, cut)).beyond_peak


def moments(own: RankProgram, scenario, cut: Cut) -> Iterator[Moment]:
    """What a representative rank holds, from the start of the step on, in launch order."""
    return Walk(own, scenario, cut, at_rest(own, scenario, cut)).moments()


def _rank_memory(own: RankProgram, scenario, cut: Cut) -> list[RankMemory]:
    fullest = max(moments(own, scenario, cut), key=lambda moment: moment.total)  # the first one on ties
    by_kind = tuple(zip(KINDS, fullest.held, strict=True))
    devices = _devices(own, scenario.cluster)
    return [RankMemory(rank, by_kind, memory_limit(device), fullest.action) for device, rank in devices.items()]


def at_rest(own: RankProgram, scenario, cut: Cut) -> dict[str, int]:
    """Bytes by kind between two steps."""
    count, frozen = (
        sum(prod(shape) for chunk in own.chunks
            for shape in local_shapes(scenario, chunk.first, chunk.last, frozen=still))
        for still in (False, True)
    )  # fmt: skip
    holds_tables = own.chunks[0].stage == 0 and bool(blocks.sparse_tables(scenario.model))
    found = memory_rules.dense_bytes(count, scenario.precision, scenario.optimizer, scenario.plan.shares, frozen=frozen)
    if scenario.plan.scatters_each:
        found["gradients"] = 0
    found["activations"] = 0
    sparse = cut.sparse_gradients
    held = tables.held(scenario, own.samples, sparse=sparse) if holds_tables else tables.Held()
    found["embeddings"] = held.stored + held.waiting
    if own.rank == MEMBER and on_one_rank(scenario):
        tables_bytes = 0 if reserves_member(scenario) else found["embeddings"]
        found["embeddings"] = tables_bytes + bottom.held_bytes(scenario, cut)
    found["buffers"] = held.buffers + _buffers(own, scenario)
    return found


def _devices(own: RankProgram, cluster: Cluster) -> dict[Device, int]:
    """Device -> the first rank on it of those that this one stands for."""
    found: dict[Device, int] = {}
    for rank in own.members if cluster.is_mixed else [own.rank]:
        found.setdefault(cluster.device_of(rank), rank)
    return found


def _buffers(own: RankProgram, scenario) -> int:
    """Receive buffers of the pipeline, and what a compressor keeps between steps: for the largest microbatch, where
    they differ."""
    receives: dict[str, int] = {}
    for launch in own.launches:
        if launch.action.verb == "recv":
            receives[launch.stream] = max(receives.get(launch.stream, 0), launch.action.size_bytes)
    total = sum(receives.values())
    plan = scenario.plan
    if plan.compression.method != "none" and own.buckets:
        size = DTYPE_BYTES[scenario.precision.reduce]
        pipeline_rank, *_ = scenario.layout.coordinates(own.rank)
        for bucket in own.buckets:
            compressor = compressor_of(plan, method_of(plan, pipeline_rank, bucket.name, bucket.numel * size))
            count = elements(codec_shapes(scenario, bucket, compressor))
            total += compressor.remembered(count) * size
    return total
