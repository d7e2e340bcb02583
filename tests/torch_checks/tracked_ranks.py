"""One rank of a plan, alone in this process, with every byte of its tensors tracked.

The executor's own interpreter, buckets, tables and modules run a step; the process group is torch's fake one, whose
collectives move nothing, and tensors are fake too (shapes and storages without memory) unless values decide on a shape:
distinct rows of sparse tables, and what tensor ranks share under sequence parallelism. Communication threads are
replaced by the launch order: dispatch modes belong to a thread.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import prod

import torch
import torch.distributed as dist
from eager_kernels import as_executed
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._pytree import tree_leaves

from simulator.executor.blocks import attention
from simulator.executor.job import Job, own_program
from simulator.executor.rank import _Runner
from simulator.executor.spans import Span
from simulator.memory import RankMemory, measure_memory
from simulator.model.blocks import sparse_tables
from simulator.model.memory_rules import dense_bytes
from simulator.program.cuts import cut_of
from simulator.program.lowering import lower
from simulator.program.parameters import local_shapes
from simulator.units import MIB


@dataclass(frozen=True)
class Tracked:
    """Bytes of one rank in a step, the optimizer's states made before.

    measured: parameters, gradients and optimizer at rest, embeddings where they are largest, and `alive`: everything
    else at the peak, which the simulator splits into activations, buffers and what is whole for a while of sharded
    parameters and gradients (`at_rest`). peak: all together, as MemTracker saw it.
    predicted: the simulator's figures for the same rank. alike: with the executor's kernels (`eager_kernels.py`).
    """

    measured: dict[str, int]
    peak: int
    predicted: RankMemory
    alike: RankMemory
    at_rest: dict[str, int]

    def counted(self, what: RankMemory) -> dict[str, int]:
        """The simulator's figures, by the kinds of `measured`."""
        at_rest = {**self.at_rest, "embeddings": dict(what.by_kind)["embeddings"]}
        return {**at_rest, "alive": what.peak - sum(at_rest.values())}

    def row(self, what: RankMemory) -> str:
        """measured / counted, in MiB, and how far the total is off."""
        kinds = self.counted(what)
        parts = [f"{kind} {self.measured[kind] / MIB:.2f} / {size / MIB:.2f}" for kind, size in kinds.items()]
        return f"{', '.join(parts)}; total {self.peak / MIB:.2f} / {what.peak / MIB:.2f} ({self.off(what):+.1%})"

    def off(self, what: RankMemory) -> float:
        """Relative error of the counted total."""
        return what.peak / self.peak - 1


class LaunchOrder:
    """Stands in for the executor's threads: one action after another, in launch order."""

    def __init__(self, after_each):
        self.after_each, self.ended = after_each, False

    def run(self, compute, others, count: int) -> list[Span]:
        spans = [Span() for _ in range(count)]
        tasks = [*compute, *(task for tasks in others.values() for task in tasks)]
        for place, _, work in sorted(tasks, key=lambda task: task[0]):
            work(spans[place])
            self.after_each()
        self.ended = True
        return spans

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def close(self) -> None: ...


