"""Memory of each rank by kind, at the instant in the step when it holds most.

Parameters, gradients, optimizer states and tables stay; activations come with each F and go with its B, in the order
that the program launches them. Of a backward pass in halves, I lets go of all but what W reads. Limit = the device's
bytes less what the driver and the libraries take.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from simulator.activations import Activations
from simulator.cluster import Cluster, Device
from simulator.model import blocks, memory_rules, tables
from simulator.model.blocks import Cut
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.held import NOTHING, Touch, touches
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
    """The peak of each representative rank, and of the first rank that it stands for on any other device.

    cut: what one rank works on in one microbatch.
    """
    return Memory(tuple(memory for own in program.ranks for memory in _rank_memory(own, scenario, cut)))


def memory_limit(device) -> int:
    """Bytes that training may use on a device."""
    reserve = 0 if device.name.startswith("cpu") else CONTEXT_RESERVE_BYTES
    return device.memory_bytes - reserve


def _rank_memory(own: RankProgram, scenario, cut: Cut) -> list[RankMemory]:
    shapes = [shape for chunk in own.chunks for shape in local_shapes(scenario, chunk.first, chunk.last)]
    count = sum(prod(shape) for shape in shapes)
    holds_tables = own.chunks[0].stage == 0 and bool(blocks.sparse_tables(scenario.model))
    at_rest = memory_rules.dense_bytes(count, scenario.precision, scenario.optimizer, scenario.plan.shares)
    if scenario.plan.scatters_each:
        at_rest["gradients"] = 0
    at_rest["activations"] = 0
    at_rest["embeddings"] = tables.storage_bytes(scenario) + tables.gradient_bytes(scenario) if holds_tables else 0
    at_rest["buffers"] = _buffers(own, scenario, count, holds_tables)
    by_kind = tuple(_Walk(own, scenario, cut, at_rest).peak().items())
    devices = _devices(own, scenario.cluster)
    return [RankMemory(rank, by_kind, memory_limit(device)) for device, rank in devices.items()]


def _devices(own: RankProgram, cluster: Cluster) -> dict[Device, int]:
    """Device -> the first rank on it of those that this one stands for."""
    found: dict[Device, int] = {}
    for rank in own.members if cluster.is_mixed else [own.rank]:
        found.setdefault(cluster.device_of(rank), rank)
    return found


class _Walk:
    """A step of one rank in launch order, and what it holds. at_rest: bytes by kind between two steps.

    Blocks that are gathered for a while are parameters, their whole gradients are gradients, messages are buffers: a
    gather's from its launch until it is unpacked, a reduction's from its packing until compute has waited for it. A
    shard of summed gradients is there from its first reduction until the update. Not counted: in forward FSDP2 keeps a
    gather's message one block longer.
    """

    def __init__(self, own: RankProgram, scenario, cut: Cut, at_rest: dict[str, int]):
        self.own, self.plan, self.held, self.most = own, scenario.plan, dict(at_rest), dict(at_rest)
        self.activations, self.touches = Activations(scenario, cut), touches(own, scenario)
        precision = scenario.precision
        self.parameter, self.gradient, self.reduced = (
            DTYPE_BYTES[name] for name in (precision.parameters, precision.gradients, precision.reduce)
        )
        self.numel = {bucket.name: bucket.numel for bucket in own.buckets}

    def peak(self) -> dict[str, int]:
        """Bytes by kind at the instant at which most are held, the first one on ties."""
        for launch in self.own.launches:
            action = launch.action
            if action.verb in COMPUTE_VERBS:
                self._compute(action, self.touches.get(action.name, NOTHING))
            elif action.verb == "all_gather" and self.plan.gathers_blocks:
                self._hold(buffers=self._padded(action.bucket) * self.parameter)
        return self.most

    def _compute(self, action: Action, touch: Touch) -> None:
        self.held["buffers"] -= sum(self._message(name) for name in touch.releases)
        for name in touch.unpacks:
            self._hold(parameters=self.numel[name] * self.parameter)
            self.held["buffers"] -= self._padded(name) * self.parameter
        self._hold(gradients=sum(self.numel[name] for name in touch.opens) * self.parameter)
        span = self.own.chunk(action.stage).span(action.verb, action.segment)
        beside = self.activations.beside(action.verb, span)
        self._hold(activations=beside)
        self.held["activations"] += self.activations.change(action.verb, span) - beside
        for name in touch.packs:
            self._hold(buffers=self._message(name))
            if self.plan.scatters_each:
                shard = self._padded(name) // self.plan.shards * self.gradient if action.microbatch == 0 else 0
                self.held["gradients"] += shard - self.numel[name] * self.parameter
        self.held["parameters"] -= sum(self.numel[name] for name in touch.drops) * self.parameter

    def _hold(self, **more: int) -> None:
        for kind, size in more.items():
            self.held[kind] += size
        if sum(self.held.values()) > sum(self.most.values()):
            self.most = dict(self.held)

    def _message(self, name: str) -> int:
        """Of a reduction: what is sent, and the share of the sum."""
        return self._padded(name) * self.reduced + self._padded(name) // self.plan.shards * self.reduced

    def _padded(self, name: str) -> int:
        return memory_rules.part(self.numel[name], self.plan.shards) * self.plan.shards


def _buffers(own: RankProgram, scenario, count: int, holds_tables: bool) -> int:
    """Receive buffers of the pipeline, exchanged vectors of the tables, what a compressor keeps between steps."""
    receives = {launch.stream: launch.action.size_bytes for launch in own.launches if launch.action.verb == "recv"}
    total = sum(receives.values())
    if holds_tables:
        total += tables.buffer_bytes(scenario)
    if scenario.plan.compression.error_feedback and own.buckets:
        total += count * DTYPE_BYTES[scenario.precision.reduce]
    return total
