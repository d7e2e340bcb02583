"""Data parallelism: gradient buckets, their reduction, the gather of updated parameters, and the update.

Reads the compute launches of a rank; adds launches on streams `data` (or `shard` and `replica`), `tied` and `compute`.
Buckets follow PyTorch DDP (Li et al. 2020, arXiv 2006.15704): parameters in reverse order of the forward pass are fused
until `bucket_mib` is reached, here at unit boundaries, and a bucket is reduced as soon as its last gradient is there.
What ZeRO 2 and 3 do within a microbatch is `sharded.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from simulator.model.memory_rules import part
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.compression import REDUCTIONS
from simulator.program.program import Bucket, Chunk, Launch
from simulator.units import DTYPE_BYTES


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a bucket is summed over its replicas, and its parameters come back.

    reduce, parameters: dtypes on the wire. shards: ranks among which the sum is divided; 1: each gets all of it.
    copies: ranks that hold the same share, which they add up among themselves (hybrid sharding, arXiv 2304.11277).
    """

    reduce: str
    parameters: str
    shards: int = 1
    copies: int = 1

    @property
    def stream(self) -> str:
        """Where gradients are scattered and parameters gathered: `data`, or `shard` where that is a part of it."""
        return "shard" if self.shards > 1 and self.copies > 1 else "data"

    def reduction(self, bucket: Bucket, after: str, microbatch: int | None = None) -> list[Launch]:
        """What sums a bucket, once a step or behind one microbatch."""
        verb, of = "reduce_scatter" if self.shards > 1 else "reduce", None if microbatch is None else "B"
        size = DTYPE_BYTES[self.reduce]
        action = Action(
            verb, bucket=bucket.name, of=of, microbatch=microbatch, size_bytes=bucket.numel * size, method="none",
            after=(after,),
        )  # fmt: skip
        found = [Launch(self.stream, action)]
        if self.stream == "shard":
            owned = part(bucket.numel, self.shards) * size
            found.append(Launch("replica", action._replace(verb="reduce", size_bytes=owned, after=(action.name,))))
        return found

    def gather(
        self, bucket: Bucket, after: tuple[str, ...] = (), of: str | None = None, microbatch: int | None = None
    ) -> Launch:
        """What brings a bucket's parameters, once a step or for one pass of a microbatch."""
        size = bucket.parameters * DTYPE_BYTES[self.parameters]
        action = Action("all_gather", bucket=bucket.name, of=of, microbatch=microbatch, size_bytes=size, method="none",
                        after=after)  # fmt: skip
        return Launch(self.stream, action)


def make_buckets(
    chunks: tuple[Chunk, ...], numel: Callable[[int], int], bucket_bytes: int, element_bytes: int,
    seams: Collection[int] = (),
) -> tuple[Bucket, ...]:  # fmt: skip
    """Fuses units into buckets, chunk by chunk, last chunk first: the order in which gradients become ready.

    numel: dense parameters of a unit on this rank that are trained. A unit is never split, so a bucket may exceed
    bucket_bytes by one. seams: units at which something else starts in the middle of a pass (`embedding.py`); no bucket
    reaches across one. Units of which nothing is trained join the bucket before; a chunk of none but such has none.
    """
    buckets: list[Bucket] = []
    for chunk in sorted(chunks, key=lambda chunk: -chunk.stage):
        last, total, found = chunk.last, 0, len(buckets)
        for unit in range(chunk.last, chunk.first - 1, -1):
            total += numel(unit)
            if total * element_bytes < bucket_bytes and unit != chunk.first and unit not in seams:
                continue
            if total:
                buckets.append(Bucket(f"b{len(buckets)}", chunk.stage, unit, last, total))
            elif len(buckets) > found:
                buckets[-1] = replace(buckets[-1], first=unit)
            last, total = unit - 1, 0
    return tuple(buckets)