def track(scenario, rank: int = 0) -> Tracked:
    """Runs one step of one rank and reads its memory."""
    stated = scenario.software.attention or "flash"
    program, cut = lower(scenario), cut_of(scenario, stated)

    def counted() -> RankMemory:
        stands_for = own_program(program, rank).rank
        return next(own for own in measure_memory(program, scenario, cut).per_rank if own.rank == stands_for)

    predicted = counted()
    with as_executed():
        alike = counted()
    job = Job(scenario, program, backend="fake", attention=stated)
    with ExitStack() as stack:
        dist.init_process_group("fake", rank=rank, world_size=scenario.layout.ranks, store=FakeStore())
        stack.callback(dist.destroy_process_group)
        stack.callback(clear_caches)
        clear_caches()
        if not sparse_tables(scenario.model) and not scenario.plan.sequence_parallel:
            stack.enter_context(FakeTensorMode())
        tracker = stack.enter_context(MemTracker())
        runner = _Runner(job, rank, None, None)
        interpreter, largest = runner.interpreter, [0]
        interpreter.streams.close()

        def look() -> None:
            largest[0] = max(largest[0], embedding_bytes(runner.tables))

        order = interpreter.streams = LaunchOrder(look)
        make_states(runner.dense)
        data_rank, samples = scenario.layout.coordinates(rank)[1], scenario.samples(0)
        batch = job.source(scenario, 0, data_rank)
        prepared = interpreter.prepare(batch, samples[data_rank] if samples else ())
        tracker._peak_mem.clear()
        tracker._peak_mem_snap.clear()
        with suppress(DataDependentOutputException):  # the loss of fake tensors has no value, once the step is over
            interpreter.run_step(prepared)
        assert order.ended
        (snapshot,) = tracker.get_tracker_snapshot("peak").values()
        measured = resident_bytes(runner.dense) | {"embeddings": largest[0]}
        peak = snapshot["Total"] - host_bytes(runner.tables)
        measured["alive"] = peak - sum(measured.values())
        return Tracked(measured, peak, predicted, alike, resting(scenario, program, rank))


def resting(scenario, program, rank: int) -> dict[str, int]:
    """What the simulator counts of a rank's dense state between two steps."""
    own = own_program(program, rank)
    count, frozen = (
        sum(prod(shape) for chunk in own.chunks
            for shape in local_shapes(scenario, chunk.first, chunk.last, frozen=still))
        for still in (False, True)
    )  # fmt: skip
    found = dense_bytes(count, scenario.precision, scenario.optimizer, scenario.plan.shares, frozen=frozen)
    return found | ({"gradients": 0} if scenario.plan.scatters_each else {})


def make_states(dense) -> None:
    """An optimizer makes its states in its first update: this one comes before the step that is measured."""
    if dense.zero:
        for name, bucket in dense.buckets.items():
            bucket.reduced = torch.zeros_like(dense.masters[name], dtype=dense.numerics.gradients)
    dense.update()
    for bucket in dense.buckets.values():
        bucket.reduced = None


def resident_bytes(dense) -> dict[str, int]:
    """What the executor's dense parameters hold at rest."""
    buckets = dense.buckets.values()
    weights = [bucket.own if dense.gathers else bucket.weights for bucket in buckets]
    masters = [one for one in dense.masters.values() if not any(_same(one, weight) for weight in weights)]
    return {
        "parameters": _bytes(weights),
        "gradients": 0 if dense.scatters else _bytes([bucket.gradients for bucket in buckets]),
        "optimizer": _bytes([*masters, *tree_leaves(dense.states)]),
    }


def embedding_bytes(tables) -> int:
    """Rows on the device, their optimizer states and the row gradients that wait for the end of the step."""
    if tables is None:
        return 0
    shards = tables.shards.values()
    waiting = [gradients for shard in shards for _, gradients in shard.pending] + [shard.dense for shard in shards]
    return _bytes(waiting) + sum(_tier_bytes(shard.store.device_tier) for shard in shards if shard.store is not None)


def host_bytes(tables) -> int:
    """Rows and states in host memory, which on a CPU is the memory that is tracked."""
    stores = [shard.store for shard in tables.shards.values() if shard.store is not None] if tables is not None else []
    return sum(_tier_bytes(store.host_tier) for store in stores)


def _tier_bytes(tier) -> int:
    return _bytes([tier.rows, *tier.state.values()])


def clear_caches() -> None:
    """Rotary angles and causal masks are cached: a fake one must not meet another run."""
    attention._angles.cache_clear()
    attention._later.cache_clear()


def _bytes(parts) -> int:
    return sum(part.numel() * part.element_size() for part in parts if isinstance(part, torch.Tensor))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.untyped_storage()._cdata == other.untyped_storage()._cdata