def reduce_gradients(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], last_microbatch: int,
    sharing: Sharing, *, overlap: bool, completes: str = "B",
) -> list[Launch]:  # fmt: skip
    """Adds one reduction per bucket that is trained.

    overlap: launched right after the backward segment that completes the bucket; else after the last compute action.
    completes: verb of what completes a gradient, B, or W where the backward pass is split.
    """
    reduced: list[Launch] = []
    by_segment = {}
    buckets = tuple(bucket for bucket in buckets if bucket.numel)
    for bucket in buckets:
        chunk = next(chunk for chunk in chunks if chunk.stage == bucket.stage)
        index = len(chunk.segments) - 1 - chunk.segments.index((bucket.first, bucket.last)) if overlap else None
        segment = index if len(chunk.segments) > 1 else None
        by_segment.setdefault(Action(completes, bucket.stage, last_microbatch, segment).name, []).append(bucket)

    for launch in launches:
        reduced.append(launch)
        if overlap:
            for bucket in by_segment.get(launch.action.name, ()):
                reduced += sharing.reduction(bucket, launch.action.name)
    if not overlap:
        last = last_compute(launches)
        for bucket in buckets:
            reduced += sharing.reduction(bucket, last)
    return reduced


def reduce_tied_embedding(launches: list[Launch], size_bytes: int) -> list[Launch]:
    """Adds the all-reduce of a token embedding that first and last stage share, after the data reduction.

    Megatron-LM's finalize_model_grads runs them in this order. A compressed reduction is there when it is decoded.
    """
    after = [launch.action.name for launch in launches if launch.action.verb in REDUCTIONS][-1:]
    after += [launch.action.name for launch in launches if launch.action.verb == "decode"][-1:]
    after = after or [last_compute(launches)]
    return [
        *launches,
        Launch("tied", Action("reduce", bucket="tied", size_bytes=size_bytes, method="none", after=tuple(after))),
    ]


def update_parameters(launches: list[Launch]) -> list[Launch]:
    """Adds the dense optimizer step, after every reduction but those that a bucket's own update awaits, or that the
    computation has waited for, microbatch by microbatch."""
    own = {name for launch in launches if launch.action.verb == "optimizer" for name in launch.action.after}
    found = [launch.action for launch in launches if launch.action.verb in REDUCTIONS]
    last = max((action.microbatch for action in found if action.microbatch is not None), default=None)
    waits = tuple(action.name for action in found if action.microbatch in (None, last) and action.name not in own)
    return [*launches, Launch("compute", Action("optimizer", after=waits))]


def gather_parameters(
    launches: list[Launch], chunks: tuple[Chunk, ...], buckets: tuple[Bucket, ...], sharing: Sharing, *, overlap: bool
) -> list[Launch]:
    """Adds the all-gather of updated parameters of ZeRO 1 and 2 (Rajbhandari et al. 2020, arXiv 1910.02054).

    overlap: at the start of the step, bucket by bucket in forward order, beside the first microbatch's forward, whose
    segments wait for their bucket; else after the optimizer, and the step ends with it.
    """
    forward_order = sorted(buckets, key=lambda bucket: (bucket.stage, bucket.first))
    if not overlap:
        return launches + [sharing.gather(bucket, ("optimizer",)) for bucket in forward_order]
    gathers = {bucket.name: sharing.gather(bucket) for bucket in forward_order}
    needs: dict[str, tuple[str, ...]] = {}
    for bucket in forward_order:
        chunk = next(chunk for chunk in chunks if chunk.stage == bucket.stage)
        segment = chunk.segments.index((bucket.first, bucket.last)) if len(chunk.segments) > 1 else None
        needs[Action("F", bucket.stage, 0, segment).name] = (gathers[bucket.name].action.name,)
    waiting = [
        Launch(launch.stream, launch.action.waiting_for(*needs[launch.action.name]))
        if launch.action.name in needs
        else launch
        for launch in launches
    ]
    return [*gathers.values(), *waiting]


def last_compute(launches: Iterable[Launch]) -> str:
    """Name of the last forward or backward action launched."""
    return [launch.action.name for launch in launches if launch.action.verb in COMPUTE_VERBS][-1]
